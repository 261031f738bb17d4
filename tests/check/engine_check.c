#include "engine_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROUNDS  4096
#define MAX_DEVICES 16

/* What a round was seen to do. */
struct seen {
    unsigned assigned, accepted;
    int opened, closed, published, abandoned, finish, drop;
    uint8_t base;
    struct {
        int assigned, failed, accepted;
        uint8_t digest;
    } device[MAX_DEVICES];
};

struct engine_check {
    struct seen round[MAX_ROUNDS];
    uint64_t newest;
    uint8_t model;
    uint64_t published;
    int finished;
    int asked; /* the last event was OFFER or UPDATE */
    unsigned asked_device;
    uint64_t asked_round;
    uint8_t asked_digest;
};

struct engine_check *engine_check_new(void)
{
    struct engine_check *c = calloc(1, sizeof *c);

    if (!c)
        abort();
    return c;
}

void engine_check_free(struct engine_check *c)
{
    free(c);
}

void engine_move(struct engine *e, struct engine_check *c,
                 const struct engine_move *m)
{
    unsigned device = m->device % MAX_DEVICES;
    uint64_t round = c->newest;

    if (m->round_back == 0)
        round++;
    else if (m->round_back == 1 && round > 0)
        round--;
    c->asked = 0;
    e->now_ms += m->pass_ms;
    switch (m->what % ENGINE_MOVES) {
    case 0:
    case 1:
    case 2:
    case 3:
        engine_checkin(e, device);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        c->asked = 1;
        c->asked_device = device;
        c->asked_round = round;
        c->asked_digest = m->digest;
        if (m->what == 4)
            engine_offer(e, device, round, m->digest);
        else
            engine_update(e, device, round, m->digest);
        break;
    case 9:
        engine_failure(e, device, round);
        break;
    case 10:
    case 11:
        engine_finished(e, round);
        break;
    case 12:
        engine_evaluated(e, round - (round > 0), m->accuracy);
        break;
    case 13:
        engine_command(e, m->digest == 0   ? PF_CMD_PAUSE
                          : m->digest == 1 ? PF_CMD_START
                                           : PF_CMD_RESUME);
        break;
    case 14:
        engine_command(e, PF_CMD_RESUME);
        break;
    default:
        engine_pass(e, (double)m->pass_ms / 100);
        break;
    }
}

/* Records that a device made. */
static const char *check_device(const struct engine *e,
                                const struct pf_record *rec, struct seen *s)
{
    unsigned d = (unsigned)rec->device.ordinal;

    if (d >= MAX_DEVICES || s->closed || s->abandoned)
        return "a device's record outside an open round";
    if (rec->kind == PF_REC_ASSIGNED) {
        if (s->device[d].assigned++)
            return "assigned twice";
        if (++s->assigned > 2 * e->task.round.select.max)
            return "too many assigned";
        return NULL;
    }
    if (!s->device[d].assigned || s->device[d].failed || s->device[d].accepted)
        return "an update or failure of a device that has no assignment";
    if (rec->kind == PF_REC_FAILED) {
        s->device[d].failed = 1;
        return NULL;
    }
    s->device[d].accepted = 1;
    s->device[d].digest = rec->u.accepted.digest[0];
    return ++s->accepted > e->task.round.collect.max ? "too many accepted"
                                                     : NULL;
}

static const char *check_record(const struct engine *e, struct engine_check *c,
                                const struct pf_record *rec)
{
    struct seen *s;

    if (rec->at_ms != e->now_ms)
        return "a record of another time";
    if (rec->round >= MAX_ROUNDS)
        return NULL;
    s = &c->round[rec->round];
    switch (rec->kind) {
    case PF_REC_OPENED:
        if (rec->round != c->newest + 1 || c->finished)
            return "a round number out of order";
        if (rec->u.opened.base[0] != c->model)
            return "a base that is not the newest model";
        c->newest = rec->round;
        s->opened = 1;
        return NULL;
    case PF_REC_ASSIGNED:
    case PF_REC_ACCEPTED:
    case PF_REC_FAILED:
        return rec->round == c->newest && s->opened ? check_device(e, rec, s)
                                                    : "of another round";
    case PF_REC_CLOSED:
        return s->closed++ || s->accepted < e->task.round.collect.min
                   ? "closed twice or with too few"
                   : NULL;
    case PF_REC_PUBLISHED:
        c->model = rec->u.published.model[0];
        c->published++;
        if (rec->u.published.accepted != s->accepted ||
            rec->u.published.weight != 10u * s->accepted)
            return "published numbers are not the accepted ones";
        return !s->closed || s->abandoned || s->published++
                   ? "published out of order"
                   : NULL;
    case PF_REC_ABANDONED:
        return !s->opened || s->published || s->abandoned++
                   ? "abandoned out of order"
                   : NULL;
    case PF_REC_STATE:
        if (c->finished)
            return "a state after the last";
        c->finished = rec->u.state.state == PF_TASK_FINISHED;
        return NULL;
    case PF_REC_COLLECTING:
    case PF_REC_EVALUATED:
        return NULL;
    }
    return "a record of no kind";
}

static const char *check_effect(struct engine_check *c,
                                const struct pf_effect *f, unsigned accepted)
{
    struct seen *s;

    if (f->kind == PF_EFFECT_ANSWER || f->round >= MAX_ROUNDS)
        return NULL;
    s = &c->round[f->round];
    switch (f->kind) {
    case PF_EFFECT_FOLD:
        return accepted == 1 && !s->finish ? NULL : "a fold without its record";
    case PF_EFFECT_FINISH:
        return s->closed && !s->finish++ ? NULL : "FINISH out of order";
    case PF_EFFECT_DROP:
        return (s->published || s->abandoned) && !s->drop++
                   ? NULL
                   : "DROP out of order";
    case PF_EFFECT_DISCARD:
        return s->published ? "DISCARD of a published model" : NULL;
    default:
        return s->published ? NULL : "EVALUATE of what is not published";
    }
}

/* OFFER and UPDATE are answered by what was accepted before. */
static const char *check_answer(const struct engine *e,
                                const struct engine_check *c)
{
    const struct seen *s;
    int known;

    if (!c->asked || c->asked_round == 0 || c->asked_round >= MAX_ROUNDS)
        return NULL;
    s = &c->round[c->asked_round];
    known =
        s->device[c->asked_device].accepted && c->asked_round + 1 >= c->newest;
    if (known && s->device[c->asked_device].digest == c->asked_digest)
        return e->answer.kind == PF_ANSWER_ACK ? NULL : "no acknowledgement";
    if (known)
        return e->answer.kind == PF_ANSWER_PROBLEM &&
                       e->answer.u.problem.id == PF_PROBLEM_ALREADY_DIFFERENT
                   ? NULL
                   : "another update is not refused";
    return e->answer.kind == PF_ANSWER_ACK ? "acknowledged what is not in"
                                           : NULL;
}

const char *engine_check_step(const struct engine *e, struct engine_check *c)
{
    const char *wrong = NULL;
    unsigned i;

    for (i = 0; i < e->step.n_records && !wrong; i++)
        wrong = check_record(e, c, &e->step.record[i]);
    for (i = 0; i < e->step.n_effects && !wrong; i++)
        wrong = check_effect(c, &e->step.effect[i],
                             engine_records(e, PF_REC_ACCEPTED));
    if (!wrong)
        wrong = check_answer(e, c);
    c->asked = 0;
    if (!wrong && engine_status(e).published != c->published)
        wrong = "the count of published rounds";
    if (!wrong && e->differs)
        wrong = "an engine made of the records went on otherwise";
    if (!wrong && pf_round_deadline(e->round) <= e->now_ms)
        wrong = "a deadline that has passed";
    return wrong;
}

static void sum_folds(void *ctx, uint64_t round, const struct pf_effect *fold)
{
    uint64_t *sum = ctx;

    *sum = *sum * 31 + round + fold->u.fold.extent.offset;
}

const char *engine_check_replay(struct engine *e)
{
    struct pf_task_status live = engine_status(e), again;
    struct pf_round_status live_open, again_open;
    uint64_t live_folds = 0, again_folds = 0;
    struct pf_round *r;
    int open;

    engine_shadow(e);
    r = e->shadow;
    pf_round_task_status(r, e->now_ms, &again);
    if (memcmp(&live, &again, sizeof live) != 0)
        return "the status differs after a replay";
    open = pf_round_open_status(e->round, e->now_ms, &live_open);
    if (open != pf_round_open_status(r, e->now_ms, &again_open) ||
        (open && memcmp(&live_open, &again_open, sizeof live_open) != 0))
        return "the open round differs after a replay";
    if (pf_round_deadline(e->round) != pf_round_deadline(r))
        return "the deadline differs after a replay";
    pf_round_folds(e->round, sum_folds, &live_folds);
    pf_round_folds(r, sum_folds, &again_folds);
    return live_folds != again_folds ? "the folds differ after a replay" : NULL;
}
