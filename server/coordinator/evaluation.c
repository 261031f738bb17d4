#include "evaluation.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"
#include "safetensors.h"

#define CHUNK 500 /* examples between two looks at the stop flag */

struct test_set {
    char dir[512];
    struct pf_idx idx;
    struct test_set *next;
};

struct work {
    struct pf_live_task *task;
    struct pf_object *model;
    uint64_t round;
};

struct pf_evaluator {
    const struct pf_log *log;
    struct pf_queue *queue; /* of struct work */
    void (*deliver)(void *ctx, struct pf_live_task *t,
                    const struct pf_event *ev);
    void *ctx;
    atomic_int stopping;
    pthread_t thread;
    /* the thread's own */
    struct test_set *sets;
    char warned[512]; /* the folder last complained about */
};

/* Is it what the model takes? Asked at every use: another task, or another
 * content since a restart, may have brought the set in. */
static enum pocketfed_status fits(const struct pf_idx *idx, const char *dir,
                                  const struct pf_model *m,
                                  struct pf_error *err)
{
    struct pf_shape in = pf_model_input(m);
    uint32_t i;

    if (idx->n == 0 || !idx->images || !idx->labels)
        return pf_fail(err, POCKETFED_CONFIG, "the test set in %s is empty",
                       dir);
    if (in.c != 1 || in.h != idx->h || in.w != idx->w)
        return pf_fail(err, POCKETFED_CONFIG,
                       "the test images in %s are 1x%ux%u, the model takes "
                       "%ux%ux%u",
                       dir, idx->h, idx->w, in.c, in.h, in.w);
    for (i = 0; i < idx->n; i++)
        if (idx->labels[i] >= pf_model_n_classes(m))
            return pf_fail(err, POCKETFED_CONFIG,
                           "test example %u in %s has label %d, the model has "
                           "%zu classes",
                           i, dir, idx->labels[i], pf_model_n_classes(m));
    return POCKETFED_OK;
}

enum pocketfed_status pf_test_set_load(const char *dir,
                                       const struct pf_model *m,
                                       struct pf_idx *out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_idx idx = {0};

    st = pf_idx_load(dir, "t10k", &idx, err);
    if (st == POCKETFED_OK)
        st = fits(&idx, dir, m, err);
    if (st != POCKETFED_OK) {
        pf_idx_free(&idx);
        return st;
    }
    *out = idx;
    return POCKETFED_OK;
}

/* The set of a folder, loaded at its first use. */
static const struct pf_idx *find_set(struct pf_evaluator *e, const char *dir,
                                     const struct pf_model *m,
                                     struct pf_error *err)
{
    struct test_set *s;

    for (s = e->sets; s; s = s->next)
        if (strcmp(s->dir, dir) == 0)
            return fits(&s->idx, dir, m, err) == POCKETFED_OK ? &s->idx : NULL;
    s = calloc(1, sizeof *s);
    if (!s) {
        pf_fail(err, POCKETFED_NO_MEMORY, "no memory for the test set");
        return NULL;
    }
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    if (pf_test_set_load(dir, m, &s->idx, err) != POCKETFED_OK) {
        free(s);
        return NULL;
    }
    s->next = e->sets;
    e->sets = s;
    return &s->idx;
}

static enum pocketfed_status get_example(void *ctx, size_t i, float *x,
                                         uint32_t *label)
{
    return pf_idx_get(ctx, i, x, label);
}

/* INTERRUPTED when the evaluator is stopping. */
static enum pocketfed_status measure(struct pf_evaluator *e,
                                     const struct work *w, double *loss,
                                     double *accuracy, struct pf_error *err)
{
    const struct pf_model *m = w->task->model;
    struct pf_evaluation part;
    struct pf_examples all;
    enum pocketfed_status st;
    struct pf_idx view;
    const struct pf_idx *set;
    uint64_t correct = 0;
    float *params = NULL;
    double sum = 0;
    size_t at, end;

    if (!w->model)
        return pf_fail(err, POCKETFED_NOT_FOUND, "the model cannot be read");
    set = find_set(e, w->task->task.evaluate.data, m, err);
    if (!set)
        return err->status;
    view = *set;
    all = (struct pf_examples){&view, view.n, get_example};
    params = malloc(pf_model_n_params(m) * sizeof *params);
    if (!params)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a model");
    st = pf_safetensors_params(w->model->bytes, w->model->len, m, params, err);
    for (at = 0; st == POCKETFED_OK && at < view.n; at = end) {
        end = at + CHUNK < view.n ? at + CHUNK : view.n;
        st = pf_evaluate(m, params, &all, at, end, &part, err);
        if (st != POCKETFED_OK)
            break;
        sum += part.loss * (double)part.n;
        correct += part.correct;
        if (atomic_load(&e->stopping))
            st = POCKETFED_INTERRUPTED;
    }
    if (st == POCKETFED_OK) {
        *loss = sum / (double)view.n;
        *accuracy = (double)correct / (double)view.n;
    }
    free(params);
    return st;
}

static void warn(struct pf_evaluator *e, const struct work *w,
                 const struct pf_error *err)
{
    const char *dir = w->task->task.evaluate.data;

    if (strcmp(e->warned, dir) == 0)
        return;
    snprintf(e->warned, sizeof e->warned, "%s", dir);
    pf_log(e->log, PF_LOG_WARN,
           "evaluation failed task=%s round=%" PRIu64 " error=\"%s\"",
           w->task->stored.name, w->round, err->text);
}

static void *work(void *arg)
{
    struct pf_evaluator *e = arg;
    enum pocketfed_status st;
    struct pf_event ev;
    struct pf_error err;
    struct work w;
    int ended;

    for (;;) {
        if (pf_queue_take(e->queue, &w, 1, -1, &ended) == 0) {
            if (ended)
                return NULL;
            continue;
        }
        memset(&ev, 0, sizeof ev);
        memset(&err, 0, sizeof err);
        ev.kind = PF_EV_EVALUATED;
        ev.round = w.round;
        ev.u.evaluated.loss = ev.u.evaluated.accuracy = -1;
        st = POCKETFED_INTERRUPTED;
        if (!atomic_load(&e->stopping))
            st = measure(e, &w, &ev.u.evaluated.loss, &ev.u.evaluated.accuracy,
                         &err);
        pf_object_release(w.model);
        if (st == POCKETFED_INTERRUPTED)
            continue;
        if (st != POCKETFED_OK)
            warn(e, &w, &err);
        e->deliver(e->ctx, w.task, &ev);
    }
}

enum pocketfed_status
pf_evaluator_start(const struct pf_log *log,
                   void (*deliver)(void *ctx, struct pf_live_task *t,
                                   const struct pf_event *ev),
                   void *ctx, struct pf_evaluator **out, struct pf_error *err)
{
    struct pf_evaluator *e = calloc(1, sizeof *e);

    if (!e)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for evaluation");
    e->log = log;
    e->deliver = deliver;
    e->ctx = ctx;
    if (pf_queue_create(sizeof(struct work), 64, &e->queue) != POCKETFED_OK ||
        pthread_create(&e->thread, NULL, work, e) != 0) {
        pf_queue_free(e->queue);
        free(e);
        return pf_fail(err, POCKETFED_NO_MEMORY,
                       "cannot start the evaluation thread");
    }
    *out = e;
    return POCKETFED_OK;
}

void pf_evaluator_stop(struct pf_evaluator *e)
{
    struct test_set *s;

    if (!e)
        return;
    atomic_store(&e->stopping, 1);
    pf_queue_close(e->queue);
    pthread_join(e->thread, NULL);
    pf_queue_free(e->queue);
    while (e->sets) {
        s = e->sets;
        e->sets = s->next;
        pf_idx_free(&s->idx);
        free(s);
    }
    free(e);
}

int pf_evaluator_push(struct pf_evaluator *e, struct pf_live_task *t,
                      uint64_t round, struct pf_object *model)
{
    struct work w = {t, model, round};

    if (pf_queue_push_extra(e->queue, &w))
        return 1;
    pf_object_release(model);
    return 0;
}
