/* optim.h - from a training's options to the kernels' update. */
#ifndef PF_OPTIM_H
#define PF_OPTIM_H

#include "kernels.h"
#include "train.h"

enum pf_rule pf_optim_rule(const struct pf_train_config *c);
/* Arrays of optimiser state that the rule keeps; they begin as zeros. */
unsigned pf_optim_arrays(const struct pf_train_config *c);
/* Everything of u but its arrays, for step t (from 1) at the rate lr; the
 * gradient's scale becomes 1. */
void pf_optim_set(struct pf_update *u, const struct pf_train_config *c,
                  uint64_t t, double lr);

#endif
