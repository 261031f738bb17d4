/* Connections that end between the coordinator's answer and its reading: what
 * the coordinator keeps by then is not theirs to give back. And how many there
 * may be, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "clock.h"
#include "conn.h"

static struct edge e;

static int set_up(void **state)
{
    (void)state;
    edge_start(&e);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    edge_stop(&e);
    return 0;
}

/* The whole request; when its end has been answered, the connection is gone
 * and the answer unread. */
static void leave(const struct edge_request *rq)
{
    struct conn c;

    assert_int_equal(conn_begin(&c, &e, rq), PF_NEXT_READ);
    conn_feed(&c, 0, rq->len);
    assert_int_equal(pf_exchange_end(&c.ex), PF_NEXT_WAIT);
    conn_wait(&c);
    conn_close(&c);
}

static void a_task_outlives_the_connection_that_made_it(void **state)
{
    static const char file[] =
        "{\"name\":\"t\",\"model\":\"logreg\",\"round\":{\"select\":"
        "{\"min\":2,\"max\":2},\"collect\":{\"min\":2,\"max\":2}}}";
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "POST",
                              .path = "/admin/v1/tasks",
                              .body = file,
                              .len = sizeof file - 1};
    struct edge_reply r;

    (void)state;
    leave(&rq);
    edge_admin(&e, "GET", "/admin/v1/tasks/t", NULL, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_forget(&r);
    leave(&rq); /* refused as taken: this one is freed */
    edge_admin(&e, "GET", "/admin/v1/tasks", NULL, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_forget(&r);
}

static void acknowledged_bytes_outlive_the_connection(void **state)
{
    struct edge_request rq = {.method = "PUT"};
    struct pf_extent next;
    struct pf_segment *segment;
    struct pf_error err = {0};
    struct edge_reply r;
    struct pf_buf frame;
    struct pf_key *key;
    char path[100];
    uint64_t round;

    (void)state;
    edge_task(&e, 2);
    key = edge_join(&e);
    edge_update(&e, key, &round, &frame);
    snprintf(path, sizeof path, "/v1/tasks/t/rounds/%d/update", (int)round);
    rq.path = path;
    rq.body = frame.data;
    rq.len = frame.len;
    edge_sign(&e, &rq, key, 0);
    leave(&rq);
    edge_put(&e, key, round, &frame, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE); /* acknowledged before */
    edge_forget(&r);
    segment = pf_coordinator_segment(
        e.daemon.edge.coordinator,
        pf_coordinator_task(e.daemon.edge.coordinator, "t"), round);
    assert_non_null(segment);
    assert_int_equal(pf_segment_reserve(segment, frame.len, &next, &err),
                     POCKETFED_OK);
    assert_true(next.offset >= frame.len); /* behind what is acknowledged */
    pf_segment_unref(segment);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void the_queue_holds_two_places_for_each_connection(void **state)
{
    struct pf_config config = e.daemon.config;
    struct pf_error err = {0};
    unsigned i, n;

    (void)state;
    pf_daemon_stop(&e.daemon);
    config.queue = 16;
    config.max_connections = 100;
    assert_int_equal(pf_daemon_start(&e.daemon, &config, &err), POCKETFED_OK);
    for (n = 0; n < 1000; n++)
        if (pf_coordinator_reserve(e.daemon.edge.coordinator) != POCKETFED_OK)
            break;
    assert_int_equal(n, 200);
    for (i = 0; i < n; i++)
        pf_coordinator_unreserve(e.daemon.edge.coordinator);
}

static int64_t next_year(void)
{
    return pf_wall_ms() + 366LL * 86400000;
}

static void draining_ends_by_the_monotonic_clock(void **state)
{
    (void)state;
    e.daemon.config.drain_s = 3600;
    atomic_fetch_add(&e.daemon.edge.active, 1); /* somebody uploads */
    pf_daemon_drain(&e.daemon);
    e.daemon.edge.now_ms = next_year; /* the wall clock is set */
    assert_false(pf_daemon_drained(&e.daemon));
    e.daemon.drain_until_ms -= 3600000;
    assert_true(pf_daemon_drained(&e.daemon));
    e.daemon.drain_until_ms += 3600000;
    atomic_fetch_sub(&e.daemon.edge.active, 1);
    assert_true(pf_daemon_drained(&e.daemon));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_outlives_the_connection_that_made_it),
        TEST(acknowledged_bytes_outlive_the_connection),
        TEST(the_queue_holds_two_places_for_each_connection),
        TEST(draining_ends_by_the_monotonic_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
