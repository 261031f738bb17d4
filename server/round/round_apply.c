#include "round_inside.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_MAX_MS 3600000

enum pocketfed_status pf_round_create(const struct pf_task *task,
                                      const uint8_t plan[32],
                                      const uint8_t initial_model[32],
                                      struct pf_round **out)
{
    enum pocketfed_status st = POCKETFED_NO_MEMORY;
    uint32_t max = task->round.select.max;
    struct pf_round *r;
    int i;

    if (max == 0 || max > PF_ROSTER_MAX / 2)
        return POCKETFED_INVALID;
    r = calloc(1, sizeof *r);
    if (!r)
        goto out;
    r->task = task;
    memcpy(r->plan, plan, sizeof r->plan);
    memcpy(r->model, initial_model, sizeof r->model);
    r->state = PF_TASK_PAUSED;
    r->test_loss = r->test_accuracy = -1;
    for (i = 0; i < 2; i++) {
        st = pf_roster_init(&r->roster[i], 2 * max); /* failed ones replaced */
        if (st)
            goto out;
    }
    *out = r;
    r = NULL;
out:
    pf_round_free(r);
    return st;
}

void pf_round_free(struct pf_round *r)
{
    if (!r)
        return;
    pf_roster_free(&r->roster[0]);
    pf_roster_free(&r->roster[1]);
    free(r);
}

static void set_phase(struct pf_round *r, enum pf_phase phase, int64_t at_ms)
{
    r->phase = phase;
    r->phase_ms = at_ms;
}

static void apply_opened(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_roster newest = r->roster[1];

    r->roster[1] = r->roster[0];
    r->roster[0] = newest;
    pf_roster_open(&r->roster[0], rec->round, rec->u.opened.base);
    r->weight = r->saturated = r->loss_examples = 0;
    r->loss_sum = 0;
    if (r->round == 0)
        r->started_ms = rec->at_ms;
    r->round = rec->round;
    r->opened_ms = rec->at_ms;
    set_phase(r, PF_PHASE_SELECTING, rec->at_ms);
}

static void apply_accepted(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_entry *e = pf_roster_find(&r->roster[0], rec->device.id);
    const struct pf_admitted *a = &rec->u.accepted.admitted;

    if (!e || e->state != PF_ENTRY_ASSIGNED)
        return;
    e->state = PF_ENTRY_ACCEPTED;
    memcpy(e->digest, rec->u.accepted.digest, sizeof e->digest);
    e->extent = rec->u.accepted.extent;
    e->examples = a->examples;
    e->weight = a->weight;
    r->roster[0].n_accepted++;
    r->weight += a->weight;
    r->saturated += a->saturated;
    if (a->train_loss >= 0) {
        r->loss_sum += a->train_loss * (double)a->examples;
        r->loss_examples += a->examples;
    }
}

static void apply_failed(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_entry *e = pf_roster_find(&r->roster[0], rec->device.id);

    if (!e || e->state != PF_ENTRY_ASSIGNED)
        return;
    e->state = PF_ENTRY_FAILED;
    r->roster[0].n_failed++;
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

static void apply_published(struct pf_round *r, const struct pf_record *rec)
{
    uint32_t every = r->task->evaluate.every;

    memcpy(r->model, rec->u.published.model, sizeof r->model);
    r->published++;
    r->published_round = rec->round;
    r->abandoned = 0;
    if (every != 0 && rec->round % every == 0)
        add_unmeasured(r, PF_UNMEASURED_MAX);
    set_phase(r, PF_PHASE_IDLE, rec->at_ms);
}

static void apply_abandoned(struct pf_round *r, const struct pf_record *rec)
{
    int64_t wait = pf_task_ms(r->task->round.retry_s);
    unsigned i;

    for (i = 0; i < r->abandoned && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    r->abandoned++;
    r->backoff_ms =
        rec->at_ms + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS);
    set_phase(r, r->state == PF_TASK_RUNNING ? PF_PHASE_BACKOFF : PF_PHASE_IDLE,
              rec->at_ms);
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
        set_phase(r, PF_PHASE_IDLE, rec->at_ms);
    if (r->state == PF_TASK_FINISHED && r->published > 0 &&
        r->measured_round < r->published_round &&
        !pf_round_unmeasured(r, r->published_round))
        add_unmeasured(r, PF_UNMEASURED_MAX + 1);
}

void pf_round_apply(struct pf_round *r, const struct pf_record *rec)
{
    int of_this_round = rec->round == r->round && r->round != 0;

    r->started = 1;
    switch (rec->kind) {
    case PF_REC_OPENED:
        apply_opened(r, rec);
        break;
    case PF_REC_ASSIGNED:
        if (of_this_round)
            pf_roster_add(&r->roster[0], &rec->device);
        break;
    case PF_REC_COLLECTING:
        if (of_this_round)
            set_phase(r, PF_PHASE_COLLECTING, rec->at_ms);
        break;
    case PF_REC_ACCEPTED:
        if (of_this_round)
            apply_accepted(r, rec);
        break;
    case PF_REC_FAILED:
        if (of_this_round)
            apply_failed(r, rec);
        break;
    case PF_REC_CLOSED:
        if (of_this_round)
            set_phase(r, PF_PHASE_CLOSING, rec->at_ms);
        break;
    case PF_REC_PUBLISHED:
        apply_published(r, rec);
        break;
    case PF_REC_ABANDONED:
        if (of_this_round)
            apply_abandoned(r, rec);
        break;
    case PF_REC_EVALUATED:
        apply_evaluated(r, rec);
        break;
    case PF_REC_STATE:
        apply_state(r, rec);
        break;
    }
}
