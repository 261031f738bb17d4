#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "clock.h"
#include "edge.h"
#include "statement.h"
#include "text.h"

/* ---- the table ---- */

static void every_call_has_a_handler(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < PF_CALL_COUNT; i++)
        assert_non_null(pf_handlers[i].end);
}

/* ---- framing ---- */

static void
refuses_framing_that_two_parsers_could_read_differently(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.method = "POST",
                              .path = "/v1/tasks/t/checkin",
                              .body = EDGE_ASK,
                              .len = strlen(EDGE_ASK)};
    struct edge_reply r;

    edge_header(&rq, "Expect", "200-maybe");
    edge_send(e, &rq, &r);
    edge_expect(&r, 417, PF_PROBLEM_EXPECTATION);
    assert_true(r.at_headers);
    edge_forget(&r);
    rq.n_headers = 0;
    rq.len = PF_MAX_CONTROL_BODY + 1;
    edge_send(e, &rq, &r);
    edge_expect(&r, 413, PF_PROBLEM_TOO_LARGE);
    assert_true(r.at_headers);
    edge_forget(&r);
    rq.body = NULL;
    edge_send(e, &rq, &r);
    edge_expect(&r, 411, PF_PROBLEM_LENGTH_REQUIRED);
    edge_forget(&r);
}

static void answers_unknown_paths_and_methods_with_problems(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.method = "DELETE", .path = "/v1/tasks/t"};
    struct edge_reply r;

    edge_send(e, &rq, &r);
    edge_expect(&r, 405, PF_PROBLEM_METHOD);
    assert_string_equal(r.allow, "GET, HEAD");
    edge_forget(&r);
    edge_get(e, PF_LISTEN_CLIENT, "/v2", &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    assert_string_equal(r.type, PF_TYPE_PROBLEM);
    edge_forget(&r);
    /* The admin's paths do not exist for clients. */
    edge_get(e, PF_LISTEN_CLIENT, "/admin/v1", &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
}

/* ---- enrolment ---- */

static void enrols_a_key_once_and_again_the_same(void **state)
{
    struct edge *e = *state;
    struct pf_enrol_reply first = {0}, again = {0};
    struct pf_key *key = NULL;
    char token[PF_TOKEN_LEN + 1];
    struct edge_reply r;

    assert_int_equal(pf_key_generate(PF_KEY_P256, &key), POCKETFED_OK);
    edge_token(e, "{\"has_ordinal\":true,\"ordinal\":\"7\"}", token);
    edge_enrol(e, key, token, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_says(e, &r, PF_SAY_ENROLMENT);
    assert_int_equal(pf_json_decode(pf_enrol_reply_fields, PF_JSON_IGNORE,
                                    pf_buf_str(&r.body), r.body.len, &first,
                                    NULL),
                     POCKETFED_OK);
    edge_forget(&r);
    assert_int_equal(first.ordinal, 7);
    edge_enrol(e, key, token, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_int_equal(pf_json_decode(pf_enrol_reply_fields, PF_JSON_IGNORE,
                                    pf_buf_str(&r.body), r.body.len, &again,
                                    NULL),
                     POCKETFED_OK);
    edge_forget(&r);
    assert_memory_equal(first.device, again.device, sizeof first.device);
    assert_int_equal(again.ordinal, 7);
    pf_key_free(key);
}

static void refuses_a_token_that_another_key_has_used(void **state)
{
    struct edge *e = *state;
    struct pf_key *a = NULL, *b = NULL;
    char token[PF_TOKEN_LEN + 1];
    struct edge_reply r;

    pf_key_generate(PF_KEY_ED25519, &a);
    pf_key_generate(PF_KEY_ED25519, &b);
    edge_token(e, "{}", token);
    edge_enrol(e, a, token, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    edge_enrol(e, b, token, &r);
    edge_expect(&r, 403, PF_PROBLEM_TOKEN_USED);
    edge_forget(&r);
    token[10] = token[10] == 'A' ? 'B' : 'A';
    edge_enrol(e, b, token, &r);
    edge_expect(&r, 403, PF_PROBLEM_TOKEN_UNKNOWN);
    edge_forget(&r);
    pf_key_free(a);
    pf_key_free(b);
}

static void refuses_a_key_that_did_not_sign(void **state)
{
    struct edge *e = *state;
    struct pf_key *a = NULL, *b = NULL;
    struct edge_request rq = {.method = "POST", .path = "/v1/tasks/t/enrol"};
    char body[400], raw64[100], token[PF_TOKEN_LEN + 1];
    uint8_t raw[PF_PUBLIC_MAX];
    struct edge_reply r;

    pf_key_generate(PF_KEY_ED25519, &a);
    pf_key_generate(PF_KEY_ED25519, &b);
    edge_token(e, "{}", token);
    pf_base64url(raw, pf_key_public(a, raw), raw64);
    snprintf(body, sizeof body,
             "{\"token\":\"%s\",\"alg\":\"ed25519\",\"key\":\"%s\"}", token,
             raw64);
    rq.body = body;
    rq.len = strlen(body);
    edge_sign(e, &rq, b, 0);
    edge_send(e, &rq, &r);
    edge_expect(&r, 401, PF_PROBLEM_SIGNATURE_WRONG);
    edge_forget(&r);
    pf_key_free(a);
    pf_key_free(b);
}

/* ---- proof of requests ---- */

static void refuses_a_replayed_request(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_request rq = {.method = "POST",
                              .path = "/v1/tasks/t/checkin",
                              .body = EDGE_ASK,
                              .len = strlen(EDGE_ASK)};
    struct edge_reply r;

    edge_sign(e, &rq, key, 0);
    edge_send(e, &rq, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_forget(&r);
    edge_send(e, &rq, &r);
    edge_expect(&r, 401, PF_PROBLEM_REPLAYED);
    edge_forget(&r);
    pf_key_free(key);
}

static void tells_the_time_under_the_record_key(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    int64_t now = pf_wall_ms() / 1000;
    struct pf_problem p;
    struct edge_reply r;
    int i;

    for (i = 0; i < 2; i++) {
        struct edge_request rq = {.method = "GET", .path = "/v1/tasks/t"};

        edge_sign(e, &rq, key, i ? now - 60 : now - 1000);
        edge_send(e, &rq, &r);
        edge_expect(&r, 401,
                    i ? PF_PROBLEM_CREATED_BEFORE_START
                      : PF_PROBLEM_CLOCK_SKEW);
        edge_says(e, &r, PF_SAY_TIME);
        assert_int_equal(pf_problem_decode(pf_buf_str(&r.body), r.body.len, &p),
                         POCKETFED_OK);
        assert_true(p.server_time_ms >= now * 1000);
        edge_forget(&r);
    }
    pf_key_free(key);
}

static void refuses_a_device_that_never_joined(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = NULL;
    struct edge_reply r;

    pf_key_generate(PF_KEY_ED25519, &key);
    edge_checkin(e, key, EDGE_ASK, &r);
    edge_expect(&r, 401, PF_PROBLEM_DEVICE_UNKNOWN);
    assert_true(r.at_headers);
    edge_forget(&r);
    pf_key_free(key);
}

static void refuses_a_body_that_was_changed_on_its_way(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    char body[] = EDGE_ASK;
    struct edge_request rq = {.method = "POST",
                              .path = "/v1/tasks/t/checkin",
                              .body = body,
                              .len = strlen(body)};
    struct edge_reply r;

    edge_sign(e, &rq, key, 0);
    body[2] ^= 1;
    edge_send(e, &rq, &r);
    edge_expect(&r, 400, PF_PROBLEM_DIGEST);
    edge_forget(&r);
    pf_key_free(key);
}

/* ---- checking in ---- */

static void signs_an_assignment(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_reply r;

    edge_checkin(e, key, EDGE_ASK, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"train\""));
    edge_says(e, &r, PF_SAY_ASSIGNMENT);
    edge_forget(&r);
    pf_key_free(key);
}

static void refuses_clients_that_cannot_do_the_plan(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_reply r;

    edge_checkin(e, key, "{\"client_version\":\"0.1.0\",\"codecs\":[\"q8\"]}",
                 &r);
    edge_expect(&r, 422, PF_PROBLEM_NO_COMMON_CODEC);
    edge_forget(&r);
    edge_checkin(e, key,
                 "{\"client_version\":\"0.1.0\",\"codecs\":[\"f32\"],"
                 "\"memory\":\"1000\"}",
                 &r);
    edge_expect(&r, 422, PF_PROBLEM_PLAN_TOO_BIG);
    edge_forget(&r);
    edge_checkin(e, key, "{\"client_version\":\"0.0.9\",\"codecs\":[\"f32\"]}",
                 &r);
    edge_expect(&r, 422, PF_PROBLEM_CLIENT_TOO_OLD);
    edge_forget(&r);
    pf_key_free(key);
}

static void tells_a_waiting_device_when_to_come_back(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_reply r;

    edge_admin(e, "PATCH", "/admin/v1/tasks/t", "{\"state\":\"paused\"}", &r);
    edge_forget(&r);
    /* The open round still takes two devices; the third waits. */
    pf_key_free(key);
    key = edge_join(e);
    edge_checkin(e, key, EDGE_ASK, &r);
    edge_forget(&r);
    pf_key_free(key);
    key = edge_join(e);
    edge_checkin(e, key, EDGE_ASK, &r);
    edge_forget(&r);
    pf_key_free(key);
    key = edge_join(e);
    edge_checkin(e, key, EDGE_ASK, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"wait\""));
    assert_true(r.retry_after[0] != '\0');
    edge_forget(&r);
    pf_key_free(key);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_has_a_handler),
        TEST(refuses_framing_that_two_parsers_could_read_differently),
        TEST(answers_unknown_paths_and_methods_with_problems),
        TEST(enrols_a_key_once_and_again_the_same),
        TEST(refuses_a_token_that_another_key_has_used),
        TEST(refuses_a_key_that_did_not_sign),
        TEST(refuses_a_replayed_request),
        TEST(tells_the_time_under_the_record_key),
        TEST(refuses_a_device_that_never_joined),
        TEST(refuses_a_body_that_was_changed_on_its_way),
        TEST(signs_an_assignment),
        TEST(refuses_clients_that_cannot_do_the_plan),
        TEST(tells_a_waiting_device_when_to_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
