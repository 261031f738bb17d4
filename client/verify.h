/* verify.h - what a device's folder proves, without network: that its updates
 * are in records which the pinned record key signed (or one that followed from
 * it), that each proof's history goes on from the one before, and whether the
 * server ever contradicted itself.
 *
 * Nothing is repaired and nothing is written.  Everything in the folder counts
 * as said by a stranger until a signature vouches for it; a line that cannot be
 * read is a fault.  Only the end of a file behind its last newline is passed
 * over: a crash left it, and it will be cut off.
 */
#ifndef PF_VERIFY_H
#define PF_VERIFY_H

#include "keyring.h"
#include "participation.h"

/* An acknowledged update. */
struct pf_verified {
    struct pf_ack ack;
    int proved; /* record is filled */
    uint64_t log_index;
    struct pf_round_record record;
};

struct pf_verdict {
    struct pf_membership home;
    struct pf_keyring keyring; /* owned */
    struct pf_verified *list;  /* in the order of the receipts; owned */
    size_t n, n_proved;
    struct pf_history *history; /* of the last proof; NULL: none; owned */
    size_t faults;              /* told to `wrong` one by one */
    size_t evidence; /* of which so many contradictions of the server */
};

/* Looks at everything. NOT_FOUND when the folder has joined no task, NO_MEMORY,
 * IO, LIMIT (a file of more than 64 MiB); else OK, also with faults: those are
 * told one by one, a sentence each. *out is freed by pf_verdict_free, whatever
 * came of it. */
enum pocketfed_status
pf_verify_folder(const struct pf_storage *s,
                 void (*wrong)(void *ctx, const char *sentence), void *ctx,
                 struct pf_verdict *out, struct pf_error *err);
void pf_verdict_free(struct pf_verdict *v);

/* The record that names a model's digest as what came of its round; NULL: none
 * does. The newest when several do. */
const struct pf_verified *pf_verdict_model(const struct pf_verdict *v,
                                           const uint8_t digest[32]);

/* Two devices' records: texts of lines that hold proofs, as in proofs.jsonl,
 * or a proof alone. Rounds that both speak of are counted in *common; OK when
 * all those are equal, PROOF when one is not (err says which: both are signed)
 * or a record is not signed by the keys, NOT_FOUND without a common one,
 * MALFORMED. */
enum pocketfed_status pf_verify_compare(const struct pf_record_keys *keys,
                                        const char *a, const char *b,
                                        size_t *common, struct pf_error *err);

#endif
