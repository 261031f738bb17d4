/* Every family against the reference, over the list of kernels: a kernel that
 * joins PF_KERNELS needs a function check_<name> here or this does not
 * compile.  All buffers end at a guard page; every fourth trial plants a NaN
 * or an infinity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "guard.h"
#include "kernels.h"
#include "rng.h"

#define TRIALS 160

static const struct pf_kernels *const oracle = &pf_kernels_reference;

/* One trial: where its random numbers come from and what it allocated. */
struct trial {
    const struct pf_kernels *k;
    struct pf_rng rng;
    uint64_t drawn;
    int odd; /* a NaN or an infinity is planted */
    size_t n_blocks;
    struct {
        void *p;
        size_t bytes;
    } blocks[32];
};

static void *block(struct trial *t, size_t bytes)
{
    void *p = pf_guard_alloc(bytes);

    assert_true(t->n_blocks < 32);
    t->blocks[t->n_blocks].p = p;
    t->blocks[t->n_blocks++].bytes = bytes;
    return p;
}

static size_t between(struct trial *t, size_t min, size_t max)
{
    return min + (size_t)pf_rng_below(&t->rng, t->drawn++, max - min + 1);
}

static pf_real *empty(struct trial *t, size_t n)
{
    return block(t, n * sizeof(pf_real));
}

/* Numbers in [-1, 1), a third of them zero. */
static pf_real *noise(struct trial *t, size_t n)
{
    pf_real *p = empty(t, n);

    for (size_t i = 0; i < n; i++) {
        uint64_t at = t->drawn++;
        if (pf_rng_below(&t->rng, at, 3) > 0)
            p[i] = 2 * pf_rng_float(&t->rng, 4 * at + (1u << 20)) - 1;
    }
    return p;
}

/* The same, no zero, and in odd trials one value that is not finite: for what
 * the formula multiplies by zeros that a family may leave out. */
static pf_real *solid(struct trial *t, size_t n)
{
    pf_real *p = noise(t, n);

    for (size_t i = 0; i < n; i++)
        if (p[i] == 0)
            p[i] = (pf_real)0.25;
    if (t->odd && n > 0)
        p[between(t, 0, n - 1)] =
            between(t, 0, 1) ? (pf_real)NAN : -(pf_real)INFINITY;
    return p;
}

static pf_real *copy(struct trial *t, const pf_real *p, size_t n)
{
    pf_real *c = empty(t, n);

    memcpy(c, p, n * sizeof *p);
    return c;
}

/* a and b are sums of `terms` products of size about 1. */
static void assert_close(const pf_real *a, const pf_real *b, size_t n,
                         size_t terms)
{
    double tolerance = 4e-7 * (1 + (double)terms);

    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        if (isnan(x) && isnan(y))
            continue;
        if (isinf(x) && x == y)
            continue;
        if (!(fabs(x - y) <= tolerance))
            fail_msg("value %zu of %zu is %g, the reference says %g", i, n, x,
                     y);
    }
}

static struct pf_conv draw_conv(struct trial *t, size_t *n)
{
    struct pf_conv s;

    s.c = between(t, 1, 9);
    s.o = between(t, 1, 21);
    s.k = between(t, 1, 5);
    s.pad = between(t, 0, s.k - 1);
    s.stride = between(t, 1, 3);
    s.h = between(t, s.k, 13);
    s.w = between(t, s.k, 17);
    s.oh = (s.h + 2 * s.pad - s.k) / s.stride + 1;
    s.ow = (s.w + 2 * s.pad - s.k) / s.stride + 1;
    *n = between(t, 1, 3);
    return s;
}

static void check_conv_forward(struct trial *t)
{
    size_t n, m;
    struct pf_conv s = draw_conv(t, &n);
    pf_real *x = solid(t, n * s.h * s.w * s.c);
    pf_real *w = noise(t, s.o * s.c * s.k * s.k), *b = solid(t, s.o);
    pf_real *y[2];

    m = n * s.oh * s.ow * s.o;
    y[0] = empty(t, m);
    y[1] = empty(t, m);
    oracle->conv_forward(&s, n, x, w, b, y[0], NULL);
    t->k->conv_forward(&s, n, x, w, b, y[1], block(t, t->k->conv_scratch(&s)));
    assert_close(y[1], y[0], m, s.c * s.k * s.k);
}

static void check_conv_backward_weights(struct trial *t)
{
    size_t n;
    struct pf_conv s = draw_conv(t, &n);
    size_t weights = s.o * s.c * s.k * s.k;
    pf_real *x = noise(t, n * s.h * s.w * s.c), *dy, *dw[2], *db[2];

    dy = solid(t, n * s.oh * s.ow * s.o);
    if (!t->odd)
        dy = noise(t, n * s.oh * s.ow * s.o);
    dw[0] = noise(t, weights);
    dw[1] = copy(t, dw[0], weights);
    db[0] = noise(t, s.o);
    db[1] = copy(t, db[0], s.o);
    oracle->conv_backward_weights(&s, n, x, dy, dw[0], db[0], NULL);
    t->k->conv_backward_weights(&s, n, x, dy, dw[1], db[1],
                                block(t, t->k->conv_scratch(&s)));
    assert_close(dw[1], dw[0], weights, n * s.oh * s.ow);
    assert_close(db[1], db[0], s.o, n * s.oh * s.ow);
}

static void check_conv_backward_input(struct trial *t)
{
    size_t n, m;
    struct pf_conv s = draw_conv(t, &n);
    pf_real *w = noise(t, s.o * s.c * s.k * s.k), *dy, *dx[2];

    dy = solid(t, n * s.oh * s.ow * s.o);
    if (!t->odd)
        dy = noise(t, n * s.oh * s.ow * s.o);
    m = n * s.h * s.w * s.c;
    dx[0] = solid(t, m); /* what was there must not matter */
    dx[1] = solid(t, m);
    oracle->conv_backward_input(&s, n, w, dy, dx[0], NULL);
    t->k->conv_backward_input(&s, n, w, dy, dx[1],
                              block(t, t->k->conv_scratch(&s)));
    assert_close(dx[1], dx[0], m, s.o * s.k * s.k);
}

static void check_conv_scratch(struct trial *t)
{
    size_t n;
    struct pf_conv s = draw_conv(t, &n);

    /* Enough is checked by the guard pages; it must not grow without need. */
    assert_true(t->k->conv_scratch(&s) < (1u << 20));
}

static struct pf_pool draw_pool(struct trial *t, size_t *n)
{
    struct pf_pool s;

    s.c = between(t, 1, 19);
    s.size = between(t, 1, 4);
    s.stride = between(t, 1, 4);
    s.h = between(t, s.size, 11);
    s.w = between(t, s.size, 13);
    s.oh = (s.h - s.size) / s.stride + 1;
    s.ow = (s.w - s.size) / s.stride + 1;
    *n = between(t, 1, 3);
    return s;
}

/* Pooling is exact: values and places, also among equals. */
static void check_pool_forward(struct trial *t)
{
    size_t n, m;
    struct pf_pool s = draw_pool(t, &n);
    pf_real *x = solid(t, n * s.h * s.w * s.c), *y[2];
    uint32_t *where[2];

    for (size_t i = 0; i < n * s.h * s.w * s.c; i += 2)
        if (isfinite(x[i]))
            x[i] = (pf_real)0.5;
    m = n * s.oh * s.ow * s.c;
    for (int i = 0; i < 2; i++) {
        y[i] = empty(t, m);
        where[i] = block(t, m * sizeof(uint32_t));
    }
    oracle->pool_forward(&s, n, x, y[0], where[0]);
    t->k->pool_forward(&s, n, x, y[1], where[1]);
    assert_close(y[1], y[0], m, 0);
    assert_memory_equal(where[1], where[0], m * sizeof(uint32_t));
}

static void check_pool_backward(struct trial *t)
{
    size_t n, m, in;
    struct pf_pool s = draw_pool(t, &n);
    pf_real *x = noise(t, n * s.h * s.w * s.c), *y, *dy, *dx[2];
    uint32_t *where;

    m = n * s.oh * s.ow * s.c;
    in = n * s.h * s.w * s.c;
    y = empty(t, m);
    dy = solid(t, m);
    where = block(t, m * sizeof(uint32_t));
    oracle->pool_forward(&s, n, x, y, where);
    dx[0] = solid(t, in);
    dx[1] = solid(t, in);
    oracle->pool_backward(&s, n, dy, where, dx[0]);
    t->k->pool_backward(&s, n, dy, where, dx[1]);
    assert_close(dx[1], dx[0], in, s.size * s.size);
}

static void check_dense_forward(struct trial *t)
{
    size_t n = between(t, 1, 7), in = between(t, 1, 67);
    size_t out = between(t, 1, 67);
    pf_real *x = solid(t, n * in), *w = solid(t, out * in);
    pf_real *b = solid(t, out), *y[2];

    y[0] = empty(t, n * out);
    y[1] = empty(t, n * out);
    oracle->dense_forward(n, in, out, x, w, b, y[0]);
    t->k->dense_forward(n, in, out, x, w, b, y[1]);
    assert_close(y[1], y[0], n * out, in);
}

static void check_dense_backward_weights(struct trial *t)
{
    size_t n = between(t, 1, 9), in = between(t, 1, 67);
    size_t out = between(t, 1, 67);
    pf_real *x = solid(t, n * in), *dy, *dw[2], *db[2];

    dy = t->odd ? solid(t, n * out) : noise(t, n * out);
    dw[0] = noise(t, out * in);
    dw[1] = copy(t, dw[0], out * in);
    db[0] = noise(t, out);
    db[1] = copy(t, db[0], out);
    oracle->dense_backward_weights(n, in, out, x, dy, dw[0], db[0]);
    t->k->dense_backward_weights(n, in, out, x, dy, dw[1], db[1]);
    assert_close(dw[1], dw[0], out * in, n);
    assert_close(db[1], db[0], out, n);
}

static void check_dense_backward_input(struct trial *t)
{
    size_t n = between(t, 1, 7), in = between(t, 1, 67);
    size_t out = between(t, 1, 600); /* more than one list of terms */
    pf_real *w = solid(t, out * in), *dy, *dx[2];

    dy = t->odd ? solid(t, n * out) : noise(t, n * out);
    dx[0] = solid(t, n * in);
    dx[1] = solid(t, n * in);
    oracle->dense_backward_input(n, in, out, w, dy, dx[0]);
    t->k->dense_backward_input(n, in, out, w, dy, dx[1]);
    assert_close(dx[1], dx[0], n * in, out);
}

static void check_relu_forward(struct trial *t)
{
    size_t n = between(t, 1, 67);
    pf_real *x = solid(t, n), *y[2];

    y[0] = empty(t, n);
    y[1] = empty(t, n);
    oracle->relu_forward(n, x, y[0]);
    t->k->relu_forward(n, x, y[1]);
    assert_close(y[1], y[0], n, 0);
    t->k->relu_forward(n, x, x);
    assert_close(x, y[0], n, 0);
}

static void check_relu_backward(struct trial *t)
{
    size_t n = between(t, 1, 67);
    pf_real *y = noise(t, n), *dy = solid(t, n), *dx[2];

    if (t->odd)
        y[n / 2] = (pf_real)NAN;
    dx[0] = empty(t, n);
    dx[1] = empty(t, n);
    oracle->relu_backward(n, y, dy, dx[0]);
    t->k->relu_backward(n, y, dy, dx[1]);
    assert_close(dx[1], dx[0], n, 0);
    t->k->relu_backward(n, y, dy, dy);
    assert_close(dy, dx[0], n, 0);
}

static void check_channels_first(struct trial *t)
{
    size_t n = between(t, 1, 3), c = between(t, 1, 19);
    size_t hw = between(t, 1, 67);
    pf_real *x = solid(t, n * c * hw), *y[2];

    y[0] = empty(t, n * c * hw);
    y[1] = empty(t, n * c * hw);
    oracle->channels_first(n, c, hw, x, y[0]);
    t->k->channels_first(n, c, hw, x, y[1]);
    assert_memory_equal(y[1], y[0], n * c * hw * sizeof *x);
}

static void check_channels_last(struct trial *t)
{
    size_t n = between(t, 1, 3), c = between(t, 1, 19);
    size_t hw = between(t, 1, 67);
    pf_real *x = solid(t, n * c * hw), *y = empty(t, n * c * hw);
    pf_real *back = empty(t, n * c * hw);

    t->k->channels_last(n, c, hw, x, y);
    oracle->channels_first(n, c, hw, y, back);
    assert_memory_equal(back, x, n * c * hw * sizeof *x);
}

static void check_sgd(struct trial *t)
{
    size_t n = between(t, 1, 67);
    struct pf_sgd_step s = {(pf_real)0.1, (pf_real)0.9, (pf_real)0.01};
    pf_real *g = solid(t, n), *w[2], *v[2];

    w[0] = noise(t, n);
    w[1] = copy(t, w[0], n);
    v[0] = noise(t, n);
    v[1] = copy(t, v[0], n);
    oracle->sgd(&s, n, g, w[0], v[0]);
    t->k->sgd(&s, n, g, w[1], v[1]);
    assert_close(v[1], v[0], n, 2);
    oracle->sgd(&s, n, g, w[0], NULL);
    t->k->sgd(&s, n, g, w[1], NULL);
    assert_close(w[1], w[0], n, 2);
}

static void check_adam(struct trial *t)
{
    size_t n = between(t, 1, 67);
    struct pf_adam_step s = {(pf_real)0.01, (pf_real)0.9, (pf_real)0.999,
                             (pf_real)1e-8, (pf_real)0.1, (pf_real)1.5};
    pf_real *g = solid(t, n), *w[2], *m[2], *v[2];

    w[0] = noise(t, n);
    m[0] = noise(t, n);
    v[0] = noise(t, n);
    for (size_t i = 0; i < n; i++)
        v[0][i] = v[0][i] * v[0][i];
    w[1] = copy(t, w[0], n);
    m[1] = copy(t, m[0], n);
    v[1] = copy(t, v[0], n);
    oracle->adam(&s, n, g, w[0], m[0], v[0]);
    t->k->adam(&s, n, g, w[1], m[1], v[1]);
    assert_close(m[1], m[0], n, 2);
    assert_close(v[1], v[0], n, 2);
    assert_close(w[1], w[0], n, 2);
}

#define CHECK_ROW(name, type, args) {#name, check_##name},
static const struct {
    const char *name;
    void (*check)(struct trial *t);
} checks[] = {PF_KERNELS(CHECK_ROW)};

static void every_family_agrees_with_the_reference(void **state)
{
    const char *const *names = pf_kernels_names();

    (void)state;
    for (size_t f = 0; names[f]; f++)
        for (size_t c = 0; c < sizeof checks / sizeof *checks; c++)
            for (uint32_t i = 0; i < TRIALS; i++) {
                struct trial t = {.k = pf_kernels_find(names[f]),
                                  .odd = i % 4 == 3};
                t.rng = pf_rng_make(i, c, (uint32_t)f, PF_RNG_TEST);
                checks[c].check(&t);
                while (t.n_blocks > 0) {
                    t.n_blocks--;
                    pf_guard_free(t.blocks[t.n_blocks].p,
                                  t.blocks[t.n_blocks].bytes);
                }
            }
}

static void bits_do_not_depend_on_alignment(void **state)
{
    struct pf_conv s = {3, 9, 11, 7, 3, 1, 1, 9, 11};
    struct trial t = {.k = pf_kernels_find("portable")};
    size_t in = 9 * 11 * 3, out = 9 * 11 * 7, weights = 7 * 27;
    pf_real *x, *w, *b, *y[2], *moved, *scratch;
    size_t bytes = t.k->conv_scratch(&s);

    (void)state;
    t.rng = pf_rng_make(1, 0, 0, PF_RNG_TEST);
    x = noise(&t, in);
    w = noise(&t, weights);
    b = noise(&t, 7);
    scratch = block(&t, bytes + 16);
    for (size_t shift = 0; shift < 4; shift++) {
        moved = (pf_real *)block(&t, (in + 4) * sizeof *x) + shift;
        memcpy(moved, x, in * sizeof *x);
        y[0] = empty(&t, out);
        y[1] = (pf_real *)block(&t, (out + 4) * sizeof *x) + shift;
        t.k->conv_forward(&s, 1, x, w, b, y[0], scratch);
        t.k->conv_forward(&s, 1, moved, w, b, y[1], scratch + shift);
        assert_memory_equal(y[0], y[1], out * sizeof *x);
    }
    while (t.n_blocks-- > 0)
        pf_guard_free(t.blocks[t.n_blocks].p, t.blocks[t.n_blocks].bytes);
}

static void a_family_is_found_by_its_name(void **state)
{
    const char *const *names = pf_kernels_names();

    (void)state;
    assert_non_null(names[0]);
    for (size_t i = 0; names[i]; i++)
        assert_string_equal(pf_kernels_find(names[i])->name, names[i]);
    assert_null(pf_kernels_find("avx1024"));
}

/* Runs first: the choice of a process is made once. */
static void an_unknown_family_is_refused_and_a_known_one_kept(void **state)
{
    const struct pf_kernels *k = NULL;
    struct pf_error err = {0};

    (void)state;
    setenv("POCKETFED_KERNELS", "portabel", 1);
    assert_int_equal(pf_kernels_get(&k, &err), POCKETFED_CONFIG);
    assert_null(k);
    assert_non_null(strstr(err.text, "portabel"));
    assert_non_null(strstr(err.hint, "portable"));
    setenv("POCKETFED_KERNELS", "reference", 1);
    assert_int_equal(pf_kernels_get(&k, &err), POCKETFED_OK);
    assert_string_equal(k->name, "reference");
    setenv("POCKETFED_KERNELS", "portable", 1);
    assert_int_equal(pf_kernels_get(&k, &err), POCKETFED_OK);
    assert_string_equal(k->name, "reference");
    unsetenv("POCKETFED_KERNELS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_family_is_refused_and_a_known_one_kept),
        cmocka_unit_test(a_family_is_found_by_its_name),
        cmocka_unit_test(every_family_agrees_with_the_reference),
        cmocka_unit_test(bits_do_not_depend_on_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
