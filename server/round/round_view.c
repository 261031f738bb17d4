#include "round_inside.h"

#include <stdio.h>
#include <string.h>

int64_t pf_round_deadline(const struct pf_round *r)
{
    struct pf_phase_row row = pf_round_row(r);
    int64_t at;

    if (row.window) {
        at = r->phase_ms + pf_task_ms(row.window->max_s);
        if (row.count >= row.window->min)
            at = r->phase_ms + pf_task_ms(row.window->min_s);
        return at;
    }
    if (r->state != PF_TASK_RUNNING || r->phase == PF_PHASE_CLOSING)
        return INT64_MAX;
    /* IDLE while running lasts only from a load to the first event. */
    return r->phase == PF_PHASE_BACKOFF ? r->backoff_ms : r->phase_ms;
}

void pf_round_folds(const struct pf_round *r,
                    void (*visit)(void *ctx, uint64_t round,
                                  const struct pf_effect *fold),
                    void *ctx)
{
    const struct pf_roster *roster = &r->roster[0];
    struct pf_effect fold;
    uint32_t i;

    if (!pf_round_is_open(r) && r->phase != PF_PHASE_CLOSING)
        return;
    memset(&fold, 0, sizeof fold);
    fold.kind = PF_EFFECT_FOLD;
    fold.round = r->round;
    for (i = 0; i < roster->n; i++) {
        if (roster->entry[i].state != PF_ENTRY_ACCEPTED)
            continue;
        fold.u.fold.device = roster->entry[i].device;
        memcpy(fold.u.fold.digest, roster->entry[i].digest,
               sizeof fold.u.fold.digest);
        fold.u.fold.extent = roster->entry[i].extent;
        fold.u.fold.weight = roster->entry[i].weight;
        visit(ctx, r->round, &fold);
    }
}

int pf_round_accepted(const struct pf_round *r, uint64_t round,
                      uint8_t base[32],
                      void (*visit)(void *ctx, const struct pf_accepted *a),
                      void *ctx)
{
    const struct pf_roster *roster = &r->roster[0];
    struct pf_accepted a;
    uint32_t i;

    if (roster->round != round)
        roster = &r->roster[1];
    if (roster->round != round || round == 0)
        return 0;
    memcpy(base, roster->base, 32);
    memset(&a, 0, sizeof a);
    for (i = 0; i < roster->n; i++) {
        if (roster->entry[i].state != PF_ENTRY_ACCEPTED)
            continue;
        memcpy(a.device, roster->entry[i].device.id, sizeof a.device);
        memcpy(a.digest, roster->entry[i].digest, sizeof a.digest);
        a.weight = roster->entry[i].weight;
        visit(ctx, &a);
    }
    return 1;
}

void pf_round_task_status(const struct pf_round *r, int64_t now_ms,
                          struct pf_task_status *out)
{
    (void)now_ms;
    memset(out, 0, sizeof *out);
    memcpy(out->task, r->task->name, sizeof out->task);
    out->state = r->state;
    snprintf(out->phase, sizeof out->phase, "%s", pf_phase_names[r->phase]);
    out->round = r->round;
    if (pf_round_is_open(r) || r->phase == PF_PHASE_CLOSING) {
        out->assigned = r->roster[0].n;
        out->accepted = r->roster[0].n_accepted;
        out->needed = r->task->round.collect.min;
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
    const struct pf_roster *roster = &r->roster[0];

    if (!pf_round_is_open(r) && r->phase != PF_PHASE_CLOSING)
        return 0;
    memset(out, 0, sizeof *out);
    out->round = r->round;
    snprintf(out->phase, sizeof out->phase, "%s", pf_phase_names[r->phase]);
    memcpy(out->base, roster->base, sizeof out->base);
    out->assigned = roster->n;
    out->accepted = roster->n_accepted;
    out->failed = roster->n_failed;
    out->needed = r->task->round.collect.min;
    out->weight = r->weight;
    out->saturated = r->saturated;
    out->elapsed_ms = now_ms > r->opened_ms ? now_ms - r->opened_ms : 0;
    out->train_loss = pf_round_train_loss(r);
    out->test_loss = out->test_accuracy = -1;
    return 1;
}
