#include "round_inside.h"

#include <stdlib.h>
#include <string.h>

/* Synchronous rounds: select, collect, publish, then the next. */

#define BACKOFF_MAX_MS 3600000

static enum pocketfed_status init(struct pf_round *r)
{
    enum pocketfed_status st = POCKETFED_OK;
    int i;

    for (i = 0; i < 2 && st == POCKETFED_OK; i++) /* failed ones replaced */
        st = pf_roster_init(&r->roster[i], 2 * r->task->round.select.max);
    return st;
}

static void release(struct pf_round *r)
{
    pf_roster_free(&r->roster[0]);
    pf_roster_free(&r->roster[1]);
}

/* ---- changes of state --------------------------------------------------- */

static void apply_opened(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_roster newest = r->roster[1];

    r->roster[1] = r->roster[0];
    r->roster[0] = newest;
    pf_roster_open(&r->roster[0], rec->round, rec->u.opened.base);
    r->looked_at = r->lapsed = 0;
    pf_set_phase(r, PF_PHASE_SELECTING, rec->at_ms);
}

/* The device answered: it is none of the silent ones. */
static void answered(struct pf_round *r, const struct pf_entry *e)
{
    r->lapsed -= e < r->roster[0].entry + r->looked_at;
}

static void apply_accepted(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_entry *e = pf_roster_find(&r->roster[0], rec->device.id);

    if (!e || e->state != PF_ENTRY_ASSIGNED)
        return;
    e->state = PF_ENTRY_ACCEPTED;
    e->accepted = rec->u.accepted;
    r->roster[0].n_accepted++;
    answered(r, e);
    pf_totals_add(&r->totals[0], &rec->u.accepted.admitted);
}

static void apply_failed(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_entry *e = pf_roster_find(&r->roster[0], rec->device.id);

    if (!e || e->state != PF_ENTRY_ASSIGNED)
        return;
    e->state = PF_ENTRY_FAILED;
    r->roster[0].n_failed++;
    answered(r, e);
}

static void apply_abandoned(struct pf_round *r, const struct pf_record *rec)
{
    int64_t wait = pf_task_ms(r->task->round.retry_s);
    unsigned i;

    for (i = 1; i < r->abandoned && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    r->backoff_ms =
        rec->at_ms + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS);
    pf_set_phase(r,
                 r->state == PF_TASK_RUNNING ? PF_PHASE_BACKOFF : PF_PHASE_IDLE,
                 rec->at_ms);
}

static void apply(struct pf_round *r, const struct pf_record *rec)
{
    switch (rec->kind) {
    case PF_REC_OPENED:
        apply_opened(r, rec);
        break;
    case PF_REC_ASSIGNED:
        pf_roster_add(&r->roster[0], &rec->device, rec->at_ms);
        break;
    case PF_REC_COLLECTING:
        pf_set_phase(r, PF_PHASE_COLLECTING, rec->at_ms);
        break;
    case PF_REC_ACCEPTED:
        apply_accepted(r, rec);
        break;
    case PF_REC_FAILED:
        apply_failed(r, rec);
        break;
    case PF_REC_CLOSED:
        pf_set_phase(r, PF_PHASE_CLOSING, rec->at_ms);
        break;
    case PF_REC_PUBLISHED:
        pf_set_phase(r, PF_PHASE_IDLE, rec->at_ms);
        break;
    case PF_REC_ABANDONED:
        apply_abandoned(r, rec);
        break;
    case PF_REC_EVALUATED:
    case PF_REC_STATE:
        break;
    }
}

/* ---- phases ----------------------------------------------------------------
 */

/* One row per phase that ends by its count or its time. */
struct row {
    const struct pf_window *window; /* NULL: the phase has none */
    uint32_t count;                 /* what is in */
    enum pf_record_kind met;        /* record that ends it well */
    const char *too_few;            /* reason when it is abandoned */
};

static struct row row_of(const struct pf_round *r)
{
    const struct pf_task_round *t = &r->task->round;
    const struct pf_roster *roster = &r->roster[0];

    switch (r->phase) {
    case PF_PHASE_SELECTING:
        return (struct row){&t->select, pf_roster_live(roster),
                            PF_REC_COLLECTING, "too few devices"};
    case PF_PHASE_COLLECTING:
        return (struct row){&t->collect, roster->n_accepted, PF_REC_CLOSED,
                            "too few updates"};
    default:
        return (struct row){0};
    }
}

/* Assigned devices whose lease is over: their places may be given again. They
 * stand in the order of assignment, and all leases last equally long, so each
 * is looked at once. */
static uint32_t lapsed(struct pf_round *r, int64_t now_ms)
{
    const struct pf_roster *roster = &r->roster[0];
    int64_t lasts = pf_lease_ms(r->task);

    if (r->task->round.lease_s <= 0)
        return 0;
    while (r->looked_at < roster->n &&
           roster->entry[r->looked_at].at_ms + lasts <= now_ms)
        r->lapsed += roster->entry[r->looked_at++].state == PF_ENTRY_ASSIGNED;
    return r->lapsed;
}

enum verdict { WAIT, MET, TOO_FEW };

/* Who was silent for too long is no reason to stop selecting before min_s. */
static enum verdict judge(struct pf_round *r, const struct row *row,
                          int64_t now_ms)
{
    const struct pf_window *w = row->window;
    int64_t passed = now_ms - r->phase_ms;
    uint32_t silent = r->phase == PF_PHASE_SELECTING ? lapsed(r, now_ms) : 0;

    if (row->count - silent >= w->max ||
        r->roster[0].n_accepted >= r->task->round.collect.max)
        return MET;
    if (row->count >= w->min && passed >= pf_task_ms(w->min_s))
        return MET;
    return passed >= pf_task_ms(w->max_s) ? TOO_FEW : WAIT;
}

/* Ends, because every phase it can reach waits for at least one update, one
 * millisecond or one event. */
static void settle(struct pf_stepping *s)
{
    struct pf_round *r = s->r;

    for (;;) {
        struct row row = row_of(r);
        enum verdict v;

        if (r->state == PF_TASK_RUNNING &&
            (r->phase == PF_PHASE_IDLE ||
             (r->phase == PF_PHASE_BACKOFF && s->now_ms >= r->backoff_ms))) {
            pf_step_open(s);
            continue;
        }
        v = row.window ? judge(r, &row, s->now_ms) : WAIT;
        if (v == WAIT)
            return;
        if (v == TOO_FEW)
            pf_step_abandon(s, r->round, row.too_few);
        else if (row.met == PF_REC_CLOSED)
            pf_step_close(s);
        else
            pf_round_apply(r, pf_step_draft(s, row.met, r->round));
    }
}

static int64_t deadline(const struct pf_round *r)
{
    struct row row = row_of(r);

    if (row.window)
        return r->phase_ms + pf_task_ms(row.count >= row.window->min
                                            ? row.window->min_s
                                            : row.window->max_s);
    if (r->state != PF_TASK_RUNNING || r->phase == PF_PHASE_CLOSING)
        return INT64_MAX;
    /* IDLE while running lasts only from a load to the first event. */
    return r->phase == PF_PHASE_BACKOFF ? r->backoff_ms : r->phase_ms;
}

/* ---- events ----------------------------------------------------------------
 */

static int64_t lease_end(const struct pf_round *r, const struct pf_entry *e)
{
    const struct pf_task_round *t = &r->task->round;
    int64_t end = r->phase_ms + pf_task_ms(t->collect.max_s);

    if (r->phase == PF_PHASE_SELECTING)
        end += pf_task_ms(t->select.max_s);
    if (t->lease_s > 0 && e->at_ms + pf_lease_ms(r->task) < end)
        end = e->at_ms + pf_lease_ms(r->task);
    return end;
}

/* A place for one more: as long as the round is open, for not everybody who is
 * asked answers, and those who gave their place back or whose lease is over
 * leave theirs to others. */
static int has_room(struct pf_round *r, int64_t now_ms)
{
    const struct pf_roster *roster = &r->roster[0];

    if (roster->n == roster->cap || !pf_round_is_open(r))
        return 0;
    return pf_roster_live(roster) - lapsed(r, now_ms) <
           r->task->round.select.max;
}

static void assignment(const struct pf_round *r, const struct pf_event *ev,
                       struct pf_answer *a)
{
    pf_answer_assignment(
        r, ev, r->round, r->roster[0].base,
        lease_end(r, pf_roster_find(&r->roster[0], ev->device.id)), a);
}

static void checkin(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;
    const struct pf_entry *e = pf_roster_find(&r->roster[0], ev->device.id);
    int open = pf_round_is_open(r);

    if (e && open && e->state == PF_ENTRY_ASSIGNED) {
        assignment(r, ev, a);
    } else if (e && open && e->state == PF_ENTRY_ACCEPTED) {
        pf_answer_wait(r, ev, PF_WAIT_CONTRIBUTED, a);
    } else if (pf_step_eligible(s, ev, a)) {
        if (!e && has_room(r, s->now_ms)) {
            pf_step_assign(s, ev);
            assignment(r, ev, a);
        } else {
            pf_answer_wait(r, ev, PF_WAIT_ROUND_FULL, a);
        }
    }
}

static void offer(const struct pf_round *r, const struct pf_event *ev,
                  struct pf_answer *a)
{
    int open = pf_round_is_open(r) && ev->round == r->round;
    int i = ev->round != 0 ? pf_round_index(r, ev->round) : -1;
    const struct pf_entry *e = NULL;

    if (i >= 0)
        e = pf_roster_find(&r->roster[i], ev->device.id);
    if (e && e->state == PF_ENTRY_ACCEPTED) {
        if (memcmp(e->accepted.digest, ev->u.update.digest, 32) != 0) {
            pf_answer_refuse(a, PF_PROBLEM_ALREADY_DIFFERENT, ev->round);
            return;
        }
        pf_answer_acknowledge(r, &e->device, ev->round, &e->accepted, a);
        a->again = 1;
    } else if (!open && ev->round != 0 && ev->round <= r->round) {
        pf_answer_closed(r, ev->round, a);
    } else if (!e || e->state != PF_ENTRY_ASSIGNED) {
        pf_answer_refuse(a, PF_PROBLEM_NOT_ASSIGNED, ev->round);
    } else {
        pf_answer_go(a, PF_ANSWER_GO, r->round, r->roster[0].base);
    }
}

static void update(struct pf_stepping *s, const struct pf_event *ev,
                   struct pf_answer *a)
{
    struct pf_round *r = s->r;
    struct pf_accepted in;

    offer(r, ev, a);
    if (a->kind != PF_ANSWER_GO)
        return;
    memset(&in, 0, sizeof in);
    in.assigned = r->round;
    memcpy(in.base, r->roster[0].base, sizeof in.base);
    memcpy(in.digest, ev->u.update.digest, sizeof in.digest);
    in.extent = ev->u.update.extent;
    in.admitted = ev->u.update.admitted;
    pf_step_accept(s, ev, &in);
    pf_answer_acknowledge(r, &ev->device, r->round, &in, a);
}

static void failure(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;
    const struct pf_entry *e = NULL;
    struct pf_record *rec;

    if (ev->round == r->round && r->round != 0)
        e = pf_roster_find(&r->roster[0], ev->device.id);
    if (e && e->state != PF_ENTRY_ASSIGNED)
        return; /* said before, or it has contributed after all */
    if (ev->round != 0 && ev->round <= r->round &&
        !(ev->round == r->round && pf_round_is_open(r))) {
        pf_answer_closed(r, ev->round, a);
        return;
    }
    if (!e) {
        pf_answer_refuse(a, PF_PROBLEM_NOT_ASSIGNED, ev->round);
        return;
    }
    rec = pf_step_draft(s, PF_REC_FAILED, r->round);
    rec->device = ev->device;
    rec->u.failure = ev->u.failure;
    pf_round_apply(r, rec);
}

static uint64_t in_hand(const struct pf_round *r,
                        const uint8_t id[PF_DEVICE_LEN])
{
    const struct pf_entry *e = pf_roster_find(&r->roster[0], id);

    if (!e || e->state != PF_ENTRY_ASSIGNED || !pf_round_is_open(r))
        return 0;
    return r->round;
}

static uint64_t closing(const struct pf_round *r)
{
    return r->phase == PF_PHASE_CLOSING ? r->round : 0;
}

static int give_up(struct pf_stepping *s, const char *reason)
{
    if (!pf_round_is_open(s->r) && s->r->phase != PF_PHASE_CLOSING)
        return 0;
    pf_step_abandon(s, s->r->round, reason);
    return 1;
}

/* ---- views ------------------------------------------------------------------
 */

static void accepted(const struct pf_round *r, uint64_t round,
                     void (*visit)(void *, const struct pf_device_ref *,
                                   const struct pf_accepted *),
                     void *ctx)
{
    int at = pf_round_index(r, round);
    const struct pf_roster *roster;
    uint32_t i;

    if (at < 0)
        return;
    roster = &r->roster[at];
    for (i = 0; i < roster->n; i++)
        if (roster->entry[i].state == PF_ENTRY_ACCEPTED)
            visit(ctx, &roster->entry[i].device, &roster->entry[i].accepted);
}

static double divisor(const struct pf_round *r)
{
    (void)r;
    return 0;
}

static void counts(const struct pf_round *r, int64_t now_ms,
                   struct pf_round_status *out)
{
    (void)now_ms;
    out->assigned = r->roster[0].n;
    out->failed = r->roster[0].n_failed;
    out->accepted = r->roster[0].n_accepted;
}

const struct pf_policy pf_policy_sync = {
    .init = init,
    .free = release,
    .apply = apply,
    .settle = settle,
    .checkin = checkin,
    .offer = offer,
    .update = update,
    .failure = failure,
    .assignment = in_hand,
    .closing = closing,
    .give_up = give_up,
    .deadline = deadline,
    .accepted = accepted,
    .divisor = divisor,
    .counts = counts,
};
