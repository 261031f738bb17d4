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

struct pf_phase_row pf_round_row(const struct pf_round *r)
{
    const struct pf_task_round *t = &r->task->round;
    const struct pf_roster *roster = &r->roster[0];

    switch (r->phase) {
    case PF_PHASE_SELECTING:
        return (struct pf_phase_row){&t->select, pf_roster_live(roster),
                                     PF_REC_COLLECTING, "too few devices"};
    case PF_PHASE_COLLECTING:
        return (struct pf_phase_row){&t->collect, roster->n_accepted,
                                     PF_REC_CLOSED, "too few updates"};
    default:
        return (struct pf_phase_row){0};
    }
}

/* One event being handled. */
struct step {
    struct pf_round *r;
    int64_t now_ms;
    struct pf_step *out;
};

static struct pf_record *draft(struct step *s, enum pf_record_kind kind,
                               uint64_t round)
{
    struct pf_record *rec = &s->out->record[s->out->n_records++];

    memset(rec, 0, sizeof *rec);
    rec->kind = kind;
    rec->at_ms = s->now_ms;
    rec->round = round;
    return rec;
}

static struct pf_effect *effect(struct step *s, enum pf_effect_kind kind,
                                uint64_t round)
{
    struct pf_effect *e = &s->out->effect[s->out->n_effects++];

    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->round = round;
    return e;
}

/* Applies what may leave the newest model to be measured, and asks for that:
 * a model published in its turn, or the last of a task that is finished. */
static void apply_and_measure(struct step *s, const struct pf_record *rec)
{
    struct pf_round *r = s->r;
    unsigned before = r->n_unmeasured;

    pf_round_apply(r, rec);
    if (r->n_unmeasured > before)
        memcpy(effect(s, PF_EFFECT_EVALUATE, r->published_round)->u.model,
               r->model, sizeof r->model);
}

static void set_state(struct step *s, enum pf_task_state state,
                      const char *reason)
{
    struct pf_record *rec = draft(s, PF_REC_STATE, s->r->round);

    rec->u.state.state = (int)state;
    snprintf(rec->u.state.reason, sizeof rec->u.state.reason, "%s", reason);
    apply_and_measure(s, rec);
}

static void abandon(struct step *s, const char *reason)
{
    struct pf_record *rec = draft(s, PF_REC_ABANDONED, s->r->round);

    snprintf(rec->u.abandoned.reason, sizeof rec->u.abandoned.reason, "%s",
             reason);
    pf_round_apply(s->r, rec);
    effect(s, PF_EFFECT_DROP, s->r->round);
}

/* Why the task is to stop now that a round has ended; NULL: it goes on. */
static const char *stop_reason(const struct step *s)
{
    const struct pf_task_stop *stop = &s->r->task->stop;

    if (stop->rounds != 0 && s->r->published >= stop->rounds)
        return "rounds";
    if (stop->after_s > 0 && s->r->round != 0 &&
        s->now_ms - s->r->started_ms >= pf_task_ms(stop->after_s))
        return "time";
    return NULL;
}

static void open_next(struct step *s)
{
    const char *reason = stop_reason(s);
    struct pf_record *rec;

    if (reason) {
        set_state(s, PF_TASK_FINISHED, reason);
        return;
    }
    rec = draft(s, PF_REC_OPENED, s->r->round + 1);
    memcpy(rec->u.opened.base, s->r->model, sizeof rec->u.opened.base);
    pf_round_apply(s->r, rec);
}

enum verdict { WAIT, MET, TOO_FEW };

static enum verdict judge(const struct pf_round *r,
                          const struct pf_phase_row *row, int64_t now_ms)
{
    const struct pf_window *w = row->window;
    int64_t passed = now_ms - r->phase_ms;

    if (row->count >= w->max ||
        r->roster[0].n_accepted >= r->task->round.collect.max)
        return MET;
    if (row->count >= w->min && passed >= pf_task_ms(w->min_s))
        return MET;
    return passed >= pf_task_ms(w->max_s) ? TOO_FEW : WAIT;
}

/* Goes as far as counts and time allow. Ends, because every phase it can reach
 * waits for at least one update, one millisecond or one event. */
static void settle(struct step *s)
{
    struct pf_round *r = s->r;

    for (;;) {
        struct pf_phase_row row = pf_round_row(r);
        enum verdict v;

        if (r->state == PF_TASK_RUNNING &&
            (r->phase == PF_PHASE_IDLE ||
             (r->phase == PF_PHASE_BACKOFF && s->now_ms >= r->backoff_ms))) {
            open_next(s);
            continue;
        }
        v = row.window ? judge(r, &row, s->now_ms) : WAIT;
        if (v == WAIT)
            return;
        if (v == TOO_FEW) {
            abandon(s, row.too_few);
            continue;
        }
        pf_round_apply(r, draft(s, row.met, r->round));
        if (row.met == PF_REC_CLOSED)
            effect(s, PF_EFFECT_FINISH, r->round);
    }
}

/* A place for one more: while selecting, and later for those who gave theirs
 * back when too few are left to close the round. */
static int has_room(const struct pf_round *r)
{
    const struct pf_task_round *t = &r->task->round;
    const struct pf_roster *roster = &r->roster[0];
    uint32_t live = pf_roster_live(roster);

    if (r->state != PF_TASK_RUNNING || roster->n == roster->cap ||
        live >= t->select.max)
        return 0;
    return r->phase == PF_PHASE_SELECTING ||
           (r->phase == PF_PHASE_COLLECTING && live < t->collect.min);
}

static void checkin(struct step *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;
    const struct pf_entry *e = pf_roster_find(&r->roster[0], ev->device.id);
    struct pf_record *rec;

    a->kind = PF_ANSWER_CHECKIN;
    memcpy(a->u.checkin.task, r->task->name, sizeof a->u.checkin.task);
    memcpy(a->u.checkin.device, ev->device.id, PF_DEVICE_LEN);
    if (!e && has_room(r)) {
        rec = draft(s, PF_REC_ASSIGNED, r->round);
        rec->device = ev->device;
        pf_round_apply(r, rec);
        pf_answer_assignment(r, ev, a);
        return;
    }
    if (e && e->state == PF_ENTRY_ASSIGNED && pf_round_is_open(r)) {
        pf_answer_assignment(r, ev, a);
        return;
    }
    pf_answer_wait(r, ev, e, a);
}

static void update(struct step *s, const struct pf_event *ev,
                   struct pf_answer *a)
{
    struct pf_round *r = s->r;
    struct pf_record *rec;
    struct pf_effect *fold;

    pf_answer_offer(r, ev, a);
    if (a->kind != PF_ANSWER_GO)
        return;
    rec = draft(s, PF_REC_ACCEPTED, r->round);
    rec->device = ev->device;
    memcpy(rec->u.accepted.digest, ev->u.update.digest,
           sizeof rec->u.accepted.digest);
    rec->u.accepted.extent = ev->u.update.extent;
    rec->u.accepted.admitted = ev->u.update.admitted;
    pf_round_apply(r, rec);
    pf_answer_acknowledge(r, &r->roster[0],
                          pf_roster_find(&r->roster[0], ev->device.id), a);
    fold = effect(s, PF_EFFECT_FOLD, r->round);
    fold->u.fold.device = ev->device;
    memcpy(fold->u.fold.digest, ev->u.update.digest,
           sizeof fold->u.fold.digest);
    fold->u.fold.extent = ev->u.update.extent;
    fold->u.fold.weight = ev->u.update.admitted.weight;
}

static void failure(struct step *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;
    const struct pf_entry *e = NULL;
    struct pf_record *rec;

    a->kind = PF_ANSWER_DONE;
    if (ev->round == r->round && r->round != 0)
        e = pf_roster_find(&r->roster[0], ev->device.id);
    if (e && e->state != PF_ENTRY_ASSIGNED)
        return; /* said before, or it has contributed after all */
    if (ev->round != 0 && ev->round <= r->round &&
        !(ev->round == r->round && pf_round_is_open(r))) {
        pf_answer_refuse(a, PF_PROBLEM_ROUND_CLOSED, ev->round);
        return;
    }
    if (!e) {
        pf_answer_refuse(a, PF_PROBLEM_NOT_ASSIGNED, ev->round);
        return;
    }
    rec = draft(s, PF_REC_FAILED, r->round);
    rec->device = ev->device;
    rec->u.failure = ev->u.failure;
    pf_round_apply(r, rec);
}

static void finished(struct step *s, const struct pf_event *ev)
{
    struct pf_round *r = s->r;
    struct pf_record *rec;
    const char *reason;

    if (r->phase != PF_PHASE_CLOSING || ev->round != r->round) {
        if (ev->round > r->published_round) /* of a round given up meanwhile */
            memcpy(effect(s, PF_EFFECT_DISCARD, ev->round)->u.model,
                   ev->u.finished.model, sizeof ev->u.finished.model);
        return;
    }
    rec = draft(s, PF_REC_PUBLISHED, r->round);
    memcpy(rec->u.published.model, ev->u.finished.model, 32);
    memcpy(rec->u.published.state, ev->u.finished.state, 32);
    memcpy(rec->u.published.sums, ev->u.finished.sums, 32);
    rec->u.published.accepted = r->roster[0].n_accepted;
    rec->u.published.weight = r->weight;
    rec->u.published.saturated = r->saturated;
    rec->u.published.train_loss = pf_round_train_loss(r);
    apply_and_measure(s, rec);
    reason = stop_reason(s); /* also when paused meanwhile */
    if (reason)
        set_state(s, PF_TASK_FINISHED, reason);
    effect(s, PF_EFFECT_DROP, ev->round);
}

static void finish_failed(struct step *s, const struct pf_event *ev)
{
    char reason[48];

    if (s->r->phase != PF_PHASE_CLOSING || ev->round != s->r->round)
        return;
    snprintf(reason, sizeof reason, "no model made: %s",
             pocketfed_status_name((enum pocketfed_status)ev->u.failure));
    abandon(s, reason);
}

static void evaluated(struct step *s, const struct pf_event *ev)
{
    struct pf_round *r = s->r;
    struct pf_record *rec;
    double wanted = r->task->stop.accuracy;

    if (!pf_round_unmeasured(r, ev->round))
        return;
    rec = draft(s, PF_REC_EVALUATED, ev->round);
    rec->u.evaluated.loss =
        isfinite(ev->u.evaluated.loss) ? ev->u.evaluated.loss : -1;
    rec->u.evaluated.accuracy =
        isfinite(ev->u.evaluated.accuracy) ? ev->u.evaluated.accuracy : -1;
    pf_round_apply(r, rec);
    if (r->state == PF_TASK_FINISHED || !(wanted > 0) ||
        !(ev->u.evaluated.accuracy >= wanted) ||
        r->published < r->task->stop.min_rounds)
        return;
    if (pf_round_is_open(r) || r->phase == PF_PHASE_CLOSING)
        abandon(s, "stopped");
    set_state(s, PF_TASK_FINISHED, "accuracy");
}

static void command(struct step *s, const struct pf_event *ev,
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
    }
}

/* What was under way when the process ended. */
static void resume(struct step *s)
{
    const struct pf_round *r = s->r;
    struct pf_effect *e;
    unsigned i;

    if (r->phase == PF_PHASE_CLOSING)
        effect(s, PF_EFFECT_FINISH, r->round);
    for (i = 0; i < r->n_unmeasured; i++) {
        e = effect(s, PF_EFFECT_EVALUATE, r->unmeasured[i].round);
        memcpy(e->u.model, r->unmeasured[i].model, sizeof e->u.model);
    }
}

void pf_round_step(struct pf_round *r, const struct pf_event *ev,
                   struct pf_step *out)
{
    struct step s = {r, ev->now_ms, out};
    struct pf_effect *reply;
    struct pf_answer a;

    out->n_records = out->n_effects = 0;
    if (ev->kind == PF_EV_RESUME) {
        resume(&s);
        return; /* time passes with the next event */
    }
    memset(&a, 0, sizeof a);
    a.kind = PF_ANSWER_DONE;
    settle(&s); /* the event comes after all that time has brought */
    switch (ev->kind) {
    case PF_EV_TICK:
    case PF_EV_RESUME:
        break;
    case PF_EV_CHECKIN:
        checkin(&s, ev, &a);
        break;
    case PF_EV_OFFER:
        pf_answer_offer(r, ev, &a);
        break;
    case PF_EV_UPDATE:
        update(&s, ev, &a);
        break;
    case PF_EV_FAILURE:
        failure(&s, ev, &a);
        break;
    case PF_EV_FINISHED:
        finished(&s, ev);
        break;
    case PF_EV_FINISH_FAILED:
        finish_failed(&s, ev);
        break;
    case PF_EV_EVALUATED:
        evaluated(&s, ev);
        break;
    case PF_EV_COMMAND:
        command(&s, ev, &a);
        break;
    }
    if (ev->reply_to != 0) {
        reply = effect(&s, PF_EFFECT_ANSWER, ev->round);
        reply->reply_to = ev->reply_to;
        reply->u.answer = a;
    }
    settle(&s);
}
