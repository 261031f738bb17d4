/* Two requests about one upload, and how long what is cut off is kept. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

#include "clock.h"
#include "sender.h"
#include "statement.h"

/* ---- two at once ---- */

/* The older connection is dead, but nobody here knows. */
static void a_head_takes_over_at_once(void **state)
{
    struct edge *e = *state;
    struct edge_request rq;
    struct edge_reply r;
    struct sender s;
    struct conn old;

    sender_ready(&s, e);
    sender_put(&s, &rq);
    assert_int_equal(conn_begin(&old, e, &rq), PF_NEXT_READ);
    conn_feed(&old, 0, 10000);
    assert_int_equal(sender_places(e), 1); /* its place */
    assert_int_equal(sender_look(&s), 10000);
    assert_int_equal(sender_places(e), 0);
    assert_int_equal(old.hung_up, 1);
    conn_feed(&old, 10000, 5000); /* too late */
    assert_int_equal(sender_look(&s), 10000);
    conn_feed(&old, 15000, s.frame.len - 15000);
    assert_int_equal(conn_end(&old), PF_NEXT_REPLY);
    assert_int_equal(old.ex.reply.problem, PF_PROBLEM_BUSY);
    assert_true(old.ex.reply.close);
    conn_close(&old);
    sender_patches(&s, 10000, 201, PF_PROBLEM_NONE, &r);
    edge_forget(&r);
    assert_int_equal(sender_counted(e, PF_COUNT_UPLOADS_LOST), 1);
    sender_done(&s);
}

static void a_patch_takes_over_from_an_upload_that_goes_on(void **state)
{
    struct edge *e = *state;
    struct edge_request old_rq, new_rq;
    struct sender s;
    struct conn old, new;

    sender_ready(&s, e);
    sender_put(&s, &old_rq);
    assert_int_equal(conn_begin(&old, e, &old_rq), PF_NEXT_READ);
    conn_feed(&old, 0, 10000);
    sender_patch(&s, 10000, &new_rq);
    assert_int_equal(conn_begin(&new, e, &new_rq), PF_NEXT_READ);
    assert_int_equal(sender_places(e), 1); /* one of the two */
    conn_feed(&old, 10000, 1000);
    conn_feed(&new, 0, 2000);
    conn_close(&old); /* takes nothing with it */
    conn_feed(&new, 2000, new_rq.len - 2000);
    assert_int_equal(conn_end(&new), PF_NEXT_REPLY);
    assert_int_equal(new.ex.reply.status, 201);
    conn_close(&new);
    sender_done(&s);
}

static void the_newest_put_of_a_device_counts(void **state)
{
    static struct conn c[4];
    static struct edge_request rq[4];
    struct edge *e = *state;
    struct sender s;
    int i;

    sender_ready(&s, e);
    for (i = 0; i < 4; i++) {
        sender_put(&s, &rq[i]);
        assert_int_equal(conn_begin(&c[i], e, &rq[i]), PF_NEXT_READ);
        conn_feed(&c[i], 0, 4096);
        assert_int_equal(sender_places(e), 1);
    }
    conn_feed(&c[3], 4096, s.frame.len - 4096);
    for (i = 0; i < 4; i++) {
        assert_int_equal(conn_end(&c[i]), PF_NEXT_REPLY);
        assert_int_equal(c[i].ex.reply.status, i == 3 ? 201 : 503);
        conn_close(&c[i]);
    }
    sender_done(&s);
}

static void *feed_all(void *conn)
{
    struct conn *c = conn;

    conn_feed(c, 0, c->rq->len);
    return NULL;
}

/* The bytes come in while others take the upload: what is kept is whole. */
static void taking_over_does_not_tear_the_bytes(void **state)
{
    static struct edge_request rq[40];
    struct edge *e = *state;
    struct edge_reply r;
    struct sender s;
    struct conn old;
    pthread_t thread;
    int64_t at = -1;
    int i;

    sender_ready(&s, e);
    atomic_store(&e->daemon.limits.now.device_rate, 0); /* any number */
    for (i = 0; i < 40 || at < 0; i++) {
        sender_put(&s, &rq[i % 40]);
        rq[i % 40].piece = 61;
        assert_int_equal(conn_begin(&old, e, &rq[i % 40]), PF_NEXT_READ);
        assert_int_equal(pthread_create(&thread, NULL, feed_all, &old), 0);
        at = sender_look(&s);
        pthread_join(thread, NULL);
        assert_int_equal(conn_end(&old), PF_NEXT_REPLY);
        assert_int_equal(old.ex.reply.problem, PF_PROBLEM_BUSY);
        conn_close(&old);
        assert_int_equal(sender_look(&s), at); /* no byte came later */
    }
    sender_patches(&s, (size_t)at, 201, PF_PROBLEM_NONE,
                   &r); /* the digest is right */
    edge_forget(&r);
    sender_done(&s);
}

/* ---- how long, how much ---- */

static uint64_t first_free(struct edge *e, uint64_t round, size_t len)
{
    struct pf_coordinator *c = e->daemon.edge.coordinator;
    struct pf_segment *s =
        pf_coordinator_segment(c, pf_coordinator_task(c, "t"), round);
    struct pf_extent x;
    struct pf_error err;

    assert_non_null(s);
    assert_int_equal(pf_segment_reserve(s, len, &x, &err), POCKETFED_OK);
    pf_segment_release(s, &x);
    pf_segment_unref(s);
    return x.offset;
}

static int still_open(void *ctx, struct pf_live_task *task, uint64_t round)
{
    (void)ctx;
    (void)task;
    (void)round;
    return 1;
}

static void what_is_too_old_gives_its_room_back(void **state)
{
    struct edge *e = *state;
    int64_t now = pf_monotonic_s();
    struct sender s;

    sender_ready(&s, e);
    sender_cut(&s, 10000);
    assert_true(first_free(e, s.round, s.frame.len) >= s.frame.len);
    pf_partials_sweep(e->daemon.edge.partials, now + 900, still_open, NULL);
    assert_int_equal(sender_look(&s), 10000);
    pf_partials_sweep(e->daemon.edge.partials, now + 905, still_open, NULL);
    assert_int_equal(sender_counted(e, PF_COUNT_UPLOADS_EXPIRED), 1);
    assert_int_equal(sender_look(&s), -1);
    assert_int_equal(first_free(e, s.round, s.frame.len), 0);
    sender_done(&s);
}

/* It gives its assignment back, so that another gets it. */
static void give_up(struct sender *s)
{
    static const char said[] = "{\"code\":\"other\"}";
    struct edge_reply r;

    edge_device(s->e, s->key, "POST", "/v1/tasks/t/rounds/1/failure", said,
                strlen(said), &r);
    edge_expect(&r, 204, PF_PROBLEM_NONE);
    edge_forget(&r);
}

static void a_closed_round_keeps_nothing_and_refuses_early(void **state)
{
    struct edge *e = *state;
    struct sender cut[2], others[2];
    struct edge_reply r;
    int i;

    for (i = 0; i < 2; i++) {
        sender_ready(&cut[i], e);
        sender_cut(&cut[i], 10000);
        give_up(&cut[i]);
    }
    pf_daemon_tick(&e->daemon); /* the round is open: they stay */
    assert_int_equal(atomic_load(&e->daemon.metrics.kept), 2);
    for (i = 0; i < 2; i++) {
        sender_ready(&others[i], e);
        edge_put(e, others[i].key, others[i].round, &others[i].frame, &r);
        edge_expect(&r, 201, PF_PROBLEM_NONE);
        edge_forget(&r);
    }
    sender_patches(&cut[0], 10000, 410, PF_PROBLEM_ROUND_CLOSED, &r);
    assert_true(r.at_headers);
    edge_forget(&r);
    assert_int_equal(sender_look(&cut[0]), -1);
    pf_daemon_tick(&e->daemon);
    assert_int_equal(atomic_load(&e->daemon.metrics.kept), 0);
    assert_int_equal(sender_look(&cut[1]), -1);
    sender_patches(&cut[1], 10000, 410, PF_PROBLEM_ROUND_CLOSED, &r);
    edge_forget(&r); /* not: nothing is kept */
    for (i = 0; i < 2; i++) {
        sender_done(&others[i]);
        sender_done(&cut[i]);
    }
}

/* A task of buffers of one update each. */
static int async_set_up(void **state)
{
    struct edge_reply r;

    edge_fresh(state, 0, 0, 0);
    edge_admin(*state, "POST", "/admin/v1/tasks",
               "{\"name\":\"t\",\"model\":\"logreg\",\"round\":{\"policy\":"
               "\"async\",\"select\":{\"max\":2},\"collect\":{\"max\":1}}}",
               &r);
    assert_int_equal(r.status, 201);
    edge_forget(&r);
    return 0;
}

static void what_was_kept_in_a_full_buffer_goes_to_the_next(void **state)
{
    struct edge *e = *state;
    struct sender cut, other;
    struct edge_reply r;

    sender_ready(&cut, e);
    sender_ready(&other, e);
    sender_cut(&cut, 10000);
    edge_put(e, other.key, other.round, &other.frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE); /* the buffer is full */
    edge_forget(&r);
    pf_daemon_tick(&e->daemon);
    assert_int_equal(sender_look(&cut), 10000);
    sender_patches(&cut, 10000, 201, PF_PROBLEM_NONE, &r);
    edge_says(e, &r, PF_SAY_ACK);
    edge_forget(&r);
    sender_done(&cut);
    sender_done(&other);
}

/* Bytes of device `i`, let go of at second `i`. */
static int keep(struct pf_partials *t, struct edge *e, uint8_t i, size_t len)
{
    struct pf_coordinator *c = e->daemon.edge.coordinator;
    struct pf_partial_key key = {pf_coordinator_task(c, "t"), 1, {i}};
    struct pf_holder me = {0};
    struct pf_kept kept;
    struct pf_error err;

    assert_int_equal(pf_partials_take(t, &key, &me, &kept), POCKETFED_OK);
    assert_null(kept.segment);
    kept.segment = pf_coordinator_segment(c, key.task, 1);
    kept.hash = pf_hash_new();
    kept.received = 1;
    kept.segment_round = 1;
    assert_non_null(kept.segment);
    assert_int_equal(pf_segment_reserve(kept.segment, len, &kept.extent, &err),
                     POCKETFED_OK);
    return pf_partials_leave(t, &me, &kept, i);
}

static int is_kept(struct pf_partials *t, struct edge *e, uint8_t i)
{
    struct pf_partial_key key = {
        pf_coordinator_task(e->daemon.edge.coordinator, "t"), 1, {i}};
    struct pf_standing at;

    return pf_partials_look(t, &key, i, &at);
}

static int is_of_round_2(void *ctx, struct pf_live_task *task, uint64_t round)
{
    (void)ctx;
    (void)task;
    return round == 2;
}

static void the_oldest_make_way_when_there_is_no_room(void **state)
{
    struct edge *e = *state;
    struct pf_metrics metrics;
    struct pf_partials *t;

    memset(&metrics, 0, sizeof metrics);
    assert_int_equal(pf_partials_create(10000, 60, &metrics, &t), POCKETFED_OK);
    assert_true(keep(t, e, 1, 4000));
    assert_true(keep(t, e, 2, 4000));
    assert_int_equal(atomic_load(&metrics.kept_bytes), 8000);
    assert_true(keep(t, e, 3, 4000));
    assert_false(is_kept(t, e, 1));
    assert_true(is_kept(t, e, 2));
    assert_false(keep(t, e, 4, 10001)); /* never fits, and drives nobody out */
    assert_true(is_kept(t, e, 2));
    assert_true(is_kept(t, e, 3));
    assert_true(keep(t, e, 5, 10000));
    assert_int_equal(atomic_load(&metrics.kept), 1);
    assert_int_equal(atomic_load(&metrics.kept_bytes), 10000);
    pf_partials_sweep(t, 5, is_of_round_2, NULL);
    assert_int_equal(atomic_load(&metrics.kept), 0);
    assert_int_equal(atomic_load(&metrics.counter[PF_COUNT_UPLOADS_EXPIRED]),
                     4);
    pf_partials_free(t);
    assert_int_equal(pf_partials_create(0, 60, &metrics, &t), POCKETFED_OK);
    assert_false(keep(t, e, 1, 4000)); /* none are wanted */
    pf_partials_free(t);
    assert_int_equal(first_free(e, 1, 4000), 0); /* all of it is free again */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_head_takes_over_at_once),
        TEST(a_patch_takes_over_from_an_upload_that_goes_on),
        TEST(the_newest_put_of_a_device_counts),
        TEST(taking_over_does_not_tear_the_bytes),
        TEST(what_is_too_old_gives_its_room_back),
        TEST(a_closed_round_keeps_nothing_and_refuses_early),
        cmocka_unit_test_setup_teardown(
            what_was_kept_in_a_full_buffer_goes_to_the_next, async_set_up,
            edge_tear_down),
        TEST(the_oldest_make_way_when_there_is_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
