/* store_proof.h - what ended rounds are sealed with: their records, the leaves
 * of their updates, and how the record key changed hands.  Written once, never
 * changed, kept for ever.
 *
 * The records of a task are numbered from 0 on without a gap: they are its
 * log.  As in store.h, writing is the coordinator's and a failure is final.
 */
#ifndef PF_STORE_PROOF_H
#define PF_STORE_PROOF_H

#include "record.h"
#include "store.h"

/* Inside the transaction of the round's end: its record becomes the last of
 * the task's log. leaves sorted by pf_leaf_compare; n may be 0. */
struct pf_seal {
    uint64_t round;
    const void *body; /* the record's exact bytes */
    size_t len;
    const uint8_t *signature; /* PF_SIGNATURE_LEN */
    const uint8_t *sums; /* digest of the object that holds them, or NULL */
    const struct pf_leaf *leaves;
    size_t n_leaves;
};
enum pocketfed_status pf_store_seal(struct pf_store *s, int64_t task,
                                    const struct pf_seal *seal,
                                    struct pf_error *err);
/* How many records the task's log has, and the SHA-256 of the last one's bytes
 * (zeros when there is none). */
enum pocketfed_status pf_store_log_end(struct pf_store *s, int64_t task,
                                       uint64_t *size, uint8_t last[32],
                                       struct pf_error *err);
/* Each update that was accepted in a round, in no order; inside a transaction
 * also those it has written. */
struct pf_counted {
    uint8_t device[PF_DEVICE_LEN], digest[32];
    uint64_t weight;
    uint32_t staleness;
};
enum pocketfed_status
pf_store_counted(struct pf_store *s, int64_t task, uint64_t round,
                 void (*visit)(void *ctx, const struct pf_counted *c),
                 void *ctx, struct pf_error *err);
/* A new signature over the task's plan, durably. Outside a transaction. */
enum pocketfed_status pf_store_plan_sign(struct pf_store *s, int64_t task,
                                         const uint8_t sig[PF_SIGNATURE_LEN],
                                         struct pf_error *err);
/* The key of fingerprint `old` was replaced, durably; written again it changes
 * nothing. Outside a transaction. */
enum pocketfed_status pf_store_rotate(struct pf_store *s, const uint8_t old[32],
                                      const void *body, size_t len,
                                      const uint8_t sig[PF_SIGNATURE_LEN],
                                      struct pf_error *err);

/* Readers. NOT_FOUND when there is none, PROOF when a row is not what it was
 * written as, IO. */
struct pf_sealed {
    uint64_t seq; /* in the log */
    uint8_t body[PF_RECORD_MAX];
    size_t len;
    uint8_t signature[PF_SIGNATURE_LEN];
};
enum pocketfed_status pf_reader_sealed(struct pf_store_reader *r, int64_t task,
                                       uint64_t round, struct pf_sealed *out);
/* The leaf of a pseudonym and its place in the round's tree; digest NULL: the
 * first when there are several. */
enum pocketfed_status pf_reader_leaf(struct pf_store_reader *r, int64_t task,
                                     uint64_t round,
                                     const uint8_t pseudonym[32],
                                     const uint8_t *digest, struct pf_leaf *out,
                                     uint64_t *place);
/* All leaves of a round in the order of its tree. A visit that fails ends it
 * with that status. */
enum pocketfed_status pf_reader_leaves(
    struct pf_store_reader *r, int64_t task, uint64_t round,
    enum pocketfed_status (*visit)(void *ctx, const struct pf_leaf *leaf),
    void *ctx);
/* The records of a task's log from number `first` on, in order. */
enum pocketfed_status pf_reader_log(
    struct pf_store_reader *r, int64_t task, uint64_t first,
    enum pocketfed_status (*visit)(void *ctx, const void *body, size_t len),
    void *ctx);
/* Every rotation of the record key, in no order. */
enum pocketfed_status
pf_reader_rotations(struct pf_store_reader *r,
                    void (*visit)(void *ctx, const void *body, size_t len,
                                  const uint8_t sig[PF_SIGNATURE_LEN]),
                    void *ctx);
/* What replaced the key of that fingerprint: the statement's exact bytes,
 * appended to body. */
enum pocketfed_status pf_reader_rotation(struct pf_store_reader *r,
                                         const uint8_t old[32],
                                         struct pf_buf *body,
                                         uint8_t sig[PF_SIGNATURE_LEN]);

#endif
