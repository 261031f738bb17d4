#include "optim.h"

#include <math.h>

#include "fmath.h"

static size_t sgd_state(const struct pf_train_config *c)
{
    return c->momentum > 0 ? 1 : 0;
}

static void sgd_step(const struct pf_train_config *c,
                     const struct pf_kernels *k, uint64_t t, size_t n,
                     const pf_real *grads, pf_real *params, pf_real *state)
{
    struct pf_sgd_step s = {(pf_real)c->lr, (pf_real)c->momentum,
                            (pf_real)c->weight_decay};

    (void)t;
    k->sgd(&s, n, grads, params, sgd_state(c) ? state : NULL);
}

static size_t adam_state(const struct pf_train_config *c)
{
    (void)c;
    return 2;
}

static void adam_step(const struct pf_train_config *c,
                      const struct pf_kernels *k, uint64_t t, size_t n,
                      const pf_real *grads, pf_real *params, pf_real *state)
{
    double left1 = 1 - pf_pow(c->beta1, (double)t);
    double left2 = 1 - pf_pow(c->beta2, (double)t);
    struct pf_adam_step s = {
        .rate = (pf_real)(c->lr / left1),
        .beta1 = (pf_real)c->beta1,
        .beta2 = (pf_real)c->beta2,
        .epsilon = (pf_real)c->epsilon,
        .weight_decay = (pf_real)c->weight_decay,
        .correction = (pf_real)(1 / sqrt(left2)),
    };

    k->adam(&s, n, grads, params, state, state + n);
}

const struct pf_optim pf_optims[] = {
    [PF_SGD] = {"sgd", sgd_state, sgd_step},
    [PF_ADAM] = {"adam", adam_state, adam_step},
};
const char *const pf_optimizer_names[] = {"sgd", "adam", NULL};
