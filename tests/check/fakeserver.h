/* fakeserver.h - a server in memory with one task, one tiny model and real
 * signatures, for tests of the client.  It answers calls one by one, and each
 * test bends an answer to see what the client makes of it.
 */
#ifndef PF_FAKESERVER_H
#define PF_FAKESERVER_H

#include "buf.h"
#include "calls.h"
#include "crypto.h"
#include "fakelog.h"
#include "messages.h"
#include "model.h"
#include "plan.h"
#include "problem.h"

#define PF_FAKE_EXAMPLES 40

struct pf_fake_reply {
    int status;
    struct pf_buf body;
    char statement[96]; /* "" : not sent */
    int64_t retry_after_s;
    int64_t upload_offset, range_first; /* -1: not said */
    int has_digest;
    uint8_t digest[32]; /* Repr-Digest */
};

/* What the headers of a request say beside its body; zeroed: nothing. */
struct pf_fake_asked {
    uint64_t offset;    /* Upload-Offset, or where a Range begins */
    uint8_t digest[32]; /* Repr-Digest */
};

struct pf_fake {
    struct pf_key *record_key, *other_key;
    struct pf_key *device_key; /* public, as enrolled; NULL before */
    uint8_t device[PF_DEVICE_LEN];
    struct pf_model *model;
    struct pf_plan plan; /* change, then pf_fake_publish */
    struct pf_buf plan_bytes, model_file;
    uint8_t plan_digest[32], model_digest[32];
    struct pf_checkin_reply work; /* what a check-in is answered with */

    /* Answers the next `times` requests of this call with the problem. */
    enum pf_call_id problem_at;
    struct pf_problem problem;
    int problem_times, problem_unsigned;
    int64_t retry_after_s;
    int bare_status; /* instead of a problem document */
    /* Called before an answer is signed; NULL: nothing is bent. */
    void (*bend)(struct pf_fake *, enum pf_call_id, struct pf_buf *body);
    int wrong_signature_at;     /* enum pf_call_id, or -1 */
    int drop_ack;               /* the update is taken, the answer is lost */
    struct pf_fake_asked asked; /* set it before each call that has any */
    int whole_models;           /* Range is ignored, as by some caches */
    int keeps_nothing;          /* of uploads that were cut off */
    /* What the rules of the server are. */
    int keep_contributing; /* after an update: next round, same base */

    /* Proofs are told from here, NULL: 404; what was acknowledged; the
     * request's query, set by whoever serves. */
    const struct fakelog *log;
    struct pf_ack acks[16];
    size_t n_acks;
    char query[128],
        proof_query[128]; /* of this, of the last proof's request */
    /* What GET /v1/keys answers about this key; made by pf_fake_rotate. */
    uint8_t replaced[32];
    struct pf_buf rotation;
    char rotation_statement[96];
    struct pf_key *former_key;

    int calls[PF_CALL_COUNT];
    int bad_signatures;
    struct pf_buf frame; /* last update */
    struct pf_buf kept;  /* of one that was cut off */
    uint8_t kept_digest[32];
    struct pf_failure_report report;
    int64_t now_ms;
};

void pf_fake_start(struct pf_fake *f, const char *task);
/* Plan and model into bytes and digests, after a change. */
void pf_fake_publish(struct pf_fake *f);
/* A new record key, by the word of the present one. Plans are signed by it. */
void pf_fake_rotate(struct pf_fake *f);
/* Another model, of 30003 parameters: its frames are long enough to be resumed
 * after a cut. */
void pf_fake_grow(struct pf_fake *f);
void pf_fake_stop(struct pf_fake *f);
void pf_fake_reply_free(struct pf_fake_reply *r);
/* Serves one call. r was zeroed or used before. */
void pf_fake_serve(struct pf_fake *f, enum pf_call_id call,
                   const struct pf_call_args *args, const uint8_t *body,
                   size_t len, struct pf_fake_reply *r);
/* An UPDATE or UPDATE_APPEND of which only the first len bytes arrive. */
void pf_fake_cut(struct pf_fake *f, enum pf_call_id call, const uint8_t *body,
                 size_t len);
/* Example i of every test: 16 floats and a class of 3, from i alone. */
enum pocketfed_status pf_fake_example(void *ctx, size_t i, float *x,
                                      uint32_t *label);

#endif
