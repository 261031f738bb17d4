/* participation_core.h - what the files of the participation share: its
 * state and the few moves between phases.  Nobody else includes it.
 */
#ifndef PF_PARTICIPATION_CORE_H
#define PF_PARTICIPATION_CORE_H

#include "codec.h"
#include "participation.h"
#include "safetensors.h"
#include "update.h"

enum pf_phase {
    PF_PHASE_START, /* is a frame of an earlier run waiting? */
    PF_PHASE_CHECKIN,
    PF_PHASE_PROOF, /* of an earlier update, before what was said is done */
    PF_PHASE_PLAN,
    PF_PHASE_MODEL,
    PF_PHASE_TRAIN,
    PF_PHASE_UPLOAD,
    PF_PHASE_FAILURE,     /* tell the server that this round must do without */
    PF_PHASE_KEY,         /* has the record key been replaced? */
    PF_PHASE_FINAL_MODEL, /* the task is over; fetch what came of it */
    PF_PHASE_ENDED,
};

/* How the frame is being sent. */
enum pf_sending {
    PF_SEND_WHOLE,
    PF_SEND_ASK,  /* how much of it is there? */
    PF_SEND_REST, /* from `offset` on */
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
    uint8_t held_model[32];     /* last one that was loaded, for the check-in */
    int recalled;               /* the two that follow were looked for */
    struct pf_history *history; /* what proofs have told; NULL: nothing */
    int has_receipt;            /* acknowledged and not proved: */
    struct pf_ack receipt;

    /* A record key that may have been replaced. */
    enum pf_phase interrupted;   /* what was refused for it */
    struct pf_error key_refused; /* what to say if it was not */
    unsigned
        rotations; /* keys followed since one has signed a check-in's answer */

    /* This contribution. */
    struct pf_checkin_reply work;
    int work_proved; /* its statement was right */
    float *base;     /* the model it starts from, n_params floats */
    struct pf_trainer *trainer;
    struct pf_examples capped; /* examples, at most the plan's number */
    struct pf_buf body;        /* of the request; the frame in UPLOAD */
    uint8_t digest[32];        /* of body */
    uint64_t frame_examples;
    double loss; /* of the training that made the frame; NaN when unknown */
    int failure; /* enum pf_failure_code */
    struct pf_ack ack;
    enum pf_sending sending;
    uint64_t offset; /* of the frame: the server has so much, it said last */
    int cut;         /* the last attempt to send ended on its way */

    /* The beginning of a model file: its digest, then its bytes. */
    struct pf_buf part;
    size_t part_saved; /* bytes of it that a kill does not lose */

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

/* participation_reply.c */
/* What the check-in said, once earlier work was asked about. */
enum pocketfed_status pf_part_go_on(struct pf_participation *p);
/* The plan is in use: the model from the cache, or by asking for it. */
enum pocketfed_status pf_part_ask_for_model(struct pf_participation *p);

/* participation_plan.c */
int pf_part_has_digest(const void *p, size_t len, const uint8_t digest[32]);
/* Both set p->why; the second refuses. */
void pf_part_not_signed(struct pf_participation *p, const char *what);
enum pocketfed_status pf_part_wrong_digest(struct pf_participation *p,
                                           const char *what,
                                           const uint8_t digest[32]);
/* A reply whose statement was proved, kept under a name: statement, newline,
 * exact bytes. parse: 1 when `kept` is such and the statement, with that label,
 * right; body points into it. */
void pf_part_keep(struct pf_participation *p, const char *name,
                  const struct pf_want_reply *r);
int pf_part_parse_kept(const struct pf_participation *p, struct pf_buf *kept,
                       const char *label, const char **body, size_t *len);
enum pocketfed_status pf_part_on_plan(struct pf_participation *p,
                                      const struct pf_want_reply *r);
/* The assigned plan, if it is the one that was kept. */
enum pocketfed_status pf_part_use_kept_plan(struct pf_participation *p);

/* participation_proof.c */
/* By the record key or one that it replaced. */
enum pocketfed_status pf_part_verify(const struct pf_participation *p,
                                     const char *label, const void *body,
                                     size_t len,
                                     const uint8_t sig[PF_SIGNATURE_LEN]);
/* Finds receipt and history of earlier runs, once. */
void pf_part_recall(struct pf_participation *p);
/* An acknowledgement that was proved: kept until its round has a record. */
void pf_part_keep_receipt(struct pf_participation *p,
                          const struct pf_want_reply *r);
/* Has the round of the receipt ended, by what the check-in said? */
int pf_part_wants_proof(const struct pf_participation *p);
void pf_part_proof_query(const struct pf_participation *p, char *out,
                         size_t cap);
/* The proof; or there is none for now, which blocks nothing. */
enum pocketfed_status pf_part_on_proof(struct pf_participation *p,
                                       const struct pf_want_reply *r);
enum pocketfed_status pf_part_skip_proof(struct pf_participation *p);
/* PROOF with p->why when the assignment, or a model file, does not go on from
 * the last record that is known. */
enum pocketfed_status pf_part_check_base(struct pf_participation *p);
enum pocketfed_status pf_part_check_made(struct pf_participation *p,
                                         const struct pf_model_meta *meta,
                                         const uint8_t digest[32]);
/* p->why says what the pinned record key was refused for, or did not sign: ask
 * whether it was replaced, if that can be followed, else refuse. */
enum pocketfed_status pf_part_doubt_key(struct pf_participation *p);
enum pocketfed_status pf_part_on_key(struct pf_participation *p,
                                     const struct pf_want_reply *r);
enum pocketfed_status pf_part_key_stays(struct pf_participation *p);

/* participation_resume.c. The downloads of this digest: what is kept of one is
 * looked for, and forgotten with all else. */
void pf_part_begin_download(struct pf_participation *p,
                            const uint8_t digest[32]);
void pf_part_end_download(struct pf_participation *p);
/* Bytes of the longest file that can be the model's. */
size_t pf_part_model_file_max(const struct pf_participation *p);
/* Bytes of it that are here. */
size_t pf_part_downloaded(const struct pf_participation *p);
/* A success or 416 in answer to a download: OK with the whole file in *file,
 * valid until the download is ended; AGAIN when it has to be asked for once
 * more (p->why, and the wait is set); PROOF: whole, and another. */
enum pocketfed_status pf_part_take_file(struct pf_participation *p,
                                        const struct pf_want_reply *r,
                                        const uint8_t digest[32],
                                        const uint8_t **file, size_t *len);
/* The frame is ready. asked: it may have been sent before, so ask first. */
void pf_part_begin_upload(struct pf_participation *p, int asked);
/* The answer to "how much is there?". */
void pf_part_on_offset(struct pf_participation *p,
                       const struct pf_want_reply *r);
/* A refusal that is for the moment: how to send it next time. */
void pf_part_upload_again(struct pf_participation *p,
                          enum pf_problem_id problem);

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
