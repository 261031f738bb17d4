/* participation.h - one contribution as a machine without I/O: it gives
 * requests, takes replies, trains in slices, and ends in an acknowledged
 * update.  The library's client and the simulator drive this same code.
 *
 *   check in -> plan -> model -> train -> clip, encode, sign -> upload -> ack
 *
 * It has no clock and stores nothing itself: `struct pf_participation_io` lends
 * the model cache and the little that a kill must not lose (files in client.c,
 * memory in the simulator).  Whoever is killed at any point and starts again
 * with the same io ends with the same frame, bit for bit.
 */
#ifndef PF_PARTICIPATION_H
#define PF_PARTICIPATION_H

#include "calls.h"
#include "crypto.h"
#include "messages.h"
#include "plan.h"
#include "problem.h"
#include "proof.h"
#include "train.h"

/* Who takes part, and with whom. Borrowed during the participation. */
struct pf_member {
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t device[PF_DEVICE_LEN];
    uint64_t ordinal;
    const struct pf_key *record_key; /* public; all statements are checked */
    /* It and the keys that it replaced: they signed older records. Empty: it
     * alone. */
    struct pf_record_keys keys;
    const char *client_version, *device_class; /* the latter may be NULL */
    uint64_t memory;     /* bytes a participation may take; 0: no limit */
    uint64_t last_round; /* of the last accepted update, 0: none; a lower
                            assignment is refused */
};

struct pf_participation_io {
    void *ctx;
    /* Model file by digest into out: OK or NOT_FOUND. put may drop older ones.
     * NULL functions: no cache. */
    enum pocketfed_status (*object_get)(void *ctx, const uint8_t digest[32],
                                        struct pf_buf *out);
    enum pocketfed_status (*object_put)(void *ctx, const uint8_t digest[32],
                                        const void *p, size_t len);
    /* Small state under fixed names; NULL functions: none kept. What is loaded
     * is checked before it is used, so damage costs work, never correctness. */
    enum pocketfed_status (*save)(void *ctx, const char *name, const void *p,
                                  size_t len);
    enum pocketfed_status (*load)(void *ctx, const char *name,
                                  struct pf_buf *out);
    void (*remove)(void *ctx, const char *name);
    /* Lines that are kept for ever, under fixed names: one is appended,
     * durably, unless the last one begins with the same key_len bytes; the last
     * whole one is read, without its newline (NOT_FOUND). NULL functions: no
     * proofs are asked for. */
    enum pocketfed_status (*append)(void *ctx, const char *name,
                                    const char *line, size_t key_len);
    enum pocketfed_status (*last)(void *ctx, const char *name,
                                  struct pf_buf *out);
    /* A record key that follows from member->record_key, by this statement of
     * len bytes, was checked: keep it, and let *member and the address of
     * requests name it from now on; LIMIT when there were too many. NULL
     * function: none is followed. */
    enum pocketfed_status (*rotated)(void *ctx, const struct pf_rotation *r,
                                     const void *body, size_t len,
                                     const char *statement);
    const struct pf_parallel *threads; /* for the training; NULL: none */
    size_t resume_least; /* shorter frames are sent whole again after a cut;
                            0: PF_RESUME_LEAST */
};

/* Asking how much has come costs about as much as this on a phone's link. */
#define PF_RESUME_LEAST (64u << 10)

/* The names: the signed plan in use, the beginning of a model file, the
 * training so far, the frame that is ready to be sent. One of each is enough:
 * each says what it is for. */
#define PF_SAVED_PLAN   "plan"
#define PF_SAVED_MODEL  "model"
#define PF_SAVED_TRAIN  "train"
#define PF_SAVED_UPDATE "update"
/* The acknowledgement that has no proof yet, as the plan is kept. */
#define PF_SAVED_RECEIPT "receipt"
/* The lines: {"proof":"..."}, the reply's exact text, one for each proved
 * update; {..., "before":"...", "now":"..."}, two such texts that contradict
 * each other. */
#define PF_KEPT_PROOFS   "proofs.jsonl"
#define PF_KEPT_EVIDENCE "evidence.jsonl"

enum pf_want {
    PF_WANT_REQUEST, /* *request is to be sent; then pf_participation_reply */
    PF_WANT_TRAIN,   /* call pf_participation_train */
    PF_WANT_WAIT,    /* come back after *wait_ms, then next again */
    PF_WANT_ENDED,   /* acknowledged, dropped, finished or refused */
};

struct pf_want_request {
    enum pf_call_id call;
    struct pf_call_args args;
    char query[112]; /* "?..." behind the path, or "" */
    const uint8_t *body;
    size_t body_len;
    uint8_t digest[32]; /* SHA-256 of the body; UPDATE_APPEND: of the whole */
    uint64_t offset;    /* UPDATE_APPEND: where the body begins in the whole;
                           PLAN, MODEL: where the reply should */
    size_t max_reply;
};

struct pf_want_reply { /* from the transport's reply */
    int status;
    const uint8_t *body;
    size_t body_len;
    const char *statement;  /* Pocketfed-Signature or NULL */
    int64_t retry_after_ms; /* 0: none */
    int64_t upload_offset;  /* -1: not said */
    int64_t range_first;    /* of the body, by Content-Range; -1: not said */
    int has_digest;         /* Repr-Digest: of the whole */
    uint8_t digest[32];
    uint64_t body_sent; /* bytes of the request's body, by a failed attempt */
};

enum pf_outcome {
    PF_OUTCOME_RUNNING,
    PF_OUTCOME_ACCEPTED,
    PF_OUTCOME_DROPPED,
    PF_OUTCOME_FINISHED,
    PF_OUTCOME_REFUSED,
};

struct pf_participation;

enum pocketfed_status pf_participation_create(
    const struct pf_member *member, const struct pf_examples *examples,
    const struct pf_participation_io *io, struct pf_participation **out);
void pf_participation_free(struct pf_participation *p);
/* Ready for the next contribution (plan, model structure and buffers kept).
 * Only now is an acknowledged frame forgotten: store its receipt before. */
void pf_participation_reset(struct pf_participation *p);
enum pf_want pf_participation_next(struct pf_participation *p,
                                   struct pf_want_request *request,
                                   int64_t *wait_ms);
/* OK when the machine moved on; a permanent refusal or a wrong proof is
 * returned with the sentence in err and the outcome set. */
enum pocketfed_status pf_participation_reply(struct pf_participation *p,
                                             const struct pf_want_reply *reply,
                                             struct pf_error *err);
/* The request failed on its way, or is given up: *so_far is what has come of
 * the reply (zeroed: nothing). Bytes that moved are not moved again: a download
 * goes on at its end, an upload where the server says that it stands. */
void pf_participation_cut(struct pf_participation *p,
                          const struct pf_want_reply *so_far);
/* The same for one that failed; returns for how long to wait before the next,
 * in ms. The waits grow while nothing moves and begin anew when something does,
 * so that a link that keeps dropping is used to the full. */
int64_t pf_participation_failed(struct pf_participation *p,
                                const struct pf_want_reply *so_far);
/* At least one mini-batch, then as many as fit into budget_ms by now_ms()
 * (NULL: exactly one). */
enum pocketfed_status pf_participation_train(struct pf_participation *p,
                                             int budget_ms,
                                             int64_t (*now_ms)(void *ctx),
                                             void *ctx, struct pf_error *err);
/* Writes the checkpoint now. */
enum pocketfed_status pf_participation_checkpoint(struct pf_participation *p,
                                                  struct pf_error *err);

/* Views. */
enum pf_outcome pf_participation_outcome(const struct pf_participation *p);
uint64_t pf_participation_round(const struct pf_participation *p);
const struct pf_ack *pf_participation_ack(const struct pf_participation *p);
/* The newest round whose record is known, 0 before any. */
uint64_t pf_participation_proved(const struct pf_participation *p);
/* "checkin", "proof", "key", "plan", "model", "train", "upload", "failure" or
 * "ended". */
const char *pf_participation_phase(const struct pf_participation *p);
/* Examples trained on, of how many, and the mean loss (NaN before any). */
void pf_participation_progress(const struct pf_participation *p, uint64_t *done,
                               uint64_t *total, double *loss);
/* Floats of one example of the plan in use; 0 before there is a plan. */
size_t pf_participation_input(const struct pf_participation *p);
/* Why the last request is asked again, the work was dropped or refused; status
 * OK when nothing went wrong. */
const struct pf_error *pf_participation_error(const struct pf_participation *p);
/* The server's Unix time in milliseconds when the last reply stated it under
 * the record key, else 0. Correct the clock that signs by it. */
int64_t pf_participation_server_time(const struct pf_participation *p);

/* The longest wait that anybody can ask of us. */
#define PF_WAIT_MOST_MS ((int64_t)24 * 3600 * 1000)

/* Full-jitter exponential backoff: uniform in [50 ms, 1 s * 2^attempt], at most
 * 10 min. `index` numbers the draws of one `seed`. */
int64_t pf_backoff_ms(uint64_t seed, uint64_t index, unsigned attempt);

#endif
