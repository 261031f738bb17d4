/* coordinator_int.h - what the files of the coordinator share.
 *
 * coordinator.c has the loop, coordinator_step.c what the engines are told,
 * coordinator_effects.c what follows a commit, handover.c what comes in and
 * goes out, coordinator_load.c the start, submit.c the calls for other threads,
 * registry.c the jobs, live_task.c the tasks.
 */
#ifndef PF_COORDINATOR_INT_H
#define PF_COORDINATOR_INT_H

#include <pthread.h>
#include "background.h"
#include "clock.h"
#include "coordinator.h"
#include "evaluation.h"
#include "folding.h"
#include "queue.h"

#define PF_BATCH_ITEMS 256
#define PF_BATCH_TICKS 256 /* tasks beyond it are looked at next time */
#define PF_BATCH_STEPS (PF_BATCH_ITEMS + PF_BATCH_TICKS)

/* One thing that waits in the inbox: an event, or a job. */
struct pf_item {
    struct pf_live_task *task;
    struct pf_job *job; /* NULL: the event */
    struct pf_event event;
};

/* So much of the time that passes without a record may be lost in a crash. */
#define PF_CLOCK_MS 10000

struct pf_task_step {
    struct pf_live_task *task;
    struct pf_step step;
};

/* A round from its opening until its sum and segment are dropped. */
struct pf_open_round {
    struct pf_live_task *task;
    uint64_t round;
    uint8_t base[32];
    int64_t opened_ms;
    int accepting; /* not yet closed */
    int published;
    int dirty; /* its segment has bytes to sync in this batch */
    struct pf_segment *segment; /* NULL while records are replayed */
    struct pf_fold *fold;
    struct pf_open_round *next;
};

struct pf_coordinator {
    struct pf_coordinator_config config;
    struct pf_queue *inbox; /* of struct pf_item */
    struct pf_folding *folding;
    struct pf_background *background;
    struct pf_evaluator *evaluator;
    pthread_t thread;
    atomic_int stopping;
    int64_t clock_base, clock_start; /* store's clock at CLOCK_MONOTONIC */
    int64_t clock_kept;              /* what the store was told last */

    /* Changed by the coordinator thread alone, under the lock; read by it
     * without, by others with. */
    pthread_mutex_t lock;
    struct pf_live_task *tasks, *last_task;
    struct pf_open_round *open;

    /* The batch in hand; coordinator thread only. */
    int64_t now_ms;
    struct pf_item *items;
    size_t n_items;
    struct pf_task_step *steps;
    size_t n_steps;
    int untidy; /* something was committed since the last idle checkpoint */

    atomic_uint_fast64_t batches, records, syncs, events, accepted, acked;
    atomic_uint_fast64_t published, abandoned, sync_ns, commit_ns;
    atomic_int_fast64_t busy_since; /* CLOCK_MONOTONIC ms; 0: waiting */
};

/* The daemon's clock: goes on where it was when the process ended. */
int64_t pf_coordinator_now(const struct pf_coordinator *c);

/* coordinator_step.c: steps the engines with what is in c->items, and the tasks
 * whose deadline has come. */
void pf_step_items(struct pf_coordinator *c);
void pf_step_ticks(struct pf_coordinator *c);
/* A command's refusal goes into the job: nobody else waits for it. */
void pf_step_command(struct pf_coordinator *c, struct pf_job *job,
                     struct pf_live_task *t, struct pf_event *ev);
/* A device leaves or is revoked. */
static inline int pf_job_is_end(const struct pf_job *job)
{
    return job->kind == PF_JOB_REVOKE || job->kind == PF_JOB_LEAVE;
}

/* coordinator_effects.c; OK, or the batch is fatal. */
enum pocketfed_status pf_coordinator_perform(struct pf_coordinator *c,
                                             struct pf_task_step *s,
                                             struct pf_error *err);
struct pf_open_round *pf_open_find(struct pf_coordinator *c,
                                   const struct pf_live_task *t,
                                   uint64_t round);
/* Keeps the list of open rounds up with a record, live and at load. */
enum pocketfed_status pf_open_note(struct pf_coordinator *c,
                                   struct pf_live_task *t,
                                   const struct pf_record *rec,
                                   struct pf_error *err);
/* Opens segment and sum of a round in the list. */
enum pocketfed_status pf_open_start(struct pf_coordinator *c,
                                    struct pf_open_round *o,
                                    struct pf_error *err);
void pf_open_drop(struct pf_coordinator *c, struct pf_open_round *o);
static inline struct pf_keep pf_live_keep(const struct pf_live_task *t)
{
    return (struct pf_keep){t->task.keep.models, t->task.keep.sums};
}
/* 1 when the updates of that ended round are to stay. */
int pf_keeps_updates(const struct pf_live_task *t, uint64_t round);
/* submit.c: hands an event of the program's own to the loop. Any thread. */
void pf_coordinator_deliver(void *coordinator, struct pf_live_task *t,
                            const struct pf_event *ev);

/* handover.c: what the loop takes in (c->items, at most wait_ms < 0: however
 * long it takes), the answer to who waits for one, and what people are told. */
void pf_coordinator_drain(struct pf_coordinator *c, int64_t wait_ms,
                          int *ended);
void pf_coordinator_answer(struct pf_coordinator *c, const struct pf_effect *e);
void pf_coordinator_announce(struct pf_coordinator *c, const char *line);

/* coordinator_load.c */
enum pocketfed_status pf_coordinator_load(struct pf_coordinator *c,
                                          struct pf_error *err);

/* registry.c: does a job that writes inside the transaction. Its
 * refusal is in job->problem; a returned failure is fatal. */
enum pocketfed_status pf_registry_run(struct pf_store *store,
                                      struct pf_job *job, struct pf_error *err);

/* live_task.c: a task from its row; *stored is copied, file apart. */
enum pocketfed_status pf_live_task_load(struct pf_objects *objects,
                                        const struct pf_store_task *stored,
                                        struct pf_live_task **out,
                                        struct pf_error *err);

#endif
