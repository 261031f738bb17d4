#include "task.h"

#include <stdio.h>
#include <string.h>
#include "calls.h"
#include "codec.h"
#include "json.h"
#include "roster.h"
#include "strategy.h"

#define DEVICES_MAX (PF_ROSTER_MAX / 2)

void pf_task_init(struct pf_task *t)
{
    memset(t, 0, sizeof *t);
    t->seed = 1;
    pf_buf_init(&t->spec, PF_MODEL_MAX_SPEC);
    pf_train_config_default(&t->train);
    /* 4 is never reached at a learning rate of 0.1; 2^-29 is the quantum. */
    snprintf(t->update.codec, sizeof t->update.codec, "f32");
    t->update.range = 4;
    t->update.bits = 32;
    t->update.max_norm = 100;
    t->update.min_examples = 1;
    t->update.max_examples = 16384;
    t->round.over_select = 1.3;
    t->round.select = (struct pf_window){10, 13, 0, 86400};
    t->round.collect = (struct pf_window){8, 10, 30, 3600};
    t->update.cohort_max = t->round.collect.max;
    t->round.max_staleness = 20;
    t->round.checkins_per_s = 1000;
    t->round.retry_s = 30;
    t->round.poll_min_s = 15;
    t->round.poll_max_s = 60;
    snprintf(t->strategy.name, sizeof t->strategy.name, "fedavg");
    t->strategy.eta = 1;
    t->evaluate.every = 1;
    t->keep.models = 10;
    t->keep.sums = 10;
    snprintf(t->keep.updates, sizeof t->keep.updates, "none");
}

void pf_task_free(struct pf_task *t)
{
    if (t)
        pf_buf_free(&t->spec);
}

/* An asynchronous buffer may run over while a model is being made (async.c). */
static uint32_t cohort_max(const struct pf_task_round *r)
{
    return r->policy == PF_POLICY_ASYNC ? 2 * r->collect.max : r->collect.max;
}

/* What is wrong with the file is CONFIG, whoever found it. */
static enum pocketfed_status as_config(enum pocketfed_status st,
                                       struct pf_error *err)
{
    if (st == POCKETFED_OK || st == POCKETFED_NO_MEMORY)
        return st;
    if (err)
        err->status = POCKETFED_CONFIG;
    return POCKETFED_CONFIG;
}

/* What the file left open follows from what it said. */
static void derive(struct pf_task_round *r)
{
    double asked = r->over_select * r->collect.max - 1e-9;
    uint32_t whole = (uint32_t)asked;

    if (r->collect.min == 0)
        r->collect.min = (uint32_t)(((uint64_t)r->collect.max * 4 + 4) / 5);
    if (r->select.max == 0) {
        r->select.max = whole < asked ? whole + 1 : whole;
        if (r->select.max < r->select.min)
            r->select.max = r->select.min;
    }
    if (r->select.min == 0)
        r->select.min =
            r->collect.max < r->select.max ? r->collect.max : r->select.max;
}

static enum pocketfed_status
check_window(const char *name, const struct pf_window *w, struct pf_error *err)
{
    if (w->min > w->max)
        return pf_fail(err, POCKETFED_CONFIG,
                       "round.%s.min is %u; it must be at most round.%s.max, "
                       "%u",
                       name, w->min, name, w->max);
    if (w->min_s > w->max_s)
        return pf_fail(err, POCKETFED_CONFIG,
                       "round.%s.min_s is %g; it must be at most "
                       "round.%s.max_s, %g",
                       name, w->min_s, name, w->max_s);
    return POCKETFED_OK;
}

static enum pocketfed_status check_round(const struct pf_task_round *r,
                                         struct pf_error *err)
{
    enum pocketfed_status st;

    st = check_window("select", &r->select, err);
    if (!st)
        st = check_window("collect", &r->collect, err);
    if (st)
        return st;
    if (r->select.max > DEVICES_MAX)
        return pf_fail(err, POCKETFED_CONFIG,
                       "round.select.max is %u; it must be at most %d",
                       r->select.max, DEVICES_MAX);
    if (r->collect.max > r->select.max)
        return pf_fail(err, POCKETFED_CONFIG,
                       "round.collect.max is %u; it must be at most "
                       "round.select.max, %u: only assigned devices send "
                       "updates",
                       r->collect.max, r->select.max);
    if (r->policy == PF_POLICY_SYNC && r->collect.min > r->select.min)
        return pf_fail(err, POCKETFED_CONFIG,
                       "round.select.min is %u; it must be at least "
                       "round.collect.min, %u, or a round could never close",
                       r->select.min, r->collect.min);
    if (r->poll_min_s > r->poll_max_s)
        return pf_fail(err, POCKETFED_CONFIG,
                       "round.poll_min_s is %g; it must be at most "
                       "round.poll_max_s, %g",
                       r->poll_min_s, r->poll_max_s);
    return POCKETFED_OK;
}

static enum pocketfed_status check_names(const struct pf_task *t,
                                         struct pf_error *err)
{
    const struct pf_strategy *strategy = pf_strategy_find(t->strategy.name);
    const char *near;
    uint32_t rounds;

    if (!pf_task_name_ok(t->name))
        return pf_fail(err, POCKETFED_CONFIG,
                       "name is \"%s\"; it must be 1 to %d of a-z, 0-9, '.', "
                       "'_' and '-', beginning with a letter or digit",
                       t->name, PF_TASK_NAME_MAX);
    if (!pf_codec_find(t->update.codec)) {
        pf_fail(err, POCKETFED_CONFIG,
                "update.codec \"%s\" is not in this version", t->update.codec);
        near = pf_nearest(t->update.codec, pf_codec_names());
        pf_hint(err, "did you mean \"%s\"?", near ? near : "f32");
        return POCKETFED_CONFIG;
    }
    if (!strategy) {
        pf_fail(err, POCKETFED_CONFIG,
                "strategy.name \"%s\" is not in this version",
                t->strategy.name);
        near = pf_nearest(t->strategy.name, pf_strategy_names());
        pf_hint(err, "did you mean \"%s\"?", near ? near : "fedavg");
        return POCKETFED_CONFIG;
    }
    if (!pf_retention_rounds(t->keep.updates, &rounds))
        return pf_fail(err, POCKETFED_CONFIG,
                       "keep.updates is \"%s\"; it must be \"none\", \"all\" "
                       "or a number of rounds, such as \"5 rounds\"",
                       t->keep.updates);
    if (t->stop.accuracy > 0 && t->evaluate.data[0] == '\0') {
        pf_fail(err, POCKETFED_CONFIG,
                "stop.accuracy needs evaluate.data: nothing is measured "
                "without a test set");
        pf_hint(err, "set evaluate.data to a folder with t10k files");
        return POCKETFED_CONFIG;
    }
    return strategy->check(t, err);
}

/* t->spec holds the raw value of "model": a name or an object. Makes the model
 * and puts its canonical spec in place. */
static enum pocketfed_status
resolve_model(struct pf_task *t, struct pf_model **out, struct pf_error *err)
{
    struct pf_json_doc *doc = NULL;
    struct pf_model *m = NULL;
    enum pocketfed_status st;
    const char *name, *spec;

    st = pf_json_parse(pf_buf_str(&t->spec), t->spec.len, &doc, err);
    if (st)
        goto out;
    name = pf_json_text(pf_json_root(doc));
    spec = name ? pf_zoo_spec(name) : pf_buf_str(&t->spec);
    if (!spec) {
        const char *near = pf_nearest(name, pf_zoo_names());

        st =
            pf_fail(err, POCKETFED_CONFIG, "there is no model \"%.60s\"", name);
        if (near)
            pf_hint(err, "did you mean \"%s\"?", near);
        goto out;
    }
    if (name)
        snprintf(t->model, sizeof t->model, "%s", name);
    st = pf_model_create(spec, strlen(spec), &m, err);
    if (st)
        goto out;
    pf_buf_clear(&t->spec);
    st = pf_buf_adds(&t->spec, pf_model_spec(m));
    if (st) {
        pf_fail(err, st, "model: %s", pocketfed_status_text(st));
        goto out;
    }
    *out = m;
    m = NULL;
out:
    pf_model_free(m);
    pf_json_free(doc);
    return st;
}

enum pocketfed_status pf_task_parse(const char *text, size_t len,
                                    struct pf_task *out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_model *m = NULL;
    struct pf_plan plan;
    struct pf_task t;

    if (len > PF_MAX_TASK_FILE)
        return pf_fail(err, POCKETFED_CONFIG,
                       "the task file has %zu bytes; at most %u are read", len,
                       PF_MAX_TASK_FILE);
    pf_task_init(&t);
    pf_plan_init(&plan);
    t.round.collect.min = t.round.select.min = t.round.select.max = 0;
    st = pf_json_decode(pf_task_fields, PF_JSON_REFUSE, text, len, &t, err);
    if (st)
        goto out;
    derive(&t.round);
    t.update.cohort_max = cohort_max(&t.round);
    st = check_round(&t.round, err);
    if (!st)
        st = check_names(&t, err);
    if (!st)
        st = resolve_model(&t, &m, err);
    if (!st)
        st = pf_task_plan(&t, m, &plan, err);
    if (st)
        goto out;
    *out = t;
    memset(&t, 0, sizeof t); /* handed over */
out:
    pf_plan_free(&plan);
    pf_model_free(m);
    pf_task_free(&t);
    return as_config(st, err);
}

/* Bytes that a participation takes at most: the trainer, the model it started
 * from, the frame, and a little for everything else. */
static uint64_t device_memory(const struct pf_task *t, const struct pf_model *m)
{
    size_t n = pf_model_n_params(m);
    size_t trainer =
        pf_trainer_bytes(m, &t->train, (size_t)t->update.max_examples, 1);
    size_t frame = pf_codec_find(t->update.codec)->max_bytes(n);

    if (trainer == SIZE_MAX || frame == SIZE_MAX)
        return UINT64_MAX;
    return (uint64_t)trainer + n * sizeof(float) + frame + 65536;
}

enum pocketfed_status pf_task_plan(const struct pf_task *t,
                                   const struct pf_model *m,
                                   struct pf_plan *plan, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_plan p;

    if (!pf_codec_find(t->update.codec))
        return pf_fail(err, POCKETFED_CONFIG,
                       "update.codec \"%s\" is not in this version",
                       t->update.codec);
    pf_plan_init(&p);
    snprintf(p.task, sizeof p.task, "%s", t->name);
    p.train = t->train;
    p.update = t->update;
    p.update.cohort_max = cohort_max(&t->round);
    snprintf(p.retention, sizeof p.retention, "%s", t->keep.updates);
    st = pf_buf_adds(&p.model, pf_model_spec(m));
    if (st) {
        pf_fail(err, st, "model: %s", pocketfed_status_text(st));
        goto out;
    }
    st = pf_plan_check(&p, err);
    if (st)
        goto out;
    p.memory = device_memory(t, m); /* asked with numbers that were checked */
    st = pf_plan_check(&p, err);
    if (st)
        goto out;
    pf_plan_free(plan);
    *plan = p;
    return POCKETFED_OK;
out:
    pf_plan_free(&p);
    return st;
}
