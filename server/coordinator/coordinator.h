/* coordinator.h - the one thread that owns every round and the writing
 * connection.
 *
 *   drain events and jobs (or wait until the nearest deadline)
 *   -> step each, collecting records and effects
 *   -> if updates were accepted: one fdatasync of each segment concerned
 *   -> one transaction for all records and jobs
 *   -> then, and only then, the effects: answers, folds, finish, evaluation
 *
 * Group commit, journal before acknowledge and persist before announce are
 * this one loop.  A failed sync or commit ends the process (fatal callback)
 * before any effect of the batch.
 */
#ifndef PF_COORDINATOR_H
#define PF_COORDINATOR_H

#include <stdatomic.h>
#include "crypto.h"
#include "log.h"
#include "objects.h"
#include "pace.h"
#include "round.h"
#include "segment.h"
#include "admit.h"
#include "store.h"

struct pf_coordinator;

/* A task while the daemon runs. Made once, never freed before the coordinator;
 * everything but the counters and what is marked is immutable. */
struct pf_live_task {
    struct pf_store_task stored; /* id, name, plan digest, ... (file freed) */
    struct pf_task task;
    struct pf_plan plan;
    struct pf_model *model;
    uint8_t layout[32];
    struct pf_object *plan_object;
    uint32_t keep_rounds; /* whose updates stay; PF_KEEP_ALL */
    struct pf_live_task *next;
    /* coordinator thread only */
    struct pf_round *round;
    uint8_t model_digest[32];     /* published last, or the initial one */
    uint8_t state[32];            /* the strategy's that goes with it */
    uint64_t published_round;     /* the newest; 0: none */
    int seen_device, seen_update; /* told once each */
    atomic_uint_fast64_t devices; /* enrolled; any thread reads */
    /* of the open round; any thread adds */
    atomic_uint_fast64_t late, refused, bytes_up, bytes_down;
    /* Enrolled, and about to be (http/quota.h): one more than that; 0 before
     * anybody counted. */
    atomic_uint_fast64_t places;
};

/* Somebody who waits for an answer. done runs on the coordinator thread after
 * the commit, exactly once, and must be quick (copy, wake). */
struct pf_waiter {
    void (*done)(struct pf_waiter *self, const struct pf_answer *answer);
};

/* Registry work that runs inside the coordinator's batch. */
enum pf_job_kind {
    PF_JOB_ENROL,
    PF_JOB_TOKEN,
    PF_JOB_TASK,
    PF_JOB_TASK_SET,
    PF_JOB_REVOKE,
    PF_JOB_LEAVE,
    PF_JOB_VIEW,
};
struct pf_job {
    enum pf_job_kind kind;
    struct pf_live_task *task; /* all but PF_JOB_TASK: which */
    union {
        struct {
            uint8_t token_hash[32];
            struct pf_device device; /* in and out */
            int again;
        } enrol;
        struct {
            uint8_t hash[32];
            uint64_t uses, ordinal;
            int64_t expires_ms; /* wall clock */
            int has_ordinal;
            char label[PF_LABEL_MAX + 1];
        } token;
        struct { /* REVOKE, LEAVE; its assignment is given back */
            struct pf_device_ref device;
            enum pf_device_state was; /* before */
        } gone;
        struct pf_live_task *add; /* PF_JOB_TASK: from pf_live_task_make */
        struct {                  /* PF_JOB_TASK_SET */
            enum pf_command command;
            uint64_t source; /* ROLLBACK: to the model of this round */
        } set;
        struct {
            struct pf_task_status status;
            struct pf_round_status open; /* valid when has_open */
            int has_open;
        } view;
    } u;
    struct pf_problem problem;         /* id NONE when it went well */
    void (*done)(struct pf_job *self); /* as pf_waiter.done */
};

struct pf_coordinator_config {
    const char *state_dir;
    const struct pf_log *log;
    struct pf_store *store;
    struct pf_objects *objects;
    const struct pf_key *record_key;
    unsigned fold_threads;   /* >= 1 */
    unsigned queue_capacity; /* events and jobs waiting, e.g. 4096 */
    /* A sync or commit failed: log and end the process, do not return. */
    void (*fatal)(void *ctx, const struct pf_error *err);
    /* "round closed", "first update in", ...: what people are told. */
    void (*announce)(void *ctx, const char *line);
    void *ctx;
};

/* Loads the store, replays records, sweeps, re-issues folds; starts threads. */
enum pocketfed_status
pf_coordinator_start(const struct pf_coordinator_config *c,
                     struct pf_coordinator **out, struct pf_error *err);
/* Refuses new work, finishes what is queued, stops the threads, frees the
 * tasks. Waits for every reservation to be used or given back. A model in the
 * making is thrown away: the next start makes the same one. */
void pf_coordinator_stop(struct pf_coordinator *c);

/* Thread-safe; NULL when there is none. `after` NULL: the first task. */
struct pf_live_task *pf_coordinator_task(struct pf_coordinator *c,
                                         const char *name);
struct pf_live_task *pf_coordinator_next_task(struct pf_coordinator *c,
                                              struct pf_live_task *after);

/* Queue an event (now_ms and reply_to are set here). BUSY when the queue is
 * full: nothing was taken. With `reserved` the place was taken before and the
 * call cannot fail. waiter NULL: nobody asks. */
enum pocketfed_status pf_coordinator_submit(struct pf_coordinator *c,
                                            struct pf_live_task *t,
                                            const struct pf_event *ev,
                                            struct pf_waiter *waiter,
                                            int reserved);
enum pocketfed_status pf_coordinator_reserve(struct pf_coordinator *c);
void pf_coordinator_unreserve(struct pf_coordinator *c);
enum pocketfed_status pf_coordinator_run(struct pf_coordinator *c,
                                         struct pf_job *job);

/* The segment that uploads of this round go to, with a reference of its own;
 * NULL when the round is not open. Thread-safe. */
struct pf_segment *pf_coordinator_segment(struct pf_coordinator *c,
                                          struct pf_live_task *t,
                                          uint64_t round);
/* What a frame of that round, trained from that base, must say. */
void pf_live_expected(const struct pf_live_task *t, uint64_t round,
                      const uint8_t base[32], struct pf_expected *out);

/* Task file -> a live task with plan and initial model put as objects (no row
 * yet): heavy work, done on the caller's thread. CONFIG errors name the
 * member. */
enum pocketfed_status pf_live_task_make(struct pf_objects *objects,
                                        const struct pf_key *record_key,
                                        const char *file, size_t len,
                                        struct pf_live_task **out,
                                        struct pf_error *err);
void pf_live_task_free(struct pf_live_task *t);

/* Numbers for /metrics and /readyz. */
struct pf_coordinator_stats {
    uint64_t batches, records, syncs, events, queue_depth, loop_age_ms;
    uint64_t accepted, acked, rounds_published, rounds_abandoned;
    double sync_seconds, commit_seconds; /* totals */
};
void pf_coordinator_stats(struct pf_coordinator *c,
                          struct pf_coordinator_stats *out);
/* What is known here of who may come and what is borne, for waits (pace.h):
 * population, per_s and load, of one task or, with NULL, of all together.
 * Thread-safe. */
void pf_coordinator_pace(struct pf_coordinator *c, struct pf_live_task *t,
                         struct pf_pace *out);

#endif
