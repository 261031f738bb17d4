#include "evaluate.h"

#include <string.h>

const char *const precision_names[] = PF_PRECISION_NAMES;

/* Examples that go through the network together: enough for all threads, few
 * enough for the caches. */
#define BATCH 128

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

enum pocketfed_status evaluate(const struct pf_model *m, const float *params,
                               const struct pf_idx *set,
                               enum pf_precision precision,
                               const struct pf_parallel *threads,
                               struct pf_evaluation *out, struct pf_error *err)
{
    struct pf_examples examples;
    struct pf_infer *f = NULL;
    enum pocketfed_status st;

    st = idx_examples(m, set, &examples, err);
    if (!st)
        st = pf_infer_open(m, params, BATCH, precision, threads, &f, err);
    if (!st)
        st = pf_infer_evaluate(f, &examples, 0, examples.n, out, err);
    pf_infer_close(f);
    return st;
}

enum pf_precision precision_of(const char *name)
{
    for (unsigned i = 0; precision_names[i]; i++)
        if (strcmp(name, precision_names[i]) == 0)
            return (enum pf_precision)i;
    return PF_F32; /* the options have let no other name through */
}
