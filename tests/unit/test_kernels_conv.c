/* The checks of convolutions with what follows them in the same step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "trial.h"

static const struct pf_kernels *const oracle = &pf_kernels_reference;

/* What a convolution needs, twice: [0] the reference's, [1] the tried one's. */
struct setting {
    struct pf_conv s;
    size_t n, in, out, weights;
    pf_real *x, *w, *b;
    pf_real *packed[2], *ready[2], *y[2];
    uint8_t *side[2];
    void *scratch[2];
};

/* The shapes of the zoo are drawn as often as odd ones. */
static struct pf_conv draw_shape(struct trial *t)
{
    static const struct {
        size_t c, o, k, pad;
    } usual[] = {{1, 32, 3, 1}, {32, 64, 2, 0}, {1, 6, 5, 2},   {6, 16, 5, 0},
                 {1, 32, 5, 2}, {16, 24, 5, 2}, {8, 16, 3, 1},  {3, 16, 3, 1},
                 {1, 4, 4, 0},  {1, 20, 8, 0},  {37, 70, 4, 0}, {29, 3, 8, 4}};
    struct pf_conv s = {.stride = 1, .slope = (pf_real)0.125};
    size_t i = trial_between(t, 0, 2 * (sizeof usual / sizeof *usual) - 1);

    if (i < sizeof usual / sizeof *usual) {
        s.c = usual[i].c;
        s.o = usual[i].o;
        s.k = usual[i].k;
        s.pad = usual[i].pad;
    } else {
        s.c = trial_between(t, 1, 19);
        s.o = trial_between(t, 1, 37);
        s.k = trial_between(t, 1, 8);
        s.pad = trial_between(t, 0, s.k - 1);
        s.stride = trial_between(t, 1, 3);
    }
    return s;
}

static struct pf_conv draw_conv(struct trial *t)
{
    struct pf_conv s = draw_shape(t);
    /* Few channels: rows of more than one tile, more rows than spans. */
    size_t large = s.c * s.o <= 8 ? 3 : 1;
    size_t most_h = s.c * s.o > 1000 ? 6 : large * 15 + (s.c == 1 ? 25 : 0);
    size_t most_w = s.c * s.o > 1000 ? 7 : large * 17;

    do {
        s.h = trial_between(t, s.k, most_h);
        s.w = trial_between(t, s.k, most_w);
        if (s.c == 1 && s.pad == 0 && s.k % 4 == 0) /* used in place */
            s.h = s.w = s.k + 1;
        s.oh = (s.h + 2 * s.pad - s.k) / s.stride + 1;
        s.ow = (s.w + 2 * s.pad - s.k) / s.stride + 1;
        s.pool = (enum pf_pool2)trial_between(t, 0, 2);
    } while (s.pool != PF_POOL_NONE && (s.oh < 2 || s.ow < 2));
    s.act = (enum pf_act)trial_between(t, 0, 2);
    s.ph = s.pool == PF_POOL_NONE ? s.oh : s.oh / 2;
    s.pw = s.pool == PF_POOL_NONE ? s.ow : s.ow / 2;
    s.zero_is_dead = (int)trial_between(t, 0, 1);
    return s;
}

/* Every other time, the columns outside of a part of each image are zero, or
 * all are: kernels skip such windows. */
static void blank_margins(struct trial *t, const struct pf_conv *s, size_t n,
                          pf_real *x)
{
    size_t first, end;

    if (s->c > 1 || trial_between(t, 0, 1))
        return;
    for (size_t i = 0; i < n; i++) {
        first = s->w < 10 ? s->w - 1 : trial_between(t, 0, s->w);
        end = trial_between(t, 0, 3) ? s->w : trial_between(t, first, s->w);
        for (size_t y = 0; y < s->h; y++, x += s->w)
            for (size_t column = 0; column < s->w; column++)
                if (column < first || column >= end)
                    x[column] = 0;
    }
}

static void prepare(struct trial *t, struct setting *c)
{
    const struct pf_kernels *k[2] = {oracle, t->k};

    c->s = draw_conv(t);
    c->n = trial_between(t, 1, 3);
    c->in = c->s.h * c->s.w * c->s.c;
    c->out = c->s.ph * c->s.pw * c->s.o;
    c->weights = c->s.o * c->s.c * c->s.k * c->s.k;
    c->x = trial_noise(t, c->n * c->in);
    blank_margins(t, &c->s, c->n, c->x);
    c->w = trial_noise(t, c->weights);
    c->b = trial_noise(t, c->s.o);
    for (int i = 0; i < 2; i++) {
        c->packed[i] = trial_empty(t, k[i]->conv_size(&c->s));
        k[i]->conv_pack(&c->s, c->w, c->b, c->packed[i]);
        c->ready[i] = trial_empty(t, k[i]->conv_ready_size(&c->s));
        k[i]->conv_prepare(&c->s, c->packed[i], c->ready[i]);
        c->y[i] = trial_empty(t, c->n * c->out);
        c->side[i] = trial_block(t, c->n * k[i]->conv_side(&c->s));
        c->scratch[i] = trial_scratch(t, k[i]->conv_scratch(&c->s));
        k[i]->conv_forward(&c->s, c->n, c->x, c->packed[i], c->ready[i],
                           c->y[i], c->side[i], c->scratch[i]);
    }
}

void check_conv_forward(struct trial *t)
{
    struct setting c;
    pf_real *y;
    size_t side = 0;

    prepare(t, &c);
    trial_close(t, c.y[1], c.y[0], c.n * c.out, c.s.c * c.s.k * c.s.k);
    /* Example by example come the same bits. */
    y = trial_empty(t, c.out);
    side = t->k->conv_side(&c.s);
    for (size_t i = 0; i < c.n; i++) {
        t->k->conv_forward(&c.s, 1, c.x + i * c.in, c.packed[1], c.ready[1], y,
                           c.side[1] + i * side, c.scratch[1]);
        assert_memory_equal(y, c.y[1] + i * c.out, c.out * sizeof *y);
    }
}

/* Where rounding decides which place of a window wins or whether a unit is
 * alive, families may differ: no gradient is sent there. */
static void silence_close_calls(struct trial *t, const struct setting *c,
                                pf_real *dy)
{
    struct pf_conv plain = c->s;
    size_t step = c->s.pool == PF_POOL_NONE ? 1 : 2, o = c->s.o;
    pf_real *z = trial_empty(t, c->n * plain.oh * plain.ow * o);
    uint8_t *side = trial_block(t, c->n * plain.oh * plain.ow * o);
    const double near = 1e-4;

    plain.act = PF_ACT_NONE;
    plain.pool = PF_POOL_NONE;
    plain.ph = plain.oh;
    plain.pw = plain.ow;
    oracle->conv_forward(&plain, c->n, c->x, c->packed[0], NULL, z, side, NULL);
    for (size_t j = 0; j < c->n * c->out; j++) {
        size_t pixel = j / o % (c->s.ph * c->s.pw);
        size_t oy = pixel / c->s.pw * step, ox = pixel % c->s.pw * step;
        const pf_real *at = z + j / c->out * plain.oh * plain.ow * o + j % o;
        double v[4];

        for (size_t p = 0; p < step * step; p++) {
            v[p] = (double)at[((oy + p / 2) * plain.ow + ox + p % 2) * o];
            if (fabs(v[p]) < near)
                dy[j] = 0;
            for (size_t q = 0; q < p; q++)
                if (fabs(v[p] - v[q]) < near)
                    dy[j] = 0;
        }
    }
}

void check_conv_backward(struct trial *t)
{
    struct setting c;
    pf_real *dy, *dx[2], *grad[2], *dw[2], *db[2], *one, *again;
    const struct pf_kernels *k[2] = {oracle, t->k};
    size_t size, terms;

    prepare(t, &c);
    terms = c.n * c.s.oh * c.s.ow + c.s.o * c.s.k * c.s.k;
    dy = trial_noise(t, c.n * c.out);
    silence_close_calls(t, &c, dy);
    for (int i = 0; i < 2; i++) {
        size = k[i]->conv_size(&c.s);
        dx[i] = trial_solid(t, c.n * c.in); /* must not matter */
        grad[i] = trial_empty(t, size);
        k[i]->conv_pack(&c.s, c.w, c.b, grad[i]); /* is added to */
        k[i]->conv_backward(&c.s, c.n, c.x, c.packed[i], c.ready[i], c.y[i],
                            c.side[i], dy, dx[i], grad[i], c.scratch[i]);
        dw[i] = trial_empty(t, c.weights);
        db[i] = trial_empty(t, c.s.o);
        k[i]->conv_unpack(&c.s, grad[i], dw[i], db[i]);
    }
    for (size_t j = 0; c.s.zero_is_dead && j < c.n * c.in; j++)
        if (c.x[j] == 0)
            dx[0][j] = dx[1][j] = 0;
    trial_close(t, dx[1], dx[0], c.n * c.in, terms);
    trial_close(t, dw[1], dw[0], c.weights, terms);
    trial_close(t, db[1], db[0], c.s.o, terms);
    /* What padding adds gets no gradient. */
    size = t->k->conv_size(&c.s);
    again = trial_empty(t, size);
    t->k->conv_pack(&c.s, dw[1], db[1], again);
    assert_memory_equal(again, grad[1], size * sizeof *again);
    /* Without dx, the same gradient; example by example, the same dx. */
    t->k->conv_pack(&c.s, c.w, c.b, again);
    t->k->conv_backward(&c.s, c.n, c.x, c.packed[1], c.ready[1], c.y[1],
                        c.side[1], dy, NULL, again, c.scratch[1]);
    trial_close(t, again, grad[1], size, terms);
    one = trial_empty(t, c.in);
    for (size_t i = 0; i < c.n; i++) {
        t->k->conv_backward(&c.s, 1, c.x + i * c.in, c.packed[1], c.ready[1],
                            c.y[1] + i * c.out,
                            c.side[1] + i * t->k->conv_side(&c.s),
                            dy + i * c.out, one, again, c.scratch[1]);
        for (size_t j = 0; c.s.zero_is_dead && j < c.in; j++)
            if (c.x[i * c.in + j] == 0)
                one[j] = 0;
        assert_memory_equal(one, dx[1] + i * c.in, c.in * sizeof *one);
    }
}

/* Packing is a way of writing down the same numbers, and padding is zero. */
void check_conv_pack(struct trial *t)
{
    struct pf_conv s = draw_conv(t);
    size_t weights = s.o * s.c * s.k * s.k, size = t->k->conv_size(&s);
    pf_real *w = trial_solid(t, weights), *b = trial_solid(t, s.o);
    pf_real *packed = trial_empty(t, size), *w2, *b2, zero = 0;
    size_t filled = 0;

    for (size_t i = 0; i < size; i++)
        packed[i] = 7;
    t->k->conv_pack(&s, w, b, packed);
    for (size_t i = 0; i < size; i++)
        filled += memcmp(&packed[i], &zero, sizeof zero) != 0;
    assert_true(filled >= weights + s.o);
    w2 = trial_empty(t, weights);
    b2 = trial_empty(t, s.o);
    t->k->conv_unpack(&s, packed, w2, b2);
    assert_memory_equal(w, w2, weights * sizeof *w);
    assert_memory_equal(b, b2, s.o * sizeof *b);
}

void check_conv_unpack(struct trial *t)
{
    check_conv_pack(t);
}

void check_conv_size(struct trial *t)
{
    struct pf_conv s = draw_conv(t);

    assert_true(t->k->conv_size(&s) >= s.o * s.c * s.k * s.k + s.o);
}

/* The forward and backward checks lend exactly that much before a page that
 * cannot be touched; here, that it is not absurd. */
void check_conv_ready_size(struct trial *t)
{
    struct pf_conv s = draw_conv(t);

    assert_true(t->k->conv_ready_size(&s) <
                64 * (s.o + 16) * (s.c + 16) * s.k * s.k);
}

void check_conv_scratch(struct trial *t)
{
    struct pf_conv s = draw_conv(t);

    assert_true(t->k->conv_scratch(&s) < (4u << 20));
}

void check_conv_side(struct trial *t)
{
    struct pf_conv s = draw_conv(t);

    assert_true(t->k->conv_side(&s) < (1u << 20));
}

/* What is prepared follows from the packed weights alone. */
void check_conv_prepare(struct trial *t)
{
    struct setting c;
    size_t size;
    pf_real *again;

    prepare(t, &c);
    size = t->k->conv_ready_size(&c.s);
    again = trial_empty(t, size);
    for (size_t i = 0; i < size; i++)
        again[i] = 3;
    t->k->conv_prepare(&c.s, c.packed[1], again);
    assert_memory_equal(again, c.ready[1], size * sizeof *again);
}

void check_conv_method(struct trial *t)
{
    struct pf_conv s = draw_conv(t);

    assert_true(strlen(t->k->conv_method(&s)) > 0);
}
