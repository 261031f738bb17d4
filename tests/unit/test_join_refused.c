#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "appside.h"

/* A join that ends in a refusal leaves no token behind. */

static int link_is_kept(const struct pf_app *a)
{
    char path[400];

    snprintf(path, sizeof path, "%s/join.link", a->dir);
    return access(path, F_OK) == 0;
}

/* Joining stops with that status and sentence; the same link is then gone. */
static void stops(struct pf_app *a, enum pocketfed_status want,
                  const char *word)
{
    char why[300];

    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    assert_true(link_is_kept(a));
    assert_int_equal(pf_app_run(a, 50), want);
    assert_false(link_is_kept(a));
    assert_int_equal(pf_app_status(a).state, POCKETFED_STATE_STOPPED);
    snprintf(why, sizeof why, "%s", pocketfed_client_error(a->client));
    assert_non_null(strstr(why, word));
    assert_int_equal(pocketfed_client_step(a->client, 0, NULL), want);
    assert_string_equal(pocketfed_client_error(a->client), why);
    pf_app_reopen(a);
    assert_int_equal(pf_app_status(a).state, POCKETFED_STATE_NEW);
}

static void meets(struct pf_app *a, enum pf_problem_id id, int64_t after_s)
{
    a->fake.problem_at = PF_CALL_ENROL;
    a->fake.problem_times = 1;
    a->fake.retry_after_s = after_s;
    pf_problem_set(&a->fake.problem, id, "no");
}

static void a_refused_token_is_wiped(void **state)
{
    static const enum pf_problem_id ids[] = {
        PF_PROBLEM_TOKEN_UNKNOWN, PF_PROBLEM_TOKEN_EXPIRED,
        PF_PROBLEM_TOKEN_USED,    PF_PROBLEM_ORDINAL_TAKEN,
        PF_PROBLEM_TASK_UNKNOWN,  PF_PROBLEM_TASK_FINISHED,
    };
    struct pf_app *a = *state;
    size_t i;

    for (i = 0; i < sizeof ids / sizeof *ids; i++) {
        meets(a, ids[i], 0);
        stops(a, POCKETFED_REFUSED, pf_problem_rows[ids[i]].slug);
    }
    pf_app_join(a); /* a link that is good joins all the same */
}

static void a_wrong_pin_wipes_the_token(void **state)
{
    struct pf_app *a = *state;

    a->wrong_certificate = 1;
    stops(a, POCKETFED_PROOF, "certificate");
}

static void a_wrong_record_key_wipes_the_token(void **state)
{
    struct pf_app *a = *state;
    struct pf_key *key = a->fake.record_key;

    a->fake.record_key = a->fake.other_key;
    a->fake.other_key = key;
    a->any_record_key = 1;
    stops(a, POCKETFED_PROOF, "record key");
}

static void an_unsigned_enrolment_wipes_the_token(void **state)
{
    struct pf_app *a = *state;

    a->fake.wrong_signature_at = PF_CALL_ENROL;
    stops(a, POCKETFED_PROOF, "not signed");
}

static void trouble_on_the_way_keeps_the_link(void **state)
{
    struct pf_app *a = *state;

    meets(a, PF_PROBLEM_BUSY, 0);
    a->unreachable = 2;
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    pf_app_until(a, POCKETFED_EVENT_RETRY);
    assert_true(link_is_kept(a));
    pf_app_until(a, POCKETFED_EVENT_JOINED);
    assert_false(link_is_kept(a));
}

static void a_retry_after_of_years_is_a_day(void **state)
{
    const int64_t day_ms = INT64_C(86400000);
    struct pf_app *a = *state;

    meets(a, PF_PROBLEM_BUSY, 1 << 30);
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    pf_app_until(a, POCKETFED_EVENT_RETRY);
    assert_int_equal(a->progress.wait_ms, day_ms);
    pf_app_until(a, POCKETFED_EVENT_JOINED);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, pf_app_set_up, pf_app_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_refused_token_is_wiped),
        T(a_wrong_pin_wipes_the_token),
        T(a_wrong_record_key_wipes_the_token),
        T(an_unsigned_enrolment_wipes_the_token),
        T(trouble_on_the_way_keeps_the_link),
        T(a_retry_after_of_years_is_a_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
