/* Connections that end between the coordinator's answer and its reading: what
 * the coordinator keeps by then is not theirs to give back. And how many there
 * may be, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

#include "clock.h"
#include "edge.h"

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

struct carrier {
    const struct edge_request *rq;
    char length[24];
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int awake;
};

static const char *header(const struct pf_exchange *ex, const char *name)
{
    const struct carrier *c = ex->adapter;
    unsigned i;

    if (strcasecmp(name, "Content-Length") == 0)
        return c->length;
    for (i = 0; i < c->rq->n_headers; i++)
        if (strcasecmp(name, c->rq->header[i].name) == 0)
            return c->rq->header[i].value;
    return NULL;
}

static void wake(struct pf_exchange *ex)
{
    struct carrier *c = ex->adapter;

    pthread_mutex_lock(&c->lock);
    c->awake = 1;
    pthread_cond_signal(&c->woken);
    pthread_mutex_unlock(&c->lock);
}

static void wait_for_answer(struct carrier *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->awake)
        pthread_cond_wait(&c->woken, &c->lock);
    c->awake = 0;
    pthread_mutex_unlock(&c->lock);
}

/* A connection whose headers are in. */
struct open {
    struct carrier c;
    struct pf_exchange ex;
};

static enum pf_next begin(struct open *o, const struct edge_request *rq)
{
    struct pf_exchange *ex = &o->ex;
    enum pf_next next;

    memset(&o->c, 0, sizeof o->c);
    o->c.rq = rq;
    pthread_mutex_init(&o->c.lock, NULL);
    pthread_cond_init(&o->c.woken, NULL);
    snprintf(o->c.length, sizeof o->c.length, "%zu", rq->len);
    pf_exchange_init(ex, &e.daemon.edge);
    ex->listener = rq->listener;
    ex->method = rq->method;
    ex->path = rq->path;
    ex->query = "?";
    ex->header = header;
    ex->n_content_length = 1;
    ex->peer_ok = 1;
    ex->wake = wake;
    ex->adapter = &o->c;
    next = pf_exchange_begin(ex);
    if (next == PF_NEXT_WAIT) {
        wait_for_answer(&o->c);
        next = pf_exchange_continue(ex);
    }
    return next;
}

static void end(struct open *o)
{
    pf_exchange_free(&o->ex);
    pthread_mutex_destroy(&o->c.lock);
    pthread_cond_destroy(&o->c.woken);
}

/* The whole request; when its end has been answered, the connection is gone
 * and the answer unread. */
static void leave(const struct edge_request *rq)
{
    struct open o;

    assert_int_equal(begin(&o, rq), PF_NEXT_READ);
    pf_exchange_data(&o.ex, rq->body, rq->len);
    assert_int_equal(pf_exchange_end(&o.ex), PF_NEXT_WAIT);
    wait_for_answer(&o.c);
    end(&o);
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

/* Begins an upload of that device; its headers may be refused. */
static enum pf_next begin_upload(struct open *o, struct edge_request *rq,
                                 const struct pf_key *key, const char *path,
                                 const struct pf_buf *frame)
{
    *rq = (struct edge_request){
        .method = "PUT", .path = path, .body = frame->data, .len = frame->len};
    edge_sign(&e, rq, key, 0);
    return begin(o, rq);
}

static void a_device_has_two_uploads_under_way_at_most(void **state)
{
    static struct edge_request rq[4];
    static struct open o[4];
    struct pf_key *key[2];
    struct pf_buf frame[2];
    char path[100];
    uint64_t round;
    int i;

    (void)state;
    edge_task(&e, 2);
    for (i = 0; i < 2; i++) {
        key[i] = edge_join(&e);
        edge_update(&e, key[i], &round, &frame[i]);
    }
    snprintf(path, sizeof path, "/v1/tasks/t/rounds/%d/update", (int)round);
    for (i = 0; i < 3; i++)
        assert_int_equal(begin_upload(&o[i], &rq[i], key[0], path, &frame[0]),
                         i < 2 ? PF_NEXT_READ : PF_NEXT_REPLY);
    assert_int_equal(o[2].ex.reply.problem, PF_PROBLEM_BUSY);
    end(&o[2]);
    assert_int_equal(begin_upload(&o[3], &rq[3], key[1], path, &frame[1]),
                     PF_NEXT_READ); /* another's */
    end(&o[3]);
    end(&o[0]); /* one is lost: there is a place again */
    assert_int_equal(begin_upload(&o[2], &rq[2], key[0], path, &frame[0]),
                     PF_NEXT_READ);
    end(&o[2]);
    end(&o[1]);
    for (i = 0; i < 2; i++) {
        pf_buf_free(&frame[i]);
        pf_key_free(key[i]);
    }
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
        TEST(a_device_has_two_uploads_under_way_at_most),
        TEST(the_queue_holds_two_places_for_each_connection),
        TEST(draining_ends_by_the_monotonic_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
