#include "strategy.h"

#include <math.h>

/* FedAvg (McMahan, Moore, Ramage, Hampson, Agüera y Arcas 2017): with D the
 * weighted mean of the clients' deltas, w += eta * D. No state. */

static enum pocketfed_status check(const struct pf_task *t,
                                   struct pf_error *err)
{
    if (!(t->strategy.eta > 0 && t->strategy.eta <= 10))
        return pf_fail(err, POCKETFED_CONFIG,
                       "strategy.eta is %g; it must be over 0 and at most 10",
                       t->strategy.eta);
    return POCKETFED_OK;
}

static size_t n_state(size_t n_params)
{
    (void)n_params;
    return 0;
}

static enum pocketfed_status step(const struct pf_task *t,
                                  const struct pf_sum *sum, float *params,
                                  float *state)
{
    int finite = 1;
    size_t i;

    (void)state;
    for (i = 0; i < sum->n; i++) {
        params[i] = (float)((double)params[i] +
                            t->strategy.eta * pf_sum_mean(sum, &t->update, i));
        finite &= isfinite(params[i]) != 0;
    }
    return finite ? POCKETFED_OK : POCKETFED_NON_FINITE;
}

const struct pf_strategy pf_strategy_fedavg = {
    .name = "fedavg",
    .check = check,
    .n_state = n_state,
    .step = step,
};
