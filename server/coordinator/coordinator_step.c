#include "coordinator_int.h"

#include <string.h>

#include "bytes.h"

/* The first half of a batch: what waited and what time has brought becomes
 * events, and the round engines decide. */

static struct pf_task_step *step(struct pf_coordinator *c,
                                 struct pf_live_task *t, struct pf_event *ev)
{
    struct pf_task_step *s = &c->steps[c->n_steps++];

    ev->now_ms = c->now_ms;
    if (ev->kind == PF_EV_CHECKIN) {
        ev->u.checkin.population = t->devices;
        ev->u.checkin.load = pf_queue_fill(c->inbox);
    }
    s->task = t;
    pf_round_step(t->round, ev, &s->step);
    return s;
}

/* Commands answer through their job, not through a waiter. */
void pf_step_command(struct pf_coordinator *c, struct pf_job *job,
                     struct pf_live_task *t, struct pf_event *ev)
{
    struct pf_task_step *s;
    struct pf_effect *e;
    unsigned i;

    ev->kind = PF_EV_COMMAND;
    ev->reply_to = 1;
    s = step(c, t, ev);
    for (i = 0; i < s->step.n_effects; i++) {
        e = &s->step.effect[i];
        if (e->kind != PF_EFFECT_ANSWER)
            continue;
        if (e->u.answer.kind == PF_ANSWER_PROBLEM)
            job->problem = e->u.answer.u.problem;
        e->reply_to = 0;
    }
}

/* A rollback names a round; what that round published is in the store. 0: the
 * refusal is in the job. */
static int find_source(struct pf_coordinator *c, struct pf_job *job,
                       struct pf_event *ev)
{
    uint64_t round = job->u.set.source;
    uint8_t *model = ev->u.rollback.model, *state = ev->u.rollback.state;
    struct pf_object *obj = NULL;
    struct pf_error err = {0};
    enum pocketfed_status st;

    ev->u.rollback.source = round;
    st = pf_store_published(c->config.store, job->task->stored.id, round, model,
                            state, &err);
    if (st == POCKETFED_OK)
        st = pf_objects_get(c->config.objects, model, &obj, &err);
    pf_object_release(obj);
    obj = NULL;
    if (st == POCKETFED_OK && !pf_is_zero(state, 32))
        st = pf_objects_get(c->config.objects, state, &obj, &err);
    pf_object_release(obj);
    if (st == POCKETFED_OK)
        return 1;
    pf_problem_set(&job->problem, PF_PROBLEM_NOT_FOUND,
                   "round %llu published no model that is still kept (%s)",
                   (unsigned long long)round, err.text);
    return 0;
}

static void step_job(struct pf_coordinator *c, struct pf_job *job)
{
    struct pf_event ev = {0};

    ev.u.command = job->u.set.command;
    if (ev.u.command != PF_CMD_ROLLBACK || find_source(c, job, &ev))
        pf_step_command(c, job, job->task, &ev);
}

/* A device that goes gives back what it was to train. */
static void step_end(struct pf_coordinator *c, const struct pf_job *job)
{
    struct pf_event ev = {0};

    ev.kind = PF_EV_FAILURE;
    ev.device = job->u.gone.device;
    ev.round = pf_round_assignment(job->task->round, ev.device.id);
    ev.u.failure =
        job->kind == PF_JOB_REVOKE ? PF_FAILURE_REVOKED : PF_FAILURE_LEFT;
    if (ev.round != 0)
        step(c, job->task, &ev);
}

void pf_step_items(struct pf_coordinator *c)
{
    struct pf_item *it;
    size_t i;

    for (i = 0; i < c->n_items; i++) {
        it = &c->items[i];
        if (!it->job)
            step(c, it->task, &it->event);
        else if (it->job->kind == PF_JOB_TASK_SET)
            step_job(c, it->job);
        else if (pf_job_is_end(it->job))
            step_end(c, it->job);
    }
}

/* Time passes for the tasks whose deadline has come. */
void pf_step_ticks(struct pf_coordinator *c)
{
    struct pf_live_task *t;
    struct pf_event ev;
    size_t n = 0;

    for (t = c->tasks; t && n < PF_BATCH_TICKS; t = t->next) {
        if (pf_round_deadline(t->round) > c->now_ms)
            continue;
        memset(&ev, 0, sizeof ev);
        ev.kind = PF_EV_TICK;
        step(c, t, &ev);
        n++;
    }
}
