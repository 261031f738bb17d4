/* Uploads that are cut off, and those that go on: HEAD, PATCH, and whoever
 * comes last. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sender.h"
#include "statement.h"

static void an_upload_goes_on_where_it_was_cut_off(void **state)
{
    struct edge *e = *state;
    struct edge_reply r;
    struct sender s;

    sender_ready(&s, e);
    assert_int_equal(sender_look(&s), -1); /* nothing was sent yet */
    sender_cut(&s, 10000);
    assert_int_equal(sender_look(&s), 10000);
    assert_int_equal(sender_counted(e, PF_COUNT_UPLOADS_PARKED), 1);
    assert_int_equal(atomic_load(&e->daemon.metrics.kept), 1);
    sender_patches(&s, 10000, 201, PF_PROBLEM_NONE, &r);
    edge_says(e, &r, PF_SAY_ACK);
    edge_forget(&r);
    assert_int_equal(sender_counted(e, PF_COUNT_UPLOADS_RESUMED), 1);
    assert_int_equal(sender_counted(e, PF_COUNT_UPLOAD_BYTES), s.frame.len);
    assert_int_equal(atomic_load(&e->daemon.metrics.kept), 0);
    assert_int_equal(atomic_load(&e->daemon.metrics.kept_bytes), 0);
    assert_int_equal(sender_look(&s), -1); /* it is whole: nothing is kept */
    sender_patches(&s, 10000, 200, PF_PROBLEM_NONE, &r);
    assert_true(r.at_headers);
    edge_forget(&r);
    sender_done(&s);
}

static void it_may_be_cut_off_many_times(void **state)
{
    struct edge_request rq;
    struct edge_reply r;
    struct sender s;
    size_t at;

    sender_ready(&s, *state);
    sender_cut(&s, 1);
    for (at = 1; at + 3000 < s.frame.len; at += 3000) {
        assert_int_equal(sender_look(&s), at);
        sender_patch(&s, at, &rq);
        edge_cut(s.e, &rq, 3000);
    }
    sender_patches(&s, at, 201, PF_PROBLEM_NONE, &r);
    edge_forget(&r);
    assert_int_equal(sender_counted(s.e, PF_COUNT_UPLOAD_BYTES), s.frame.len);
    sender_done(&s);
}

static void a_cut_before_the_first_byte_keeps_nothing(void **state)
{
    struct sender s;

    sender_ready(&s, *state);
    sender_cut(&s, 0);
    assert_int_equal(sender_look(&s), -1);
    sender_done(&s);
}

static void a_wrong_offset_is_told_the_right_one(void **state)
{
    struct edge_reply r;
    struct sender s;

    sender_ready(&s, *state);
    sender_cut(&s, 10000);
    sender_patches(&s, 9999, 409, PF_PROBLEM_UPLOAD_MISMATCH, &r);
    assert_true(r.at_headers);
    assert_string_equal(r.upload_offset, "10000");
    edge_forget(&r);
    sender_patches(&s, 10001, 409, PF_PROBLEM_UPLOAD_MISMATCH, &r);
    assert_string_equal(r.upload_offset, "10000");
    edge_forget(&r);
    sender_patches(&s, 10000, 201, PF_PROBLEM_NONE,
                   &r); /* nothing was lost by it */
    edge_forget(&r);
    sender_done(&s);
}

static void another_update_cannot_go_on_with_what_is_kept(void **state)
{
    struct edge_reply r;
    struct sender s;

    sender_ready(&s, *state);
    sender_cut(&s, 10000);
    s.frame.data[s.frame.len - 100] ^= 1;
    sender_patches(&s, 10000, 409, PF_PROBLEM_UPLOAD_MISMATCH, &r);
    assert_true(r.at_headers);
    assert_string_equal(r.upload_offset, "");
    edge_forget(&r);
    s.frame.data[s.frame.len - 100] ^= 1;
    assert_int_equal(sender_look(&s), 10000);
    sender_done(&s);
}

static void another_device_cannot_go_on_with_it_either(void **state)
{
    struct edge_reply r;
    struct sender s, other;

    sender_ready(&s, *state);
    sender_ready(&other, *state);
    sender_cut(&s, 10000);
    sender_patches(&other, 10000, 404, PF_PROBLEM_UPLOAD_UNKNOWN, &r);
    assert_true(r.at_headers);
    edge_forget(&r);
    assert_int_equal(sender_look(&other), -1);
    assert_int_equal(sender_look(&s), 10000);
    sender_done(&other);
    sender_done(&s);
}

static void bytes_that_spoil_the_digest_are_not_kept(void **state)
{
    struct edge_request rq;
    struct edge_reply r;
    struct sender s;

    sender_ready(&s, *state);
    sender_put(&s, &rq);
    s.frame.data[500] ^= 1; /* on the way */
    edge_cut(s.e, &rq, 10000);
    s.frame.data[500] ^= 1;
    sender_patches(&s, 10000, 400, PF_PROBLEM_DIGEST, &r);
    edge_forget(&r);
    assert_int_equal(sender_look(&s), -1);
    edge_put(s.e, s.key, s.round, &s.frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    sender_done(&s);
}

static void a_put_starts_anew(void **state)
{
    struct edge_reply r;
    struct sender s;

    sender_ready(&s, *state);
    sender_cut(&s, 10000);
    sender_cut(&s, 5000);
    assert_int_equal(sender_look(&s), 5000);
    edge_put(s.e, s.key, s.round, &s.frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    sender_done(&s);
}

/* An answer to a PATCH without a header, or with another value. */
static void bad_header(struct sender *s, const char *name, const char *value)
{
    struct edge_request rq;
    struct edge_reply r;
    unsigned i;

    sender_patch_unsigned(s, 10000, &rq);
    for (i = 0; i < rq.n_headers; i++)
        if (strcmp(rq.header[i].name, name) == 0) {
            rq.header[i].name = value ? name : "X-Other";
            if (value)
                snprintf(rq.header[i].value, sizeof rq.header[i].value, "%s",
                         value);
        }
    edge_sign(s->e, &rq, s->key, 0);
    edge_send(s->e, &rq, &r);
    edge_expect(&r, 400, PF_PROBLEM_BAD_REQUEST);
    assert_true(r.at_headers);
    assert_non_null(strstr(pf_buf_str(&r.body), name));
    edge_forget(&r);
}

static void a_patch_says_what_it_is(void **state)
{
    struct sender s;

    sender_ready(&s, *state);
    sender_cut(&s, 10000);
    bad_header(&s, "Content-Type", "application/octet-stream");
    bad_header(&s, "Content-Type", NULL);
    bad_header(&s, "Upload-Offset", "");
    bad_header(&s, "Upload-Offset", "-1");
    bad_header(&s, "Upload-Offset", "18446744073709551615");
    bad_header(&s, "Upload-Offset", NULL);
    bad_header(&s, "Upload-Complete", "?0");
    bad_header(&s, "Upload-Complete", NULL);
    assert_int_equal(sender_look(&s), 10000);
    sender_done(&s);
}

static void a_patch_with_a_shorter_rest_is_told_so(void **state)
{
    struct edge_request rq;
    struct edge_reply r;
    struct sender s;

    sender_ready(&s, *state);
    sender_cut(&s, 10000);
    sender_patch_unsigned(&s, 10000, &rq);
    rq.len -= 16;
    edge_sign(s.e, &rq, s.key, 0);
    edge_send(s.e, &rq, &r);
    edge_expect(&r, 409, PF_PROBLEM_UPLOAD_MISMATCH);
    assert_true(r.at_headers);
    edge_forget(&r);
    assert_int_equal(sender_look(&s), 10000);
    sender_done(&s);
}

static void a_refusal_for_the_moment_costs_nothing(void **state)
{
    struct edge *e = *state;
    struct pf_coordinator *c = e->daemon.edge.coordinator;
    struct edge_reply r;
    struct sender s;
    unsigned n = 0;

    sender_ready(&s, e);
    sender_cut(&s, 10000);
    while (pf_coordinator_reserve(c) == POCKETFED_OK)
        n++;
    sender_patches(&s, 10000, 503, PF_PROBLEM_BUSY, &r);
    assert_true(r.at_headers);
    edge_forget(&r);
    while (n-- > 0)
        pf_coordinator_unreserve(c);
    assert_int_equal(sender_look(&s), 10000);
    sender_patches(&s, 10000, 201, PF_PROBLEM_NONE, &r);
    edge_forget(&r);
    sender_done(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_upload_goes_on_where_it_was_cut_off),
        TEST(it_may_be_cut_off_many_times),
        TEST(a_cut_before_the_first_byte_keeps_nothing),
        TEST(a_wrong_offset_is_told_the_right_one),
        TEST(another_update_cannot_go_on_with_what_is_kept),
        TEST(another_device_cannot_go_on_with_it_either),
        TEST(bytes_that_spoil_the_digest_are_not_kept),
        TEST(a_put_starts_anew),
        TEST(a_patch_says_what_it_is),
        TEST(a_patch_with_a_shorter_rest_is_told_so),
        TEST(a_refusal_for_the_moment_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
