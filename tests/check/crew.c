#include "crew.h"

#include <pthread.h>
#include <stdlib.h>

struct member {
    struct crew *c;
    unsigned worker;
};

static void *work(void *arg)
{
    struct member *m = arg;
    unsigned i;

    while ((i = atomic_fetch_add(&m->c->next, 1)) < m->c->n_tasks)
        m->c->task(m->c->arg, i, m->worker);
    return NULL;
}

static void run(void *ctx, unsigned n_tasks,
                void (*task)(void *arg, unsigned i, unsigned worker), void *arg)
{
    struct crew *c = ctx;
    struct member m[8];
    pthread_t thread[8];

    c->n_tasks = n_tasks;
    c->next = 0;
    c->task = task;
    c->arg = arg;
    c->runs++;
    for (unsigned i = 0; i < c->workers; i++)
        m[i] = (struct member){c, i};
    for (unsigned i = 1; i < c->workers; i++)
        if (pthread_create(&thread[i], NULL, work, &m[i]) != 0)
            abort();
    work(&m[0]);
    for (unsigned i = 1; i < c->workers; i++)
        pthread_join(thread[i], NULL);
}

struct pf_parallel crew_lend(struct crew *c)
{
    return (struct pf_parallel){c, c->workers, run};
}
