#include "train.h"

#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "layer.h"
#include "loss.h"

/* An exec in memory of its own; *mem is the caller's to free. */
static enum pocketfed_status open_exec(const struct pf_model *m,
                                       struct pf_exec *e, void **mem,
                                       struct pf_error *err)
{
    const struct pf_kernels *k;
    enum pocketfed_status st;
    size_t bytes;

    st = pf_kernels_get(&k, err);
    if (st != POCKETFED_OK)
        return st;
    bytes = pf_exec_bytes(m, k, 0);
    *mem = bytes == SIZE_MAX ? NULL : malloc(bytes);
    if (!*mem)
        return pf_fail(err, POCKETFED_NO_MEMORY,
                       "no memory for a model's workspace of %zu bytes", bytes);
    pf_exec_init(e, m, k, 0, *mem);
    return POCKETFED_OK;
}

static enum pocketfed_status gather(const struct pf_model *m,
                                    const struct pf_examples *examples,
                                    size_t first, size_t n, struct pf_exec *e,
                                    uint32_t *labels, struct pf_error *err)
{
    enum pocketfed_status st;

    for (size_t i = 0; i < n; i++) {
        st = examples->get(examples->ctx, first + i, pf_exec_input(e, i),
                           &labels[i]);
        if (st != POCKETFED_OK)
            return pf_fail(err, st, "example %zu could not be read", first + i);
        if (labels[i] >= pf_model_n_classes(m))
            return pf_fail(err, POCKETFED_INVALID,
                           "the label of example %zu is %u, but the model has "
                           "%zu classes",
                           first + i, labels[i], pf_model_n_classes(m));
    }
    return POCKETFED_OK;
}

enum pocketfed_status
pf_evaluate(const struct pf_model *m, const pf_real *params,
            const struct pf_examples *examples, size_t first, size_t end,
            struct pf_evaluation *out, struct pf_error *err)
{
    struct pf_evaluation sum = {0, 0, 0};
    enum pocketfed_status st;
    uint32_t *labels = NULL;
    const pf_real *logits;
    struct pf_exec e;
    void *mem = NULL;

    if (first > end || end > examples->n)
        return pf_fail(err, POCKETFED_INVALID,
                       "examples %zu to %zu were asked for, but there are %zu",
                       first, end, examples->n);
    st = open_exec(m, &e, &mem, err);
    if (st != POCKETFED_OK)
        goto out;
    labels = malloc(e.chunk * sizeof *labels);
    if (!labels) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for labels");
        goto out;
    }
    for (size_t part; first < end; first += part) {
        part = end - first < e.chunk ? end - first : e.chunk;
        st = gather(m, examples, first, part, &e, labels, err);
        if (st != POCKETFED_OK)
            goto out;
        logits = pf_exec_forward(&e, params, part);
        sum.loss += pf_softmax_cross_entropy(
            logits, labels, part, pf_model_n_classes(m), 1, NULL, &sum.correct);
        sum.n += part;
    }
    if (sum.n > 0)
        sum.loss /= (double)sum.n;
    *out = sum;
out:
    free(labels);
    free(mem);
    return st;
}

enum pocketfed_status pf_predict(const struct pf_model *m,
                                 const pf_real *params, const pf_real *x,
                                 pf_real *probabilities, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_exec e;
    void *mem = NULL;

    st = open_exec(m, &e, &mem, err);
    if (st == POCKETFED_OK) {
        memcpy(pf_exec_input(&e, 0), x, pf_shape_size(&m->input) * sizeof *x);
        pf_softmax(pf_exec_forward(&e, params, 1), pf_model_n_classes(m),
                   probabilities);
    }
    free(mem);
    return st;
}
