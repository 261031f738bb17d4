#include "optim.h"

#include <math.h>

#include "fmath.h"

enum pf_rule pf_optim_rule(const struct pf_train_config *c)
{
    if (c->optimizer == PF_ADAM)
        return PF_RULE_ADAM;
    if (c->optimizer == PF_ADAMW)
        return PF_RULE_ADAMW;
    if (!(c->momentum > 0))
        return PF_RULE_SGD;
    return c->nesterov ? PF_RULE_NESTEROV : PF_RULE_MOMENTUM;
}

unsigned pf_optim_arrays(const struct pf_train_config *c)
{
    switch (pf_optim_rule(c)) {
    case PF_RULE_SGD:
        return 0;
    case PF_RULE_MOMENTUM:
    case PF_RULE_NESTEROV:
        return 1;
    default:
        return 2;
    }
}

void pf_optim_set(struct pf_update *u, const struct pf_train_config *c,
                  uint64_t t, double lr)
{
    double left1 = 1 - pf_pow(c->beta1, (double)t);
    double left2 = 1 - pf_pow(c->beta2, (double)t);

    u->rule = pf_optim_rule(c);
    u->lr = (pf_real)lr;
    u->momentum = (pf_real)c->momentum;
    u->decay = (pf_real)c->weight_decay;
    u->beta1 = (pf_real)c->beta1;
    u->beta2 = (pf_real)c->beta2;
    u->epsilon = (pf_real)c->epsilon;
    u->rate = (pf_real)(lr / left1);
    u->correction = (pf_real)(1 / sqrt(left2));
    u->scale = 1;
    u->mu = (pf_real)c->mu;
}
