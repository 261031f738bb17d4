#include "round_inside.h"

#include <stdio.h>
#include <string.h>

int64_t pf_lease_ms(const struct pf_task *t)
{
    double lasts = t->round.lease_s;

    if (lasts <= 0)
        lasts = t->round.policy == PF_POLICY_ASYNC
                    ? t->round.collect.max_s
                    : t->round.select.max_s + t->round.collect.max_s;
    return pf_task_ms(lasts);
}

int64_t pf_round_deadline(const struct pf_round *r)
{
    return r->policy->deadline(r);
}

struct folds {
    uint64_t round;
    void (*visit)(void *ctx, uint64_t round, const struct pf_effect *fold);
    void *ctx;
};

static void fold_one(void *ctx, const struct pf_device_ref *device,
                     const struct pf_accepted *a)
{
    const struct folds *f = ctx;
    struct pf_effect fold;

    memset(&fold, 0, sizeof fold);
    fold.kind = PF_EFFECT_FOLD;
    fold.round = f->round;
    fold.u.fold.device = *device;
    memcpy(fold.u.fold.digest, a->digest, sizeof fold.u.fold.digest);
    fold.u.fold.extent = a->extent;
    fold.u.fold.weight = a->admitted.weight;
    fold.u.fold.factor = pf_staleness_factor(a->staleness);
    f->visit(f->ctx, f->round, &fold);
}

void pf_round_folds(const struct pf_round *r,
                    void (*visit)(void *ctx, uint64_t round,
                                  const struct pf_effect *fold),
                    void *ctx)
{
    uint64_t closing = r->policy->closing(r);
    struct folds f = {closing, visit, ctx};

    if (closing != 0)
        r->policy->accepted(r, closing, fold_one, &f);
    f.round = r->round;
    if (pf_round_is_open(r))
        r->policy->accepted(r, r->round, fold_one, &f);
}

void pf_round_task_status(const struct pf_round *r, int64_t now_ms,
                          struct pf_task_status *out)
{
    struct pf_round_status open;

    memset(out, 0, sizeof *out);
    memcpy(out->task, r->task->name, sizeof out->task);
    out->state = r->state;
    snprintf(out->phase, sizeof out->phase, "%s", pf_phase_names[r->phase]);
    out->round = r->round;
    if (pf_round_open_status(r, now_ms, &open)) {
        out->assigned = open.assigned;
        out->accepted = open.accepted;
        out->needed = open.needed;
    }
    out->published = r->published;
    memcpy(out->model, r->model, sizeof out->model);
    memcpy(out->plan, r->plan, sizeof out->plan);
    out->test_accuracy = r->test_accuracy;
    out->test_loss = r->test_loss;
    out->evaluated_round = r->measured_round;
    memcpy(out->reason, r->reason, sizeof out->reason);
}

int pf_round_open_status(const struct pf_round *r, int64_t now_ms,
                         struct pf_round_status *out)
{
    const struct pf_totals *t = &r->totals[0];

    if (!pf_round_is_open(r) && r->phase != PF_PHASE_CLOSING)
        return 0;
    memset(out, 0, sizeof *out);
    out->round = r->round;
    snprintf(out->phase, sizeof out->phase, "%s", pf_phase_names[r->phase]);
    memcpy(out->base, r->model, sizeof out->base);
    r->policy->counts(r, now_ms, out);
    out->needed = r->task->round.collect.min;
    out->weight = t->weight;
    out->saturated = t->saturated;
    out->elapsed_ms = now_ms > r->opened_ms ? now_ms - r->opened_ms : 0;
    out->train_loss = pf_totals_loss(t);
    out->test_loss = out->test_accuracy = -1;
    return 1;
}

uint64_t pf_round_assignment(const struct pf_round *r,
                             const uint8_t id[PF_DEVICE_LEN])
{
    return r->policy->assignment(r, id);
}
