#include "background.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "bytes.h"
#include "publish.h"
#include "queue.h"

struct work {
    int finish; /* else drop */
    struct pf_finish f;
    uint8_t digest[32];
};

struct pf_background {
    struct pf_background_config config;
    struct pf_queue *queue; /* of struct work */
    atomic_int stopping;
    pthread_t thread;
};

/* ---- what is kept beside a model ---------------------------------------- */

static enum pocketfed_status load_state(struct pf_background *b,
                                        const struct pf_finish *f, size_t n,
                                        float *state, struct pf_error *err)
{
    struct pf_object *obj = NULL;
    enum pocketfed_status st;

    memset(state, 0, n * sizeof *state);
    if (pf_is_zero(f->state, 32))
        return POCKETFED_OK;
    st = pf_objects_get(b->config.objects, f->state, &obj, err);
    if (st != POCKETFED_OK)
        return st;
    if (pf_strategy_state_read(obj->bytes, obj->len, state, n) != POCKETFED_OK)
        st = pf_fail(err, POCKETFED_PROOF,
                     "the strategy state of task %s has %zu bytes, not %zu",
                     f->task->stored.name, obj->len, n * 4);
    pf_object_release(obj);
    return st;
}

/* Puts what was written to a buffer, or says that memory ran out. */
static enum pocketfed_status keep(struct pf_background *b, struct pf_buf *bytes,
                                  uint8_t digest[32], struct pf_error *err)
{
    enum pocketfed_status st = pf_buf_status(bytes);

    if (st != POCKETFED_OK)
        pf_fail(err, st, "no memory for what is kept beside a model");
    else
        st = pf_objects_put(b->config.objects, bytes->data, bytes->len, digest,
                            err);
    pf_buf_free(bytes);
    return st;
}

static enum pocketfed_status save_state(struct pf_background *b, size_t n,
                                        const float *state, uint8_t digest[32],
                                        struct pf_error *err)
{
    struct pf_buf bytes;

    pf_buf_init(&bytes, SIZE_MAX / 2);
    pf_strategy_state_write(state, n, &bytes);
    return keep(b, &bytes, digest, err);
}

/* An object that an auditor can take the step from. */
static enum pocketfed_status save_sums(struct pf_background *b,
                                       const struct pf_sum *sum,
                                       uint8_t digest[32], struct pf_error *err)
{
    struct pf_buf bytes;

    pf_buf_init(&bytes, SIZE_MAX / 2);
    pf_sum_write(sum, &bytes);
    return keep(b, &bytes, digest, err);
}

/* ---- finishing --------------------------------------------------------- */

/* The next model and state as durable objects, their digests in ev. */
static enum pocketfed_status make_model(struct pf_background *b,
                                        const struct pf_finish *f,
                                        struct pf_event *ev,
                                        struct pf_error *err)
{
    const struct pf_live_task *t = f->task;
    const struct pf_strategy *strategy =
        pf_strategy_find(t->task.strategy.name);
    size_t n_state =
        strategy ? strategy->n_state(pf_model_n_params(t->model)) : 0;
    struct pf_object *base = NULL;
    enum pocketfed_status st;
    struct pf_sum *sum;
    float *state = NULL;
    struct pf_buf file;
    uint8_t digest[32];

    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    st = pf_fold_total(f->fold, &sum, err);
    if (st != POCKETFED_OK)
        goto out;
    sum->divisor = f->divisor;
    if (n_state > 0) {
        state = calloc(n_state, sizeof *state);
        st = state ? load_state(b, f, n_state, state, err)
                   : pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a state");
        if (st != POCKETFED_OK)
            goto out;
    }
    st = pf_objects_get(b->config.objects, f->base, &base, err);
    if (st != POCKETFED_OK)
        goto out;
    st = pf_publish(&t->task, t->model, f->round, t->stored.plan, base->bytes,
                    base->len, f->base, sum, state, &file, digest, err);
    if (st != POCKETFED_OK)
        goto out;
    if (n_state > 0)
        st = save_state(b, n_state, state, ev->u.finished.state, err);
    if (st == POCKETFED_OK)
        st = save_sums(b, sum, ev->u.finished.sums, err);
    if (st == POCKETFED_OK)
        st = pf_objects_put(b->config.objects, file.data, file.len,
                            ev->u.finished.model, err);
out:
    pf_object_release(base);
    free(state);
    pf_buf_free(&file);
    return st;
}

static void finish(struct pf_background *b, const struct pf_finish *f)
{
    struct pf_error err = {0};
    struct pf_event ev = {0};
    enum pocketfed_status st;

    ev.kind = PF_EV_FINISHED;
    ev.round = f->round;
    st = make_model(b, f, &ev, &err);
    if (st == POCKETFED_NO_MEMORY || st == POCKETFED_NON_FINITE) {
        pf_log(b->config.log, PF_LOG_ERROR,
               "no model made task=%s round=%" PRIu64 " error=\"%s\"",
               f->task->stored.name, f->round, err.text);
        memset(&ev.u, 0, sizeof ev.u);
        ev.kind = PF_EV_FINISH_FAILED;
        ev.u.failure = (int)st;
        st = POCKETFED_OK;
    }
    if (st != POCKETFED_OK)
        b->config.fatal(b->config.ctx, &err);
    else
        b->config.deliver(b->config.ctx, f->task, &ev);
}

static void *work(void *arg)
{
    struct pf_background *b = arg;
    struct pf_error err;
    struct work w;
    int ended;

    for (;;) {
        if (pf_queue_take(b->queue, &w, 1, -1, &ended) == 0) {
            if (ended)
                return NULL;
            continue;
        }
        if (w.finish) {
            if (!atomic_load(&b->stopping))
                finish(b, &w.f);
            pf_fold_unref(w.f.fold);
        } else if (pf_objects_drop(b->config.objects, w.digest, &err) !=
                   POCKETFED_OK) {
            pf_log(b->config.log, PF_LOG_WARN, "object stays error=\"%s\"",
                   err.text); /* swept at the next start */
        }
    }
}

enum pocketfed_status
pf_background_start(const struct pf_background_config *config,
                    struct pf_background **out, struct pf_error *err)
{
    struct pf_background *b = calloc(1, sizeof *b);

    if (!b)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for background");
    b->config = *config;
    if (pf_queue_create(sizeof(struct work), 64, &b->queue) != POCKETFED_OK ||
        pthread_create(&b->thread, NULL, work, b) != 0) {
        pf_queue_free(b->queue);
        free(b);
        return pf_fail(err, POCKETFED_NO_MEMORY,
                       "cannot start the background thread");
    }
    *out = b;
    return POCKETFED_OK;
}

void pf_background_stop(struct pf_background *b)
{
    if (!b)
        return;
    atomic_store(&b->stopping, 1);
    pf_queue_close(b->queue);
    pthread_join(b->thread, NULL);
    pf_queue_free(b->queue);
    free(b);
}

int pf_background_finish(struct pf_background *b, const struct pf_finish *f)
{
    struct work w = {0};

    w.finish = 1;
    w.f = *f;
    if (pf_queue_push_extra(b->queue, &w))
        return 1;
    pf_fold_unref(f->fold);
    return 0;
}

int pf_background_drop(struct pf_background *b, const uint8_t digest[32])
{
    struct work w = {0};

    memcpy(w.digest, digest, sizeof w.digest);
    return pf_queue_push_extra(b->queue, &w);
}
