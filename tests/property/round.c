/* Random lives of a task: whatever happens in whatever order, the engine keeps
 * its promises, and an engine made of the records is the same engine.
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
#include "engine.h"
#include "engine_check.h"
#include "rng.h"

#define RUNS   60
#define EVENTS 400

static uint64_t run_seed(void)
{
    const char *s = getenv("POCKETFED_SEED");

    return s ? strtoull(s, NULL, 10) : 20240611;
}

/* Small windows, so that every way to end is met often. */
static void random_task(struct pf_task *t, const struct pf_rng *rng)
{
    uint32_t n = 1 + (uint32_t)pf_rng_below(rng, 0, 5);

    t->round.collect.max = n;
    t->round.collect.min = 1 + (uint32_t)pf_rng_below(rng, 1, n);
    t->round.select.max = n + (uint32_t)pf_rng_below(rng, 2, 3);
    t->round.select.min =
        t->round.collect.min +
        (uint32_t)pf_rng_below(rng, 3,
                               t->round.select.max - t->round.collect.min + 1);
    t->round.select.min_s = (double)pf_rng_below(rng, 4, 20);
    t->round.collect.min_s = (double)pf_rng_below(rng, 5, 20);
    if (pf_rng_below(rng, 6, 3) == 0)
        t->stop.rounds = 1 + pf_rng_below(rng, 7, 8);
    if (pf_rng_below(rng, 8, 3) == 0)
        t->stop.after_s = 100 + (double)pf_rng_below(rng, 9, 3000);
    if (pf_rng_below(rng, 10, 2) == 0) {
        snprintf(t->evaluate.data, sizeof t->evaluate.data, "/data");
        t->evaluate.every = 1 + (uint32_t)pf_rng_below(rng, 11, 3);
        if (pf_rng_below(rng, 12, 2) == 0)
            t->stop.accuracy = 0.95;
    }
}

static void random_event(struct engine *e, struct engine_check *check,
                         const struct pf_rng *rng, uint64_t i)
{
    struct engine_move m;

    m.what = (unsigned)pf_rng_below(rng, 100 + 8 * i, ENGINE_MOVES);
    m.device = (unsigned)pf_rng_below(rng, 101 + 8 * i, 10);
    m.round_back = (unsigned)pf_rng_below(rng, 102 + 8 * i, 12);
    m.digest = (uint8_t)pf_rng_below(rng, 103 + 8 * i, 3);
    m.pass_ms = (unsigned)pf_rng_below(rng, 104 + 8 * i, 6000);
    m.accuracy = pf_rng_double(rng, 105 + 8 * i);
    engine_move(e, check, &m);
}

/* Just before its deadline an engine has nothing to do, then it has. */
static const char *wait_for_the_deadline(struct engine *e,
                                         struct engine_check *check)
{
    int64_t at = pf_round_deadline(e->round);
    const char *wrong;

    if (at == INT64_MAX)
        return NULL;
    e->now_ms = at - 1;
    engine_pass(e, 0);
    if (e->step.n_records != 0)
        return "something before the deadline";
    wrong = engine_check_step(e, check);
    if (wrong)
        return wrong;
    e->now_ms = at;
    engine_pass(e, 0);
    return e->step.n_records == 0 ? "nothing at the deadline"
                                  : engine_check_step(e, check);
}

static void any_run_keeps_the_promises_and_replays_to_the_same_engine(void **st)
{
    uint64_t seed = run_seed(), published = 0;

    (void)st;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t run = 0; run < RUNS; run++) {
        struct pf_rng rng = pf_rng_make(seed, 0, run, PF_RNG_TEST);
        struct engine_check *check = engine_check_new();
        struct engine e;
        const char *wrong = NULL;

        engine_init(&e);
        random_task(&e.task, &rng);
        engine_go(&e);
        wrong = engine_check_step(&e, check);
        for (uint64_t i = 0; i < EVENTS && !wrong; i++) {
            random_event(&e, check, &rng, i);
            wrong = engine_check_step(&e, check);
            if (!wrong && i % 7 == 0)
                wrong = engine_check_replay(&e);
            if (!wrong && i % 29 == 0)
                wrong = wait_for_the_deadline(&e, check);
        }
        if (wrong)
            fail_msg("run %u after %zu records: %s", run, e.n_records, wrong);
        published += engine_status(&e).published;
        engine_check_free(check);
        engine_free(&e);
    }
    assert_true(published > RUNS); /* the runs went somewhere */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            any_run_keeps_the_promises_and_replays_to_the_same_engine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
