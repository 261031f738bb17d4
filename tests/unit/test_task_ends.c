/* How tasks end, how their models are measured, and what goes on after a
 * restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"

static struct engine e;

#define PHASE(name) assert_string_equal(engine_status(&e).phase, name)

static void has_finished(const char *reason)
{
    assert_int_equal(engine_status(&e).state, PF_TASK_FINISHED);
    assert_string_equal(engine_status(&e).reason, reason);
    PHASE("idle");
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
}

static void the_task_is_finished_after_its_rounds(void **state)
{
    (void)state;
    e.task.stop.rounds = 2;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    engine_fill(&e, 2);
    engine_finished(&e, 2);
    has_finished("rounds");
    assert_true(engine_waits(&e, 1, PF_WAIT_FINISHED));
    assert_int_equal(e.answer.u.checkin.final_model[0], 2);
    engine_offer(&e, 9, 2, 1); /* late: nothing will open for it again */
    assert_true(engine_refused(&e, PF_PROBLEM_TASK_FINISHED));
    engine_failure(&e, 9, 2);
    assert_true(engine_refused(&e, PF_PROBLEM_TASK_FINISHED));
    assert_int_equal(engine_command(&e, PF_CMD_RESUME)->u.problem.id,
                     PF_PROBLEM_STATE);
    assert_string_equal(e.answer.u.problem.detail, "the task is finished");
    assert_int_equal(engine_offer(&e, 1, 2, 1)->kind, PF_ANSWER_ACK);
    assert_int_equal(engine_offer(&e, 1, 1, 2)->u.problem.id,
                     PF_PROBLEM_ALREADY_DIFFERENT);
    assert_int_equal(engine_offer(&e, 1, 3, 2)->u.problem.id,
                     PF_PROBLEM_NOT_ASSIGNED);
}

static void an_abandoned_round_is_no_published_one(void **state)
{
    (void)state;
    e.task.stop.rounds = 1;
    engine_go(&e);
    engine_pass(&e, 100);
    engine_pass(&e, 8);
    engine_fill(&e, 2);
    engine_finished(&e, 2);
    has_finished("rounds");
}

static void a_paused_task_that_has_all_rounds_is_finished(void **state)
{
    (void)state;
    e.task.stop.rounds = 1;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_command(&e, PF_CMD_PAUSE);
    engine_finished(&e, 1);
    has_finished("rounds");
}

static void the_task_is_finished_after_its_time(void **state)
{
    (void)state;
    e.task.stop.after_s = 150;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    engine_pass(&e, 100); /* abandoned; waits 8 s, then 100 s more */
    engine_pass(&e, 8);
    PHASE("selecting");
    engine_pass(&e, 100);
    PHASE("backoff");
    engine_pass(&e, 16);
    has_finished("time");
    assert_true(engine_waits(&e, 1, PF_WAIT_FINISHED));
    assert_int_equal(e.answer.u.checkin.final_model[0], 1);
}

static void evaluate(uint32_t every)
{
    snprintf(e.task.evaluate.data, sizeof e.task.evaluate.data, "/data");
    e.task.evaluate.every = every;
}

static void each_model_is_measured_once(void **state)
{
    (void)state;
    evaluate(1);
    e.task.stop.rounds = 2;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    assert_non_null(engine_effect(&e, PF_EFFECT_EVALUATE));
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->round, 1);
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->u.model[0], 1);
    assert_true(engine_status(&e).test_accuracy == -1);
    engine_evaluated(&e, 1, 0.75);
    assert_int_equal(engine_records(&e, PF_REC_EVALUATED), 1);
    assert_true(engine_status(&e).test_accuracy == 0.75);
    assert_true(engine_status(&e).test_loss == 0.25);
    assert_int_equal(engine_status(&e).evaluated_round, 1);
    engine_evaluated(&e, 1, 0.5);
    engine_evaluated(&e, 2, 0.5);
    assert_int_equal(e.step.n_records, 0);
    assert_true(engine_status(&e).test_accuracy == 0.75);
    engine_fill(&e, 2);
    engine_finished(&e, 2); /* by its number and as the last: once */
    engine_resume(&e);
    assert_int_equal(e.step.n_effects, 1);
}

static void every_so_many_rounds_and_the_last_are_measured(void **state)
{
    (void)state;
    evaluate(2);
    e.task.stop.rounds = 3;
    engine_go(&e);
    for (uint64_t round = 1; round <= 3; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
        assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE) != NULL,
                         round != 1);
        if (round == 2)
            engine_evaluated(&e, 2, 0.5);
    }
    has_finished("rounds");
    engine_resume(&e); /* of round 3, once */
    assert_int_equal(e.step.n_effects, 1);
    engine_evaluated(&e, 3, 0.6);
    assert_true(engine_status(&e).test_accuracy == 0.6);
    has_finished("rounds");
}

static void slow_measurements_do_not_pile_up(void **state)
{
    unsigned asked = 0;

    (void)state;
    evaluate(1);
    e.task.stop.rounds = 10;
    engine_go(&e);
    for (uint64_t round = 1; round <= 10; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
        if (engine_effect(&e, PF_EFFECT_EVALUATE))
            asked++;
    }
    assert_int_equal(asked, 4); /* rounds 1, 2, 3 and the last */
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->round, 10);
    engine_resume(&e);
    assert_int_equal(e.step.n_effects, 4);
    engine_evaluated(&e, 10, 0.9);
    engine_evaluated(&e, 1, 0.1);
    assert_true(engine_status(&e).test_accuracy == 0.9);
}

static void the_accuracy_that_was_asked_for_ends_the_open_round(void **state)
{
    (void)state;
    evaluate(1);
    e.task.stop.accuracy = 0.9;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    engine_evaluated(&e, 1, 0.8);
    PHASE("selecting");
    engine_fill(&e, 2);
    engine_finished(&e, 2);
    engine_fill(&e, 3); /* its model is being made */
    engine_evaluated(&e, 2, 0.9);
    assert_true(engine_abandoned(&e, "stopped"));
    has_finished("accuracy");
    engine_finished(&e, 3); /* nobody wants it now */
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(e.step.n_effects, 1);
    assert_non_null(engine_effect(&e, PF_EFFECT_DISCARD));
    assert_int_equal(engine_effect(&e, PF_EFFECT_DISCARD)->u.model[0], 3);
    engine_finished(&e, 2); /* published: not to be lost */
    assert_int_equal(e.step.n_effects, 0);
    assert_true(engine_waits(&e, 1, PF_WAIT_FINISHED));
    assert_int_equal(e.answer.u.checkin.final_model[0], 2);
}

static void accuracy_reached_while_paused_finishes_without_a_round(void **state)
{
    (void)state;
    evaluate(1);
    e.task.stop.accuracy = 0.9;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_command(&e, PF_CMD_PAUSE);
    engine_finished(&e, 1);
    engine_evaluated(&e, 1, 0.95);
    assert_int_equal(engine_records(&e, PF_REC_ABANDONED), 0);
    has_finished("accuracy");
}

/* The last step asked for one measurement, of that round's model. */
static void is_measured(uint64_t round)
{
    const struct pf_effect *f = engine_effect(&e, PF_EFFECT_EVALUATE);

    assert_non_null(f);
    assert_int_equal(f->round, round);
    assert_int_equal(f->u.model[0], round);
    engine_resume(&e);
    assert_int_equal(e.step.n_effects, 1);
}

static void the_last_model_is_measured_when_the_time_is_up(void **state)
{
    (void)state;
    evaluate(10);
    e.task.stop.after_s = 50;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    assert_null(engine_effect(&e, PF_EFFECT_EVALUATE));
    engine_pass(&e, 100); /* nobody came: abandoned */
    engine_pass(&e, 8);   /* the next would open */
    has_finished("time");
    is_measured(1);
}

static void the_last_model_is_measured_when_an_older_one_was_enough(void **s)
{
    (void)s;
    evaluate(2);
    e.task.stop.accuracy = 0.9;
    engine_go(&e);
    for (uint64_t round = 1; round <= 3; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
    }
    engine_evaluated(&e, 2, 0.95);
    has_finished("accuracy");
    is_measured(3);
}

static void a_measurement_without_a_number_is_none(void **state)
{
    struct pf_event ev = {.kind = PF_EV_EVALUATED, .round = 1};

    (void)state;
    evaluate(1);
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    ev.u.evaluated.loss = HUGE_VAL;
    ev.u.evaluated.accuracy = -HUGE_VAL;
    engine_event(&e, &ev);
    assert_true(engine_record(&e, PF_REC_EVALUATED)->u.evaluated.loss == -1);
    assert_true(engine_record(&e, PF_REC_EVALUATED)->u.evaluated.accuracy ==
                -1);
}

static unsigned n_folds;
static uint64_t folded_bytes;

static void count_fold(void *ctx, uint64_t round, const struct pf_effect *fold)
{
    (void)ctx;
    assert_int_equal(round, 2);
    assert_int_equal(fold->kind, PF_EFFECT_FOLD);
    n_folds++;
    folded_bytes += fold->u.fold.extent.length;
}

static void after_a_restart_the_open_work_is_done_again(void **state)
{
    struct pf_round *live;

    (void)state;
    evaluate(1);
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    engine_assigned(&e, 1);
    engine_assigned(&e, 2);
    engine_update(&e, 1, 2, 1);
    n_folds = 0;
    folded_bytes = 0;
    live = e.round;
    e.round = engine_again(&e);
    pf_round_free(live);
    pf_round_folds(e.round, count_fold, NULL);
    assert_int_equal(n_folds, 1);
    assert_int_equal(folded_bytes, 100);
    engine_resume(&e);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(e.step.n_effects, 1);
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->u.model[0], 1);
    assert_true(engine_assigned(&e, 2)); /* the same as before */
    engine_assigned(&e, 3);
    engine_update(&e, 2, 2, 1);
    engine_update(&e, 3, 2, 1);
    PHASE("closing");
    live = e.round;
    e.round = engine_again(&e);
    pf_round_free(live);
    engine_resume(&e);
    assert_int_equal(e.step.n_effects, 2);
    assert_int_equal(engine_effect(&e, PF_EFFECT_FINISH)->round, 2);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, engine_set_up,                 \
                                             engine_tear_down, &e)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_task_is_finished_after_its_rounds),
        TEST(an_abandoned_round_is_no_published_one),
        TEST(a_paused_task_that_has_all_rounds_is_finished),
        TEST(the_task_is_finished_after_its_time),
        TEST(each_model_is_measured_once),
        TEST(every_so_many_rounds_and_the_last_are_measured),
        TEST(slow_measurements_do_not_pile_up),
        TEST(the_accuracy_that_was_asked_for_ends_the_open_round),
        TEST(accuracy_reached_while_paused_finishes_without_a_round),
        TEST(the_last_model_is_measured_when_the_time_is_up),
        TEST(the_last_model_is_measured_when_an_older_one_was_enough),
        TEST(a_measurement_without_a_number_is_none),
        TEST(after_a_restart_the_open_work_is_done_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
