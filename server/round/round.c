#include "round_inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const pf_phase_names[] = {
    [PF_PHASE_IDLE] = "idle",
    [PF_PHASE_SELECTING] = "selecting",
    [PF_PHASE_COLLECTING] = "collecting",
    [PF_PHASE_CLOSING] = "closing",
    [PF_PHASE_BACKOFF] = "backoff",
    NULL,
};

/* ---- what both policies do ---------------------------------------------- */

struct pf_record *pf_step_draft(struct pf_stepping *s, enum pf_record_kind kind,
                                uint64_t round)
{
    struct pf_record *rec = &s->out->record[s->out->n_records++];

    memset(rec, 0, sizeof *rec);
    rec->kind = kind;
    rec->at_ms = s->now_ms;
    rec->round = round;
    return rec;
}

struct pf_effect *pf_step_effect(struct pf_stepping *s,
                                 enum pf_effect_kind kind, uint64_t round)
{
    struct pf_effect *e = &s->out->effect[s->out->n_effects++];

    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->round = round;
    return e;
}

/* Applies what may leave the newest model to be measured, and asks for that:
 * a model published in its turn, or the last of a task that is finished. */
static void apply_and_measure(struct pf_stepping *s,
                              const struct pf_record *rec)
{
    struct pf_round *r = s->r;
    unsigned before = r->n_unmeasured;

    pf_round_apply(r, rec);
    if (r->n_unmeasured > before)
        memcpy(
            pf_step_effect(s, PF_EFFECT_EVALUATE, r->published_round)->u.model,
            r->model, sizeof r->model);
}

static void set_state(struct pf_stepping *s, enum pf_task_state state,
                      const char *reason)
{
    struct pf_record *rec = pf_step_draft(s, PF_REC_STATE, s->r->round);

    rec->u.state.state = (int)state;
    snprintf(rec->u.state.reason, sizeof rec->u.state.reason, "%s", reason);
    apply_and_measure(s, rec);
}

void pf_step_abandon(struct pf_stepping *s, uint64_t round, const char *reason)
{
    struct pf_record *rec = pf_step_draft(s, PF_REC_ABANDONED, round);

    snprintf(rec->u.abandoned.reason, sizeof rec->u.abandoned.reason, "%s",
             reason);
    pf_round_apply(s->r, rec);
    pf_step_effect(s, PF_EFFECT_DROP, round);
}

/* Only one round at a time is closing, so the newest model is its base. */
static void ask_for_model(struct pf_stepping *s, uint64_t round)
{
    struct pf_effect *e = pf_step_effect(s, PF_EFFECT_FINISH, round);

    memcpy(e->u.finish.base, s->r->model, sizeof e->u.finish.base);
    e->u.finish.divisor = s->r->policy->divisor(s->r);
}

void pf_step_close(struct pf_stepping *s)
{
    uint64_t round = s->r->round;

    pf_round_apply(s->r, pf_step_draft(s, PF_REC_CLOSED, round));
    ask_for_model(s, round);
}

/* Why the task is to stop now; NULL: it goes on. */
static const char *stop_reason(const struct pf_stepping *s)
{
    const struct pf_task_stop *stop = &s->r->task->stop;

    if (stop->rounds != 0 && s->r->published >= stop->rounds)
        return "rounds";
    if (stop->after_s > 0 && s->r->round != 0 &&
        s->now_ms - s->r->started_ms >= pf_task_ms(stop->after_s))
        return "time";
    return NULL;
}

void pf_step_stop(struct pf_stepping *s)
{
    const char *reason = stop_reason(s);

    if (!reason || s->r->state == PF_TASK_FINISHED)
        return;
    s->r->policy->give_up(s, "stopped");
    set_state(s, PF_TASK_FINISHED, reason);
}

void pf_step_open(struct pf_stepping *s)
{
    struct pf_record *rec;

    pf_step_stop(s);
    if (s->r->state == PF_TASK_FINISHED)
        return;
    rec = pf_step_draft(s, PF_REC_OPENED, s->r->round + 1);
    memcpy(rec->u.opened.base, s->r->model, sizeof rec->u.opened.base);
    pf_round_apply(s->r, rec);
}

void pf_step_accept(struct pf_stepping *s, const struct pf_event *ev,
                    const struct pf_accepted *a)
{
    uint64_t round = s->r->round;
    struct pf_record *rec = pf_step_draft(s, PF_REC_ACCEPTED, round);
    struct pf_effect *fold;

    rec->device = ev->device;
    rec->u.accepted = *a;
    pf_round_apply(s->r, rec);
    fold = pf_step_effect(s, PF_EFFECT_FOLD, round);
    fold->u.fold.device = ev->device;
    memcpy(fold->u.fold.digest, a->digest, sizeof fold->u.fold.digest);
    fold->u.fold.extent = a->extent;
    fold->u.fold.weight = a->admitted.weight;
    fold->u.fold.factor = pf_staleness_factor(a->staleness);
}

static int class_fits(const struct pf_task_device *d, const char *name)
{
    size_t i;

    for (i = 0; i < d->n_classes; i++)
        if (strcmp(d->classes[i], name) == 0)
            return 1;
    return d->n_classes == 0;
}

int pf_step_eligible(const struct pf_stepping *s, const struct pf_event *ev,
                     struct pf_answer *a)
{
    const struct pf_task_device *d = &s->r->task->device;
    uint64_t last = ev->u.checkin.last_round;
    enum pf_wait_reason why = pf_wait_for_task(s->r);

    if (why == PF_WAIT_NONE && !class_fits(d, ev->u.checkin.device_class))
        why = PF_WAIT_NOT_ELIGIBLE;
    if (why == PF_WAIT_NONE && d->max_updates != 0 &&
        ev->u.checkin.updates >= d->max_updates)
        why = PF_WAIT_DONE;
    if (why == PF_WAIT_NONE && last != 0 &&
        s->r->round - last <= d->rest_rounds)
        why = PF_WAIT_RESTING;
    if (why == PF_WAIT_NONE)
        return 1;
    pf_answer_wait(s->r, ev, why, a);
    return 0;
}

void pf_step_assign(struct pf_stepping *s, const struct pf_event *ev)
{
    struct pf_record *rec = pf_step_draft(s, PF_REC_ASSIGNED, s->r->round);

    rec->device = ev->device;
    memcpy(rec->u.assigned.device_class, ev->u.checkin.device_class,
           sizeof rec->u.assigned.device_class);
    pf_round_apply(s->r, rec);
}

/* ---- events ---------------------------------------------------------------
 */

static void finished(struct pf_stepping *s, const struct pf_event *ev)
{
    struct pf_round *r = s->r;
    const struct pf_totals *t;
    struct pf_record *rec;

    if (ev->round == 0 || r->policy->closing(r) != ev->round) {
        if (ev->round > r->published_round) /* of a round given up meanwhile */
            memcpy(pf_step_effect(s, PF_EFFECT_DISCARD, ev->round)->u.model,
                   ev->u.finished.model, sizeof ev->u.finished.model);
        return;
    }
    t = &r->totals[pf_round_index(r, ev->round)];
    rec = pf_step_draft(s, PF_REC_PUBLISHED, ev->round);
    memcpy(rec->u.published.model, ev->u.finished.model, 32);
    memcpy(rec->u.published.state, ev->u.finished.state, 32);
    memcpy(rec->u.published.sums, ev->u.finished.sums, 32);
    rec->u.published.accepted = t->accepted;
    rec->u.published.weight = t->weight;
    rec->u.published.saturated = t->saturated;
    rec->u.published.divisor = r->policy->divisor(r);
    rec->u.published.train_loss = pf_totals_loss(t);
    apply_and_measure(s, rec);
    pf_step_stop(s); /* also when paused meanwhile */
    pf_step_effect(s, PF_EFFECT_DROP, ev->round);
}

static void finish_failed(struct pf_stepping *s, const struct pf_event *ev)
{
    char reason[48];

    if (ev->round == 0 || s->r->policy->closing(s->r) != ev->round)
        return;
    snprintf(reason, sizeof reason, "no model made: %s",
             pocketfed_status_name((enum pocketfed_status)ev->u.failure));
    pf_step_abandon(s, ev->round, reason);
}

static void evaluated(struct pf_stepping *s, const struct pf_event *ev)
{
    struct pf_round *r = s->r;
    struct pf_record *rec;
    double wanted = r->task->stop.accuracy;

    if (!pf_round_unmeasured(r, ev->round))
        return;
    rec = pf_step_draft(s, PF_REC_EVALUATED, ev->round);
    rec->u.evaluated.loss =
        isfinite(ev->u.evaluated.loss) ? ev->u.evaluated.loss : -1;
    rec->u.evaluated.accuracy =
        isfinite(ev->u.evaluated.accuracy) ? ev->u.evaluated.accuracy : -1;
    pf_round_apply(r, rec);
    if (r->state == PF_TASK_FINISHED || !(wanted > 0) ||
        !(ev->u.evaluated.accuracy >= wanted) ||
        r->published < r->task->stop.min_rounds)
        return;
    r->policy->give_up(s, "stopped");
    set_state(s, PF_TASK_FINISHED, "accuracy");
}

/* An earlier model under a new number: history only grows. */
static void roll_back(struct pf_stepping *s, const struct pf_event *ev,
                      struct pf_answer *a)
{
    struct pf_round *r = s->r;
    struct pf_record *rec;

    if (ev->u.rollback.source == 0 ||
        ev->u.rollback.source >= r->published_round) {
        a->kind = PF_ANSWER_PROBLEM;
        pf_problem_set(&a->u.problem, PF_PROBLEM_STATE,
                       "round %llu has no earlier model than the newest, of "
                       "round %llu",
                       (unsigned long long)ev->u.rollback.source,
                       (unsigned long long)r->published_round);
        return;
    }
    r->policy->give_up(s, "rolled back");
    rec = pf_step_draft(s, PF_REC_OPENED, r->round + 1);
    memcpy(rec->u.opened.base, r->model, sizeof rec->u.opened.base);
    pf_round_apply(r, rec);
    rec = pf_step_draft(s, PF_REC_PUBLISHED, r->round);
    memcpy(rec->u.published.model, ev->u.rollback.model, 32);
    memcpy(rec->u.published.state, ev->u.rollback.state, 32);
    rec->u.published.source = ev->u.rollback.source;
    rec->u.published.train_loss = -1;
    apply_and_measure(s, rec);
    pf_step_effect(s, PF_EFFECT_DROP, r->round);
}

static void command(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;

    a->kind = PF_ANSWER_DONE;
    if (r->state == PF_TASK_FINISHED) {
        pf_answer_refuse(a, PF_PROBLEM_STATE, ev->round);
        return;
    }
    switch (ev->u.command) {
    case PF_CMD_START: /* once in a task's life */
        if (!r->started)
            set_state(s, PF_TASK_RUNNING, "");
        break;
    case PF_CMD_PAUSE:
        if (r->state == PF_TASK_RUNNING)
            set_state(s, PF_TASK_PAUSED, "by the operator");
        break;
    case PF_CMD_RESUME:
        if (r->state == PF_TASK_PAUSED)
            set_state(s, PF_TASK_RUNNING, "");
        break;
    case PF_CMD_ABORT:
        if (!r->policy->give_up(s, "by the operator")) {
            a->kind = PF_ANSWER_PROBLEM;
            pf_problem_set(&a->u.problem, PF_PROBLEM_STATE,
                           "no round is under way");
        }
        break;
    case PF_CMD_ROLLBACK:
        roll_back(s, ev, a);
        break;
    case PF_CMD_FINISH:
        r->policy->give_up(s, "by the operator");
        set_state(s, PF_TASK_FINISHED, "by the operator");
        break;
    }
}

/* What was under way when the process ended. */
static void resume(struct pf_stepping *s)
{
    const struct pf_round *r = s->r;
    uint64_t closing = r->policy->closing(r);
    struct pf_effect *e;
    unsigned i;

    if (closing != 0)
        ask_for_model(s, closing);
    for (i = 0; i < r->n_unmeasured; i++) {
        e = pf_step_effect(s, PF_EFFECT_EVALUATE, r->unmeasured[i].round);
        memcpy(e->u.model, r->unmeasured[i].model, sizeof e->u.model);
    }
}

static void checkin(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    a->kind = PF_ANSWER_CHECKIN;
    memcpy(a->u.checkin.task, s->r->task->name, sizeof a->u.checkin.task);
    memcpy(a->u.checkin.device, ev->device.id, PF_DEVICE_LEN);
    s->r->policy->checkin(s, ev, a);
}

static void handle(struct pf_stepping *s, const struct pf_event *ev,
                   struct pf_answer *a)
{
    const struct pf_policy *policy = s->r->policy;

    switch (ev->kind) {
    case PF_EV_TICK:
    case PF_EV_RESUME:
        break;
    case PF_EV_CHECKIN:
        checkin(s, ev, a);
        break;
    case PF_EV_OFFER:
        policy->offer(s->r, ev, a);
        break;
    case PF_EV_UPDATE:
        policy->update(s, ev, a);
        break;
    case PF_EV_FAILURE:
        policy->failure(s, ev, a);
        break;
    case PF_EV_FINISHED:
        finished(s, ev);
        break;
    case PF_EV_FINISH_FAILED:
        finish_failed(s, ev);
        break;
    case PF_EV_EVALUATED:
        evaluated(s, ev);
        break;
    case PF_EV_COMMAND:
        command(s, ev, a);
        break;
    }
}

void pf_round_step(struct pf_round *r, const struct pf_event *ev,
                   struct pf_step *out)
{
    struct pf_stepping s = {r, ev->now_ms, out};
    struct pf_effect *reply;
    struct pf_answer a;

    out->n_records = out->n_effects = 0;
    if (ev->kind == PF_EV_RESUME) {
        resume(&s);
        return; /* time passes with the next event */
    }
    memset(&a, 0, sizeof a);
    a.kind = PF_ANSWER_DONE;
    r->policy->settle(&s); /* the event comes after all that time has brought */
    handle(&s, ev, &a);
    if (ev->reply_to != 0) {
        reply = pf_step_effect(&s, PF_EFFECT_ANSWER, ev->round);
        reply->reply_to = ev->reply_to;
        reply->u.answer = a;
    }
    r->policy->settle(&s);
}
