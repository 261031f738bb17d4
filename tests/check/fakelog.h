/* fakelog.h - a server's records and log in memory, for tests of what devices
 * check.  It can also say what no honest server says: two records for a round,
 * another history.
 */
#ifndef PF_CHECK_FAKELOG_H
#define PF_CHECK_FAKELOG_H

#include "proof.h"

#define FAKELOG_ROUNDS 40
#define FAKELOG_LEAVES 8

struct fakelog {
    const struct pf_key *key; /* borrowed; may change between rounds */
    size_t n;
    struct fakelog_round {
        struct pf_round_record record;
        uint8_t body[PF_RECORD_MAX];
        size_t len;
        uint8_t signature[PF_SIGNATURE_LEN];
        struct pf_leaf leaf[FAKELOG_LEAVES];
        size_t n_leaves;
    } round[FAKELOG_ROUNDS];
    int64_t time_ms;       /* what its records and heads say */
    const char *head_task; /* of another task than the records'; NULL: theirs */
};

void fakelog_init(struct fakelog *l, const struct pf_key *key);
/* Ends acks[0]->counted with these acknowledged updates and `model` as what
 * came of it (NULL: it is abandoned). base and plan are those of the first. */
void fakelog_seal(struct fakelog *l, const struct pf_ack *acks, size_t n,
                  const uint8_t *model);
/* Signs round i's record anew after a change of its struct. */
void fakelog_resign(struct fakelog *l, size_t i);
/* The proof of an acknowledged update; `since` as in the query. 0 when there is
 * no such round or update. */
int fakelog_prove(const struct fakelog *l, const struct pf_ack *ack,
                  uint64_t since, struct pf_proof *out);

#endif
