#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "auth.h"
#include "text.h"

#define NOW  1700000000LL
#define OURS "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define THEIRS                                                                 \
    "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* One signed request and the server that reads it. */
struct world {
    struct pf_verifier a;
    struct pf_key *key;
    struct pf_signed_request rq;
    struct pf_signature_params params;
    char digest[PF_DIGEST_FIELD_LEN];
    struct pf_buf input, value;
    struct pf_signature sig;
    uint8_t read[32];
    struct pf_problem why;
};

static const char body[] = "{\"held_model\":\"\"}";

static int set_up(void **state)
{
    static struct world w;
    uint8_t print[32], sha[32];

    memset(&w, 0, sizeof w);
    snprintf(w.a.record_key, sizeof w.a.record_key, "%s", OURS);
    w.a.started_ms = (NOW - 1000) * 1000;
    if (pf_nonces_create(1000, &w.a.nonces) ||
        pf_key_generate(PF_KEY_ED25519, &w.key))
        return -1;
    pf_key_fingerprint(w.key, print);
    pf_hex(print, PF_DEVICE_LEN, w.params.keyid);
    w.params.created = NOW;
    w.params.alg = PF_KEY_ED25519;
    snprintf(w.params.nonce, sizeof w.params.nonce, "nonce-1");
    pf_sha256(body, strlen(body), sha);
    pf_digest_field(sha, w.digest);
    w.rq.method = "POST";
    w.rq.path = "/v1/tasks/a/checkin";
    w.rq.query = "?";
    w.rq.content_digest = w.digest;
    w.rq.record_key = OURS;
    pf_buf_init(&w.input, 4096);
    pf_buf_init(&w.value, 4096);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    pf_nonces_free(w->a.nonces);
    pf_key_free(w->key);
    pf_buf_free(&w->input);
    pf_buf_free(&w->value);
    return 0;
}

static void sign(struct world *w)
{
    pf_buf_clear(&w->input);
    pf_buf_clear(&w->value);
    assert_int_equal(pf_httpsig_make(&w->rq, &w->params, w->key, NULL, NULL,
                                     &w->input, &w->value),
                     POCKETFED_OK);
}

static int read_it(struct world *w)
{
    memset(&w->why, 0, sizeof w->why);
    return pf_auth_read(&w->a, PF_BODY_CONTROL, &w->rq, pf_buf_str(&w->input),
                        pf_buf_str(&w->value), &w->sig, w->read, &w->why);
}

static int check_at(struct world *w, int64_t now_s)
{
    memset(&w->why, 0, sizeof w->why);
    return pf_auth_check(&w->a, &w->sig, &w->rq, w->key, now_s * 1000, &w->why);
}

static void lets_a_good_request_in(void **state)
{
    struct world *w = *state;

    sign(w);
    assert_true(read_it(w));
    assert_true(check_at(w, NOW));
    assert_true(pf_auth_body(w->read, body, strlen(body), &w->why));
}

static void names_the_header_that_is_missing(void **state)
{
    struct world *w = *state;

    sign(w);
    assert_false(pf_auth_read(&w->a, PF_BODY_CONTROL, &w->rq, NULL,
                              pf_buf_str(&w->value), &w->sig, w->read,
                              &w->why));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_MISSING);
    assert_non_null(strstr(w->why.detail, "Signature-Input"));

    w->rq.content_digest = NULL;
    assert_false(read_it(w));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_MISSING);
    assert_non_null(strstr(w->why.detail, "Content-Digest"));

    w->rq.content_digest = w->digest;
    w->rq.record_key = NULL;
    assert_false(read_it(w));
    assert_non_null(strstr(w->why.detail, "Pocketfed-Record-Key"));
}

static void refuses_a_signature_that_does_not_cover_the_digest(void **state)
{
    struct world *w = *state;

    w->rq.content_digest = NULL; /* signed without a body ... */
    sign(w);
    w->rq.content_digest = w->digest; /* ... and sent with one */
    assert_false(read_it(w));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_MISSING);
}

static void refuses_a_request_for_another_server(void **state)
{
    struct world *w = *state;

    w->rq.record_key = THEIRS;
    sign(w);
    assert_false(read_it(w));
    assert_int_equal(w->why.id, PF_PROBLEM_RECORD_KEY);
}

static void refuses_a_clock_that_is_off_and_tells_the_time(void **state)
{
    struct world *w = *state;

    sign(w);
    assert_true(read_it(w));
    assert_false(check_at(w, NOW + PF_SKEW_S + 1));
    assert_int_equal(w->why.id, PF_PROBLEM_CLOCK_SKEW);
    assert_int_equal(w->why.server_time_ms, (NOW + PF_SKEW_S + 1) * 1000);
    assert_false(check_at(w, NOW - PF_SKEW_S - 1));
    assert_int_equal(w->why.id, PF_PROBLEM_CLOCK_SKEW);
    assert_true(check_at(w, NOW + PF_SKEW_S));
}

static void survives_times_at_the_ends_of_the_range(void **state)
{
    static const int64_t ends[] = {INT64_MIN, INT64_MAX, 0};
    struct world *w = *state;
    size_t i;

    sign(w);
    assert_true(read_it(w));
    for (i = 0; i < 3; i++) {
        w->sig.params.created = ends[i];
        assert_false(check_at(w, NOW));
        assert_int_equal(w->why.id, PF_PROBLEM_CLOCK_SKEW);
    }
}

static void refuses_what_was_made_before_the_start(void **state)
{
    struct world *w = *state;

    w->a.started_ms = (NOW + 5) * 1000;
    sign(w);
    assert_true(read_it(w));
    assert_false(check_at(w, NOW + 10));
    assert_int_equal(w->why.id, PF_PROBLEM_CREATED_BEFORE_START);
    assert_true(w->why.server_time_ms > 0);
    assert_true(w->why.retry_after_ms > 0);
}

static void the_second_of_the_start_is_before_it(void **state)
{
    struct world *w = *state;

    w->a.started_ms = NOW * 1000 + 1;
    sign(w);
    assert_true(read_it(w));
    assert_false(check_at(w, NOW));
    assert_int_equal(w->why.id, PF_PROBLEM_CREATED_BEFORE_START);
    w->a.started_ms = NOW * 1000;
    assert_true(check_at(w, NOW));
}

static void forgets_its_start_when_nothing_older_can_come(void **state)
{
    struct world *w = *state;

    w->a.started_ms = (NOW + 86400) * 1000; /* the clock was set back since */
    atomic_store(&w->a.settled, 1);
    sign(w);
    assert_true(read_it(w));
    assert_true(check_at(w, NOW));
}

static void an_idempotent_call_spends_no_nonce(void **state)
{
    struct world *w = *state;
    int i;

    sign(w);
    assert_true(read_it(w));
    for (i = 0; i < 2; i++)
        assert_true(pf_auth_check_idempotent(&w->a, &w->sig, &w->rq, w->key,
                                             NOW * 1000, &w->why));
    assert_false(pf_nonces_seen(w->a.nonces, w->params.keyid, "nonce-1", NOW));
    assert_false(pf_auth_check_idempotent(
        &w->a, &w->sig, &w->rq, w->key, (NOW + PF_SKEW_S + 1) * 1000, &w->why));
    assert_int_equal(w->why.id, PF_PROBLEM_CLOCK_SKEW);
    w->rq.path = "/v1/tasks/b/enrol";
    assert_false(pf_auth_check_idempotent(&w->a, &w->sig, &w->rq, w->key,
                                          NOW * 1000, &w->why));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_WRONG);
}

static void refuses_a_replay(void **state)
{
    struct world *w = *state;

    sign(w);
    assert_true(read_it(w));
    assert_true(check_at(w, NOW));
    assert_false(check_at(w, NOW + 1));
    assert_int_equal(w->why.id, PF_PROBLEM_REPLAYED);
}

static void refuses_another_key(void **state)
{
    struct world *w = *state;
    struct pf_key *other = NULL;

    sign(w);
    assert_true(read_it(w));
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &other), POCKETFED_OK);
    assert_false(
        pf_auth_check(&w->a, &w->sig, &w->rq, other, NOW * 1000, &w->why));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_WRONG);
    pf_key_free(other);
    /* A wrong signature must not burn the right one's nonce. */
    assert_true(check_at(w, NOW));
}

static void refuses_a_key_of_another_algorithm(void **state)
{
    struct world *w = *state;
    struct pf_key *other = NULL;

    sign(w);
    assert_true(read_it(w));
    assert_int_equal(pf_key_generate(PF_KEY_P256, &other), POCKETFED_OK);
    assert_false(
        pf_auth_check(&w->a, &w->sig, &w->rq, other, NOW * 1000, &w->why));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_WRONG);
    pf_key_free(other);
}

static void refuses_a_changed_path_query_or_method(void **state)
{
    struct world *w = *state;

    sign(w);
    w->rq.path = "/v1/tasks/b/checkin";
    assert_true(read_it(w));
    assert_false(check_at(w, NOW));
    assert_int_equal(w->why.id, PF_PROBLEM_SIGNATURE_WRONG);
    w->rq.path = "/v1/tasks/a/checkin";
    w->rq.query = "?x=1";
    assert_true(read_it(w));
    assert_false(check_at(w, NOW));
    w->rq.query = "?";
    w->rq.method = "PUT";
    assert_true(read_it(w));
    assert_false(check_at(w, NOW));
}

static void refuses_a_tampered_body(void **state)
{
    struct world *w = *state;

    sign(w);
    assert_true(read_it(w));
    assert_false(pf_auth_body(w->read, body, strlen(body) - 1, &w->why));
    assert_int_equal(w->why.id, PF_PROBLEM_DIGEST);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lets_a_good_request_in),
        TEST(names_the_header_that_is_missing),
        TEST(refuses_a_signature_that_does_not_cover_the_digest),
        TEST(refuses_a_request_for_another_server),
        TEST(refuses_a_clock_that_is_off_and_tells_the_time),
        TEST(survives_times_at_the_ends_of_the_range),
        TEST(refuses_what_was_made_before_the_start),
        TEST(the_second_of_the_start_is_before_it),
        TEST(forgets_its_start_when_nothing_older_can_come),
        TEST(an_idempotent_call_spends_no_nonce),
        TEST(refuses_a_replay),
        TEST(refuses_another_key),
        TEST(refuses_a_key_of_another_algorithm),
        TEST(refuses_a_changed_path_query_or_method),
        TEST(refuses_a_tampered_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
