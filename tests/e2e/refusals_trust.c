/* Who is asking, when, and for whom: join links, tokens, signatures, clocks,
 * replays. Each refusal has its documented name and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proc.h"
#include "statement.h"
#include "testdevice.h"
#include "text.h"
#include "smalltask.h"

static struct world w;

static int setup(void **state)
{
    (void)state;
    world_start(&w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_end(&w);
    return 0;
}

/* `pocketfed join` with this link, into a folder of its own. */
static int join(const char *folder, const char *link)
{
    struct pf_run r = {0};
    int code;

    pf_run(&r, link,
           (const char *const[]){PF_POCKETFED, "join", "-", "--dir",
                                 pf_in_dir(&w.d, folder), NULL});
    code = r.code;
    assert_int_equal(r.out.len, 0);
    assert_true(r.err.len > 0);
    assert_null(strstr(pf_buf_str(&r.err), "pft_")); /* the token stays ours */
    PF_CLI(&r, "status", "--dir", pf_in_dir(&w.d, folder));
    assert_int_equal(r.code, 4); /* it has joined nothing */
    pf_run_free(&r);
    return code;
}

static void a_request_for_another_record_key_is_misdirected(void **state)
{
    struct pf_crafted c = {0};

    (void)state;
    w.server.peer.record_key[0] ^= 1;
    world_checkin(&w, &w.a, &c, 0);
    w.server.peer.record_key[0] ^= 1;
    world_refuses(&w, &c, 421, "record-key", NULL);
    pf_crafted_free(&c);
}

static void a_link_to_another_record_key_ends_with_8(void **state)
{
    struct pf_join_link link;
    char text[PF_JOIN_LINK_MAX], whole[512];

    (void)state;
    pf_test_link(&w.d, "m", -1, whole);
    assert_int_equal(pf_join_link_parse(whole, &link, NULL), POCKETFED_OK);
    link.id[31] ^= 1;
    assert_int_equal(pf_join_link_write(&link, text, sizeof text),
                     POCKETFED_OK);
    assert_int_equal(join("other-id", text), 8);
    link.id[31] ^= 1;
    link.pins[0][5] ^= 1; /* and another certificate */
    assert_int_equal(pf_join_link_write(&link, text, sizeof text),
                     POCKETFED_OK);
    assert_int_equal(join("other-pin", text), 8);
}

static void a_token_that_never_was_is_unknown(void **state)
{
    char token[PF_TOKEN_LEN + 1];
    struct pf_raw_reply r = {0};
    struct world_view before;

    (void)state;
    world_look(&w, &before);
    assert_int_equal(pf_token_make(token), POCKETFED_OK);
    pf_enrol(&w.server, &w.stranger, token, &r);
    world_refused(&w, &before, &r, 403, "token-unknown");
    token[20] = token[20] == 'x' ? 'y' : 'x'; /* mistyped */
    pf_enrol(&w.server, &w.stranger, token, &r);
    world_refused(&w, &before, &r, 403, "token-unknown");
    pf_raw_reply_free(&r);
}

static void a_token_of_yesterday_has_expired(void **state)
{
    struct pf_raw_reply r = {0};
    struct world_view before;
    struct pf_join_link link;
    struct pf_run run = {0};

    (void)state;
    PF_CLI(&run, "token", "create", "m", "--expires", "1", "--socket",
           w.d.socket);
    assert_int_equal(run.code, 0);
    assert_int_equal(pf_join_link_parse(pf_buf_str(&run.out), &link, NULL),
                     POCKETFED_OK);
    world_look(&w, &before);
    pf_nap(1100);
    pf_enrol(&w.server, &w.stranger, link.token, &r);
    world_refused(&w, &before, &r, 403, "token-expired");
    assert_int_equal(join("too-late", pf_buf_str(&run.out)), 5);
    pf_run_free(&run);
    pf_raw_reply_free(&r);
}

static void a_token_is_spent_by_a_key_and_not_by_a_call(void **state)
{
    struct pf_raw_reply r = {0};
    struct world_view before;
    char device[33], want[64];

    (void)state;
    world_look(&w, &before);
    pf_enrol(&w.server, &w.stranger, w.server.link.token, &r);
    world_refused(&w, &before, &r, 403, "token-used");
    assert_int_equal(join("second-key", w.used), 5);

    pf_enrol(&w.server, &w.a, w.server.link.token, &r); /* the first, again */
    assert_int_equal(r.status, 200);
    pf_hex(w.a.id.device, PF_DEVICE_LEN, device);
    snprintf(want, sizeof want, "\"device\":\"%s\"", device);
    assert_non_null(strstr(pf_buf_str(&r.body), want));
    snprintf(want, sizeof want, "\"ordinal\":\"%llu\"",
             (unsigned long long)w.a.ordinal);
    assert_non_null(strstr(pf_buf_str(&r.body), want));
    {
        struct world_view after;

        world_look(&w, &after);
        assert_memory_equal(&before, &after, sizeof after);
    }
    pf_raw_reply_free(&r);
}

static void the_same_request_twice_is_a_replay(void **state)
{
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};

    (void)state;
    world_checkin(&w, &w.a, &c, 0);
    pf_crafted_send(&c, &w.server, &r);
    assert_int_equal(r.status, 200);
    world_refuses(&w, &c, 401, "replayed", NULL);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

static void a_request_older_than_the_daemon_is_signed_anew(void **state)
{
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct pf_problem p;

    (void)state;
    world_checkin(&w, &w.a, &c, w.d.started_s - 3);
    world_refuses(&w, &c, 401, "created-before-start", &r);
    pf_problem_slug(&r, &p);
    assert_true(p.server_time_ms > w.d.started_s * 1000);
    assert_non_null(pf_raw_header(&r, "Retry-After"));
    assert_int_equal(pf_statement_verify_field(
                         w.server.record_key, PF_SAY_TIME, r.body.data,
                         r.body.len, pf_raw_header(&r, PF_HEADER_STATEMENT)),
                     POCKETFED_OK);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

/* A phone whose clock is wrong learns the time, signed. */
static void a_skewed_clock_is_told_the_signed_time(void **state)
{
    static const int64_t off[] = {-86400 * 365, -130, 130, 86400 * 365};
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct pf_problem p;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof off / sizeof *off; i++) {
        int64_t now = (int64_t)time(NULL);

        world_checkin(&w, &w.a, &c, now + off[i]);
        world_refuses(&w, &c, 401, "clock-skew", &r);
        pf_problem_slug(&r, &p);
        assert_in_range(p.server_time_ms, (now - 1) * 1000,
                        (now + 30 * PF_SLOW) * 1000);
        assert_int_equal(
            pf_statement_verify_field(w.server.record_key, PF_SAY_TIME,
                                      r.body.data, r.body.len,
                                      pf_raw_header(&r, PF_HEADER_STATEMENT)),
            POCKETFED_OK);
    }
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

static void what_was_tampered_with_does_not_verify(void **state)
{
    struct pf_crafted c = {0};
    char value[256];
    char *at;

    (void)state;
    world_checkin(&w, &w.a, &c, 0); /* the body */
    c.body.data[c.body.len - 1] = ' ';
    world_refuses(&w, &c, 400, "digest", NULL);

    world_checkin(&w, &w.a, &c, 0); /* the body and its digest */
    {
        uint8_t digest[32];
        char field[PF_DIGEST_FIELD_LEN];

        c.body.data[2] = 'C';
        pf_sha256(c.body.data, c.body.len, digest);
        pf_digest_field(digest, field);
        pf_crafted_set(&c, "Content-Digest", field);
    }
    world_refuses(&w, &c, 401, "signature-wrong", NULL);

    world_checkin(&w, &w.a, &c, 0); /* the signature */
    snprintf(value, sizeof value, "%s", pf_crafted_header(&c, "Signature"));
    at = strchr(value, ':') + 10;
    *at = *at == 'A' ? 'B' : 'A';
    pf_crafted_set(&c, "Signature", value);
    world_refuses(&w, &c, 401, "signature-wrong", NULL);

    world_checkin(&w, &w.a, &c, 0); /* the target */
    snprintf(c.target, sizeof c.target, "/v1/tasks/m/checkin?x=1");
    world_refuses(&w, &c, 401, "signature-wrong", NULL);

    world_checkin(&w, &w.a, &c, 0); /* who it is from */
    {
        struct pf_crafted other = {0};
        char input[1300], id[33], *keyid;

        world_checkin(&w, &w.b, &other, 0);
        snprintf(input, sizeof input, "%s",
                 pf_crafted_header(&c, "Signature-Input"));
        pf_hex(w.b.id.device, PF_DEVICE_LEN, id);
        keyid = strstr(input, "keyid=\"");
        assert_non_null(keyid);
        memcpy(keyid + 7, id, 32);
        pf_crafted_set(&c, "Signature-Input", input);
        pf_crafted_free(&other);
    }
    world_refuses(&w, &c, 401, "signature-wrong", NULL);
    pf_crafted_free(&c);
}

static void what_is_not_signed_is_not_read(void **state)
{
    static const char *const needed[] = {"Signature", "Signature-Input",
                                         "Content-Digest",
                                         "Pocketfed-Record-Key"};
    struct pf_crafted c = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof needed / sizeof *needed; i++) {
        world_checkin(&w, &w.a, &c, 0);
        pf_crafted_set(&c, needed[i], NULL);
        world_refuses(&w, &c, 401, "signature-missing", NULL);
    }
    pf_crafted_free(&c);
}

static void a_key_that_never_joined_is_unknown(void **state)
{
    struct pf_crafted c = {0};

    (void)state;
    world_checkin(&w, &w.stranger, &c, 0);
    world_refuses(&w, &c, 401, "device-unknown", NULL);
    pf_crafted_free(&c);
}

/* After all of that an honest device is served, and the daemon ends well. */
static void honest_devices_are_served_as_before(void **state)
{
    (void)state;
    pf_checkin(&w.server, &w.a);
    assert_int_equal(w.a.work.kind, PF_CHECKIN_TRAIN);
    assert_int_equal(w.a.work.round, 1);
    pf_testdaemon_stop(&w.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_for_another_record_key_is_misdirected),
        cmocka_unit_test(a_link_to_another_record_key_ends_with_8),
        cmocka_unit_test(a_token_that_never_was_is_unknown),
        cmocka_unit_test(a_token_of_yesterday_has_expired),
        cmocka_unit_test(a_token_is_spent_by_a_key_and_not_by_a_call),
        cmocka_unit_test(the_same_request_twice_is_a_replay),
        cmocka_unit_test(a_request_older_than_the_daemon_is_signed_anew),
        cmocka_unit_test(a_skewed_clock_is_told_the_signed_time),
        cmocka_unit_test(what_was_tampered_with_does_not_verify),
        cmocka_unit_test(what_is_not_signed_is_not_read),
        cmocka_unit_test(a_key_that_never_joined_is_unknown),
        cmocka_unit_test(honest_devices_are_served_as_before),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
