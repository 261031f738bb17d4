/* prover.h - the trees over a round's leaves and over a task's log, kept
 * between requests so that a proof costs a few hashes.
 *
 * A log's tree stays and grows by the records that are new; of the rounds'
 * trees those asked for last stay, with PF_PROVER_LEAVES leaves together (64
 * bytes each) or one that is larger.  The first request after a start or of a
 * round reads and hashes everything once: 100,000 leaves take half a second, as
 * many records two, each later proof some ten microseconds.  Thread-safe; who
 * comes while a tree is made waits for it.
 */
#ifndef PF_PROVER_H
#define PF_PROVER_H

#include "store_proof.h"

#define PF_PROVER_ROUNDS 64
#define PF_PROVER_LEAVES (1u << 18)

struct pf_prover;
enum pocketfed_status pf_prover_create(struct pf_prover **out);
void pf_prover_free(struct pf_prover *p); /* NULL is fine */

/* The path of one leaf. PROOF when the round has no such place. */
struct pf_leaf_path {
    uint8_t hash[PF_MERKLE_PATH][32];
    size_t n;
};
enum pocketfed_status pf_prover_leaf(struct pf_prover *p,
                                     struct pf_store_reader *r, int64_t task,
                                     uint64_t round, uint64_t place,
                                     struct pf_leaf_path *out);

/* The log as it is now, the path of record `seq` in it, and that it begins
 * with its first `since` records (none when it has fewer: n_growth 0). */
struct pf_log_proof {
    uint64_t size;
    uint8_t root[32];
    uint8_t path[PF_MERKLE_PATH][32];
    size_t n_path;
    uint8_t growth[PF_MERKLE_MOST][32];
    size_t n_growth;
};
enum pocketfed_status pf_prover_log(struct pf_prover *p,
                                    struct pf_store_reader *r, int64_t task,
                                    uint64_t seq, uint64_t since,
                                    struct pf_log_proof *out);

#endif
