/* The oracle: each kernel as the loop that its formula is. Clarity before
 * speed; every other family is tested against this file. */
#include "kernels.h"

#include <math.h>
#include <string.h>

static size_t conv_scratch(const struct pf_conv *s)
{
    (void)s;
    return 0;
}

/* One output value and its share of all three products; whichever of the
 * pointers is not NULL is added to. Indices as in kernels.h. */
struct conv_arrays {
    const pf_real *x, *w;
    pf_real *y, *dw, *dx;
};

static void conv_at(const struct pf_conv *s, size_t oy, size_t ox, size_t o,
                    const struct conv_arrays *a, pf_real g)
{
    for (size_t ky = 0; ky < s->k; ky++)
        for (size_t kx = 0; kx < s->k; kx++)
            for (size_t c = 0; c < s->c; c++) {
                /* Above or left of the image wraps to a huge number. */
                size_t iy = oy * s->stride + ky - s->pad;
                size_t ix = ox * s->stride + kx - s->pad;
                int inside = iy < s->h && ix < s->w;
                size_t xi = inside ? (iy * s->w + ix) * s->c + c : 0;
                size_t wi = ((o * s->c + c) * s->k + ky) * s->k + kx;

                if (a->y)
                    *a->y += (inside ? a->x[xi] : 0) * a->w[wi];
                if (a->dw)
                    a->dw[wi] += g * (inside ? a->x[xi] : 0);
                if (a->dx && inside)
                    a->dx[xi] += g * a->w[wi];
            }
}

static void conv_forward(const struct pf_conv *s, size_t n, const pf_real *x,
                         const pf_real *w, const pf_real *b, pf_real *y,
                         void *scratch)
{
    struct conv_arrays a = {.w = w};

    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        a.x = x + i * s->h * s->w * s->c;
        for (size_t oy = 0; oy < s->oh; oy++)
            for (size_t ox = 0; ox < s->ow; ox++)
                for (size_t o = 0; o < s->o; o++) {
                    a.y = y++;
                    *a.y = b[o];
                    conv_at(s, oy, ox, o, &a, 0);
                }
    }
}

static void conv_backward_weights(const struct pf_conv *s, size_t n,
                                  const pf_real *x, const pf_real *dy,
                                  pf_real *dw, pf_real *db, void *scratch)
{
    struct conv_arrays a = {.dw = dw};

    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        a.x = x + i * s->h * s->w * s->c;
        for (size_t oy = 0; oy < s->oh; oy++)
            for (size_t ox = 0; ox < s->ow; ox++)
                for (size_t o = 0; o < s->o; o++) {
                    db[o] += *dy;
                    if (*dy != 0)
                        conv_at(s, oy, ox, o, &a, *dy);
                    dy++;
                }
    }
}

static void conv_backward_input(const struct pf_conv *s, size_t n,
                                const pf_real *w, const pf_real *dy,
                                pf_real *dx, void *scratch)
{
    size_t in = s->h * s->w * s->c;
    struct conv_arrays a = {.w = w};

    (void)scratch;
    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++) {
        a.dx = dx + i * in;
        for (size_t oy = 0; oy < s->oh; oy++)
            for (size_t ox = 0; ox < s->ow; ox++)
                for (size_t o = 0; o < s->o; o++, dy++)
                    if (*dy != 0)
                        conv_at(s, oy, ox, o, &a, *dy);
    }
}

static void pool_at(const struct pf_pool *s, const pf_real *x, size_t at,
                    pf_real *y, uint32_t *where)
{
    size_t j;

    *y = x[at];
    *where = (uint32_t)at;
    for (size_t ky = 0; ky < s->size; ky++)
        for (size_t kx = 0; kx < s->size; kx++) {
            j = at + (ky * s->w + kx) * s->c;
            if (x[j] > *y || x[j] != x[j]) {
                *y = x[j];
                *where = (uint32_t)j;
            }
        }
}

static void pool_forward(const struct pf_pool *s, size_t n, const pf_real *x,
                         pf_real *y, uint32_t *where)
{
    for (size_t i = 0; i < n; i++, x += s->h * s->w * s->c)
        for (size_t oy = 0; oy < s->oh; oy++)
            for (size_t ox = 0; ox < s->ow; ox++)
                for (size_t c = 0; c < s->c; c++)
                    pool_at(s, x, (oy * s->w + ox) * s->stride * s->c + c, y++,
                            where++);
}

static void pool_backward(const struct pf_pool *s, size_t n, const pf_real *dy,
                          const uint32_t *where, pf_real *dx)
{
    size_t in = s->h * s->w * s->c, out = s->oh * s->ow * s->c;

    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++, dx += in)
        for (size_t j = 0; j < out; j++)
            dx[*where++] += *dy++;
}

static void dense_forward(size_t n, size_t in, size_t out, const pf_real *x,
                          const pf_real *w, const pf_real *b, pf_real *y)
{
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < out; o++) {
            pf_real sum = b[o];
            for (size_t j = 0; j < in; j++)
                sum += x[i * in + j] * w[o * in + j];
            y[i * out + o] = sum;
        }
}

static void dense_backward_weights(size_t n, size_t in, size_t out,
                                   const pf_real *x, const pf_real *dy,
                                   pf_real *dw, pf_real *db)
{
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < out; o++) {
            pf_real g = dy[i * out + o];
            db[o] += g;
            if (g == 0)
                continue;
            for (size_t j = 0; j < in; j++)
                dw[o * in + j] += g * x[i * in + j];
        }
}

static void dense_backward_input(size_t n, size_t in, size_t out,
                                 const pf_real *w, const pf_real *dy,
                                 pf_real *dx)
{
    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < out; o++) {
            pf_real g = dy[i * out + o];
            if (g == 0)
                continue;
            for (size_t j = 0; j < in; j++)
                dx[i * in + j] += g * w[o * in + j];
        }
}

static void relu_forward(size_t count, const pf_real *x, pf_real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_backward(size_t count, const pf_real *y, const pf_real *dy,
                          pf_real *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] <= 0 ? 0 : dy[i];
}

static void channels_first(size_t n, size_t c, size_t hw, const pf_real *x,
                           pf_real *y)
{
    for (size_t i = 0; i < n; i++, x += c * hw, y += c * hw)
        for (size_t j = 0; j < c; j++)
            for (size_t p = 0; p < hw; p++)
                y[j * hw + p] = x[p * c + j];
}

static void channels_last(size_t n, size_t c, size_t hw, const pf_real *x,
                          pf_real *y)
{
    channels_first(n, hw, c, x, y); /* the same transposition, other names */
}

static void sgd(const struct pf_sgd_step *s, size_t count, const pf_real *g,
                pf_real *w, pf_real *v)
{
    for (size_t i = 0; i < count; i++) {
        pf_real step = g[i] + s->weight_decay * w[i];
        if (v)
            step = v[i] = s->momentum * v[i] + step;
        w[i] -= s->lr * step;
    }
}

static void adam(const struct pf_adam_step *s, size_t count, const pf_real *g,
                 pf_real *w, pf_real *m, pf_real *v)
{
    for (size_t i = 0; i < count; i++) {
        pf_real d = g[i] + s->weight_decay * w[i];
        m[i] = s->beta1 * m[i] + (1 - s->beta1) * d;
        v[i] = s->beta2 * v[i] + (1 - s->beta2) * (d * d);
#ifdef PF_REAL_DOUBLE
        w[i] -= s->rate * m[i] / (sqrt(v[i]) * s->correction + s->epsilon);
#else
        w[i] -= s->rate * m[i] / (sqrtf(v[i]) * s->correction + s->epsilon);
#endif
    }
}

const struct pf_kernels pf_kernels_reference = {.name = "reference",
#define PF_KERNEL_ROW(name, type, args) .name = name,
                                                PF_KERNELS(PF_KERNEL_ROW)
#undef PF_KERNEL_ROW
};
