#include "train.h"

#include <string.h>

#include "fmath.h"

const char *const pf_optimizer_names[] = {"sgd", "adam", "adamw", NULL};
const char *const pf_schedule_names[] = {"constant", "step", "cosine", NULL};

void pf_train_config_default(struct pf_train_config *c)
{
    memset(c, 0, sizeof *c);
    c->optimizer = PF_SGD;
    c->lr = 0.05;
    c->beta1 = 0.9;
    c->beta2 = 0.999;
    c->epsilon = 1e-8;
    c->gamma = 0.1;
    c->epochs = 1;
    c->batch = 32;
    c->shuffle = 1;
}

static enum pocketfed_status check_rates(const struct pf_train_config *c,
                                         struct pf_error *err)
{
    if (!(c->lr > 0 && c->lr <= 10))
        return pf_fail(err, POCKETFED_INVALID,
                       "lr is %g; it must be more than 0 and at most 10",
                       c->lr);
    if (c->schedule < PF_CONSTANT || c->schedule > PF_COSINE)
        return pf_fail(err, POCKETFED_INVALID,
                       "schedule must be \"constant\", \"step\" or "
                       "\"cosine\"");
    if (c->schedule == PF_STEP && !c->decay_epochs == !c->decay_steps)
        return pf_fail(err, POCKETFED_INVALID,
                       "decay_epochs is %u and decay_steps %u; with the "
                       "schedule \"step\" one of them must be more than 0",
                       c->decay_epochs, c->decay_steps);
    if (!(c->gamma > 0 && c->gamma <= 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "gamma is %g; it must be more than 0 and at most 1",
                       c->gamma);
    if (!(c->lr_min >= 0 && c->lr_min <= c->lr))
        return pf_fail(err, POCKETFED_INVALID,
                       "lr_min is %g; it must be from 0 to lr, %g", c->lr_min,
                       c->lr);
    return POCKETFED_OK;
}

static enum pocketfed_status check_gradient(const struct pf_train_config *c,
                                            struct pf_error *err)
{
    if (!(c->weight_decay >= 0 && c->weight_decay <= 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "weight_decay is %g; it must be from 0 to 1",
                       c->weight_decay);
    if (!(c->clip_norm >= 0 && c->clip_norm <= 1e9))
        return pf_fail(err, POCKETFED_INVALID,
                       "clip_norm is %g; it must be from 0 to 1e9",
                       c->clip_norm);
    if (!(c->mu >= 0 && c->mu <= 100))
        return pf_fail(err, POCKETFED_INVALID,
                       "mu is %g; it must be from 0 to 100", c->mu);
    return POCKETFED_OK;
}

static enum pocketfed_status check_momentum(const struct pf_train_config *c,
                                            struct pf_error *err)
{
    if (!(c->momentum >= 0 && c->momentum < 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "momentum is %g; it must be at least 0 and less than 1",
                       c->momentum);
    if (c->momentum > 0 && c->optimizer != PF_SGD)
        return pf_fail(err, POCKETFED_INVALID,
                       "momentum is %g, but only sgd has it", c->momentum);
    if (c->nesterov && !(c->momentum > 0))
        return pf_fail(err, POCKETFED_INVALID,
                       "nesterov needs momentum, which is 0");
    if (!(c->beta1 >= 0 && c->beta1 < 1 && c->beta2 >= 0 && c->beta2 < 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "beta1 is %g and beta2 %g; they must be at least 0 and "
                       "less than 1",
                       c->beta1, c->beta2);
    if (!(c->epsilon > 0 && c->epsilon <= 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "epsilon is %g; it must be more than 0 and at most 1",
                       c->epsilon);
    return POCKETFED_OK;
}

enum pocketfed_status pf_train_config_check(const struct pf_train_config *c,
                                            struct pf_error *err)
{
    enum pocketfed_status st;

    /* Comparisons are written so that NaN fails them. */
    if (c->optimizer < PF_SGD || c->optimizer > PF_ADAMW)
        return pf_fail(err, POCKETFED_INVALID,
                       "optimizer must be \"sgd\", \"adam\" or \"adamw\"");
    st = check_rates(c, err);
    if (st == POCKETFED_OK)
        st = check_momentum(c, err);
    if (st == POCKETFED_OK)
        st = check_gradient(c, err);
    if (st != POCKETFED_OK)
        return st;
    if (c->epochs < 1 || c->epochs > 1000)
        return pf_fail(err, POCKETFED_INVALID,
                       "epochs is %u; it must be from 1 to 1000", c->epochs);
    if (c->batch < 1 || c->batch > 4096)
        return pf_fail(err, POCKETFED_INVALID,
                       "batch is %u; it must be from 1 to 4096", c->batch);
    return POCKETFED_OK;
}

double pf_train_rate(const struct pf_train_config *c, uint64_t step,
                     uint64_t steps, uint64_t epoch)
{
    const double pi = 3.14159265358979323846;
    uint64_t left = steps > c->warmup ? steps - c->warmup : 1, falls;
    double rate = c->lr, way;

    if (step < c->warmup)
        return c->lr * (double)(step + 1) / (double)c->warmup;
    if (c->schedule == PF_STEP) {
        falls = c->decay_steps ? step / c->decay_steps
                               : step / epoch / c->decay_epochs;
        return falls ? c->lr * pf_pow(c->gamma, (double)falls) : c->lr;
    }
    if (c->schedule == PF_COSINE) {
        way = (double)(step - c->warmup) / (double)left;
        rate = c->lr_min + (c->lr - c->lr_min) * 0.5 * (1 + pf_cos(pi * way));
    }
    return rate;
}
