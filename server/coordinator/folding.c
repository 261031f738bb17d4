#include "folding.h"

#include <pthread.h>
#include <stdlib.h>

#include "admit.h"
#include "queue.h"

#define FOLD_QUEUE 1024

struct worker {
    struct pf_folding *owner;
    unsigned index;
    pthread_t thread;
};

struct pf_folding {
    struct pf_queue *queue; /* of struct work */
    pthread_mutex_t lock;   /* of every fold's counts, never across work */
    pthread_cond_t done;
    void (*fatal)(void *ctx, const struct pf_error *err);
    void *ctx;
    unsigned n_workers, n_started;
    struct worker *worker;
};

struct pf_fold {
    struct pf_folding *owner;
    const struct pf_plan *plan;
    struct pf_segment *segment;
    size_t n_params;
    unsigned refs;
    uint64_t added, done;
    enum pocketfed_status status; /* a worker's NO_MEMORY */
    struct pf_sum **partial;      /* one per worker, NULL until it has some */
};

struct work {
    struct pf_fold *fold; /* a reference */
    struct pf_extent extent;
    uint64_t weight;
    double factor;
};

/* ---- workers ----------------------------------------------------------- */

static struct pf_sum *new_sum(size_t n)
{
    struct pf_sum *s = calloc(1, sizeof *s);

    if (s && pf_sum_init(s, n) != POCKETFED_OK) {
        free(s);
        s = NULL;
    }
    return s;
}

static void free_sum(struct pf_sum *s)
{
    if (s)
        pf_sum_free(s);
    free(s);
}

static enum pocketfed_status fold_one(const struct work *w, unsigned index,
                                      float *scratch, struct pf_error *err)
{
    struct pf_fold *fold = w->fold;
    struct pf_sum **mine = &fold->partial[index];
    enum pocketfed_status st;
    const uint8_t *frame;

    if (!*mine)
        *mine = new_sum(fold->n_params);
    if (!*mine)
        return POCKETFED_NO_MEMORY;
    st = pf_segment_map(fold->segment, &w->extent, &frame, err);
    if (st != POCKETFED_OK)
        return st;
    st = pf_sum_fold(*mine, fold->plan, frame, (size_t)w->extent.length,
                     w->weight, w->factor, scratch);
    pf_segment_unmap(fold->segment, frame, &w->extent);
    if (st != POCKETFED_OK)
        pf_fail(err, st,
                "an acknowledged update at byte %llu of its segment cannot be "
                "added: %s",
                (unsigned long long)w->extent.offset,
                pocketfed_status_text(st));
    return st;
}

static void *work(void *arg)
{
    struct worker *me = arg;
    struct pf_folding *f = me->owner;
    float scratch[PF_ADMIT_BLOCK];
    struct pf_error err = {0};
    enum pocketfed_status st;
    struct work w;
    int ended;

    for (;;) {
        if (pf_queue_take(f->queue, &w, 1, -1, &ended) == 0) {
            if (ended)
                return NULL;
            continue;
        }
        st = fold_one(&w, me->index, scratch, &err);
        if (st != POCKETFED_OK && st != POCKETFED_NO_MEMORY)
            f->fatal(f->ctx, &err);
        pthread_mutex_lock(&f->lock);
        if (st != POCKETFED_OK)
            w.fold->status = st;
        w.fold->done++;
        pthread_cond_broadcast(&f->done);
        pthread_mutex_unlock(&f->lock);
        pf_fold_unref(w.fold);
    }
}

enum pocketfed_status
pf_folding_start(unsigned threads,
                 void (*fatal)(void *ctx, const struct pf_error *err),
                 void *ctx, struct pf_folding **out, struct pf_error *err)
{
    struct pf_folding *f;
    struct worker *w;

    f = calloc(1, sizeof *f);
    if (!f)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for folding");
    f->fatal = fatal;
    f->ctx = ctx;
    f->n_workers = threads ? threads : 1;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->done, NULL);
    f->worker = calloc(f->n_workers, sizeof *f->worker);
    if (!f->worker || pf_queue_create(sizeof(struct work), FOLD_QUEUE,
                                      &f->queue) != POCKETFED_OK)
        goto fail;
    for (; f->n_started < f->n_workers; f->n_started++) {
        w = &f->worker[f->n_started];
        w->owner = f;
        w->index = f->n_started;
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            goto fail;
    }
    *out = f;
    return POCKETFED_OK;
fail:
    pf_folding_stop(f);
    return pf_fail(err, POCKETFED_NO_MEMORY, "cannot start %u fold threads",
                   threads);
}

void pf_folding_stop(struct pf_folding *f)
{
    unsigned i;

    if (!f)
        return;
    if (f->queue)
        pf_queue_close(f->queue);
    for (i = 0; i < f->n_started; i++)
        pthread_join(f->worker[i].thread, NULL);
    pf_queue_free(f->queue);
    pthread_cond_destroy(&f->done);
    pthread_mutex_destroy(&f->lock);
    free(f->worker);
    free(f);
}

/* ---- folds ------------------------------------------------------------- */

enum pocketfed_status pf_fold_open(struct pf_folding *f,
                                   const struct pf_plan *plan, size_t n_params,
                                   struct pf_segment *segment,
                                   struct pf_fold **out, struct pf_error *err)
{
    struct pf_fold *fold = calloc(1, sizeof *fold);

    if (fold)
        fold->partial = calloc(f->n_workers, sizeof(struct pf_sum *));
    if (!fold || !fold->partial) {
        free(fold);
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a round's sum");
    }
    fold->owner = f;
    fold->plan = plan;
    fold->n_params = n_params;
    fold->segment = pf_segment_ref(segment);
    fold->refs = 1;
    *out = fold;
    return POCKETFED_OK;
}

struct pf_fold *pf_fold_ref(struct pf_fold *fold)
{
    pthread_mutex_lock(&fold->owner->lock);
    fold->refs++;
    pthread_mutex_unlock(&fold->owner->lock);
    return fold;
}

void pf_fold_unref(struct pf_fold *fold)
{
    unsigned i, left;

    if (!fold)
        return;
    pthread_mutex_lock(&fold->owner->lock);
    left = --fold->refs;
    pthread_mutex_unlock(&fold->owner->lock);
    if (left)
        return;
    for (i = 0; i < fold->owner->n_workers; i++)
        free_sum(fold->partial[i]);
    pf_segment_unref(fold->segment);
    free(fold->partial);
    free(fold);
}

void pf_fold_add(struct pf_fold *fold, const struct pf_extent *extent,
                 uint64_t weight, double factor)
{
    struct work w = {pf_fold_ref(fold), *extent, weight, factor};

    pthread_mutex_lock(&fold->owner->lock);
    fold->added++;
    pthread_mutex_unlock(&fold->owner->lock);
    if (!pf_queue_push_wait(fold->owner->queue, &w))
        pf_fold_unref(fold); /* stopping: nobody waits for the total */
}

enum pocketfed_status pf_fold_total(struct pf_fold *fold, struct pf_sum **out,
                                    struct pf_error *err)
{
    struct pf_folding *f = fold->owner;
    struct pf_sum *total = NULL;
    enum pocketfed_status st;
    unsigned i;

    pthread_mutex_lock(&f->lock);
    while (fold->done < fold->added)
        pthread_cond_wait(&f->done, &f->lock);
    st = fold->status;
    pthread_mutex_unlock(&f->lock);
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "no memory for the sum of a round");
    for (i = 0; i < f->n_workers; i++) {
        if (!fold->partial[i])
            continue;
        if (!total) {
            total = fold->partial[i];
            continue;
        }
        pf_sum_merge(total, fold->partial[i]);
        free_sum(fold->partial[i]);
        fold->partial[i] = NULL;
    }
    if (!total)
        return pf_fail(err, POCKETFED_INVALID, "a round without updates");
    *out = total;
    return POCKETFED_OK;
}
