/* Convolutions run forward with the output channel innermost; backward they
 * walk lists of the non-zero upstream gradients, since behind a max pool three
 * out of four are zero. */
#include "portable.h"

#define PIXELS 5 /* at once: 10 sums, weights and factors fill 16 registers */

/* Scratch of a convolution, in the order of its parts. */
struct plan {
    size_t run;     /* one row of the window: k * c values side by side */
    size_t run4;    /* the same, rounded up to whole vectors */
    size_t wide;    /* o rounded up to whole vectors */
    size_t row;     /* of the padded image */
    size_t image;   /* the padded image and what a vector may read past it */
    size_t weights; /* the largest arrangement of the weights */
    size_t terms;   /* output pixels */
};

static void conv_plan(const struct pf_conv *s, struct plan *p)
{
    p->run = s->k * s->c;
    p->run4 = (p->run + LANES - 1) / LANES * LANES;
    p->wide = (s->o + LANES - 1) / LANES * LANES;
    p->row = (s->w + 2 * s->pad) * s->c;
    p->image = (s->h + 2 * s->pad) * p->row + LANES;
    p->weights = p->wide + p->wide * s->k * p->run4;
    p->terms = s->oh * s->ow;
}

size_t pf_portable_conv_scratch(const struct pf_conv *s)
{
    struct plan p;

    conv_plan(s, &p);
    return (p.image + p.weights) * sizeof(pf_real) +
           p.terms * sizeof(struct term);
}

/* Copies x into the middle of an image whose border is zero already. */
static void fill_image(const struct pf_conv *s, const struct plan *p,
                       const pf_real *x, pf_real *image)
{
    size_t len = s->w * s->c;

    for (size_t y = 0; y < s->h; y++)
        memcpy(image + (y + s->pad) * p->row + s->pad * s->c, x + y * len,
               len * sizeof *x);
}

/* The weight of output channel o at place (ky, j), j = kx * c + channel. */
ALWAYS_INLINE size_t weight_at(const struct pf_conv *s, size_t o, size_t ky,
                               size_t j)
{
    return ((o * s->c + j % s->c) * s->k + ky) * s->k + j / s->c;
}

/* T neighbouring pixels of V vectors of output channels. x is the window of
 * the first pixel, step the way to the next; w is [ky][j][V * LANES]. */
ALWAYS_INLINE void conv_tile(const int T, const int V, const struct pf_conv *s,
                             const struct plan *p, const pf_real *x,
                             const pf_real *w, const pf_real *b, pf_real *y,
                             size_t channels)
{
    pf_real part[2 * LANES];
    size_t step = s->stride * s->c;
    vec acc[PIXELS][2];

    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            acc[t][v] = load(b + v * LANES);
    for (size_t ky = 0; ky < s->k; ky++, x += p->row)
        for (size_t j = 0; j < p->run; j++, w += V * LANES) {
            vec wv[2];
            for (int v = 0; v < V; v++)
                wv[v] = load(w + v * LANES);
            for (int t = 0; t < T; t++) {
                vec xv = splat(x[(size_t)t * step + j]);
                for (int v = 0; v < V; v++)
                    acc[t][v] += xv * wv[v];
            }
        }
    for (int t = 0; t < T; t++, y += s->o) {
        if (channels == (size_t)V * LANES) {
            for (int v = 0; v < V; v++)
                store(y + v * LANES, acc[t][v]);
        } else {
            for (int v = 0; v < V; v++)
                store(part + v * LANES, acc[t][v]);
            memcpy(y, part, channels * sizeof *y);
        }
    }
}

/* One block of output channels over all pixels of one example. Each row falls
 * into parts of nearly equal length. */
ALWAYS_INLINE void conv_block(const int V, const struct pf_conv *s,
                              const struct plan *p, const pf_real *image,
                              const pf_real *w, const pf_real *b, pf_real *y,
                              size_t channels)
{
    size_t parts = (s->ow + PIXELS - 1) / PIXELS, left, t;

    for (size_t oy = 0; oy < s->oh; oy++) {
        const pf_real *x = image + oy * s->stride * p->row;

        left = s->ow;
        for (size_t part = parts; part > 0; part--) {
            t = (left + part - 1) / part;
            switch (t) {
            case 1:
                conv_tile(1, V, s, p, x, w, b, y, channels);
                break;
            case 2:
                conv_tile(2, V, s, p, x, w, b, y, channels);
                break;
            case 3:
                conv_tile(3, V, s, p, x, w, b, y, channels);
                break;
            case 4:
                conv_tile(4, V, s, p, x, w, b, y, channels);
                break;
            default:
                conv_tile(PIXELS, V, s, p, x, w, b, y, channels);
                break;
            }
            left -= t;
            x += t * s->stride * s->c;
            y += t * s->o;
        }
    }
}

/* How many vectors of channels the block that begins at channel o has. */
static size_t block_vectors(const struct plan *p, size_t o)
{
    return p->wide - o > LANES ? 2 : 1;
}

/* packed = blocks of [ky][j][lanes], missing channels zero. */
static void pack_forward(const struct pf_conv *s, const struct plan *p,
                         const pf_real *w, pf_real *packed)
{
    size_t lanes;

    for (size_t o = 0; o < p->wide; o += lanes) {
        lanes = block_vectors(p, o) * LANES;
        for (size_t ky = 0; ky < s->k; ky++)
            for (size_t j = 0; j < p->run; j++)
                for (size_t l = 0; l < lanes; l++)
                    *packed++ =
                        o + l < s->o ? w[weight_at(s, o + l, ky, j)] : 0;
    }
}

void pf_portable_conv_forward(const struct pf_conv *s, size_t n,
                              const pf_real *x, const pf_real *w,
                              const pf_real *b, pf_real *y, void *scratch)
{
    struct plan p;
    pf_real *image = scratch, *bias, *packed;
    const pf_real *from;
    size_t in = s->h * s->w * s->c, o, block, channels;

    conv_plan(s, &p);
    bias = image + p.image;
    packed = bias + p.wide;
    memset(image, 0, (p.image + p.wide) * sizeof *image);
    memcpy(bias, b, s->o * sizeof *b);
    pack_forward(s, &p, w, packed);
    for (size_t i = 0; i < n; i++, x += in, y += s->oh * s->ow * s->o) {
        from = x;
        if (s->pad) {
            fill_image(s, &p, x, image);
            from = image;
        }
        for (o = 0; o < p.wide; o += block) {
            block = block_vectors(&p, o) * LANES;
            channels = s->o - o < block ? s->o - o : block;
            if (block == 2 * LANES)
                conv_block(2, s, &p, from, packed + o * s->k * p.run, bias + o,
                           y + o, channels);
            else
                conv_block(1, s, &p, from, packed + o * s->k * p.run, bias + o,
                           y + o, channels);
        }
    }
}

/* The non-zero gradients of one output channel of one example, with the place
 * of their window in the padded image. */
static size_t collect(const struct pf_conv *s, const struct plan *p,
                      const pf_real *dy, struct term *terms)
{
    size_t n = 0;

    for (size_t oy = 0; oy < s->oh; oy++) {
        size_t at = oy * s->stride * p->row;
        for (size_t ox = 0; ox < s->ow; ox++, dy += s->o) {
            terms[n].at = (uint32_t)at;
            terms[n].g = *dy;
            n += *dy != 0; /* no branch: half of them would be mispredicted */
            at += s->stride * s->c;
        }
    }
    return n;
}

void pf_portable_conv_backward_weights(const struct pf_conv *s, size_t n,
                                       const pf_real *x, const pf_real *dy,
                                       pf_real *dw, pf_real *db, void *scratch)
{
    struct plan p;
    pf_real *image = scratch, *sum, *acc;
    struct term *terms;
    size_t in = s->h * s->w * s->c, n_terms, t, o, ky;

    conv_plan(s, &p);
    sum = image + p.image; /* [o][ky][run4] */
    terms = (struct term *)(void *)(sum + p.weights);
    memset(image, 0, (p.image + p.weights) * sizeof *image);
    for (size_t i = 0; i < n; i++, x += in, dy += p.terms * s->o) {
        fill_image(s, &p, x, image);
        for (o = 0; o < s->o; o++) {
            n_terms = collect(s, &p, dy + o, terms);
            for (t = 0; t < n_terms; t++)
                db[o] += terms[t].g;
            acc = sum + o * s->k * p.run4;
            for (t = 0; t + 4 <= n_terms; t += 4)
                for (ky = 0; ky < s->k; ky++)
                    add_rows(4, terms + t, p.run4, image + ky * p.row,
                             acc + ky * p.run4);
            for (; t < n_terms; t++)
                for (ky = 0; ky < s->k; ky++)
                    add_rows(1, terms + t, p.run4, image + ky * p.row,
                             acc + ky * p.run4);
        }
    }
    for (o = 0; o < s->o; o++)
        for (ky = 0; ky < s->k; ky++)
            for (size_t j = 0; j < p.run; j++)
                dw[weight_at(s, o, ky, j)] += sum[(o * s->k + ky) * p.run4 + j];
}

void pf_portable_conv_backward_input(const struct pf_conv *s, size_t n,
                                     const pf_real *w, const pf_real *dy,
                                     pf_real *dx, void *scratch)
{
    struct plan p;
    pf_real *image = scratch, *packed, *to;
    struct term *terms, one = {0, 0};
    size_t in = s->h * s->w * s->c, len = s->w * s->c, n_terms, o, ky, j;

    conv_plan(s, &p);
    packed = image + p.image; /* [o][ky][run] */
    terms = (struct term *)(void *)(packed + p.weights);
    for (o = 0, to = packed; o < s->o; o++)
        for (ky = 0; ky < s->k; ky++)
            for (j = 0; j < p.run; j++)
                *to++ = w[weight_at(s, o, ky, j)];
    for (size_t i = 0; i < n; i++, dx += in, dy += p.terms * s->o) {
        memset(image, 0, p.image * sizeof *image);
        for (o = 0; o < s->o; o++) {
            const pf_real *wo = packed + o * s->k * p.run;
            n_terms = collect(s, &p, dy + o, terms);
            for (size_t t = 0; t < n_terms; t++) {
                to = image + terms[t].at;
                one.g = terms[t].g;
                for (ky = 0; ky < s->k; ky++)
                    add_rows(1, &one, p.run, wo + ky * p.run, to + ky * p.row);
            }
        }
        for (size_t y = 0; y < s->h; y++)
            memcpy(dx + y * len, image + (y + s->pad) * p.row + s->pad * s->c,
                   len * sizeof *dx);
    }
}
