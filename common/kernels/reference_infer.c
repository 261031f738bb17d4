/* The reference kernels of models that are used: weights of 16 or 8 bits. */
#include <math.h>

#include "half.h"
#include "reference_inside.h"

void pf_reference_half_widen(size_t n, const uint16_t *h, pf_real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (pf_real)pf_half_value(h[i]);
}

void pf_reference_half_dense(const struct pf_dense *s, size_t n,
                             const pf_real *x, const uint16_t *w,
                             const pf_real *bias, pf_real *y)
{
    for (size_t e = 0; e < n; e++, x += s->in, y += s->out)
        for (size_t o = 0; o < s->out; o++) {
            const uint16_t *at =
                w + o / PF_HALF_OUTS * s->in * PF_HALF_OUTS + o % PF_HALF_OUTS;
            pf_real sum = bias[o];

            for (size_t i = 0; i < s->in; i++)
                if (x[i] != 0)
                    sum += x[i] * (pf_real)pf_half_value(at[i * PF_HALF_OUTS]);
            y[o] = pf_reference_act(s->act, s->slope, sum);
        }
}

pf_real pf_reference_int8_scale(size_t n, const pf_real *x)
{
    float most = 0;

    for (size_t i = 0; i < n; i++) {
        float a = (float)x[i];

        if (!isfinite(a))
            return (pf_real)NAN;
        a = a < 0 ? -a : a;
        most = a > most ? a : most;
    }
    return most < 1e-30f ? 0 : most / 127;
}

void pf_reference_int8_round(size_t n, const pf_real *x, pf_real scale,
                             int8_t *q)
{
    const float inverse = scale > 0 ? 1 / (float)scale : 0;

    for (size_t i = 0; i < n; i++) {
        /* 1.5 2^23: its last bit is worth 1, so that the sum is rounded. */
        float big = (float)x[i] * inverse + 12582912.0f;

        q[i] = scale > 0 ? (int8_t)(big - 12582912.0f) : 0;
    }
}

static int32_t sum_of(const struct pf_int8 *s, const int8_t *x, size_t o)
{
    const int8_t *w =
        s->w + (o / PF_INT8_OUTS * s->rows * s->quads * PF_INT8_OUTS +
                o % PF_INT8_OUTS) *
                   4;
    int32_t sum = 0;

    for (size_t r = 0; r < s->rows; r++)
        for (size_t q = 0; q < s->quads; q++, w += 4 * PF_INT8_OUTS)
            for (size_t j = 0; j < 4; j++)
                sum += x[r * s->row_step + 4 * q + j] * w[j];
    return sum;
}

void pf_reference_int8_sums(const struct pf_int8 *s, const int8_t *x,
                            const pf_real *x_scale, size_t x_scale_step,
                            pf_real *y)
{
    for (size_t i = 0; i < s->n; i++, x += s->step, y += s->out)
        for (size_t o = 0; o < s->out; o++) {
            pf_real scale = x_scale[i * x_scale_step] * s->scale[o];
            pf_real v = (pf_real)sum_of(s, x, o) * scale + s->bias[o];

            y[o] = pf_reference_act(s->act, s->slope, v);
        }
}
