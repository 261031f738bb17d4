#include "coordinator_int.h"

#include <string.h>

/* The coordinator's calls for other threads. */

struct pf_live_task *pf_coordinator_task(struct pf_coordinator *c,
                                         const char *name)
{
    struct pf_live_task *t;

    pthread_mutex_lock(&c->lock);
    for (t = c->tasks; t; t = t->next)
        if (strcmp(t->stored.name, name) == 0)
            break;
    pthread_mutex_unlock(&c->lock);
    return t;
}

struct pf_live_task *pf_coordinator_next_task(struct pf_coordinator *c,
                                              struct pf_live_task *after)
{
    struct pf_live_task *t;

    pthread_mutex_lock(&c->lock);
    t = after ? after->next : c->tasks;
    pthread_mutex_unlock(&c->lock);
    return t;
}

enum pocketfed_status pf_coordinator_reserve(struct pf_coordinator *c)
{
    return pf_queue_reserve(c->inbox) ? POCKETFED_OK : POCKETFED_BUSY;
}

void pf_coordinator_unreserve(struct pf_coordinator *c)
{
    pf_queue_unreserve(c->inbox);
}

enum pocketfed_status pf_coordinator_submit(struct pf_coordinator *c,
                                            struct pf_live_task *t,
                                            const struct pf_event *ev,
                                            struct pf_waiter *waiter,
                                            int reserved)
{
    struct pf_item it = {0};

    it.task = t;
    it.event = *ev;
    it.event.reply_to = (uint64_t)(uintptr_t)waiter;
    if (reserved) {
        pf_queue_push_reserved(c->inbox, &it);
        return POCKETFED_OK;
    }
    return pf_queue_push(c->inbox, &it) ? POCKETFED_OK : POCKETFED_BUSY;
}

enum pocketfed_status pf_coordinator_run(struct pf_coordinator *c,
                                         struct pf_job *job)
{
    struct pf_item it = {0};

    it.task = job->task;
    it.job = job;
    memset(&job->problem, 0, sizeof job->problem);
    return pf_queue_push(c->inbox, &it) ? POCKETFED_OK : POCKETFED_BUSY;
}

void pf_coordinator_deliver(void *coordinator, struct pf_live_task *t,
                            const struct pf_event *ev)
{
    struct pf_coordinator *c = coordinator;
    struct pf_error err = {0};
    struct pf_item it = {0};

    it.task = t;
    it.event = *ev;
    it.event.reply_to = 0;
    if (pf_queue_push_extra(c->inbox, &it) || atomic_load(&c->stopping))
        return; /* stopping: the next start does this work again */
    pf_fail(&err, POCKETFED_NO_MEMORY, "no memory for the result of a round");
    c->config.fatal(c->config.ctx, &err);
}

struct pf_segment *pf_coordinator_segment(struct pf_coordinator *c,
                                          struct pf_live_task *t,
                                          uint64_t round)
{
    struct pf_segment *segment = NULL;
    struct pf_open_round *o;

    pthread_mutex_lock(&c->lock);
    o = pf_open_find(c, t, round);
    if (o && o->accepting && o->segment)
        segment = pf_segment_ref(o->segment);
    pthread_mutex_unlock(&c->lock);
    return segment;
}

void pf_live_expected(const struct pf_live_task *t, uint64_t round,
                      const uint8_t base[32], struct pf_expected *out)
{
    out->plan = &t->plan;
    memcpy(out->plan_digest, t->stored.plan, sizeof out->plan_digest);
    memcpy(out->base, base, sizeof out->base);
    memcpy(out->layout, t->layout, sizeof out->layout);
    out->round = round;
    out->n_params = pf_model_n_params(t->model);
}

void pf_coordinator_pace(struct pf_coordinator *c, struct pf_live_task *t,
                         struct pf_pace *out)
{
    struct pf_live_task *one = t ? t : pf_coordinator_next_task(c, NULL);

    out->population = out->per_s = 0;
    for (; one; one = t ? NULL : pf_coordinator_next_task(c, one)) {
        out->population += atomic_load(&one->devices);
        out->per_s += one->task.round.checkins_per_s;
    }
    out->load = pf_queue_fill(c->inbox);
}

void pf_coordinator_stats(struct pf_coordinator *c,
                          struct pf_coordinator_stats *out)
{
    int64_t since = atomic_load(&c->busy_since);

    memset(out, 0, sizeof *out);
    out->batches = atomic_load(&c->batches);
    out->records = atomic_load(&c->records);
    out->syncs = atomic_load(&c->syncs);
    out->events = atomic_load(&c->events);
    out->queue_depth = pf_queue_depth(c->inbox);
    if (since > 0)
        out->loop_age_ms = (uint64_t)(pf_monotonic_ms() - since);
    out->accepted = atomic_load(&c->accepted);
    out->acked = atomic_load(&c->acked);
    out->rounds_published = atomic_load(&c->published);
    out->rounds_abandoned = atomic_load(&c->abandoned);
    out->sync_seconds = (double)atomic_load(&c->sync_ns) * 1e-9;
    out->commit_seconds = (double)atomic_load(&c->commit_ns) * 1e-9;
}
