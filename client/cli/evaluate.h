/* evaluate.h - a model's accuracy on IDX files, on threads that the CLI owns.
 */
#ifndef PF_CLI_EVALUATE_H
#define PF_CLI_EVALUATE_H

#include "idx.h"
#include "train.h"

/* The examples of an IDX set as the library's callback; the set is borrowed.
 * CONFIG when its images are not what the model takes. */
enum pocketfed_status idx_examples(const struct pf_model *m,
                                   const struct pf_idx *set,
                                   struct pf_examples *out,
                                   struct pf_error *err);
/* Over all of the set, on those threads. The sums do not depend on them. */
enum pocketfed_status evaluate(const struct pf_model *m, const float *params,
                               const struct pf_idx *set,
                               enum pf_precision precision,
                               const struct pf_parallel *threads,
                               struct pf_evaluation *out, struct pf_error *err);

/* Of --precision; names end with NULL. */
extern const char *const precision_names[];
enum pf_precision precision_of(const char *name);

#endif
