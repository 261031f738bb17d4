/* Every instruction set that runs here beside the portable loops: the same
 * bits, for numbers that are hard to sum, at each length up to a few vectors.
 * What the portable ones compute is held against an oracle by property_sum. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "awkward.h"
#include "coords.h"

enum { LONGEST = 67, MANY = 4096, PLANS = 100 };
static const struct pf_plan_update halves = {
    .range = 16384, .bits = 16, .max_examples = 1};

static struct pf_rng rng;
static float x[MANY + 1];
static int64_t ours[MANY], portable[MANY];

static const struct pf_coords *portable_coords(void)
{
    const struct pf_coords *const *row = pf_coords_here();

    while (row[1])
        row++;
    assert_string_equal((*row)->name, "portable");
    return *row;
}

static void draw(const struct pf_plan_update *u, uint64_t at)
{
    for (size_t i = 0; i < MANY + 1; i++)
        x[i] = awkward(u, &rng, at * MANY + i);
}

static void same_sums(const struct pf_coords *c, size_t n, int64_t weight,
                      const struct pf_quantiser *q)
{
    const float *from = x + (n & 1); /* aligned and not */

    memset(ours, 1, sizeof ours);
    memset(portable, 1, sizeof portable);
    c->add_heavy(ours, from, n, q, weight);
    portable_coords()->add_heavy(portable, from, n, q, weight);
    assert_memory_equal(ours, portable, sizeof ours);
    if (q->lim * (double)weight >= PF_COORDS_LIGHT)
        return;
    c->add_light(ours, from, n, q, (double)weight);
    portable_coords()->add_heavy(portable, from, n, q, weight);
    assert_memory_equal(ours, portable, sizeof ours);
}

static void same_bits(const struct pf_coords *c, size_t n, float most)
{
    double a = c->squares(x, n), b = portable_coords()->squares(x, n);

    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(c->outside(x, n, most),
                     portable_coords()->outside(x, n, most));
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    rng = pf_rng_make(20261125, 0, 0, PF_RNG_TEST);
    for (uint64_t p = 0; p < PLANS; p++) {
        const struct pf_plan_update u =
            p ? plan_at_the_limit((uint32_t)p * 100, &rng) : halves;
        const struct pf_quantiser q = {
            (double)(UINT64_C(1) << pf_plan_shift(&u)),
            (double)((INT64_C(1) << (u.bits - 1)) - 1), p % 3 ? 1 : 1 / 3.0};

        draw(&u, p);
        for (const struct pf_coords *const *c = pf_coords_here(); *c; c++) {
            for (size_t n = 0; n <= LONGEST; n++) {
                same_sums(*c, n, 1 + (int64_t)(p * n), &q);
                same_bits(*c, n, (float)(q.lim / q.mul));
            }
            same_sums(*c, MANY, (int64_t)u.max_examples, &q);
            same_bits(*c, MANY, (float)(q.lim / q.mul));
        }
    }
}

static void no_instruction_set_takes_what_is_not_finite_for_a_number(void **s)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};

    (void)s;
    memset(x, 0, sizeof x);
    for (const struct pf_coords *const *c = pf_coords_here(); *c; c++)
        for (size_t i = 0; i < LONGEST; i++)
            for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
                double sum;

                x[i] = odd[k];
                sum = (*c)->squares(x, LONGEST);
                assert_false(sum - sum == 0);
                x[i] = 0;
            }
}

static void the_best_one_is_used(void **state)
{
    (void)state;
    assert_ptr_equal(pf_coords(), pf_coords_here()[0]);
    for (const struct pf_coords *const *c = pf_coords_here(); *c; c++)
        print_message("%s\n", (*c)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(
            no_instruction_set_takes_what_is_not_finite_for_a_number),
        cmocka_unit_test(the_best_one_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
