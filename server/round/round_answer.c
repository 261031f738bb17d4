#include "round_inside.h"

#include <string.h>
#include "rng.h"

void pf_answer_refuse(struct pf_answer *a, enum pf_problem_id id,
                      uint64_t round)
{
    a->kind = PF_ANSWER_PROBLEM;
    switch (id) {
    case PF_PROBLEM_ROUND_CLOSED:
        pf_problem_set(&a->u.problem, id, "round %llu is closed",
                       (unsigned long long)round);
        break;
    case PF_PROBLEM_NOT_ASSIGNED:
        pf_problem_set(&a->u.problem, id,
                       "the device has no assignment in round %llu",
                       (unsigned long long)round);
        break;
    case PF_PROBLEM_ALREADY_DIFFERENT:
        pf_problem_set(&a->u.problem, id,
                       "another update of this device was accepted in round "
                       "%llu",
                       (unsigned long long)round);
        break;
    default:
        pf_problem_set(&a->u.problem, id, "the task is finished");
        break;
    }
}

void pf_answer_assignment(const struct pf_round *r, const struct pf_event *ev,
                          struct pf_answer *a)
{
    const struct pf_task_round *t = &r->task->round;
    struct pf_checkin_reply *c = &a->u.checkin;
    struct pf_rng rng;
    int64_t end = r->phase_ms + pf_task_ms(t->collect.max_s);

    if (r->phase == PF_PHASE_SELECTING)
        end += pf_task_ms(t->select.max_s);
    rng = pf_rng_make(r->task->seed, ev->device.ordinal, (uint32_t)r->round,
                      PF_RNG_ASSIGNMENT);
    c->kind = PF_CHECKIN_TRAIN;
    c->round = r->round;
    memcpy(c->base, r->roster[0].base, sizeof c->base);
    memcpy(c->plan, r->plan, sizeof c->plan);
    c->seed = pf_rng_u64(&rng, 0);
    c->lease_ms = end > ev->now_ms ? end - ev->now_ms : 1;
}

/* Why a device without an assignment has to wait. */
static enum pf_wait_reason wait_reason(const struct pf_round *r,
                                       const struct pf_entry *e)
{
    if (r->state == PF_TASK_FINISHED)
        return PF_WAIT_FINISHED;
    if (e && e->state == PF_ENTRY_ACCEPTED && pf_round_is_open(r))
        return PF_WAIT_CONTRIBUTED;
    if (r->state == PF_TASK_PAUSED)
        return PF_WAIT_PAUSED;
    if (r->phase == PF_PHASE_CLOSING)
        return PF_WAIT_PUBLISHING;
    return r->phase == PF_PHASE_BACKOFF ? PF_WAIT_BACKOFF : PF_WAIT_ROUND_FULL;
}

void pf_answer_wait(const struct pf_round *r, const struct pf_event *ev,
                    const struct pf_entry *e, struct pf_answer *a)
{
    struct pf_checkin_reply *c = &a->u.checkin;
    int64_t min_ms = pf_task_ms(r->task->round.poll_min_s);
    int64_t max_ms = pf_task_ms(r->task->round.poll_max_s);
    enum pf_wait_reason reason = wait_reason(r, e);

    if (reason == PF_WAIT_PUBLISHING) {
        max_ms = min_ms;
        min_ms /= 2;
    } else if (reason == PF_WAIT_BACKOFF) {
        min_ms = r->backoff_ms - ev->now_ms;
        max_ms += min_ms;
    } else if (reason == PF_WAIT_FINISHED) {
        memcpy(c->final_model, r->model, sizeof c->final_model);
    }
    c->kind = PF_CHECKIN_WAIT;
    c->reason = (int)reason;
    c->min_ms = min_ms;
    c->max_ms = max_ms;
}

void pf_answer_acknowledge(const struct pf_round *r,
                           const struct pf_roster *roster,
                           const struct pf_entry *e, struct pf_answer *a)
{
    struct pf_ack *ack = &a->u.ack;

    a->kind = PF_ANSWER_ACK;
    memcpy(ack->task, r->task->name, sizeof ack->task);
    memcpy(ack->device, e->device.id, sizeof ack->device);
    ack->round = roster->round;
    memcpy(ack->base, roster->base, sizeof ack->base);
    memcpy(ack->plan, r->plan, sizeof ack->plan);
    memcpy(ack->digest, e->digest, sizeof ack->digest);
    ack->examples = e->examples;
    ack->weight = e->weight;
}

void pf_answer_offer(const struct pf_round *r, const struct pf_event *ev,
                     struct pf_answer *a)
{
    int open = pf_round_is_open(r) && ev->round == r->round;
    const struct pf_entry *e = NULL;
    int i;

    a->kind = PF_ANSWER_GO;
    for (i = 0; i < 2 && !e; i++)
        if (ev->round != 0 && r->roster[i].round == ev->round)
            e = pf_roster_find(&r->roster[i], ev->device.id);
    if (e && e->state == PF_ENTRY_ACCEPTED) {
        if (memcmp(e->digest, ev->u.update.digest, sizeof e->digest) != 0) {
            pf_answer_refuse(a, PF_PROBLEM_ALREADY_DIFFERENT, ev->round);
            return;
        }
        pf_answer_acknowledge(r, &r->roster[i - 1], e, a);
        a->again = 1;
    } else if (!open && ev->round != 0 && ev->round <= r->round) {
        pf_answer_refuse(a, PF_PROBLEM_ROUND_CLOSED, ev->round);
    } else if (!e || e->state != PF_ENTRY_ASSIGNED) {
        pf_answer_refuse(a, PF_PROBLEM_NOT_ASSIGNED, ev->round);
    }
}
