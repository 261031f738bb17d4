/* evaluation.h - measures published models on an operator's test set, on a
 * thread of its own, one after the other.
 *
 * A test set is loaded once per folder.  One that is no longer there is warned
 * about once; its rounds are then answered with -1 ("none"), so the rounds go
 * on.
 */
#ifndef PF_EVALUATION_H
#define PF_EVALUATION_H

#include "coordinator.h"
#include "idx.h"

/* The t10k images of a folder, checked to be what the model takes. CONFIG (what
 * is wrong with the folder), or the reader's own failure. */
enum pocketfed_status pf_test_set_load(const char *dir,
                                       const struct pf_model *m,
                                       struct pf_idx *out,
                                       struct pf_error *err);

struct pf_evaluator;
/* deliver gets an EVALUATED event, on the evaluator's thread. */
enum pocketfed_status
pf_evaluator_start(const struct pf_log *log,
                   void (*deliver)(void *ctx, struct pf_live_task *t,
                                   const struct pf_event *ev),
                   void *ctx, struct pf_evaluator **out, struct pf_error *err);
/* Gives up what is queued and under way; NULL is fine. */
void pf_evaluator_stop(struct pf_evaluator *e);
/* Takes over the reference to the model; NULL: it could not be read. 0: no
 * memory. */
int pf_evaluator_push(struct pf_evaluator *e, struct pf_live_task *t,
                      uint64_t round, struct pf_object *model);

#endif
