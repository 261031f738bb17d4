/* Connections that end between the coordinator's answer and its reading: what
 * the coordinator keeps by then is not theirs to give back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

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

/* The whole request; when its end has been answered, the connection is gone
 * and the answer unread. */
static void leave(const struct edge_request *rq)
{
    struct carrier c = {.rq = rq};
    struct pf_exchange ex;
    enum pf_next next;

    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.woken, NULL);
    snprintf(c.length, sizeof c.length, "%zu", rq->len);
    pf_exchange_init(&ex, &e.daemon.edge);
    ex.listener = rq->listener;
    ex.method = rq->method;
    ex.path = rq->path;
    ex.query = "?";
    ex.header = header;
    ex.n_content_length = 1;
    ex.peer_ok = 1;
    ex.wake = wake;
    ex.adapter = &c;
    next = pf_exchange_begin(&ex);
    if (next == PF_NEXT_WAIT) {
        wait_for_answer(&c);
        next = pf_exchange_continue(&ex);
    }
    assert_int_equal(next, PF_NEXT_READ);
    pf_exchange_data(&ex, rq->body, rq->len);
    assert_int_equal(pf_exchange_end(&ex), PF_NEXT_WAIT);
    wait_for_answer(&c);
    pf_exchange_free(&ex);
    pthread_mutex_destroy(&c.lock);
    pthread_cond_destroy(&c.woken);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_outlives_the_connection_that_made_it),
        TEST(acknowledged_bytes_outlive_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
