#include "portable.h"

#include <math.h>

typedef uint32_t ivec __attribute__((vector_size(LANES * sizeof(uint32_t))));

/* Four channels of one window, beginning at x[at]. */
ALWAYS_INLINE void pool_four(const struct pf_pool *s, const pf_real *x,
                             size_t at, pf_real *y, uint32_t *where)
{
    const ivec lane = {0, 1, 2, 3};
    vec best = load(x + at), v;
    ivec index = lane + (uint32_t)at, wins, old;
    size_t j;

    for (size_t ky = 0; ky < s->size; ky++)
        for (size_t kx = 0; kx < s->size; kx++) {
            j = at + (ky * s->w + kx) * s->c;
            v = load(x + j);
            wins = (ivec)(v > best) | (ivec)(v != v);
            memcpy(&old, &best, sizeof old);
            old = (old & ~wins) | ((ivec)v & wins);
            memcpy(&best, &old, sizeof best);
            index = (index & ~wins) | ((lane + (uint32_t)j) & wins);
        }
    store(y, best);
    memcpy(where, &index, sizeof index);
}

static void pool_one(const struct pf_pool *s, const pf_real *x, size_t at,
                     pf_real *y, uint32_t *where)
{
    size_t best = at, j;

    for (size_t ky = 0; ky < s->size; ky++)
        for (size_t kx = 0; kx < s->size; kx++) {
            j = at + (ky * s->w + kx) * s->c;
            if (x[j] > x[best] || x[j] != x[j])
                best = j;
        }
    *y = x[best];
    *where = (uint32_t)best;
}

void pf_portable_pool_forward(const struct pf_pool *s, size_t n,
                              const pf_real *x, pf_real *y, uint32_t *where)
{
    size_t pixels = s->oh * s->ow, at, c;

    for (size_t i = 0; i < n; i++, x += s->h * s->w * s->c)
        for (size_t q = 0; q < pixels; q++, y += s->c, where += s->c) {
            at = (q / s->ow * s->w + q % s->ow) * s->stride * s->c;
            for (c = 0; c + LANES <= s->c; c += LANES)
                pool_four(s, x, at + c, y + c, where + c);
            if (c < s->c && s->c >= LANES) { /* the last four once more */
                c = s->c - LANES;
                pool_four(s, x, at + c, y + c, where + c);
                c = s->c;
            }
            for (; c < s->c; c++)
                pool_one(s, x, at + c, y + c, where + c);
        }
}

void pf_portable_pool_backward(const struct pf_pool *s, size_t n,
                               const pf_real *dy, const uint32_t *where,
                               pf_real *dx)
{
    size_t in = s->h * s->w * s->c, out = s->oh * s->ow * s->c;

    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++, dx += in)
        for (size_t j = 0; j < out; j++)
            dx[*where++] += *dy++;
}

/* S examples times O outputs; the lanes split the sum over in. */
ALWAYS_INLINE void dot_tile(const int S, const int O, size_t in, size_t out,
                            const pf_real *x, const pf_real *w,
                            const pf_real *b, pf_real *y)
{
    vec acc[2][4] = {{{0}}};
    size_t j = 0;

    for (; j + LANES <= in; j += LANES) {
        vec wv[4];
        for (int o = 0; o < O; o++)
            wv[o] = load(w + (size_t)o * in + j);
        for (int i = 0; i < S; i++) {
            vec xv = load(x + (size_t)i * in + j);
            for (int o = 0; o < O; o++)
                acc[i][o] += xv * wv[o];
        }
    }
    for (int i = 0; i < S; i++)
        for (int o = 0; o < O; o++) {
            vec a = acc[i][o];
            pf_real sum = (a[0] + a[1]) + (a[2] + a[3]);
            for (size_t k = j; k < in; k++)
                sum += x[(size_t)i * in + k] * w[(size_t)o * in + k];
            y[(size_t)i * out + (size_t)o] = sum + b[o];
        }
}

void pf_portable_dense_forward(size_t n, size_t in, size_t out,
                               const pf_real *x, const pf_real *w,
                               const pf_real *b, pf_real *y)
{
    size_t o = 0, i;

    for (; o + 4 <= out; o += 4) {
        for (i = 0; i + 2 <= n; i += 2)
            dot_tile(2, 4, in, out, x + i * in, w + o * in, b + o,
                     y + i * out + o);
        for (; i < n; i++)
            dot_tile(1, 4, in, out, x + i * in, w + o * in, b + o,
                     y + i * out + o);
    }
    for (; o < out; o++)
        for (i = 0; i < n; i++)
            dot_tile(1, 1, in, out, x + i * in, w + o * in, b + o,
                     y + i * out + o);
}

static void add_terms(const struct term *terms, size_t n, size_t len,
                      const pf_real *x, pf_real *y)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        add_rows(4, terms + i, len, x, y);
    for (; i < n; i++)
        add_rows(1, terms + i, len, x, y);
}

#define DENSE_TERMS 256

/* y[0..len) += sum over i < n with g[i * g_step] != 0 of g * x[i * len] */
static void add_products(size_t n, const pf_real *g, size_t g_step, size_t len,
                         const pf_real *x, pf_real *y)
{
    struct term terms[DENSE_TERMS];
    size_t i = 0, first, n_terms;

    while (i < n) {
        first = i;
        n_terms = 0;
        for (; i < n && i - first < DENSE_TERMS; i++) {
            terms[n_terms].at = (uint32_t)((i - first) * len);
            terms[n_terms].g = g[i * g_step];
            n_terms += g[i * g_step] != 0;
        }
        add_terms(terms, n_terms, len, x + first * len, y);
    }
}

void pf_portable_dense_backward_weights(size_t n, size_t in, size_t out,
                                        const pf_real *x, const pf_real *dy,
                                        pf_real *dw, pf_real *db)
{
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < n; i++)
            db[o] += dy[i * out + o];
        add_products(n, dy + o, out, in, x, dw + o * in);
    }
}

void pf_portable_dense_backward_input(size_t n, size_t in, size_t out,
                                      const pf_real *w, const pf_real *dy,
                                      pf_real *dx)
{
    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++)
        add_products(out, dy + i * out, 1, in, w, dx + i * in);
}

void pf_portable_relu_forward(size_t count, const pf_real *x, pf_real *y)
{
    if (x == y) /* told apart so that both loops become vectors */
        for (size_t i = 0; i < count; i++)
            y[i] = y[i] < 0 ? 0 : y[i];
    else
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] < 0 ? 0 : x[i];
}

void pf_portable_relu_backward(size_t count, const pf_real *y,
                               const pf_real *dy, pf_real *dx)
{
    if (dy == dx)
        for (size_t i = 0; i < count; i++)
            dx[i] = y[i] <= 0 ? 0 : dx[i];
    else
        for (size_t i = 0; i < count; i++)
            dx[i] = y[i] <= 0 ? 0 : dy[i];
}

void pf_portable_channels_first(size_t n, size_t c, size_t hw, const pf_real *x,
                                pf_real *y)
{
    for (size_t i = 0; i < n; i++, x += c * hw, y += c * hw)
        for (size_t p = 0; p < hw; p++)
            for (size_t j = 0; j < c; j++)
                y[j * hw + p] = x[p * c + j];
}

void pf_portable_channels_last(size_t n, size_t c, size_t hw, const pf_real *x,
                               pf_real *y)
{
    pf_portable_channels_first(n, hw, c, x,
                               y); /* the same transposition, other names */
}

void pf_portable_sgd(const struct pf_sgd_step *s, size_t count,
                     const pf_real *g, pf_real *w, pf_real *v)
{
    pf_real lr = s->lr, decay = s->weight_decay, momentum = s->momentum;

    if (!v) {
        for (size_t i = 0; i < count; i++)
            w[i] -= lr * (g[i] + decay * w[i]);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        v[i] = momentum * v[i] + (g[i] + decay * w[i]);
        w[i] -= lr * v[i];
    }
}

void pf_portable_adam(const struct pf_adam_step *s, size_t count,
                      const pf_real *restrict g, pf_real *restrict w,
                      pf_real *restrict m, pf_real *restrict v)
{
    const struct pf_adam_step k = *s;
    pf_real c1 = 1 - k.beta1, c2 = 1 - k.beta2;

    for (size_t i = 0; i < count; i++) {
        pf_real d = g[i] + k.weight_decay * w[i];
        pf_real mi = k.beta1 * m[i] + c1 * d;
        pf_real vi = k.beta2 * v[i] + c2 * (d * d);
        m[i] = mi;
        v[i] = vi;
        w[i] -= k.rate * mi / (sqrtf(vi) * k.correction + k.epsilon);
    }
}

const struct pf_kernels pf_kernels_portable = {.name = "portable",
#define PF_KERNEL_ROW(name, type, args) .name = pf_portable_##name,
                                               PF_KERNELS(PF_KERNEL_ROW)
#undef PF_KERNEL_ROW
};
