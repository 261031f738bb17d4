#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop(const char *why)
{
    fprintf(stderr, "engine: %s\n", why);
    abort();
}

void engine_digest(uint8_t byte, uint8_t out[32])
{
    memset(out, byte, 32);
}

/* Neighbours share the low bits that the roster looks at first, so that its
 * probing is tried as well. */
struct pf_device_ref engine_device(unsigned number)
{
    struct pf_device_ref d;

    memset(&d, 0, sizeof d);
    d.id[0] = (uint8_t)(number / 4);
    d.id[8] = (uint8_t)number;
    d.id[9] = (uint8_t)(number >> 8);
    d.ordinal = number;
    return d;
}

void engine_init(struct engine *e)
{
    memset(e, 0, sizeof *e);
    pf_task_init(&e->task);
    snprintf(e->task.name, sizeof e->task.name, "bench");
    e->task.seed = 5;
    e->task.round.select = (struct pf_window){3, 3, 0, 100};
    e->task.round.collect = (struct pf_window){2, 3, 10, 50};
    e->task.round.retry_s = 8;
    e->task.round.poll_min_s = 4;
    e->task.round.poll_max_s = 9;
    e->now_ms = 1000000; /* the daemon is not new */
}

void engine_async(struct engine *e)
{
    e->task.round.policy = PF_POLICY_ASYNC;
    e->task.round.collect = (struct pf_window){1, 2, 10, 50};
    e->task.round.max_staleness = 2;
}

void engine_make(struct engine *e)
{
    uint8_t plan[32], model[32];

    engine_digest(0xaa, plan);
    engine_digest(0, model);
    if (pf_round_create(&e->task, plan, model, &e->round))
        stop("no engine");
}

void engine_go(struct engine *e)
{
    engine_make(e);
    engine_command(e, PF_CMD_START);
}

void engine_free(struct engine *e)
{
    pf_round_free(e->round);
    pf_round_free(e->shadow);
    pf_task_free(&e->task);
    free(e->record);
}

int engine_set_up(void **state)
{
    engine_init(*state);
    return 0;
}

int engine_tear_down(void **state)
{
    engine_free(*state);
    return 0;
}

struct pf_round *engine_again(const struct engine *e)
{
    uint8_t plan[32], model[32];
    struct pf_round *r;
    size_t i;

    engine_digest(0xaa, plan);
    engine_digest(0, model);
    if (pf_round_create(&e->task, plan, model, &r))
        stop("no second engine");
    for (i = 0; i < e->n_records; i++)
        pf_round_apply(r, &e->record[i]);
    return r;
}

void engine_shadow(struct engine *e)
{
    pf_round_free(e->shadow);
    e->shadow = engine_again(e);
}

void engine_restart(struct engine *e)
{
    struct pf_round *again = engine_again(e);

    pf_round_free(e->round);
    e->round = again;
    engine_resume(e);
}

static void keep(struct engine *e, const struct pf_record *rec)
{
    uint64_t device = rec->device.ordinal;

    if (rec->kind == PF_REC_ACCEPTED &&
        device < sizeof e->counted / sizeof e->counted[0]) {
        e->counted[device].updates++;
        e->counted[device].last_round = rec->round;
    }
    if (e->n_records == e->cap) {
        e->cap = e->cap ? 2 * e->cap : 64;
        e->record = realloc(e->record, e->cap * sizeof *e->record);
        if (!e->record)
            stop("no memory");
    }
    e->record[e->n_records++] = *rec;
}

void engine_event(struct engine *e, const struct pf_event *given)
{
    struct pf_event ev = *given;
    static struct pf_step other;
    unsigned i, answers = 0;

    ev.now_ms = e->now_ms;
    e->event = ev;
    memset(&e->answer, 0, sizeof e->answer);
    memset(&e->step, 0xee, sizeof e->step); /* nothing may be left over */
    pf_round_step(e->round, &ev, &e->step);
    if (e->shadow) {
        memset(&other, 0xee, sizeof other);
        pf_round_step(e->shadow, &ev, &other);
        e->differs |= memcmp(&other, &e->step, sizeof other) != 0;
    }
    if (e->step.n_records > PF_STEP_RECORDS ||
        e->step.n_effects > PF_STEP_EFFECTS)
        stop("the step ran over");
    for (i = 0; i < e->step.n_records; i++)
        keep(e, &e->step.record[i]);
    for (i = 0; i < e->step.n_effects; i++)
        if (e->step.effect[i].kind == PF_EFFECT_ANSWER) {
            if (e->step.effect[i].reply_to != ev.reply_to)
                stop("an answer to somebody else");
            e->answer = e->step.effect[i].u.answer;
            answers++;
        }
    if (answers != (ev.reply_to != 0))
        stop("not one answer to each question");
}

static struct pf_event question(enum pf_event_kind kind, unsigned device,
                                uint64_t round)
{
    struct pf_event ev;

    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.reply_to = 77;
    ev.device = engine_device(device);
    ev.round = round;
    return ev;
}

const struct pf_answer *engine_checkin(struct engine *e, unsigned device)
{
    struct pf_event ev = question(PF_EV_CHECKIN, device, 0);

    memcpy(ev.u.checkin.device_class, e->device_class, sizeof e->device_class);
    if (device < sizeof e->counted / sizeof e->counted[0]) {
        ev.u.checkin.updates = e->counted[device].updates;
        ev.u.checkin.last_round = e->counted[device].last_round;
    }
    engine_event(e, &ev);
    return &e->answer;
}

const struct pf_answer *engine_offer(struct engine *e, unsigned device,
                                     uint64_t round, uint8_t digest)
{
    struct pf_event ev = question(PF_EV_OFFER, device, round);

    engine_digest(digest, ev.u.update.digest);
    engine_event(e, &ev);
    return &e->answer;
}

const struct pf_answer *engine_update(struct engine *e, unsigned device,
                                      uint64_t round, uint8_t digest)
{
    return engine_update_in(e, device, round, digest, engine_status(e).round);
}

const struct pf_answer *engine_update_in(struct engine *e, unsigned device,
                                         uint64_t round, uint8_t digest,
                                         uint64_t segment)
{
    struct pf_event ev = question(PF_EV_UPDATE, device, round);

    engine_digest(digest, ev.u.update.digest);
    ev.u.update.extent = (struct pf_extent){4096u * device, 100};
    ev.u.update.segment = segment;
    ev.u.update.admitted = (struct pf_admitted){10, 10, 1, 2.0, 0.5};
    engine_event(e, &ev);
    return &e->answer;
}

const struct pf_answer *engine_failure(struct engine *e, unsigned device,
                                       uint64_t round)
{
    struct pf_event ev = question(PF_EV_FAILURE, device, round);

    ev.u.failure = PF_FAILURE_MEMORY;
    engine_event(e, &ev);
    return &e->answer;
}

const struct pf_answer *engine_command(struct engine *e, enum pf_command c)
{
    struct pf_event ev = question(PF_EV_COMMAND, 0, 0);

    ev.u.command = c;
    engine_event(e, &ev);
    return &e->answer;
}

const struct pf_answer *engine_roll_back(struct engine *e, uint64_t round)
{
    struct pf_event ev = question(PF_EV_COMMAND, 0, 0);
    const struct pf_record *rec;
    size_t i;

    ev.u.command = PF_CMD_ROLLBACK;
    ev.u.rollback.source = round;
    for (i = 0; i < e->n_records; i++) {
        rec = &e->record[i];
        if (rec->kind != PF_REC_PUBLISHED || rec->round != round)
            continue;
        memcpy(ev.u.rollback.model, rec->u.published.model, 32);
        memcpy(ev.u.rollback.state, rec->u.published.state, 32);
    }
    engine_event(e, &ev);
    return &e->answer;
}

void engine_finish_failed(struct engine *e, uint64_t round)
{
    struct pf_event ev = question(PF_EV_FINISH_FAILED, 0, round);

    ev.reply_to = 0;
    ev.u.failure = POCKETFED_NO_MEMORY;
    engine_event(e, &ev);
}

void engine_finished(struct engine *e, uint64_t round)
{
    struct pf_event ev = question(PF_EV_FINISHED, 0, round);

    ev.reply_to = 0;
    engine_digest((uint8_t)round, ev.u.finished.model);
    engine_event(e, &ev);
}

void engine_evaluated(struct engine *e, uint64_t round, double accuracy)
{
    struct pf_event ev = question(PF_EV_EVALUATED, 0, round);

    ev.reply_to = 0;
    ev.u.evaluated.accuracy = accuracy;
    ev.u.evaluated.loss = 1 - accuracy;
    engine_event(e, &ev);
}

void engine_pass(struct engine *e, double seconds)
{
    struct pf_event ev = question(PF_EV_TICK, 0, 0);

    ev.reply_to = 0;
    e->now_ms += (int64_t)(seconds * 1000);
    engine_event(e, &ev);
}

void engine_resume(struct engine *e)
{
    struct pf_event ev = question(PF_EV_RESUME, 0, 0);

    ev.reply_to = 0;
    engine_event(e, &ev);
}

unsigned engine_records(const struct engine *e, enum pf_record_kind kind)
{
    unsigned i, n = 0;

    for (i = 0; i < e->step.n_records; i++)
        n += e->step.record[i].kind == kind;
    return n;
}

const struct pf_effect *engine_effect(const struct engine *e,
                                      enum pf_effect_kind kind)
{
    unsigned i;

    for (i = 0; i < e->step.n_effects; i++)
        if (e->step.effect[i].kind == kind)
            return &e->step.effect[i];
    return NULL;
}

const struct pf_record *engine_record(const struct engine *e,
                                      enum pf_record_kind kind)
{
    unsigned i;

    for (i = 0; i < e->step.n_records; i++)
        if (e->step.record[i].kind == kind)
            return &e->step.record[i];
    return NULL;
}

int engine_refused(const struct engine *e, enum pf_problem_id id)
{
    return e->answer.kind == PF_ANSWER_PROBLEM && e->answer.u.problem.id == id;
}

int engine_assigned(struct engine *e, unsigned device)
{
    const struct pf_answer *a = engine_checkin(e, device);

    return a->kind == PF_ANSWER_CHECKIN &&
           a->u.checkin.kind == PF_CHECKIN_TRAIN;
}

int engine_abandoned(const struct engine *e, const char *reason)
{
    const struct pf_record *r = engine_record(e, PF_REC_ABANDONED);

    return r && strcmp(r->u.abandoned.reason, reason) == 0 &&
           engine_effect(e, PF_EFFECT_DROP) != NULL;
}

int engine_waits(struct engine *e, unsigned device, enum pf_wait_reason reason)
{
    const struct pf_answer *a = engine_checkin(e, device);

    return a->kind == PF_ANSWER_CHECKIN &&
           a->u.checkin.kind == PF_CHECKIN_WAIT &&
           a->u.checkin.reason == (int)reason;
}

void engine_fill(struct engine *e, uint64_t round)
{
    unsigned d;

    for (d = 1; d <= 3; d++)
        if (!engine_assigned(e, d) ||
            engine_update(e, d, round, 1)->kind != PF_ANSWER_ACK)
            stop("a device could not contribute");
}

struct pf_task_status engine_status(const struct engine *e)
{
    struct pf_task_status s;

    pf_round_task_status(e->round, e->now_ms, &s);
    return s;
}
