#include "evaluate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Sums are made per chunk and added in order, so that the loss is the same
 * for any number of threads. */
#define CHUNK 500

struct work {
    const struct pf_model *model;
    const float *params;
    struct pf_examples examples;
    struct pf_evaluation *chunk;
    size_t n_chunks, next;
    pthread_mutex_t lock;
    enum pocketfed_status status;
    struct pf_error err;
};

static enum pocketfed_status get(void *ctx, size_t i, float *x, uint32_t *label)
{
    return pf_idx_get(ctx, i, x, label);
}

enum pocketfed_status idx_examples(const struct pf_model *m,
                                   const struct pf_idx *set,
                                   struct pf_examples *out,
                                   struct pf_error *err)
{
    struct pf_shape in = pf_model_input(m);
    size_t classes = pf_model_n_classes(m);

    if (in.c != 1 || in.h != set->h || in.w != set->w)
        return pf_fail(err, POCKETFED_CONFIG,
                       "the model takes %ux%ux%u, the images are 1x%ux%u", in.c,
                       in.h, in.w, set->h, set->w);
    if (!set->labels)
        return pf_fail(err, POCKETFED_CONFIG, "the images have no labels");
    for (uint32_t i = 0; i < set->n; i++)
        if (set->labels[i] >= classes)
            return pf_fail(err, POCKETFED_CONFIG,
                           "label %u of example %u: the model has %zu classes",
                           set->labels[i], i, classes);
    /* The callback only reads; C cannot say so through void *. */
    out->ctx = (void *)(uintptr_t)set;
    out->n = set->n;
    out->get = get;
    return POCKETFED_OK;
}

static void *run(void *arg)
{
    struct work *w = arg;

    for (;;) {
        enum pocketfed_status st;
        struct pf_error err = {0};
        size_t i, end;

        pthread_mutex_lock(&w->lock);
        i = w->status ? w->n_chunks : w->next++;
        pthread_mutex_unlock(&w->lock);
        if (i >= w->n_chunks)
            return NULL;
        end = (i + 1) * CHUNK < w->examples.n ? (i + 1) * CHUNK : w->examples.n;
        st = pf_evaluate(w->model, w->params, &w->examples, i * CHUNK, end,
                         &w->chunk[i], &err);
        if (st) {
            pthread_mutex_lock(&w->lock);
            w->status = st;
            w->err = err;
            pthread_mutex_unlock(&w->lock);
        }
    }
}

static void add_up(const struct work *w, struct pf_evaluation *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < w->n_chunks; i++) {
        out->n += w->chunk[i].n;
        out->correct += w->chunk[i].correct;
        out->loss += w->chunk[i].loss * (double)w->chunk[i].n;
    }
    out->loss = out->n ? out->loss / (double)out->n : 0;
}

enum pocketfed_status evaluate(const struct pf_model *m, const float *params,
                               const struct pf_idx *set, unsigned threads,
                               struct pf_evaluation *out, struct pf_error *err)
{
    enum pocketfed_status st;
    pthread_t thread[64];
    unsigned n = 0;
    struct work w;

    memset(&w, 0, sizeof w);
    st = idx_examples(m, set, &w.examples, err);
    if (st)
        return st;
    w.model = m;
    w.params = params;
    w.n_chunks = (w.examples.n + CHUNK - 1) / CHUNK;
    w.chunk = calloc(w.n_chunks + 1, sizeof *w.chunk);
    if (!w.chunk)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    pthread_mutex_init(&w.lock, NULL);
    /* A thread that cannot be had is no failure: the others do its work. */
    while (n + 1 < threads && n < 64 &&
           pthread_create(&thread[n], NULL, run, &w) == 0)
        n++;
    run(&w);
    while (n)
        pthread_join(thread[--n], NULL);
    pthread_mutex_destroy(&w.lock);
    if (w.status) {
        if (err)
            *err = w.err;
    } else {
        add_up(&w, out);
    }
    free(w.chunk);
    return w.status;
}
