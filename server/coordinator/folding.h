/* folding.h - worker threads that add accepted updates to a round's sum.
 *
 * Each worker keeps one partial sum per open round, so nothing is locked while
 * numbers are added; integer sums merge to the same bits in any order.  An
 * accepted update that cannot be read is fatal: it was acknowledged.
 */
#ifndef PF_FOLDING_H
#define PF_FOLDING_H

#include "segment.h"
#include "sum.h"

struct pf_folding;
struct pf_fold; /* the sum of one round in the making; reference-counted */

enum pocketfed_status
pf_folding_start(unsigned threads,
                 void (*fatal)(void *ctx, const struct pf_error *err),
                 void *ctx, struct pf_folding **out, struct pf_error *err);
/* Finishes what is queued. Every fold's reference is given back afterwards or
 * before; NULL is fine. */
void pf_folding_stop(struct pf_folding *f);

/* One reference. The plan is borrowed and outlives the fold; the segment gets
 * a reference of its own. */
enum pocketfed_status pf_fold_open(struct pf_folding *f,
                                   const struct pf_plan *plan, size_t n_params,
                                   struct pf_segment *segment,
                                   struct pf_fold **out, struct pf_error *err);
struct pf_fold *pf_fold_ref(struct pf_fold *fold);
void pf_fold_unref(struct pf_fold *fold); /* NULL is fine */
/* Queues one update; waits while the queue is full. Coordinator thread. */
void pf_fold_add(struct pf_fold *fold, const struct pf_extent *extent,
                 uint64_t weight, double factor);
/* Waits for all that was added and merges. The sum belongs to the fold. One
 * thread, after the last add. NO_MEMORY when a worker had none; INVALID when
 * nothing was added. */
enum pocketfed_status pf_fold_total(struct pf_fold *fold, struct pf_sum **out,
                                    struct pf_error *err);

#endif
