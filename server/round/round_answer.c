#include "round_inside.h"

#include <string.h>
#include "pace.h"
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

void pf_answer_closed(const struct pf_round *r, uint64_t round,
                      struct pf_answer *a)
{
    pf_answer_refuse(a,
                     r->state == PF_TASK_FINISHED ? PF_PROBLEM_TASK_FINISHED
                                                  : PF_PROBLEM_ROUND_CLOSED,
                     round);
}

void pf_answer_go(struct pf_answer *a, enum pf_answer_kind kind, uint64_t round,
                  const uint8_t base[32])
{
    a->kind = kind;
    a->u.go.round = round;
    memcpy(a->u.go.base, base, sizeof a->u.go.base);
}

void pf_answer_assignment(const struct pf_round *r, const struct pf_event *ev,
                          uint64_t round, const uint8_t base[32],
                          int64_t until_ms, struct pf_answer *a)
{
    struct pf_checkin_reply *c = &a->u.checkin;
    struct pf_rng rng = pf_rng_make(r->task->seed, ev->device.ordinal,
                                    (uint32_t)round, PF_RNG_ASSIGNMENT);

    c->kind = PF_CHECKIN_TRAIN;
    c->round = round;
    memcpy(c->base, base, sizeof c->base);
    memcpy(c->plan, r->plan, sizeof c->plan);
    c->seed = pf_rng_u64(&rng, 0);
    c->lease_ms = until_ms > ev->now_ms ? until_ms - ev->now_ms : 1;
}

enum pf_wait_reason pf_wait_for_task(const struct pf_round *r)
{
    if (r->state == PF_TASK_FINISHED)
        return PF_WAIT_FINISHED;
    if (r->state == PF_TASK_PAUSED)
        return PF_WAIT_PAUSED;
    if (r->phase == PF_PHASE_CLOSING)
        return PF_WAIT_PUBLISHING;
    return r->phase == PF_PHASE_BACKOFF ? PF_WAIT_BACKOFF : PF_WAIT_NONE;
}

/* Never before its round is over, however few devices there are. */
static int64_t rest_ms(const struct pf_round *r, const struct pf_event *ev)
{
    uint64_t rounds =
        r->task->device.rest_rounds + 1 - (r->round - ev->u.checkin.last_round);

    return rounds < 1000 ? (int64_t)(rounds - 1) * r->lasting_ms
                         : PF_PACE_MOST_MS;
}

void pf_answer_wait(const struct pf_round *r, const struct pf_event *ev,
                    enum pf_wait_reason reason, struct pf_answer *a)
{
    const struct pf_task_round *t = &r->task->round;
    struct pf_rng rng = pf_rng_make(r->task->seed, ev->device.ordinal,
                                    (uint32_t)r->round, PF_RNG_JITTER);
    struct pf_checkin_reply *c = &a->u.checkin;
    struct pf_pace pace = {
        .population = ev->u.checkin.population,
        .goal = t->select.max,
        .round_ms = r->lasting_ms,
        .load = ev->u.checkin.load,
        .least_ms = pf_task_ms(t->poll_min_s),
        .most_ms = pf_task_ms(t->poll_max_s),
        .per_s = t->checkins_per_s,
        .draw = pf_rng_double(&rng, (uint64_t)ev->now_ms),
    };
    int64_t later = 0;

    if (reason == PF_WAIT_PUBLISHING) { /* a moment; few are told so */
        pace.most_ms = pace.least_ms;
        pace.least_ms /= 2;
    } else if (reason == PF_WAIT_BACKOFF) {
        later = r->backoff_ms - ev->now_ms;
    } else if (reason == PF_WAIT_RESTING) {
        later = rest_ms(r, ev);
    } else if (reason == PF_WAIT_DONE || reason == PF_WAIT_NOT_ELIGIBLE) {
        later = PF_PACE_MOST_MS / 2;
    } else if (reason == PF_WAIT_FINISHED) {
        memcpy(c->final_model, r->model, sizeof c->final_model);
    }
    c->kind = PF_CHECKIN_WAIT;
    c->reason = (int)reason;
    pf_pace(&pace, &c->min_ms, &c->max_ms);
    if (later > 0) { /* the spread of the window, from then on */
        c->max_ms += later - (reason == PF_WAIT_BACKOFF ? 0 : pace.least_ms);
        c->min_ms += later - pace.least_ms;
    }
}

void pf_answer_acknowledge(const struct pf_round *r,
                           const struct pf_device_ref *device, uint64_t counted,
                           const struct pf_accepted *accepted,
                           struct pf_answer *a)
{
    struct pf_ack *ack = &a->u.ack;

    a->kind = PF_ANSWER_ACK;
    memcpy(ack->task, r->task->name, sizeof ack->task);
    memcpy(ack->device, device->id, sizeof ack->device);
    ack->round = accepted->assigned;
    ack->counted = counted;
    memcpy(ack->base, accepted->base, sizeof ack->base);
    memcpy(ack->plan, r->plan, sizeof ack->plan);
    memcpy(ack->digest, accepted->digest, sizeof ack->digest);
    ack->examples = accepted->admitted.examples;
    ack->weight = accepted->admitted.weight;
}
