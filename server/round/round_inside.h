/* round_inside.h - the state of a round engine, shared by the files that make
 * it up and by nobody else: round_apply.c and async_apply.c change it, round.c,
 * sync.c and async.c decide by it, round_answer.c and round_view.c tell of it.
 */
#ifndef PF_ROUND_INSIDE_H
#define PF_ROUND_INSIDE_H

#include "leases.h"
#include "roster.h"

/* Rounds whose model waits for its measurement. More are not asked for until
 * one has come back, except that the final model always is. */
#define PF_UNMEASURED_MAX 3

/* One event being handled. */
struct pf_stepping {
    struct pf_round *r;
    int64_t now_ms;
    struct pf_step *out;
};

/* What differs between synchronous and asynchronous rounds: a row each. */
struct pf_policy {
    /* Memory for a full cohort; state before any record. */
    enum pocketfed_status (*init)(struct pf_round *r);
    void (*free)(struct pf_round *r);
    /* OPENED to ABANDONED of the round's own number; the rest is common. */
    void (*apply)(struct pf_round *r, const struct pf_record *rec);
    /* As far as counts and time allow. */
    void (*settle)(struct pf_stepping *s);
    void (*checkin)(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a);
    /* OFFER and UPDATE ask the same question: GO when the update is wanted,
     * else the whole answer. */
    void (*offer)(const struct pf_round *r, const struct pf_event *ev,
                  struct pf_answer *a);
    void (*update)(struct pf_stepping *s, const struct pf_event *ev,
                   struct pf_answer *a);
    void (*failure)(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a);
    /* The round that the device trains for; 0: none. */
    uint64_t (*assignment)(const struct pf_round *r,
                           const uint8_t id[PF_DEVICE_LEN]);
    /* The round that waits for its model; 0: none. */
    uint64_t (*closing)(const struct pf_round *r);
    /* Abandons all that is open or closing; 0: there was nothing. */
    int (*give_up)(struct pf_stepping *s, const char *reason);
    int64_t (*deadline)(const struct pf_round *r);
    void (*accepted)(const struct pf_round *r, uint64_t round,
                     void (*visit)(void *ctx, const struct pf_device_ref *d,
                                   const struct pf_accepted *a),
                     void *ctx);
    /* Of the mean of a closing round; 0: the weight. */
    double (*divisor)(const struct pf_round *r);
    /* Devices assigned and still expected, and updates in, for the views. */
    void (*counts)(const struct pf_round *r, int64_t now_ms,
                   struct pf_round_status *out);
};
extern const struct pf_policy pf_policy_sync, pf_policy_async;

/* Of the accepted updates of one round. */
struct pf_totals {
    uint64_t accepted, weight, saturated;
    double loss_sum; /* of those that report one, times examples */
    uint64_t loss_examples;
};

/* async: one buffer */
struct pf_buffer {
    uint64_t round; /* 0: none */
    uint32_t n;
    struct pf_counted {
        struct pf_device_ref device;
        struct pf_accepted accepted;
    } * entry;
};

struct pf_round {
    const struct pf_task *task; /* borrowed */
    const struct pf_policy *policy;
    uint8_t plan[32];

    int state;       /* enum pf_task_state; PAUSED before START */
    char reason[48]; /* of the state */
    enum pf_phase phase;
    int started;        /* a record was applied */
    uint64_t round;     /* the newest that was opened; 0: none */
    int64_t started_ms; /* when round 1 opened */
    int64_t opened_ms;  /* the newest round */
    int64_t phase_ms;   /* when the phase began */
    int64_t backoff_ms; /* BACKOFF: until when */
    int64_t lasting_ms; /* a round from opening to model, a moving mean */
    unsigned abandoned; /* rounds in a row */

    uint8_t model[32]; /* published last, or the initial one */
    uint64_t published, published_round;
    uint64_t versions; /* models published, rollbacks too */

    /* Of roster or buffer [0] and [1]. */
    struct pf_totals totals[2];

    /* sync: [0] the newest round, [1] the one before: late devices get the
     * answer they got before. */
    struct pf_roster roster[2];
    /* Entries whose lease was seen to end, and how many of them are silent:
     * derived from roster[0] and the time, no part of the state. */
    uint32_t looked_at;
    uint32_t lapsed;

    /* async: [0] the open buffer, [1] the one whose model is being made, or
     * that ended last */
    struct pf_buffer buffer[2];
    int closing; /* [1] waits for its model */
    struct pf_leases leases;

    struct {
        uint64_t round;
        uint8_t model[32];
    } unmeasured[PF_UNMEASURED_MAX + 1];
    unsigned n_unmeasured;
    double test_loss, test_accuracy; /* -1: none */
    uint64_t measured_round;
};

/* Seconds of the task file as milliseconds. */
static inline int64_t pf_task_ms(double seconds)
{
    return (int64_t)(seconds * 1000 + 0.5);
}
/* Example-weighted mean of the reported losses; -1 when there is none. */
static inline double pf_totals_loss(const struct pf_totals *t)
{
    return t->loss_examples ? t->loss_sum / (double)t->loss_examples : -1;
}
void pf_totals_add(struct pf_totals *t, const struct pf_admitted *a);
/* 1 when updates are taken. */
static inline int pf_round_is_open(const struct pf_round *r)
{
    return r->phase == PF_PHASE_SELECTING || r->phase == PF_PHASE_COLLECTING;
}
static inline void pf_set_phase(struct pf_round *r, enum pf_phase phase,
                                int64_t at_ms)
{
    r->phase = phase;
    r->phase_ms = at_ms;
}
/* How long an assignment holds. */
int64_t pf_lease_ms(const struct pf_task *t);
/* Which of roster, buffer and totals is of that round; -1: none. */
int pf_round_index(const struct pf_round *r, uint64_t round);
/* 1 when the model of that round is to be measured and was not. */
int pf_round_unmeasured(const struct pf_round *r, uint64_t round);

/* Steps that both policies take (round.c). */
struct pf_record *pf_step_draft(struct pf_stepping *s, enum pf_record_kind kind,
                                uint64_t round);
struct pf_effect *pf_step_effect(struct pf_stepping *s,
                                 enum pf_effect_kind kind, uint64_t round);
void pf_step_abandon(struct pf_stepping *s, uint64_t round, const char *reason);
/* CLOSED and FINISH of the newest round. */
void pf_step_close(struct pf_stepping *s);
/* The next round, or the end of the task when a stop rule says so. */
void pf_step_open(struct pf_stepping *s);
/* Ends the task when a stop rule says so. */
void pf_step_stop(struct pf_stepping *s);
/* The record ACCEPTED of an update that may count, applied, and its FOLD. */
void pf_step_accept(struct pf_stepping *s, const struct pf_event *ev,
                    const struct pf_accepted *a);
/* 1 when the device may be assigned work at all; else the wait is in *a. */
int pf_step_eligible(const struct pf_stepping *s, const struct pf_event *ev,
                     struct pf_answer *a);
void pf_step_assign(struct pf_stepping *s, const struct pf_event *ev);

/* Answers, from the state as it is; they change nothing but *a. */
void pf_answer_refuse(struct pf_answer *a, enum pf_problem_id id,
                      uint64_t round);
/* The round is closed, and perhaps the task finished. */
void pf_answer_closed(const struct pf_round *r, uint64_t round,
                      struct pf_answer *a);
void pf_answer_go(struct pf_answer *a, enum pf_answer_kind kind, uint64_t round,
                  const uint8_t base[32]);
/* An assignment: the same whenever the device asks, but for the time left. */
void pf_answer_assignment(const struct pf_round *r, const struct pf_event *ev,
                          uint64_t round, const uint8_t base[32],
                          int64_t until_ms, struct pf_answer *a);
/* Why and how long a device without an assignment waits. */
void pf_answer_wait(const struct pf_round *r, const struct pf_event *ev,
                    enum pf_wait_reason reason, struct pf_answer *a);
/* NONE when a device may be assigned work, as far as the task goes. */
enum pf_wait_reason pf_wait_for_task(const struct pf_round *r);
void pf_answer_acknowledge(const struct pf_round *r,
                           const struct pf_device_ref *device, uint64_t counted,
                           const struct pf_accepted *accepted,
                           struct pf_answer *a);

#endif
