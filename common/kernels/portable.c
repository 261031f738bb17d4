/* Blocked C for any processor: four lanes as GCC vector extensions, which
 * gcc and clang turn into whatever vectors the target has, and loops that they
 * vectorise themselves.  Convolutions run forward with the output channel
 * innermost; backward they walk lists of the non-zero upstream gradients,
 * since behind a max pool three out of four are zero.  Every sum is added in
 * an order that is fixed by the shapes and the zeros. */
#include "kernels.h"

#include <math.h>
#include <string.h>

#define LANES  4
#define PIXELS 5 /* at once: 10 sums, weights and factors fill 16 registers */

typedef pf_real vec __attribute__((vector_size(LANES * sizeof(pf_real))));
typedef uint32_t ivec __attribute__((vector_size(LANES * sizeof(uint32_t))));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vec load(const pf_real *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void store(pf_real *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

ALWAYS_INLINE vec splat(pf_real x)
{
    return (vec){x, x, x, x};
}

/* A row that takes part in a sum: where it begins and its factor. */
struct term {
    uint32_t at;
    pf_real g;
};

/* y[0..len) += sum of terms[0..N).g * x[terms[].at + 0..len), in this order */
ALWAYS_INLINE void add_rows(const int N, const struct term *terms, size_t len,
                            const pf_real *x, pf_real *y)
{
    const pf_real *row[4];
    vec g[4];
    size_t j = 0;

    for (int t = 0; t < N; t++) {
        row[t] = x + terms[t].at;
        g[t] = splat(terms[t].g);
    }
    for (; j + LANES <= len; j += LANES) {
        vec sum = load(y + j);
        for (int t = 0; t < N; t++)
            sum += g[t] * load(row[t] + j);
        store(y + j, sum);
    }
    for (; j < len; j++)
        for (int t = 0; t < N; t++)
            y[j] += terms[t].g * row[t][j];
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

static size_t conv_scratch(const struct pf_conv *s)
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

static void conv_forward(const struct pf_conv *s, size_t n, const pf_real *x,
                         const pf_real *w, const pf_real *b, pf_real *y,
                         void *scratch)
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

static void conv_backward_weights(const struct pf_conv *s, size_t n,
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

static void conv_backward_input(const struct pf_conv *s, size_t n,
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

static void pool_forward(const struct pf_pool *s, size_t n, const pf_real *x,
                         pf_real *y, uint32_t *where)
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

static void pool_backward(const struct pf_pool *s, size_t n, const pf_real *dy,
                          const uint32_t *where, pf_real *dx)
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

static void dense_forward(size_t n, size_t in, size_t out, const pf_real *x,
                          const pf_real *w, const pf_real *b, pf_real *y)
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

static void dense_backward_weights(size_t n, size_t in, size_t out,
                                   const pf_real *x, const pf_real *dy,
                                   pf_real *dw, pf_real *db)
{
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < n; i++)
            db[o] += dy[i * out + o];
        add_products(n, dy + o, out, in, x, dw + o * in);
    }
}

static void dense_backward_input(size_t n, size_t in, size_t out,
                                 const pf_real *w, const pf_real *dy,
                                 pf_real *dx)
{
    memset(dx, 0, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++)
        add_products(out, dy + i * out, 1, in, w, dx + i * in);
}

static void relu_forward(size_t count, const pf_real *x, pf_real *y)
{
    if (x == y) /* told apart so that both loops become vectors */
        for (size_t i = 0; i < count; i++)
            y[i] = y[i] < 0 ? 0 : y[i];
    else
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_backward(size_t count, const pf_real *y, const pf_real *dy,
                          pf_real *dx)
{
    if (dy == dx)
        for (size_t i = 0; i < count; i++)
            dx[i] = y[i] <= 0 ? 0 : dx[i];
    else
        for (size_t i = 0; i < count; i++)
            dx[i] = y[i] <= 0 ? 0 : dy[i];
}

static void channels_first(size_t n, size_t c, size_t hw, const pf_real *x,
                           pf_real *y)
{
    for (size_t i = 0; i < n; i++, x += c * hw, y += c * hw)
        for (size_t p = 0; p < hw; p++)
            for (size_t j = 0; j < c; j++)
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

static void adam(const struct pf_adam_step *s, size_t count,
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
#define PF_KERNEL_ROW(name, type, args) .name = name,
                                               PF_KERNELS(PF_KERNEL_ROW)
#undef PF_KERNEL_ROW
};
