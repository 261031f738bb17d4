/* How rounds end other than by enough updates: too few devices, failures,
 * pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"

static struct engine e;

#define PHASE(name) assert_string_equal(engine_status(&e).phase, name)

static void too_few_devices_abandon_the_round(void **state)
{
    (void)state;
    engine_go(&e);
    engine_assigned(&e, 1);
    engine_update(&e, 1, 1, 1);
    engine_pass(&e, 99.999);
    PHASE("selecting");
    engine_pass(&e, 0.001);
    assert_true(engine_abandoned(&e, "too few devices"));
    PHASE("backoff");
    assert_true(engine_waits(&e, 1, PF_WAIT_BACKOFF));
    assert_int_equal(e.answer.u.checkin.min_ms, 8000);
    assert_int_equal(e.answer.u.checkin.max_ms, 17000);
    engine_pass(&e, 3);
    assert_true(engine_waits(&e, 1, PF_WAIT_BACKOFF));
    assert_int_equal(e.answer.u.checkin.min_ms, 5000);
}

static void too_few_updates_abandon_the_round(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        engine_assigned(&e, d);
    engine_update(&e, 1, 1, 7);
    engine_pass(&e, 50);
    assert_true(engine_abandoned(&e, "too few updates"));
    /* What was acknowledged stays acknowledged; the rest is too late. */
    assert_int_equal(engine_offer(&e, 1, 1, 7)->kind, PF_ANSWER_ACK);
    assert_int_equal(engine_offer(&e, 2, 1, 7)->u.problem.id,
                     PF_PROBLEM_ROUND_CLOSED);
}

static void the_next_round_opens_on_the_same_base_after_the_wait(void **state)
{
    (void)state;
    engine_go(&e);
    engine_fill(&e, 1);
    engine_finished(&e, 1);
    engine_pass(&e, 100); /* round 2: nobody came */
    assert_true(engine_abandoned(&e, "too few devices"));
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 8000);
    engine_pass(&e, 8);
    assert_int_equal(engine_records(&e, PF_REC_OPENED), 1);
    assert_int_equal(engine_record(&e, PF_REC_OPENED)->round, 3);
    assert_int_equal(engine_record(&e, PF_REC_OPENED)->u.opened.base[0], 1);
}

static void the_wait_doubles_up_to_an_hour_until_a_round_succeeds(void **state)
{
    int64_t want = 8000;

    (void)state;
    engine_go(&e);
    for (int i = 0; i < 14; i++) {
        engine_pass(&e, 100);
        assert_int_equal(pf_round_deadline(e.round), e.now_ms + want);
        engine_pass(&e, (double)want / 1000);
        PHASE("selecting");
        want = want * 2 < 3600000 ? want * 2 : 3600000;
    }
    engine_fill(&e, 15);
    engine_finished(&e, 15);
    engine_pass(&e, 100);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 8000);
}

static void a_check_in_when_the_wait_is_over_opens_the_round(void **state)
{
    (void)state;
    engine_go(&e);
    engine_pass(&e, 100);
    e.now_ms += 8000;
    assert_true(engine_assigned(&e, 1));
    assert_int_equal(e.answer.u.checkin.round, 2);
    assert_int_equal(engine_records(&e, PF_REC_OPENED), 1);
}

static void a_failure_is_noted_once(void **state)
{
    (void)state;
    engine_go(&e);
    engine_assigned(&e, 1);
    assert_int_equal(engine_failure(&e, 1, 1)->kind, PF_ANSWER_DONE);
    assert_int_equal(engine_record(&e, PF_REC_FAILED)->u.failure,
                     PF_FAILURE_MEMORY);
    assert_int_equal(engine_failure(&e, 1, 1)->kind, PF_ANSWER_DONE);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_update(&e, 1, 1, 1)->u.problem.id,
                     PF_PROBLEM_NOT_ASSIGNED);
    assert_true(engine_waits(&e, 1, PF_WAIT_ROUND_FULL));
}

static void a_failure_after_the_update_changes_nothing(void **state)
{
    (void)state;
    engine_go(&e);
    engine_assigned(&e, 1);
    engine_update(&e, 1, 1, 1);
    assert_int_equal(engine_failure(&e, 1, 1)->kind, PF_ANSWER_DONE);
    assert_int_equal(e.step.n_records, 0);
    assert_int_equal(engine_offer(&e, 1, 1, 1)->kind, PF_ANSWER_ACK);
}

static void who_fails_while_selecting_makes_room_for_another(void **state)
{
    (void)state;
    engine_go(&e);
    engine_assigned(&e, 1);
    engine_assigned(&e, 2);
    engine_failure(&e, 2, 1);
    assert_true(engine_assigned(&e, 3));
    PHASE("selecting"); /* two are left; three are wanted */
    assert_true(engine_assigned(&e, 4));
    PHASE("collecting");
}

static void who_fails_while_collecting_is_replaced_too(void **state)
{
    (void)state;
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        engine_assigned(&e, d);
    PHASE("collecting");
    engine_failure(&e, 1, 1);
    assert_true(
        engine_waits(&e, 1, PF_WAIT_ROUND_FULL)); /* not in the same round */
    assert_true(engine_assigned(&e, 4));
    assert_true(engine_waits(&e, 5, PF_WAIT_ROUND_FULL));
}

static void more_are_asked_than_are_needed_while_updates_come_in(void **state)
{
    (void)state;
    e.task.round.select.min = 2; /* and 3 at most */
    engine_go(&e);
    engine_assigned(&e, 1);
    engine_assigned(&e, 2);
    PHASE("collecting");
    assert_true(engine_assigned(&e, 3));
    PHASE("collecting");
    assert_true(engine_waits(&e, 4, PF_WAIT_ROUND_FULL));
}

static void replacements_are_bounded(void **state)
{
    unsigned d;

    (void)state;
    engine_go(&e);
    for (d = 1; d <= 6; d++) {
        assert_true(engine_assigned(&e, d));
        engine_failure(&e, d, 1);
    }
    assert_true(engine_waits(&e, 7, PF_WAIT_ROUND_FULL));
}

static void a_paused_task_lets_the_open_round_end_and_opens_none(void **state)
{
    (void)state;
    engine_go(&e);
    engine_assigned(&e, 1);
    engine_assigned(&e, 2);
    assert_int_equal(engine_command(&e, PF_CMD_PAUSE)->kind, PF_ANSWER_DONE);
    assert_int_equal(engine_records(&e, PF_REC_STATE), 1);
    engine_command(&e, PF_CMD_PAUSE);
    assert_int_equal(e.step.n_records, 0);
    assert_true(engine_assigned(&e, 1)); /* again */
    assert_true(engine_waits(&e, 3, PF_WAIT_PAUSED));
    assert_int_equal(engine_update(&e, 1, 1, 1)->kind, PF_ANSWER_ACK);
    assert_true(engine_waits(&e, 1, PF_WAIT_CONTRIBUTED));
    engine_command(&e, PF_CMD_RESUME);
    engine_assigned(&e, 3);
    engine_command(&e, PF_CMD_PAUSE);
    engine_update(&e, 2, 1, 1);
    engine_update(&e, 3, 1, 1);
    PHASE("closing");
    assert_true(engine_waits(&e, 1, PF_WAIT_PAUSED));
    engine_finished(&e, 1);
    assert_int_equal(engine_records(&e, PF_REC_PUBLISHED), 1);
    assert_int_equal(engine_records(&e, PF_REC_OPENED), 0);
    PHASE("idle");
    assert_int_equal(engine_status(&e).state, PF_TASK_PAUSED);
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
    engine_pass(&e, 1e6);
    assert_int_equal(e.step.n_records, 0);
    engine_command(&e, PF_CMD_RESUME);
    assert_int_equal(engine_record(&e, PF_REC_OPENED)->round, 2);
    engine_command(&e, PF_CMD_RESUME);
    assert_int_equal(e.step.n_records, 0);
}

static void a_pause_ends_the_wait_after_an_abandoned_round(void **state)
{
    (void)state;
    engine_go(&e);
    engine_pass(&e, 100);
    PHASE("backoff");
    engine_command(&e, PF_CMD_PAUSE);
    PHASE("idle");
    engine_pass(&e, 1000);
    assert_true(engine_waits(&e, 1, PF_WAIT_PAUSED));
    engine_command(&e, PF_CMD_RESUME);
    PHASE("selecting");
}

static void a_paused_round_with_too_few_stays_down(void **state)
{
    (void)state;
    engine_go(&e);
    engine_command(&e, PF_CMD_PAUSE);
    engine_pass(&e, 100);
    assert_true(engine_abandoned(&e, "too few devices"));
    PHASE("idle");
}

static void start_does_not_undo_a_pause(void **state)
{
    (void)state;
    engine_go(&e);
    engine_command(&e, PF_CMD_PAUSE);
    assert_int_equal(engine_command(&e, PF_CMD_START)->kind, PF_ANSWER_DONE);
    assert_int_equal(engine_status(&e).state, PF_TASK_PAUSED);
}

static void a_model_that_could_not_be_made_abandons_the_round(void **state)
{
    struct pf_event ev;

    (void)state;
    engine_go(&e);
    engine_fill(&e, 1);
    memset(&ev, 0, sizeof ev);
    ev.kind = PF_EV_FINISH_FAILED;
    ev.round = 2;
    ev.u.failure = POCKETFED_NO_MEMORY;
    engine_event(&e, &ev);
    assert_int_equal(e.step.n_records, 0);
    ev.round = 1;
    engine_event(&e, &ev);
    assert_true(engine_abandoned(&e, "no model made: no_memory"));
    PHASE("backoff");
    engine_finished(&e, 1);
    assert_int_equal(e.step.n_records, 0);
}

static void a_nonsense_cohort_is_refused_at_creation(void **state)
{
    uint8_t digest[32] = {0};
    struct pf_round *r = NULL;

    (void)state;
    e.task.round.select.max = 0;
    assert_int_equal(pf_round_create(&e.task, digest, digest, &r),
                     POCKETFED_INVALID);
    e.task.round.select.max = 1000001;
    assert_int_equal(pf_round_create(&e.task, digest, digest, &r),
                     POCKETFED_INVALID);
    assert_null(r);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, engine_set_up,                 \
                                             engine_tear_down, &e)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(too_few_devices_abandon_the_round),
        TEST(too_few_updates_abandon_the_round),
        TEST(the_next_round_opens_on_the_same_base_after_the_wait),
        TEST(the_wait_doubles_up_to_an_hour_until_a_round_succeeds),
        TEST(a_check_in_when_the_wait_is_over_opens_the_round),
        TEST(a_failure_is_noted_once),
        TEST(a_failure_after_the_update_changes_nothing),
        TEST(who_fails_while_selecting_makes_room_for_another),
        TEST(who_fails_while_collecting_is_replaced_too),
        TEST(more_are_asked_than_are_needed_while_updates_come_in),
        TEST(replacements_are_bounded),
        TEST(a_paused_task_lets_the_open_round_end_and_opens_none),
        TEST(a_pause_ends_the_wait_after_an_abandoned_round),
        TEST(a_paused_round_with_too_few_stays_down),
        TEST(start_does_not_undo_a_pause),
        TEST(a_model_that_could_not_be_made_abandons_the_round),
        TEST(a_nonsense_cohort_is_refused_at_creation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
