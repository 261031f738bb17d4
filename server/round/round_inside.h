/* round_inside.h - the state of a round engine, shared by the files that make
 * it up and by nobody else: round_apply.c changes it, round.c decides by it,
 * round_answer.c and round_view.c tell of it.
 */
#ifndef PF_ROUND_INSIDE_H
#define PF_ROUND_INSIDE_H

#include "roster.h"

/* Rounds whose model waits for its measurement. More are not asked for until
 * one has come back, except that the final model always is. */
#define PF_UNMEASURED_MAX 3

struct pf_round {
    const struct pf_task *task; /* borrowed */
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
    unsigned abandoned; /* rounds in a row */

    uint8_t model[32]; /* published last, or the initial one */
    uint64_t published, published_round;

    /* [0] the newest round, [1] the one before: late devices get the answer
     * they got before. */
    struct pf_roster roster[2];
    uint64_t weight, saturated; /* of the newest round's accepted updates */
    double loss_sum;            /* of those that report one, times examples */
    uint64_t loss_examples;

    struct {
        uint64_t round;
        uint8_t model[32];
    } unmeasured[PF_UNMEASURED_MAX + 1];
    unsigned n_unmeasured;
    double test_loss, test_accuracy; /* -1: none */
    uint64_t measured_round;
};

/* One row per phase that ends by its count or its time. */
struct pf_phase_row {
    const struct pf_window *window; /* NULL: the phase has none */
    uint32_t count;                 /* what is in */
    enum pf_record_kind met;        /* record that ends it well */
    const char *too_few;            /* reason when it is abandoned */
};
struct pf_phase_row pf_round_row(const struct pf_round *r);

/* Seconds of the task file as milliseconds. */
static inline int64_t pf_task_ms(double seconds)
{
    return (int64_t)(seconds * 1000 + 0.5);
}
/* Example-weighted mean of the reported losses; -1 when there is none. */
static inline double pf_round_train_loss(const struct pf_round *r)
{
    return r->loss_examples ? r->loss_sum / (double)r->loss_examples : -1;
}
/* 1 when updates are taken. */
static inline int pf_round_is_open(const struct pf_round *r)
{
    return r->phase == PF_PHASE_SELECTING || r->phase == PF_PHASE_COLLECTING;
}
/* 1 when the model of that round is to be measured and was not. */
int pf_round_unmeasured(const struct pf_round *r, uint64_t round);

/* Answers, from the state as it is; they change nothing but *a. */
void pf_answer_refuse(struct pf_answer *a, enum pf_problem_id id,
                      uint64_t round);
/* The device's assignment in the open round: the same whenever it asks, but
 * for the time that is left. */
void pf_answer_assignment(const struct pf_round *r, const struct pf_event *ev,
                          struct pf_answer *a);
/* Why and how long a device without an assignment waits; e may be NULL. */
void pf_answer_wait(const struct pf_round *r, const struct pf_event *ev,
                    const struct pf_entry *e, struct pf_answer *a);
void pf_answer_acknowledge(const struct pf_round *r,
                           const struct pf_roster *roster,
                           const struct pf_entry *e, struct pf_answer *a);
/* OFFER and UPDATE ask the same question: GO when the update is wanted, else
 * the whole answer. */
void pf_answer_offer(const struct pf_round *r, const struct pf_event *ev,
                     struct pf_answer *a);

#endif
