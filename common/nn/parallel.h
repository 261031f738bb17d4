/* parallel.h - threads that somebody else owns.
 *
 * Nothing in common/ starts a thread.  Who has some lends them as this hook;
 * without it everything runs in the calling thread.  Results have the same
 * bits for any number of threads: work is cut where no sum crosses the cut, or
 * into pieces whose number does not depend on the threads.
 */
#ifndef PF_PARALLEL_H
#define PF_PARALLEL_H

#include <stddef.h>
#include "denormal.h"

struct pf_parallel {
    void *ctx;
    unsigned n; /* workers, the calling thread included */
    /* Calls task(arg, i, worker) once for every i < n_tasks and returns when
     * all have ended; worker < n is another one for each that runs at the same
     * time. What tasks wrote is visible to the caller afterwards. */
    void (*run)(void *ctx, unsigned n_tasks,
                void (*task)(void *arg, unsigned i, unsigned worker),
                void *arg);
};

static inline unsigned pf_parallel_workers(const struct pf_parallel *p)
{
    return p && p->n > 1 ? p->n : 1;
}

struct pf_parallel_task {
    void (*task)(void *arg, unsigned i, unsigned worker);
    void *arg;
};

/* A task in the floating-point mode of a training, on whatever thread. */
static inline void pf_parallel_one(void *arg, unsigned i, unsigned worker)
{
    const struct pf_parallel_task *t = arg;
    uint64_t mode = pf_denormals_flush();

    t->task(t->arg, i, worker);
    pf_denormals_restore(mode);
}

static inline void
pf_parallel_run(const struct pf_parallel *p, unsigned n_tasks,
                void (*task)(void *arg, unsigned i, unsigned worker), void *arg)
{
    struct pf_parallel_task t = {task, arg};

    if (n_tasks > 1 && pf_parallel_workers(p) > 1)
        p->run(p->ctx, n_tasks, pf_parallel_one, &t);
    else
        for (unsigned i = 0; i < n_tasks; i++)
            pf_parallel_one(&t, i, 0);
}

/* Into how many tasks to cut `count` pieces: one for one worker, else enough
 * that none waits long for the slowest. */
static inline unsigned pf_parallel_tasks(const struct pf_parallel *p,
                                         size_t count)
{
    size_t most = pf_parallel_workers(p) == 1 ? 1 : 2 * (size_t)p->n;

    return (unsigned)(count < most ? count : most);
}

#endif
