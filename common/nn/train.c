#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "exec.h"
#include "layer.h"
#include "loss.h"
#include "optim.h"
#include "rng.h"

struct pf_trainer {
    const struct pf_model *m;
    const struct pf_examples *examples;
    struct pf_train_config c;
    uint64_t seed;
    struct pf_train_position at;
    uint64_t batches;     /* in one epoch */
    uint32_t order_epoch; /* of which epoch order is; UINT32_MAX: none */
    uint32_t *order;      /* NULL: as they come */
    uint32_t *labels;     /* of a chunk */
    int fused; /* a batch is one chunk and its gradient is not needed whole:
                  each step of the backward pass applies the optimiser itself */
    unsigned n_arrays; /* of optimiser state */
    pf_real *grads;    /* packed; only when not fused */
    pf_real *anchor, *control;
    struct pf_update update; /* w, m and v are the trainer's own arrays */
    struct pf_exec exec;
};

/* Plans t, which has m and c; the bytes of its exec, SIZE_MAX on overflow. */
static size_t plan(struct pf_trainer *t, size_t n_examples,
                   const struct pf_parallel *threads,
                   const struct pf_kernels *k)
{
    struct pf_exec_options o = {t->c.batch, 1, threads, PF_F32};
    size_t bytes;

    if (o.batch > n_examples)
        o.batch = n_examples ? n_examples : 1;
    bytes = pf_exec_plan(&t->exec, t->m, k, &o);
    t->fused = t->exec.chunk == o.batch && !(t->c.clip_norm > 0);
    t->n_arrays = pf_optim_arrays(&t->c);
    return bytes;
}

/* Measures when a->base is NULL; t is planned. */
static void lay_out(struct pf_trainer *t, size_t n_examples, size_t exec_bytes,
                    struct pf_arena *a)
{
    size_t n = t->exec.n_packed;
    struct pf_update *u = &t->update;
    void *mem;

    pf_arena_take(a, 1, sizeof *t);
    u->w = pf_arena_take(a, n, sizeof(pf_real));
    u->m = t->n_arrays > 0 ? pf_arena_take(a, n, sizeof(pf_real)) : NULL;
    u->v = t->n_arrays > 1 ? pf_arena_take(a, n, sizeof(pf_real)) : NULL;
    t->grads = t->fused ? NULL : pf_arena_take(a, n, sizeof(pf_real));
    t->anchor = t->c.mu > 0 ? pf_arena_take(a, n, sizeof(pf_real)) : NULL;
    t->control = t->c.control ? pf_arena_take(a, n, sizeof(pf_real)) : NULL;
    t->order = NULL;
    if (t->c.shuffle)
        t->order = pf_arena_take(a, n_examples, sizeof(uint32_t));
    t->labels = pf_arena_take(a, t->exec.chunk, sizeof(uint32_t));
    mem = pf_arena_take(a, exec_bytes, 1);
    if (mem)
        pf_exec_place(&t->exec, mem);
    u->anchor = t->anchor;
}

size_t pf_trainer_bytes(const struct pf_model *m,
                        const struct pf_train_config *c, size_t n_examples,
                        unsigned threads)
{
    struct pf_parallel workers = {.n = threads};
    struct pf_trainer t = {.m = m, .c = *c};
    struct pf_arena a = {NULL, 0};
    const struct pf_kernels *k;
    size_t exec_bytes;

    if (n_examples > UINT32_MAX || pf_kernels_get(&k, NULL) != POCKETFED_OK)
        return SIZE_MAX;
    exec_bytes = plan(&t, n_examples, &workers, k);
    if (exec_bytes == SIZE_MAX)
        return SIZE_MAX;
    lay_out(&t, n_examples, exec_bytes, &a);
    return a.used == SIZE_MAX ? SIZE_MAX : a.used + 64;
}

/* The arena begins at the first multiple of 64, where the trainer is; what
 * malloc gave lies before it. */
static struct pf_trainer *take_memory(size_t bytes)
{
    char *block = calloc(1, bytes), *at;

    if (!block)
        return NULL;
    at = block + 64 - (uintptr_t)block % 64;
    memcpy(at - sizeof block, &block, sizeof block);
    return (struct pf_trainer *)(void *)at;
}

void pf_trainer_free(struct pf_trainer *t)
{
    char *block;

    if (!t)
        return;
    memcpy(&block, (char *)t - sizeof block, sizeof block);
    free(block);
}

enum pocketfed_status
pf_trainer_create(const struct pf_model *m, const struct pf_train_config *c,
                  const struct pf_examples *examples, uint64_t seed,
                  const struct pf_parallel *threads, struct pf_trainer **out,
                  struct pf_error *err)
{
    struct pf_arena a = {NULL, 0};
    const struct pf_kernels *k;
    enum pocketfed_status st;
    struct pf_trainer *t;
    size_t bytes;

    st = pf_train_config_check(c, err);
    if (st == POCKETFED_OK)
        st = pf_kernels_get(&k, err);
    if (st != POCKETFED_OK)
        return st;
    if (examples->n == 0 || examples->n > UINT32_MAX)
        return pf_fail(err, POCKETFED_INVALID,
                       "there are %zu examples; training needs 1 to %u",
                       examples->n, UINT32_MAX);
    bytes = pf_trainer_bytes(m, c, examples->n, pf_parallel_workers(threads));
    t = bytes == SIZE_MAX ? NULL : take_memory(bytes);
    if (!t)
        return pf_fail(err, POCKETFED_NO_MEMORY,
                       "no memory for a trainer of %zu bytes", bytes);
    t->m = m;
    t->examples = examples;
    t->c = *c;
    t->seed = seed;
    t->batches = (examples->n + c->batch - 1) / c->batch;
    t->order_epoch = UINT32_MAX;
    a.base = (char *)t;
    lay_out(t, examples->n, plan(t, examples->n, threads, k), &a);
    *out = t;
    return POCKETFED_OK;
}

void pf_trainer_set_params(struct pf_trainer *t, const pf_real *params)
{
    pf_exec_pack(&t->exec, params, t->update.w);
    if (t->anchor)
        memcpy(t->anchor, t->update.w, t->exec.n_packed * sizeof *t->anchor);
    pf_exec_prepare(&t->exec, t->update.w);
}

void pf_trainer_get_params(const struct pf_trainer *t, pf_real *params)
{
    pf_exec_unpack(&t->exec, t->update.w, params);
}

size_t pf_trainer_n_state(const struct pf_trainer *t)
{
    return t->n_arrays * t->m->n_params;
}

void pf_trainer_get_state(const struct pf_trainer *t, pf_real *state)
{
    if (t->update.m)
        pf_exec_unpack(&t->exec, t->update.m, state);
    if (t->update.v)
        pf_exec_unpack(&t->exec, t->update.v, state + t->m->n_params);
}

const struct pf_train_position *pf_trainer_position(const struct pf_trainer *t)
{
    return &t->at;
}

struct pf_exec *pf_trainer_exec(struct pf_trainer *t)
{
    return &t->exec;
}

enum pocketfed_status pf_trainer_set_control(struct pf_trainer *t,
                                             const pf_real *control)
{
    if (!t->control)
        return POCKETFED_INVALID;
    pf_exec_pack(&t->exec, control, t->control);
    t->update.control = t->control;
    return POCKETFED_OK;
}

enum pocketfed_status pf_trainer_resume(struct pf_trainer *t,
                                        const struct pf_train_position *p,
                                        const pf_real *params,
                                        const pf_real *state)
{
    uint64_t seen;

    if (p->epoch > t->c.epochs || p->batch >= t->batches ||
        (p->epoch == t->c.epochs && p->batch > 0))
        return POCKETFED_INVALID;
    seen = (uint64_t)p->epoch * t->examples->n + p->batch * t->c.batch;
    if (p->step != p->epoch * t->batches + p->batch || p->examples != seen ||
        !isfinite(p->loss_sum))
        return POCKETFED_INVALID;
    t->at = *p;
    pf_exec_pack(&t->exec, params, t->update.w);
    pf_exec_prepare(&t->exec, t->update.w);
    if (t->update.m)
        pf_exec_pack(&t->exec, state, t->update.m);
    if (t->update.v)
        pf_exec_pack(&t->exec, state + t->m->n_params, t->update.v);
    return POCKETFED_OK;
}

/* Puts examples first .. first+n of the epoch into the chunk. */
static enum pocketfed_status gather(struct pf_trainer *t, uint64_t first,
                                    size_t n)
{
    enum pocketfed_status st = POCKETFED_OK;

    for (size_t i = 0; st == POCKETFED_OK && i < n; i++) {
        size_t at = (size_t)first + i;
        st = t->examples->get(t->examples->ctx, t->order ? t->order[at] : at,
                              pf_exec_input(&t->exec, i), &t->labels[i]);
        if (st == POCKETFED_OK && t->labels[i] >= pf_model_n_classes(t->m))
            st = POCKETFED_INVALID;
    }
    return st;
}

/* Forward and loss of examples first .. first+n of the batch of `all`; the
 * gradient of the batch's mean loss is left for backward. NON_FINITE when the
 * sum so far is not finite, before anything was changed. */
static enum pocketfed_status run_forward(struct pf_trainer *t, struct pf_run *r,
                                         size_t all, double *loss)
{
    uint64_t begin = t->at.batch * t->c.batch;
    enum pocketfed_status st = gather(t, begin + r->first, r->n);
    const pf_real *logits;

    if (st != POCKETFED_OK)
        return st;
    logits = pf_exec_forward(&t->exec, r);
    *loss += t->m->loss->run(logits, t->labels, r->n, pf_exec_outputs(&t->exec),
                             1.0 / (double)all,
                             pf_exec_output_gradient(&t->exec), NULL);
    return isfinite(*loss) ? POCKETFED_OK : POCKETFED_NON_FINITE;
}

/* What the gradient is multiplied by, so that its norm is in bounds. Sums in
 * double and in order. */
static pf_real clip_scale(const struct pf_trainer *t)
{
    double squares = 0, norm;

    if (!(t->c.clip_norm > 0))
        return 1;
    for (size_t i = 0; i < t->exec.n_packed; i++)
        squares += (double)t->grads[i] * (double)t->grads[i];
    norm = sqrt(squares);
    return norm > t->c.clip_norm ? (pf_real)(t->c.clip_norm / norm) : 1;
}

/* The parameters after the next n examples, and the sum of their losses. */
static enum pocketfed_status run_batch(struct pf_trainer *t, size_t n,
                                       double *loss)
{
    struct pf_exec *e = &t->exec;
    struct pf_run r = {.w = t->update.w};
    struct pf_rng draw = pf_rng_make(t->seed, 0, 0, PF_RNG_DROPOUT);
    enum pocketfed_status st;
    double lr =
        pf_train_rate(&t->c, t->at.step, t->batches * t->c.epochs, t->batches);

    *loss = 0;
    r.seed = pf_rng_u64(&draw, t->at.step);
    pf_optim_set(&t->update, &t->c, t->at.step + 1, lr);
    if (t->fused)
        r.update = &t->update;
    else
        pf_exec_zero(t->grads, e->n_packed);
    r.grads = t->grads;
    for (; r.first < n; r.first += r.n) {
        r.n = n - r.first < e->chunk ? n - r.first : e->chunk;
        st = run_forward(t, &r, n, loss);
        if (st != POCKETFED_OK)
            return st;
        pf_exec_backward(e, &r);
    }
    if (!t->fused) {
        t->update.scale = clip_scale(t);
        pf_exec_update(e, &t->update, t->grads);
    }
    return POCKETFED_OK;
}

static void make_order(struct pf_trainer *t)
{
    struct pf_rng rng;

    if (!t->order || t->order_epoch == t->at.epoch)
        return;
    rng = pf_rng_make(t->seed, 0, t->at.epoch, PF_RNG_SHUFFLE);
    pf_rng_permutation(&rng, (uint32_t)t->examples->n, t->order);
    t->order_epoch = t->at.epoch;
}

enum pocketfed_status pf_trainer_step(struct pf_trainer *t)
{
    struct pf_train_position *at = &t->at;
    enum pocketfed_status st;
    uint64_t mode;
    double loss;
    size_t n;

    if (at->epoch == t->c.epochs)
        return POCKETFED_OK;
    make_order(t);
    n = t->examples->n - (size_t)at->batch * t->c.batch;
    if (n > t->c.batch)
        n = t->c.batch;
    mode = pf_denormals_flush();
    st = run_batch(t, n, &loss);
    pf_denormals_restore(mode);
    if (st != POCKETFED_OK)
        return st;
    if (at->batch == 0) {
        at->loss_sum = 0;
        at->loss_examples = 0;
    }
    at->step++;
    at->batch++;
    at->examples += n;
    at->loss_sum += loss;
    at->loss_examples += n;
    if (at->batch == t->batches) {
        at->batch = 0;
        at->epoch++;
    }
    return at->epoch == t->c.epochs ? POCKETFED_OK : POCKETFED_AGAIN;
}

double pf_trainer_loss(const struct pf_trainer *t)
{
    if (t->at.loss_examples == 0)
        return (double)NAN;
    return t->at.loss_sum / (double)t->at.loss_examples;
}
