/* participation_core.h - what the three files of the participation share: its
 * state and the few moves between phases.  Nobody else includes it.
 */
#ifndef PF_PARTICIPATION_CORE_H
#define PF_PARTICIPATION_CORE_H

#include "codec.h"
#include "participation.h"
#include "update.h"

enum pf_phase {
    PF_PHASE_START, /* is a frame of an earlier run waiting? */
    PF_PHASE_CHECKIN,
    PF_PHASE_PLAN,
    PF_PHASE_MODEL,
    PF_PHASE_TRAIN,
    PF_PHASE_UPLOAD,
    PF_PHASE_FAILURE,     /* tell the server that this round must do without */
    PF_PHASE_FINAL_MODEL, /* the task is over; fetch what came of it */
    PF_PHASE_ENDED,
};

struct pf_participation {
    const struct pf_member *member;
    const struct pf_examples *examples;
    struct pf_participation_io io;
    enum pf_phase phase;
    enum pf_outcome outcome;
    struct pf_error why;

    /* Kept over a reset. */
    int has_plan;
    uint8_t plan_digest[32];
    struct pf_plan plan;
    struct pf_model *model;
    const struct pf_codec *codec;
    uint8_t layout[32];
    uint8_t held_model[32]; /* last one that was loaded, for the check-in */

    /* This contribution. */
    struct pf_checkin_reply work;
    float *base; /* the model it starts from, n_params floats */
    struct pf_trainer *trainer;
    struct pf_examples capped; /* examples, at most the plan's number */
    struct pf_buf body;        /* of the request; the frame in UPLOAD */
    uint8_t digest[32];        /* of body */
    uint64_t frame_examples;
    double loss; /* of the training that made the frame; NaN when unknown */
    int failure; /* enum pf_failure_code */
    struct pf_ack ack;

    /* Pace. */
    int64_t wait_ms;   /* to be handed out once by next */
    unsigned attempts; /* of the present request */
    unsigned drops;    /* contributions in vain, in a row */
    unsigned clocks;   /* corrections of the clock, in a row */
    uint64_t draws;    /* of the jitter */
    int64_t server_time_ms;
};

/* Ends with an outcome; gives back the memory of the training. */
void pf_part_end(struct pf_participation *p, enum pf_outcome outcome);
/* p->why is set: this contribution is in vain, check in again after a while. */
void pf_part_drop(struct pf_participation *p);
/* p->why is set: nothing more to do for good. Returns its status. */
enum pocketfed_status pf_part_refuse(struct pf_participation *p);
/* p->why is set: tell the server, then drop. */
void pf_part_fail(struct pf_participation *p, enum pf_failure_code code);
/* The same request again, after Retry-After or backoff. */
void pf_part_retry(struct pf_participation *p, int64_t retry_after_ms);
/* Uniform in [min_ms, max_ms], bounded to 50 ms and a day. */
int64_t pf_part_between(struct pf_participation *p, int64_t min_ms,
                        int64_t max_ms);

enum pocketfed_status pf_part_load(struct pf_participation *p, const char *name,
                                   struct pf_buf *out);
void pf_part_save(struct pf_participation *p, const char *name,
                  const void *data, size_t len);
void pf_part_remove(struct pf_participation *p, const char *name);

/* Takes over a ready frame of an earlier run; 1 when there is one. */
int pf_part_resume_upload(struct pf_participation *p);
/* The plan is there: everything that can be refused before the download. */
enum pocketfed_status pf_part_plan_ready(struct pf_participation *p);
/* The base model's bytes are there and have the assigned digest. */
enum pocketfed_status pf_part_begin_training(struct pf_participation *p,
                                             const uint8_t *file, size_t len);
/* Bytes of one participation at its peak; SIZE_MAX on overflow. */
size_t pf_part_memory(const struct pf_participation *p, size_t n_examples);

#endif
