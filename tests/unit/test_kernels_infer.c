/* The checks of weights of 16 and 8 bits. Those of bytes are exact: all
 * families give the bits of the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "denormal.h"
#include "half.h"
#include "trial.h"

static const struct pf_kernels *const oracle = &pf_kernels_reference;

/* Of the values up to `most`, both signs and the small ones often. */
static uint16_t *draw_halves(struct trial *t, size_t n, size_t most)
{
    uint16_t *h = trial_block(t, n * sizeof *h);

    for (size_t i = 0; i < n; i++)
        h[i] = (uint16_t)(trial_between(t, 0, 1) << 15 |
                          trial_between(t, 0,
                                        trial_between(t, 0, 3) ? most : 0x3ff));
    return h;
}

static void same_bits(const struct trial *t, const pf_real *a, const pf_real *b,
                      size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 &&
            !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s: value %zu of %zu is %.9g, the reference says %.9g",
                     t->k->name, i, n, (double)a[i], (double)b[i]);
}

void check_half_widen(struct trial *t)
{
    size_t n = trial_between(t, 1, 67);
    uint16_t *h = draw_halves(t, n, 0x7bff); /* all that are finite */
    pf_real *y = trial_empty(t, n);
    uint64_t mode;

    mode = pf_denormals_flush(); /* as tasks run; nothing may be lost */
    t->k->half_widen(n, h, y);
    pf_denormals_restore(mode);
    trial_hash(t, y, n * sizeof *y);
    for (size_t i = 0; i < n; i++) {
        int exponent = h[i] >> 10 & 31;
        double v = ldexp((h[i] & 0x3ff) + (exponent ? 1024 : 0),
                         (exponent ? exponent : 1) - 25);

        assert_true((double)y[i] == (h[i] & 0x8000 ? -v : v));
        assert_int_equal(signbit(y[i]) != 0, h[i] >> 15);
        assert_int_equal(pf_half_of((float)y[i]), h[i]);
    }
}

void check_half_dense(struct trial *t)
{
    struct pf_dense s = {.slope = (pf_real)0.125, .hw = 1};
    size_t n = trial_between(t, 1, 5), panels;
    pf_real *x, *b, *y[2], *one;
    uint16_t *w;

    s.in = s.c = trial_between(t, 1, 150);
    s.out = trial_between(t, 1, 70);
    s.act = (enum pf_act)trial_between(t, 0, 2);
    panels = (s.out + PF_HALF_OUTS - 1) / PF_HALF_OUTS;
    x = trial_between(t, 0, 1) ? trial_solid(t, n * s.in)
                               : trial_noise(t, n * s.in);
    b = trial_noise(t, s.out);
    w = draw_halves(t, panels * s.in * PF_HALF_OUTS, 0x3bff); /* below 1 */
    for (int i = 0; i < 2; i++)
        y[i] = trial_empty(t, n * s.out);
    oracle->half_dense(&s, n, x, w, b, y[0]);
    t->k->half_dense(&s, n, x, w, b, y[1]);
    trial_close(t, y[1], y[0], n * s.out, s.in);
    one = trial_empty(t, s.out);
    t->k->half_dense(&s, 1, x, w, b, one);
    same_bits(t, one, y[1], s.out);
}

void check_int8_scale(struct trial *t)
{
    static const pf_real small[] = {(pf_real)-1e-41, (pf_real)1e-31};
    size_t n = trial_between(t, 1, 67), kind = trial_between(t, 0, 7);
    pf_real *x = trial_solid(t, n), *y = trial_empty(t, 2);

    for (size_t i = 0; kind < 2 && i < n; i++)
        x[i] = i % 2 ? 0 : small[kind];
    y[0] = oracle->int8_scale(n, x);
    assert_true(kind >= 2 || y[0] == 0);
    y[1] = t->k->int8_scale(n, x);
    same_bits(t, y + 1, y, 1);
    trial_hash(t, y + 1, sizeof *y);
}

void check_int8_round(struct trial *t)
{
    size_t n = trial_between(t, 1, 67), kind = trial_between(t, 0, 7);
    pf_real *x = trial_noise(t, n), scale = oracle->int8_scale(n, x);
    int8_t *q[2];

    for (int i = 0; i < 2; i++)
        q[i] = trial_block(t, n);
    if (kind < 2)
        scale = kind ? 0 : (pf_real)NAN;
    oracle->int8_round(n, x, scale, q[0]);
    t->k->int8_round(n, x, scale, q[1]);
    assert_memory_equal(q[1], q[0], n);
    trial_hash(t, q[1], n);
    for (size_t i = 0; !(scale > 0) && i < n; i++)
        assert_int_equal(q[0][i], 0);
    for (size_t i = 0; scale > 0 && i < n; i++) {
        assert_true(q[0][i] >= -127);
        assert_true(fabs((double)x[i] - (double)scale * q[0][i]) <=
                    0.50001 * (double)scale);
    }
}

/* Bytes in -127..127, the extremes often: a sum that saturates shows. */
static int8_t *draw_bytes(struct trial *t, size_t n)
{
    int8_t *q = trial_block(t, n);

    for (size_t i = 0; i < n; i++)
        q[i] = (int8_t)(trial_between(t, 0, 1)
                            ? (trial_between(t, 0, 3) ? 127 : -127)
                            : (int)trial_between(t, 0, 254) - 127);
    return q;
}

/* Some processors make zeros of denormal numbers whatever their mode. */
static pf_real *draw_normal(struct trial *t, size_t n)
{
    pf_real *x = trial_noise(t, n);

    for (size_t i = 0; i < n; i++)
        if (!(x[i] > (pf_real)1e-30 || x[i] < (pf_real)-1e-30))
            x[i] = 0;
    return x;
}

void check_int8_sums(struct trial *t)
{
    struct pf_int8 s = {.slope = (pf_real)0.125};
    size_t panels, x_bytes, x_step = trial_between(t, 0, 1);
    int deep = trial_between(t, 0, 15) == 0; /* sums that no float holds */
    pf_real *scale, *bias, *x_scale, *y[2];
    int8_t *x, *w;

    s.rows = trial_between(t, 1, 5);
    s.quads = deep ? 2001 : trial_between(t, 1, 12);
    s.row_step = trial_between(t, 1, 60);
    s.step = trial_between(t, 1, 60);
    s.n = trial_between(t, 1, 19);
    s.out = trial_between(t, 1, 40);
    s.act = (enum pf_act)trial_between(t, 0, 2);
    panels = (s.out + PF_INT8_OUTS - 1) / PF_INT8_OUTS;
    x_bytes = (s.rows - 1) * s.row_step + (s.n - 1) * s.step + 4 * s.quads;
    x = draw_bytes(t, x_bytes);
    s.positive = (int)trial_between(t, 0, 1);
    for (size_t i = 0; s.positive && i < x_bytes; i++)
        x[i] = (int8_t)(x[i] < 0 ? -x[i] : x[i]);
    s.w = w = draw_bytes(t, panels * s.rows * s.quads * PF_INT8_OUTS * 4);
    if (deep) {
        memset(x, 127, x_bytes);
        memset(w, 127, panels * s.rows * s.quads * PF_INT8_OUTS * 4);
    }
    scale = draw_normal(t, panels * PF_INT8_OUTS);
    bias = draw_normal(t, panels * PF_INT8_OUTS);
    x_scale = draw_normal(t, s.n);
    if (t->odd)
        x_scale[s.n / 2] = (pf_real)NAN;
    s.scale = scale;
    s.bias = bias;
    for (int i = 0; i < 2; i++)
        y[i] = trial_empty(t, s.n * s.out);
    oracle->int8_sums(&s, x, x_scale, x_step, y[0]);
    t->k->int8_sums(&s, x, x_scale, x_step, y[1]);
    same_bits(t, y[1], y[0], s.n * s.out);
    trial_hash(t, y[1], s.n * s.out * sizeof **y);
}
