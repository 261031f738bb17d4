#include "exec.h"

#include <string.h>

#include "arena.h"
#include "layer.h"

/* Values of all layers that a chunk may have at once: 4 MB of floats. */
#define CHUNK_VALUES (1u << 20)
#define CHUNK_MAX    32

size_t pf_exec_chunk(const struct pf_model *m)
{
    size_t n = CHUNK_VALUES / m->activations;

    return n < 1 ? 1 : n > CHUNK_MAX ? CHUNK_MAX : n;
}

/* Measures when a->base is NULL. */
static void lay_out(struct pf_exec *e, int training, struct pf_arena *a)
{
    const struct pf_model *m = e->m;
    size_t scratch = m->largest * sizeof(pf_real), need;

    e->act[0] =
        pf_arena_take(a, e->chunk * pf_shape_size(&m->input), sizeof(pf_real));
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct pf_layer *l = &m->layers[i];

        e->act[i + 1] =
            l->in_place ? e->act[i]
                        : pf_arena_take(a, e->chunk * pf_shape_size(&l->out),
                                        sizeof(pf_real));
        e->side[i] = NULL;
        if (l->type->side)
            e->side[i] =
                pf_arena_take(a, e->chunk * l->type->side(l), sizeof(uint32_t));
        need = l->type->scratch ? l->type->scratch(l, e->k) : 0;
        if (need > scratch)
            scratch = need;
    }
    e->grad[0] = e->grad[1] = NULL;
    for (int i = 0; i < 2 && training; i++)
        e->grad[i] = pf_arena_take(a, e->chunk * m->largest, sizeof(pf_real));
    e->scratch = pf_arena_take(a, scratch, 1);
}

void pf_exec_init(struct pf_exec *e, const struct pf_model *m,
                  const struct pf_kernels *k, int training, void *mem)
{
    struct pf_arena a = {mem, 0};

    e->m = m;
    e->k = k;
    e->chunk = pf_exec_chunk(m);
    e->first = 0;
    while (m->layers[e->first].n_dims == 0)
        e->first++;
    lay_out(e, training, &a);
}

size_t pf_exec_bytes(const struct pf_model *m, const struct pf_kernels *k,
                     int training)
{
    struct pf_arena a = {NULL, 0};
    struct pf_exec e = {.m = m, .k = k, .chunk = pf_exec_chunk(m)};

    lay_out(&e, training, &a);
    return a.used;
}

pf_real *pf_exec_input(const struct pf_exec *e, size_t i)
{
    return e->act[0] + i * pf_shape_size(&e->m->input);
}

/* Examples come channels first, kernels want channels last. */
static void turn_input(struct pf_exec *e, size_t n)
{
    const struct pf_shape *s = &e->m->input;
    size_t size = pf_shape_size(s), hw = (size_t)s->h * s->w;
    pf_real *x = e->act[0];

    if (s->c == 1 || hw == 1)
        return;
    for (size_t i = 0; i < n; i++, x += size) {
        memcpy(e->scratch, x, size * sizeof *x);
        e->k->channels_last(1, s->c, hw, e->scratch, x);
    }
}

static void prepare(const struct pf_exec *e, size_t i, const pf_real *params,
                    size_t n, struct pf_pass *p)
{
    const struct pf_layer *l = &e->m->layers[i];

    memset(p, 0, sizeof *p);
    p->k = e->k;
    p->n = n;
    p->w = params + l->weight;
    p->b = params + l->bias;
    p->x = e->act[i];
    p->y = e->act[i + 1];
    p->side = e->side[i];
    p->scratch = e->scratch;
}

const pf_real *pf_exec_forward(struct pf_exec *e, const pf_real *params,
                               size_t n)
{
    struct pf_pass p;

    turn_input(e, n);
    for (size_t i = 0; i < e->m->n_layers; i++) {
        prepare(e, i, params, n, &p);
        e->m->layers[i].type->forward(&e->m->layers[i], &p);
    }
    return e->act[e->m->n_layers];
}

pf_real *pf_exec_output_gradient(const struct pf_exec *e)
{
    return e->grad[0];
}

void pf_exec_backward(struct pf_exec *e, const pf_real *params, size_t n,
                      pf_real *grads)
{
    struct pf_pass p;
    int at = 0; /* which of the two buffers holds the upstream gradient */

    for (size_t i = e->m->n_layers; i-- > e->first;) {
        const struct pf_layer *l = &e->m->layers[i];

        prepare(e, i, params, n, &p);
        p.dw = grads + l->weight;
        p.db = grads + l->bias;
        p.dy = e->grad[at];
        if (!l->in_place)
            at = !at;
        p.dx = i > e->first ? e->grad[at] : NULL;
        l->type->backward(l, &p);
    }
}
