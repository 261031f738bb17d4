/* verify.h - what must hold of a state directory, whatever happened to its
 * daemon.
 *
 * The records are read from a copy of the database by the store's own loader,
 * and everything else is computed a second time from them and from the frames
 * that the clients kept, undisturbed: each sum, each model, byte for byte.
 */
#ifndef CRASH_VERIFY_H
#define CRASH_VERIFY_H

#include "book.h"
#include "round.h"

struct verified {
    unsigned tasks;
    uint64_t rounds, published, accepted; /* over all tasks */
    uint64_t open_accepted;               /* of those, in rounds still open */
    /* of the first task */
    uint64_t newest;               /* its newest round */
    uint8_t model[32], before[32]; /* its newest two models */
    struct pf_extent last;         /* the one that ends last of what is counted
                                      in the open round */
};

/* Nobody may use the state directory meanwhile. 1 when it holds; otherwise 0
 * and a sentence (why_len bytes):
 * - every acknowledgement in the book has exactly one record, in one round,
 *   with the same contents, in a round that is published or open;
 * - no device and no frame is counted twice;
 * - every published model, and the state behind it, is what the strategy makes
 *   of the base and of the frames of that round's records;
 * - the newest models are there as files, undamaged, and so is the base of
 *   every open round, and the bytes of every update of an open round. */
int verify_state(const char *state, struct book *book, struct verified *out,
                 char *why, size_t why_len);

#endif
