#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "crypto.h"
#include "frame.h"
#include "rng.h"
#include "sum.h"

/* Quantum 1/2: numbers that can be checked by eye. */
static const struct pf_plan_update halves = {.range = 16384, .bits = 16};

static int64_t once(const struct pf_plan_update *u, float x)
{
    struct pf_sum s;
    int64_t v;

    assert_int_equal(pf_sum_init(&s, 1), POCKETFED_OK);
    pf_sum_add(&s, u, 0, &x, 1, 1, 1);
    v = s.value[0];
    pf_sum_free(&s);
    return v;
}

static void rounds_to_the_nearest_and_ties_to_even(void **state)
{
    static const struct {
        float x;
        int64_t want;
    } row[] = {
        {0, 0},          {-0.0f, 0},        {0.25f, 0},
        {0.26f, 1},      {0.5f, 1},         {0.75f, 2},
        {-0.25f, 0},     {-0.26f, -1},      {-0.75f, -2},
        {1.25f, 2},      {1.75f, 4},        {-1.25f, -2},
        {1e-40f, 0},     {-1e-40f, 0},      {3.0f, 6},
        {0.2499999f, 0}, {12345.5f, 24691},
    };

    (void)state;
    assert_int_equal(pf_plan_shift(&halves), 1);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        assert_int_equal(once(&halves, row[i].x), row[i].want);
}

static void clamps_to_the_range_and_counts_it(void **state)
{
    const float x[] = {16384, -16384, 16383.5f, -16383.5f,
                       3e38f, -3e38f, 16383};
    struct pf_sum s;

    (void)state;
    assert_int_equal(pf_sum_init(&s, 7), POCKETFED_OK);
    pf_sum_add(&s, &halves, 0, x, 7, 1, 1);
    assert_int_equal(s.value[0], 32767);
    assert_int_equal(s.value[1], -32767);
    assert_int_equal(s.value[2], 32767);
    assert_int_equal(s.value[3], -32767);
    assert_int_equal(s.value[4], 32767);
    assert_int_equal(s.value[5], -32767);
    assert_int_equal(s.value[6], 32766);
    assert_int_equal(s.saturated, 4);
    pf_sum_free(&s);
}

static void counts_what_is_clamped_at_every_width(void **state)
{
    (void)state;
    for (uint32_t bits = 16; bits <= 48; bits++) {
        struct pf_plan_update u = {.range = 4, .bits = bits};
        const float x[] = {4, -4, 3.9990234f, 0, 5};

        /* The limit is one quantum below the range. */
        assert_int_equal(pf_sum_saturated(&u, x, 5), 3);
        assert_int_equal(once(&u, 4), (INT64_C(1) << (bits - 1)) - 1);
        assert_int_equal(once(&u, 1), INT64_C(1) << (bits - 3));
    }
}

static void weighs_each_number(void **state)
{
    const float a[] = {1, 2}, b[] = {-3, 0.5f};
    struct pf_sum s;

    (void)state;
    assert_int_equal(pf_sum_init(&s, 3), POCKETFED_OK);
    pf_sum_add(&s, &halves, 1, a, 2, 3, 1);
    pf_sum_add(&s, &halves, 1, b, 2, 5, 1);
    s.weight = 8;
    assert_int_equal(s.value[0], 0);
    assert_int_equal(s.value[1], 3 * 2 - 5 * 6);
    assert_int_equal(s.value[2], 3 * 4 + 5 * 1);
    assert_true(pf_sum_mean(&s, &halves, 1) == (3 * 1 - 5 * 3) / 8.0);
    assert_true(pf_sum_mean(&s, &halves, 2) == (3 * 2 + 5 * 0.5) / 8.0);
    pf_sum_clear(&s);
    assert_int_equal(s.value[1], 0);
    assert_int_equal(s.weight, 0);
    pf_sum_free(&s);
}

/* Products around 2^51, where one way of multiplying ends. */
static void heavy_and_light_weights_give_the_same_integers(void **state)
{
    struct pf_rng rng = pf_rng_make(2, 0, 0, PF_RNG_TEST);
    enum { DIM = 300 };

    (void)state;
    for (uint32_t bits = 16; bits <= 48; bits++) {
        struct pf_plan_update u = {.range = 4, .bits = bits};
        uint64_t edge = UINT64_C(1) << (52 - bits), w;
        int64_t unit[DIM];
        float x[DIM];
        struct pf_sum s;

        assert_int_equal(pf_sum_init(&s, DIM), POCKETFED_OK);
        for (uint64_t i = 0; i < DIM; i++)
            x[i] = (float)(10 * pf_rng_double(&rng, bits * DIM + i) - 5);
        pf_sum_add(&s, &u, 0, x, DIM, 1, 1);
        memcpy(unit, s.value, sizeof unit);
        for (w = edge > 2 ? edge - 2 : 1; w <= edge + 2; w++) {
            pf_sum_clear(&s);
            pf_sum_add(&s, &u, 0, x, DIM, w, 1);
            for (size_t i = 0; i < DIM; i++)
                assert_true(s.value[i] == unit[i] * (int64_t)w);
        }
        pf_sum_free(&s);
    }
}

static void the_mean_is_within_half_a_quantum(void **state)
{
    enum { UPDATES = 9, DIM = 500 };
    struct pf_rng rng = pf_rng_make(1, 0, 0, PF_RNG_TEST);
    const struct pf_plan_update u = {.range = 4, .bits = 32};
    const double quantum = 1.0 / (1 << 29);
    double exact[DIM] = {0}, weight = 0;
    struct pf_sum s;

    (void)state;
    assert_int_equal(pf_sum_init(&s, DIM), POCKETFED_OK);
    for (uint64_t k = 0; k < UPDATES; k++) {
        uint64_t w = 1 + pf_rng_below(&rng, 7000 + k, 1000);
        float x[DIM];

        for (uint64_t i = 0; i < DIM; i++) {
            x[i] = (float)pf_rng_normal(&rng, k * DIM + i) / 2;
            exact[i] += (double)w * (double)x[i];
        }
        pf_sum_add(&s, &u, 0, x, DIM, w, 1);
        s.weight += w;
        weight += (double)w;
    }
    assert_int_equal(s.saturated, 0);
    for (size_t i = 0; i < DIM; i++) {
        double off = pf_sum_mean(&s, &u, i) - exact[i] / weight;

        assert_true(off <= 0.5000001 * quantum && off >= -0.5000001 * quantum);
    }
    pf_sum_free(&s);
}

static void the_largest_sum_that_a_plan_allows_does_not_overflow(void **state)
{
    const struct pf_plan_update u = {.range = 1, .bits = 32};
    const float x[] = {1, -1};
    struct pf_sum s;

    (void)state;
    assert_int_equal(pf_sum_init(&s, 2), POCKETFED_OK);
    /* 2^32 in weight, 2^31 - 1 each: one bit below 2^63. */
    for (int i = 0; i < 4; i++)
        pf_sum_add(&s, &u, 0, x, 2, UINT64_C(1) << 30, 1);
    assert_int_equal(s.value[0], INT64_C(2147483647) << 32);
    assert_int_equal(s.value[1], -(INT64_C(2147483647) << 32));
    pf_sum_free(&s);
}

static void folds_a_frame_as_if_added_by_hand(void **state)
{
    enum { DIM = PF_ADMIT_BLOCK * 2 + 77 };
    static float x[DIM], scratch[PF_ADMIT_BLOCK];
    static const char *const codecs[] = {"f32", "f16"};
    struct pf_sum a, b;
    struct frame f;

    (void)state;
    for (int i = 0; i < DIM; i++)
        x[i] = (float)(i % 97 - 48) / 64; /* exact in f16 as well */
    frame_init(&f, DIM);
    for (int k = 0; k < 2; k++) {
        memcpy(f.plan.update.codec, codecs[k], 4);
        frame_make(&f, codecs[k], x, DIM);
        assert_int_equal(pf_sum_init(&a, DIM), POCKETFED_OK);
        assert_int_equal(pf_sum_init(&b, DIM), POCKETFED_OK);
        assert_int_equal(
            pf_sum_fold(&a, &f.plan, f.bytes.data, f.bytes.len, 7, 1, scratch),
            POCKETFED_OK);
        pf_sum_add(&b, &f.plan.update, 0, x, DIM, 7, 1);
        assert_memory_equal(a.value, b.value, DIM * sizeof *a.value);
        assert_int_equal(a.updates, 1);
        assert_int_equal(a.weight, 7);
        pf_sum_free(&a);
        pf_sum_free(&b);
    }
    frame_free(&f);
}

static void a_frame_that_was_never_admitted_is_malformed(void **state)
{
    const float x[4] = {1, 2, 3, 4};
    static float scratch[PF_ADMIT_BLOCK];
    struct pf_sum s;
    struct frame f;

    (void)state;
    frame_init(&f, 4);
    frame_make(&f, "f32", x, 4);
    assert_int_equal(pf_sum_init(&s, 5), POCKETFED_OK);
    assert_int_equal(
        pf_sum_fold(&s, &f.plan, f.bytes.data, f.bytes.len, 1, 1, scratch),
        POCKETFED_MALFORMED);
    assert_int_equal(
        pf_sum_fold(&s, &f.plan, f.bytes.data, f.bytes.len - 1, 1, 1, scratch),
        POCKETFED_MALFORMED);
    frame_make(&f, "f16", x, 4);
    assert_int_equal(
        pf_sum_fold(&s, &f.plan, f.bytes.data, f.bytes.len, 1, 1, scratch),
        POCKETFED_MALFORMED);
    f.head.n_sections = 2;
    frame_make(&f, "f32", x, 4);
    pf_sum_free(&s);
    assert_int_equal(pf_sum_init(&s, 4), POCKETFED_OK);
    assert_int_equal(
        pf_sum_fold(&s, &f.plan, f.bytes.data, f.bytes.len, 1, 1, scratch),
        POCKETFED_MALFORMED);
    assert_int_equal(pf_sum_init(&s, 0), POCKETFED_INVALID);
    pf_sum_free(&s);
    frame_free(&f);
}

enum { N_UPDATES = 24, N_DIM = 129 };

/* Extremes, subnormals, both zeros, ties, and ordinary numbers. */
static float awkward(const struct pf_rng *rng, uint64_t i)
{
    static const float special[] = {4,       -4,    3e38f, -3e38f, 1e-45f,
                                    -1e-45f, -0.0f, 0,     1e-38f, 3.9999998f};
    uint64_t pick = pf_rng_below(rng, 2 * i, 16);

    if (pick < sizeof special / sizeof special[0])
        return special[pick];
    if (pick < 12) /* a tie: half a quantum over a multiple of it */
        return ((float)pf_rng_below(rng, 2 * i + 1, 1 << 20) + 0.5f) /
               (float)(1 << 29);
    return (float)pf_rng_normal(rng, 2 * i + 1);
}

static void any_order_and_any_partial_sums_give_the_same_bits(void **state)
{
    static float x[N_UPDATES][N_DIM];
    static const size_t parts_of[] = {1, 2, 7};
    const struct pf_plan_update u = {.range = 4, .bits = 32};
    struct pf_rng rng = pf_rng_make(20240611, 0, 0, PF_RNG_TEST);
    uint8_t want[32], got[32];
    struct pf_sum part[7];
    uint64_t saturated = 0;

    (void)state;
    print_message("seed 20240611\n");
    for (uint64_t k = 0; k < N_UPDATES; k++)
        for (uint64_t i = 0; i < N_DIM; i++)
            x[k][i] = awkward(&rng, k * N_DIM + i);
    for (size_t p = 0; p < 7; p++)
        assert_int_equal(pf_sum_init(&part[p], N_DIM), POCKETFED_OK);
    for (uint32_t run = 0; run < 200; run++) {
        struct pf_rng shuffle = pf_rng_make(20240611, 1, run, PF_RNG_TEST);
        uint32_t order[N_UPDATES];

        pf_rng_permutation(&shuffle, N_UPDATES, order);
        for (size_t j = 0; j < 3; j++) {
            size_t parts = parts_of[j];

            for (size_t p = 0; p < parts; p++)
                pf_sum_clear(&part[p]);
            for (uint64_t k = 0; k < N_UPDATES; k++) {
                struct pf_sum *s =
                    &part[pf_rng_below(&shuffle, 1000 + k, parts)];

                pf_sum_add(s, &u, 0, x[order[k]], N_DIM, 1 + order[k] * 37u, 1);
                s->weight += 1 + order[k] * 37u;
                s->updates++;
            }
            for (size_t p = parts - 1; p > 0; p--)
                pf_sum_merge(&part[p - 1], &part[p]);
            assert_int_equal(part[0].updates, N_UPDATES);
            pf_sha256(part[0].value, N_DIM * sizeof(int64_t), got);
            if (run == 0 && j == 0) {
                memcpy(want, got, 32);
                saturated = part[0].saturated;
                assert_true(saturated > 0);
            }
            assert_memory_equal(got, want, 32);
            assert_int_equal(part[0].saturated, saturated);
        }
    }
    for (size_t p = 0; p < 7; p++)
        pf_sum_free(&part[p]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_the_nearest_and_ties_to_even),
        cmocka_unit_test(clamps_to_the_range_and_counts_it),
        cmocka_unit_test(counts_what_is_clamped_at_every_width),
        cmocka_unit_test(weighs_each_number),
        cmocka_unit_test(heavy_and_light_weights_give_the_same_integers),
        cmocka_unit_test(the_mean_is_within_half_a_quantum),
        cmocka_unit_test(the_largest_sum_that_a_plan_allows_does_not_overflow),
        cmocka_unit_test(folds_a_frame_as_if_added_by_hand),
        cmocka_unit_test(a_frame_that_was_never_admitted_is_malformed),
        cmocka_unit_test(any_order_and_any_partial_sums_give_the_same_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
