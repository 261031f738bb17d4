/* partition.h - who owns which example: index lists from (seed, labels).
 *
 * One table row per scheme; every example goes to exactly one client, every
 * client gets at least one, and the result is a pure function of the inputs.
 */
#ifndef PF_PARTITION_H
#define PF_PARTITION_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

struct pf_partition {
    uint32_t n_clients, n_examples;
    uint32_t *index; /* n_examples entries, client after client */
    uint32_t *start; /* n_clients + 1 entries: client k owns
                        index[start[k] .. start[k+1]) */
};

/* text: "iid", "shards:K" (sort by label, K shards a client: McMahan 2017),
 * "dirichlet:A" (label proportions per client ~ Dir(A), equally many examples:
 * Hsu 2019), 0.001 <= A <= 1e6.  labels: n of them; NULL will do for iid.
 * CONFIG with the accepted forms for anything else, or when there are more
 * clients (or shards) than examples. On success the caller frees *out. */
enum pocketfed_status pf_partition_make(const char *text, const uint8_t *labels,
                                        uint32_t n, uint32_t n_clients,
                                        uint64_t seed, struct pf_partition *out,
                                        struct pf_error *err);
void pf_partition_free(struct pf_partition *p); /* zeroed is fine */
/* The accepted forms, for help texts: "iid|shards:K|dirichlet:A". */
const char *pf_partition_forms(void);

#endif
