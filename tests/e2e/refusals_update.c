/* Updates that must not count, requests that are none, and the one that does
 * count, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "proc.h"
#include "statement.h"
#include "update.h"
#include "smalltask.h"

#define METRIC  32                         /* bytes of a metric in the head */
#define SECTION (PF_UPDATE_FIXED + METRIC) /* the only section's row */

/* A digest that nothing has. */
#define MODEL_OF_NOBODY                                                        \
    "/v1/models/00000000000000000000000000000000"                              \
    "00000000000000000000000000000000"

static struct world w;
static struct pf_buf honest; /* a's frame of round 1 */

static int setup(void **state)
{
    (void)state;
    world_start(&w);
    world_frame(&w, &w.a, &honest);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_end(&w);
    pf_buf_free(&honest);
    return 0;
}

/* A copy of the honest frame with n bytes at `at` replaced. */
static void bend(struct pf_buf *out, size_t at, const void *p, size_t n)
{
    pf_buf_free(out);
    pf_buf_init(out, 1u << 20);
    assert_int_equal(pf_buf_add(out, honest.data, honest.len), POCKETFED_OK);
    assert_in_range(at + n, 0, out->len);
    memcpy(out->data + at, p, n);
}

static void put_is_refused(const struct pf_keyholder *k, uint64_t round,
                           const struct pf_buf *frame, int status,
                           const char *slug)
{
    struct pf_crafted c = {0};

    world_put(&w, k, round, frame, NULL, &c);
    world_refuses(&w, &c, status, slug, NULL);
    pf_crafted_free(&c);
}

static void bent_is_refused(size_t at, const void *p, size_t n, int status,
                            const char *slug)
{
    struct pf_buf frame = {0};

    bend(&frame, at, p, n);
    put_is_refused(&w.a, 1, &frame, status, slug);
    pf_buf_free(&frame);
}

static void float_is_refused(uint32_t bits, const char *slug)
{
    size_t first = pf_get32(honest.data + 12), i;
    static const size_t place[] = {0, 3925, 7849};
    uint8_t word[4];

    pf_put32(word, bits);
    for (i = 0; i < sizeof place / sizeof *place; i++)
        bent_is_refused(first + 4 * place[i], word, 4, 422, slug);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    float_is_refused(0x7fc00000, "non-finite"); /* NaN */
    float_is_refused(0xffc00001, "non-finite"); /* another */
    float_is_refused(0x7f800000, "non-finite"); /* +Inf */
    float_is_refused(0xff800000, "non-finite"); /* -Inf */
}

static void a_norm_over_the_plan_is_refused(void **state)
{
    (void)state;
    float_is_refused(0x41300000, "norm"); /* 11; the plan allows 10 */
    float_is_refused(0x7f7fffff, "norm"); /* the largest float */
}

static void claims_outside_the_plan_are_refused(void **state)
{
    uint8_t n[8];

    (void)state;
    pf_put64(n, 1001); /* the plan's cap is 1000 */
    bent_is_refused(184, n, 8, 422, "examples");
    pf_put64(n, UINT64_MAX);
    bent_is_refused(184, n, 8, 422, "examples");
}

static void another_model_is_refused(void **state)
{
    static const size_t digest[] = {88, 120, 152}; /* plan, base, layout */
    uint8_t byte, n[8];
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        byte = honest.data[digest[i]] ^ 1;
        bent_is_refused(digest[i], &byte, 1, 422, "layout");
    }
    pf_put64(n, w.n_params + 1);
    bent_is_refused(SECTION + 8, n, 8, 422, "layout");
}

static void codecs_and_sections_are_refused_by_name(void **state)
{
    uint8_t byte = 77;

    (void)state;
    bent_is_refused(SECTION + 1, &byte, 1, 422, "codec-unknown");
    byte = honest.data[SECTION + 1] == 1 ? 2 : 1; /* ours, not the plan's */
    bent_is_refused(SECTION + 1, &byte, 1, 422, "codec-unknown");
    byte = 9;
    bent_is_refused(SECTION, &byte, 1, 422, "section-unknown");
    bent_is_refused(SECTION + 2, &byte, 1, 422, "section-unknown");
}

static void another_round_or_task_in_the_frame_is_refused(void **state)
{
    uint8_t n[8];

    (void)state;
    pf_put64(n, 2);
    bent_is_refused(80, n, 8, 403, "not-assigned");
    bent_is_refused(16, "n", 1, 403, "not-assigned");
}

static void frames_that_are_none_are_refused(void **state)
{
    struct pf_buf frame = {0};
    uint8_t byte = 1;

    (void)state;
    bent_is_refused(0, "X", 1, 400, "malformed");
    bent_is_refused(4, "\2", 1, 400, "malformed");   /* version 2 */
    bent_is_refused(10, &byte, 1, 400, "malformed"); /* padding */
    bend(&frame, 0, "P", 1);
    frame.len -= 16; /* cut short, with the digest of what is left */
    put_is_refused(&w.a, 1, &frame, 400, "malformed");
    frame.len = 191; /* not even a head */
    put_is_refused(&w.a, 1, &frame, 400, "length");
    bend(&frame, 0, "P", 1);
    pf_buf_add(&frame, "0123456789abcdef", 16);
    put_is_refused(&w.a, 1, &frame, 400, "malformed");
    pf_buf_free(&frame);
}

static void a_digest_that_is_not_the_bodys_is_refused(void **state)
{
    struct pf_crafted c = {0};
    uint8_t digest[32];

    (void)state;
    pf_sha256(honest.data, honest.len, digest);
    digest[7] ^= 0x10;
    world_put(&w, &w.a, 1, &honest, digest, &c);
    world_refuses(&w, &c, 400, "digest", NULL);
    world_put(&w, &w.a, 1, &honest, NULL, &c); /* damaged on the way */
    c.body.data[honest.len / 2] ^= 0x10;
    world_refuses(&w, &c, 400, "digest", NULL);
    pf_crafted_free(&c);
}

static void an_assignment_is_ones_own(void **state)
{
    (void)state;
    put_is_refused(&w.waiting, 1, &honest, 403, "not-assigned");
    put_is_refused(&w.stranger, 1, &honest, 401, "device-unknown");
    put_is_refused(&w.a, 2, &honest, 403, "not-assigned");
    put_is_refused(&w.a, 0, &honest, 403, "not-assigned");
}

/* Its length alone is enough: no byte of the body is sent. */
static void too_large_is_refused_before_the_body(void **state)
{
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct pf_buf big;

    (void)state;
    pf_buf_init(&big, 1u << 20);
    assert_non_null(pf_buf_extend(&big, 100000));
    memset(big.data, 7, big.len);
    world_put(&w, &w.a, 1, &big, NULL, &c);
    c.sent = 1;
    world_refuses(&w, &c, 413, "too-large", &r);
    assert_int_equal(c.sent, 0);

    world_put(&w, &w.a, 1, &honest, NULL, &c);
    pf_crafted_set(&c, "Content-Length", "400000000"); /* over any task's */
    c.sent = 1;
    world_refuses(&w, &c, 413, "too-large", &r);
    assert_int_equal(c.sent, 0);
    assert_string_equal(pf_raw_header(&r, "Connection"), "close");

    world_checkin(&w, &w.a, &c, 0); /* a control body of 1 MB */
    pf_crafted_set(&c, "Content-Length", "1000000");
    pf_crafted_set(&c, "Expect", "100-continue");
    world_refuses(&w, &c, 413, "too-large", &r);
    assert_int_equal(c.sent, 0);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
    pf_buf_free(&big);
}

/* Sends the head as bytes and takes the answer; 1 when the server hangs up. */
static int raw_refused(struct pf_crafted *c, const char *body, int status,
                       const char *slug)
{
    struct world_view before;
    struct pf_raw_reply r = {0};
    struct pf_raw raw;
    struct pf_buf head;
    int closed;

    world_look(&w, &before);
    pf_buf_init(&head, 1u << 16);
    pf_crafted_head(c, &head);
    pf_buf_adds(&head, body);
    pf_raw_open(&raw, w.server.peer.port, w.server.link.pins[0]);
    pf_raw_send(&raw, head.data, head.len);
    if (pf_raw_reply(&raw, 20000, 0, &r) != 1)
        fail_msg("no answer to %s", pf_buf_str(&head));
    world_refused(&w, &before, &r, status, slug);
    closed = pf_raw_hung_up(&raw, 1000);
    pf_raw_close(&raw);
    pf_raw_reply_free(&r);
    pf_buf_free(&head);
    return closed;
}

static void doubtful_framing_is_refused_and_closed(void **state)
{
    static const char chunks[] = "5\r\nhello\r\n0\r\n\r\n";
    struct pf_crafted c = {0};

    (void)state;
    world_checkin(&w, &w.a, &c, 0);
    pf_crafted_set(&c, "Content-Length", NULL);
    pf_crafted_set(&c, "Transfer-Encoding", "chunked");
    assert_true(raw_refused(&c, chunks, 400, "bad-request"));
    pf_crafted_set(&c, "Content-Length", "15");
    assert_true(raw_refused(&c, chunks, 400, "bad-request"));
    pf_crafted_set(&c, "Transfer-Encoding", NULL);
    pf_crafted_set(&c, "Content-Length", "15\r\nContent-Length: 16");
    assert_true(raw_refused(&c, chunks, 400, "bad-request"));
    pf_crafted_set(&c, "Content-Length", "15");
    pf_crafted_set(&c, "Signature", "a\r\nSignature: b");
    assert_true(raw_refused(&c, chunks, 400, "bad-request"));
    pf_crafted_set(&c, "Signature", "a");
    pf_crafted_set(&c, "Expect", "the-unexpected");
    assert_true(raw_refused(&c, chunks, 417, "expectation"));
    pf_crafted_free(&c);
}

static void unknown_places_and_methods_are_named(void **state)
{
    static const char *const path[] = {"/",
                                       "/v1",
                                       "/v2/tasks/m/checkin",
                                       "/v1/tasks/m/checkin/",
                                       "/v1//tasks/m/checkin",
                                       "/v1/tasks/M/checkin",
                                       "/admin/v1/tasks",
                                       "/metrics",
                                       "/v1/tasks/m/rounds/01/update",
                                       MODEL_OF_NOBODY};
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof path / sizeof *path; i++) {
        snprintf(c.method, sizeof c.method, "GET");
        snprintf(c.target, sizeof c.target, "%s", path[i]);
        c.n_headers = 0;
        pf_crafted_set(&c, "Host", "x");
        world_refuses(&w, &c, 404, "not-found", NULL);
    }
    snprintf(c.target, sizeof c.target, "/v1/tasks/m/checkin");
    world_refuses(&w, &c, 405, "method", &r);
    assert_string_equal(pf_raw_header(&r, "Allow"), "POST");
    snprintf(c.method, sizeof c.method, "DELETE");
    snprintf(c.target, sizeof c.target, "/v1/tasks/m/rounds/1/update");
    world_refuses(&w, &c, 405, "method", &r);
    assert_string_equal(pf_raw_header(&r, "Allow"), "HEAD, PATCH, PUT");
    world_checkin(&w, &w.a, &c, 0);
    snprintf(c.target, sizeof c.target, "/v1/tasks/none/checkin");
    world_refuses(&w, &c, 404, "task-unknown", NULL);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

/* A connection that dies in the middle of a body. */
static void half_an_update_is_none(void **state)
{
    struct world_view before, after;
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct pf_buf head;
    struct pf_raw raw;

    (void)state;
    world_look(&w, &before);
    world_put(&w, &w.a, 1, &honest, NULL, &c);
    pf_buf_init(&head, 1u << 16);
    pf_crafted_head(&c, &head);
    pf_raw_open(&raw, w.server.peer.port, w.server.link.pins[0]);
    pf_raw_send(&raw, head.data, head.len);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 100);
    pf_raw_send(&raw, honest.data, honest.len / 2);
    pf_raw_close(&raw);
    pf_nap(100);
    world_look(&w, &after);
    assert_memory_equal(&before, &after, sizeof after);
    pf_raw_reply_free(&r);
    pf_buf_free(&head);
    pf_crafted_free(&c);
}

static void the_honest_update_counts_once(void **state)
{
    struct pf_raw_reply first = {0}, again = {0};
    struct pf_round_status round;
    struct pf_crafted c = {0};
    struct pf_buf other = {0};

    (void)state;
    pf_round_now(&w.d, "m", 1, &round);
    assert_int_equal(round.accepted, 0);
    assert_true(round.refused > 20); /* all of the above was counted */
    world_put(&w, &w.a, 1, &honest, NULL, &c);
    pf_crafted_send(&c, &w.server, &first);
    assert_int_equal(first.status, 201);
    assert_int_equal(
        pf_statement_verify_field(w.server.record_key, PF_SAY_ACK,
                                  first.body.data, first.body.len,
                                  pf_raw_header(&first, PF_HEADER_STATEMENT)),
        POCKETFED_OK);
    world_put(&w, &w.a, 1, &honest, NULL, &c); /* signed anew */
    pf_crafted_send(&c, &w.server, &again);
    assert_int_equal(again.status, 200);
    assert_string_equal(pf_buf_str(&first.body), pf_buf_str(&again.body));
    assert_int_equal(c.sent, 0); /* known by its digest */
    pf_round_now(&w.d, "m", 1, &round);
    assert_int_equal(round.accepted, 1);
    assert_int_equal(round.weight, 100);

    world_refuses(&w, &c, 401, "replayed", NULL);
    bend(&other, pf_get32(honest.data + 12), "\0\0\0\0", 4);
    put_is_refused(&w.a, 1, &other, 409, "already-different");
    pf_buf_free(&other);
    pf_raw_reply_free(&first);
    pf_raw_reply_free(&again);
    pf_crafted_free(&c);
}

static void a_closed_round_takes_no_more(void **state)
{
    int64_t end = pf_now_ms() + (int64_t)20000 * PF_SLOW;
    struct pf_raw_reply r = {0};
    struct pf_crafted c = {0};
    struct pf_task_status t;
    struct pf_buf frame = {0};

    (void)state;
    world_frame(&w, &w.b, &frame);
    world_put(&w, &w.b, 1, &frame, NULL, &c);
    pf_crafted_send(&c, &w.server, &r);
    assert_int_equal(r.status, 201);
    do {
        pf_nap(10);
        pf_task_now(&w.d, "m", &t);
    } while (t.published == 0 && pf_now_ms() < end);
    assert_int_equal(t.published, 1);
    put_is_refused(&w.waiting, 1, &frame, 410, "round-closed");
    world_put(&w, &w.b, 1, &frame, NULL, &c); /* the answer got lost */
    pf_crafted_send(&c, &w.server, &r);
    assert_int_equal(r.status, 200);
    bend(&frame, pf_get32(honest.data + 12), "\0\0\0\0", 4);
    put_is_refused(&w.b, 1, &frame, 409, "already-different");
    pf_checkin(&w.server, &w.a);
    assert_int_equal(w.a.work.kind, PF_CHECKIN_TRAIN);
    assert_int_equal(w.a.work.round, 2);
    pf_testdaemon_stop(&w.d);
    pf_buf_free(&frame);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(a_norm_over_the_plan_is_refused),
        cmocka_unit_test(claims_outside_the_plan_are_refused),
        cmocka_unit_test(another_model_is_refused),
        cmocka_unit_test(codecs_and_sections_are_refused_by_name),
        cmocka_unit_test(another_round_or_task_in_the_frame_is_refused),
        cmocka_unit_test(frames_that_are_none_are_refused),
        cmocka_unit_test(a_digest_that_is_not_the_bodys_is_refused),
        cmocka_unit_test(an_assignment_is_ones_own),
        cmocka_unit_test(too_large_is_refused_before_the_body),
        cmocka_unit_test(doubtful_framing_is_refused_and_closed),
        cmocka_unit_test(unknown_places_and_methods_are_named),
        cmocka_unit_test(half_an_update_is_none),
        cmocka_unit_test(the_honest_update_counts_once),
        cmocka_unit_test(a_closed_round_takes_no_more),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
