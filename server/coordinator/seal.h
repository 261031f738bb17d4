/* seal.h - what the server commits itself to when a round has ended: the tree
 * over its accepted updates, and the record that names it, signed, as the next
 * leaf of the task's log (record.h).
 *
 * It is written in the transaction that ends the round, so that no round is
 * published without a record and none has two.
 */
#ifndef PF_SEAL_H
#define PF_SEAL_H

#include "coordinator.h"
#include "record.h"

/* How a round ended, with what the engine does not know. Digests of 32 bytes;
 * zeros: none. */
struct pf_round_end {
    uint64_t round;
    int outcome; /* enum pf_record_outcome */
    /* Model and strategy's state after the round. ABANDONED: not looked at. */
    const uint8_t *model, *strategy;
    const uint8_t *sums;
    uint64_t saturated;
    uint64_t source; /* ROLLED_BACK */
    int64_t time_ms; /* wall clock */
};
/* Inside the transaction, the round's records written. t->model_digest and
 * t->state are what was published before. Every failure is final. */
enum pocketfed_status pf_seal_round(struct pf_store *store,
                                    const struct pf_key *record_key,
                                    const struct pf_live_task *t,
                                    const struct pf_round_end *end,
                                    struct pf_error *err);

/* At start, when the record key is another than the one that signed the task's
 * plan: a new signature, in the store and in t. */
enum pocketfed_status pf_seal_plan(struct pf_store *store,
                                   const struct pf_key *record_key,
                                   struct pf_live_task *t,
                                   struct pf_error *err);

#endif
