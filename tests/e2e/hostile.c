/* What somebody would try who means harm: floods, guesses, replays, claims and
 * bombs.  Each is refused by its name, counted in /metrics under it, changes
 * nothing, and leaves honest devices served. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bytes.h"
#include "proc.h"
#include "update.h"
#include "smalltask.h"

#define METRIC  32                         /* bytes of a metric in the head */
#define SECTION (PF_UPDATE_FIXED + METRIC) /* the only section's row */

static struct world w;
static struct pf_buf honest; /* a's frame of round 1 */

static int setup(void **state)
{
    (void)state;
    world_prepare(&w);
    world_config(&w, "");
    world_run(&w);
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

/* ---- what is counted ---- */

static unsigned long metric(const char *name, const char *label,
                            const char *value)
{
    struct pf_buf page = {0};
    char line[160];
    const char *at;
    unsigned long n;

    snprintf(line, sizeof line, "\npocketfed_%s{%s=\"%s\"} ", name, label,
             value);
    assert_int_equal(pf_testdaemon_ops(&w.d, "/metrics", &page), 200);
    at = strstr(pf_buf_str(&page), line);
    if (!at)
        fail_msg("/metrics lacks %s", line);
    n = strtoul(at + strlen(line), NULL, 10);
    pf_buf_free(&page);
    return n;
}

static unsigned long refusals(const char *slug)
{
    return metric("refusals_total", "problem", slug);
}

/* Refused so, counted once more, and nothing has changed. */
static void is_refused(struct pf_crafted *c, int status, const char *slug)
{
    unsigned long before = refusals(slug);

    world_refuses(&w, c, status, slug, NULL);
    assert_int_equal(refusals(slug), before + 1);
}

/* a's PUT of the honest frame with n bytes at `at` replaced. */
static void bent_is_refused(size_t at, const void *p, size_t n, int status,
                            const char *slug)
{
    struct pf_crafted c = {0};
    struct pf_buf frame;

    pf_buf_init(&frame, 1u << 20);
    assert_int_equal(pf_buf_add(&frame, honest.data, honest.len), POCKETFED_OK);
    assert_in_range(at + n, 0, frame.len);
    memcpy(frame.data + at, p, n);
    world_put(&w, &w.a, 1, &frame, NULL, &c);
    is_refused(&c, status, slug);
    pf_crafted_free(&c);
    pf_buf_free(&frame);
}

/* ---- claims ---- */

static void a_billion_examples_are_not_believed(void **state)
{
    static const uint64_t claims[] = {1001, 1000000000, UINT64_MAX};
    uint8_t n[8];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof claims / sizeof *claims; i++) {
        pf_put64(n, claims[i]);
        bent_is_refused(184, n, 8, 422, "examples");
    }
}

static void counts_beyond_all_bounds_reserve_nothing(void **state)
{
    static const uint64_t elements[] = {7851, UINT64_C(1) << 32,
                                        UINT64_C(1) << 61, UINT64_MAX};
    uint8_t n[8];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof elements / sizeof *elements; i++) {
        pf_put64(n, elements[i]);
        bent_is_refused(SECTION + 8, n, 8, 422, "layout");
        if (elements[i] < PF_MAX_UPDATE) /* its bytes, then */
            bent_is_refused(SECTION + 16, n, 8, 400, "malformed");
        else
            bent_is_refused(SECTION + 16, n, 8, 413, "too-large");
    }
    pf_put16(n, 0xffff);
    bent_is_refused(6, n, 2, 400, "malformed"); /* metrics */
    bent_is_refused(8, n, 2, 400, "malformed"); /* sections */
    pf_put16(n, 0);
    bent_is_refused(8, n, 2, 400, "malformed");
    pf_put32(n, UINT32_MAX);
    bent_is_refused(12, n, 4, 400, "malformed"); /* the head's length */
    pf_put32(n, 0);
    bent_is_refused(12, n, 4, 400, "malformed");
}

static void unknown_codecs_and_sections_are_named(void **state)
{
    uint8_t byte = 200;

    (void)state;
    bent_is_refused(SECTION + 1, &byte, 1, 422, "codec-unknown");
    bent_is_refused(SECTION, &byte, 1, 422, "section-unknown");
    bent_is_refused(SECTION + 2, &byte, 1, 422, "section-unknown");
}

static void a_device_cannot_upload_for_another(void **state)
{
    struct pf_crafted c = {0};

    (void)state;
    world_put(&w, &w.waiting, 1, &honest, NULL, &c); /* it has no assignment */
    is_refused(&c, 403, "not-assigned");
    world_put(&w, &w.stranger, 1, &honest, NULL, &c);
    is_refused(&c, 401, "device-unknown");
    /* a's request with b's name in it: a's signature is not b's. */
    world_put(&w, &w.a, 1, &honest, NULL, &c);
    {
        char input[1300], id[2 * PF_DEVICE_LEN + 1], *keyid;
        size_t i;

        snprintf(input, sizeof input, "%s",
                 pf_crafted_header(&c, "Signature-Input"));
        for (i = 0; i < PF_DEVICE_LEN; i++)
            snprintf(id + 2 * i, 3, "%02x", w.b.id.device[i]);
        keyid = strstr(input, "keyid=\"");
        assert_non_null(keyid);
        memcpy(keyid + 7, id, 2 * PF_DEVICE_LEN);
        pf_crafted_set(&c, "Signature-Input", input);
    }
    is_refused(&c, 401, "signature-wrong");
    pf_crafted_free(&c);
}

/* ---- bombs ---- */

static void what_is_compressed_is_not_unpacked(void **state)
{
    static const char *const encodings[] = {"gzip", "deflate", "br", "zstd",
                                            "gzip, gzip"};
    struct pf_crafted c = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof encodings / sizeof *encodings; i++) {
        world_put(&w, &w.a, 1, &honest, NULL, &c);
        pf_crafted_set(&c, "Content-Encoding", encodings[i]);
        is_refused(&c, 415, "encoding");
        assert_int_equal(c.sent, 0);
        world_checkin(&w, &w.a, &c, 0);
        pf_crafted_set(&c, "Content-Encoding", encodings[i]);
        pf_crafted_set(&c, "Expect", "100-continue");
        is_refused(&c, 415, "encoding");
        assert_int_equal(c.sent, 0);
    }
    pf_crafted_free(&c);
}

/* A check-in with this body, well signed. */
static void json_is_refused(const char *body, size_t len)
{
    struct pf_call_args args;
    struct pf_crafted c = {0};

    memset(&args, 0, sizeof args);
    snprintf(args.task, sizeof args.task, "m");
    pf_craft(&c, &w.server, &w.a, PF_CALL_CHECKIN, &args, body, len, NULL, 0);
    is_refused(&c, 400, "malformed");
    pf_crafted_free(&c);
}

static void json_that_is_deep_or_wide_is_refused(void **state)
{
    static char body[60000];
    size_t i;

    (void)state;
    memset(body, '[', sizeof body);
    json_is_refused(body, sizeof body);
    for (i = 0; i < sizeof body; i += 5)
        memcpy(body + i, "{\"a\":", 5);
    json_is_refused(body, sizeof body);
    memset(body, '9', sizeof body);
    json_is_refused(body, sizeof body);
    memset(body, 0, sizeof body);
    json_is_refused(body, sizeof body);
    /* Unknown members are passed over, however many; the known one counts. */
    for (i = 0; i < 5000; i++)
        memcpy(body + 10 * i, "\"x\":[],   ", 10);
    body[0] = '{';
    memcpy(body + 1, "\"codecs\":7", 10);
    memcpy(body + 11, "         ,", 9);
    json_is_refused(body, 50000);
}

/* ---- time ---- */

static void a_captured_request_is_worth_nothing_later(void **state)
{
    struct pf_crafted checkin = {0}, put = {0};
    struct pf_raw_reply r = {0};
    struct pf_buf frame = {0};

    (void)state;
    world_checkin(&w, &w.b, &checkin, 0);
    pf_crafted_send(&checkin, &w.server, &r);
    assert_int_equal(r.status, 200);
    is_refused(&checkin, 401, "replayed");
    world_frame(&w, &w.b, &frame);
    world_put(&w, &w.b, 1, &frame, NULL, &put);
    pf_crafted_send(&put, &w.server, &r);
    assert_int_equal(r.status, 201);
    is_refused(&put, 401, "replayed");

    /* The daemon forgets its nonces with its memory, and so does not listen to
     * what was made before its start. */
    pf_testdaemon_crash(&w.d);
    pf_nap(2100); /* what was signed is dated up to a second ahead */
    pf_testdaemon_start(&w.d);
    is_refused(&checkin, 401, "created-before-start");
    is_refused(&put, 401, "created-before-start");
    {
        struct pf_round_status round;

        pf_round_now(&w.d, "m", 1, &round);
        assert_int_equal(round.accepted, 1);
    }
    pf_buf_free(&frame);
    pf_raw_reply_free(&r);
    pf_crafted_free(&checkin);
    pf_crafted_free(&put);
}

static void a_skewed_clock_opens_no_window(void **state)
{
    static const int64_t off[] = {-86400, -125, 125, 86400, INT32_MAX};
    struct pf_crafted c = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof off / sizeof *off; i++) {
        world_checkin(&w, &w.a, &c, (int64_t)time(NULL) + off[i]);
        is_refused(&c, 401, "clock-skew");
    }
    pf_crafted_free(&c);
}

/* ---- floods ---- */

/* The configuration is read again, and has been. */
static void reconfigure(const char *ini)
{
    static unsigned long before;
    int64_t end = pf_now_ms() + (int64_t)20000 * PF_SLOW;
    unsigned long n = 0;

    world_config(&w, ini);
    pf_signal(w.d.pid, SIGHUP);
    while (n <= before && pf_now_ms() < end) {
        struct pf_buf log = {0};
        const char *at;

        pf_slurp(w.d.log, &log);
        for (n = 0, at = pf_buf_str(&log);
             (at = strstr(at, "certificate read again")); at++)
            n++;
        pf_buf_free(&log);
        pf_nap(5);
    }
    assert_int_equal(n, before + 1);
    before = n;
}

/* Enrols a key that nobody knows; the slug, or "" when it is in. */
static const char *enrol_with(const char *token)
{
    static char slug[40];
    struct pf_keyholder k;
    struct pf_raw_reply r = {0};

    pf_keyholder_make(&k);
    pf_enrol(&w.server, &k, token, &r);
    snprintf(slug, sizeof slug, "%s",
             r.status == 201 ? "" : pf_problem_slug(&r, NULL));
    if (r.status == 429)
        assert_non_null(pf_raw_header(&r, "Retry-After"));
    pf_raw_reply_free(&r);
    pf_keyholder_free(&k);
    return slug;
}

static void guessing_tokens_is_slow_and_counted(void **state)
{
    unsigned long unknown = refusals("token-unknown");
    unsigned long many = refusals("too-many-requests");
    unsigned long limited =
        metric("limit_refusals_total", "limit", "failure_rate");
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct world_view before, after;
    char token[PF_TOKEN_LEN + 1];
    int i;

    (void)state;
    world_look(&w, &before);
    world_checkin(&w, &w.a, &c, 0); /* proves itself */
    pf_crafted_send(&c, &w.server, &r);
    assert_int_equal(r.status, 200);
    reconfigure("[limits]\nfailure_rate = 1\nfailure_burst = 60\n");
    for (i = 0; i < 90; i++) {
        assert_int_equal(pf_token_make(token), POCKETFED_OK);
        enrol_with(token);
    }
    unknown = refusals("token-unknown") - unknown;
    many = refusals("too-many-requests") - many;
    assert_int_equal(unknown + many, 90);
    assert_in_range(unknown, 1, 89);
    assert_true(many > 0);
    assert_int_equal(metric("limit_refusals_total", "limit", "failure_rate"),
                     limited + many);
    world_look(&w, &after);
    assert_memory_equal(&before, &after, sizeof after);
    /* From the same address, a device that proved itself is heard. */
    world_checkin(&w, &w.a, &c, 0);
    pf_crafted_send(&c, &w.server, &r);
    assert_int_equal(r.status, 200);
    reconfigure("");
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

static void an_enrolment_flood_stops_at_the_devices_there_may_be(void **state)
{
    unsigned long limited = metric("limit_refusals_total", "limit", "devices");
    struct pf_join_link link;
    struct pf_task_status t;
    struct pf_run run = {0};
    int i, in = 0;

    (void)state;
    reconfigure("[limits]\ndevices = 8\n");
    PF_CLI(&run, "token", "create", "m", "--uses", "1000", "--socket",
           w.d.socket);
    assert_int_equal(run.code, 0);
    assert_int_equal(pf_join_link_parse(pf_buf_str(&run.out), &link, NULL),
                     POCKETFED_OK);
    for (i = 0; i < 30; i++) {
        const char *slug = enrol_with(link.token);

        in += slug[0] == '\0';
        if (slug[0])
            assert_string_equal(slug, "limit");
    }
    pf_task_now(&w.d, "m", &t);
    assert_int_equal(t.devices, 8);
    assert_int_equal(in, 8 - 3); /* the world has three */
    assert_int_equal(metric("limit_refusals_total", "limit", "devices"),
                     limited + 25);
    reconfigure("");
    pf_run_free(&run);
}

/* After all of that an honest device is served, and the daemon ends well. */
static void honest_devices_are_served_as_before(void **state)
{
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct pf_round_status round;

    (void)state;
    world_put(&w, &w.a, 1, &honest, NULL, &c);
    pf_crafted_send(&c, &w.server, &r);
    assert_int_equal(r.status, 201);
    pf_round_now(&w.d, "m", 1, &round);
    assert_int_equal(round.accepted, 2);
    pf_testdaemon_stop(&w.d);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_billion_examples_are_not_believed),
        cmocka_unit_test(counts_beyond_all_bounds_reserve_nothing),
        cmocka_unit_test(unknown_codecs_and_sections_are_named),
        cmocka_unit_test(a_device_cannot_upload_for_another),
        cmocka_unit_test(what_is_compressed_is_not_unpacked),
        cmocka_unit_test(json_that_is_deep_or_wide_is_refused),
        cmocka_unit_test(a_captured_request_is_worth_nothing_later),
        cmocka_unit_test(a_skewed_clock_opens_no_window),
        cmocka_unit_test(guessing_tokens_is_slow_and_counted),
        cmocka_unit_test(an_enrolment_flood_stops_at_the_devices_there_may_be),
        cmocka_unit_test(honest_devices_are_served_as_before),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
