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
    const struct pf_kernels *k;
    struct pf_train_config c;
    uint64_t seed;
    struct pf_train_position at;
    uint64_t batches;     /* in one epoch */
    size_t n_state;       /* values */
    uint32_t order_epoch; /* of which epoch order is; UINT32_MAX: none */
    uint32_t *order;      /* NULL: as they come */
    uint32_t *labels;     /* of a chunk */
    pf_real *params, *grads, *state;
    struct pf_exec exec;
};

void pf_train_config_default(struct pf_train_config *c)
{
    memset(c, 0, sizeof *c);
    c->optimizer = PF_SGD;
    c->lr = 0.05;
    c->beta1 = 0.9;
    c->beta2 = 0.999;
    c->epsilon = 1e-8;
    c->epochs = 1;
    c->batch = 32;
    c->shuffle = 1;
}

enum pocketfed_status pf_train_config_check(const struct pf_train_config *c,
                                            struct pf_error *err)
{
    /* Comparisons are written so that NaN fails them. */
    if (c->optimizer != PF_SGD && c->optimizer != PF_ADAM)
        return pf_fail(err, POCKETFED_INVALID,
                       "optimizer must be \"sgd\" or \"adam\"");
    if (!(c->lr > 0 && c->lr <= 10))
        return pf_fail(err, POCKETFED_INVALID,
                       "lr is %g; it must be more than 0 and at most 10",
                       c->lr);
    if (!(c->momentum >= 0 && c->momentum < 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "momentum is %g; it must be at least 0 and less than 1",
                       c->momentum);
    if (c->momentum > 0 && c->optimizer != PF_SGD)
        return pf_fail(err, POCKETFED_INVALID,
                       "momentum is %g, but only sgd has it", c->momentum);
    if (!(c->beta1 >= 0 && c->beta1 < 1 && c->beta2 >= 0 && c->beta2 < 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "beta1 is %g and beta2 %g; they must be at least 0 and "
                       "less than 1",
                       c->beta1, c->beta2);
    if (!(c->epsilon > 0 && c->epsilon <= 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "epsilon is %g; it must be more than 0 and at most 1",
                       c->epsilon);
    if (!(c->weight_decay >= 0 && c->weight_decay <= 1))
        return pf_fail(err, POCKETFED_INVALID,
                       "weight_decay is %g; it must be from 0 to 1",
                       c->weight_decay);
    if (c->epochs < 1 || c->epochs > 1000)
        return pf_fail(err, POCKETFED_INVALID,
                       "epochs is %u; it must be from 1 to 1000", c->epochs);
    if (c->batch < 1 || c->batch > 4096)
        return pf_fail(err, POCKETFED_INVALID,
                       "batch is %u; it must be from 1 to 4096", c->batch);
    return POCKETFED_OK;
}

/* Measures when a->base is NULL; t has m, c and k. */
static void lay_out(struct pf_trainer *t, size_t n_examples, size_t exec_bytes,
                    struct pf_arena *a)
{
    size_t n = t->m->n_params;
    void *mem;

    pf_arena_take(a, 1, sizeof *t);
    t->n_state = pf_optims[t->c.optimizer].n_state(&t->c) * n;
    t->params = pf_arena_take(a, n, sizeof(pf_real));
    t->grads = pf_arena_take(a, n, sizeof(pf_real));
    t->state = pf_arena_take(a, t->n_state, sizeof(pf_real));
    t->order = NULL;
    if (t->c.shuffle)
        t->order = pf_arena_take(a, n_examples, sizeof(uint32_t));
    t->labels = pf_arena_take(a, pf_exec_chunk(t->m), sizeof(uint32_t));
    mem = pf_arena_take(a, exec_bytes, 1);
    if (mem)
        pf_exec_init(&t->exec, t->m, t->k, 1, mem);
}

size_t pf_trainer_bytes(const struct pf_model *m,
                        const struct pf_train_config *c, size_t n_examples)
{
    struct pf_arena a = {NULL, 0};
    struct pf_trainer t = {.m = m, .c = *c};
    size_t exec_bytes;

    if (n_examples > UINT32_MAX || pf_kernels_get(&t.k, NULL) != POCKETFED_OK)
        return SIZE_MAX;
    exec_bytes = pf_exec_bytes(m, t.k, 1);
    if (exec_bytes == SIZE_MAX)
        return SIZE_MAX;
    lay_out(&t, n_examples, exec_bytes, &a);
    return a.used;
}

enum pocketfed_status pf_trainer_create(const struct pf_model *m,
                                        const struct pf_train_config *c,
                                        const struct pf_examples *examples,
                                        uint64_t seed, struct pf_trainer **out,
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
    bytes = pf_trainer_bytes(m, c, examples->n);
    t = bytes == SIZE_MAX ? NULL : calloc(1, bytes);
    if (!t)
        return pf_fail(err, POCKETFED_NO_MEMORY,
                       "no memory for a trainer of %zu bytes", bytes);
    t->m = m;
    t->examples = examples;
    t->k = k;
    t->c = *c;
    t->seed = seed;
    t->batches = (examples->n + c->batch - 1) / c->batch;
    t->order_epoch = UINT32_MAX;
    a.base = (char *)t;
    lay_out(t, examples->n, pf_exec_bytes(m, k, 1), &a);
    *out = t;
    return POCKETFED_OK;
}

void pf_trainer_free(struct pf_trainer *t)
{
    free(t);
}

pf_real *pf_trainer_params(struct pf_trainer *t)
{
    return t->params;
}

pf_real *pf_trainer_state(struct pf_trainer *t, size_t *n)
{
    *n = t->n_state;
    return t->state;
}

const struct pf_train_position *pf_trainer_position(const struct pf_trainer *t)
{
    return &t->at;
}

enum pocketfed_status pf_trainer_seek(struct pf_trainer *t,
                                      const struct pf_train_position *p)
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

/* grads and *loss = the gradient of the mean loss and the sum of losses of
 * examples first .. first+n of the epoch. */
static enum pocketfed_status run_batch(struct pf_trainer *t, uint64_t first,
                                       size_t n, double *loss)
{
    struct pf_exec *e = &t->exec;
    enum pocketfed_status st;
    const pf_real *logits;

    memset(t->grads, 0, t->m->n_params * sizeof *t->grads);
    *loss = 0;
    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < e->chunk ? n - done : e->chunk;
        st = gather(t, first + done, part);
        if (st != POCKETFED_OK)
            return st;
        logits = pf_exec_forward(e, t->params, part);
        *loss += pf_softmax_cross_entropy(
            logits, t->labels, part, pf_model_n_classes(t->m), 1.0 / (double)n,
            pf_exec_output_gradient(e), NULL);
        pf_exec_backward(e, t->params, part, t->grads);
    }
    return isfinite(*loss) ? POCKETFED_OK : POCKETFED_NON_FINITE;
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
    uint64_t first = at->batch * t->c.batch;
    enum pocketfed_status st;
    double loss;
    size_t n;

    if (at->epoch == t->c.epochs)
        return POCKETFED_OK;
    make_order(t);
    n = t->examples->n - (size_t)first;
    if (n > t->c.batch)
        n = t->c.batch;
    st = run_batch(t, first, n, &loss);
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
    pf_optims[t->c.optimizer].step(&t->c, t->k, at->step, t->m->n_params,
                                   t->grads, t->params, t->state);
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
