/* proof.h - what a device checks of what a server committed itself to: that
 * its update is in a round's record, that the record is in the task's log,
 * that the log grew out of the one known before, and that a new record key
 * comes from the old one.
 *
 * Nothing is believed but signatures by the keys that are given.  No clock, no
 * memory, no I/O: the same functions serve a phone, `pocketfed verify` and
 * tests.
 */
#ifndef PF_PROOF_H
#define PF_PROOF_H

#include "messages.h"
#include "record.h"

/* Public Ed25519 keys any of which may have signed: the record key that is
 * pinned, and those that it replaced. Borrowed. */
struct pf_record_keys {
    const struct pf_key *const *key;
    size_t n;
};
/* OK, PROOF, or NO_MEMORY. */
enum pocketfed_status pf_keys_verify(const struct pf_record_keys *keys,
                                     const char *label, const void *body,
                                     size_t len,
                                     const uint8_t sig[PF_SIGNATURE_LEN]);

/* What a proof has left to know; zeroed: nothing. */
struct pf_history {
    int known;
    struct pf_proof proof;
    struct pf_round_record record; /* of proof */
    struct pf_log_head head;
};

/* Why a proof is refused. Of the last two, the message and the history before
 * it are evidence against the server: both are signed, and do not agree. */
enum pf_proof_fault {
    PF_FAULT_NONE,
    PF_FAULT_WRONG,     /* it does not prove what it should */
    PF_FAULT_REWRITTEN, /* the log does not begin with what was known of it */
    PF_FAULT_EQUIVOCAL, /* two records for one round or place, two logs of one
                           size */
};

/* Record, head and their signatures alone: what can be checked without knowing
 * an update. OK with *out filled; MALFORMED, UNSUPPORTED, PROOF. */
enum pocketfed_status pf_proof_read(const struct pf_proof *proof,
                                    const struct pf_record_keys *keys,
                                    struct pf_history *out,
                                    struct pf_error *err);
/* Does `proof` prove the acknowledged update in the round that it counts in,
 * going on from `before`? OK with
 * *after filled (it may be `before`); else PROOF (MALFORMED, UNSUPPORTED when
 * it cannot be read) with *fault, and *after as it was. */
enum pocketfed_status
pf_proof_check(const struct pf_proof *proof, const struct pf_ack *ack,
               const struct pf_record_keys *keys,
               const struct pf_history *before, struct pf_history *after,
               enum pf_proof_fault *fault, struct pf_error *err);

/* A line of text that keeps a proof, {"proof":"..."} with its exact JSON, and
 * maybe other members: MALFORMED when it is none. `name` is the member's. */
enum pocketfed_status pf_proof_line_read(const char *line, size_t len,
                                         const char *name,
                                         struct pf_proof *out);

/* A rotation's statement by the key that it replaces: OK with *out, PROOF or
 * MALFORMED. */
enum pocketfed_status pf_rotation_check(const struct pf_key *old,
                                        const void *body, size_t len,
                                        const uint8_t sig[PF_SIGNATURE_LEN],
                                        struct pf_rotation *out,
                                        struct pf_error *err);

#endif
