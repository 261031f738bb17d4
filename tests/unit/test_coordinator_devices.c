/* What the coordinator does when a device goes: in one batch, so that no end of
 * the daemon comes between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "core.h"

/* What the device was before. */
static enum pf_device_state end(struct core *k, struct pf_live_task *t, int i,
                                enum pf_job_kind kind)
{
    struct pf_job job = {.kind = kind, .task = t};

    job.u.gone.device = core_device(i);
    core_run(k, &job);
    assert_int_equal(job.problem.id, PF_PROBLEM_NONE);
    return job.u.gone.was;
}

static struct pf_live_task *restart(struct core *k)
{
    core_close(k);
    core_open(k, k->dir);
    return pf_coordinator_task(k->c, "a");
}

static int is_assigned(struct core *k, struct pf_live_task *t, int i)
{
    struct pf_answer a;

    assert_true(core_checkin(k, t, i, &a));
    return a.kind == PF_ANSWER_CHECKIN && a.u.checkin.kind == PF_CHECKIN_TRAIN;
}

static void the_population_is_those_who_are_there(void **state)
{
    struct core *k = *state;
    struct pf_live_task *t = core_begin(k, CORE_TASK("a", 1, ""));

    assert_int_equal(t->devices, 3);
    assert_int_equal(end(k, t, 0, PF_JOB_LEAVE), PF_DEVICE_ACTIVE);
    assert_int_equal(t->devices, 2);
    assert_int_equal(end(k, t, 0, PF_JOB_LEAVE), PF_DEVICE_LEFT);
    assert_int_equal(end(k, t, 0, PF_JOB_REVOKE), PF_DEVICE_LEFT);
    assert_int_equal(t->devices, 2);
    assert_int_equal(end(k, t, 1, PF_JOB_REVOKE), PF_DEVICE_ACTIVE);
    assert_int_equal(t->devices, 1);
    t = restart(k);
    assert_int_equal(t->devices, 1);
}

static void a_restart_still_knows_that_the_place_is_free(void **state)
{
    struct core *k = *state;
    struct pf_live_task *t = core_begin(k, CORE_TASK("a", 1, ""));
    struct pf_job view;

    for (int i = 0; i < 3; i++)
        assert_true(is_assigned(k, t, i));
    core_enrol(k, t, 3);
    assert_false(is_assigned(k, t, 3));
    end(k, t, 1, PF_JOB_REVOKE);
    t = restart(k);
    core_view(k, t, &view);
    assert_int_equal(view.u.view.open.failed, 1);
    assert_true(is_assigned(k, t, 3));
    assert_true(is_assigned(k, t, 0)); /* as before */
}

static void who_has_nothing_in_hand_leaves_no_record(void **state)
{
    struct core *k = *state;
    struct pf_live_task *t = core_begin(k, CORE_TASK("a", 1, ""));
    struct pf_coordinator_stats before, after;
    struct pf_ack ack;

    assert_true(core_take_part(k, t, 0, &ack));
    pf_coordinator_stats(k->c, &before);
    end(k, t, 0, PF_JOB_LEAVE);  /* it contributed */
    end(k, t, 1, PF_JOB_REVOKE); /* it was never assigned */
    pf_coordinator_stats(k->c, &after);
    assert_int_equal(after.records, before.records);
}

static struct core core;

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, core_set_up, core_tear_down,   \
                                             &core)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_population_is_those_who_are_there),
        TEST(a_restart_still_knows_that_the_place_is_free),
        TEST(who_has_nothing_in_hand_leaves_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
