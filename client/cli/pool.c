#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE    64    /* bytes that two cores cannot write at once */
#define SPIN_NS 50000 /* longer than a wait inside a step, usually */

/* What is left of one thread's share: the job's number above, tasks below, in
 * one word, so that who comes late to a job cannot take from the next one. */
struct share {
    _Alignas(LINE) _Atomic uint64_t left;
};

struct pool {
    struct share share[POOL_MAX];
    _Alignas(LINE) _Atomic uint32_t job;     /* its number: workers watch it */
    _Alignas(LINE) _Atomic uint32_t pending; /* its tasks that have not ended */
    _Alignas(LINE) _Atomic unsigned asleep;
    _Atomic int caller_sleeps, stop;
    /* Of the present job; written while there is none. */
    unsigned n_tasks;
    void (*task)(void *arg, unsigned i, unsigned worker);
    void *arg;

    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct pf_parallel parallel;
    unsigned started; /* threads besides the caller */
    struct worker {
        struct pool *pool;
        unsigned index;
        pthread_t thread;
    } worker[POOL_MAX];
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Where worker w's share of n tasks begins; it ends where the next begins. */
static unsigned share_begin(unsigned n, unsigned w, unsigned workers)
{
    return (unsigned)((uint64_t)n * w / workers);
}

/* Takes a task of the share of `whose`. 0 when nothing is left of it. */
static int take(struct pool *p, uint32_t job, unsigned whose, unsigned *i)
{
    _Atomic uint64_t *left = &p->share[whose].left;
    uint64_t v = atomic_load_explicit(left, memory_order_acquire);

    while ((uint32_t)(v >> 32) == job && (uint32_t)v > 0)
        if (atomic_compare_exchange_weak_explicit(
                left, &v, v - 1, memory_order_acquire, memory_order_acquire)) {
            /* The job cannot end before this task, so its members stand. */
            *i =
                share_begin(p->n_tasks, whose + 1, p->parallel.n) - (uint32_t)v;
            return 1;
        }
    return 0;
}

static void task_ended(struct pool *p)
{
    if (atomic_fetch_sub(&p->pending, 1) > 1)
        return;
    if (atomic_load(&p->caller_sleeps)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

/* Its own share, then what the others have left. */
static void work_on(struct pool *p, uint32_t job, unsigned me)
{
    unsigned workers = p->parallel.n, i;

    for (unsigned k = 0; k < workers; k++)
        while (take(p, job, (me + k) % workers, &i)) {
            p->task(p->arg, i, me);
            task_ended(p);
        }
}

/* The number of the next job after `seen`; spins, then sleeps. */
static uint32_t next_job(struct pool *p, uint32_t seen)
{
    int64_t until = now_ns() + SPIN_NS;
    uint32_t job;

    do {
        for (int k = 0; k < 64; k++) {
            job = atomic_load_explicit(&p->job, memory_order_acquire);
            if (job != seen)
                return job;
            relax();
        }
    } while (now_ns() < until);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1);
    while ((job = atomic_load(&p->job)) == seen)
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint32_t job = 0;

    for (;;) {
        job = next_job(p, job);
        if (atomic_load(&p->stop))
            return NULL;
        work_on(p, job, w->index);
    }
}

/* A new job number for all to see. */
static void announce(struct pool *p, uint32_t job)
{
    atomic_store(&p->job, job);
    if (atomic_load(&p->asleep) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->work);
        pthread_mutex_unlock(&p->lock);
    }
}

static void await_end(struct pool *p)
{
    int64_t until = now_ns() + SPIN_NS;

    do {
        for (int k = 0; k < 64; k++) {
            if (atomic_load_explicit(&p->pending, memory_order_acquire) == 0)
                return;
            relax();
        }
    } while (now_ns() < until);
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, 1);
    while (atomic_load(&p->pending) > 0)
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, 0);
    pthread_mutex_unlock(&p->lock);
}

static void run(void *ctx, unsigned n_tasks,
                void (*task)(void *arg, unsigned i, unsigned worker), void *arg)
{
    struct pool *p = ctx;
    unsigned workers = p->parallel.n;
    uint32_t job = atomic_load(&p->job) + 1;

    if (n_tasks <= 1 || workers == 1) {
        for (unsigned i = 0; i < n_tasks; i++)
            task(arg, i, 0);
        return;
    }
    p->n_tasks = n_tasks;
    p->task = task;
    p->arg = arg;
    atomic_store(&p->pending, n_tasks);
    for (unsigned w = 0; w < workers; w++)
        atomic_store_explicit(&p->share[w].left,
                              (uint64_t)job << 32 |
                                  (share_begin(n_tasks, w + 1, workers) -
                                   share_begin(n_tasks, w, workers)),
                              memory_order_release);
    announce(p, job);
    work_on(p, job, 0);
    await_end(p);
}

struct pool *pool_open(unsigned threads)
{
    struct pool *p = aligned_alloc(LINE, sizeof *p);

    if (!p)
        return NULL;
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    /* The count is read by threads only after the first job's number. */
    while (p->started + 1 < threads && p->started + 1 < POOL_MAX) {
        struct worker *w = &p->worker[p->started];

        w->pool = p;
        w->index = p->started + 1;
        if (pthread_create(&w->thread, NULL, worker_main, w))
            break;
        p->started++;
    }
    p->parallel = (struct pf_parallel){p, p->started + 1, run};
    return p;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, 1);
    announce(p, atomic_load(&p->job) + 1);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const struct pf_parallel *pool_parallel(const struct pool *p)
{
    return &p->parallel;
}
