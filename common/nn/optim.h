/* optim.h - the optimisers, a row each. */
#ifndef PF_OPTIM_H
#define PF_OPTIM_H

#include "kernels.h"
#include "train.h"

struct pf_optim {
    const char *name;
    /* Arrays of n_params values of state that it keeps under this
     * configuration; they follow each other and begin as zeros. */
    size_t (*n_state)(const struct pf_train_config *c);
    /* Step t (from 1) over n parameters. */
    void (*step)(const struct pf_train_config *c, const struct pf_kernels *k,
                 uint64_t t, size_t n, const pf_real *grads, pf_real *params,
                 pf_real *state);
};

extern const struct pf_optim pf_optims[]; /* indexed by enum pf_optimizer */

#endif
