/* The weight gradient of a first convolution with one input channel: vectors
 * over output channels. The gradient is split by the places of the pool's
 * window, so that each pixel of the window is one factor for all channels;
 * windows whose pixels are all zero give the bias its share only. */
#include "vec_conv.h"

#define MOST_TAPS 5  /* in one row of the window */
#define MOST_SUMS 10 /* in registers: whole rows of taps */

/* Under a maximum, lists of what is not zero (vec_conv_backward.c) are less
 * work when the channels are few. Here all four places of a window are
 * multiplied, two vectors in a cycle; there each channel takes some five cycles
 * for its entry. */
int PF_NAME(conv_first_fits)(const struct pf_conv *s)
{
    if (s->c != 1 || s->k > MOST_TAPS)
        return 0;
    return s->pool != PF_POOL_MAX2 ||
           2 * s->k * s->k * WHOLE(s->o) / LANES <= 5 * s->o;
}

/* The image, sums [ky][kx][wide], the bias's [wide], a byte per window. */
size_t PF_NAME(conv_first_scratch)(const struct pf_conv *s)
{
    struct conv_plan p;

    conv_plan(s, &p);
    return p.image + (s->k * s->k + 1) * p.wide +
           (s->ph * s->pw + sizeof(float) - 1) / sizeof(float);
}

/* The gradients by the sums at the places of one window. */
ALWAYS_INLINE void split(const enum pf_pool2 pool, const struct pf_conv *s,
                         vec g, ivec side, vec at[4])
{
    const uint32_t places = pool == PF_POOL_NONE ? 1 : 4;

    if (pool == PF_POOL_AVG2)
        g *= splat(0.25f);
    for (uint32_t i = 0; i < places; i++) {
        uint32_t low = pool == PF_POOL_MAX2 ? SIDE_LOW : 1u << i;
        ivec wins = ~(ivec){0};

        if (pool == PF_POOL_MAX2)
            wins = (ivec)((side & SIDE_PLACE) == i);
        at[i] = conv_through(s, g, (ivec)((side & low) != (ivec){0}));
        at[i] = (vec)((ivec)at[i] & wins);
    }
}

/* R rows of taps of K columns over some windows of one example, LANES output
 * channels: g are the split gradients [window][places][LANES]. Enough sums at
 * once that additions need not wait for each other. */
ALWAYS_INLINE void taps(const size_t K, const size_t R, const uint32_t places,
                        const struct pf_conv *s, const struct conv_plan *p,
                        const float *image, const uint32_t *window, size_t n,
                        const vec *g, float *sums)
{
    size_t step = s->stride;
    vec sum[MOST_SUMS];

    for (size_t t = 0; t < R * K; t++)
        sum[t] = load(sums + t * p->wide);
    for (size_t i = 0; i < n; i++, g += places)
        for (uint32_t j = 0; j < places; j++) {
            const float *x =
                image + window[i] + j / 2 * step * p->row + j % 2 * step;

            for (size_t t = 0; t < R * K; t++)
                sum[t] = fma_(splat(x[t / K * p->row + t % K]), g[j], sum[t]);
        }
    for (size_t t = 0; t < R * K; t++)
        store(sums + t * p->wide, sum[t]);
}

#define WINDOWS 64 /* at once: their gradients stay in the cache */

static void windows(const uint32_t places, const struct pf_conv *s,
                    const struct conv_plan *p, const float *image,
                    const uint32_t *window, size_t n, const vec *g, float *sums)
{
    for (size_t ky = 0, rows; ky < s->k; ky += rows) {
        const float *row = image + ky * p->row;
        float *to = sums + ky * s->k * p->wide;

        rows = 1;
        switch (s->k) {
        case 1:
            taps(1, 1, places, s, p, row, window, n, g, to);
            break;
        case 2:
            taps(2, 2, places, s, p, row, window, n, g, to);
            rows = 2;
            break;
        case 3:
            taps(3, 3, places, s, p, row, window, n, g, to);
            rows = 3;
            break;
        case 4:
            taps(4, 2, places, s, p, row, window, n, g, to);
            rows = 2;
            break;
        default: /* MOST_TAPS */
            if (ky + 2 <= MOST_TAPS) {
                taps(MOST_TAPS, 2, places, s, p, row, window, n, g, to);
                rows = 2;
            } else {
                taps(MOST_TAPS, 1, places, s, p, row, window, n, g, to);
            }
            break;
        }
    }
}

/* Is there a pixel in the window of output q that is not zero? */
ALWAYS_INLINE int busy(const struct pf_conv *s, size_t step,
                       const struct conv_span *rows, size_t py, size_t px)
{
    size_t from = px * step * s->stride;
    size_t high = (step - 1) * s->stride + s->k;

    for (size_t i = 0; i < high; i++) {
        const struct conv_span *r = &rows[py * step * s->stride + i];
        if (r->first < from + high && r->last >= from && r->first <= r->last)
            return 1;
    }
    return 0;
}

/* LANES channels from o on of one example. */
ALWAYS_INLINE void channels(const enum pf_pool2 pool, const struct pf_conv *s,
                            const struct conv_plan *p, const float *image,
                            const uint8_t *empty, const uint8_t *side,
                            const float *dy, size_t o, float *sums)
{
    const uint32_t places = pool == PF_POOL_NONE ? 1 : 4;
    size_t step = pool == PF_POOL_NONE ? 1 : 2, n = 0;
    size_t part = s->o - o < LANES ? s->o - o : LANES;
    float *bias = sums + s->k * s->k * p->wide;
    uint32_t window[WINDOWS];
    vec g[WINDOWS * 4], total = load(bias);

    for (size_t q = 0; q < s->ph * s->pw; q++) {
        size_t at = q * s->o + o;
        /* Lanes past the last channel are never looked at. */
        int inside = at + LANES <= s->ph * s->pw * s->o;
        vec d = inside ? load(dy + at) : load_part(dy + at, part);
        ivec mark =
            inside ? load_bytes(side + at) : load_some_bytes(side + at, part);

        split(pool, s, d, mark, g + n * places);
        for (uint32_t j = 0; j < places; j++)
            total += g[n * places + j];
        window[n] =
            (uint32_t)((q / s->pw * p->row + q % s->pw) * step * s->stride);
        n += !empty[q];
        if (n == WINDOWS) {
            windows(places, s, p, image, window, n, g, sums);
            n = 0;
        }
    }
    windows(places, s, p, image, window, n, g, sums);
    store(bias, total);
}

static void one(const struct pf_conv *s, const struct conv_plan *p,
                const float *image, uint8_t *empty, const uint8_t *side,
                const float *dy, float *sums)
{
    size_t step = s->pool == PF_POOL_NONE ? 1 : 2;
    struct conv_span rows[CONV_SPANS];
    int known = conv_spans(s, p, image, rows);

    for (size_t q = 0; q < s->ph * s->pw; q++)
        empty[q] = known && !busy(s, step, rows, q / s->pw, q % s->pw);
    for (size_t o = 0; o < s->o; o += LANES)
        switch (s->pool) {
        case PF_POOL_NONE:
            channels(PF_POOL_NONE, s, p, image, empty, side, dy, o, sums + o);
            break;
        case PF_POOL_MAX2:
            channels(PF_POOL_MAX2, s, p, image, empty, side, dy, o, sums + o);
            break;
        case PF_POOL_AVG2:
            channels(PF_POOL_AVG2, s, p, image, empty, side, dy, o, sums + o);
            break;
        }
}

void PF_NAME(conv_first_backward)(const struct pf_conv *s, size_t n,
                                  const float *x, const uint8_t *side,
                                  const float *dy, float *grad, float *scratch)
{
    size_t in = s->h * s->w, out = s->ph * s->pw * s->o, taps_ = s->k * s->k;
    float *image = scratch, *sums;
    uint8_t *empty;
    struct conv_plan p;

    conv_plan(s, &p);
    sums = image + p.image;
    empty = (uint8_t *)(sums + (taps_ + 1) * p.wide);
    memset(image, 0, (p.image + (taps_ + 1) * p.wide) * sizeof *image);
    for (size_t i = 0; i < n; i++) {
        conv_fill_image(s, &p, x + i * in, image);
        one(s, &p, image, empty, side + i * out, dy + i * out, sums);
    }
    for (size_t o = 0; o < s->o; o++) {
        for (size_t t = 0; t < taps_; t++)
            grad[(o * s->k + t / s->k) * p.run + t % s->k] +=
                sums[t * p.wide + o];
        grad[conv_weights(s) + o] += sums[taps_ * p.wide + o];
    }
}
