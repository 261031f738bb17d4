#include "engine_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dull.h"

#define MAX_ROUNDS  4096
#define MAX_DEVICES 16

/* What a round was seen to do. */
struct seen {
    unsigned assigned, accepted;
    uint64_t weight;
    int opened, closed, published, abandoned, finish, drop;
    uint8_t model;
    struct {
        int assigned, failed;
        uint8_t base, digest;
        uint64_t models;  /* that there were */
        uint64_t counted; /* in that round; 0: not */
        int contributed;  /* to this round */
    } device[MAX_DEVICES];
};

struct engine_check {
    struct seen round[MAX_ROUNDS];
    uint64_t newest, closing, published, models;
    uint8_t model;
    int finished, async;
    uint64_t given[MAX_DEVICES]; /* the round of its newest assignment */
    struct dull_words want, got;
    char wrong[8192];
};

struct engine_check *engine_check_new(const struct engine *e)
{
    struct engine_check *c = calloc(1, sizeof *c);

    if (!c)
        abort();
    c->async = e->task.round.policy == PF_POLICY_ASYNC;
    dull_begin(&e->task);
    return c;
}

void engine_check_free(struct engine_check *c)
{
    free(c);
}

/* ---- moves ------------------------------------------------------------------
 */

static uint64_t pick_round(const struct engine_check *c,
                           const struct engine_move *m, uint64_t meant)
{
    if (m->round_back == 0)
        return c->newest + 1;
    if (m->round_back == 1)
        return c->newest > 0 ? c->newest - 1 : 0;
    return m->round_back == 2 || meant == 0 ? c->newest : meant;
}

static void move_command(struct engine *e, struct engine_check *c,
                         const struct engine_move *m)
{
    uint64_t round = c->newest, skip = m->digest;

    switch (m->what) {
    case 17:
        engine_command(e, m->digest == 0   ? PF_CMD_PAUSE
                          : m->digest == 1 ? PF_CMD_START
                                           : PF_CMD_RESUME);
        break;
    case 18:
        engine_command(e, PF_CMD_RESUME);
        break;
    case 19:
        engine_command(e, m->digest || m->round_back ? PF_CMD_ABORT
                                                     : PF_CMD_FINISH);
        break;
    default:
        while (round > 0 && (round >= MAX_ROUNDS ||
                             !c->round[round].published || skip-- > 0))
            round--;
        engine_roll_back(e, m->round_back == 0 ? c->newest + 1 : round);
        break;
    }
}

static void move_device(struct engine *e, struct engine_check *c,
                        const struct engine_move *m, unsigned device)
{
    uint64_t round = pick_round(c, m, c->given[device]);
    uint64_t behind = c->async && m->round_back == 3 && c->newest > 0;

    if (m->what <= 4) {
        snprintf(e->device_class, sizeof e->device_class, "%c",
                 'a' + device % 3);
        engine_checkin(e, device);
    } else if (m->what == 5) {
        engine_offer(e, device, round, m->digest);
    } else if (m->what <= 10) {
        engine_update_in(e, device, round, m->digest, c->newest - behind);
    } else {
        engine_failure(e, device, round);
    }
}

void engine_move(struct engine *e, struct engine_check *c,
                 const struct engine_move *m)
{
    uint64_t round = pick_round(c, m, c->closing);

    e->now_ms += m->pass_ms;
    if (m->what <= 11)
        move_device(e, c, m, m->device % MAX_DEVICES);
    else if (m->what <= 14)
        engine_finished(e, round);
    else if (m->what == 15)
        engine_finish_failed(e, round);
    else if (m->what == 16)
        engine_evaluated(e, round - (round > 0), m->accuracy);
    else if (m->what <= 20)
        move_command(e, c, m);
    else if (m->what == 21)
        engine_restart(e);
    else
        engine_pass(e, (double)m->pass_ms / 100);
}

/* ---- records ----------------------------------------------------------------
 */

static const char *check_assigned(const struct engine *e,
                                  struct engine_check *c,
                                  const struct pf_record *rec, struct seen *s)
{
    const struct pf_task *t = &e->task;
    uint64_t last = e->counted[rec->device.ordinal].last_round;
    unsigned d = (unsigned)rec->device.ordinal;
    int fits = t->device.n_classes == 0;
    size_t i;

    for (i = 0; i < t->device.n_classes; i++)
        fits |= strcmp(t->device.classes[i], rec->u.assigned.device_class) == 0;
    if (!fits)
        return "assigned to a class that the task does not take";
    if (t->device.max_updates != 0 &&
        e->counted[d].updates >= t->device.max_updates)
        return "assigned to a device that gave all it may";
    if (last != 0 && rec->round - last <= t->device.rest_rounds)
        return "assigned to a device that rests";
    if (s->device[d].assigned++ && (!c->async || s->device[d].counted))
        return "assigned twice";
    s->device[d].failed = 0; /* async: it may have the work again */
    s->device[d].base = c->model;
    s->device[d].models = c->models;
    c->given[d] = rec->round;
    if (!c->async && ++s->assigned > 2 * t->round.select.max)
        return "too many assigned";
    return NULL;
}

static const char *check_accepted(const struct engine *e,
                                  struct engine_check *c,
                                  const struct pf_record *rec, struct seen *s)
{
    const struct pf_accepted *a = &rec->u.accepted;
    uint64_t stale, most = e->task.round.collect.max;
    unsigned d = (unsigned)rec->device.ordinal;
    struct seen *from;

    if (a->assigned == 0 || a->assigned > rec->round)
        return "an update for no round";
    from = &c->round[a->assigned];
    if (!from->device[d].assigned || from->device[d].failed ||
        from->device[d].counted)
        return "an update of a device that has no assignment";
    if (from->device[d].base != a->base[0])
        return "an update from another model";
    if (s->device[d].contributed++)
        return "a device twice in a round";
    stale =
        c->async ? c->models + (c->closing != 0) - from->device[d].models : 0;
    if (a->staleness != stale ||
        (c->async && stale > e->task.round.max_staleness))
        return "another staleness";
    from->device[d].counted = rec->round;
    from->device[d].digest = a->digest[0];
    s->weight += a->admitted.weight;
    return ++s->accepted > (c->async ? 2 * most : most) ? "too many accepted"
                                                        : NULL;
}

/* Records that a device made. */
static const char *check_device(const struct engine *e, struct engine_check *c,
                                const struct pf_record *rec, struct seen *s)
{
    unsigned d = (unsigned)rec->device.ordinal;
    struct seen *from;

    if (d >= MAX_DEVICES || rec->round != c->newest || !s->opened ||
        s->closed || s->abandoned)
        return "a device's record outside an open round";
    if (rec->kind == PF_REC_ASSIGNED)
        return check_assigned(e, c, rec, s);
    if (rec->kind == PF_REC_ACCEPTED)
        return check_accepted(e, c, rec, s);
    from = &c->round[c->given[d]];
    if (c->given[d] == 0 || from->device[d].counted || from->device[d].failed++)
        return "a failure of a device that has no assignment";
    return NULL;
}

static const char *check_published(struct engine_check *c,
                                   const struct pf_record *rec, struct seen *s)
{
    uint64_t source = rec->u.published.source;
    int first = !s->published++;

    c->models++;
    c->model = s->model = rec->u.published.model[0];
    if (source != 0)
        return first && !s->closed && source < rec->round &&
                       c->round[source].published &&
                       c->round[source].model == s->model &&
                       rec->u.published.accepted == 0
                   ? NULL
                   : "rolled back to what was no model";
    c->published++;
    c->closing = 0;
    if (rec->u.published.accepted != s->accepted ||
        rec->u.published.weight != s->weight)
        return "published numbers are not the accepted ones";
    return !s->closed || s->abandoned || !first ? "published out of order"
                                                : NULL;
}

static const char *check_record(const struct engine *e, struct engine_check *c,
                                const struct pf_record *rec)
{
    struct seen *s;

    if (rec->at_ms != e->now_ms)
        return "a record of another time";
    if (rec->round >= MAX_ROUNDS)
        return "more rounds than this test can see";
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
        return check_device(e, c, rec, s);
    case PF_REC_CLOSED:
        if (c->closing != 0)
            return "closed while another waits for its model";
        c->closing = rec->round;
        return s->closed++ || s->accepted < e->task.round.collect.min
                   ? "closed twice or with too few"
                   : NULL;
    case PF_REC_PUBLISHED:
        return check_published(c, rec, s);
    case PF_REC_ABANDONED:
        if (rec->round == c->closing)
            c->closing = 0;
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

/* ---- effects and answers ----------------------------------------------------
 */

static const char *check_effect(const struct engine *e, struct engine_check *c,
                                const struct pf_effect *f)
{
    struct seen *s;

    if (f->kind == PF_EFFECT_ANSWER || f->round >= MAX_ROUNDS)
        return NULL;
    s = &c->round[f->round];
    switch (f->kind) {
    case PF_EFFECT_FOLD:
        if (!(f->u.fold.factor > 0 && f->u.fold.factor <= 1))
            return "a fold that adds nothing or too much";
        return engine_records(e, PF_REC_ACCEPTED) == 1 && !s->finish
                   ? NULL
                   : "a fold without its record";
    case PF_EFFECT_FINISH: /* again after a restart */
        return s->closed && (e->event.kind == PF_EV_RESUME || !s->finish++)
                   ? NULL
                   : "FINISH out of order";
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
    const struct pf_event *ev = &e->event;
    const struct pf_answer *a = &e->answer;
    unsigned d = (unsigned)ev->device.ordinal;
    const struct seen *s;
    uint64_t counted;

    if ((ev->kind != PF_EV_OFFER && ev->kind != PF_EV_UPDATE) ||
        ev->round == 0 || ev->round >= MAX_ROUNDS)
        return NULL;
    s = &c->round[ev->round];
    counted = s->device[d].counted;
    if (a->kind == PF_ANSWER_ACK)
        return counted && s->device[d].digest == ev->u.update.digest[0] &&
                       a->u.ack.counted == counted
                   ? NULL
                   : "acknowledged what is not in";
    if (counted == 0 || counted + !c->async < c->newest ||
        (c->async && c->given[d] != ev->round))
        return NULL; /* forgotten; the store knows */
    if (s->device[d].digest == ev->u.update.digest[0])
        return "no acknowledgement";
    return engine_refused(e, PF_PROBLEM_ALREADY_DIFFERENT)
               ? NULL
               : "another update is not refused";
}

static const char *check_dull(const struct engine *e, struct engine_check *c)
{
    dull_step(&e->event, &c->want);
    dull_tell(&e->step, &c->got);
    if (strcmp(c->want.text, c->got.text) == 0)
        return NULL;
    snprintf(c->wrong, sizeof c->wrong,
             "event %d of device %u, round %llu, at %lld: the dull engine "
             "says\n%.3000s, the engine\n%.3000s",
             (int)e->event.kind, (unsigned)e->event.device.ordinal,
             (unsigned long long)e->event.round, (long long)e->now_ms,
             c->want.text, c->got.text);
    return c->wrong;
}

const char *engine_check_step(const struct engine *e, struct engine_check *c)
{
    const char *wrong = check_dull(e, c);
    unsigned i;

    for (i = 0; i < e->step.n_records && !wrong; i++)
        wrong = check_record(e, c, &e->step.record[i]);
    for (i = 0; i < e->step.n_effects && !wrong; i++)
        wrong = check_effect(e, c, &e->step.effect[i]);
    if (!wrong)
        wrong = check_answer(e, c);
    if (!wrong && engine_status(e).published != c->published)
        wrong = "the count of published rounds";
    if (!wrong && e->differs)
        wrong = "an engine made of the records went on otherwise";
    if (!wrong && e->event.kind != PF_EV_RESUME &&
        pf_round_deadline(e->round) <= e->now_ms)
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
