/* The oracle of a convolution with its activation and pool: the loops that the
 * formula is. Packed order is the canonical one, weights then bias; `side`
 * holds, for each output value, bit p: place p of its window takes part in the
 * gradient (the winner of a maximum, every place of an average), and bit 4 + p:
 * the activation's input there was not positive. */
#include "reference_inside.h"

#include <string.h>

static size_t n_weights(const struct pf_conv *s)
{
    return s->o * s->c * s->k * s->k;
}

size_t pf_reference_conv_size(const struct pf_conv *s)
{
    return n_weights(s) + s->o;
}

void pf_reference_conv_pack(const struct pf_conv *s, const pf_real *w,
                            const pf_real *b, pf_real *packed)
{
    memcpy(packed, w, n_weights(s) * sizeof *w);
    memcpy(packed + n_weights(s), b, s->o * sizeof *b);
}

void pf_reference_conv_unpack(const struct pf_conv *s, const pf_real *packed,
                              pf_real *w, pf_real *b)
{
    memcpy(w, packed, n_weights(s) * sizeof *w);
    memcpy(b, packed + n_weights(s), s->o * sizeof *b);
}

size_t pf_reference_conv_ready_size(const struct pf_conv *s)
{
    (void)s;
    return 0;
}

void pf_reference_conv_prepare(const struct pf_conv *s, const pf_real *packed,
                               pf_real *ready)
{
    (void)s;
    (void)packed;
    (void)ready;
}

size_t pf_reference_conv_scratch(const struct pf_conv *s)
{
    (void)s;
    return 0;
}

size_t pf_reference_conv_side(const struct pf_conv *s)
{
    return s->ph * s->pw * s->o;
}

const char *pf_reference_conv_method(const struct pf_conv *s)
{
    (void)s;
    return "plain loops";
}

/* Places of a window: 4 under a pool, else 1. */
static size_t places(const struct pf_conv *s)
{
    return s->pool == PF_POOL_NONE ? 1 : 4;
}

/* Row and column of place p in the window of output (py, px). */
static void place(const struct pf_conv *s, size_t py, size_t px, size_t p,
                  size_t *oy, size_t *ox)
{
    size_t step = s->pool == PF_POOL_NONE ? 1 : 2;

    *oy = py * step + p / 2;
    *ox = px * step + p % 2;
}

/* Whichever of y, dw, dx is not NULL is added to. */
struct arrays {
    const pf_real *x, *w;
    pf_real *y, *dw, *dx;
};

static void window(const struct pf_conv *s, size_t oy, size_t ox, size_t o,
                   const struct arrays *a, pf_real g)
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

static pf_real output(const struct pf_conv *s, size_t py, size_t px, size_t o,
                      struct arrays a, pf_real bias, uint8_t *side)
{
    pf_real best = 0, sum = 0, z, v;
    size_t n = places(s), winner = 0, oy, ox;
    unsigned dead = 0;

    for (size_t p = 0; p < n; p++) {
        place(s, py, px, p, &oy, &ox);
        z = bias;
        a.y = &z;
        window(s, oy, ox, o, &a, 0);
        v = pf_reference_act(s->act, s->slope, z);
        dead |= (z <= 0 ? 1u : 0u) << p;
        sum += v;
        if (p == 0 || v > best || v != v) {
            best = v;
            winner = p;
        }
    }
    if (s->pool == PF_POOL_AVG2) {
        *side = (uint8_t)(15u | dead << 4);
        return sum * (pf_real)0.25;
    }
    *side = (uint8_t)((1u << winner) | dead << 4);
    return best;
}

void pf_reference_conv_forward(const struct pf_conv *s, size_t n,
                               const pf_real *x, const pf_real *packed,
                               const pf_real *ready, pf_real *y, uint8_t *side,
                               void *scratch)
{
    struct arrays a = {.w = packed};

    (void)ready;
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        a.x = x + i * s->h * s->w * s->c;
        for (size_t py = 0; py < s->ph; py++)
            for (size_t px = 0; px < s->pw; px++)
                for (size_t o = 0; o < s->o; o++)
                    *y++ = output(s, py, px, o, a, packed[n_weights(s) + o],
                                  side++);
    }
}

/* The gradient by the sum at one place of a window. */
static pf_real through(const struct pf_conv *s, unsigned side, size_t p,
                       pf_real g)
{
    if (!(side >> p & 1))
        return 0;
    if (s->pool == PF_POOL_AVG2)
        g *= (pf_real)0.25;
    if (side >> (4 + p) & 1 && s->act != PF_ACT_NONE)
        return s->act == PF_ACT_RELU ? 0 : s->slope * g;
    return g;
}

static void backward_one(const struct pf_conv *s, const struct arrays *a,
                         const uint8_t *side, const pf_real *dy, pf_real *db)
{
    size_t oy, ox;

    for (size_t py = 0; py < s->ph; py++)
        for (size_t px = 0; px < s->pw; px++)
            for (size_t o = 0; o < s->o; o++, dy++, side++)
                for (size_t p = 0; p < places(s); p++) {
                    pf_real g = through(s, *side, p, *dy);

                    if (g == 0)
                        continue;
                    place(s, py, px, p, &oy, &ox);
                    db[o] += g;
                    window(s, oy, ox, o, a, g);
                }
}

void pf_reference_conv_backward(const struct pf_conv *s, size_t n,
                                const pf_real *x, const pf_real *packed,
                                const pf_real *ready, const pf_real *y,
                                const uint8_t *side, const pf_real *dy,
                                pf_real *dx, pf_real *grad, void *scratch)
{
    size_t in = s->h * s->w * s->c, out = s->ph * s->pw * s->o;
    struct arrays a = {.w = packed, .dw = grad};

    (void)ready;
    (void)y;
    (void)scratch;
    if (dx)
        memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++) {
        a.x = x + i * in;
        a.dx = dx ? dx + i * in : NULL;
        backward_one(s, &a, side + i * out, dy + i * out, grad + n_weights(s));
    }
}
