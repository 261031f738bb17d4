#include "exec.h"

#include <string.h>

#include "arena.h"

/* Values and gradients of all steps that a chunk may have at once: 16 MB of
 * floats, which a phone has and a large cache holds. */
#define CHUNK_VALUES (4u << 20)
#define CHUNK_MAX    128
/* Where each step's parameters begin in the packed block, in pf_reals. */
#define PACKED_ALIGN 16
/* Parameters that one task of the update takes. */
#define UPDATE_PIECE 16384

void pf_exec_zero(pf_real *x, size_t n)
{
    memset(x, 0, n * sizeof *x);
}

void pf_exec_add(pf_real *to, const pf_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += x[i];
}

struct share_job {
    const struct pf_step *s;
    const struct pf_run *r;
    pf_exec_task *task;
    unsigned n_tasks;
};

static void share_task(void *arg, unsigned i, unsigned worker)
{
    const struct share_job *j = arg;
    size_t first = j->r->n * i / j->n_tasks;
    size_t end = j->r->n * (i + 1) / j->n_tasks;

    j->task(j->s, j->r, first, end - first, pf_exec_scratch(j->r->e, worker));
}

void pf_exec_by_example(const struct pf_step *s, const struct pf_run *r,
                        pf_exec_task *task)
{
    struct share_job j = {s, r, task, pf_parallel_tasks(r->e->threads, r->n)};

    pf_parallel_run(r->e->threads, j.n_tasks, share_task, &j);
}

static size_t choose_chunk(const struct pf_exec *e, size_t batch)
{
    size_t values = pf_shape_size(&e->m->input), n;

    for (size_t i = 0; i < e->m->n_layers; i++)
        if (e->training && e->m->layers[i].type->whole_batch)
            return batch;
    for (size_t i = 0; i < e->n_steps; i++)
        values += e->steps[i].out_size * (e->training ? 2 : 1);
    n = CHUNK_VALUES / values;
    n = n < 1 ? 1 : n > CHUNK_MAX ? CHUNK_MAX : n;
    return n < batch ? n : batch;
}

/* Measures when a->base is NULL. */
static void lay_out_steps(struct pf_exec *e, struct pf_arena *a)
{
    for (size_t i = 0; i < e->n_steps; i++) {
        struct pf_step *s = &e->steps[i];

        e->act[s->out] =
            pf_arena_take(a, e->chunk * s->out_size, sizeof(pf_real));
        s->ready = pf_arena_take(a, s->n_ready, sizeof(pf_real));
        s->side_mem = pf_arena_take(a, e->chunk, s->side);
        if (e->training && s->learns)
            e->grad[s->out] =
                pf_arena_take(a, e->chunk * s->out_size, sizeof(pf_real));
    }
}

static void lay_out(struct pf_exec *e, struct pf_arena *a)
{
    size_t input = pf_shape_size(&e->m->input), work = 0, more[2] = {0, 0};
    size_t scratch = input * sizeof(pf_real); /* to turn an example */
    unsigned workers = pf_parallel_workers(e->threads);

    e->act[0] = pf_arena_take(a, e->chunk * input, sizeof(pf_real));
    lay_out_steps(e, a);
    for (size_t i = 0; i < e->n_steps; i++) {
        const struct pf_step *s = &e->steps[i];

        if (s->scratch > scratch)
            scratch = s->scratch;
        if (e->training && s->work > work)
            work = s->work;
        for (int j = 0; e->training && j < 2; j++)
            if (s->wants_dx[j] && s->adds_dx[j] && s->in_size > more[j])
                more[j] = s->in_size;
    }
    for (int j = 0; j < 2; j++)
        e->more[j] = pf_arena_take(a, e->chunk * more[j], sizeof(pf_real));
    e->work = pf_arena_take(a, work, sizeof(pf_real));
    e->scratch_bytes = pf_exec_whole(scratch);
    e->scratch = pf_arena_take(a, workers, e->scratch_bytes);
    for (size_t i = 0; i < e->n_steps; i++)
        e->steps[i].spare = e->scratch;
}

/* A step whose bytes could overflow stays in floats. */
static void lower(struct pf_step *s, enum pf_precision p)
{
    int conv = s->kind == &pf_conv_step;

    if (!conv && s->kind != &pf_dense_step)
        return;
    if (p == PF_F16)
        s->kind = conv ? &pf_conv_half_step : &pf_dense_half_step;
    else if (p == PF_INT8 && pf_step_fits_int8(s))
        s->kind = conv ? &pf_conv_int8_step : &pf_dense_int8_step;
}

size_t pf_exec_plan(struct pf_exec *e, const struct pf_model *m,
                    const struct pf_kernels *k, const struct pf_exec_options *o)
{
    struct pf_arena a = {NULL, 0};

    memset(e, 0, sizeof *e);
    e->m = m;
    e->k = k;
    e->threads = o->threads;
    e->training = o->training;
    e->n_steps = pf_steps_make(m, e->steps);
    e->chunk = choose_chunk(e, o->batch);
    for (size_t i = 0; i < e->n_steps; i++) {
        struct pf_step *s = &e->steps[i];

        lower(s, o->precision);
        s->kind->measure(s, k, e->chunk);
        s->at = e->n_packed;
        e->n_packed +=
            (s->n_packed + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN;
    }
    lay_out(e, &a);
    return a.used;
}

void pf_exec_place(struct pf_exec *e, void *mem)
{
    struct pf_arena a = {mem, 0};

    lay_out(e, &a);
}

void pf_exec_pack(const struct pf_exec *e, const pf_real *canonical,
                  pf_real *packed)
{
    pf_exec_zero(packed, e->n_packed);
    for (size_t i = 0; i < e->n_steps; i++) {
        const struct pf_step *s = &e->steps[i];

        if (s->kind->pack)
            s->kind->pack(s, e->k, canonical + s->l->weight, packed + s->at);
        else
            memcpy(packed + s->at, canonical + s->l->weight,
                   s->n_packed * sizeof *packed);
    }
}

void pf_exec_unpack(const struct pf_exec *e, const pf_real *packed,
                    pf_real *canonical)
{
    for (size_t i = 0; i < e->n_steps; i++) {
        const struct pf_step *s = &e->steps[i];

        if (s->kind->unpack)
            s->kind->unpack(s, e->k, packed + s->at, canonical + s->l->weight);
        else
            memcpy(canonical + s->l->weight, packed + s->at,
                   s->n_packed * sizeof *packed);
    }
}

static void prepare_step(const struct pf_exec *e, const struct pf_step *s,
                         const pf_real *packed)
{
    if (s->n_ready > 0)
        s->kind->prepare(s, e->k, packed + s->at, s->ready);
}

void pf_exec_prepare(const struct pf_exec *e, const pf_real *packed)
{
    for (size_t i = 0; i < e->n_steps; i++)
        prepare_step(e, &e->steps[i], packed);
}

pf_real *pf_exec_input(const struct pf_exec *e, size_t i)
{
    return e->act[0] + i * pf_shape_size(&e->m->input);
}

/* Examples come channels first, kernels want channels last. */
static void turn_input(const struct pf_exec *e, size_t n)
{
    const struct pf_shape *s = &e->m->input;
    size_t size = pf_shape_size(s), hw = (size_t)s->h * s->w;
    pf_real *x = e->act[0], *turned = pf_exec_scratch(e, 0);

    if (s->c == 1 || hw == 1)
        return;
    for (size_t i = 0; i < n; i++, x += size) {
        memcpy(turned, x, size * sizeof *x);
        e->k->channels_last(1, s->c, hw, turned, x);
    }
}

static uint64_t ticks(const struct pf_exec *e)
{
    return e->clock ? e->clock() : 0;
}

const pf_real *pf_exec_forward(struct pf_exec *e, struct pf_run *r)
{
    uint64_t before = ticks(e), now;

    r->e = e;
    r->dx[0] = r->dx[1] = NULL;
    turn_input(e, r->n);
    for (size_t i = 0; i < e->n_steps; i++) {
        e->steps[i].kind->forward(&e->steps[i], r);
        now = ticks(e);
        e->ticks[i].forward += now - before;
        before = now;
    }
    return e->act[e->m->n_layers];
}

pf_real *pf_exec_output_gradient(const struct pf_exec *e)
{
    return e->grad[e->m->n_layers];
}

static void backward_step(const struct pf_exec *e, const struct pf_step *s,
                          struct pf_run *r)
{
    for (unsigned j = 0; j < 2; j++) {
        r->dx[j] = NULL;
        if (s->wants_dx[j])
            r->dx[j] = s->adds_dx[j] ? e->more[j] : e->grad[s->in[j]];
    }
    s->kind->backward(s, r);
    for (unsigned j = 0; j < 2; j++)
        if (s->wants_dx[j] && s->adds_dx[j])
            pf_exec_add(e->grad[s->in[j]], e->more[j], r->n * s->in_size);
    if (r->update)
        prepare_step(e, s, r->w);
}

void pf_exec_backward(struct pf_exec *e, struct pf_run *r)
{
    uint64_t before = ticks(e), now;

    for (size_t i = e->n_steps; i-- > 0;) {
        if (!e->steps[i].learns)
            continue;
        backward_step(e, &e->steps[i], r);
        now = ticks(e);
        e->ticks[i].backward += now - before;
        before = now;
    }
}

struct update_job {
    const struct pf_exec *e;
    const struct pf_step *s;
    const struct pf_update *u;
    const pf_real *grads;
};

static void update_task(void *arg, unsigned i, unsigned worker)
{
    const struct update_job *j = arg;
    size_t first = (size_t)i * UPDATE_PIECE, n = j->s->n_trained - first;
    size_t at = j->s->at + first;

    (void)worker;
    j->e->k->update(j->u, at, n < UPDATE_PIECE ? n : UPDATE_PIECE,
                    j->grads + at);
}

void pf_exec_update(const struct pf_exec *e, const struct pf_update *u,
                    const pf_real *grads)
{
    struct update_job j = {e, NULL, u, grads};

    for (size_t i = 0; i < e->n_steps; i++) {
        j.s = &e->steps[i];
        pf_parallel_run(
            e->threads,
            (unsigned)((j.s->n_trained + UPDATE_PIECE - 1) / UPDATE_PIECE),
            update_task, &j);
        prepare_step(e, j.s, u->w);
    }
}
