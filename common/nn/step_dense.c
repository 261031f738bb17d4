/* A dense layer with the flattening before it and the activation behind it. */
#include "exec.h"

static int match(const struct pf_model *m, const unsigned *uses, unsigned at,
                 struct pf_step *s)
{
    const struct pf_layer *l = &m->layers[at], *flat = NULL;

    if (l->type->flattens) {
        flat = l;
        l = pf_step_follower(m, uses, at + 1);
    }
    if (!l || !l->type->as_dense)
        return 0;
    l->type->as_dense(l, &s->dense);
    s->l = l;
    if (flat) {
        s->dense.c = flat->in.c;
        s->dense.hw = (size_t)flat->in.h * flat->in.w;
        pf_step_absorb(m, s, flat);
    }
    pf_step_absorb(m, s, l);
    pf_step_take_act(m, uses, s, &s->dense.slope);
    s->dense.act = s->act;
    return 1;
}

static void measure(struct pf_step *s, const struct pf_kernels *k, size_t chunk)
{
    s->n_packed = s->n_trained = k->dense_size(&s->dense);
    s->scratch = k->dense_scratch(&s->dense, chunk);
    s->work = k->dense_turn_size(&s->dense, chunk) + s->dense.out;
    s->macs = (uint64_t)s->dense.in * s->dense.out;
}

static void pack(const struct pf_step *s, const struct pf_kernels *k,
                 const pf_real *canonical, pf_real *packed)
{
    k->dense_pack(&s->dense, canonical, canonical + (s->l->bias - s->l->weight),
                  packed);
}

static void unpack(const struct pf_step *s, const struct pf_kernels *k,
                   const pf_real *packed, pf_real *canonical)
{
    k->dense_unpack(&s->dense, packed, canonical,
                    canonical + (s->l->bias - s->l->weight));
}

static void forward_share(const struct pf_step *s, const struct pf_run *r,
                          size_t first, size_t n, void *scratch)
{
    const struct pf_exec *e = r->e;

    e->k->dense_forward(&s->dense, n, e->act[s->in[0]] + first * s->in_size,
                        r->w + s->at, e->act[s->out] + first * s->out_size,
                        scratch);
}

static void forward(const struct pf_step *s, const struct pf_run *r)
{
    pf_exec_by_example(s, r, forward_share);
}

struct job {
    const struct pf_step *s;
    const struct pf_run *r;
    unsigned n_tasks;
    const pf_real *turned;
};

static void backward_task(void *arg, unsigned i, unsigned worker)
{
    const struct job *j = arg;
    const struct pf_step *s = j->s;
    const struct pf_run *r = j->r;
    size_t rows = (s->dense.in + PF_DENSE_ROWS - 1) / PF_DENSE_ROWS;
    size_t first = rows * i / j->n_tasks * PF_DENSE_ROWS;
    size_t end = rows * (i + 1) / j->n_tasks * PF_DENSE_ROWS;

    if (end > s->dense.in)
        end = s->dense.in;
    r->e->k->dense_backward(&s->dense, r->n, first, end, r->e->act[s->in[0]],
                            j->turned, r->w + s->at, r->update, s->at,
                            r->update ? NULL : r->grads + s->at, r->dx[0],
                            pf_exec_scratch(r->e, worker));
}

static void backward(const struct pf_step *s, const struct pf_run *r)
{
    const struct pf_exec *e = r->e;
    struct job j = {.s = s, .r = r, .turned = e->work};
    size_t bias = s->at + e->k->dense_bias(&s->dense);
    pf_real *grad_b = e->work + s->work - s->dense.out;

    e->k->dense_turn(&s->dense, r->n, e->act[s->out], e->grad[s->out], e->work,
                     grad_b);
    j.n_tasks = pf_parallel_tasks(
        e->threads, (s->dense.in + PF_DENSE_ROWS - 1) / PF_DENSE_ROWS);
    pf_parallel_run(e->threads, j.n_tasks, backward_task, &j);
    if (r->update)
        e->k->update(r->update, bias, s->dense.out, grad_b);
    else
        pf_exec_add(r->grads + bias, grad_b, s->dense.out);
}

static const char *method(const struct pf_step *s, const struct pf_kernels *k)
{
    return k->dense_method(&s->dense);
}

const struct pf_step_kind pf_dense_step = {
    .name = "dense",
    .match = match,
    .measure = measure,
    .pack = pack,
    .unpack = unpack,
    .forward = forward,
    .backward = backward,
    .method = method,
};
