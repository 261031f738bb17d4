/* The checks of dense layers with their activation and optimiser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trial.h"

static const struct pf_kernels *const oracle = &pf_kernels_reference;

static struct pf_dense draw_dense(struct trial *t)
{
    struct pf_dense s = {.slope = (pf_real)0.125};

    s.c = trial_between(t, 1, 40);
    s.hw = trial_between(t, 0, 1) ? trial_between(t, 2, 5) : 1;
    s.in = s.c * s.hw;
    /* Now and then more than one panel. */
    s.out = trial_between(t, 0, 3) ? trial_between(t, 1, 67)
                                   : trial_between(t, 68, 300);
    s.act = (enum pf_act)trial_between(t, 0, 2);
    s.zero_is_dead = (int)trial_between(t, 0, 1);
    return s;
}

/* [0] the reference's, [1] the tried family's. */
struct setting {
    struct pf_dense s;
    size_t n, size[2];
    pf_real *x, *w, *b, *y, *dy, *packed[2], *turned[2], *db[2];
    void *scratch[2];
};

static void prepare(struct trial *t, struct setting *d)
{
    const struct pf_kernels *k[2] = {oracle, t->k};

    d->s = draw_dense(t);
    /* Now and then more than one tile of examples. */
    d->n = trial_between(t, 0, 3) ? trial_between(t, 1, 21)
                                  : trial_between(t, 40, 210);
    d->x = trial_noise(t, d->n * d->s.in);
    d->w = trial_noise(t, d->s.in * d->s.out);
    d->b = trial_noise(t, d->s.out);
    d->y = trial_noise(t, d->n * d->s.out);
    d->dy = trial_noise(t, d->n * d->s.out);
    for (int i = 0; i < 2; i++) {
        d->size[i] = k[i]->dense_size(&d->s);
        d->packed[i] = trial_empty(t, d->size[i]);
        k[i]->dense_pack(&d->s, d->w, d->b, d->packed[i]);
        d->scratch[i] = trial_scratch(t, k[i]->dense_scratch(&d->s, d->n));
        d->turned[i] = trial_empty(t, k[i]->dense_turn_size(&d->s, d->n));
        d->db[i] = trial_solid(t, d->s.out); /* must not matter */
        k[i]->dense_turn(&d->s, d->n, d->y, d->dy, d->turned[i], d->db[i]);
    }
}

/* Dense sums leave no term out, so what is not finite arrives. */
void check_dense_forward(struct trial *t)
{
    struct pf_dense s = draw_dense(t);
    size_t n = trial_between(t, 1, 21);
    pf_real *w, *b, *x, *y[2], *packed;
    const struct pf_kernels *k[2] = {oracle, t->k};
    void *scratch;

    x = t->odd && !s.zero_is_dead ? trial_solid(t, n * s.in)
                                  : trial_noise(t, n * s.in);
    w = trial_noise(t, s.in * s.out);
    for (size_t i = 0; t->odd && i < s.in * s.out; i++)
        if (w[i] == 0)
            w[i] = (pf_real)0.5;
    b = trial_solid(t, s.out);
    for (int i = 0; i < 2; i++) {
        packed = trial_empty(t, k[i]->dense_size(&s));
        k[i]->dense_pack(&s, w, b, packed);
        y[i] = trial_empty(t, n * s.out);
        scratch = trial_scratch(t, k[i]->dense_scratch(&s, n));
        k[i]->dense_forward(&s, n, x, packed, y[i], scratch);
    }
    trial_close(t, y[1], y[0], n * s.out, s.in);
}

static void zero_dead(const struct setting *d, pf_real *dx)
{
    for (size_t j = 0; d->s.zero_is_dead && j < d->n * d->s.in; j++)
        if (d->x[j] == 0)
            dx[j] = 0;
}

static void gradient(struct trial *t, const struct setting *d, int which,
                     size_t rows, pf_real *grad, pf_real *dx)
{
    const struct pf_kernels *k = which ? t->k : oracle;

    k->dense_pack(&d->s, d->w, d->b, grad); /* is added to */
    for (size_t first = 0, end; first < d->s.in; first = end) {
        end = first + rows < d->s.in ? first + rows : d->s.in;
        k->dense_backward(&d->s, d->n, first, end, d->x, d->turned[which],
                          d->packed[which], NULL, 0, grad, dx,
                          d->scratch[which]);
    }
    if (dx)
        zero_dead(d, dx);
}

static void gathered(struct trial *t, const struct setting *d)
{
    size_t in = d->s.in, out = d->s.out;
    pf_real *grad[2], *dx[2], *dw[2], *db[2], *again, *dx2;
    const struct pf_kernels *k[2] = {oracle, t->k};

    for (int i = 0; i < 2; i++) {
        grad[i] = trial_empty(t, d->size[i]);
        dx[i] = trial_solid(t, d->n * in);
        gradient(t, d, i, in, grad[i], dx[i]);
        dw[i] = trial_empty(t, in * out);
        db[i] = trial_empty(t, out);
        k[i]->dense_unpack(&d->s, grad[i], dw[i], db[i]);
    }
    trial_close(t, dw[1], dw[0], in * out, d->n);
    trial_close(t, dx[1], dx[0], d->n * in, out);
    assert_memory_equal(db[1], d->b, out * sizeof *d->b); /* left alone */
    /* What padding adds gets no gradient; by blocks of rows, the same bits. */
    again = trial_empty(t, d->size[1]);
    t->k->dense_pack(&d->s, dw[1], db[1], again);
    assert_memory_equal(again, grad[1], d->size[1] * sizeof *again);
    dx2 = trial_empty(t, d->n * in);
    gradient(t, d, 1, PF_DENSE_ROWS, again, dx2);
    assert_memory_equal(again, grad[1], d->size[1] * sizeof *again);
    assert_memory_equal(dx2, dx[1], d->n * in * sizeof *dx2);
    gradient(t, d, 1, 3 * PF_DENSE_ROWS, again, NULL);
    assert_memory_equal(again, grad[1], d->size[1] * sizeof *again);
}

/* The gradient goes straight into the weights, which lie somewhere in the
 * model's array. */
static void applied(struct trial *t, const struct setting *d)
{
    size_t in = d->s.in, out = d->s.out, at = trial_between(t, 0, 9), size;
    struct pf_update u = {.rule = (enum pf_rule)trial_between(t, 0, 4),
                          .lr = (pf_real)0.125,
                          .momentum = (pf_real)0.5,
                          .decay = (pf_real)0.25,
                          .beta1 = (pf_real)0.9,
                          .beta2 = (pf_real)0.99,
                          .epsilon = (pf_real)1e-6,
                          .rate = (pf_real)0.125,
                          .correction = 1,
                          .scale = 1};
    pf_real *w[2], *b[2], *v, *dx[2];
    const struct pf_kernels *k[2] = {oracle, t->k};

    for (int i = 0; i < 2; i++) {
        size = at + d->size[i];
        u.w = trial_empty(t, size);
        memcpy(u.w + at, d->packed[i], d->size[i] * sizeof *u.w);
        u.m = trial_empty(t, size);
        u.v = v = trial_empty(t, size);
        w[i] = trial_empty(t, in * out);
        for (size_t j = 0; j < in * out; j++)
            w[i][j] = (pf_real)0.5;
        b[i] = trial_empty(t, out);
        k[i]->dense_pack(&d->s, w[i], b[i], v + at);
        dx[i] = trial_empty(t, d->n * in);
        for (size_t first = 0; first < in; first += PF_DENSE_ROWS)
            k[i]->dense_backward(
                &d->s, d->n, first,
                first + PF_DENSE_ROWS < in ? first + PF_DENSE_ROWS : in, d->x,
                d->turned[i], u.w + at, &u, at, NULL, dx[i], d->scratch[i]);
        k[i]->dense_unpack(&d->s, u.w + at, w[i], b[i]);
        zero_dead(d, dx[i]);
    }
    trial_close(t, w[1], w[0], in * out, 2 * d->n);
    /* By the weights as they were before their own step. */
    trial_close(t, dx[1], dx[0], d->n * in, out);
    assert_memory_equal(b[1], d->b, out * sizeof *b[1]);
    /* Padding stays zero. */
    v = trial_empty(t, d->size[1]);
    t->k->dense_pack(&d->s, w[1], b[1], v);
    assert_memory_equal(v, u.w + at, d->size[1] * sizeof *v);
}

void check_dense_backward(struct trial *t)
{
    struct setting d;

    prepare(t, &d);
    gathered(t, &d);
    applied(t, &d);
}

void check_dense_turn(struct trial *t)
{
    struct setting d;

    prepare(t, &d);
    trial_close(t, d.db[1], d.db[0], d.s.out, d.n);
}

void check_dense_pack(struct trial *t)
{
    struct pf_dense s = draw_dense(t);
    size_t size = t->k->dense_size(&s);
    pf_real *w = trial_solid(t, s.in * s.out), *b = trial_solid(t, s.out);
    pf_real *w2 = trial_empty(t, s.in * s.out), *b2 = trial_empty(t, s.out);
    pf_real *packed = trial_empty(t, size);

    for (size_t i = 0; i < size; i++)
        packed[i] = 7;
    t->k->dense_pack(&s, w, b, packed);
    t->k->dense_unpack(&s, packed, w2, b2);
    assert_memory_equal(w, w2, s.in * s.out * sizeof *w);
    assert_memory_equal(b, b2, s.out * sizeof *b);
    /* The bias as it is, from where dense_bias says. */
    assert_true(t->k->dense_bias(&s) + s.out <= size);
    assert_memory_equal(packed + t->k->dense_bias(&s), b, s.out * sizeof *b);
}

void check_dense_unpack(struct trial *t)
{
    check_dense_pack(t);
}

void check_dense_bias(struct trial *t)
{
    check_dense_pack(t);
}

void check_dense_size(struct trial *t)
{
    struct pf_dense s = draw_dense(t);

    assert_true(t->k->dense_size(&s) >= s.in * s.out + s.out);
}

/* Enough is checked by the pages behind what forward and backward are lent. */
void check_dense_scratch(struct trial *t)
{
    struct pf_dense s = draw_dense(t);

    assert_true(t->k->dense_scratch(&s, 21) < (4u << 20));
}

void check_dense_turn_size(struct trial *t)
{
    struct pf_dense s = draw_dense(t);

    assert_true(t->k->dense_turn_size(&s, 21) < (1u << 20));
}

void check_dense_method(struct trial *t)
{
    struct pf_dense s = draw_dense(t);

    assert_true(strlen(t->k->dense_method(&s)) > 0);
}
