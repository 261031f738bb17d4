/* The coordinator without HTTP: rounds, restarts, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "core.h"
#include "idx.h"

static struct core k;

static struct pf_live_task *restart(const char *name)
{
    struct pf_live_task *t;

    core_close(&k);
    core_open(&k, k.dir);
    t = pf_coordinator_task(k.c, name);
    assert_non_null(t);
    return t;
}

static struct pf_ack take_part(struct pf_live_task *t, int i)
{
    struct pf_ack ack;

    assert_true(core_take_part(&k, t, i, &ack));
    return ack;
}

static void whole_round(struct pf_live_task *t, uint64_t published)
{
    int i;

    for (i = 0; i < 3; i++)
        take_part(t, i);
    assert_true(core_wait(&k, t, published));
}

static int exists(const char *name)
{
    char path[600];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s", k.dir, name);
    return stat(path, &info) == 0;
}

static void publishes_a_model_and_opens_the_next_round(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 2, ""));
    struct pf_coordinator_stats stats;
    struct pf_job view;
    struct pf_answer a;

    (void)state;
    assert_true(exists("journal/1/1.seg"));
    whole_round(t, 1);
    assert_false(exists("journal/1/1.seg"));
    assert_true(exists("journal/1/2.seg"));
    core_view(&k, t, &view);
    assert_int_equal(view.u.view.status.round, 2);
    assert_true(view.u.view.has_open);
    assert_string_equal(view.u.view.open.phase, "selecting");
    whole_round(t, 2);
    core_view(&k, t, &view);
    assert_int_equal(view.u.view.status.state, PF_TASK_FINISHED);
    assert_false(exists("journal/1/2.seg"));
    assert_int_equal(core_check_models(&k, t, 3), 2);
    assert_true(core_checkin(&k, t, 0, &a));
    assert_int_equal(a.u.checkin.kind, PF_CHECKIN_WAIT);
    assert_int_equal(a.u.checkin.reason, PF_WAIT_FINISHED);
    assert_memory_equal(a.u.checkin.final_model, view.u.view.status.model, 32);
    assert_int_equal(core_told(&k, "task a: first device assigned in round 1"),
                     1);
    assert_int_equal(core_told(&k, "task a round 1: first update in"), 1);
    assert_int_equal(core_told(&k, "task a round 1 published: 3 updates, "), 1);
    assert_int_equal(core_told(&k, "task a: finished (rounds)"), 1);
    pf_coordinator_stats(k.c, &stats);
    assert_int_equal(stats.accepted, 6);
    assert_int_equal(stats.acked, 6);
    assert_int_equal(stats.rounds_published, 2);
    assert_true(stats.syncs >= 1 && stats.batches >= stats.syncs);
}

/* The digest of the first model, with a restart after `before` updates. */
static void first_model(int before, uint8_t out[32])
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 1, ""));
    struct pf_job view;
    int i;

    for (i = 0; i < 3; i++) {
        if (i == before)
            t = restart("a");
        take_part(t, 2 - i);
    }
    if (before == 3)
        t = restart("a"); /* perhaps before the model was made */
    assert_true(core_wait(&k, t, 1));
    core_view(&k, t, &view);
    memcpy(out, view.u.view.status.model, 32);
    assert_int_equal(core_check_models(&k, t, 3), 1);
}

static void a_restart_in_a_round_changes_no_bit(void **state)
{
    uint8_t want[32], got[32];
    int before;

    first_model(-1, want);
    for (before = 0; before <= 3; before++) {
        core_tear_down(state);
        core_set_up(state);
        first_model(before, got);
        assert_memory_equal(got, want, 32);
    }
}

static void a_duplicate_gets_the_same_acknowledgement(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 1, ""));
    struct pf_ack first = take_part(t, 0), stored;
    struct pf_answer a;
    int i;

    (void)state;
    for (i = 0; i < 2; i++) { /* before and after a restart */
        assert_true(core_upload(&k, t, 1, first.base, 0, 0, &a));
        assert_int_equal(a.kind, PF_ANSWER_ACK);
        assert_true(a.again);
        assert_memory_equal(&a.u.ack, &first, sizeof first);
        assert_int_equal(pf_reader_ack(k.reader, t->stored.id, 1,
                                       core_device(0).id, &stored),
                         POCKETFED_OK);
        assert_memory_equal(&stored, &first, sizeof first);
        assert_true(core_upload(&k, t, 1, first.base, 0, 1, &a));
        assert_int_equal(a.kind, PF_ANSWER_PROBLEM);
        assert_int_equal(a.u.problem.id, PF_PROBLEM_ALREADY_DIFFERENT);
        t = restart("a");
    }
    assert_true(core_upload(&k, t, 1, first.base, 1, 0, &a));
    assert_int_equal(a.u.problem.id, PF_PROBLEM_NOT_ASSIGNED);
}

static void a_pause_lasts_over_a_restart(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 2, ""));
    struct pf_job job = {0};
    struct pf_answer a;

    (void)state;
    job.kind = PF_JOB_TASK_SET;
    job.task = t;
    job.u.set.command = PF_CMD_PAUSE;
    core_run(&k, &job);
    assert_int_equal(job.problem.id, PF_PROBLEM_NONE);
    t = restart("a");
    assert_true(core_checkin(&k, t, 0, &a));
    assert_int_equal(a.u.checkin.reason, PF_WAIT_PAUSED);
    job.task = t;
    job.u.set.command = PF_CMD_RESUME;
    core_run(&k, &job);
    whole_round(t, 1);
    whole_round(t, 2);
    core_run(&k, &job);
    assert_int_equal(job.problem.id, PF_PROBLEM_STATE);
}

static void refuses_a_second_task_of_one_name(void **state)
{
    enum pf_problem_id id;

    (void)state;
    assert_non_null(core_add_task(&k, CORE_TASK("a", 1, ""), NULL));
    assert_null(core_add_task(&k, CORE_TASK("a", 2, ""), &id));
    assert_int_equal(id, PF_PROBLEM_EXISTS);
    assert_null(
        pf_coordinator_next_task(k.c, pf_coordinator_next_task(k.c, NULL)));
    restart("a");
}

static void an_abandoned_round_is_followed_by_the_next(void **state)
{
    static const char file[] =
        "{\"name\":\"a\",\"model\":\"logreg\",\"round\":{\"retry_s\":0.1,"
        "\"select\":{\"min\":2,\"max\":2,\"max_s\":0.05},"
        "\"collect\":{\"min\":2,\"max\":2}}}";
    const struct timespec pause = {0, 10000000};
    struct pf_coordinator_stats stats = {0};
    struct pf_live_task *t;
    struct pf_job view;
    int i;

    (void)state;
    t = core_add_task(&k, file, NULL);
    assert_non_null(t);
    for (i = 0; i < 1000 && stats.rounds_abandoned < 2; i++) {
        nanosleep(&pause, NULL);
        pf_coordinator_stats(k.c, &stats);
    }
    assert_int_equal(stats.rounds_abandoned, 2);
    assert_int_equal(core_told(&k, "task a round 1 abandoned: too few devices"),
                     1);
    t = restart("a");
    core_view(&k, t, &view);
    assert_true(view.u.view.status.round >= 2);
    assert_false(exists("journal/1/1.seg"));
}

/* Without the sweep of a restart: the background drops it in its time. */
static int goes_away(const uint8_t digest[32])
{
    const struct timespec moment = {0, 5000000};
    struct pf_object *obj;
    struct pf_error err;
    int i;

    for (i = 0; i < 2000; i++) {
        if (pf_objects_get(k.objects, digest, &obj, &err) ==
            POCKETFED_NOT_FOUND)
            return 1;
        pf_object_release(obj);
        nanosleep(&moment, NULL);
    }
    return 0;
}

static void keeps_the_newest_models_only(void **state)
{
    struct pf_live_task *t =
        core_begin(&k, CORE_TASK("a", 6, ",\"keep\":{\"models\":2}"));
    struct pf_object *obj;
    struct pf_error err;
    uint8_t model[6][32];
    struct pf_job view;
    int i, j;

    (void)state;
    for (i = 0; i < 6; i++) {
        whole_round(t, (uint64_t)i + 1);
        core_view(&k, t, &view);
        memcpy(model[i], view.u.view.status.model, 32);
    }
    for (i = 0; i < 4; i++)
        assert_true(goes_away(model[i]));
    for (j = 0; j < 2; j++) {
        t = restart("a");
        for (i = 0; i < 6; i++) {
            assert_int_equal(pf_objects_get(k.objects, model[i], &obj, &err),
                             i < 4 ? POCKETFED_NOT_FOUND : POCKETFED_OK);
            if (i >= 4)
                pf_object_release(obj);
        }
    }
    assert_int_equal(
        pf_objects_get(k.objects, t->stored.initial_model, &obj, &err),
        POCKETFED_OK);
    pf_object_release(obj);
    assert_int_equal(core_check_models(&k, t, 3), 6);
}

static void several_tasks_run_side_by_side(void **state)
{
    struct pf_live_task *a = core_begin(&k, CORE_TASK("a", 2, "")), *b;

    (void)state;
    b = core_add_task(&k, CORE_TASK("b", 2, ",\"seed\":7"), NULL);
    take_part(a, 0);
    take_part(b, 1);
    core_close(&k);
    core_open(&k, k.dir);
    a = pf_coordinator_task(k.c, "a");
    b = pf_coordinator_task(k.c, "b");
    take_part(b, 0);
    take_part(a, 1);
    take_part(b, 2);
    take_part(a, 2);
    assert_true(core_wait(&k, a, 1) && core_wait(&k, b, 1));
    assert_int_equal(core_check_models(&k, a, 3), 1);
    assert_int_equal(core_check_models(&k, b, 3), 1);
}

/* ---- evaluation -------------------------------------------------------- */

static void make_test_set(const char *where)
{
    uint8_t images[20 * 16], labels[20];
    struct pf_idx all = {20, 4, 4, images, labels};
    uint32_t which[20], i;
    struct pf_error err;

    for (i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 7);
    for (i = 0; i < 20; i++) {
        labels[i] = (uint8_t)(i % 3);
        which[i] = i;
    }
    assert_int_equal(mkdir(where, 0700), 0);
    assert_int_equal(pf_idx_write(where, "t10k", &all, which, 20, &err),
                     POCKETFED_OK);
}

static int wait_evaluated(struct pf_live_task *t, uint64_t round,
                          struct pf_task_status *out)
{
    const struct timespec pause = {0, 2000000};
    struct pf_job view;
    int i;

    for (i = 0; i < 5000; i++) {
        core_view(&k, t, &view);
        *out = view.u.view.status;
        if (out->evaluated_round >= round)
            return 1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static void measures_each_model_and_goes_on_without_a_test_set(void **state)
{
    char data[300], gone[320], file[1200];
    struct pf_task_status status;
    struct pf_live_task *t;

    (void)state;
    snprintf(data, sizeof data, "%s/data", k.dir);
    snprintf(gone, sizeof gone, "%s/gone", k.dir);
    snprintf(file, sizeof file,
             CORE_TASK("a", 3, ",\"evaluate\":{\"data\":\"%s\"}"), data);
    make_test_set(data);
    t = core_begin(&k, file);
    whole_round(t, 1);
    assert_true(wait_evaluated(t, 1, &status));
    assert_true(status.test_accuracy >= 0 && status.test_accuracy <= 1);
    assert_true(status.test_loss > 0);
    assert_int_equal(core_told(&k, "task a round 1: accuracy 0."), 1);
    assert_int_equal(rename(data, gone), 0);
    whole_round(t, 2); /* it is in memory */
    assert_true(wait_evaluated(t, 2, &status));
    assert_true(status.test_accuracy >= 0);
    t = restart("a");
    whole_round(t, 3);
    assert_true(wait_evaluated(t, 3, &status));
    assert_true(status.test_accuracy == -1 && status.test_loss == -1);
}

static enum pocketfed_status make(const char *file, struct pf_error *err)
{
    struct pf_live_task *t = NULL;
    enum pocketfed_status st;

    st = pf_live_task_make(k.objects, k.key, file, strlen(file), &t, err);
    pf_live_task_free(t);
    return st;
}

static void refuses_a_task_whose_files_are_not_there(void **state)
{
    struct pf_error err = {0};
    char data[300], file[1200];

    (void)state;
    assert_int_equal(
        make(CORE_TASK("a", 1, ",\"evaluate\":{\"data\":\"/no/such\"}"), &err),
        POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "evaluate.data"));
    assert_non_null(strstr(err.text, "/no/such"));
    assert_true(err.hint[0] != '\0');
    assert_int_equal(make(CORE_TASK("a", 1, ",\"init\":\"/no/such\""), &err),
                     POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "init: "));
    snprintf(data, sizeof data, "%s/data", k.dir);
    make_test_set(data);
    snprintf(file, sizeof file,
             "{\"name\":\"a\",\"model\":\"lenet5\",\"evaluate\":{\"data\":"
             "\"%s\"}}",
             data);
    assert_int_equal(make(file, &err), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "1x4x4"));
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, core_set_up, core_tear_down, &k)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(publishes_a_model_and_opens_the_next_round),
        TEST(a_restart_in_a_round_changes_no_bit),
        TEST(a_duplicate_gets_the_same_acknowledgement),
        TEST(a_pause_lasts_over_a_restart),
        TEST(refuses_a_second_task_of_one_name),
        TEST(an_abandoned_round_is_followed_by_the_next),
        TEST(keeps_the_newest_models_only),
        TEST(several_tasks_run_side_by_side),
        TEST(measures_each_model_and_goes_on_without_a_test_set),
        TEST(refuses_a_task_whose_files_are_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
