#include "train.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "exec.h"
#include "half.h"
#include "layer.h"
#include "loss.h"

struct pf_infer {
    pf_real *w; /* packed */
    uint32_t *labels;
    void *block; /* what is freed */
    struct pf_exec exec;
};

/* f->exec is planned; measures when a->base is NULL. */
static void lay_out(struct pf_infer *f, size_t exec_bytes, struct pf_arena *a,
                    void **exec_mem)
{
    f->w = pf_arena_take(a, f->exec.n_packed, sizeof *f->w);
    f->labels = pf_arena_take(a, f->exec.chunk, sizeof *f->labels);
    *exec_mem = pf_arena_take(a, exec_bytes, 1);
}

struct pf_infer_memory pf_infer_measure(const struct pf_model *m, size_t batch,
                                        enum pf_precision precision,
                                        const struct pf_parallel *threads)
{
    struct pf_exec_options o = {batch, 0, threads, precision};
    struct pf_arena a = {NULL, 0};
    const struct pf_kernels *k;
    struct pf_infer f;
    size_t bytes;
    void *mem;

    if (pf_kernels_get(&k, NULL) != POCKETFED_OK)
        return (struct pf_infer_memory){SIZE_MAX, SIZE_MAX};
    bytes = pf_exec_plan(&f.exec, m, k, &o);
    lay_out(&f, bytes, &a, &mem);
    return (struct pf_infer_memory){
        a.used > SIZE_MAX - 64 - sizeof f ? SIZE_MAX : a.used + 64 + sizeof f,
        f.exec.n_packed * sizeof *f.w};
}

/* Scales and halves are made of finite weights only. */
static enum pocketfed_status check(const struct pf_exec *e,
                                   const pf_real *params,
                                   enum pf_precision precision,
                                   struct pf_error *err)
{
    for (size_t i = 0; i < e->m->n_params; i++)
        if (!(params[i] - params[i] == 0))
            return pf_fail(err, POCKETFED_NON_FINITE,
                           "parameter %zu of the model is not finite", i);
    for (size_t i = 0; precision == PF_F16 && i < e->n_steps; i++) {
        const struct pf_step_kind *kind = e->steps[i].kind;
        const struct pf_layer *l = e->steps[i].l;
        size_t end = l->weight + l->n_params;

        if (kind == &pf_dense_half_step)
            end = l->bias; /* stays in floats */
        else if (kind != &pf_conv_half_step)
            continue;
        for (size_t j = l->weight; j < end; j++)
            if (params[j] > (pf_real)PF_HALF_MAX ||
                params[j] < -(pf_real)PF_HALF_MAX)
                return pf_fail(err, POCKETFED_LIMIT,
                               "a parameter of layer %s is beyond 65504, what "
                               "16 bits can hold",
                               l->name);
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_infer_open(const struct pf_model *m,
                                    const pf_real *params, size_t batch,
                                    enum pf_precision precision,
                                    const struct pf_parallel *threads,
                                    struct pf_infer **out, struct pf_error *err)
{
    struct pf_exec_options o = {batch, 0, threads, precision};
    struct pf_arena a = {NULL, 0};
    struct pf_infer *f = calloc(1, sizeof *f);
    const struct pf_kernels *k;
    enum pocketfed_status st;
    size_t bytes;
    void *mem;

    if (!f)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a model");
    st = pf_kernels_get(&k, err);
    if (st != POCKETFED_OK)
        goto fail;
    bytes = pf_exec_plan(&f->exec, m, k, &o);
    if (precision != PF_F32)
        st = check(&f->exec, params, precision, err);
    if (st != POCKETFED_OK)
        goto fail;
    lay_out(f, bytes, &a, &mem);
    if (bytes != SIZE_MAX && a.used <= SIZE_MAX - 64)
        f->block = malloc(a.used + 64);
    if (!f->block) {
        st = pf_fail(err, POCKETFED_NO_MEMORY,
                     "no memory for a model's workspace of %zu bytes", bytes);
        goto fail;
    }
    a.base = (char *)f->block + 64 - (uintptr_t)f->block % 64;
    a.used = 0;
    lay_out(f, bytes, &a, &mem);
    pf_exec_place(&f->exec, mem);
    pf_exec_pack(&f->exec, params, f->w);
    pf_exec_prepare(&f->exec, f->w);
    *out = f;
    return POCKETFED_OK;
fail:
    pf_infer_close(f);
    return st;
}

void pf_infer_close(struct pf_infer *f)
{
    if (!f)
        return;
    free(f->block);
    free(f);
}

size_t pf_infer_batch(const struct pf_infer *f)
{
    return f->exec.chunk;
}

pf_real *pf_infer_input(struct pf_infer *f, size_t i)
{
    return pf_exec_input(&f->exec, i);
}

struct pf_exec *pf_infer_exec(struct pf_infer *f)
{
    return &f->exec;
}

const pf_real *pf_infer_run(struct pf_infer *f, size_t n)
{
    struct pf_run r = {.n = n, .w = f->w};

    return pf_exec_forward(&f->exec, &r);
}

void pf_infer_probabilities(struct pf_infer *f, const pf_real *x,
                            pf_real *probabilities)
{
    const struct pf_model *m = f->exec.m;

    memcpy(pf_infer_input(f, 0), x, pf_shape_size(&m->input) * sizeof *x);
    m->loss->predict(pf_infer_run(f, 1), pf_exec_outputs(&f->exec),
                     probabilities);
}

static enum pocketfed_status gather(struct pf_infer *f,
                                    const struct pf_examples *examples,
                                    size_t first, size_t n,
                                    struct pf_error *err)
{
    enum pocketfed_status st;

    for (size_t i = 0; i < n; i++) {
        st = examples->get(examples->ctx, first + i, pf_infer_input(f, i),
                           &f->labels[i]);
        if (st != POCKETFED_OK)
            return pf_fail(err, st, "example %zu could not be read", first + i);
        if (f->labels[i] >= pf_model_n_classes(f->exec.m))
            return pf_fail(err, POCKETFED_INVALID,
                           "the label of example %zu is %u, but the model has "
                           "%zu classes",
                           first + i, f->labels[i],
                           pf_model_n_classes(f->exec.m));
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_infer_evaluate(struct pf_infer *f,
                                        const struct pf_examples *examples,
                                        size_t first, size_t end,
                                        struct pf_evaluation *out,
                                        struct pf_error *err)
{
    struct pf_evaluation sum = {0, 0, 0};
    enum pocketfed_status st;

    if (first > end || end > examples->n)
        return pf_fail(err, POCKETFED_INVALID,
                       "examples %zu to %zu were asked for, but there are %zu",
                       first, end, examples->n);
    for (size_t part; first < end; first += part) {
        part = end - first < f->exec.chunk ? end - first : f->exec.chunk;
        st = gather(f, examples, first, part, err);
        if (st != POCKETFED_OK)
            return st;
        sum.loss += f->exec.m->loss->run(pf_infer_run(f, part), f->labels, part,
                                         pf_exec_outputs(&f->exec), 1, NULL,
                                         &sum.correct);
        sum.n += part;
    }
    if (sum.n > 0)
        sum.loss /= (double)sum.n;
    *out = sum;
    return POCKETFED_OK;
}

enum pocketfed_status
pf_evaluate(const struct pf_model *m, const pf_real *params,
            const struct pf_examples *examples, size_t first, size_t end,
            struct pf_evaluation *out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_infer *f = NULL;

    st = pf_infer_open(m, params, end > first ? end - first : 1, PF_F32, NULL,
                       &f, err);
    if (st != POCKETFED_OK)
        return st;
    st = pf_infer_evaluate(f, examples, first, end, out, err);
    pf_infer_close(f);
    return st;
}

enum pocketfed_status pf_predict(const struct pf_model *m,
                                 const pf_real *params,
                                 enum pf_precision precision, const pf_real *x,
                                 pf_real *probabilities, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_infer *f = NULL;

    st = pf_infer_open(m, params, 1, precision, NULL, &f, err);
    if (st != POCKETFED_OK)
        return st;
    pf_infer_probabilities(f, x, probabilities);
    pf_infer_close(f);
    return st;
}
