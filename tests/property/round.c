/* Random lives of a task, synchronous and asynchronous: whatever happens in
 * whatever order, the engine keeps its promises, says what the dull engine says
 * (dull.h), and an engine made of the records is the same engine.
 *
 *     property_round [EVENTS [SEED]]        POCKETFED_SEED repeats a run, too
 */
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

#define RUN 400 /* events of one task */

static uint64_t n_events = 400000, seed = 20240611;

/* Small windows, so that every way to end is met often. */
static void random_windows(struct pf_task_round *t, const struct pf_rng *rng)
{
    uint32_t n = 1 + (uint32_t)pf_rng_below(rng, 0, 5);

    t->collect.max = n;
    t->collect.min = 1 + (uint32_t)pf_rng_below(rng, 1, n);
    t->select.max = n + (uint32_t)pf_rng_below(rng, 2, 3);
    t->select.min =
        t->collect.min +
        (uint32_t)pf_rng_below(rng, 3, t->select.max - t->collect.min + 1);
    t->select.min_s = (double)pf_rng_below(rng, 4, 20);
    t->collect.min_s = (double)pf_rng_below(rng, 5, 20);
    if (pf_rng_below(rng, 6, 2) == 0)
        t->lease_s = 3 + (double)pf_rng_below(rng, 7, 60);
    if (pf_rng_below(rng, 8, 2) == 0)
        t->policy = PF_POLICY_ASYNC;
    t->max_staleness = (uint32_t)pf_rng_below(rng, 9, 4);
    t->discounted = (int)pf_rng_below(rng, 10, 2);
}

static void random_task(struct pf_task *t, const struct pf_rng *rng)
{
    random_windows(&t->round, rng);
    if (pf_rng_below(rng, 20, 3) == 0)
        t->stop.rounds = 1 + pf_rng_below(rng, 21, 12);
    if (pf_rng_below(rng, 22, 3) == 0)
        t->stop.after_s = 100 + (double)pf_rng_below(rng, 23, 3000);
    if (pf_rng_below(rng, 24, 2) == 0) {
        snprintf(t->evaluate.data, sizeof t->evaluate.data, "/data");
        t->evaluate.every = 1 + (uint32_t)pf_rng_below(rng, 25, 3);
        if (pf_rng_below(rng, 26, 2) == 0)
            t->stop.accuracy = 0.95;
        t->stop.min_rounds = pf_rng_below(rng, 27, 4);
    }
    if (pf_rng_below(rng, 28, 5) == 0) { /* "a", and perhaps "b" */
        t->device.n_classes = 1 + pf_rng_below(rng, 29, 2);
        t->device.classes[0][0] = 'a';
        t->device.classes[1][0] = 'b';
    }
    if (pf_rng_below(rng, 30, 5) == 0)
        t->device.max_updates = 1 + pf_rng_below(rng, 31, 4);
    if (pf_rng_below(rng, 32, 3) == 0)
        t->device.rest_rounds = 1 + pf_rng_below(rng, 33, 2);
}

/* Runs differ in how many devices there are and how fast events come. */
static void random_event(struct engine *e, struct engine_check *check,
                         const struct pf_rng *rng, uint64_t run, uint64_t i)
{
    struct engine_move m;

    m.what = (unsigned)pf_rng_below(rng, 100 + 8 * i, ENGINE_MOVES);
    m.device = (unsigned)pf_rng_below(rng, 101 + 8 * i, 5 + run % 7);
    m.round_back = (unsigned)pf_rng_below(rng, 102 + 8 * i, 20);
    m.digest = (uint8_t)pf_rng_below(rng, 103 + 8 * i, 3);
    m.pass_ms = (unsigned)pf_rng_below(rng, 104 + 8 * i, run % 3 ? 600 : 6000);
    m.accuracy = pf_rng_double(rng, 105 + 8 * i);
    if (m.what >= 17 && m.what <= 20 && pf_rng_below(rng, 106 + 8 * i, 4) != 0)
        m.what = 0; /* operators are rarer than devices */
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

static void run_of(struct engine *e, const struct pf_rng *rng, uint64_t run)
{
    struct engine_check *check;
    const char *wrong;
    uint64_t i;

    engine_init(e);
    random_task(&e->task, rng);
    check = engine_check_new(e);
    engine_go(e);
    wrong = engine_check_step(e, check);
    for (i = 0; i < RUN && !wrong; i++) {
        random_event(e, check, rng, run, i);
        wrong = engine_check_step(e, check);
        if (!wrong && i % 7 == 0)
            wrong = engine_check_replay(e);
        if (!wrong && i % 29 == 0)
            wrong = wait_for_the_deadline(e, check);
    }
    if (wrong)
        fail_msg("seed %llu, run %llu (%s), event %llu, after %zu records: %s",
                 (unsigned long long)seed, (unsigned long long)run,
                 e->task.round.policy == PF_POLICY_ASYNC ? "async" : "sync",
                 (unsigned long long)i, e->n_records, wrong);
    engine_check_free(check);
}

static void any_run_keeps_the_promises_and_replays_to_the_same_engine(void **st)
{
    uint64_t published[2] = {0, 0}, run;
    struct engine e;

    (void)st;
    print_message("seed %llu, %llu events\n", (unsigned long long)seed,
                  (unsigned long long)n_events);
    for (run = 0; run * RUN < n_events; run++) {
        struct pf_rng rng = pf_rng_make(seed, 0, (uint32_t)run, PF_RNG_TEST);

        run_of(&e, &rng, run);
        published[e.task.round.policy] += engine_status(&e).published;
        engine_free(&e);
    }
    if (run >= 100) { /* they went somewhere */
        assert_true(published[PF_POLICY_SYNC] > run / 4);
        assert_true(published[PF_POLICY_ASYNC] > run / 4);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            any_run_keeps_the_promises_and_replays_to_the_same_engine),
    };
    const char *s = getenv("POCKETFED_SEED");

    if (argc > 1)
        n_events = strtoull(argv[1], NULL, 10);
    if (s || argc > 2)
        seed = strtoull(s ? s : argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
