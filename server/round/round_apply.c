#include "round_inside.h"

#include <stdlib.h>
#include <string.h>

enum pocketfed_status pf_round_create(const struct pf_task *task,
                                      const uint8_t plan[32],
                                      const uint8_t initial_model[32],
                                      struct pf_round **out)
{
    static const struct pf_policy *const policies[] = {
        [PF_POLICY_SYNC] = &pf_policy_sync,
        [PF_POLICY_ASYNC] = &pf_policy_async,
    };
    uint32_t max = task->round.select.max;
    enum pocketfed_status st;
    struct pf_round *r;

    if (max == 0 || max > PF_ROSTER_MAX / 2)
        return POCKETFED_INVALID;
    r = calloc(1, sizeof *r);
    if (!r)
        return POCKETFED_NO_MEMORY;
    r->task = task;
    r->policy = policies[task->round.policy];
    memcpy(r->plan, plan, sizeof r->plan);
    memcpy(r->model, initial_model, sizeof r->model);
    r->state = PF_TASK_PAUSED;
    r->test_loss = r->test_accuracy = -1;
    st = r->policy->init(r);
    if (st) {
        pf_round_free(r);
        return st;
    }
    *out = r;
    return POCKETFED_OK;
}

void pf_round_free(struct pf_round *r)
{
    if (!r)
        return;
    r->policy->free(r);
    free(r);
}

void pf_totals_add(struct pf_totals *t, const struct pf_admitted *a)
{
    t->accepted++;
    t->weight += a->weight;
    t->saturated += a->saturated;
    if (a->train_loss >= 0) {
        t->loss_sum += a->train_loss * (double)a->examples;
        t->loss_examples += a->examples;
    }
}

int pf_round_index(const struct pf_round *r, uint64_t round)
{
    int i;

    for (i = 0; i < 2; i++)
        if (round != 0 &&
            (r->roster[i].round == round || r->buffer[i].round == round))
            return i;
    return -1;
}

static void apply_opened(struct pf_round *r, const struct pf_record *rec)
{
    r->totals[1] = r->totals[0];
    memset(&r->totals[0], 0, sizeof r->totals[0]);
    if (r->round == 0)
        r->started_ms = rec->at_ms;
    r->round = rec->round;
    r->opened_ms = rec->at_ms;
}

int pf_round_unmeasured(const struct pf_round *r, uint64_t round)
{
    unsigned i;

    for (i = 0; i < r->n_unmeasured; i++)
        if (r->unmeasured[i].round == round)
            return 1;
    return 0;
}

static void add_unmeasured(struct pf_round *r, unsigned max)
{
    if (r->task->evaluate.data[0] == '\0' || r->n_unmeasured >= max)
        return;
    r->unmeasured[r->n_unmeasured].round = r->published_round;
    memcpy(r->unmeasured[r->n_unmeasured].model, r->model, sizeof r->model);
    r->n_unmeasured++;
}

/* How long rounds last lately: a mean that forgets; pace steering asks. */
static void note_duration(struct pf_round *r, int64_t at_ms)
{
    int64_t lasted = at_ms - r->opened_ms;

    if (lasted < 1)
        lasted = 1;
    r->lasting_ms =
        r->published == 0 ? lasted : (3 * r->lasting_ms + lasted) / 4;
}

static void apply_published(struct pf_round *r, const struct pf_record *rec)
{
    uint32_t every = r->task->evaluate.every;

    memcpy(r->model, rec->u.published.model, sizeof r->model);
    r->versions++;
    r->published_round = rec->round;
    r->abandoned = 0;
    if (rec->u.published.source == 0) {
        note_duration(r, rec->at_ms);
        r->published++;
    }
    if (every != 0 && rec->round % every == 0)
        add_unmeasured(r, PF_UNMEASURED_MAX);
}

static void apply_evaluated(struct pf_round *r, const struct pf_record *rec)
{
    unsigned i, n = 0;

    for (i = 0; i < r->n_unmeasured; i++)
        if (r->unmeasured[i].round != rec->round)
            r->unmeasured[n++] = r->unmeasured[i];
    r->n_unmeasured = n;
    if (rec->round < r->measured_round)
        return; /* an older one that took longer */
    r->measured_round = rec->round;
    r->test_loss = rec->u.evaluated.loss;
    r->test_accuracy = rec->u.evaluated.accuracy;
}

static void apply_state(struct pf_round *r, const struct pf_record *rec)
{
    r->state = rec->u.state.state;
    memcpy(r->reason, rec->u.state.reason, sizeof r->reason);
    r->reason[sizeof r->reason - 1] = '\0';
    if (r->state != PF_TASK_RUNNING && r->phase == PF_PHASE_BACKOFF)
        pf_set_phase(r, PF_PHASE_IDLE, rec->at_ms);
    if (r->state == PF_TASK_FINISHED && r->published > 0 &&
        r->measured_round < r->published_round &&
        !pf_round_unmeasured(r, r->published_round))
        add_unmeasured(r, PF_UNMEASURED_MAX + 1);
}

/* What is common to both policies first, then what the policy keeps. */
void pf_round_apply(struct pf_round *r, const struct pf_record *rec)
{
    r->started = 1;
    switch (rec->kind) {
    case PF_REC_OPENED:
        apply_opened(r, rec);
        break;
    case PF_REC_PUBLISHED:
        apply_published(r, rec);
        break;
    case PF_REC_EVALUATED:
        apply_evaluated(r, rec);
        return;
    case PF_REC_STATE:
        apply_state(r, rec);
        return;
    case PF_REC_ASSIGNED:
    case PF_REC_COLLECTING:
    case PF_REC_ACCEPTED:
    case PF_REC_FAILED:
    case PF_REC_CLOSED:
        if (rec->round != r->round || r->round == 0)
            return;
        break;
    case PF_REC_ABANDONED:
        if (pf_round_index(r, rec->round) < 0)
            return;
        r->abandoned++;
        break;
    }
    r->policy->apply(r, rec);
}
