#include "quota.h"

#include <inttypes.h>
#include <stdio.h>

enum { HELD_TASK = 1, HELD_TOKEN = 2, HELD_DEVICE = 4 };

static int full(struct pf_exchange *ex, enum pf_limit which, const char *what,
                uint64_t most)
{
    struct pf_problem why = {0};

    pf_limits_count(ex->edge->limits, which);
    pf_problem_set(&why, PF_PROBLEM_LIMIT,
                   "there are as many %s as this server takes: %" PRIu64, what,
                   most);
    snprintf(why.hint, sizeof why.hint,
             "the operator can raise %s in [limits] of the configuration",
             pf_limit_names[which]);
    pf_reply_problem(ex, &why);
    return 0;
}

int pf_quota_task(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_live_task *t = NULL;
    uint64_t most = atomic_load(&e->limits->now.tasks), n;

    n = atomic_fetch_add(&e->limits->tasks_coming, 1) + 1;
    ex->held |= HELD_TASK;
    while ((t = pf_coordinator_next_task(e->coordinator, t)) != NULL)
        n++;
    return n <= most || full(ex, PF_LIMIT_TASKS, "tasks", most);
}

int pf_quota_token(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    uint64_t most = atomic_load(&e->limits->now.tokens), n;

    n = atomic_fetch_add(&e->limits->tokens_coming, 1) + 1;
    ex->held |= HELD_TOKEN;
    reader = pf_readers_take(e->readers, &err);
    if (!reader) {
        pf_reply_internal(ex, &err);
        return 0;
    }
    n += pf_reader_n_tokens(reader, ex->task->stored.id, e->now_ms());
    pf_readers_give(e->readers, reader);
    return n <= most || full(ex, PF_LIMIT_TOKENS, "usable tokens", most);
}

/* The task's count, which begins with what the store has: whoever enrols came
 * by here before its row was written, so no row is missed. */
static atomic_uint_fast64_t *counted(struct pf_live_task *t,
                                     struct pf_store_reader *reader)
{
    uint_fast64_t unknown = 0;

    if (atomic_load(&t->places) == 0)
        atomic_compare_exchange_strong(
            &t->places, &unknown,
            pf_reader_n_enrolled(reader, t->stored.id) + 1);
    return &t->places;
}

int pf_quota_device(struct pf_exchange *ex, const uint8_t id[PF_DEVICE_LEN])
{
    struct pf_edge *e = ex->edge;
    struct pf_store_reader *reader;
    struct pf_device device;
    struct pf_error err = {0};
    uint64_t most = atomic_load(&e->limits->now.devices);
    atomic_uint_fast64_t *n;
    int ok = 1;

    reader = pf_readers_take(e->readers, &err);
    if (!reader) {
        pf_reply_internal(ex, &err);
        return 0;
    }
    n = counted(ex->task, reader);
    if (pf_reader_device(reader, ex->task->stored.id, id, &device) !=
        POCKETFED_OK) {
        /* One more than there are is what it holds when none is there. */
        ok = atomic_fetch_add(n, 1) <= most;
        if (ok)
            ex->held |= HELD_DEVICE;
        else
            atomic_fetch_sub(n, 1);
    }
    pf_readers_give(e->readers, reader);
    return ok || full(ex, PF_LIMIT_DEVICES, "devices in this task", most);
}

void pf_quota_keep_device(struct pf_exchange *ex)
{
    ex->held &= ~(unsigned)HELD_DEVICE;
}

void pf_quota_free(struct pf_exchange *ex)
{
    if (ex->held & HELD_TASK)
        atomic_fetch_sub(&ex->edge->limits->tasks_coming, 1);
    if (ex->held & HELD_TOKEN)
        atomic_fetch_sub(&ex->edge->limits->tokens_coming, 1);
    if (ex->held & HELD_DEVICE)
        atomic_fetch_sub(&ex->task->places, 1);
    ex->held = 0;
}
