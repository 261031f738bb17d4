#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "request.h"
#include "text.h"

#define HOST "example.org"

struct world {
    struct pf_key *key;
    struct pf_identity identity;
    struct pf_peer peer;
    struct pf_want_request want;
    struct pf_built_request b;
    const char *query; /* as it is verified; NULL: none */
};

static void start(struct world *w, enum pf_key_alg alg)
{
    uint8_t raw[PF_PUBLIC_MAX];
    size_t n;

    memset(w, 0, sizeof *w);
    pf_built_request_init(&w->b);
    assert_int_equal(pf_key_generate(alg, &w->key), POCKETFED_OK);
    w->identity.alg = alg;
    w->identity.key = w->key;
    n = pf_key_public(w->key, raw);
    pf_device_id(raw, n, w->identity.device);
    w->peer.host = HOST;
    w->peer.port = 8443;
    memset(w->peer.record_key, 7, sizeof w->peer.record_key);
    w->want.call = PF_CALL_CHECKIN;
    memcpy(w->want.args.task, "mnist", 6);
    w->want.body = (const uint8_t *)"{}";
    w->want.body_len = 2;
    w->want.max_reply = 1000;
    pf_sha256("{}", 2, w->want.digest);
}

static void stop(struct world *w)
{
    pf_built_request_free(&w->b);
    pf_key_free(w->key);
}

static void build(struct world *w)
{
    struct pf_error err;

    if (pf_request_build(&w->b, &w->want, &w->identity, &w->peer, 1700000000,
                         &err))
        fail_msg("%s", err.text);
}

static const char *header(const struct world *w, const char *name)
{
    size_t i;

    for (i = 0; i < w->b.r.n_headers; i++)
        if (strcmp(w->b.r.headers[i].name, name) == 0)
            return w->b.r.headers[i].value;
    return NULL;
}

/* As a server would: from what is on the wire alone. */
static enum pocketfed_status verify(struct world *w, struct pf_signature *sig)
{
    struct pf_signed_request r = {
        .method = w->b.r.method,
        .path = w->b.path,
        .query = w->query ? w->query : "?",
        .content_digest = header(w, "Content-Digest"),
        .repr_digest = header(w, "Repr-Digest"),
        .record_key = header(w, "Pocketfed-Record-Key"),
    };
    struct pf_error err;

    if (pf_httpsig_parse(header(w, "Signature-Input"), header(w, "Signature"),
                         &r, sig, &err))
        fail_msg("%s", err.text);
    return pf_httpsig_verify(sig, &r, w->key);
}

static void a_control_call_is_signed_over_its_digest(void **state)
{
    struct pf_signature sig;
    uint8_t digest[32];
    char hex[65];
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    build(&w);
    assert_string_equal(w.b.r.method, "POST");
    assert_string_equal(w.b.r.host, HOST);
    assert_int_equal(w.b.r.port, 8443);
    assert_string_equal(w.b.r.target, "/v1/tasks/mnist/checkin");
    assert_string_equal(header(&w, "Content-Type"), "application/json");
    assert_null(header(&w, "Repr-Digest"));
    assert_true(pf_digest_field_parse(header(&w, "Content-Digest"), digest));
    assert_memory_equal(digest, w.want.digest, 32);
    assert_false(w.b.r.expect_continue);
    assert_int_equal(w.b.r.max_reply, 1000);
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    assert_true(sig.params.created == 1700000000);
    pf_hex(w.identity.device, PF_DEVICE_LEN, hex);
    assert_string_equal(sig.params.keyid, hex);
    stop(&w);
}

static void an_update_signs_repr_digest_and_expects_a_continue(void **state)
{
    struct pf_signature sig;
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    w.want.call = PF_CALL_UPDATE;
    w.want.args.round = 12;
    build(&w);
    assert_string_equal(w.b.r.method, "PUT");
    assert_string_equal(w.b.r.target, "/v1/tasks/mnist/rounds/12/update");
    assert_true(w.b.r.expect_continue);
    assert_null(header(&w, "Content-Digest"));
    assert_non_null(header(&w, "Repr-Digest"));
    assert_string_equal(header(&w, "Content-Type"),
                        "application/vnd.pocketfed.update");
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    stop(&w);
}

static void plans_and_models_are_fetched_unsigned(void **state)
{
    static const enum pf_call_id calls[] = {PF_CALL_PLAN, PF_CALL_MODEL};
    struct world w;
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        start(&w, PF_KEY_ED25519);
        w.want.call = calls[i];
        w.want.body = NULL;
        w.want.body_len = 0;
        build(&w);
        assert_string_equal(w.b.r.method, "GET");
        assert_int_equal(w.b.r.n_headers, 0);
        stop(&w);
    }
}

static void the_rest_of_an_update_signs_the_digest_of_the_whole(void **state)
{
    struct pf_signature sig;
    uint8_t digest[32];
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    w.want.call = PF_CALL_UPDATE_APPEND;
    w.want.args.round = 12;
    w.want.offset = 70000;
    memset(w.want.digest, 9, 32); /* not that of these two bytes */
    build(&w);
    assert_string_equal(w.b.r.method, "PATCH");
    assert_string_equal(w.b.r.target, "/v1/tasks/mnist/rounds/12/update");
    assert_string_equal(header(&w, "Content-Type"),
                        "application/partial-upload");
    assert_string_equal(header(&w, "Upload-Offset"), "70000");
    assert_string_equal(header(&w, "Upload-Complete"), "?1");
    assert_true(pf_digest_field_parse(header(&w, "Repr-Digest"), digest));
    assert_memory_equal(digest, w.want.digest, 32);
    assert_true(w.b.r.expect_continue);
    assert_int_equal(w.b.r.piece, PF_REQUEST_PIECE);
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    stop(&w);
}

static void the_question_for_the_offset_is_signed_and_has_no_body(void **state)
{
    struct pf_signature sig;
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    w.want.call = PF_CALL_UPDATE_OFFSET;
    w.want.args.round = 12;
    w.want.body = NULL;
    w.want.body_len = 0;
    build(&w);
    assert_string_equal(w.b.r.method, "HEAD");
    assert_null(w.b.r.body);
    assert_null(header(&w, "Repr-Digest"));
    assert_null(header(&w, "Content-Type"));
    assert_false(w.b.r.expect_continue);
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    stop(&w);
}

static void a_download_goes_on_if_it_is_still_these_bytes(void **state)
{
    char want[72];
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    w.want.call = PF_CALL_MODEL;
    w.want.body = NULL;
    w.want.body_len = 0;
    w.want.offset = 4097;
    memset(w.want.args.digest, 0xab, 32);
    build(&w);
    assert_string_equal(header(&w, "Range"), "bytes=4097-");
    memset(want, 0, sizeof want);
    want[0] = want[65] = '"';
    pf_hex(w.want.args.digest, 32, want + 1);
    want[65] = '"';
    assert_string_equal(header(&w, "If-Range"), want);
    stop(&w);
}

static void a_changed_part_does_not_verify(void **state)
{
    struct pf_signature sig;
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    build(&w);
    w.b.path[1] = 'w';
    assert_int_equal(verify(&w, &sig), POCKETFED_PROOF);
    w.b.path[1] = 'v';
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    w.b.record_key[0] = '1';
    assert_int_equal(verify(&w, &sig), POCKETFED_PROOF);
    stop(&w);
}

static void a_query_is_sent_and_signed(void **state)
{
    struct pf_signature sig;
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    snprintf(w.want.query, sizeof w.want.query, "?since=7");
    build(&w);
    assert_non_null(strstr(w.b.r.target, w.b.path));
    assert_string_equal(w.b.r.target + strlen(w.b.path), "?since=7");
    w.query = "?since=7";
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    w.query = "?since=8";
    assert_int_equal(verify(&w, &sig), POCKETFED_PROOF);
    w.query = NULL;
    assert_int_equal(verify(&w, &sig), POCKETFED_PROOF);
    stop(&w);
}

static void each_attempt_has_a_nonce_of_its_own(void **state)
{
    struct pf_signature a, b;
    struct world w;

    (void)state;
    start(&w, PF_KEY_ED25519);
    build(&w);
    assert_int_equal(verify(&w, &a), POCKETFED_OK);
    build(&w);
    assert_int_equal(verify(&w, &b), POCKETFED_OK);
    assert_int_equal(strlen(a.params.nonce), 22);
    assert_string_not_equal(a.params.nonce, b.params.nonce);
    stop(&w);
}

static int hardware_calls;

static enum pocketfed_status hardware(void *ctx, const void *msg, size_t len,
                                      uint8_t sig[PF_SIGNATURE_LEN])
{
    hardware_calls++;
    return pf_key_sign(ctx, msg, len, sig);
}

static void a_key_in_hardware_signs_by_the_apps_function(void **state)
{
    struct pf_signature sig;
    struct world w;

    (void)state;
    start(&w, PF_KEY_P256);
    w.identity.key = NULL;
    w.identity.sign = hardware;
    w.identity.sign_ctx = w.key;
    build(&w);
    assert_int_equal(hardware_calls, 1);
    assert_int_equal(verify(&w, &sig), POCKETFED_OK);
    assert_int_equal(sig.params.alg, PF_KEY_P256);
    stop(&w);
}

static enum pocketfed_status locked(void *ctx, const void *msg, size_t len,
                                    uint8_t sig[PF_SIGNATURE_LEN])
{
    (void)ctx;
    (void)msg;
    (void)len;
    (void)sig;
    return POCKETFED_LOCKED;
}

static void a_key_that_does_not_sign_is_an_error(void **state)
{
    struct pf_error err;
    struct world w;

    (void)state;
    start(&w, PF_KEY_P256);
    w.identity.sign = locked;
    assert_int_not_equal(
        pf_request_build(&w.b, &w.want, &w.identity, &w.peer, 1700000000, &err),
        POCKETFED_OK);
    assert_non_null(strstr(err.text, "cannot be signed"));
    stop(&w);
}

static const char *one_header(void *ctx, const char *name)
{
    const char *const *pair = ctx;

    return strcmp(pair[0], name) == 0 ? pair[1] : NULL;
}

static int64_t retry_after(const char *value)
{
    const char *pair[] = {"retry-after", value};
    struct pocketfed_reply in = {
        .size = sizeof in, .status = 503, .header = one_header, .ctx = pair};
    struct pf_want_reply out;

    pf_request_reply(&in, &out);
    assert_int_equal(out.status, 503);
    assert_null(out.statement);
    return out.retry_after_ms;
}

static void retry_after_is_read_in_seconds(void **state)
{
    (void)state;
    assert_int_equal(retry_after("7"), 7000);
    assert_int_equal(retry_after("0"), 0);
    assert_int_equal(retry_after("-1"), 0);
    assert_int_equal(retry_after("99999999999999999999"), 0);
    assert_int_equal(retry_after("Fri, 31 Dec 2027 23:59:59 GMT"), 0);
}

static void reads(const char *name, const char *value,
                  struct pf_want_reply *out)
{
    const char *pair[] = {name, value};
    struct pocketfed_reply in = {
        .size = sizeof in, .status = 204, .header = one_header, .ctx = pair};

    pf_request_reply(&in, out);
}

static void positions_are_read_when_they_are_numbers(void **state)
{
    static const char digest[] =
        "sha-256=:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=:";
    struct pf_want_reply r;

    (void)state;
    reads("upload-offset", "70000", &r);
    assert_int_equal(r.upload_offset, 70000);
    assert_int_equal(r.range_first, -1);
    assert_false(r.has_digest);
    reads("upload-offset", "-5", &r);
    assert_int_equal(r.upload_offset, -1);
    reads("upload-offset", "9223372036854775808", &r);
    assert_int_equal(r.upload_offset, -1);
    reads("content-range", "bytes 4097-9999/10000", &r);
    assert_int_equal(r.range_first, 4097);
    reads("content-range", "bytes */10000", &r);
    assert_int_equal(r.range_first, -1);
    reads("content-range", "4097-9999/10000", &r);
    assert_int_equal(r.range_first, -1);
    reads("repr-digest", digest, &r);
    assert_true(r.has_digest);
    assert_int_equal(r.digest[31], 1);
    reads("repr-digest", "sha-256=:AQEB:", &r);
    assert_false(r.has_digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_control_call_is_signed_over_its_digest),
        cmocka_unit_test(an_update_signs_repr_digest_and_expects_a_continue),
        cmocka_unit_test(plans_and_models_are_fetched_unsigned),
        cmocka_unit_test(the_rest_of_an_update_signs_the_digest_of_the_whole),
        cmocka_unit_test(the_question_for_the_offset_is_signed_and_has_no_body),
        cmocka_unit_test(a_download_goes_on_if_it_is_still_these_bytes),
        cmocka_unit_test(a_changed_part_does_not_verify),
        cmocka_unit_test(a_query_is_sent_and_signed),
        cmocka_unit_test(each_attempt_has_a_nonce_of_its_own),
        cmocka_unit_test(a_key_in_hardware_signs_by_the_apps_function),
        cmocka_unit_test(a_key_that_does_not_sign_is_an_error),
        cmocka_unit_test(retry_after_is_read_in_seconds),
        cmocka_unit_test(positions_are_read_when_they_are_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
