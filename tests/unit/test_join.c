#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "appside.h"
#include "joinlink.h"

/* --- joining --- */

static void joins_by_a_link_and_forgets_the_token(void **state)
{
    struct pf_app *a = *state;
    struct pocketfed_status_report r;
    struct stat info;
    char path[400];

    pf_app_is(a, POCKETFED_STATE_NEW);
    assert_int_equal(pocketfed_client_step(a->client, 0, NULL),
                     POCKETFED_INVALID);
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    pf_app_is(a, POCKETFED_STATE_JOINING);
    assert_non_null(strstr(pf_app_file(a, "join.link"), "#pft_"));
    pf_app_until(a, POCKETFED_EVENT_JOINED);
    r = pf_app_status(a);
    assert_string_equal(r.task, "tiny");
    assert_string_equal(r.server, "example.org:8443");
    assert_int_equal(r.ordinal, 5);
    assert_int_equal(strlen(r.device), 32);
    assert_int_equal(strlen(r.record_key), 64);
    assert_string_equal(pf_app_file(a, "join.link"), "");
    assert_non_null(strstr(pf_app_file(a, "server.json"), "example.org"));
    assert_null(strstr(pf_app_file(a, "server.json"), "pft_"));
    snprintf(path, sizeof path, "%s/identity.key", a->dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777u, 0600);
    assert_int_equal(a->fake.bad_signatures, 0);
}

static void joining_again_changes_nothing(void **state)
{
    struct pf_app *a = *state;
    char other[PF_JOIN_LINK_MAX];
    struct pf_join_link link;

    pf_app_join(a);
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    assert_int_equal(a->fake.calls[PF_CALL_ENROL], 1);
    pf_app_reopen(a);
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    assert_int_equal(pf_join_link_parse(a->link, &link, NULL), POCKETFED_OK);
    memcpy(link.task, "other", 6);
    pf_join_link_write(&link, other, sizeof other);
    assert_int_equal(pocketfed_client_join(a->client, other), POCKETFED_EXISTS);
    assert_non_null(strstr(pocketfed_client_error(a->client), "tiny"));
    assert_true(pocketfed_client_hint(a->client)[0] != '\0');
}

static void a_damaged_link_is_refused_without_naming_the_token(void **state)
{
    struct pf_app *a = *state;
    char damaged[PF_JOIN_LINK_MAX];

    snprintf(damaged, sizeof damaged, "%s", a->link);
    damaged[strlen(damaged) - 12] ^= 1;
    assert_int_equal(pocketfed_client_join(a->client, damaged),
                     POCKETFED_MALFORMED);
    assert_null(strstr(pocketfed_client_error(a->client), "pft_"));
    assert_int_equal(pocketfed_client_join(a->client, "http://x"),
                     POCKETFED_MALFORMED);
    pf_app_is(a, POCKETFED_STATE_NEW);
}

static void another_record_key_than_the_links_is_refused(void **state)
{
    struct pf_app *a = *state;
    struct pf_key *key = a->fake.record_key;

    a->fake.record_key = a->fake.other_key;
    a->fake.other_key = key;
    a->any_record_key = 1;
    pocketfed_client_join(a->client, a->link);
    assert_int_equal(pf_app_run(a, 50), POCKETFED_PROOF);
    pf_app_is(a, POCKETFED_STATE_STOPPED);
    assert_non_null(strstr(pocketfed_client_error(a->client), "record key"));
    assert_string_equal(pf_app_file(a, "server.json"), "");
}

static void an_unsigned_enrolment_is_refused(void **state)
{
    struct pf_app *a = *state;

    a->fake.wrong_signature_at = PF_CALL_ENROL;
    pocketfed_client_join(a->client, a->link);
    assert_int_equal(pf_app_run(a, 50), POCKETFED_PROOF);
    assert_non_null(strstr(pocketfed_client_error(a->client), "not signed"));
}

static void a_used_token_stops_and_a_new_link_goes_on(void **state)
{
    struct pf_app *a = *state;

    a->fake.problem_at = PF_CALL_ENROL;
    a->fake.problem_times = 1;
    pf_problem_set(&a->fake.problem, PF_PROBLEM_TOKEN_USED, "used by another");
    pocketfed_client_join(a->client, a->link);
    assert_int_equal(pf_app_run(a, 50), POCKETFED_REFUSED);
    assert_int_equal(pocketfed_client_step(a->client, 0, NULL),
                     POCKETFED_REFUSED);
    assert_non_null(strstr(pocketfed_client_error(a->client), "token-used"));
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    pf_app_until(a, POCKETFED_EVENT_JOINED);
}

static void a_wrong_clock_is_corrected_for_signing_only(void **state)
{
    struct pf_app *a = *state;

    a->now_ms -= INT64_C(86400000) * 3; /* three days behind */
    pocketfed_client_join(a->client, a->link);
    pf_app_until(a, POCKETFED_EVENT_JOINED);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->skewed, 1);
    assert_int_equal(pf_app_status(a).last_accepted_ms, a->now_ms);
    /* A new process learns it anew, now under the record key. */
    pf_app_reopen(a);
    a->fake.work.round = 4;
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->skewed, 2);
}

static void an_enrolment_that_a_kill_interrupted_goes_on(void **state)
{
    struct pf_app *a = *state;

    pocketfed_client_join(a->client, a->link);
    pf_app_reopen(a);
    pf_app_is(a, POCKETFED_STATE_JOINING);
    pf_app_until(a, POCKETFED_EVENT_JOINED);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, pf_app_set_up, pf_app_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(joins_by_a_link_and_forgets_the_token),
        T(joining_again_changes_nothing),
        T(a_damaged_link_is_refused_without_naming_the_token),
        T(another_record_key_than_the_links_is_refused),
        T(an_unsigned_enrolment_is_refused),
        T(a_used_token_stops_and_a_new_link_goes_on),
        T(a_wrong_clock_is_corrected_for_signing_only),
        T(an_enrolment_that_a_kill_interrupted_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
