/* Kernels that treat each value by itself: the optimiser's step, pooling and
 * ReLU as steps of their own, the turn between channels last and first. The
 * same vector arithmetic computes full vectors and the values that are left
 * over, so bits depend neither on where an array begins nor on how it is cut.
 */
#include "vec.h"

/* pf_update's numbers, in all lanes. */
struct factors {
    vec scale, mu, decay, lr, lr_decay, momentum;
    vec beta1, rest1, beta2, rest2, rate, correction, epsilon;
};

/* One vector of weights with all that belongs to it. */
struct weights {
    vec w, m, v, anchor, control;
};

ALWAYS_INLINE void step(enum pf_rule rule, int hooks, const struct factors *f,
                        vec g, struct weights *p)
{
    vec d = f->scale * g;

    if (hooks) {
        d += p->control;
        d = fma_(f->mu, p->w - p->anchor, d);
    }
    if (rule == PF_RULE_ADAMW)
        p->w = fma_(-f->lr_decay, p->w, p->w);
    else
        d = fma_(f->decay, p->w, d);
    switch (rule) {
    case PF_RULE_SGD:
        p->w = fma_(-f->lr, d, p->w);
        break;
    case PF_RULE_MOMENTUM:
        p->m = fma_(f->momentum, p->m, d);
        p->w = fma_(-f->lr, p->m, p->w);
        break;
    case PF_RULE_NESTEROV:
        p->m = fma_(f->momentum, p->m, d);
        p->w = fma_(-f->lr, fma_(f->momentum, p->m, d), p->w);
        break;
    case PF_RULE_ADAM:
    case PF_RULE_ADAMW:
        p->m = fma_(f->beta1, p->m, f->rest1 * d);
        p->v = fma_(f->beta2, p->v, f->rest2 * (d * d));
        p->w -= f->rate * p->m / fma_(vsqrt(p->v), f->correction, f->epsilon);
        break;
    }
}

/* n <= LANES weights from u->w[at]; n is LANES in all calls but the last. */
ALWAYS_INLINE void some(const struct pf_update *u, enum pf_rule rule, int hooks,
                        const struct factors *f, size_t at, size_t n,
                        const float *g)
{
    int has_m = rule != PF_RULE_SGD;
    int has_v = rule == PF_RULE_ADAM || rule == PF_RULE_ADAMW;
    struct weights p = {.w = load_part(u->w + at, n)};

    if (has_m)
        p.m = load_part(u->m + at, n);
    if (has_v)
        p.v = load_part(u->v + at, n);
    if (hooks) {
        /* Without an anchor mu is zero, and the weights are one. */
        p.anchor = u->mu != 0 ? load_part(u->anchor + at, n) : p.w;
        if (u->control)
            p.control = load_part(u->control + at, n);
    }
    step(rule, hooks, f, load_part(g, n), &p);
    store_part(u->w + at, p.w, n);
    if (has_m)
        store_part(u->m + at, p.m, n);
    if (has_v)
        store_part(u->v + at, p.v, n);
}

ALWAYS_INLINE void run(const struct pf_update *u, enum pf_rule rule, int hooks,
                       const struct factors *f, size_t at, size_t count,
                       const float *g)
{
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        some(u, rule, hooks, f, at + i, LANES, g + i);
    if (i < count)
        some(u, rule, hooks, f, at + i, count - i, g + i);
}

ALWAYS_INLINE void by_rule(const struct pf_update *u, int hooks,
                           const struct factors *f, size_t at, size_t count,
                           const float *g)
{
    switch (u->rule) {
    case PF_RULE_SGD:
        run(u, PF_RULE_SGD, hooks, f, at, count, g);
        break;
    case PF_RULE_MOMENTUM:
        run(u, PF_RULE_MOMENTUM, hooks, f, at, count, g);
        break;
    case PF_RULE_NESTEROV:
        run(u, PF_RULE_NESTEROV, hooks, f, at, count, g);
        break;
    case PF_RULE_ADAM:
        run(u, PF_RULE_ADAM, hooks, f, at, count, g);
        break;
    case PF_RULE_ADAMW:
        run(u, PF_RULE_ADAMW, hooks, f, at, count, g);
        break;
    }
}

void PF_NAME(update)(const struct pf_update *u, size_t at, size_t count,
                     const pf_real *g)
{
    struct factors f = {
        .scale = splat(u->scale),
        .mu = splat(u->mu),
        .decay = splat(u->decay),
        .lr = splat(u->lr),
        .lr_decay = splat(u->lr * u->decay),
        .momentum = splat(u->momentum),
        .beta1 = splat(u->beta1),
        .rest1 = splat(1 - u->beta1),
        .beta2 = splat(u->beta2),
        .rest2 = splat(1 - u->beta2),
        .rate = splat(u->rate),
        .correction = splat(u->correction),
        .epsilon = splat(u->epsilon),
    };

    if (u->control || u->mu != 0)
        by_rule(u, 1, &f, at, count, g);
    else
        by_rule(u, 0, &f, at, count, g);
}

/* LANES channels of one window: the first of equals wins, NaN beats all. */
ALWAYS_INLINE void pool_lanes(const struct pf_pool *s, const float *x,
                              uint32_t at, float *y, uint32_t *where)
{
    vec best = load(x + at), v;
    ivec winner, here, better;

    for (uint32_t l = 0; l < LANES; l++)
        winner[l] = at + l;
    here = winner;
    for (size_t ky = 0; ky < s->size; ky++)
        for (size_t kx = 0; kx < s->size; kx++) {
            size_t step = (ky * s->w + kx) * s->c;

            v = load(x + at + step);
            better = (ivec)(v > best) | (ivec)(v != v);
            best = choose(better, v, best);
            winner = (better & (here + (uint32_t)step)) | (~better & winner);
        }
    store(y, best);
    memcpy(where, &winner, sizeof winner);
}

/* One channel, where there are fewer than LANES. */
static void pool_one(const struct pf_pool *s, const float *x, size_t at,
                     float *y, uint32_t *where)
{
    float best = x[at];
    size_t winner = at, j;

    for (size_t ky = 0; ky < s->size; ky++)
        for (size_t kx = 0; kx < s->size; kx++) {
            j = at + (ky * s->w + kx) * s->c;
            if (x[j] > best || x[j] != x[j]) {
                best = x[j];
                winner = j;
            }
        }
    *y = best;
    *where = (uint32_t)winner;
}

void PF_NAME(pool_forward)(const struct pf_pool *s, size_t n, const pf_real *x,
                           pf_real *y, uint32_t *where)
{
    size_t c, windows = s->oh * s->ow;

    for (size_t i = 0; i < n; i++, x += s->h * s->w * s->c)
        for (size_t p = 0; p < windows; p++, y += s->c, where += s->c) {
            size_t at = (p / s->ow * s->w + p % s->ow) * s->stride * s->c;

            for (c = 0; c + LANES <= s->c; c += LANES)
                pool_lanes(s, x, (uint32_t)(at + c), y + c, where + c);
            if (c == s->c)
                continue;
            if (s->c >= LANES) { /* the last ones, some of them again */
                c = s->c - LANES;
                pool_lanes(s, x, (uint32_t)(at + c), y + c, where + c);
            } else {
                for (; c < s->c; c++)
                    pool_one(s, x, at + c, y + c, where + c);
            }
        }
}

void PF_NAME(pool_backward)(const struct pf_pool *s, size_t n,
                            const pf_real *dy, const uint32_t *where,
                            pf_real *dx)
{
    size_t in = s->h * s->w * s->c, out = s->oh * s->ow * s->c;

    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++, dx += in)
        for (size_t j = 0; j < out; j++)
            dx[*where++] += *dy++;
}

/* NaN is not below zero and stays. */
ALWAYS_INLINE vec relu(vec x)
{
    return (vec)((ivec)x & ~(ivec)(x < (vec){0}));
}

void PF_NAME(relu_forward)(size_t count, const pf_real *x, pf_real *y)
{
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        store(y + i, relu(load(x + i)));
    if (i < count)
        store_part(y + i, relu(load_part(x + i, count - i)), count - i);
}

ALWAYS_INLINE vec relu_slope(vec y, vec dy)
{
    return (vec)((ivec)dy & ~(ivec)(y <= (vec){0}));
}

void PF_NAME(relu_backward)(size_t count, const pf_real *y, const pf_real *dy,
                            pf_real *dx)
{
    size_t i = 0, left;

    for (; i + LANES <= count; i += LANES)
        store(dx + i, relu_slope(load(y + i), load(dy + i)));
    left = count - i;
    if (left > 0)
        store_part(dx + i,
                   relu_slope(load_part(y + i, left), load_part(dy + i, left)),
                   left);
}

/* y [columns][rows] = x [rows][columns], in squares that stay in the cache. */
static void turn(size_t rows, size_t columns, const float *x, float *y)
{
    enum { SIDE = 16 };

    for (size_t r0 = 0; r0 < rows; r0 += SIDE)
        for (size_t c0 = 0; c0 < columns; c0 += SIDE) {
            size_t r1 = r0 + SIDE < rows ? r0 + SIDE : rows;
            size_t c1 = c0 + SIDE < columns ? c0 + SIDE : columns;

            for (size_t c = c0; c < c1; c++)
                for (size_t r = r0; r < r1; r++)
                    y[c * rows + r] = x[r * columns + c];
        }
}

void PF_NAME(channels_first)(size_t n, size_t c, size_t hw, const pf_real *x,
                             pf_real *y)
{
    for (size_t i = 0; i < n; i++, x += c * hw, y += c * hw)
        turn(hw, c, x, y);
}

void PF_NAME(channels_last)(size_t n, size_t c, size_t hw, const pf_real *x,
                            pf_real *y)
{
    for (size_t i = 0; i < n; i++, x += c * hw, y += c * hw)
        turn(c, hw, x, y);
}
