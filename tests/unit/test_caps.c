/* Who may take part in synchronous rounds and how often, for how long an
 * assignment holds, and what an operator can undo. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"
#include "pace.h"

static struct engine e;

#define PHASE(name) assert_string_equal(engine_status(&e).phase, name)

static void of_class(const char *name)
{
    snprintf(e.device_class, sizeof e.device_class, "%s", name);
}

/* ---- classes and caps
 * -------------------------------------------------------- */

static void devices_of_other_classes_are_not_asked(void **state)
{
    (void)state;
    e.task.device.n_classes = 2;
    snprintf(e.task.device.classes[0], 8, "phone");
    snprintf(e.task.device.classes[1], 8, "tablet");
    engine_go(&e);
    of_class("watch");
    assert_true(engine_waits(&e, 1, PF_WAIT_NOT_ELIGIBLE));
    assert_int_equal(e.answer.u.checkin.min_ms, PF_PACE_MOST_MS / 2);
    of_class("");
    assert_true(engine_waits(&e, 1, PF_WAIT_NOT_ELIGIBLE));
    of_class("tablet");
    assert_true(engine_assigned(&e, 2));
    assert_string_equal(
        engine_record(&e, PF_REC_ASSIGNED)->u.assigned.device_class, "tablet");
    of_class("phone");
    assert_true(engine_assigned(&e, 3));
}

static void any_class_will_do_when_the_task_names_none(void **state)
{
    (void)state;
    engine_go(&e);
    of_class("watch");
    assert_true(engine_assigned(&e, 1));
}

static void a_device_contributes_no_more_than_max_updates(void **state)
{
    (void)state;
    e.task.device.max_updates = 2;
    engine_go(&e);
    for (uint64_t round = 1; round <= 2; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
    }
    assert_true(engine_waits(&e, 1, PF_WAIT_DONE));
    assert_int_equal(e.answer.u.checkin.min_ms, PF_PACE_MOST_MS / 2);
    assert_true(engine_assigned(&e, 4));
}

static void an_assignment_that_came_to_nothing_is_none_of_them(void **state)
{
    (void)state;
    e.task.device.max_updates = 1;
    engine_go(&e);
    assert_true(engine_assigned(&e, 1));
    engine_failure(&e, 1, 1);
    engine_pass(&e, 100); /* abandoned */
    engine_pass(&e, 8);
    assert_true(engine_assigned(&e, 1));
}

static void a_device_rests_so_many_rounds_after_one_it_gave_to(void **state)
{
    (void)state;
    e.task.device.rest_rounds = 2;
    engine_go(&e);
    e.now_ms += 7000;
    engine_fill(&e, 1); /* devices 1, 2, 3 */
    engine_finished(&e, 1);
    assert_true(engine_waits(&e, 1, PF_WAIT_RESTING)); /* in round 2 */
    assert_int_equal(e.answer.u.checkin.min_ms,
                     7000); /* another round's time */
    assert_int_equal(e.answer.u.checkin.max_ms, 12000);
    for (unsigned d = 4; d <= 6; d++) {
        assert_true(engine_assigned(&e, d));
        engine_update(&e, d, 2, 1);
    }
    engine_finished(&e, 2);
    assert_true(engine_waits(&e, 1, PF_WAIT_RESTING)); /* in round 3 */
    for (unsigned d = 7; d <= 9; d++) {
        assert_true(engine_assigned(&e, d));
        engine_update(&e, d, 3, 1);
    }
    engine_finished(&e, 3);
    assert_true(engine_assigned(&e, 1)); /* in round 4 */
    assert_true(engine_waits(&e, 7, PF_WAIT_RESTING));
}

/* ---- leases
 * ------------------------------------------------------------------ */

/* Selecting ends with 3 devices; a lease lasts 20 s. */
static void short_leases(void)
{
    e.task.round.lease_s = 20;
    engine_go(&e);
}

static void an_assignment_says_for_how_long_it_holds(void **state)
{
    (void)state;
    short_leases();
    assert_true(engine_assigned(&e, 1));
    assert_int_equal(e.answer.u.checkin.lease_ms, 20000);
    e.now_ms += 5000;
    assert_true(engine_assigned(&e, 1)); /* again */
    assert_int_equal(e.answer.u.checkin.lease_ms, 15000);
}

static void who_is_silent_while_selecting_does_not_count_as_selected(void **st)
{
    (void)st;
    e.task.round.select = (struct pf_window){3, 3, 60, 100};
    short_leases();
    engine_assigned(&e, 1);
    engine_assigned(&e, 2);
    engine_pass(&e, 20);
    assert_true(engine_assigned(&e, 3));
    PHASE("selecting"); /* 1 and 2 are gone */
    assert_true(engine_assigned(&e, 4));
    PHASE("selecting");
    assert_true(engine_assigned(&e, 5));
    PHASE("collecting");
    assert_int_equal(engine_update(&e, 1, 1, 1)->kind, PF_ANSWER_ACK);
}

static void who_is_silent_later_is_replaced(void **state)
{
    (void)state;
    short_leases();
    for (unsigned d = 1; d <= 3; d++)
        engine_assigned(&e, d);
    engine_update(&e, 1, 1, 1);
    assert_true(engine_waits(&e, 4, PF_WAIT_ROUND_FULL));
    engine_pass(&e, 19.999);
    assert_true(engine_waits(&e, 4, PF_WAIT_ROUND_FULL));
    engine_pass(&e, 0.001); /* one is in, two are silent */
    assert_true(engine_assigned(&e, 4));
    assert_true(engine_assigned(&e, 5));
    assert_true(engine_waits(&e, 6, PF_WAIT_ROUND_FULL));
    assert_int_equal(engine_update(&e, 2, 1, 1)->kind, PF_ANSWER_ACK);
    assert_int_equal(engine_records(&e, PF_REC_CLOSED), 1); /* late, welcome */
}

static void without_leases_silence_is_borne_until_the_phase_ends(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        engine_assigned(&e, d);
    engine_pass(&e, 49.999);
    assert_true(engine_waits(&e, 4, PF_WAIT_ROUND_FULL));
}

/* ---- what an operator can do
 * --------------------------------------------------- */

static void abort_abandons_the_open_round_and_waits(void **state)
{
    (void)state;
    engine_go(&e);
    engine_assigned(&e, 1);
    assert_int_equal(engine_command(&e, PF_CMD_ABORT)->kind, PF_ANSWER_DONE);
    assert_true(engine_abandoned(&e, "by the operator"));
    PHASE("backoff");
    engine_command(&e, PF_CMD_ABORT);
    assert_true(engine_refused(&e, PF_PROBLEM_STATE)); /* nothing is open */
    assert_true(e.answer.u.problem.detail[0] != '\0');
    engine_pass(&e, 8);
    PHASE("selecting");
    assert_int_equal(engine_status(&e).round, 2);
}

static void abort_abandons_a_round_whose_model_is_being_made(void **state)
{
    (void)state;
    engine_go(&e);
    engine_fill(&e, 1);
    PHASE("closing");
    engine_command(&e, PF_CMD_ABORT);
    assert_true(engine_abandoned(&e, "by the operator"));
    engine_finished(&e, 1);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_effect(&e, PF_EFFECT_DISCARD)->u.model[0], 1);
    assert_int_equal(engine_offer(&e, 1, 1, 1)->kind, PF_ANSWER_ACK);
}

static void a_rollback_publishes_an_older_model_under_a_new_number(void **state)
{
    const struct pf_record *rec;

    (void)state;
    e.task.stop.rounds = 4;
    engine_go(&e);
    for (uint64_t round = 1; round <= 3; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
    }
    engine_assigned(&e, 1);
    assert_int_equal(engine_roll_back(&e, 2)->kind, PF_ANSWER_DONE);
    assert_true(engine_abandoned(&e, "rolled back"));
    assert_int_equal(e.step.record[1].kind, PF_REC_OPENED);
    assert_int_equal(e.step.record[1].u.opened.base[0], 3);
    rec = &e.step.record[2];
    assert_int_equal(rec->kind, PF_REC_PUBLISHED);
    assert_int_equal(rec->round, 5);
    assert_int_equal(rec->u.published.model[0], 2);
    assert_int_equal(rec->u.published.source, 2);
    assert_int_equal(rec->u.published.accepted, 0);
    assert_true(rec->u.published.train_loss == -1);
    assert_int_equal(e.step.record[3].kind, PF_REC_OPENED);
    assert_int_equal(e.step.record[3].round, 6);
    assert_int_equal(engine_status(&e).published, 3); /* it counts as none */
    assert_true(engine_assigned(&e, 1));
    assert_int_equal(e.answer.u.checkin.base[0], 2);
    engine_update(&e, 1, 4, 1); /* of the round that was given up */
    assert_true(engine_refused(&e, PF_PROBLEM_ROUND_CLOSED));
    engine_roll_back(&e, 1); /* and again, to another */
    assert_int_equal(engine_record(&e, PF_REC_PUBLISHED)->u.published.model[0],
                     1);
}

static void a_rollback_needs_an_earlier_model(void **state)
{
    (void)state;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    for (uint64_t source = 0; source <= 2; source++) {
        engine_roll_back(&e, source);
        assert_true(engine_refused(&e, PF_PROBLEM_STATE));
        assert_int_equal(e.step.n_records, 0);
    }
    assert_non_null(strstr(e.answer.u.problem.detail, "round 2"));
}

static void a_rollback_of_a_paused_task_leaves_it_paused(void **state)
{
    (void)state;
    engine_go(&e);
    for (uint64_t round = 1; round <= 2; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
    }
    engine_command(&e, PF_CMD_PAUSE);
    engine_roll_back(&e, 1);
    assert_int_equal(engine_record(&e, PF_REC_PUBLISHED)->u.published.source,
                     1);
    PHASE("idle");
    assert_int_equal(engine_status(&e).model[0], 1);
}

static void a_rolled_back_model_is_measured_like_any_other(void **state)
{
    (void)state;
    snprintf(e.task.evaluate.data, sizeof e.task.evaluate.data, "/data");
    engine_go(&e);
    for (uint64_t round = 1; round <= 2; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
        engine_evaluated(&e, round, 0.5);
    }
    engine_roll_back(&e, 1);
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->round, 4);
    assert_int_equal(engine_effect(&e, PF_EFFECT_EVALUATE)->u.model[0], 1);
}

static void a_rollback_ends_the_waiting_after_failures(void **state)
{
    (void)state;
    engine_go(&e);
    for (uint64_t round = 1; round <= 2; round++) {
        engine_fill(&e, round);
        engine_finished(&e, round);
    }
    engine_pass(&e, 100);
    engine_pass(&e, 8);
    engine_pass(&e, 100); /* abandoned twice: 16 s */
    engine_roll_back(&e, 1);
    PHASE("selecting");
    engine_pass(&e, 100);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 8000);
}

static void finish_ends_the_task_whatever_is_under_way(void **state)
{
    (void)state;
    engine_go(&e);
    engine_fill(&e, 1);
    assert_int_equal(engine_command(&e, PF_CMD_FINISH)->kind, PF_ANSWER_DONE);
    assert_true(engine_abandoned(&e, "by the operator"));
    assert_true(engine_waits(&e, 1, PF_WAIT_FINISHED));
    assert_true(engine_waits(&e, 4, PF_WAIT_FINISHED));
    assert_string_equal(engine_status(&e).reason, "by the operator");
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
    engine_command(&e, PF_CMD_FINISH);
    assert_true(engine_refused(&e, PF_PROBLEM_STATE));
    engine_roll_back(&e, 1);
    assert_true(engine_refused(&e, PF_PROBLEM_STATE));
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, engine_set_up,                 \
                                             engine_tear_down, &e)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(devices_of_other_classes_are_not_asked),
        TEST(any_class_will_do_when_the_task_names_none),
        TEST(a_device_contributes_no_more_than_max_updates),
        TEST(an_assignment_that_came_to_nothing_is_none_of_them),
        TEST(a_device_rests_so_many_rounds_after_one_it_gave_to),
        TEST(an_assignment_says_for_how_long_it_holds),
        TEST(who_is_silent_while_selecting_does_not_count_as_selected),
        TEST(who_is_silent_later_is_replaced),
        TEST(without_leases_silence_is_borne_until_the_phase_ends),
        TEST(abort_abandons_the_open_round_and_waits),
        TEST(abort_abandons_a_round_whose_model_is_being_made),
        TEST(a_rollback_publishes_an_older_model_under_a_new_number),
        TEST(a_rollback_needs_an_earlier_model),
        TEST(a_rollback_of_a_paused_task_leaves_it_paused),
        TEST(a_rolled_back_model_is_measured_like_any_other),
        TEST(a_rollback_ends_the_waiting_after_failures),
        TEST(finish_ends_the_task_whatever_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
