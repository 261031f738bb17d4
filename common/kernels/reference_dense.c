/* The oracle of a dense layer with its activation. Packed order is the
 * canonical one, weights then bias; the gradient by the sums is turned into
 * [n][out]. */
#include "reference_inside.h"

#include <string.h>

size_t pf_reference_dense_bias(const struct pf_dense *s)
{
    return s->in * s->out;
}

size_t pf_reference_dense_size(const struct pf_dense *s)
{
    return s->in * s->out + s->out;
}

void pf_reference_dense_pack(const struct pf_dense *s, const pf_real *w,
                             const pf_real *b, pf_real *packed)
{
    memcpy(packed, w, s->in * s->out * sizeof *w);
    memcpy(packed + s->in * s->out, b, s->out * sizeof *b);
}

void pf_reference_dense_unpack(const struct pf_dense *s, const pf_real *packed,
                               pf_real *w, pf_real *b)
{
    memcpy(w, packed, s->in * s->out * sizeof *w);
    memcpy(b, packed + s->in * s->out, s->out * sizeof *b);
}

size_t pf_reference_dense_scratch(const struct pf_dense *s, size_t n)
{
    (void)s;
    (void)n;
    return 0;
}

const char *pf_reference_dense_method(const struct pf_dense *s)
{
    (void)s;
    return "plain loops";
}

/* Where the file has the weights of row j of the image: C, H, W. */
static size_t column(const struct pf_dense *s, size_t j)
{
    return j % s->c * s->hw + j / s->c;
}

void pf_reference_dense_forward(const struct pf_dense *s, size_t n,
                                const pf_real *x, const pf_real *packed,
                                pf_real *y, void *scratch)
{
    const pf_real *b = packed + s->in * s->out;

    (void)scratch;
    for (size_t i = 0; i < n; i++, x += s->in)
        for (size_t o = 0; o < s->out; o++) {
            pf_real sum = b[o];

            for (size_t j = 0; j < s->in; j++)
                sum += x[j] * packed[o * s->in + column(s, j)];
            *y++ = pf_reference_act(s->act, s->slope, sum);
        }
}

size_t pf_reference_dense_turn_size(const struct pf_dense *s, size_t n)
{
    return n * s->out;
}

void pf_reference_dense_turn(const struct pf_dense *s, size_t n,
                             const pf_real *y, const pf_real *dy,
                             pf_real *turned, pf_real *grad_b)
{
    memset(grad_b, 0, s->out * sizeof *grad_b);
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < s->out; o++, y++, dy++) {
            pf_real g = *dy;

            if (*y <= 0 && s->act != PF_ACT_NONE)
                g = s->act == PF_ACT_RELU ? 0 : s->slope * g;
            *turned++ = g;
            grad_b[o] += g;
        }
}

/* The gradient of the weight from input j to output o. */
static pf_real slope_of(const struct pf_dense *s, size_t n, size_t j, size_t o,
                        const pf_real *x, const pf_real *turned)
{
    pf_real sum = 0;

    for (size_t i = 0; i < n; i++) {
        pf_real g = turned[i * s->out + o];
        if (g != 0)
            sum += g * x[i * s->in + j];
    }
    return sum;
}

void pf_reference_dense_backward(const struct pf_dense *s, size_t n,
                                 size_t first, size_t end, const pf_real *x,
                                 const pf_real *turned, const pf_real *packed,
                                 const struct pf_update *update, size_t at,
                                 pf_real *grad, pf_real *dx, void *scratch)
{
    (void)scratch;
    for (size_t j = first; j < end; j++) {
        size_t to = column(s, j);

        for (size_t i = 0; dx && i < n; i++) {
            pf_real sum = 0;

            for (size_t o = 0; o < s->out; o++)
                if (turned[i * s->out + o] != 0)
                    sum += turned[i * s->out + o] * packed[o * s->in + to];
            dx[i * s->in + j] = sum;
        }
        for (size_t o = 0; o < s->out; o++) {
            pf_real g = slope_of(s, n, j, o, x, turned);

            if (update)
                pf_reference_update(update, at + o * s->in + to, 1, &g);
            else
                grad[o * s->in + to] += g;
        }
    }
}
