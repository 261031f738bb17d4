#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "world.h"

/* Only the record key can send a device home; whoever else says that the task
 * is over costs it a wait, or one contribution. */

static void says_finished(struct world *w)
{
    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_FINISHED;
    w->fake.work.min_ms = 2000;
    w->fake.work.max_ms = 5000;
    memcpy(w->fake.work.final_model, w->fake.model_digest, 32);
}

/* One check-in is answered by a wait of that many milliseconds. */
static void waits(struct world *w, int64_t min_ms, int64_t max_ms)
{
    enum pf_want want;

    assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
    assert_int_equal(want, PF_WANT_REQUEST);
    assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
    assert_int_equal(want, PF_WANT_WAIT);
    assert_in_range(w->side.waited_ms, min_ms, max_ms);
}

static void then_contributes(struct world *w)
{
    w->fake.work.kind = PF_CHECKIN_TRAIN;
    w->fake.bend = NULL;
    w->fake.wrong_signature_at = -1;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE] > 0, 1);
}

static void an_end_under_another_key_is_a_wait(void **state)
{
    struct world *w = *state;

    says_finished(w);
    w->fake.wrong_signature_at = PF_CALL_CHECKIN;
    waits(w, 2000, 5000);
    waits(w, 2000, 5000);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 0);
    then_contributes(w);
}

static void name_another_device(struct pf_fake *f, enum pf_call_id call,
                                struct pf_buf *body)
{
    char *hex = call == PF_CALL_CHECKIN
                    ? strstr((char *)body->data, "\"device\":\"")
                    : NULL;

    (void)f;
    if (hex)
        hex[10] = hex[10] == 'a' ? 'b' : 'a';
}

static void name_another_task(struct pf_fake *f, enum pf_call_id call,
                              struct pf_buf *body)
{
    char *name = call == PF_CALL_CHECKIN
                     ? strstr((char *)body->data, "\"task\":\"")
                     : NULL;

    (void)f;
    if (name)
        name[8] = 'x';
}

static void an_end_for_another_device_or_task_is_a_wait(void **state)
{
    struct world *w = *state;

    says_finished(w);
    w->fake.bend = name_another_device;
    waits(w, 2000, 5000);
    w->fake.bend = name_another_task;
    waits(w, 2000, 5000);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 0);
    then_contributes(w);
}

static void a_wait_that_names_no_time_does_not_spin(void **state)
{
    struct world *w = *state;
    int64_t sum = 0;
    int i;

    says_finished(w);
    w->fake.wrong_signature_at = PF_CALL_CHECKIN;
    w->fake.work.min_ms = w->fake.work.max_ms = 0;
    for (i = 0; i < 20; i++) {
        waits(w, 50, 10 * 60 * 1000);
        sum += w->side.waited_ms;
    }
    assert_true(sum > 10 * 60 * 1000); /* they grow */
    w->fake.work.max_ms = 1;
    waits(w, 50, 50);
    then_contributes(w);
}

static void a_refusal_of_a_finished_task_drops_the_work(void **state)
{
    static const enum pf_call_id calls[] = {PF_CALL_CHECKIN, PF_CALL_UPDATE,
                                            PF_CALL_PLAN};
    struct world *w = *state;
    size_t i;

    for (i = 0; i < sizeof calls / sizeof *calls; i++) {
        enum pf_want want;

        if (i > 0) { /* nothing from before is of use */
            world_tear_down(state);
            world_set_up(state);
            w = *state;
        }
        w->fake.problem_at = calls[i];
        w->fake.problem_times = 1;
        w->fake.problem_unsigned = 1;
        pf_problem_set(&w->fake.problem, PF_PROBLEM_TASK_FINISHED, "all done");
        world_ends(w, PF_OUTCOME_DROPPED);
        pf_participation_reset(w->side.p);
        pf_side_move(&w->side, &want);
        assert_int_equal(want, PF_WANT_WAIT); /* and not at once again */
        world_ends(w, PF_OUTCOME_ACCEPTED);
    }
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_end_under_another_key_is_a_wait),
        T(an_end_for_another_device_or_task_is_a_wait),
        T(a_wait_that_names_no_time_does_not_spin),
        T(a_refusal_of_a_finished_task_drops_the_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
