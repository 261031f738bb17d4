#include "publish.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "crypto.h"

static int all_finite(const float *x, size_t n)
{
    int finite = 1;
    size_t i;

    for (i = 0; i < n; i++)
        finite &= isfinite(x[i]) != 0;
    return finite;
}

static float *new_params(const struct pf_model *m)
{
    size_t bytes;

    if (!pf_mul_size(pf_model_n_params(m), sizeof(float), &bytes))
        return NULL;
    return malloc(bytes);
}

/* Parameters -> file and digest; on failure *file is as empty as before. */
static enum pocketfed_status
write_file(const struct pf_task *t, const struct pf_model *m, uint64_t round,
           const uint8_t plan[32], const uint8_t *previous, const float *params,
           struct pf_buf *file, uint8_t digest[32])
{
    struct pf_model_meta meta;
    enum pocketfed_status st;

    memset(&meta, 0, sizeof meta);
    snprintf(meta.task, sizeof meta.task, "%s", t->name);
    meta.round = round;
    memcpy(meta.plan, plan, sizeof meta.plan);
    if (previous)
        memcpy(meta.previous, previous, sizeof meta.previous);
    pf_buf_clear(file);
    st = pf_safetensors_write(m, params, &meta, file);
    if (st) {
        pf_buf_clear(file);
        return st;
    }
    pf_sha256(file->data, file->len, digest);
    return POCKETFED_OK;
}

enum pocketfed_status
pf_publish_initial(const struct pf_task *t, const struct pf_model *m,
                   const uint8_t plan[32], const float *params_or_null,
                   struct pf_buf *file, uint8_t digest[32])
{
    enum pocketfed_status st = POCKETFED_NO_MEMORY;
    const float *params = params_or_null;
    float *own = NULL;

    if (!params) {
        own = new_params(m);
        if (!own)
            goto out;
        pf_model_init(m, t->seed, own);
        params = own;
    }
    st = POCKETFED_NON_FINITE;
    if (!all_finite(params, pf_model_n_params(m)))
        goto out;
    st = write_file(t, m, 0, plan, NULL, params, file, digest);
out:
    free(own);
    return st;
}

enum pocketfed_status
pf_publish(const struct pf_task *t, const struct pf_model *m, uint64_t round,
           const uint8_t plan[32], const uint8_t *base_file, size_t base_len,
           const uint8_t base_digest[32], const struct pf_sum *sum,
           float *state, struct pf_buf *file, uint8_t digest[32],
           struct pf_error *err)
{
    const struct pf_strategy *strategy = pf_strategy_find(t->strategy.name);
    enum pocketfed_status st;
    float *params = NULL;

    if (!strategy)
        return pf_fail(err, POCKETFED_UNSUPPORTED,
                       "strategy \"%s\" is not built in", t->strategy.name);
    if (sum->n != pf_model_n_params(m) || sum->weight == 0)
        return pf_fail(err, POCKETFED_INVALID,
                       "the sum of round %llu has %zu coordinates and weight "
                       "%llu; the model has %zu parameters",
                       (unsigned long long)round, sum->n,
                       (unsigned long long)sum->weight, pf_model_n_params(m));
    params = new_params(m);
    if (!params)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for the model");
    st = pf_safetensors_params(base_file, base_len, m, params, err);
    if (st)
        goto out;
    st = strategy->step(t, sum, params, state);
    if (st) {
        pf_fail(err, st, "the model of round %llu: %s",
                (unsigned long long)round, pocketfed_status_text(st));
        goto out;
    }
    st = write_file(t, m, round, plan, base_digest, params, file, digest);
    if (st)
        pf_fail(err, st, "the model file of round %llu: %s",
                (unsigned long long)round, pocketfed_status_text(st));
out:
    free(params);
    return st;
}
