#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rng.h"

/* Random123's kat_vectors, philox4x32, 10 rounds. */
static void gives_the_published_vector(void **state)
{
    static const uint32_t want[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c,
                                    0x9b00dbd8};
    struct pf_rng r = {{0, 0}};
    uint32_t w[4];

    (void)state;
    pf_rng_block(&r, 0, w);
    assert_memory_equal(w, want, sizeof w);
}

/* The other two published vectors set all four counter words, which only
 * pf_rng_make does: its key is the first half of the block. */
static void the_derived_key_is_the_published_block(void **state)
{
    struct pf_rng r;

    (void)state;
    r = pf_rng_make(UINT64_MAX, UINT64_MAX, UINT32_MAX,
                    (enum pf_rng_purpose)UINT32_MAX);
    assert_int_equal(r.key[0], 0x408f276d);
    assert_int_equal(r.key[1], 0x41c83b0e);
    /* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
    r = pf_rng_make(0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x13198a2e,
                    (enum pf_rng_purpose)0x03707344);
    assert_int_equal(r.key[0], 0xd16cfe09);
    assert_int_equal(r.key[1], 0x94fdcceb);
}

static void one_sequence_seen_in_several_widths(void **state)
{
    struct pf_rng r = pf_rng_make(1, 2, 3, PF_RNG_TEST);
    uint32_t w[4];
    uint64_t i;

    (void)state;
    for (i = 0; i < 64; i++) {
        pf_rng_block(&r, i / 4, w);
        assert_int_equal(pf_rng_u32(&r, i), w[i % 4]);
        assert_true(pf_rng_float(&r, i) ==
                    (float)(pf_rng_u32(&r, i) >> 8) / 16777216.0f);
        assert_true(pf_rng_u64(&r, i) ==
                    (pf_rng_u32(&r, 2 * i) | (uint64_t)pf_rng_u32(&r, 2 * i + 1)
                                                 << 32));
        assert_true(pf_rng_double(&r, i) >= 0 && pf_rng_double(&r, i) < 1);
    }
}

static void each_argument_makes_another_sequence(void **state)
{
    struct pf_rng a = pf_rng_make(1, 1, 1, PF_RNG_INIT);
    struct pf_rng b[] = {
        pf_rng_make(2, 1, 1, PF_RNG_INIT), pf_rng_make(1, 2, 1, PF_RNG_INIT),
        pf_rng_make(1, 1, 2, PF_RNG_INIT), pf_rng_make(1, 1, 1, PF_RNG_SHUFFLE),
        pf_rng_make(1, (uint64_t)1 << 32, 1, PF_RNG_INIT)};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof b / sizeof *b; i++)
        assert_false(pf_rng_u64(&a, 0) == pf_rng_u64(&b[i], 0));
}

static void numbers_below_n_are_even(void **state)
{
    struct pf_rng r = pf_rng_make(7, 0, 0, PF_RNG_TEST);
    uint64_t i, third = (uint64_t)1 << 62,
                big = (uint64_t)3 << 62; /* a quarter is drawn anew */
    unsigned count[7] = {0}, low = 0;

    (void)state;
    for (i = 0; i < 70000; i++)
        count[pf_rng_below(&r, i, 7)]++;
    for (i = 0; i < 7; i++) /* sd 93 */
        assert_in_range(count[i], 9600, 10400);
    for (i = 0; i < 1000; i++) {
        uint64_t v = pf_rng_below(&r, i, big);

        assert_true(v < big);
        low += v < third;
    }
    assert_in_range(low, 270, 400); /* 333, sd 15; by % alone 500 */
    assert_int_equal(pf_rng_below(&r, 5, 1), 0);
}

static void a_permutation_holds_each_number_once(void **state)
{
    struct pf_rng r = pf_rng_make(7, 1, 0, PF_RNG_SHUFFLE);
    static uint32_t p[1000];
    static uint8_t seen[1000];
    unsigned at_home = 0;
    uint32_t i;

    (void)state;
    pf_rng_permutation(&r, 1000, p);
    for (i = 0; i < 1000; i++) {
        assert_true(p[i] < 1000);
        assert_int_equal(seen[p[i]]++, 0);
        at_home += p[i] == i;
    }
    assert_true(at_home < 10); /* one is expected */
    pf_rng_permutation(&r, 0, p);
    pf_rng_permutation(&r, 1, p);
    assert_int_equal(p[0], 0);
}

static void each_order_of_three_is_as_likely(void **state)
{
    unsigned count[27] = {0}, seen = 0;
    uint32_t p[3], i;

    (void)state;
    for (i = 0; i < 12000; i++) {
        struct pf_rng r = pf_rng_make(1, i, 0, PF_RNG_SHUFFLE);

        pf_rng_permutation(&r, 3, p);
        count[p[0] * 9 + p[1] * 3 + p[2]]++;
    }
    for (i = 0; i < 27; i++) {
        if (!count[i])
            continue;
        seen++;
        assert_in_range(count[i], 1800, 2200); /* sd 41 */
    }
    assert_int_equal(seen, 6);
}

static void normals_have_mean_variance_and_tails(void **state)
{
    struct pf_rng r = pf_rng_make(3, 0, 0, PF_RNG_TEST);
    double x, sum = 0, squares = 0;
    unsigned beyond2 = 0, n = 100000;
    uint64_t i;

    (void)state;
    for (i = 0; i < n; i++) {
        x = pf_rng_normal(&r, i);
        sum += x;
        squares += x * x;
        beyond2 += x > 2 || x < -2;
    }
    assert_true(fabs(sum / n) < 0.02);         /* sd 0.003 */
    assert_true(fabs(squares / n - 1) < 0.03); /* sd 0.0045 */
    assert_in_range(beyond2, 4250, 4850);      /* 4550, sd 66 */
}

/* Numbers that training depends on must never change. */
static void the_sequence_is_frozen(void **state)
{
    struct pf_rng r = pf_rng_make(42, 7, 3, PF_RNG_INIT);

    (void)state;
    assert_int_equal(r.key[0], 0x2361d9fb);
    assert_int_equal(r.key[1], 0x187bf7ff);
    assert_int_equal(pf_rng_u32(&r, 5), 0x040f0e3a);
    assert_true(pf_rng_normal(&r, 0) == -0x1.b78fa84a53708p-2);
    assert_int_equal(pf_rng_below(&r, 9, 1000000), 454540);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_vector),
        cmocka_unit_test(the_derived_key_is_the_published_block),
        cmocka_unit_test(one_sequence_seen_in_several_widths),
        cmocka_unit_test(each_argument_makes_another_sequence),
        cmocka_unit_test(numbers_below_n_are_even),
        cmocka_unit_test(a_permutation_holds_each_number_once),
        cmocka_unit_test(each_order_of_three_is_as_likely),
        cmocka_unit_test(normals_have_mean_variance_and_tails),
        cmocka_unit_test(the_sequence_is_frozen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
