/* strategy.h - from the mean update to the next parameters: a table.
 *
 * A strategy is a pure function of (parameters, its state, the sum): no clock,
 * no I/O, double arithmetic in fixed order, rounded once to float.
 */
#ifndef PF_STRATEGY_H
#define PF_STRATEGY_H

#include "sum.h"
#include "task.h"

struct pf_strategy {
    const char *name;
    enum pocketfed_status (*check)(const struct pf_task *t,
                                   struct pf_error *err);
    size_t (*n_state)(size_t n_params); /* floats of server state; 0: none */
    /* params (n_params) and state are changed in place. NON_FINITE leaves them
     * in an unspecified state; the caller throws both away. */
    enum pocketfed_status (*step)(const struct pf_task *t,
                                  const struct pf_sum *sum, float *params,
                                  float *state);
};

/* The rows, each in the file of its name. */
extern const struct pf_strategy pf_strategy_fedavg;

const struct pf_strategy *pf_strategy_find(const char *name); /* NULL: none */
const char *const *pf_strategy_names(void);

#endif
