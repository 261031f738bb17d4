#include "round_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Asynchronous rounds (FedBuff): buffers that fill, close and are averaged
 * while the next one fills. buffer[0] is open, buffer[1] waits for its model or
 * was the last to get one. */

/* While a model is being made the next buffer may run over by as much again;
 * pf_task_plan's bound on the sum knows of it. */
static uint32_t buffer_cap(const struct pf_round *r)
{
    return 2 * r->task->round.collect.max;
}

static enum pocketfed_status init(struct pf_round *r)
{
    enum pocketfed_status st;
    int i;

    st = pf_leases_init(&r->leases, r->task->round.select.max);
    for (i = 0; i < 2 && st == POCKETFED_OK; i++) {
        r->buffer[i].entry = malloc(buffer_cap(r) * sizeof *r->buffer[i].entry);
        if (!r->buffer[i].entry)
            st = POCKETFED_NO_MEMORY;
    }
    return st;
}

static void release(struct pf_round *r)
{
    pf_leases_free(&r->leases);
    free(r->buffer[0].entry);
    free(r->buffer[1].entry);
}

double pf_staleness_factor(uint32_t staleness)
{
    return 1 / sqrt(1 + (double)staleness);
}

/* ---- changes of state --------------------------------------------------- */

static void apply_opened(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_buffer newest = r->buffer[1];

    r->buffer[1] = r->buffer[0];
    r->buffer[0] = newest;
    r->buffer[0].round = rec->round;
    r->buffer[0].n = 0;
    pf_set_phase(r, PF_PHASE_COLLECTING, rec->at_ms);
}

static void apply_assigned(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_lease *lease = pf_leases_give(
        &r->leases, &rec->device, rec->round, rec->at_ms, pf_lease_ms(r->task));

    if (!lease)
        return;
    lease->version = r->versions;
    memcpy(lease->base, r->model, sizeof lease->base);
}

/* The work that the device has in hand, if it is that of a round. */
static struct pf_lease *in_hand(const struct pf_round *r,
                                const struct pf_device_ref *device,
                                uint64_t round)
{
    struct pf_lease *lease = pf_leases_find(&r->leases, device->id);

    return lease && lease->round == round ? lease : NULL;
}

static int is_training(const struct pf_lease *lease)
{
    return lease && (lease->state == PF_LEASE_TRAINING ||
                     lease->state == PF_LEASE_LAPSED);
}

static void apply_accepted(struct pf_round *r, const struct pf_record *rec)
{
    const struct pf_accepted *a = &rec->u.accepted;
    struct pf_lease *lease = in_hand(r, &rec->device, a->assigned);
    struct pf_buffer *b = &r->buffer[0];

    if (!is_training(lease) || b->n == buffer_cap(r))
        return;
    b->entry[b->n].device = rec->device;
    b->entry[b->n++].accepted = *a;
    pf_totals_add(&r->totals[0], &a->admitted);
    pf_leases_end(&r->leases, lease, PF_LEASE_ACCEPTED);
    lease->counted = rec->round;
    memcpy(lease->digest, a->digest, sizeof lease->digest);
    lease->examples = a->admitted.examples;
    lease->weight = a->admitted.weight;
}

static void apply_failed(struct pf_round *r, const struct pf_record *rec)
{
    struct pf_lease *lease = pf_leases_find(&r->leases, rec->device.id);

    if (is_training(lease))
        pf_leases_end(&r->leases, lease, PF_LEASE_FAILED);
}

/* A rollback's model follows from no buffer; what was trained from the models
 * it sets aside is not wanted. */
static void apply_published(struct pf_round *r, const struct pf_record *rec)
{
    if (rec->u.published.source != 0) {
        pf_leases_clear(&r->leases);
        pf_set_phase(r, PF_PHASE_IDLE, rec->at_ms);
    } else {
        r->closing = 0;
    }
}

/* Between CLOSED and OPENED the closing buffer is still [0]. */
static uint64_t closing(const struct pf_round *r)
{
    return r->closing ? r->buffer[r->phase == PF_PHASE_COLLECTING].round : 0;
}

static void apply_abandoned(struct pf_round *r, const struct pf_record *rec)
{
    if (closing(r) == rec->round)
        r->closing = 0;
    else
        pf_set_phase(r, PF_PHASE_IDLE, rec->at_ms);
}

static void apply(struct pf_round *r, const struct pf_record *rec)
{
    switch (rec->kind) {
    case PF_REC_OPENED:
        apply_opened(r, rec);
        break;
    case PF_REC_ASSIGNED:
        apply_assigned(r, rec);
        break;
    case PF_REC_ACCEPTED:
        apply_accepted(r, rec);
        break;
    case PF_REC_FAILED:
        apply_failed(r, rec);
        break;
    case PF_REC_CLOSED: /* the next one opens in the same step */
        r->closing = 1;
        pf_set_phase(r, PF_PHASE_IDLE, rec->at_ms);
        break;
    case PF_REC_PUBLISHED:
        apply_published(r, rec);
        break;
    case PF_REC_ABANDONED:
        apply_abandoned(r, rec);
        break;
    case PF_REC_COLLECTING:
    case PF_REC_EVALUATED:
    case PF_REC_STATE:
        break;
    }
}

/* ---- phases ----------------------------------------------------------------
 */

static int is_full(const struct pf_round *r, int64_t now_ms)
{
    const struct pf_window *w = &r->task->round.collect;
    uint32_t n = r->buffer[0].n;

    if (r->closing || r->phase != PF_PHASE_COLLECTING)
        return 0;
    return n >= w->max ||
           (n >= w->min && now_ms - r->phase_ms >= pf_task_ms(w->min_s));
}

/* Buffers open also while the task is paused: what is under way is welcome. */
static void settle(struct pf_stepping *s)
{
    struct pf_round *r = s->r;

    while (r->state != PF_TASK_FINISHED) {
        if (is_full(r, s->now_ms))
            pf_step_close(s);
        else if (r->phase == PF_PHASE_IDLE &&
                 (r->round != 0 || r->state == PF_TASK_RUNNING))
            pf_step_open(s);
        else
            break;
    }
    if (r->round != 0)
        pf_step_stop(s);
}

static int64_t deadline(const struct pf_round *r)
{
    const struct pf_window *w = &r->task->round.collect;
    const struct pf_task_stop *stop = &r->task->stop;
    int64_t at = INT64_MAX, end;

    if (r->state == PF_TASK_FINISHED)
        return INT64_MAX;
    if (r->phase == PF_PHASE_IDLE) /* from a load to the first event */
        return r->round != 0 || r->state == PF_TASK_RUNNING ? r->phase_ms
                                                            : INT64_MAX;
    if (!r->closing && r->buffer[0].n >= w->min)
        at = r->phase_ms + pf_task_ms(w->min_s);
    end = r->started_ms + pf_task_ms(stop->after_s);
    return stop->after_s > 0 && end < at ? end : at;
}

/* ---- events ----------------------------------------------------------------
 */

/* Models between the one it starts from and the one its buffer will make. */
static uint64_t staleness(const struct pf_round *r,
                          const struct pf_lease *lease)
{
    return r->versions + (uint64_t)r->closing - lease->version;
}

static int too_stale(const struct pf_round *r, const struct pf_lease *lease)
{
    return staleness(r, lease) > r->task->round.max_staleness;
}

static void assignment(const struct pf_round *r, const struct pf_event *ev,
                       const struct pf_lease *lease, struct pf_answer *a)
{
    int64_t until = lease->at_ms + pf_lease_ms(r->task);

    if (lease->state == PF_LEASE_LAPSED || until <= ev->now_ms)
        until = ev->now_ms + pf_lease_ms(r->task); /* no other round yet */
    pf_answer_assignment(r, ev, lease->round, lease->base, until, a);
}

static void checkin(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;
    int64_t lasts = pf_lease_ms(r->task);
    const struct pf_lease *lease = pf_leases_find(&r->leases, ev->device.id);
    int open = r->phase == PF_PHASE_COLLECTING;
    int here = lease && lease->round == r->round;
    int over = lease && lease->at_ms + lasts <= s->now_ms;

    if (open && is_training(lease) &&
        (here || (!over && !too_stale(r, lease)))) {
        assignment(r, ev, lease, a);
    } else if (open && lease && lease->counted == r->round) {
        pf_answer_wait(r, ev, PF_WAIT_CONTRIBUTED, a);
    } else if (pf_step_eligible(s, ev, a)) {
        if (!here && pf_leases_room(&r->leases, r->round, s->now_ms, lasts) &&
            pf_leases_live(&r->leases, s->now_ms, lasts) <
                r->task->round.select.max) {
            pf_step_assign(s, ev);
            assignment(r, ev, pf_leases_find(&r->leases, ev->device.id), a);
        } else {
            pf_answer_wait(r, ev, PF_WAIT_ROUND_FULL, a);
        }
    }
}

static void accepted_before(const struct pf_round *r,
                            const struct pf_lease *lease,
                            const struct pf_event *ev, struct pf_answer *a)
{
    struct pf_accepted was;

    if (memcmp(lease->digest, ev->u.update.digest, 32) != 0) {
        pf_answer_refuse(a, PF_PROBLEM_ALREADY_DIFFERENT, ev->round);
        return;
    }
    memset(&was, 0, sizeof was);
    was.assigned = lease->round;
    memcpy(was.base, lease->base, sizeof was.base);
    memcpy(was.digest, lease->digest, sizeof was.digest);
    was.admitted.examples = lease->examples;
    was.admitted.weight = lease->weight;
    pf_answer_acknowledge(r, &lease->device, lease->counted, &was, a);
    a->again = 1;
}

static void offer(const struct pf_round *r, const struct pf_event *ev,
                  struct pf_answer *a)
{
    const struct pf_lease *lease = in_hand(r, &ev->device, ev->round);

    if (lease && lease->state == PF_LEASE_ACCEPTED) {
        accepted_before(r, lease, ev, a);
    } else if (!is_training(lease)) {
        pf_answer_refuse(a, PF_PROBLEM_NOT_ASSIGNED, ev->round);
    } else if (r->phase != PF_PHASE_COLLECTING || too_stale(r, lease)) {
        pf_answer_closed(r, ev->round, a);
    } else if (r->buffer[0].n == buffer_cap(r)) {
        a->kind = PF_ANSWER_PROBLEM;
        pf_problem_set(&a->u.problem, PF_PROBLEM_BUSY,
                       "the buffer is full until a model is made");
        a->u.problem.retry_after_ms = 1000;
    } else {
        pf_answer_go(a, PF_ANSWER_GO, r->round, lease->base);
    }
}

static void update(struct pf_stepping *s, const struct pf_event *ev,
                   struct pf_answer *a)
{
    struct pf_round *r = s->r;
    const struct pf_lease *lease;
    struct pf_accepted in;

    offer(r, ev, a);
    if (a->kind != PF_ANSWER_GO)
        return;
    lease = in_hand(r, &ev->device, ev->round);
    if (ev->u.update.segment != r->round) {
        pf_answer_go(a, PF_ANSWER_MOVE, r->round, lease->base);
        return;
    }
    memset(&in, 0, sizeof in);
    in.assigned = lease->round;
    memcpy(in.base, lease->base, sizeof in.base);
    memcpy(in.digest, ev->u.update.digest, sizeof in.digest);
    in.extent = ev->u.update.extent;
    in.admitted = ev->u.update.admitted;
    in.staleness = (uint32_t)staleness(r, lease);
    pf_step_accept(s, ev, &in);
    pf_answer_acknowledge(r, &ev->device, r->round, &in, a);
}

static void failure(struct pf_stepping *s, const struct pf_event *ev,
                    struct pf_answer *a)
{
    struct pf_round *r = s->r;
    const struct pf_lease *lease = in_hand(r, &ev->device, ev->round);
    struct pf_record *rec;

    if (lease && !is_training(lease))
        return; /* said before, or it has contributed after all */
    if (!lease) {
        pf_answer_refuse(a, PF_PROBLEM_NOT_ASSIGNED, ev->round);
        return;
    }
    if (r->phase != PF_PHASE_COLLECTING) {
        pf_answer_closed(r, ev->round, a);
        return;
    }
    rec = pf_step_draft(s, PF_REC_FAILED, r->round);
    rec->device = ev->device;
    rec->u.failure = ev->u.failure;
    pf_round_apply(r, rec);
}

static uint64_t assigned(const struct pf_round *r,
                         const uint8_t id[PF_DEVICE_LEN])
{
    const struct pf_lease *lease = pf_leases_find(&r->leases, id);

    return is_training(lease) ? lease->round : 0;
}

static int give_up(struct pf_stepping *s, const char *reason)
{
    struct pf_round *r = s->r;
    int done = 0;

    if (closing(r) != 0) {
        pf_step_abandon(s, closing(r), reason);
        done = 1;
    }
    if (r->phase == PF_PHASE_COLLECTING) {
        pf_step_abandon(s, r->round, reason);
        done = 1;
    }
    return done;
}

/* ---- views ------------------------------------------------------------------
 */

static void accepted(const struct pf_round *r, uint64_t round,
                     void (*visit)(void *, const struct pf_device_ref *,
                                   const struct pf_accepted *),
                     void *ctx)
{
    int at = pf_round_index(r, round);
    const struct pf_buffer *b;
    uint32_t i;

    if (at < 0)
        return;
    b = &r->buffer[at];
    for (i = 0; i < b->n; i++)
        visit(ctx, &b->entry[i].device, &b->entry[i].accepted);
}

/* By staleness first, so that the order of arrival leaves no trace. */
static double divisor(const struct pf_round *r)
{
    const struct pf_buffer *b;
    double sum = 0;
    uint32_t s, i;

    if (!r->task->round.discounted || closing(r) == 0)
        return 0;
    b = &r->buffer[pf_round_index(r, closing(r))];
    for (s = 0; s <= r->task->round.max_staleness; s++) {
        uint64_t weight = 0;

        for (i = 0; i < b->n; i++)
            if (b->entry[i].accepted.staleness == s)
                weight += b->entry[i].accepted.admitted.weight;
        sum += (double)weight * pf_staleness_factor(s);
    }
    return sum;
}

static void counts(const struct pf_round *r, int64_t now_ms,
                   struct pf_round_status *out)
{
    out->assigned = pf_leases_live(&r->leases, now_ms, pf_lease_ms(r->task));
    out->accepted = r->buffer[0].n;
}

const struct pf_policy pf_policy_async = {
    .init = init,
    .free = release,
    .apply = apply,
    .settle = settle,
    .checkin = checkin,
    .offer = offer,
    .update = update,
    .failure = failure,
    .assignment = assigned,
    .closing = closing,
    .give_up = give_up,
    .deadline = deadline,
    .accepted = accepted,
    .divisor = divisor,
    .counts = counts,
};
