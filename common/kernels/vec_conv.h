/* vec_conv.h - how the vector families lay out a convolution.
 *
 * Packed weights are [o][ky][run]: the k * c weights of one row of the window
 * side by side, as they lie in an image whose channels come last, filled up
 * with zeros to whole vectors; then the bias, filled up likewise.  An example
 * is copied into an image with its border of zeros and what a vector may read
 * past the last row's window, unless it is such an image already.
 */
#ifndef PF_VEC_CONV_H
#define PF_VEC_CONV_H

#include "vec.h"

struct conv_plan {
    size_t run;   /* floats of one row of the window, whole vectors */
    size_t wide;  /* output channels, whole vectors */
    size_t row;   /* floats of a row of the image with its border */
    size_t image; /* of the whole image and what may be read past it */
    size_t high;  /* rows of convolution that a row of output takes: 1 or 2 */
    size_t line;  /* floats of a row of sums: [columns][wide] */
};

#define WHOLE(n) (((n) + LANES - 1) / LANES * LANES)

ALWAYS_INLINE void conv_plan(const struct pf_conv *s, struct conv_plan *p)
{
    p->run = WHOLE(s->k * s->c);
    p->wide = WHOLE(s->o);
    p->row = (s->w + 2 * s->pad) * s->c;
    /* Tiles of two rows or columns may reach one past the last, or three when
     * two pixels share a vector. */
    p->image =
        WHOLE((s->h + 2 * s->pad + 1) * p->row + 4 * s->stride * s->c + p->run);
    p->high = s->pool == PF_POOL_NONE ? 1 : 2;
    p->line = (s->ow + 3) * p->wide;
}

/* Is an example its own image? Then nothing is read past its last row, unless a
 * tile has one column or row more than there are (forward). */
ALWAYS_INLINE int conv_in_place(const struct pf_conv *s,
                                const struct conv_plan *p)
{
    return s->pad == 0 && p->run == s->k * s->c;
}

ALWAYS_INLINE size_t conv_weights(const struct pf_conv *s)
{
    return s->o * s->k * WHOLE(s->k * s->c);
}

/* The border of image must be zero already. */
ALWAYS_INLINE void conv_fill_image(const struct pf_conv *s,
                                   const struct conv_plan *p, const float *x,
                                   float *image)
{
    size_t len = s->w * s->c;

    for (size_t y = 0; y < s->h; y++)
        memcpy(image + (y + s->pad) * p->row + s->pad * s->c, x + y * len,
               len * sizeof *x);
}

/* First and last column of one channel's image row that is not zero; an empty
 * row has first > last. Only for c == 1. */
struct conv_span {
    size_t first, last;
};

ALWAYS_INLINE struct conv_span conv_row_span(const float *row, size_t n)
{
    struct conv_span s = {n, 0};

    for (size_t i = 0; i < n; i += LANES) {
        vec v = n - i < LANES ? load_part(row + i, n - i) : load(row + i);
        uint32_t bits = bits_of((ivec)(v != (vec){0}));

        if (bits == 0)
            continue;
        if (s.first == n)
            s.first = i + (size_t)__builtin_ctz(bits);
        s.last = i + 31 - (size_t)__builtin_clz(bits);
    }
    return s;
}

#define CONV_SPANS 64 /* rows of an image that are looked at */

/* The spans of all rows of the image; 0: too many rows, or not one channel. */
ALWAYS_INLINE int conv_spans(const struct pf_conv *s, const struct conv_plan *p,
                             const float *image, struct conv_span *spans)
{
    size_t rows = s->h + 2 * s->pad;

    if (s->c != 1 || rows > CONV_SPANS)
        return 0;
    for (size_t y = 0; y < rows; y++)
        spans[y] = conv_row_span(image + y * p->row, p->row);
    return 1;
}

/* What of a gradient g goes on to the activation's input; low: all ones where
 * that was not positive. */
ALWAYS_INLINE vec conv_through(const struct pf_conv *s, vec g, ivec low)
{
    vec less = {0};

    if (s->act == PF_ACT_NONE)
        less = g;
    else if (s->act == PF_ACT_LEAKY)
        less = g * splat(s->slope);
    return (vec)(((ivec)g & ~low) | ((ivec)less & low));
}

/* Is the Winograd form used for this shape? */
int PF_NAME(winograd_fits)(const struct pf_conv *s);
size_t PF_NAME(winograd_ready_size)(const struct pf_conv *s);
void PF_NAME(winograd_prepare)(const struct pf_conv *s, const float *packed,
                               float *ready);
size_t PF_NAME(winograd_scratch)(const struct pf_conv *s); /* floats */
/* Sums of output rows 2 tile and 2 tile + 1 into line[0] and line[1]. */
void PF_NAME(winograd_rows)(const struct pf_conv *s, const struct conv_plan *p,
                            const float *image, const float *ready, size_t tile,
                            float *const line[2], float *scratch);
/* The gradient of a layer whose input is one channel and learns nothing. */
int PF_NAME(conv_first_fits)(const struct pf_conv *s);
size_t PF_NAME(conv_first_scratch)(const struct pf_conv *s); /* floats */
void PF_NAME(conv_first_backward)(const struct pf_conv *s, size_t n,
                                  const float *x, const uint8_t *side,
                                  const float *dy, float *grad, float *scratch);
size_t PF_NAME(conv_backward_scratch)(const struct pf_conv *s); /* bytes */

/* What the forward pass leaves per output value. Under a maximum: which of the
 * four places won; LOW when the activation's input there was not positive.
 * Else bit p: the activation's input at place p was not positive. */
#define SIDE_PLACE 3u
#define SIDE_LOW   4u

#endif
