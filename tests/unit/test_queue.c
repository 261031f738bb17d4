#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "queue.h"

static struct pf_queue *make(size_t capacity)
{
    struct pf_queue *q = NULL;

    assert_int_equal(pf_queue_create(sizeof(int), capacity, &q), POCKETFED_OK);
    return q;
}

static int push(struct pf_queue *q, int i)
{
    return pf_queue_push(q, &i);
}

/* Takes all that is there and checks that it is first, first + 1, ... */
static void expect_run(struct pf_queue *q, int first, size_t n)
{
    int got[64], ended;
    size_t i;

    assert_int_equal(pf_queue_take(q, got, 64, 0, &ended), n);
    for (i = 0; i < n; i++)
        assert_int_equal(got[i], first + (int)i);
}

static void gives_items_in_order_and_refuses_when_full(void **state)
{
    struct pf_queue *q = make(3);
    int i;

    (void)state;
    for (i = 0; i < 3; i++)
        assert_true(push(q, i));
    assert_false(push(q, 9));
    assert_int_equal(pf_queue_depth(q), 3);
    expect_run(q, 0, 3);
    assert_true(push(q, 3));
    expect_run(q, 3, 1);
    expect_run(q, 0, 0);
    pf_queue_free(q);
}

static void a_reserved_place_is_kept(void **state)
{
    struct pf_queue *q = make(2);
    int i = 5;

    (void)state;
    assert_true(pf_queue_reserve(q));
    assert_true(push(q, 4));
    assert_false(push(q, 9));
    assert_false(pf_queue_reserve(q));
    pf_queue_push_reserved(q, &i);
    expect_run(q, 4, 2);
    assert_true(pf_queue_reserve(q));
    assert_true(pf_queue_reserve(q));
    assert_false(push(q, 9));
    pf_queue_unreserve(q);
    assert_true(push(q, 1));
    pf_queue_free(q);
}

static void what_the_program_owes_goes_in_beyond_the_capacity(void **state)
{
    struct pf_queue *q = make(4);
    int i;

    (void)state;
    assert_true(push(q, -2) && push(q, -1));
    expect_run(q, -2, 2); /* the ring is turned */
    assert_true(pf_queue_reserve(q));
    for (i = 0; i < 3; i++)
        assert_true(push(q, i));
    for (; i < 20; i++)
        assert_true(pf_queue_push_extra(q, &i));
    assert_false(push(q, 9));
    pf_queue_push_reserved(q, &i);
    expect_run(q, 0, 21);
    pf_queue_free(q);
}

static void ends_when_closed_empty_and_without_reservation(void **state)
{
    struct pf_queue *q = make(4);
    int got, ended, i = 2;

    (void)state;
    push(q, 1);
    pf_queue_reserve(q);
    pf_queue_close(q);
    assert_false(push(q, 9));
    assert_false(pf_queue_reserve(q));
    assert_false(pf_queue_push_extra(q, &i));
    assert_int_equal(pf_queue_take(q, &got, 1, -1, &ended), 1);
    assert_false(ended);
    assert_int_equal(pf_queue_take(q, &got, 1, 1, &ended), 0);
    assert_false(ended); /* one is still owed */
    pf_queue_push_reserved(q, &i);
    assert_int_equal(pf_queue_take(q, &got, 1, -1, &ended), 1);
    assert_int_equal(got, 2);
    assert_int_equal(pf_queue_take(q, &got, 1, -1, &ended), 0);
    assert_true(ended);
    pf_queue_free(q);
}

static void *produce(void *arg)
{
    struct pf_queue *q = arg;
    int i;

    for (i = 0; i < 1000; i++)
        pf_queue_push_wait(q, &i);
    pf_queue_close(q);
    return NULL;
}

static void a_producer_waits_for_room(void **state)
{
    struct pf_queue *q = make(2);
    int got, ended = 0, n = 0;
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, produce, q), 0);
    while (pf_queue_take(q, &got, 1, -1, &ended) == 1)
        assert_int_equal(got, n++);
    assert_true(ended);
    assert_int_equal(n, 1000);
    pthread_join(t, NULL);
    pf_queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_items_in_order_and_refuses_when_full),
        cmocka_unit_test(a_reserved_place_is_kept),
        cmocka_unit_test(what_the_program_owes_goes_in_beyond_the_capacity),
        cmocka_unit_test(ends_when_closed_empty_and_without_reservation),
        cmocka_unit_test(a_producer_waits_for_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
