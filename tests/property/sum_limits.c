/* What the sum of a round can take at most, and what it says of the coordinates
 * that it clamped.
 *
 * POCKETFED_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "admit.h"
#include "awkward.h"
#include "engine.h"
#include "exact.h"
#include "frame.h"
#include "sum.h"

#define TRIALS 3000

static uint64_t seed = 20240611;

/* `times` copies of a sum by doubling, as a cohort of millions would merge. */
static void multiply(struct pf_sum *s, uint64_t times)
{
    struct pf_sum power;

    assert_int_equal(pf_sum_init(&power, s->n), POCKETFED_OK);
    pf_sum_merge(&power, s);
    pf_sum_clear(s);
    for (; times > 0; times >>= 1) {
        if (times & 1)
            pf_sum_merge(s, &power);
        if (times > 1)
            pf_sum_merge(&power, &power);
    }
    pf_sum_free(&power);
}

static void is_accepted(struct pf_plan *p, int yes)
{
    /* 2^(bits-1) for each example of each update: below 2^63? */
    unsigned __int128 most =
        (unsigned __int128)p->update.cohort_max * p->update.max_examples;
    struct pf_error err = {0};
    int fits = most < (unsigned __int128)1 << (64 - p->update.bits);

    assert_int_equal(fits, yes);
    assert_int_equal(pf_plan_check(p, &err),
                     yes ? POCKETFED_OK : POCKETFED_CONFIG);
    if (!yes)
        assert_non_null(strstr(err.text, "overflow"));
}

static void no_plan_that_is_accepted_can_overflow(void **state)
{
    const float x[2] = {3e38f, -3e38f};
    struct pf_plan plan;
    struct pf_sum s;

    (void)state;
    pf_plan_init(&plan);
    snprintf(plan.task, sizeof plan.task, "bench");
    assert_int_equal(pf_buf_adds(&plan.model, "{}"), POCKETFED_OK);
    assert_int_equal(pf_sum_init(&s, 2), POCKETFED_OK);
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        struct pf_rng rng = pf_rng_make(seed, 7, trial, PF_RNG_TEST);
        struct pf_plan_update *u = &plan.update;
        uint64_t room;
        __int128 want;

        *u = plan_at_the_limit(1, &rng);
        room = u->max_examples < UINT32_MAX ? u->max_examples : UINT32_MAX;
        room = 1 + pf_rng_below(&rng, 3, room); /* of every magnitude */
        u->cohort_max =
            (uint32_t)(1 + ((room - 1) >> pf_rng_below(&rng, 4, 32)));
        u->max_examples /= u->cohort_max;
        is_accepted(&plan, 1);
        pf_sum_clear(&s);
        pf_sum_add(&s, u, 0, x, 2, u->max_examples, 1);
        s.weight = u->max_examples;
        multiply(&s, u->cohort_max);
        want = ((__int128)1 << (u->bits - 1)) - 1;
        want *= (__int128)u->max_examples * u->cohort_max;
        if (s.value[0] != want || s.value[1] != -want ||
            s.weight != u->max_examples * u->cohort_max)
            fail_msg("%u updates of %llu examples and %u bits wrap around",
                     u->cohort_max, (unsigned long long)u->max_examples,
                     u->bits);
        u->max_examples++;
        is_accepted(&plan, 0);
    }
    pf_sum_free(&s);
    pf_plan_free(&plan);
}

static void the_round_tells_how_many_coordinates_were_clamped(void **state)
{
    enum { CLIENTS = 3, DIM = 500 };
    static float x[DIM], scratch[PF_ADMIT_BLOCK];
    struct pf_rng rng = pf_rng_make(seed, 8, 0, PF_RNG_TEST);
    uint64_t saturated = 0;
    struct pf_round_status rs;
    struct pf_problem why;
    struct engine e;
    struct frame f;

    (void)state;
    frame_init(&f, DIM);
    f.plan.update.max_norm = 1e9;
    engine_init(&e);
    engine_go(&e);
    for (unsigned d = 1; d <= CLIENTS; d++) {
        struct pf_event ev = {.kind = PF_EV_UPDATE, .reply_to = 1, .round = 1};

        for (uint64_t i = 0; i < DIM; i++) /* what such a norm lets in */
            x[i] = (float)exact_clamp(
                (double)awkward(&f.plan.update, &rng, d * DIM + i), 1024, 32);
        saturated += clamped_of(&f.plan.update, x, DIM);
        frame_make(&f, "f32", x, DIM);
        if (pf_admit(&f.want, f.bytes.data, f.bytes.len, scratch,
                     &ev.u.update.admitted, &why))
            fail_msg("%s", why.detail);
        assert_true(engine_assigned(&e, d));
        ev.device = engine_device(d);
        ev.u.update.extent.offset = 4096 * d;
        engine_event(&e, &ev);
        assert_int_equal(e.answer.kind, PF_ANSWER_ACK);
        assert_true(pf_round_open_status(e.round, e.now_ms, &rs));
        assert_int_equal(rs.saturated, saturated);
    }
    assert_true(saturated > CLIENTS);
    engine_finished(&e, 1);
    assert_non_null(engine_record(&e, PF_REC_PUBLISHED));
    assert_int_equal(engine_record(&e, PF_REC_PUBLISHED)->u.published.saturated,
                     saturated);
    engine_free(&e);
    frame_free(&f);
}

static int set_up(void **state)
{
    const char *given = getenv("POCKETFED_SEED");

    (void)state;
    if (given)
        seed = strtoull(given, NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_plan_that_is_accepted_can_overflow),
        cmocka_unit_test(the_round_tells_how_many_coordinates_were_clamped),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
