/* hold.h - an exchange's hold on its upload (partial.h): how it gets it, loses
 * it to a newer request, and lets it go, with the bytes that have come.
 */
#ifndef PF_HOLD_H
#define PF_HOLD_H

#include "exchange.h"

/* By which the upload is known; the exchange's task and device are. */
void pf_hold_key(const struct pf_exchange *ex, struct pf_partial_key *out);
/* Takes the upload from whoever has it. A PUT starts anew; a PATCH goes on with
 * what is kept, which must fit: 0 with the refusal in *why, and *offset the
 * right one when there is any. Not to be disturbed until pf_partials_end. */
int pf_hold_take(struct pf_exchange *ex, struct pf_problem *why,
                 uint64_t *offset);
/* By its own will; keep: a PATCH may go on with what has come. Fine for one
 * that holds nothing (any more). */
void pf_hold_let_go(struct pf_exchange *ex, int keep);
/* The connection is gone, or as good as dead: counted when it was an upload
 * that was let in and not answered. */
void pf_hold_lost(struct pf_exchange *ex);
/* Counts the bytes that came since it was called last. */
void pf_hold_count(struct pf_exchange *ex);
/* The place in the coordinator's queue, given back once. */
void pf_hold_drop_place(struct pf_exchange *ex);

#endif
