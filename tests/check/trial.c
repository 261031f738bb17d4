#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "guard.h"
#include "trial.h"

enum { BEFORE = 64, CANARY = 0xa5 };

static void *block(struct trial *t, size_t bytes, size_t after)
{
    unsigned char *p = pf_guard_alloc(BEFORE + bytes + after);

    assert_true(t->n_blocks < TRIAL_MOST_BLOCKS);
    memset(p, CANARY, BEFORE);
    t->blocks[t->n_blocks].p = p;
    t->blocks[t->n_blocks++].bytes = BEFORE + bytes + after;
    return p + BEFORE;
}

void *trial_block(struct trial *t, size_t bytes)
{
    return block(t, bytes, t->shift * sizeof(pf_real));
}

void *trial_scratch(struct trial *t, size_t bytes)
{
    void *p = block(t, (bytes + 63) / 64 * 64, 0);

    return memset(p, 0xff, bytes); /* NaN: what it holds must not matter */
}

void trial_end(struct trial *t)
{
    while (t->n_blocks > 0) {
        t->n_blocks--;
        for (size_t i = 0; i < BEFORE; i++)
            assert_int_equal(t->blocks[t->n_blocks].p[i], CANARY);
        pf_guard_free(t->blocks[t->n_blocks].p, t->blocks[t->n_blocks].bytes);
    }
}

size_t trial_between(struct trial *t, size_t min, size_t max)
{
    return min + (size_t)pf_rng_below(&t->rng, t->drawn++, max - min + 1);
}

pf_real *trial_empty(struct trial *t, size_t n)
{
    return trial_block(t, n * sizeof(pf_real));
}

pf_real *trial_noise(struct trial *t, size_t n)
{
    pf_real *p = trial_empty(t, n);

    for (size_t i = 0; i < n; i++) {
        uint64_t at = t->drawn++, kind = pf_rng_below(&t->rng, at, 48);
        if (kind >= 16)
            p[i] = 2 * pf_rng_float(&t->rng, 4 * at + (1u << 20)) - 1;
        else if (kind == 0 && !t->odd) /* 32-bit NEON: 0, and Inf 0 is NaN */
            p[i] = (pf_real)-1e-41;
    }
    return p;
}

pf_real *trial_solid(struct trial *t, size_t n)
{
    pf_real *p = trial_noise(t, n);

    for (size_t i = 0; i < n; i++)
        if (p[i] == 0)
            p[i] = (pf_real)0.25;
    if (t->odd && n > 0)
        p[trial_between(t, 0, n - 1)] =
            trial_between(t, 0, 1) ? (pf_real)NAN : -(pf_real)INFINITY;
    return p;
}

pf_real *trial_copy(struct trial *t, const pf_real *p, size_t n)
{
    pf_real *c = trial_empty(t, n);

    memcpy(c, p, n * sizeof *p);
    return c;
}

void trial_hash(struct trial *t, const void *p, size_t bytes)
{
    const unsigned char *byte = p;

    for (size_t i = 0; i < bytes; i++)
        t->hash = (t->hash ^ byte[i]) * 0x100000001b3u;
}

void trial_close(struct trial *t, const pf_real *a, const pf_real *b, size_t n,
                 size_t terms)
{
    double tolerance = 4e-7 * (1 + (double)terms);

    trial_hash(t, a, n * sizeof *a);
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];

        if ((isnan(x) && isnan(y)) || (isinf(x) && x == y))
            continue;
        if (!(fabs(x - y) <= tolerance * fmax(1, fabs(y))))
            fail_msg("%s: value %zu of %zu is %.9g, the reference says %.9g",
                     t->k->name, i, n, x, y);
    }
}
