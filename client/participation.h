/* participation.h - one contribution as a machine without I/O: it gives
 * requests, takes replies, trains in slices, and ends in an acknowledged
 * update.  The library's client and the simulator drive this same code.
 *
 *   check in -> plan -> model -> train -> clip, encode, sign -> upload -> ack
 *
 * It stores nothing itself: `struct pf_participation_io` lends the object
 * cache and the checkpoint (files in client.c, memory in the simulator).
 */
#ifndef PF_PARTICIPATION_H
#define PF_PARTICIPATION_H

#include "calls.h"
#include "crypto.h"
#include "messages.h"
#include "plan.h"
#include "problem.h"
#include "train.h"

/* Who takes part, and with whom. Borrowed during the participation. */
struct pf_member {
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t device[PF_DEVICE_LEN];
    uint64_t ordinal;
    const struct pf_key *record_key; /* public; all statements are checked */
    const char *client_version, *device_class;
    uint64_t memory;
};

struct pf_participation_io {
    void *ctx;
    /* Object by digest into out: OK or NOT_FOUND. put may drop older ones. */
    enum pocketfed_status (*object_get)(void *ctx, const uint8_t digest[32],
                                        struct pf_buf *out);
    enum pocketfed_status (*object_put)(void *ctx, const uint8_t digest[32],
                                        const void *p, size_t len);
    /* The checkpoint or ready frame of a round; NULL functions: none kept. */
    enum pocketfed_status (*save)(void *ctx, const char *name, const void *p,
                                  size_t len);
    enum pocketfed_status (*load)(void *ctx, const char *name,
                                  struct pf_buf *out);
    void (*remove)(void *ctx, const char *name);
};

enum pf_want {
    PF_WANT_REQUEST, /* *request is to be sent; then pf_participation_reply */
    PF_WANT_TRAIN,   /* call pf_participation_train */
    PF_WANT_WAIT,    /* come back after *wait_ms, then next again */
    PF_WANT_ENDED,   /* acknowledged, dropped, finished or refused */
};

struct pf_want_request {
    enum pf_call_id call;
    struct pf_call_args args;
    const uint8_t *body;
    size_t body_len;
    uint8_t digest[32]; /* SHA-256 of the body */
    size_t max_reply;
};

struct pf_want_reply { /* from the transport's reply */
    int status;
    const uint8_t *body;
    size_t body_len;
    const char *statement;      /* Pocketfed-Signature or NULL */
    int64_t retry_after_ms;     /* 0: none */
};

enum pf_outcome {
    PF_OUTCOME_RUNNING, PF_OUTCOME_ACCEPTED, PF_OUTCOME_DROPPED,
    PF_OUTCOME_FINISHED, PF_OUTCOME_REFUSED,
};

struct pf_participation;

enum pocketfed_status pf_participation_create(
    const struct pf_member *member, const struct pf_examples *examples,
    const struct pf_participation_io *io, struct pf_participation **out);
void pf_participation_free(struct pf_participation *p);
/* Ready for the next contribution (plan, model structure and buffers kept). */
void pf_participation_reset(struct pf_participation *p);
enum pf_want pf_participation_next(struct pf_participation *p,
                                   struct pf_want_request *request,
                                   int64_t *wait_ms);
/* OK when the machine moved on; a permanent refusal or a wrong proof is
 * returned with the sentence in err and the outcome set. The transport's
 * failures are not told to it: ask next again. */
enum pocketfed_status pf_participation_reply(struct pf_participation *p,
                                             const struct pf_want_reply *reply,
                                             struct pf_error *err);
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
const char *pf_participation_phase(const struct pf_participation *p);
void pf_participation_progress(const struct pf_participation *p,
                               uint64_t *done, uint64_t *total, double *loss);

#endif
