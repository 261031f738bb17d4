#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edge.h"
#include "statement.h"

/* ---- uploads ---- */

static void acknowledges_an_update_once_and_again_the_same(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_reply first, again;
    struct pf_buf frame;
    uint64_t round;

    edge_update(e, key, &round, &frame);
    edge_put(e, key, round, &frame, &first);
    edge_expect(&first, 201, PF_PROBLEM_NONE);
    edge_says(e, &first, PF_SAY_ACK);
    edge_put(e, key, round, &frame, &again);
    edge_expect(&again, 200, PF_PROBLEM_NONE);
    assert_true(again.at_headers);
    assert_string_equal(pf_buf_str(&first.body), pf_buf_str(&again.body));
    edge_forget(&first);
    edge_forget(&again);
    /* Another update of the same device is none. */
    frame.data[184]++; /* examples */
    edge_put(e, key, round, &frame, &again);
    edge_expect(&again, 409, PF_PROBLEM_ALREADY_DIFFERENT);
    assert_true(again.at_headers);
    edge_forget(&again);
    assert_int_equal(edge_waiting(e), 0);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void takes_an_update_in_small_pieces(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_request rq;
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;
    char path[EDGE_PATH];

    edge_update(e, key, &round, &frame);
    edge_put_request(e, key, round, &frame, path, &rq);
    rq.piece = 97;
    edge_send(e, &rq, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void refuses_an_update_that_is_not_what_was_signed(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_request rq;
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;
    char path[EDGE_PATH];

    edge_update(e, key, &round, &frame);
    edge_put_request(e, key, round, &frame, path, &rq);
    frame.data[frame.len - 100] ^= 1;
    edge_send(e, &rq, &r);
    edge_expect(&r, 400, PF_PROBLEM_DIGEST);
    edge_forget(&r);
    /* Nothing is left of it: the right one is taken. */
    frame.data[frame.len - 100] ^= 1;
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    assert_int_equal(edge_waiting(e), 0);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void refuses_numbers_that_are_none(void **state)
{
    static const uint8_t nan[4] = {0, 0, 0xc0, 0x7f};
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;

    edge_update(e, key, &round, &frame);
    memcpy(frame.data + frame.len - 400, nan, sizeof nan);
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 422, PF_PROBLEM_NON_FINITE);
    edge_forget(&r);
    assert_int_equal(edge_waiting(e), 0);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void refuses_wrong_lengths_before_the_body(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;

    edge_update(e, key, &round, &frame);
    assert_non_null(pf_buf_extend(&frame, 10000));
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 413, PF_PROBLEM_TOO_LARGE);
    assert_true(r.at_headers);
    edge_forget(&r);
    frame.len = 100;
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 400, PF_PROBLEM_LENGTH);
    assert_true(r.at_headers);
    edge_forget(&r);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void refuses_an_update_nobody_asked_for(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e), *other = edge_join(e);
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;

    edge_update(e, key, &round, &frame);
    edge_put(e, other, round, &frame, &r);
    edge_expect(&r, 403, PF_PROBLEM_NOT_ASSIGNED);
    assert_true(r.at_headers);
    edge_forget(&r);
    assert_int_equal(edge_waiting(e), 0);
    pf_buf_free(&frame);
    pf_key_free(key);
    pf_key_free(other);
}

static void gives_everything_back_when_the_connection_is_lost(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_request rq;
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;
    char path[EDGE_PATH];
    size_t i;

    edge_update(e, key, &round, &frame);
    for (i = 0; i < 20; i++) {
        edge_put_request(e, key, round, &frame, path, &rq);
        rq.piece = 4096;
        edge_cut(e, &rq, i * frame.len / 20);
        assert_int_equal(edge_waiting(e), 0);
    }
    assert_int_equal(
        atomic_load(&e->daemon.metrics.counter[PF_COUNT_UPLOADS_LOST]), 20);
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void notes_a_failure(void **state)
{
    static const char said[] = "{\"code\":\"memory\",\"detail\":\"x\"}";
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_reply r;

    edge_checkin(e, key, EDGE_ASK, &r);
    edge_forget(&r);
    edge_device(e, key, "POST", "/v1/tasks/t/rounds/1/failure", said,
                strlen(said), &r);
    edge_expect(&r, 204, PF_PROBLEM_NONE);
    edge_forget(&r);
    pf_key_free(key);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(acknowledges_an_update_once_and_again_the_same),
        TEST(takes_an_update_in_small_pieces),
        TEST(refuses_an_update_that_is_not_what_was_signed),
        TEST(refuses_numbers_that_are_none),
        TEST(refuses_wrong_lengths_before_the_body),
        TEST(refuses_an_update_nobody_asked_for),
        TEST(gives_everything_back_when_the_connection_is_lost),
        TEST(notes_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
