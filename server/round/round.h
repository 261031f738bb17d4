/* round.h - the round engine: decides everything about a task's rounds and
 * touches nothing.
 *
 * step(event) looks at the state, decides, returns records and effects, and
 * applies its own records; apply(record) is the only change of state, live and
 * at restart alike.  No clock, no I/O, no lock, no thread: time arrives in
 * events, as milliseconds that never go back and continue over restarts.  The
 * caller makes the records durable first and performs the effects afterwards.
 * Daemon, simulator and unit tests drive these very functions.
 *
 * Two policies, one table (round_inside.h):
 *
 * sync: a round ends before the next begins.
 *   SELECTING --select window--> COLLECTING --collect window--> CLOSING
 *   CLOSING --FINISHED--> published, and the next round opens
 *   SELECTING/COLLECTING --max_s with too few--> abandoned --> BACKOFF
 *   BACKOFF --time--> the next round opens on the same base
 * IDLE: no round (before START, paused between rounds, or finished).  Updates
 * are accepted while SELECTING too: a fast device need not wait for the cohort.
 *
 * async (FedBuff, Nguyen et al. 2022): a round is a buffer, always COLLECTING.
 * When it is full it closes and the next opens at once; its model is made
 * meanwhile.  A device trains from the newest model under a lease; its update
 * goes to the buffer that is open when it arrives, discounted by staleness s,
 * the models that came between (the one that is being made among them): factor
 * 1/sqrt(1 + s).  While a model is being made, the open buffer may run over to
 * twice collect.max; then updates are busy.  Buffers follow one another at
 * once, also while the task is paused and after an abandoned one, so that what
 * is under way finds one; a device is at most once in each.  A device that asks
 * again has the same work while its lease lasts and its update would count, and
 * as long as the buffer is open in which it began.
 */
#ifndef PF_ROUND_H
#define PF_ROUND_H

#include <stddef.h>
#include <stdint.h>
#include "messages.h"
#include "problem.h"
#include "task.h"

enum pf_phase {
    PF_PHASE_IDLE,
    PF_PHASE_SELECTING,
    PF_PHASE_COLLECTING,
    PF_PHASE_CLOSING,
    PF_PHASE_BACKOFF,
};
extern const char *const pf_phase_names[];

enum pf_event_kind {
    PF_EV_TICK, /* time passed */
    PF_EV_CHECKIN,
    PF_EV_OFFER,
    PF_EV_UPDATE,
    PF_EV_FAILURE,
    PF_EV_FINISHED,      /* the next model is durable */
    PF_EV_FINISH_FAILED, /* making it failed (no memory): the round is
                            abandoned with its reason */
    PF_EV_EVALUATED,     /* every EVALUATE is answered by one; -1, -1 when the
                            measurement failed */
    PF_EV_COMMAND,
    PF_EV_RESUME, /* once after restart: re-issue FINISH and EVALUATE */
};

/* START opens round 1; it changes nothing when any record exists, so it may
 * be given after every load. PAUSE lets the open round go on to its end and
 * assigns nobody else; RESUME opens the next round. ABORT abandons what is open
 * or closing; the next round follows as after any abandoned one. ROLLBACK does
 * the same and publishes an earlier round's model and state under a new, higher
 * number. FINISH ends the task. */
enum pf_command {
    PF_CMD_START,
    PF_CMD_PAUSE,
    PF_CMD_RESUME,
    PF_CMD_ABORT,
    PF_CMD_ROLLBACK,
    PF_CMD_FINISH,
};

struct pf_device_ref {
    uint8_t id[PF_DEVICE_LEN];
    uint64_t ordinal;
};

/* What admission found out about an update (admit.h). */
struct pf_admitted {
    uint64_t examples, weight;
    uint64_t saturated; /* coordinates clamped to the range */
    double norm;
    double train_loss; /* as reported; -1 none */
};

struct pf_extent { /* in the round's segment */
    uint64_t offset, length;
};

struct pf_event {
    enum pf_event_kind kind;
    int64_t now_ms;
    uint64_t reply_to;           /* handed back in ANSWER; 0: nobody asks */
    struct pf_device_ref device; /* CHECKIN OFFER UPDATE FAILURE */
    uint64_t round;              /* OFFER UPDATE FAILURE FINISHED
                                    FINISH_FAILED EVALUATED */
    union {
        struct { /* CHECKIN: what the engine does not keep itself */
            char device_class[PF_CLASS_MAX + 1];
            uint64_t updates, last_round; /* this device's, accepted so far */
            uint64_t population;          /* devices that may come */
            uint32_t load;                /* of the server, per mille */
        } checkin;
        struct { /* OFFER, UPDATE */
            uint8_t digest[32];
            struct pf_extent extent;     /* UPDATE; length in both */
            uint64_t segment;            /* UPDATE: the round of GO or MOVE */
            struct pf_admitted admitted; /* UPDATE */
        } update;
        struct {
            uint8_t model[32], state[32]; /* state: zeros without one */
            uint8_t sums[32];             /* of the sums blob, record.h */
        } finished;
        struct {
            double loss, accuracy;
        } evaluated;
        struct {
            enum pf_command command;
            struct { /* ROLLBACK: a published round and what it published */
                uint64_t source;
                uint8_t model[32], state[32];
            } rollback;
        };
        int failure; /* FAILURE: enum pf_failure_code; FINISH_FAILED: enum
                        pocketfed_status, which becomes the reason */
    } u;
};

/* An update that counts: all that was decided when it was let in. */
struct pf_accepted {
    uint64_t assigned; /* the round that names it; sync: the record's own */
    uint8_t base[32];  /* the model it was trained from */
    uint8_t digest[32];
    struct pf_extent extent; /* in the segment of the record's round */
    struct pf_admitted admitted;
    uint32_t staleness; /* models between its base and this buffer's */
};

enum pf_record_kind {
    PF_REC_OPENED = 1,
    PF_REC_ASSIGNED,
    PF_REC_COLLECTING,
    PF_REC_ACCEPTED,
    PF_REC_FAILED,
    PF_REC_CLOSED,
    PF_REC_PUBLISHED,
    PF_REC_ABANDONED,
    PF_REC_EVALUATED,
    PF_REC_STATE,
};

struct pf_record {
    enum pf_record_kind kind;
    int64_t at_ms;
    uint64_t round;              /* async: the buffer */
    struct pf_device_ref device; /* ASSIGNED ACCEPTED FAILED */
    union {
        struct {
            uint8_t base[32];
        } opened;
        struct {
            char device_class[PF_CLASS_MAX + 1];
        } assigned;
        struct pf_accepted accepted;
        int failure;
        struct {
            uint8_t model[32], state[32];
            uint8_t sums[32]; /* kept in the round's record: zeros when read */
            uint64_t accepted, weight, saturated;
            double divisor; /* of the mean; 0: the weight */
            double train_loss;
            uint64_t source; /* a rollback's; 0: the updates' model */
        } published;
        struct {
            char reason[48];
        } abandoned;
        struct {
            double loss, accuracy;
        } evaluated;
        struct {
            int state; /* enum pf_task_state */
            char reason[48];
        } state;
    } u;
};

enum pf_answer_kind {
    PF_ANSWER_GO,      /* OFFER: send the body, go filled */
    PF_ANSWER_MOVE,    /* UPDATE: another buffer is open: put the bytes into the
                          segment of go.round and ask again */
    PF_ANSWER_CHECKIN, /* reply filled */
    PF_ANSWER_ACK,     /* ack filled; `again` when it was given before */
    PF_ANSWER_DONE,    /* FAILURE noted, COMMAND done */
    PF_ANSWER_PROBLEM,
};

struct pf_answer {
    enum pf_answer_kind kind;
    int again;
    union {
        struct {
            uint64_t round;   /* whose segment takes the body */
            uint8_t base[32]; /* what the frame must say */
        } go;
        struct pf_checkin_reply checkin;
        struct pf_ack ack;
        struct pf_problem problem;
    } u;
};

enum pf_effect_kind {
    PF_EFFECT_ANSWER,
    PF_EFFECT_FOLD,     /* add this update to the round's sum */
    PF_EFFECT_FINISH,   /* all folds of the round are queued: make the model */
    PF_EFFECT_EVALUATE, /* measure this model on the test set */
    PF_EFFECT_DROP,     /* the round's segment and sum are not needed */
    PF_EFFECT_DISCARD,  /* this model is nobody's: its round was given up */
};

struct pf_effect {
    enum pf_effect_kind kind;
    uint64_t reply_to, round;
    union {
        struct pf_answer answer;
        struct {
            struct pf_device_ref device;
            uint8_t digest[32]; /* of the extent's bytes */
            struct pf_extent extent;
            uint64_t weight;
            double factor; /* of each coordinate, before rounding; (0, 1] */
        } fold;
        struct {
            uint8_t base[32]; /* the model that the mean is added to */
            double divisor;   /* of the mean; 0: the weight */
        } finish;
        uint8_t model[32]; /* EVALUATE DISCARD */
    } u;
};

#define PF_STEP_RECORDS 12
#define PF_STEP_EFFECTS 12
struct pf_step {
    struct pf_record record[PF_STEP_RECORDS];
    unsigned n_records;
    struct pf_effect effect[PF_STEP_EFFECTS];
    unsigned n_effects;
};

struct pf_round;

/* task is borrowed; plan_digest and initial model digest name what round 1
 * starts from. State IDLE; a START command (or loaded records) sets it going.
 */
enum pocketfed_status pf_round_create(const struct pf_task *task,
                                      const uint8_t plan[32],
                                      const uint8_t initial_model[32],
                                      struct pf_round **out);
void pf_round_free(struct pf_round *r);
/* Cannot fail: memory for a full cohort is taken at creation. */
void pf_round_step(struct pf_round *r, const struct pf_event *ev,
                   struct pf_step *out);
void pf_round_apply(struct pf_round *r, const struct pf_record *rec);
/* When a TICK is needed next; INT64_MAX: never. */
int64_t pf_round_deadline(const struct pf_round *r);
/* After loading records and before RESUME: each accepted update of the round
 * that is still open or closing, to be folded again. */
void pf_round_folds(const struct pf_round *r,
                    void (*visit)(void *ctx, uint64_t round,
                                  const struct pf_effect *fold),
                    void *ctx);

/* 1/sqrt(1 + s): what an update of staleness s counts (FedBuff). */
double pf_staleness_factor(uint32_t staleness);

/* The round that the device trains for; 0: it has no assignment in hand. */
uint64_t pf_round_assignment(const struct pf_round *r,
                             const uint8_t id[PF_DEVICE_LEN]);

/* Views for the status answers (devices, bytes are the caller's to fill). */
void pf_round_task_status(const struct pf_round *r, int64_t now_ms,
                          struct pf_task_status *out);
/* The open (or closing) round; 0 when there is none. */
int pf_round_open_status(const struct pf_round *r, int64_t now_ms,
                         struct pf_round_status *out);

#endif
