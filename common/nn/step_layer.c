/* Any single layer through its own two passes, on canonical parameters. */
#include "exec.h"

static int match(const struct pf_model *m, const unsigned *uses, unsigned at,
                 struct pf_step *s)
{
    const struct pf_layer *l = &m->layers[at];
    pf_real slope;

    (void)uses;
    s->l = l;
    pf_step_absorb(m, s, l);
    if (l->type->as_act)
        s->act = l->type->as_act(l, &slope);
    return 1;
}

static void measure(struct pf_step *s, const struct pf_kernels *k, size_t chunk)
{
    const struct pf_layer *l = s->l;

    (void)chunk;
    s->n_packed = s->work = l->n_params;
    s->n_trained = l->n_params - l->n_stats;
    if (l->type->side)
        s->side = l->type->side(l) * sizeof(uint32_t);
    if (l->type->scratch)
        s->scratch = l->type->scratch(l, k);
    if (l->n_dims > 1)
        s->macs = (uint64_t)l->fan_in * s->out_size;
}

struct job {
    const struct pf_step *s;
    const struct pf_run *r;
    unsigned n_tasks;
    pf_real *dw;
};

/* The share of task i; dx and dw are the backward pass's. */
static void share(const struct job *j, unsigned i, unsigned worker,
                  struct pf_pass *p)
{
    const struct pf_step *s = j->s;
    const struct pf_exec *e = j->r->e;
    size_t first = j->r->n * i / j->n_tasks;
    size_t end = j->r->n * (i + 1) / j->n_tasks;
    uint32_t *side = s->side_mem;

    *p = (struct pf_pass){.k = e->k, .n = end - first};
    p->w = j->r->w + s->at;
    p->x = e->act[s->in[0]] + first * s->in_size;
    if (s->n_in > 1)
        p->x2 = e->act[s->in[1]] + first * s->in_size;
    p->y = e->act[s->out] + first * s->out_size;
    if (side)
        p->side = side + first * (s->side / sizeof *side);
    p->scratch = pf_exec_scratch(e, worker);
    p->training = e->training;
    p->seed = j->r->seed + s->out; /* each layer draws its own */
    p->first = j->r->first + first;
    if (e->training)
        p->dy = e->grad[s->out] + first * s->out_size;
    if (j->r->dx[0])
        p->dx = j->r->dx[0] + first * s->in_size;
    if (j->r->dx[1])
        p->dx2 = j->r->dx[1] + first * s->in_size;
}

static void forward_task(void *arg, unsigned i, unsigned worker)
{
    const struct job *j = arg;
    struct pf_pass p;

    share(j, i, worker, &p);
    j->s->l->type->forward(j->s->l, &p);
}

static void forward(const struct pf_step *s, const struct pf_run *r)
{
    struct job j = {.s = s, .r = r, .n_tasks = 1};

    if (!s->l->type->whole_batch || !r->e->training)
        j.n_tasks = pf_parallel_tasks(r->e->threads, r->n);
    pf_parallel_run(r->e->threads, j.n_tasks, forward_task, &j);
}

static void backward_task(void *arg, unsigned i, unsigned worker)
{
    const struct job *j = arg;
    struct pf_pass p;

    share(j, i, worker, &p);
    p.dw = j->dw;
    if (j->s->l->n_stats)
        p.stats = j->r->w + j->s->at + j->s->n_trained;
    j->s->l->type->backward(j->s->l, &p);
}

static void backward(const struct pf_step *s, const struct pf_run *r)
{
    const struct pf_exec *e = r->e;
    struct job j = {.s = s, .r = r, .n_tasks = 1};

    if (s->n_packed == 0 && !s->l->type->whole_batch)
        j.n_tasks = pf_parallel_tasks(e->threads, r->n);
    j.dw = r->update ? e->work : r->grads + s->at;
    if (r->update)
        pf_exec_zero(j.dw, s->n_packed);
    pf_parallel_run(e->threads, j.n_tasks, backward_task, &j);
    if (r->update)
        e->k->update(r->update, s->at, s->n_trained, j.dw);
}

const struct pf_step_kind pf_layer_step = {
    .name = "layer",
    .match = match,
    .measure = measure,
    .forward = forward,
    .backward = backward,
};
