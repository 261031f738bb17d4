/* Convolutions and dense layers on bytes, for models that are used.
 *
 * Weights: w = q scale[o] with scale = (greatest |w| of output channel o) /
 * 127. Inputs: x = q scale with one scale per example, from its greatest |x|,
 * so nothing needs calibrating. The sums are exact integers; scale, bias,
 * activation and pool follow in floats.
 *
 * A convolution runs on the padded image itself: the k rows of a window are k
 * runs of bytes, k c long, rounded up to four; what is read beyond them meets
 * weights that are zero. */
#include <string.h>

#include "exec.h"

struct shape {
    size_t rows, quads, out; /* out is whole panels */
};

static struct shape shape_of(const struct pf_step *s)
{
    int conv = s->conv.k > 0;
    size_t run = conv ? s->conv.k * s->conv.c : s->dense.in;
    size_t out = conv ? s->conv.o : s->dense.out;

    return (struct shape){conv ? s->conv.k : 1, (run + 3) / 4,
                          (out + PF_INT8_OUTS - 1) / PF_INT8_OUTS *
                              PF_INT8_OUTS};
}

int pf_step_fits_int8(const struct pf_step *s)
{
    struct shape h = shape_of(s);

    return h.quads <= PF_INT8_DEPTH / 4 / h.rows;
}

/* Scales, bias, then weights. */
static size_t packed_reals(const struct pf_step *s)
{
    struct shape h = shape_of(s);

    return 2 * h.out + (h.rows * h.quads * 4 * h.out + sizeof(pf_real) - 1) /
                           sizeof(pf_real);
}

/* Where weight i of its output channel o goes, in canonical order. */
static size_t place(const struct pf_step *s, const struct shape *h, size_t o,
                    size_t i)
{
    size_t row = 0, j, k = s->conv.k;

    if (k > 0) {
        row = i / k % k;
        j = i % k * s->conv.c + i / (k * k);
    } else {
        j = i % s->dense.hw * s->dense.c + i / s->dense.hw;
    }
    return (((o / PF_INT8_OUTS * h->rows + row) * h->quads + j / 4) *
                PF_INT8_OUTS +
            o % PF_INT8_OUTS) *
               4 +
           j % 4;
}

static void pack(const struct pf_step *s, const struct pf_kernels *k,
                 const pf_real *canonical, pf_real *packed)
{
    struct shape h = shape_of(s);
    size_t out = s->conv.k > 0 ? s->conv.o : s->dense.out;
    size_t n = (s->l->bias - s->l->weight) / out;
    int8_t *to = (int8_t *)(packed + 2 * h.out), some[64];

    memcpy(packed + h.out, canonical + (s->l->bias - s->l->weight),
           out * sizeof *packed);
    for (size_t o = 0; o < out; o++, canonical += n) {
        packed[o] = k->int8_scale(n, canonical);
        for (size_t i = 0; i < n; i++) {
            if (i % sizeof some == 0)
                k->int8_round(n - i < sizeof some ? n - i : sizeof some,
                              canonical + i, packed[o], some);
            to[place(s, &h, o, i)] = some[i % sizeof some];
        }
    }
}

static struct pf_int8 sums_of(const struct pf_step *s, const pf_real *packed)
{
    struct shape h = shape_of(s);

    return (struct pf_int8){.positive = s->conv.zero_is_dead,
                            .rows = h.rows,
                            .quads = h.quads,
                            .w = (const int8_t *)(packed + 2 * h.out),
                            .scale = packed,
                            .bias = packed + h.out};
}

/* The padded image, and what a window's last quad reads beyond it. */
static size_t image_bytes(const struct pf_conv *c)
{
    return pf_exec_whole((c->h + 2 * c->pad) * (c->w + 2 * c->pad) * c->c + 3);
}

static void conv_measure(struct pf_step *s, const struct pf_kernels *k,
                         size_t chunk)
{
    const struct pf_conv *c = &s->conv;

    (void)k, (void)chunk;
    s->n_packed = packed_reals(s);
    s->scratch = image_bytes(c);
    if (c->pool != PF_POOL_NONE)
        s->scratch += 2 * c->ow * c->o * sizeof(pf_real);
    s->macs = (uint64_t)s->l->fan_in * c->o * c->oh * c->ow;
}

static pf_real round_image(const struct pf_kernels *k, const struct pf_conv *c,
                           const pf_real *x, int8_t *image)
{
    size_t line = c->w * c->c, step = (c->w + 2 * c->pad) * c->c;
    pf_real scale = k->int8_scale(c->h * line, x);

    memset(image, 0, image_bytes(c));
    image += c->pad * step + c->pad * c->c;
    for (size_t y = 0; y < c->h; y++, x += line, image += step)
        k->int8_round(line, x, scale, image);
    return scale;
}

/* NaN wins. */
static pf_real greater(pf_real a, pf_real b)
{
    return a > b || a != a ? a : b;
}

/* 2x2 of two lines [ow][o]. */
static void pool_lines(const struct pf_conv *c, const pf_real *line, pf_real *y)
{
    const pf_real *next = line + c->ow * c->o;

    for (size_t x = 0; x < c->pw; x++, y += c->o) {
        const pf_real *a = line + 2 * x * c->o, *b = next + 2 * x * c->o;

        for (size_t o = 0; o < c->o; o++) {
            if (c->pool == PF_POOL_MAX2)
                y[o] = greater(greater(a[o], a[o + c->o]),
                               greater(b[o], b[o + c->o]));
            else
                y[o] =
                    (a[o] + a[o + c->o] + b[o] + b[o + c->o]) * (pf_real)0.25;
        }
    }
}

static void conv_one(const struct pf_step *s, const struct pf_kernels *k,
                     const pf_real *packed, const pf_real *x, pf_real *y,
                     void *scratch)
{
    const struct pf_conv *c = &s->conv;
    struct pf_int8 p = sums_of(s, packed);
    int8_t *image = scratch;
    pf_real *lines = (void *)(image + image_bytes(c));
    pf_real scale = round_image(k, c, x, image);

    p.row_step = (c->w + 2 * c->pad) * c->c;
    p.step = c->stride * c->c;
    p.n = c->ow;
    p.out = c->o;
    p.act = c->act;
    p.slope = c->slope;
    for (size_t i = 0; i < c->ph; i++, y += c->pw * c->o) {
        const int8_t *from = image;

        if (c->pool == PF_POOL_NONE) {
            k->int8_sums(&p, from + i * c->stride * p.row_step, &scale, 0, y);
            continue;
        }
        from += 2 * i * c->stride * p.row_step;
        k->int8_sums(&p, from, &scale, 0, lines);
        k->int8_sums(&p, from + c->stride * p.row_step, &scale, 0,
                     lines + c->ow * c->o);
        pool_lines(c, lines, y);
    }
}

static void conv_share(const struct pf_step *s, const struct pf_run *r,
                       size_t first, size_t n, void *scratch)
{
    const struct pf_exec *e = r->e;

    for (size_t i = first; i < first + n; i++)
        conv_one(s, e->k, r->w + s->at, e->act[s->in[0]] + i * s->in_size,
                 e->act[s->out] + i * s->out_size, scratch);
}

static void conv_run(const struct pf_step *s, const struct pf_run *r)
{
    pf_exec_by_example(s, r, conv_share);
}

static void dense_measure(struct pf_step *s, const struct pf_kernels *k,
                          size_t chunk)
{
    (void)k;
    s->n_packed = packed_reals(s);
    s->scratch =
        pf_exec_whole(chunk * sizeof(pf_real)) + chunk * shape_of(s).quads * 4;
    s->macs = (uint64_t)s->dense.in * s->dense.out;
}

static void dense_share(const struct pf_step *s, const struct pf_run *r,
                        size_t first, size_t n, void *scratch)
{
    const struct pf_exec *e = r->e;
    size_t in = s->dense.in;
    const pf_real *x = e->act[s->in[0]] + first * in;
    pf_real *scale = scratch;
    int8_t *q = (int8_t *)scale + pf_exec_whole(e->chunk * sizeof *scale);
    struct pf_int8 p = sums_of(s, r->w + s->at);

    p.step = p.row_step = 4 * p.quads;
    p.n = n;
    p.out = s->dense.out;
    p.act = s->dense.act;
    p.slope = s->dense.slope;
    for (size_t l = 0; l < n; l++) {
        int8_t *to = q + l * p.step;

        scale[l] = e->k->int8_scale(in, x + l * in);
        e->k->int8_round(in, x + l * in, scale[l], to);
        memset(to + in, 0, p.step - in);
    }
    e->k->int8_sums(&p, q, scale, 1, e->act[s->out] + first * s->dense.out);
}

static void dense_run(const struct pf_step *s, const struct pf_run *r)
{
    pf_exec_by_example(s, r, dense_share);
}

static const char *method(const struct pf_step *s, const struct pf_kernels *k)
{
    (void)s, (void)k;
    return "sums of bytes";
}

const struct pf_step_kind pf_conv_int8_step = {.name = "conv int8",
                                               .measure = conv_measure,
                                               .pack = pack,
                                               .forward = conv_run,
                                               .method = method};
const struct pf_step_kind pf_dense_int8_step = {.name = "dense int8",
                                                .measure = dense_measure,
                                                .pack = pack,
                                                .forward = dense_run,
                                                .method = method};
