/* Leaving a task: what the server is told, and what stays in the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "appside.h"

static void path_of(const struct pf_app *a, const char *name, char out[600])
{
    snprintf(out, 600, "%s/%s", a->dir, name);
}

static int there(const struct pf_app *a, const char *name)
{
    char path[600];

    path_of(a, name, path);
    return access(path, F_OK) == 0;
}

static void write_file(const struct pf_app *a, const char *name,
                       const char *text)
{
    char path[600];
    FILE *f;

    path_of(a, name, path);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* How many names a folder has, "." and ".." apart. */
static unsigned names_in(const char *dir)
{
    struct dirent *entry;
    DIR *d = opendir(dir);
    unsigned n = 0;

    assert_non_null(d);
    while ((entry = readdir(d)))
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

/* lock, objects, and the receipts when there are some. */
static void only_receipts_are_left(const struct pf_app *a, unsigned receipts)
{
    char objects[600];

    path_of(a, "objects", objects);
    assert_int_equal(names_in(objects), 0);
    assert_true(there(a, "lock"));
    assert_int_equal(there(a, "receipts.jsonl"), receipts);
    assert_int_equal(names_in(a->dir), 2 + receipts);
}

static void leave(struct pf_app *a)
{
    assert_int_equal(pocketfed_client_leave(a->client), POCKETFED_OK);
    pf_app_is(a, POCKETFED_STATE_LEAVING);
}

static void refuse(struct pf_app *a, enum pf_call_id call,
                   enum pf_problem_id problem)
{
    a->fake.problem_at = call;
    a->fake.problem_times = 1;
    pf_problem_set(&a->fake.problem, problem, "so it is");
}

static void the_server_is_told_and_only_receipts_stay(void **state)
{
    struct pf_app *a = *state;
    char receipts[4096];

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    snprintf(receipts, sizeof receipts, "%s", pf_app_file(a, "receipts.jsonl"));
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.calls[PF_CALL_LEAVE], 1);
    assert_int_equal(a->fake.bad_signatures, 0);
    pf_app_is(a, POCKETFED_STATE_NEW);
    only_receipts_are_left(a, 1);
    assert_int_equal(pf_app_step(a), POCKETFED_INVALID);
    pf_app_reopen(a); /* closing writes nothing back */
    only_receipts_are_left(a, 1);
    assert_string_equal(pf_app_file(a, "receipts.jsonl"), receipts);
    assert_int_equal(pf_app_status(a).participations, 0);
    pf_app_is(a, POCKETFED_STATE_NEW);
}

static void it_may_join_again_as_another_device(void **state)
{
    struct pf_app *a = *state;
    char was[33];

    pf_app_join(a);
    snprintf(was, sizeof was, "%s", pf_app_status(a).device);
    leave(a);
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_BUSY);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    pf_app_join(a);
    assert_string_not_equal(pf_app_status(a).device, was);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->fake.bad_signatures, 0);
}

static void work_under_way_is_given_up(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_TRAINED);
    assert_true(there(a, "update"));
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE], 0);
    only_receipts_are_left(a, 0);
}

static void a_killed_app_goes_on_leaving(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    leave(a);
    pf_app_reopen(a);
    pf_app_is(a, POCKETFED_STATE_LEAVING);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.calls[PF_CALL_LEAVE], 1);
    only_receipts_are_left(a, 0);
}

static void nothing_is_wiped_before_the_server_knows(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    leave(a);
    a->unreachable = 3;
    for (int i = 0; i < 3; i++) {
        pf_app_until(a, POCKETFED_EVENT_RETRY);
        assert_true(a->progress.wait_ms > 0);
        assert_true(there(a, "identity.key") && there(a, "server.json"));
    }
    refuse(a, PF_CALL_LEAVE, PF_PROBLEM_BUSY);
    pf_app_until(a, POCKETFED_EVENT_RETRY);
    assert_true(there(a, "identity.key"));
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    only_receipts_are_left(a, 0);
}

static void a_device_that_is_in_no_task_any_more_has_left(void **state)
{
    static const enum pf_problem_id gone[] = {PF_PROBLEM_DEVICE_UNKNOWN,
                                              PF_PROBLEM_DEVICE_REVOKED,
                                              PF_PROBLEM_TASK_UNKNOWN};
    struct pf_app *a = *state;

    for (int i = 0; i < 3; i++) {
        pf_app_join(a);
        refuse(a, PF_CALL_LEAVE, gone[i]);
        leave(a);
        pf_app_until(a, POCKETFED_EVENT_LEFT);
        only_receipts_are_left(a, 0);
    }
}

static void another_refusal_stops_and_keeps_the_folder(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    refuse(a, PF_CALL_LEAVE, PF_PROBLEM_FORBIDDEN);
    leave(a);
    assert_int_equal(pf_app_run(a, 10), POCKETFED_REFUSED);
    pf_app_is(a, POCKETFED_STATE_STOPPED);
    assert_non_null(strstr(pocketfed_client_hint(a->client), "remove"));
    assert_true(there(a, "identity.key") && there(a, "server.json"));
    leave(a); /* another try */
    pf_app_until(a, POCKETFED_EVENT_LEFT);
}

static void a_device_whose_record_key_was_replaced_leaves_too(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    pf_fake_rotate(&a->fake);
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.calls[PF_CALL_KEY], 1);
    assert_int_equal(a->fake.bad_signatures, 0);
    only_receipts_are_left(a, 0);
}

static void a_revoked_device_stops_with_that_word_and_may_leave(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    refuse(a, PF_CALL_CHECKIN, PF_PROBLEM_DEVICE_REVOKED);
    assert_int_equal(pf_app_run(a, 10), POCKETFED_REFUSED);
    pf_app_is(a, POCKETFED_STATE_STOPPED);
    assert_non_null(strstr(pocketfed_client_error(a->client), "revoked"));
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    only_receipts_are_left(a, 0);
}

static void an_enrolment_whose_answer_was_lost_is_left_too(void **state)
{
    struct pf_app *a = *state;
    char path[600];

    pf_app_join(a);
    pocketfed_client_close(a->client);
    path_of(a, "server.json", path);
    assert_int_equal(remove(path), 0);
    write_file(a, "join.link", a->link);
    pf_app_open(a);
    pf_app_is(a, POCKETFED_STATE_JOINING);
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.calls[PF_CALL_LEAVE], 1);
    assert_int_equal(a->fake.bad_signatures, 0);
    only_receipts_are_left(a, 0);
}

static void what_a_kill_left_half_wiped_is_wiped_at_the_next_start(void **state)
{
    static const char *const first[] = {"server.json", "identity.key"};
    struct pf_app *a = *state;

    for (int i = 0; i < 2; i++) {
        pf_app_join(a);
        pocketfed_client_leave(a->client);
        pocketfed_client_close(a->client);
        write_file(a, first[i], "");
        pf_app_open(a);
        pf_app_is(a, POCKETFED_STATE_NEW);
        only_receipts_are_left(a, 0);
    }
    assert_int_equal(a->fake.calls[PF_CALL_LEAVE], 0);
}

static void files_of_somebody_else_are_not_touched(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    write_file(a, "photo.png", "mine");
    write_file(a, "objects/README", "mine, too");
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_string_equal(pf_app_file(a, "photo.png"), "mine");
    assert_string_equal(pf_app_file(a, "objects/README"), "mine, too");
    assert_false(there(a, "identity.key"));
}

static void leaving_twice_or_never_having_joined_is_fine(void **state)
{
    struct pf_app *a = *state;

    assert_int_equal(pocketfed_client_leave(a->client), POCKETFED_OK);
    pf_app_is(a, POCKETFED_STATE_NEW);
    assert_false(there(a, "leaving"));
    pf_app_join(a);
    leave(a);
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.calls[PF_CALL_LEAVE], 1);
    assert_int_equal(pocketfed_client_leave(a->client), POCKETFED_OK);
    pf_app_is(a, POCKETFED_STATE_NEW);
    assert_int_equal(pocketfed_client_leave(NULL), POCKETFED_INVALID);
}

static void the_clock_is_corrected_by_signed_time_alone(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    a->now_ms += 86400000; /* the device's clock jumps */
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->skewed, 1);
    pf_app_join(a);
    refuse(a, PF_CALL_LEAVE, PF_PROBLEM_CLOCK_SKEW);
    a->fake.problem.server_time_ms = a->fake.now_ms + 7200000;
    a->fake.problem_unsigned = 1;
    leave(a);
    pf_app_until(a, POCKETFED_EVENT_RETRY);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    assert_int_equal(a->fake.bad_signatures, 0);
}

#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, pf_app_set_up, pf_app_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_server_is_told_and_only_receipts_stay),
        TEST(it_may_join_again_as_another_device),
        TEST(work_under_way_is_given_up),
        TEST(a_killed_app_goes_on_leaving),
        TEST(nothing_is_wiped_before_the_server_knows),
        TEST(a_device_that_is_in_no_task_any_more_has_left),
        TEST(another_refusal_stops_and_keeps_the_folder),
        TEST(a_device_whose_record_key_was_replaced_leaves_too),
        TEST(a_revoked_device_stops_with_that_word_and_may_leave),
        TEST(an_enrolment_whose_answer_was_lost_is_left_too),
        TEST(what_a_kill_left_half_wiped_is_wiped_at_the_next_start),
        TEST(files_of_somebody_else_are_not_touched),
        TEST(leaving_twice_or_never_having_joined_is_fine),
        TEST(the_clock_is_corrected_by_signed_time_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
