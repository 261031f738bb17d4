/* The oracle: each kernel as the loop that its formula is. Clarity before
 * speed; every other family is tested against these files. */
#include "reference_inside.h"

#include <math.h>
#include <string.h>

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

void pf_reference_pool_forward(const struct pf_pool *s, size_t n,
                               const pf_real *x, pf_real *y, uint32_t *where)
{
    for (size_t i = 0; i < n; i++, x += s->h * s->w * s->c)
        for (size_t oy = 0; oy < s->oh; oy++)
            for (size_t ox = 0; ox < s->ow; ox++)
                for (size_t c = 0; c < s->c; c++)
                    pool_at(s, x, (oy * s->w + ox) * s->stride * s->c + c, y++,
                            where++);
}

void pf_reference_pool_backward(const struct pf_pool *s, size_t n,
                                const pf_real *dy, const uint32_t *where,
                                pf_real *dx)
{
    size_t in = s->h * s->w * s->c, out = s->oh * s->ow * s->c;

    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++, dx += in)
        for (size_t j = 0; j < out; j++)
            dx[*where++] += *dy++;
}

void pf_reference_relu_forward(size_t count, const pf_real *x, pf_real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

void pf_reference_relu_backward(size_t count, const pf_real *y,
                                const pf_real *dy, pf_real *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] <= 0 ? 0 : dy[i];
}

void pf_reference_channels_first(size_t n, size_t c, size_t hw,
                                 const pf_real *x, pf_real *y)
{
    for (size_t i = 0; i < n; i++, x += c * hw, y += c * hw)
        for (size_t j = 0; j < c; j++)
            for (size_t p = 0; p < hw; p++)
                y[j * hw + p] = x[p * c + j];
}

void pf_reference_channels_last(size_t n, size_t c, size_t hw, const pf_real *x,
                                pf_real *y)
{
    pf_reference_channels_first(n, hw, c, x,
                                y); /* the same transposition, other names */
}

static pf_real root(pf_real v)
{
#ifdef PF_REAL_DOUBLE
    return sqrt(v);
#else
    return sqrtf(v);
#endif
}

void pf_reference_update(const struct pf_update *u, size_t at, size_t count,
                         const pf_real *g)
{
    for (size_t i = 0; i < count; i++) {
        size_t j = at + i;
        pf_real d = u->scale * g[i];

        if (u->control)
            d += u->control[j];
        if (u->mu != 0)
            d += u->mu * (u->w[j] - u->anchor[j]);
        if (u->rule == PF_RULE_ADAMW)
            u->w[j] -= u->lr * u->decay * u->w[j];
        else
            d += u->decay * u->w[j];
        if (u->rule == PF_RULE_SGD) {
            u->w[j] -= u->lr * d;
        } else if (u->rule == PF_RULE_MOMENTUM) {
            u->m[j] = u->momentum * u->m[j] + d;
            u->w[j] -= u->lr * u->m[j];
        } else if (u->rule == PF_RULE_NESTEROV) {
            u->m[j] = u->momentum * u->m[j] + d;
            u->w[j] -= u->lr * (d + u->momentum * u->m[j]);
        } else {
            u->m[j] = u->beta1 * u->m[j] + (1 - u->beta1) * d;
            u->v[j] = u->beta2 * u->v[j] + (1 - u->beta2) * (d * d);
            u->w[j] -= u->rate * u->m[j] /
                       (root(u->v[j]) * u->correction + u->epsilon);
        }
    }
}

uint64_t pf_reference_peak(uint64_t rounds, pf_real *x)
{
    pf_real a = *x, acc[8] = {0};

    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < 8; i++)
            acc[i] = acc[i] * a + a;
    for (int i = 0; i < 8; i++)
        *x += acc[i];
    return rounds * 8 * 2;
}

static int everywhere(void)
{
    return 1;
}

const struct pf_kernels pf_kernels_reference = {.name = "reference",
                                                .runs_here = everywhere,
#define PF_KERNEL_ROW(name, type, args) .name = pf_reference_##name,
                                                PF_KERNELS(PF_KERNEL_ROW)
#undef PF_KERNEL_ROW
};
