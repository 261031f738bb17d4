/* A convolution with the activation and the 2x2 pool behind it. */
#include "exec.h"

/* The gradient of a convolution's weights is summed in groups of examples, each
 * in an array of its own, so that threads can share it; the groups are a
 * function of the number of examples alone, hence so are the bits. */
#define MAX_GROUPS 4

static unsigned groups_of(size_t n)
{
    return n >= 64 ? MAX_GROUPS : n >= 24 ? 2 : 1;
}

static size_t group_begin(size_t n, size_t i)
{
    return n * i / groups_of(n);
}

/* [act] [pool], or [max pool] [act]: the two orders make the same values and
 * the same gradients, since activations here do not fall. */
static int match(const struct pf_model *m, const unsigned *uses, unsigned at,
                 struct pf_step *s)
{
    const struct pf_layer *l = &m->layers[at], *pool;
    struct pf_conv *c = &s->conv;

    if (!l->type->as_conv)
        return 0;
    l->type->as_conv(l, c);
    s->l = l;
    pf_step_absorb(m, s, l);
    pf_step_take_act(m, uses, s, &c->slope);
    pool = pf_step_follower(m, uses, s->out);
    c->pool = PF_POOL_NONE;
    if (pool && pool->type->as_pool2)
        c->pool = pool->type->as_pool2(pool);
    if (c->pool != PF_POOL_NONE) {
        pf_step_absorb(m, s, pool);
        if (c->pool == PF_POOL_MAX2 && s->act == PF_ACT_NONE)
            pf_step_take_act(m, uses, s, &c->slope);
    }
    c->act = s->act;
    c->ph = c->pool == PF_POOL_NONE ? c->oh : c->oh / 2;
    c->pw = c->pool == PF_POOL_NONE ? c->ow : c->ow / 2;
    return 1;
}

static void measure(struct pf_step *s, const struct pf_kernels *k, size_t chunk)
{
    s->n_packed = s->n_trained = k->conv_size(&s->conv);
    s->n_ready = k->conv_ready_size(&s->conv);
    s->side = k->conv_side(&s->conv);
    s->scratch = k->conv_scratch(&s->conv);
    s->work = groups_of(chunk) * s->n_packed;
    s->macs = (uint64_t)s->l->fan_in * s->conv.o * s->conv.oh * s->conv.ow;
}

static void pack(const struct pf_step *s, const struct pf_kernels *k,
                 const pf_real *canonical, pf_real *packed)
{
    k->conv_pack(&s->conv, canonical, canonical + (s->l->bias - s->l->weight),
                 packed);
}

static void unpack(const struct pf_step *s, const struct pf_kernels *k,
                   const pf_real *packed, pf_real *canonical)
{
    k->conv_unpack(&s->conv, packed, canonical,
                   canonical + (s->l->bias - s->l->weight));
}

static void prepare(const struct pf_step *s, const struct pf_kernels *k,
                    const pf_real *packed, pf_real *ready)
{
    k->conv_prepare(&s->conv, packed, ready);
}

static void forward_share(const struct pf_step *s, const struct pf_run *r,
                          size_t first, size_t n, void *scratch)
{
    const struct pf_exec *e = r->e;
    uint8_t *side = s->side_mem;

    e->k->conv_forward(&s->conv, n, e->act[s->in[0]] + first * s->in_size,
                       r->w + s->at, s->ready,
                       e->act[s->out] + first * s->out_size,
                       side + first * s->side, scratch);
}

static void forward(const struct pf_step *s, const struct pf_run *r)
{
    pf_exec_by_example(s, r, forward_share);
}

struct job {
    const struct pf_step *s;
    const struct pf_run *r;
    pf_real *grad; /* of the first group */
};

static void backward_task(void *arg, unsigned i, unsigned worker)
{
    const struct job *j = arg;
    const struct pf_step *s = j->s;
    const struct pf_exec *e = j->r->e;
    size_t first = group_begin(j->r->n, i);
    size_t end = group_begin(j->r->n, i + 1);
    const uint8_t *side = s->side_mem;
    pf_real *grad = j->grad + i * s->n_packed;

    if (j->grad == e->work)
        pf_exec_zero(grad, s->n_packed);
    e->k->conv_backward(
        &s->conv, end - first, e->act[s->in[0]] + first * s->in_size,
        j->r->w + s->at, s->ready, e->act[s->out] + first * s->out_size,
        side + first * s->side, e->grad[s->out] + first * s->out_size,
        j->r->dx[0] ? j->r->dx[0] + first * s->in_size : NULL, grad,
        pf_exec_scratch(e, worker));
}

static void backward(const struct pf_step *s, const struct pf_run *r)
{
    const struct pf_exec *e = r->e;
    unsigned groups = groups_of(r->n);
    struct job j = {.s = s, .r = r};

    /* A single group may add to where the gradients are gathered. */
    j.grad = groups == 1 && !r->update ? r->grads + s->at : e->work;
    pf_parallel_run(e->threads, groups, backward_task, &j);
    for (unsigned g = 1; g < groups; g++)
        pf_exec_add(j.grad, j.grad + g * s->n_packed, s->n_packed);
    if (r->update)
        e->k->update(r->update, s->at, s->n_packed, j.grad);
    else if (j.grad == e->work)
        pf_exec_add(r->grads + s->at, j.grad, s->n_packed);
}

static const char *method(const struct pf_step *s, const struct pf_kernels *k)
{
    return k->conv_method(&s->conv);
}

const struct pf_step_kind pf_conv_step = {
    .name = "conv",
    .match = match,
    .measure = measure,
    .pack = pack,
    .unpack = unpack,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .method = method,
};
