#include "coordinator_int.h"

#include "seal.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

int64_t pf_coordinator_now(const struct pf_coordinator *c)
{
    return c->clock_base + (pf_monotonic_ms() - c->clock_start);
}

/* ---- the batch: sync and commit ---------------------------------------- */

static enum pocketfed_status sync_segments(struct pf_coordinator *c,
                                           struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    const struct pf_task_step *s;
    struct pf_open_round *o;
    int64_t begin = pf_monotonic_ns();
    unsigned r, dirty = 0;
    size_t i;

    for (i = 0; i < c->n_steps; i++) {
        s = &c->steps[i];
        for (r = 0; r < s->step.n_records; r++) {
            if (s->step.record[r].kind != PF_REC_ACCEPTED)
                continue;
            o = pf_open_find(c, s->task, s->step.record[r].round);
            if (!o)
                return pf_fail(err, POCKETFED_INTERNAL,
                               "an update was accepted in a round that is "
                               "not open");
            o->dirty = 1;
            dirty = 1;
        }
    }
    for (o = c->open; dirty && o && st == POCKETFED_OK; o = o->next) {
        if (!o->dirty)
            continue;
        o->dirty = 0;
        st = pf_segment_sync(o->segment, err);
        atomic_fetch_add(&c->syncs, 1);
    }
    if (dirty)
        atomic_fetch_add(&c->sync_ns, (uint64_t)(pf_monotonic_ns() - begin));
    return st;
}

/* What the round cost so far; with its end the counting starts anew. */
static struct pf_round_counters counters_of(struct pf_live_task *t, int ended)
{
    struct pf_round_counters n;

    n.late = ended ? atomic_exchange(&t->late, 0) : atomic_load(&t->late);
    n.refused =
        ended ? atomic_exchange(&t->refused, 0) : atomic_load(&t->refused);
    n.bytes_up =
        ended ? atomic_exchange(&t->bytes_up, 0) : atomic_load(&t->bytes_up);
    n.bytes_down = ended ? atomic_exchange(&t->bytes_down, 0)
                         : atomic_load(&t->bytes_down);
    return n;
}

/* The record that devices will hold us to. */
static enum pocketfed_status seal(struct pf_coordinator *c,
                                  struct pf_live_task *t,
                                  const struct pf_record *rec,
                                  struct pf_error *err)
{
    struct pf_round_end end = {.round = rec->round, .time_ms = pf_wall_ms()};
    enum pocketfed_status st;

    end.outcome = PF_RECORD_ABANDONED;
    if (rec->kind == PF_REC_PUBLISHED) {
        end.outcome = rec->u.published.source ? PF_RECORD_ROLLED_BACK
                                              : PF_RECORD_PUBLISHED;
        end.source = rec->u.published.source;
        end.model = rec->u.published.model;
        end.strategy = rec->u.published.state;
        end.sums = rec->u.published.sums;
        end.saturated = rec->u.published.saturated;
    }
    st = pf_seal_round(c->config.store, c->config.record_key, t, &end, err);
    if (rec->kind == PF_REC_PUBLISHED) { /* what the next record begins with */
        memcpy(t->model_digest, rec->u.published.model, 32);
        memcpy(t->state, rec->u.published.state, 32);
    }
    return st;
}

static enum pocketfed_status write_records(struct pf_coordinator *c,
                                           const struct pf_task_step *s,
                                           struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_round_counters counters;
    const struct pf_record *rec;
    int ended, counted;
    unsigned i;

    for (i = 0; i < s->step.n_records && st == POCKETFED_OK; i++) {
        rec = &s->step.record[i];
        ended = rec->kind == PF_REC_PUBLISHED || rec->kind == PF_REC_ABANDONED;
        counted = ended || rec->kind == PF_REC_CLOSED;
        if (counted)
            counters = counters_of(s->task, ended);
        st = pf_store_record(c->config.store, s->task->stored.id, rec,
                             counted ? &counters : NULL, err);
        if (st == POCKETFED_OK && ended)
            st = seal(c, s->task, rec, err);
        atomic_fetch_add(&c->records, 1);
    }
    return st;
}

/* A task whose row is in gets its first step: START. */
static void begin_task(struct pf_coordinator *c, struct pf_job *job)
{
    struct pf_event ev = {0};

    ev.u.command = PF_CMD_START;
    pf_buf_free(&job->u.add->stored.file);
    pf_step_command(c, job, job->u.add, &ev);
}

/* A task that is durable is shown to all. */
static void link_task(struct pf_coordinator *c, struct pf_live_task *t)
{
    t->next = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->last_task)
        c->last_task->next = t;
    else
        c->tasks = t;
    c->last_task = t;
    pthread_mutex_unlock(&c->lock);
}

static int is_new_task(const struct pf_job *job)
{
    return job && job->kind == PF_JOB_TASK &&
           job->problem.id == PF_PROBLEM_NONE;
}

/* The population that pace steering goes by. */
static void count_device(const struct pf_job *job)
{
    if (!job || job->problem.id != PF_PROBLEM_NONE)
        return;
    if (job->kind == PF_JOB_ENROL && !job->u.enrol.again)
        job->task->devices++;
    if (pf_job_is_end(job) && job->u.gone.was == PF_DEVICE_ACTIVE)
        job->task->devices--;
}

static int is_writing(const struct pf_item *it)
{
    return it->job &&
           (it->job->kind == PF_JOB_ENROL || it->job->kind == PF_JOB_TOKEN ||
            it->job->kind == PF_JOB_TASK || pf_job_is_end(it->job));
}

static enum pocketfed_status write_batch(struct pf_coordinator *c,
                                         struct pf_error *err)
{
    struct pf_store *store = c->config.store;
    int64_t begin = pf_monotonic_ns();
    enum pocketfed_status st;
    int needed = 0;
    size_t i;

    for (i = 0; i < c->n_items; i++)
        needed |= is_writing(&c->items[i]);
    for (i = 0; i < c->n_steps; i++)
        needed |= c->steps[i].step.n_records > 0;
    if (!needed)
        return POCKETFED_OK;
    st = pf_store_begin(store, err);
    for (i = 0; i < c->n_items && st == POCKETFED_OK; i++) {
        struct pf_job *job = c->items[i].job;

        if (!is_writing(&c->items[i]))
            continue;
        st = pf_registry_run(store, job, err);
        if (st == POCKETFED_OK && is_new_task(job))
            begin_task(c, job);
    }
    for (i = 0; i < c->n_steps && st == POCKETFED_OK; i++)
        st = write_records(c, &c->steps[i], err);
    if (st == POCKETFED_OK)
        st = pf_store_commit(store, err);
    for (i = 0; i < c->n_items && st == POCKETFED_OK; i++) {
        if (is_new_task(c->items[i].job))
            link_task(c, c->items[i].job->u.add);
        count_device(c->items[i].job);
    }
    c->untidy = 1;
    atomic_fetch_add(&c->batches, 1);
    atomic_fetch_add(&c->commit_ns, (uint64_t)(pf_monotonic_ns() - begin));
    return st;
}

/* ---- the batch: answers ------------------------------------------------ */

static void view(struct pf_coordinator *c, struct pf_live_task *t,
                 struct pf_job *job)
{
    struct pf_round_status *open = &job->u.view.open;

    pf_round_task_status(t->round, c->now_ms, &job->u.view.status);
    job->u.view.has_open = pf_round_open_status(t->round, c->now_ms, open);
    if (!job->u.view.has_open)
        return;
    open->late = atomic_load(&t->late);
    open->refused = atomic_load(&t->refused);
    open->bytes_up = atomic_load(&t->bytes_up);
    open->bytes_down = atomic_load(&t->bytes_down);
}

static void answer_jobs(struct pf_coordinator *c)
{
    struct pf_job *job;
    size_t i;

    for (i = 0; i < c->n_items; i++) {
        job = c->items[i].job;
        if (!job)
            continue;
        if (job->kind == PF_JOB_VIEW)
            view(c, c->items[i].task, job);
        job->done(job);
    }
}

/* ---- the loop ---------------------------------------------------------- */

/* The whole of it: step, sync, commit, and only then the effects. */
static enum pocketfed_status run_batch(struct pf_coordinator *c,
                                       struct pf_error *err)
{
    enum pocketfed_status st;
    size_t i;

    c->n_steps = 0;
    c->now_ms = pf_coordinator_now(c);
    atomic_fetch_add(&c->events, c->n_items);
    pf_step_items(c);
    pf_step_ticks(c);
    st = sync_segments(c, err);
    if (st == POCKETFED_OK)
        st = write_batch(c, err);
    for (i = 0; i < c->n_steps && st == POCKETFED_OK; i++)
        st = pf_coordinator_perform(c, &c->steps[i], err);
    if (st != POCKETFED_OK)
        return st;
    answer_jobs(c);
    return pf_store_tidy(c->config.store, 0, err);
}

#define IDLE_MS 500 /* without work for so long: time for a checkpoint */

/* INT64_MAX: nobody waits for time to pass. */
static int64_t nearest_deadline(const struct pf_coordinator *c)
{
    int64_t nearest = INT64_MAX, deadline;
    const struct pf_live_task *t;

    for (t = c->tasks; t; t = t->next) {
        deadline = pf_round_deadline(t->round);
        if (deadline < nearest)
            nearest = deadline;
    }
    return nearest;
}

static int64_t wait_ms(const struct pf_coordinator *c)
{
    int64_t until = nearest_deadline(c), now = pf_coordinator_now(c);

    if (until == INT64_MAX)
        return c->untidy ? IDLE_MS : -1;
    if (until > c->clock_kept + PF_CLOCK_MS)
        until = c->clock_kept + PF_CLOCK_MS;
    if (c->untidy && until > now + IDLE_MS)
        until = now + IDLE_MS;
    return until > now ? until - now : 0;
}

static int is_due(const struct pf_coordinator *c)
{
    return nearest_deadline(c) <= pf_coordinator_now(c);
}

/* Time that passes without a record counts too, also over a restart. */
static enum pocketfed_status keep_clock(struct pf_coordinator *c, int at_once,
                                        struct pf_error *err)
{
    int64_t now = pf_coordinator_now(c);
    enum pocketfed_status st;

    if (!at_once &&
        (now - c->clock_kept < PF_CLOCK_MS || nearest_deadline(c) == INT64_MAX))
        return POCKETFED_OK;
    st = pf_store_clock_set(c->config.store, now, err);
    if (st == POCKETFED_OK)
        st = pf_store_tidy(c->config.store, 0, err);
    c->clock_kept = now;
    return st;
}

static void *loop(void *arg)
{
    struct pf_coordinator *c = arg;
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_error err = {0};
    int ended;

    while (st == POCKETFED_OK) {
        pf_coordinator_drain(c, wait_ms(c), &ended);
        if (ended) {
            st = keep_clock(c, 1, &err);
            if (st == POCKETFED_OK)
                return NULL;
            break;
        }
        atomic_store(&c->busy_since, pf_monotonic_ms());
        if (c->n_items > 0 || is_due(c)) {
            st = run_batch(c, &err);
        } else if (c->untidy) {
            st = pf_store_tidy(c->config.store, 1, &err);
            c->untidy = 0;
        }
        if (st == POCKETFED_OK)
            st = keep_clock(c, 0, &err);
        atomic_store(&c->busy_since, 0);
    }
    c->config.fatal(c->config.ctx, &err);
    return NULL; /* a fatal that returns: nothing more is answered */
}

/* ---- start and stop ---------------------------------------------------- */

static void destroy(struct pf_coordinator *c)
{
    struct pf_live_task *t;

    pf_background_stop(c->background);
    pf_evaluator_stop(c->evaluator);
    while (c->open)
        pf_open_drop(c, c->open);
    pf_folding_stop(c->folding);
    while (c->tasks) {
        t = c->tasks;
        c->tasks = t->next;
        pf_live_task_free(t);
    }
    pf_queue_free(c->inbox);
    pthread_mutex_destroy(&c->lock);
    free(c->items);
    free(c->steps);
    free(c);
}

static void fatal(void *coordinator, const struct pf_error *err)
{
    struct pf_coordinator *c = coordinator;

    c->config.fatal(c->config.ctx, err);
}

static enum pocketfed_status start_helpers(struct pf_coordinator *c,
                                           struct pf_error *err)
{
    const struct pf_log *log = c->config.log;
    const struct pf_background_config background = {
        c->config.objects, log, pf_coordinator_deliver, fatal, c,
    };
    enum pocketfed_status st;

    st = pf_folding_start(c->config.fold_threads, fatal, c, &c->folding, err);
    if (st == POCKETFED_OK)
        st = pf_evaluator_start(log, pf_coordinator_deliver, c, &c->evaluator,
                                err);
    if (st == POCKETFED_OK)
        st = pf_background_start(&background, &c->background, err);
    return st;
}

enum pocketfed_status
pf_coordinator_start(const struct pf_coordinator_config *config,
                     struct pf_coordinator **out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_coordinator *c;

    c = calloc(1, sizeof *c);
    if (!c)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory to coordinate");
    c->config = *config;
    pthread_mutex_init(&c->lock, NULL);
    c->items = calloc(PF_BATCH_ITEMS, sizeof *c->items);
    c->steps = calloc(PF_BATCH_STEPS, sizeof *c->steps);
    st = c->items && c->steps ? POCKETFED_OK : POCKETFED_NO_MEMORY;
    if (st == POCKETFED_OK)
        st = pf_queue_create(sizeof(struct pf_item), config->queue_capacity,
                             &c->inbox);
    if (st != POCKETFED_OK)
        pf_fail(err, st, "cannot make the coordinator's queue: %s",
                pocketfed_status_text(st));
    else
        st = start_helpers(c, err);
    if (st == POCKETFED_OK)
        st = pf_coordinator_load(c, err);
    if (st == POCKETFED_OK && pthread_create(&c->thread, NULL, loop, c) != 0)
        st = pf_fail(err, POCKETFED_NO_MEMORY,
                     "cannot start the coordinator's thread");
    if (st != POCKETFED_OK) {
        destroy(c);
        return st;
    }
    *out = c;
    return POCKETFED_OK;
}

void pf_coordinator_stop(struct pf_coordinator *c)
{
    if (!c)
        return;
    atomic_store(&c->stopping, 1);
    pf_queue_close(c->inbox);
    pthread_join(c->thread, NULL);
    destroy(c);
}
