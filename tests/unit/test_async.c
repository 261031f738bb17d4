/* The life of an asynchronous task while all goes well: devices train from the
 * newest model whenever they come, and each two updates make the next
 * (FedBuff). test_async_ends.c has pauses, failures, the ends, the mean and
 * restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>
#include "buffers.h"

/* ---- all goes well ----------------------------------------------------------
 */

static void a_buffer_collects_from_the_start(void **state)
{
    (void)state;
    engine_go(&e);
    opened(1, 0);
    is_assigned(1, 1, 0);
    assert_int_equal(engine_offer(&e, 1, 1, 9)->kind, PF_ANSWER_GO);
    assert_int_equal(e.answer.u.go.round, 1);
    assert_int_equal(e.answer.u.go.base[0], 0);
    assert_int_equal(e.step.n_records, 0);
    is_counted(1, 1, 1, 0);
}

static void a_full_buffer_closes_and_the_next_opens_at_once(void **state)
{
    (void)state;
    engine_go(&e);
    closes(1, 1, 2);
    assert_int_equal(e.step.record[0].kind, PF_REC_ACCEPTED);
    assert_int_equal(e.step.record[1].kind, PF_REC_CLOSED);
    opened(2, 0);
    assert_true(engine_assigned(&e, 3)); /* while the model is made */
    assert_int_equal(e.answer.u.checkin.round, 2);
}

static void one_update_closes_the_buffer_after_min_s(void **state)
{
    (void)state;
    engine_go(&e);
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
    e.now_ms += 2000;
    is_assigned(1, 1, 0);
    is_counted(1, 1, 1, 0);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 8000);
    engine_pass(&e, 7.999);
    assert_int_equal(e.step.n_records, 0);
    engine_pass(&e, 0.001);
    assert_int_equal(engine_record(&e, PF_REC_CLOSED)->round, 1);
    opened(2, 0);
}

static void a_buffer_that_is_not_full_waits_for_ever(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(1, 1, 0);
    engine_pass(&e, 1e6);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_status(&e).round, 1);
    is_counted(1, 1, 1, 0); /* however late: no other model came */
}

static void who_comes_later_trains_from_the_newest_model(void **state)
{
    (void)state;
    engine_go(&e);
    publishes(1, 1, 2);
    is_assigned(3, 2, 1);
    publishes(2, 1, 2);
    is_assigned(3, 2, 1); /* still at it: the same as before */
    assert_int_equal(e.step.n_records, 0);
    is_assigned(1, 3, 2);
}

static void an_update_counts_in_the_buffer_that_is_open_when_it_comes(void **st)
{
    (void)st;
    engine_go(&e);
    is_assigned(3, 1, 0);
    publishes(1, 1, 2);
    assert_int_equal(engine_offer(&e, 3, 1, 1)->kind, PF_ANSWER_GO);
    assert_int_equal(e.answer.u.go.round, 2);   /* whose segment takes it */
    assert_int_equal(e.answer.u.go.base[0], 0); /* what it was trained from */
    is_counted(3, 1, 2, 1);
}

static void staleness_counts_the_models_between(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(3, 1, 0);
    closes(1, 1, 2);
    is_counted(3, 1, 2, 1); /* the one that is being made is between, too */
    engine_finished(&e, 1);
    is_assigned(4, 2, 1);
    is_counted(4, 2, 2, 0);
    engine_finished(&e, 2);
    is_assigned(3, 3, 2);
    publishes(3, 1, 2);
    publishes(4, 1, 2);
    is_counted(3, 3, 5, 2);
    assert_true(engine_effect(&e, PF_EFFECT_FOLD)->u.fold.factor ==
                1 / sqrt(3));
}

static void an_update_that_is_too_old_is_refused(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(3, 1, 0);
    publishes(1, 1, 2);
    publishes(2, 1, 2);
    assert_int_equal(engine_offer(&e, 3, 1, 1)->kind, PF_ANSWER_GO); /* 2 */
    closes(3, 1, 2);
    engine_offer(&e, 3, 1, 1); /* 3, with the one that is being made */
    assert_true(engine_refused(&e, PF_PROBLEM_ROUND_CLOSED));
    engine_update(&e, 3, 1, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_ROUND_CLOSED));
    assert_int_equal(e.step.n_records, 0);
    is_assigned(3, 4, 2); /* it begins anew, without being asked to wait */
}

static void a_buffer_runs_over_while_a_model_is_made_but_not_for_ever(void **st)
{
    (void)st;
    e.task.round.select.max = 9;
    engine_go(&e);
    closes(1, 1, 2);
    for (unsigned d = 3; d <= 7; d++)
        is_assigned(d, 2, 0);
    for (unsigned d = 3; d <= 6; d++) { /* twice collect.max */
        is_counted(d, 2, 2, 1);
        assert_int_equal(engine_records(&e, PF_REC_CLOSED), 0);
    }
    engine_offer(&e, 7, 2, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_BUSY));
    assert_true(e.answer.u.problem.retry_after_ms > 0);
    engine_update(&e, 7, 2, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_BUSY));
    engine_finished(&e, 1);
    assert_int_equal(engine_record(&e, PF_REC_CLOSED)->round, 2);
    opened(3, 1);
    is_counted(7, 2, 3, 2); /* models 1 and 2 */
    engine_finished(&e, 2);
    assert_int_equal(e.step.record[0].u.published.accepted, 4);
    assert_int_equal(e.step.record[0].u.published.weight, 40);
}

static void bytes_in_another_buffers_segment_are_moved(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(3, 1, 0);
    assert_int_equal(engine_offer(&e, 3, 1, 1)->u.go.round, 1);
    publishes(1, 1, 2); /* while it sends */
    assert_int_equal(engine_update_in(&e, 3, 1, 1, 1)->kind, PF_ANSWER_MOVE);
    assert_int_equal(e.answer.u.go.round, 2);
    assert_int_equal(e.answer.u.go.base[0], 0);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_update_in(&e, 3, 1, 1, 2)->kind, PF_ANSWER_ACK);
    assert_int_equal(e.answer.u.ack.counted, 2);
}

static void the_same_update_again_gets_the_same_acknowledgement(void **state)
{
    struct pf_ack first;

    (void)state;
    engine_go(&e);
    is_assigned(3, 1, 0);
    closes(1, 1, 2);
    first = engine_update(&e, 3, 1, 9)->u.ack;
    for (int i = 0; i < 2; i++) { /* in its buffer, and in the next */
        assert_int_equal(engine_offer(&e, 3, 1, 9)->kind, PF_ANSWER_ACK);
        assert_int_equal(e.answer.again, 1);
        assert_memory_equal(&e.answer.u.ack, &first, sizeof first);
        assert_int_equal(engine_update(&e, 3, 1, 9)->kind, PF_ANSWER_ACK);
        assert_int_equal(e.step.n_records, 0);
        assert_null(engine_effect(&e, PF_EFFECT_FOLD));
        engine_update(&e, 3, 1, 8);
        assert_true(engine_refused(&e, PF_PROBLEM_ALREADY_DIFFERENT));
        engine_finished(&e, 1);
        engine_pass(&e, 10);
    }
}

static void no_device_is_twice_in_a_buffer(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(3, 1, 0);
    is_counted(3, 1, 1, 0);
    assert_true(engine_waits(&e, 3, PF_WAIT_CONTRIBUTED));
    is_assigned(2, 1, 0);
    is_assigned(4, 1, 0);
    is_counted(2, 1, 1, 0); /* closes */
    is_counted(4, 1, 2, 1); /* in round 2, though assigned in round 1 */
    assert_true(engine_waits(&e, 4, PF_WAIT_CONTRIBUTED));
    is_assigned(3, 2, 0);
}

static void work_that_is_not_the_devices_is_refused(void **state)
{
    (void)state;
    engine_go(&e);
    is_assigned(1, 1, 0);
    for (uint64_t round = 0; round <= 2; round += 2) {
        engine_offer(&e, 1, round, 1);
        assert_true(engine_refused(&e, PF_PROBLEM_NOT_ASSIGNED));
        engine_failure(&e, 1, round);
        assert_true(engine_refused(&e, PF_PROBLEM_NOT_ASSIGNED));
    }
    engine_update(&e, 2, 1, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_NOT_ASSIGNED));
    assert_int_equal(e.step.n_records, 0);
}

/* ---- places -----------------------------------------------------------------
 */

static void select_max_train_at_a_time(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        is_assigned(d, 1, 0);
    assert_true(engine_waits(&e, 4, PF_WAIT_ROUND_FULL));
    is_counted(1, 1, 1, 0);
    is_assigned(4, 1, 0);
    assert_true(engine_waits(&e, 5, PF_WAIT_ROUND_FULL));
}

static void who_gives_its_work_back_makes_room_and_rests(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        is_assigned(d, 1, 0);
    assert_int_equal(engine_failure(&e, 1, 1)->kind, PF_ANSWER_DONE);
    assert_int_equal(engine_records(&e, PF_REC_FAILED), 1);
    assert_int_equal(engine_failure(&e, 1, 1)->kind, PF_ANSWER_DONE);
    assert_int_equal(e.step.n_records, 0);
    assert_true(engine_waits(&e, 1, PF_WAIT_ROUND_FULL)); /* of this buffer */
    is_assigned(4, 1, 0);
    engine_update(&e, 1, 1, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_NOT_ASSIGNED));
    is_counted(2, 1, 1, 0);
    is_counted(3, 1, 1, 0);
    is_assigned(1, 2, 0);
}

static void a_lapsed_lease_gives_its_place_to_another(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        is_assigned(d, 1, 0);
    assert_int_equal(e.answer.u.checkin.lease_ms, 50000);
    engine_pass(&e, 49.999);
    assert_true(engine_waits(&e, 4, PF_WAIT_ROUND_FULL));
    engine_pass(&e, 0.001);
    is_assigned(4, 1, 0);
    is_counted(1, 1, 1, 0); /* and what it sends later is welcome */
}

static void who_lapsed_begins_anew_when_another_buffer_is_open(void **state)
{
    (void)state;
    e.task.round.collect.min = 2;
    engine_go(&e);
    is_assigned(3, 1, 0);
    engine_pass(&e, 50);
    is_assigned(3, 1, 0); /* the same again: there is no other model */
    assert_int_equal(e.step.n_records, 0);
    assert_true(e.answer.u.checkin.lease_ms == 50000);
    publishes(1, 1, 2);
    is_assigned(3, 2, 1);
    engine_update(&e, 3, 1, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_NOT_ASSIGNED));
}

/* More devices than the engine remembers give up in one buffer: it goes on. */
static void a_buffer_of_failures_does_not_stop_the_task(void **state)
{
    unsigned d;

    (void)state;
    e.task.round.collect.min = 2;
    engine_go(&e);
    for (d = 1; d <= 20; d++) {
        is_assigned(d, 1, 0);
        engine_failure(&e, d, 1);
    }
    for (d = 21; d <= 40; d++) {
        is_assigned(d, 1, 0);
        engine_pass(&e, 50); /* silent for good */
    }
    closes(1, 41, 42);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, buffers_set_up,                \
                                             engine_tear_down, &e)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buffer_collects_from_the_start),
        TEST(a_full_buffer_closes_and_the_next_opens_at_once),
        TEST(one_update_closes_the_buffer_after_min_s),
        TEST(a_buffer_that_is_not_full_waits_for_ever),
        TEST(who_comes_later_trains_from_the_newest_model),
        TEST(an_update_counts_in_the_buffer_that_is_open_when_it_comes),
        TEST(staleness_counts_the_models_between),
        TEST(an_update_that_is_too_old_is_refused),
        TEST(a_buffer_runs_over_while_a_model_is_made_but_not_for_ever),
        TEST(bytes_in_another_buffers_segment_are_moved),
        TEST(the_same_update_again_gets_the_same_acknowledgement),
        TEST(no_device_is_twice_in_a_buffer),
        TEST(work_that_is_not_the_devices_is_refused),
        TEST(select_max_train_at_a_time),
        TEST(who_gives_its_work_back_makes_room_and_rests),
        TEST(a_lapsed_lease_gives_its_place_to_another),
        TEST(who_lapsed_begins_anew_when_another_buffer_is_open),
        TEST(a_buffer_of_failures_does_not_stop_the_task),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
