#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "pool.h"

/* The threads that the CLI lends to the library. */

#define MOST 200

struct job {
    unsigned n_workers;
    atomic_uint ran[MOST];
    atomic_int busy[POOL_MAX]; /* a worker's scratch is used by one task */
    atomic_uint wrong;
};

static void task(void *arg, unsigned i, unsigned worker)
{
    struct job *j = arg;

    if (i >= MOST || worker >= j->n_workers ||
        atomic_fetch_add(&j->busy[worker], 1) != 0) {
        atomic_fetch_add(&j->wrong, 1);
        return;
    }
    atomic_fetch_add(&j->ran[i], 1);
    atomic_fetch_sub(&j->busy[worker], 1);
}

static void each_task_runs_once_whatever_the_threads(void **state)
{
    static const unsigned threads[] = {1, 2, 3, 5, 8};

    (void)state;
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        struct pool *p = pool_open(threads[t]);
        const struct pf_parallel *way;
        static struct job j;

        assert_non_null(p);
        way = pool_parallel(p);
        assert_in_range(way->n, 1, threads[t]);
        for (unsigned n = 0; n <= MOST; n += 1 + n / 10)
            for (unsigned again = 0; again < 20; again++) {
                memset(&j, 0, sizeof j);
                j.n_workers = way->n;
                way->run(way->ctx, n, task, &j);
                assert_int_equal(j.wrong, 0);
                for (unsigned i = 0; i < MOST; i++)
                    assert_int_equal(j.ran[i], i < n);
            }
        pool_close(p);
    }
}

/* Plain memory that the caller writes before and reads after. */
static void add_one(void *arg, unsigned i, unsigned worker)
{
    unsigned *v = arg;

    (void)worker;
    v[i]++;
}

static void
what_tasks_write_is_seen_by_the_caller_and_the_next_job(void **state)
{
    struct pool *p = pool_open(4);
    const struct pf_parallel *way = pool_parallel(p);
    unsigned v[37] = {0};

    (void)state;
    for (unsigned round = 1; round <= 3000; round++) {
        way->run(way->ctx, 37, add_one, v);
        for (unsigned i = 0; i < 37; i++)
            assert_int_equal(v[i], round);
    }
    pool_close(p);
}

static void nap(long ms)
{
    struct timespec t = {0, ms * 1000000};

    nanosleep(&t, NULL);
}

static void slow(void *arg, unsigned i, unsigned worker)
{
    (void)worker;
    if (i == 1)
        nap(5); /* so long that the caller sleeps as well */
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void threads_that_fell_asleep_wake_up(void **state)
{
    struct pool *p = pool_open(3);
    const struct pf_parallel *way = pool_parallel(p);
    atomic_uint ran = 0;

    (void)state;
    for (unsigned round = 1; round <= 20; round++) {
        nap(2);
        way->run(way->ctx, 4, slow, &ran);
        assert_int_equal(ran, 4 * round);
    }
    pool_close(p);
    pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_runs_once_whatever_the_threads),
        cmocka_unit_test(
            what_tasks_write_is_seen_by_the_caller_and_the_next_job),
        cmocka_unit_test(threads_that_fell_asleep_wake_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
