#include "coordinator_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* What follows a commit: the list of open rounds, what people are told, and
 * the effects. */

/* ---- open rounds ------------------------------------------------------- */

struct pf_open_round *pf_open_find(struct pf_coordinator *c,
                                   const struct pf_live_task *t, uint64_t round)
{
    struct pf_open_round *o;

    for (o = c->open; o; o = o->next)
        if (o->task == t && o->round == round)
            return o;
    return NULL;
}

enum pocketfed_status pf_open_note(struct pf_coordinator *c,
                                   struct pf_live_task *t,
                                   const struct pf_record *rec,
                                   struct pf_error *err)
{
    struct pf_open_round *o;

    if (rec->kind == PF_REC_OPENED) {
        o = calloc(1, sizeof *o);
        if (!o)
            return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a round");
        o->task = t;
        o->round = rec->round;
        memcpy(o->base, rec->u.opened.base, sizeof o->base);
        o->opened_ms = rec->at_ms;
        o->accepting = 1;
        pthread_mutex_lock(&c->lock);
        o->next = c->open;
        c->open = o;
        pthread_mutex_unlock(&c->lock);
    } else if (rec->kind == PF_REC_CLOSED || rec->kind == PF_REC_ABANDONED) {
        o = pf_open_find(c, t, rec->round);
        pthread_mutex_lock(&c->lock);
        if (o)
            o->accepting = 0;
        pthread_mutex_unlock(&c->lock);
    } else if (rec->kind == PF_REC_PUBLISHED) {
        memcpy(t->model_digest, rec->u.published.model, 32);
        memcpy(t->state, rec->u.published.state, sizeof t->state);
        t->published_round = rec->round;
        o = pf_open_find(c, t, rec->round);
        if (o)
            o->published = 1;
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_open_start(struct pf_coordinator *c,
                                    struct pf_open_round *o,
                                    struct pf_error *err)
{
    struct pf_segment *segment = NULL;
    struct pf_fold *fold = NULL;
    enum pocketfed_status st;

    st = pf_segment_open(c->config.state_dir, o->task->stored.id, o->round,
                         &segment, err);
    if (st == POCKETFED_OK)
        st = pf_fold_open(c->folding, &o->task->plan,
                          pf_model_n_params(o->task->model), segment, &fold,
                          err);
    if (st != POCKETFED_OK) {
        pf_segment_unref(segment);
        return st;
    }
    pthread_mutex_lock(&c->lock);
    o->segment = segment;
    o->fold = fold;
    pthread_mutex_unlock(&c->lock);
    return POCKETFED_OK;
}

void pf_open_drop(struct pf_coordinator *c, struct pf_open_round *o)
{
    struct pf_open_round **at = &c->open;

    pthread_mutex_lock(&c->lock);
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    pthread_mutex_unlock(&c->lock);
    pf_fold_unref(o->fold);
    pf_segment_unref(o->segment);
    free(o);
}

int pf_keeps_updates(const struct pf_live_task *t, uint64_t round)
{
    if (t->keep_rounds == PF_KEEP_ALL)
        return 1;
    return t->keep_rounds > 0 && round + t->keep_rounds > t->published_round;
}

/* ---- what people are told ---------------------------------------------- */

static void tell(struct pf_coordinator *c, const char *fmt, ...)
    PF_PRINTF(2, 3);

static void tell(struct pf_coordinator *c, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    pf_coordinator_announce(c, line);
}

static void announce(struct pf_coordinator *c, struct pf_live_task *t,
                     const struct pf_record *r)
{
    const char *reason = r->u.state.reason, *name = t->stored.name;
    const struct pf_open_round *o = pf_open_find(c, t, r->round);
    uint64_t n = r->u.published.accepted;

    switch (r->kind) {
    case PF_REC_ASSIGNED:
        if (!t->seen_device)
            tell(c, "task %s: first device assigned in round %" PRIu64, name,
                 r->round);
        t->seen_device = 1;
        break;
    case PF_REC_ACCEPTED:
        if (!t->seen_update)
            tell(c, "task %s round %" PRIu64 ": first update in", name,
                 r->round);
        t->seen_update = 1;
        break;
    case PF_REC_PUBLISHED:
        tell(c,
             "task %s round %" PRIu64 " published: %" PRIu64
             " update%s, %.1f s",
             name, r->round, n, n == 1 ? "" : "s",
             o ? (double)(r->at_ms - o->opened_ms) / 1000 : 0.0);
        break;
    case PF_REC_ABANDONED:
        tell(c, "task %s round %" PRIu64 " abandoned: %s", name, r->round,
             r->u.abandoned.reason);
        break;
    case PF_REC_EVALUATED:
        if (r->u.evaluated.accuracy >= 0)
            tell(c, "task %s round %" PRIu64 ": accuracy %.4f, loss %.4f", name,
                 r->round, r->u.evaluated.accuracy, r->u.evaluated.loss);
        break;
    case PF_REC_STATE:
        tell(c, "task %s: %s%s%s%s", name, pf_task_states[r->u.state.state],
             reason[0] ? " (" : "", reason, reason[0] ? ")" : "");
        break;
    case PF_REC_OPENED:
    case PF_REC_COLLECTING:
    case PF_REC_FAILED:
    case PF_REC_CLOSED:
        break;
    }
}

/* The part of a record's line that its kind has. */
static void details(const struct pf_record *r, char *out, size_t cap)
{
    const struct pf_admitted *a = &r->u.accepted.admitted;
    char id[2 * PF_DEVICE_LEN + 1], hex[65];

    out[0] = '\0';
    pf_hex(r->device.id, PF_DEVICE_LEN, id);
    switch (r->kind) {
    case PF_REC_OPENED:
        pf_hex(r->u.opened.base, 32, hex);
        snprintf(out, cap, " base=%s", hex);
        break;
    case PF_REC_ASSIGNED:
        snprintf(out, cap, " device=%s ordinal=%" PRIu64, id,
                 r->device.ordinal);
        break;
    case PF_REC_ACCEPTED:
        pf_hex(r->u.accepted.digest, 32, hex);
        snprintf(out, cap,
                 " device=%s ordinal=%" PRIu64 " digest=%s bytes=%" PRIu64
                 " examples=%" PRIu64 " weight=%" PRIu64 " saturated=%" PRIu64
                 " norm=%.6g train_loss=%.6g",
                 id, r->device.ordinal, hex, r->u.accepted.extent.length,
                 a->examples, a->weight, a->saturated, a->norm, a->train_loss);
        break;
    case PF_REC_FAILED:
        snprintf(out, cap, " device=%s ordinal=%" PRIu64 " code=%s", id,
                 r->device.ordinal, pf_failure_codes[r->u.failure]);
        break;
    case PF_REC_PUBLISHED:
        pf_hex(r->u.published.model, 32, hex);
        snprintf(out, cap,
                 " model=%s accepted=%" PRIu64 " weight=%" PRIu64
                 " saturated=%" PRIu64 " train_loss=%.6g",
                 hex, r->u.published.accepted, r->u.published.weight,
                 r->u.published.saturated, r->u.published.train_loss);
        break;
    case PF_REC_ABANDONED:
        snprintf(out, cap, " reason=\"%s\"", r->u.abandoned.reason);
        break;
    case PF_REC_EVALUATED:
        snprintf(out, cap, " loss=%.6g accuracy=%.6g", r->u.evaluated.loss,
                 r->u.evaluated.accuracy);
        break;
    case PF_REC_STATE:
        snprintf(out, cap, " state=%s reason=\"%s\"",
                 pf_task_states[r->u.state.state], r->u.state.reason);
        break;
    case PF_REC_COLLECTING:
    case PF_REC_CLOSED:
        break;
    }
}

/* One line per decision; what happens once per device only for debugging. */
static void log_record(const struct pf_coordinator *c,
                       const struct pf_live_task *t, const struct pf_record *r)
{
    static const char *const names[] = {
        [PF_REC_OPENED] = "opened",         [PF_REC_ASSIGNED] = "assigned",
        [PF_REC_COLLECTING] = "collecting", [PF_REC_ACCEPTED] = "accepted",
        [PF_REC_FAILED] = "failed",         [PF_REC_CLOSED] = "closed",
        [PF_REC_PUBLISHED] = "published",   [PF_REC_ABANDONED] = "abandoned",
        [PF_REC_EVALUATED] = "evaluated",   [PF_REC_STATE] = "state",
    };
    int frequent = r->kind == PF_REC_ASSIGNED || r->kind == PF_REC_ACCEPTED;
    enum pf_log_level level = frequent ? PF_LOG_DEBUG : PF_LOG_INFO;
    char rest[384];

    if (!c->config.log || c->config.log->max < (int)level)
        return;
    details(r, rest, sizeof rest);
    pf_log(c->config.log, level, "round %s task=%s round=%" PRIu64 "%s",
           names[r->kind], t->stored.name, r->round, rest);
}

/* ---- effects ----------------------------------------------------------- */

static void drop_expired(void *ctx, const uint8_t digest[32])
{
    struct pf_coordinator *c = ctx;

    pf_background_drop(c->background, digest); /* else at the next start */
}

static enum pocketfed_status note(struct pf_coordinator *c,
                                  struct pf_live_task *t,
                                  const struct pf_record *rec,
                                  struct pf_error *err)
{
    enum pocketfed_status st;

    log_record(c, t, rec);
    announce(c, t, rec);
    st = pf_open_note(c, t, rec, err);
    if (st != POCKETFED_OK)
        return st;
    if (rec->kind == PF_REC_OPENED)
        st = pf_open_start(c, pf_open_find(c, t, rec->round), err);
    else if (rec->kind == PF_REC_PUBLISHED)
        st = pf_store_expired(c->config.store, t->stored.id, pf_live_keep(t),
                              drop_expired, c, err);
    if (rec->kind == PF_REC_ACCEPTED)
        atomic_fetch_add(&c->accepted, 1);
    else if (rec->kind == PF_REC_PUBLISHED)
        atomic_fetch_add(&c->published, 1);
    else if (rec->kind == PF_REC_ABANDONED)
        atomic_fetch_add(&c->abandoned, 1);
    return st;
}

static enum pocketfed_status finish(struct pf_coordinator *c,
                                    struct pf_open_round *o,
                                    const struct pf_effect *e,
                                    struct pf_error *err)
{
    struct pf_finish f = {0};

    f.task = o->task;
    f.round = o->round;
    memcpy(f.base, e->u.finish.base, sizeof f.base);
    memcpy(f.state, o->task->state, sizeof f.state);
    f.divisor = e->u.finish.divisor;
    f.fold = pf_fold_ref(o->fold);
    if (!pf_background_finish(c->background, &f))
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory to end a round");
    return POCKETFED_OK;
}

/* The model is held from now on: it may expire before its turn comes. */
static enum pocketfed_status evaluate(struct pf_coordinator *c,
                                      struct pf_live_task *t,
                                      const struct pf_effect *e,
                                      struct pf_error *err)
{
    struct pf_object *model = NULL;

    if (pf_objects_get(c->config.objects, e->u.model, &model, err) !=
        POCKETFED_OK)
        model = NULL; /* the evaluator warns */
    if (!pf_evaluator_push(c->evaluator, t, e->round, model))
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory to evaluate");
    return POCKETFED_OK;
}

/* The round is over: its updates go, or stay for as long as the task says and
 * the plan told the devices; then those of an older round go. */
static void drop(struct pf_coordinator *c, struct pf_open_round *o)
{
    struct pf_live_task *t = o->task;

    if (!o->published || !pf_keeps_updates(t, o->round))
        pf_segment_unlink(o->segment);
    if (o->published && t->keep_rounds != PF_KEEP_ALL &&
        o->round > t->keep_rounds)
        pf_segment_remove(c->config.state_dir, t->stored.id,
                          o->round - t->keep_rounds);
    pf_open_drop(c, o);
}

static enum pocketfed_status perform(struct pf_coordinator *c,
                                     struct pf_live_task *t,
                                     const struct pf_effect *e,
                                     struct pf_error *err)
{
    struct pf_open_round *o = NULL;

    switch (e->kind) {
    case PF_EFFECT_ANSWER:
        pf_coordinator_answer(c, e);
        return POCKETFED_OK;
    case PF_EFFECT_EVALUATE:
        return evaluate(c, t, e, err);
    case PF_EFFECT_DISCARD:
        pf_background_drop(c->background, e->u.model); /* else at next start */
        return POCKETFED_OK;
    case PF_EFFECT_FOLD:
    case PF_EFFECT_FINISH:
    case PF_EFFECT_DROP:
        o = pf_open_find(c, t, e->round);
        break;
    }
    if (!o)
        return pf_fail(err, POCKETFED_INTERNAL,
                       "round %" PRIu64 " of task %s is not open", e->round,
                       t->stored.name);
    if (e->kind == PF_EFFECT_FINISH)
        return finish(c, o, e, err);
    if (e->kind == PF_EFFECT_FOLD) {
        pf_fold_add(o->fold, &e->u.fold.extent, e->u.fold.weight,
                    e->u.fold.factor);
        return POCKETFED_OK;
    }
    drop(c, o);
    return POCKETFED_OK;
}

enum pocketfed_status pf_coordinator_perform(struct pf_coordinator *c,
                                             struct pf_task_step *s,
                                             struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    unsigned i;

    for (i = 0; i < s->step.n_records && st == POCKETFED_OK; i++)
        st = note(c, s->task, &s->step.record[i], err);
    for (i = 0; i < s->step.n_effects && st == POCKETFED_OK; i++)
        st = perform(c, s->task, &s->step.effect[i], err);
    return st;
}
