#include "train.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "exec.h"
#include "layer.h"
#include "loss.h"

struct pf_infer {
    pf_real *w; /* packed */
    uint32_t *labels;
    void *block; /* what is freed */
    struct pf_exec exec;
};

enum pocketfed_status pf_infer_open(const struct pf_model *m,
                                    const pf_real *params, size_t batch,
                                    const struct pf_parallel *threads,
                                    struct pf_infer **out, struct pf_error *err)
{
    struct pf_exec_options o = {batch, 0, threads};
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
    for (int place = 0; place < 2; place++) {
        f->w = pf_arena_take(&a, f->exec.n_packed, sizeof *f->w);
        f->labels = pf_arena_take(&a, f->exec.chunk, sizeof *f->labels);
        mem = pf_arena_take(&a, bytes, 1);
        if (place || bytes == SIZE_MAX || a.used > SIZE_MAX - 64)
            break;
        f->block = malloc(a.used + 64);
        if (!f->block)
            break;
        a.base = (char *)f->block + 64 - (uintptr_t)f->block % 64;
        a.used = 0;
    }
    if (!f->block) {
        st = pf_fail(err, POCKETFED_NO_MEMORY,
                     "no memory for a model's workspace of %zu bytes", bytes);
        goto fail;
    }
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
    struct pf_infer *f;

    st = pf_infer_open(m, params, end > first ? end - first : 1, NULL, &f, err);
    if (st != POCKETFED_OK)
        return st;
    st = pf_infer_evaluate(f, examples, first, end, out, err);
    pf_infer_close(f);
    return st;
}

enum pocketfed_status pf_predict(const struct pf_model *m,
                                 const pf_real *params, const pf_real *x,
                                 pf_real *probabilities, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_infer *f;

    st = pf_infer_open(m, params, 1, NULL, &f, err);
    if (st != POCKETFED_OK)
        return st;
    memcpy(pf_infer_input(f, 0), x, pf_shape_size(&m->input) * sizeof *x);
    m->loss->predict(pf_infer_run(f, 1), pf_exec_outputs(&f->exec),
                     probabilities);
    pf_infer_close(f);
    return st;
}
