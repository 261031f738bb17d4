#include "bench_room.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"

void room_call_conv_prepare(struct room *r)
{
    r->k->conv_prepare(&r->conv, r->packed, r->ready);
}

void room_call_conv_forward(struct room *r)
{
    r->k->conv_forward(&r->conv, r->n, r->x, r->packed, r->ready, r->y, r->side,
                       r->scratch);
}

void room_call_conv_backward(struct room *r)
{
    r->k->conv_backward(&r->conv, r->n, r->x, r->packed, r->ready, r->y,
                        r->side, r->dy, r->dx, r->grad, r->scratch);
}

void room_call_dense_forward(struct room *r)
{
    r->k->dense_forward(&r->dense, r->n, r->x, r->packed, r->y, r->scratch);
}

void room_call_dense_turn(struct room *r)
{
    r->k->dense_turn(&r->dense, r->n, r->y, r->dy, r->turned, r->grad);
}

/* With the step fused, as in training. */
void room_call_dense_backward(struct room *r)
{
    r->k->dense_backward(&r->dense, r->n, 0, r->dense.in, r->x, r->turned,
                         r->packed, &r->update, 0, NULL, r->dx, r->scratch);
}

void room_call_pool_forward(struct room *r)
{
    r->k->pool_forward(&r->pool, r->n, r->x, r->y, r->where);
}

void room_call_pool_backward(struct room *r)
{
    r->k->pool_backward(&r->pool, r->n, r->dy, r->where, r->dx);
}

static size_t values(const struct room *r)
{
    return r->n * r->pool.c * r->pool.h * r->pool.w;
}

void room_call_relu_forward(struct room *r)
{
    r->k->relu_forward(values(r), r->x, r->y);
}

void room_call_relu_backward(struct room *r)
{
    r->k->relu_backward(values(r), r->y, r->dy, r->dx);
}

void room_call_channels_first(struct room *r)
{
    r->k->channels_first(r->n, r->pool.c, r->pool.h * r->pool.w, r->x, r->y);
}

void room_call_channels_last(struct room *r)
{
    r->k->channels_last(r->n, r->pool.c, r->pool.h * r->pool.w, r->x, r->y);
}

void room_call_update(struct room *r)
{
    r->k->update(&r->update, 0, r->n, r->grad);
}

/* ---- their arrays ---- */

static void *take(size_t bytes)
{
    size_t whole = (bytes + 64) / 64 * 64;
    void *p = aligned_alloc(64, whole);

    if (p)
        memset(p, 0, whole);
    return p;
}

static pf_real *reals(size_t n)
{
    return take(n * sizeof(pf_real));
}

void room_free(struct room *r)
{
    free(r->packed);
    free(r->ready);
    free(r->x);
    free(r->y);
    free(r->dy);
    free(r->dx);
    free(r->grad);
    free(r->turned);
    free(r->m);
    free(r->v);
    free(r->side);
    free(r->where);
    free(r->scratch);
    memset(r, 0, sizeof *r);
}

/* [lo, lo + width), every other one zero when `sparse`. */
static void draw(uint64_t seed, int sparse, float lo, float width, pf_real *to,
                 size_t n)
{
    struct pf_rng r = pf_rng_make(seed, 0, 0, PF_RNG_TEST);

    for (size_t i = 0; to && i < n; i++) {
        float u = pf_rng_float(&r, i);

        to[i] = sparse && pf_rng_u32(&r, n + i) % 2 ? 0 : lo + width * u;
    }
}

/* Values as in training: an input that came out of a ReLU is half zeros. */
static void fill(struct room *r, size_t in, size_t out, int sparse)
{
    draw(1, sparse, 0, 1, r->x, r->n * in);
    draw(2, 0, -0.01f, 0.02f, r->dy, r->n * out);
}

/* Canonical weights, which each family packs its own way. */
static int pack(struct room *r, size_t n_w, size_t n_b, int conv)
{
    pf_real *w = reals(n_w), *b = reals(n_b);

    if (w && b && r->packed) {
        draw(3, 0, -0.1f, 0.2f, w, n_w);
        draw(4, 0, -0.1f, 0.2f, b, n_b);
        if (conv)
            r->k->conv_pack(&r->conv, w, b, r->packed);
        else
            r->k->dense_pack(&r->dense, w, b, r->packed);
    }
    free(w);
    free(b);
    return w && b && r->packed;
}

int room_conv(struct room *r, int wants_dx)
{
    const struct pf_conv *s = &r->conv;
    size_t in = s->c * s->h * s->w, out = s->o * s->ph * s->pw, n = r->n;

    r->packed = reals(r->k->conv_size(s));
    r->ready = reals(r->k->conv_ready_size(s));
    r->x = reals(n * in);
    r->y = reals(n * out);
    r->dy = reals(n * out);
    r->dx = wants_dx ? reals(n * in) : NULL;
    r->grad = reals(r->k->conv_size(s));
    r->side = take(n * r->k->conv_side(s));
    r->scratch = take(r->k->conv_scratch(s));
    fill(r, in, out, s->zero_is_dead);
    return pack(r, s->o * s->c * s->k * s->k, s->o, 1) && r->ready && r->x &&
           r->y && r->dy && (r->dx || !wants_dx) && r->grad && r->side &&
           r->scratch;
}

int room_dense(struct room *r, int wants_dx)
{
    const struct pf_dense *s = &r->dense;
    size_t n = r->n;

    r->packed = reals(r->k->dense_size(s));
    r->x = reals(n * s->in);
    r->y = reals(n * s->out);
    r->dy = reals(n * s->out);
    r->dx = wants_dx ? reals(n * s->in) : NULL;
    r->grad = reals(s->out);
    r->turned = reals(r->k->dense_turn_size(s, n));
    r->scratch = take(r->k->dense_scratch(s, n));
    /* A step that changes nothing costs what any other does. */
    r->update = (struct pf_update){.rule = PF_RULE_SGD, .scale = 1};
    r->update.w = r->packed;
    fill(r, s->in, s->out, s->zero_is_dead);
    return pack(r, s->in * s->out, s->out, 0) && r->x && r->y && r->dy &&
           (r->dx || !wants_dx) && r->grad && r->turned && r->scratch;
}

int room_simple(struct room *r)
{
    const struct pf_pool *s = &r->pool;
    size_t in = s->c * s->h * s->w, n = r->n;

    r->x = reals(n * in);
    r->y = reals(n * in);
    r->dy = reals(n * in);
    r->dx = reals(n * in);
    r->where = take(n * s->c * s->oh * s->ow * sizeof *r->where);
    fill(r, in, in, 1);
    return r->x && r->y && r->dy && r->dx && r->where;
}

/* n is here the number of parameters. */
int room_update(struct room *r, enum pf_rule rule)
{
    r->packed = reals(r->n);
    r->grad = reals(r->n);
    r->m = reals(r->n);
    r->v = reals(r->n);
    draw(5, 0, -0.01f, 0.02f, r->grad, r->grad ? r->n : 0);
    r->update = (struct pf_update){.rule = rule,
                                   .momentum = 0.9f,
                                   .beta1 = 0.9f,
                                   .beta2 = 0.999f,
                                   .epsilon = 1e-8f,
                                   .correction = 1,
                                   .scale = 1,
                                   .w = r->packed,
                                   .m = r->m,
                                   .v = r->v};
    return r->packed && r->grad && r->m && r->v;
}
