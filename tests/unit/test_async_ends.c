/* How asynchronous buffers and tasks end other than by enough updates, what
 * their mean divides by, and what goes on after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "buffers.h"

/* ---- how buffers end otherwise
 * ------------------------------------------------ */

static void a_pause_assigns_nobody_else_and_lets_work_come_in(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        is_assigned(d, 1, 0);
    engine_command(&e, PF_CMD_PAUSE);
    assert_true(engine_waits(&e, 4, PF_WAIT_PAUSED));
    is_assigned(1, 1, 0); /* again */
    is_counted(1, 1, 1, 0);
    is_counted(2, 1, 1, 0);
    opened(2, 0); /* for what is under way */
    engine_finished(&e, 1);
    is_counted(3, 1, 2, 1);
    assert_true(engine_waits(&e, 1, PF_WAIT_PAUSED));
    assert_true(engine_waits(&e, 3, PF_WAIT_CONTRIBUTED));
    engine_command(&e, PF_CMD_RESUME);
    assert_int_equal(e.step.n_records, 1);
    is_assigned(1, 2, 1);
}

static void abort_abandons_what_is_open_and_what_is_being_made(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(3, 1, 0);
    closes(1, 1, 2);
    is_assigned(4, 2, 0);
    is_counted(4, 2, 2, 1);
    assert_int_equal(engine_command(&e, PF_CMD_ABORT)->kind, PF_ANSWER_DONE);
    is_abandoned(0, 1, "by the operator");
    is_abandoned(1, 2, "by the operator");
    assert_int_equal(e.step.effect[0].kind, PF_EFFECT_DROP);
    assert_int_equal(e.step.effect[1].kind, PF_EFFECT_DROP);
    opened(3, 0); /* at once: who trains is not turned away */
    is_counted(3, 1, 3, 0);
    engine_finished(&e, 1); /* too late */
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_effect(&e, PF_EFFECT_DISCARD)->u.model[0], 1);
    assert_int_equal(engine_offer(&e, 4, 2, 1)->kind, PF_ANSWER_ACK);
}

static void a_model_that_could_not_be_made_costs_its_buffer_alone(void **state)
{
    (void)state;
    engine_go(&e);
    closes(1, 1, 2);
    is_assigned(3, 2, 0);
    is_counted(3, 2, 2, 1);
    engine_finish_failed(&e, 1);
    is_abandoned(0, 1, "no model made: no_memory");
    assert_int_equal(e.step.n_records, 1);
    is_assigned(4, 2, 0);
    is_counted(4, 2, 2, 0);
    assert_int_equal(engine_record(&e, PF_REC_CLOSED)->round, 2);
    engine_finished(&e, 2);
    assert_int_equal(e.step.record[0].u.published.accepted, 2);
}

static void a_rollback_publishes_an_older_model_under_a_new_number(void **state)
{
    const struct pf_record *rec;

    (void)state;
    engine_go(&e);
    publishes(1, 1, 2);
    publishes(2, 1, 2);
    is_assigned(3, 3, 2);
    closes(3, 1, 2);
    assert_int_equal(engine_roll_back(&e, 1)->kind, PF_ANSWER_DONE);
    is_abandoned(0, 3, "rolled back");
    is_abandoned(1, 4, "rolled back");
    rec = engine_record(&e, PF_REC_PUBLISHED);
    assert_int_equal(rec->round, 5);
    assert_int_equal(rec->u.published.model[0], 1);
    assert_int_equal(rec->u.published.source, 1);
    assert_int_equal(rec->u.published.accepted, 0);
    assert_int_equal(e.step.record[4].kind, PF_REC_OPENED);
    assert_int_equal(e.step.record[4].round, 6);
    assert_int_equal(e.step.record[4].u.opened.base[0], 1);
    assert_int_equal(engine_status(&e).published, 2); /* it counts as none */
    engine_update(&e, 3, 3, 1); /* trained from what was set aside */
    assert_true(engine_refused(&e, PF_PROBLEM_NOT_ASSIGNED));
    is_assigned(3, 6, 1);
    is_counted(3, 6, 6, 0);
}

static void finish_ends_the_task_and_everybody_hears_of_it(void **state)
{
    (void)state;
    engine_go(&e);
    publishes(1, 1, 2);
    for (unsigned d = 1; d <= 3; d++)
        is_assigned(d, 2, 1);
    is_counted(1, 2, 2, 0);
    engine_command(&e, PF_CMD_FINISH);
    is_abandoned(0, 2, "by the operator");
    assert_int_equal(engine_records(&e, PF_REC_OPENED), 0);
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
    for (unsigned d = 1; d <= 4; d++) { /* contributed, training, neither */
        assert_true(engine_waits(&e, d, PF_WAIT_FINISHED));
        assert_int_equal(e.answer.u.checkin.final_model[0], 1);
    }
    engine_offer(&e, 2, 2, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_TASK_FINISHED));
    engine_failure(&e, 2, 2);
    assert_true(engine_refused(&e, PF_PROBLEM_TASK_FINISHED));
    assert_int_equal(engine_offer(&e, 1, 2, 1)->kind, PF_ANSWER_ACK);
    engine_command(&e, PF_CMD_RESUME);
    assert_true(engine_refused(&e, PF_PROBLEM_STATE));
}

static void a_task_ends_with_its_rounds_and_gives_up_the_open_buffer(void **st)
{
    (void)st;
    e.task.stop.rounds = 2;
    engine_go(&e);
    publishes(1, 1, 2);
    closes(2, 1, 2);
    is_assigned(3, 3, 1);
    is_counted(3, 3, 3, 1);
    engine_finished(&e, 2);
    assert_int_equal(e.step.record[0].kind, PF_REC_PUBLISHED);
    is_abandoned(1, 3, "stopped");
    assert_string_equal(engine_status(&e).reason, "rounds");
    assert_true(engine_waits(&e, 3, PF_WAIT_FINISHED));
}

static void a_task_ends_with_its_time(void **state)
{
    (void)state;
    e.task.stop.after_s = 90;
    engine_go(&e);
    is_assigned(1, 1, 0);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 90000);
    engine_pass(&e, 89.999);
    assert_int_equal(e.step.n_records, 0);
    engine_pass(&e, 0.001);
    is_abandoned(0, 1, "stopped");
    assert_string_equal(engine_status(&e).reason, "time");
}

/* ---- the mean ---------------------------------------------------------------
 */

static void the_mean_divides_by(int discounted, double one, double other)
{
    e.task.round.discounted = discounted;
    engine_go(&e);
    is_assigned(3, 1, 0);
    publishes(1, 1, 2);
    assert_true(e.step.record[0].u.published.divisor == one);
    is_counted(3, 1, 2, 1);
    is_assigned(1, 2, 1);
    is_counted(1, 2, 2, 0); /* closes */
    assert_true(engine_effect(&e, PF_EFFECT_FINISH)->u.finish.divisor == other);
    engine_restart(&e);
    assert_true(engine_effect(&e, PF_EFFECT_FINISH)->u.finish.divisor == other);
}

static void the_mean_divides_by_all_the_weights(void **state)
{
    (void)state;
    the_mean_divides_by(0, 0, 0); /* 0 says so */
}

static void or_by_the_weights_times_their_factors(void **state)
{
    (void)state;
    the_mean_divides_by(1, 20, 10 + 10 / sqrt(2));
}

/* Doubles added in another order differ in the last bit: it must not show. */
static void the_divisor_does_not_tell_the_order_of_arrival(void **state)
{
    static const unsigned order[2][4] = {{3, 4, 5, 1}, {1, 5, 4, 3}};
    double divisor[2];

    (void)state;
    for (int way = 0; way < 2; way++) {
        engine_tear_down(state);
        buffers_set_up(state);
        e.task.round.select.max = 9;
        e.task.round.collect = (struct pf_window){2, 4, 10, 50};
        e.task.round.discounted = 1;
        engine_go(&e);
        is_assigned(3, 1, 0);
        for (unsigned d = 6; d <= 9; d++)
            assert_true(engine_assigned(&e, d));
        for (unsigned d = 6; d <= 9; d++)
            engine_update(&e, d, 1, 1);
        engine_finished(&e, 1);
        is_assigned(4, 2, 1);
        is_assigned(5, 2, 1);
        for (unsigned d = 6; d <= 9; d++)
            assert_true(engine_assigned(&e, d));
        for (unsigned d = 6; d <= 9; d++)
            engine_update(&e, d, 2, 1);
        engine_finished(&e, 2);
        is_assigned(1, 3, 2);
        for (unsigned i = 0; i < 4; i++) {
            unsigned d = order[way][i];

            engine_update(&e, d, d == 3 ? 1 : d == 1 ? 3 : 2, 1);
        }
        divisor[way] = engine_effect(&e, PF_EFFECT_FINISH)->u.finish.divisor;
    }
    assert_true(divisor[0] == divisor[1]);
    assert_true(fabs(divisor[0] - (10 + 20 / sqrt(2) + 10 / sqrt(3))) < 1e-12);
}

/* ---- restarts
 * ------------------------------------------------------------------ */

static unsigned n_folds[8];

static void count_fold(void *ctx, uint64_t round, const struct pf_effect *fold)
{
    (void)ctx;
    assert_true(round < 8);
    assert_int_equal(fold->round, round);
    n_folds[round]++;
}

static void a_restart_folds_both_buffers_and_goes_on_as_before(void **state)
{
    (void)state;
    snprintf(e.task.evaluate.data, sizeof e.task.evaluate.data, "/data");
    engine_go(&e);
    publishes(1, 1, 2);
    is_assigned(3, 2, 1);
    closes(2, 1, 2);
    is_assigned(4, 3, 1);
    is_counted(4, 3, 3, 1);
    memset(n_folds, 0, sizeof n_folds);
    engine_restart(&e);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_effect(&e, PF_EFFECT_FINISH)->round, 2);
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->round, 1);
    pf_round_folds(e.round, count_fold, NULL);
    assert_int_equal(n_folds[1], 0);
    assert_int_equal(n_folds[2], 2);
    assert_int_equal(n_folds[3], 1);
    assert_int_equal(engine_offer(&e, 4, 3, 1)->kind, PF_ANSWER_ACK);
    is_assigned(3, 2, 1);
    is_counted(3, 2, 3, 1);
    assert_int_equal(engine_records(&e, PF_REC_CLOSED), 0); /* 2 is not made */
    engine_finished(&e, 2);
    assert_int_equal(engine_records(&e, PF_REC_PUBLISHED), 1);
    assert_int_equal(engine_record(&e, PF_REC_CLOSED)->round, 3);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, buffers_set_up,                \
                                             engine_tear_down, &e)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pause_assigns_nobody_else_and_lets_work_come_in),
        TEST(abort_abandons_what_is_open_and_what_is_being_made),
        TEST(a_model_that_could_not_be_made_costs_its_buffer_alone),
        TEST(a_rollback_publishes_an_older_model_under_a_new_number),
        TEST(finish_ends_the_task_and_everybody_hears_of_it),
        TEST(a_task_ends_with_its_rounds_and_gives_up_the_open_buffer),
        TEST(a_task_ends_with_its_time),
        TEST(the_mean_divides_by_all_the_weights),
        TEST(or_by_the_weights_times_their_factors),
        TEST(the_divisor_does_not_tell_the_order_of_arrival),
        TEST(a_restart_folds_both_buffers_and_goes_on_as_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
