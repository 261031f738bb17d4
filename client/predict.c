/* Predictions by the newest model in the cache. */
#include "client_core.h"

#include <fenv.h>
#include <stdlib.h>
#include <string.h>

#include "safetensors.h"
#include "text.h"

/* The newest model into c->model and c->infer; kept until there is a newer
 * one. */
static enum pocketfed_status load_newest(struct pocketfed_client *c)
{
    const char *name = c->counters.models[0];
    struct pf_model *model = NULL;
    struct pf_infer *infer = NULL;
    float *params = NULL;
    uint8_t digest[32], is[32];
    struct pf_buf file;
    enum pocketfed_status st;
    fenv_t app;

    if (c->counters.n_models == 0 || !pf_unhex(name, strlen(name), digest, 32))
        return pf_fail(&c->error, POCKETFED_NOT_FOUND,
                       "there is no model here yet");
    if (c->model && strcmp(name, c->model_digest) == 0)
        return POCKETFED_OK;
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    st = pf_storage_object_get(&c->storage, digest, &file);
    if (st == POCKETFED_OK) {
        pf_sha256(file.data, file.len, is);
        if (memcmp(is, digest, sizeof is) != 0)
            st = POCKETFED_NOT_FOUND;
    }
    if (st) {
        pf_fail(&c->error, st, "the kept model %.16s... is damaged or gone",
                name);
        pf_hint(&c->error, "it is fetched again with the next round");
        goto out;
    }
    st = pf_safetensors_read(file.data, file.len, &model, &params, NULL,
                             &c->error);
    if (st)
        goto out;
    fegetenv(&app);
    fesetenv(FE_DFL_ENV);
    st = pf_infer_open(model, params, 1, c->precision, NULL, &infer, &c->error);
    fesetenv(&app);
    free(params);
    if (st) {
        pf_model_free(model);
        goto out;
    }
    pf_infer_close(c->infer);
    pf_model_free(c->model);
    c->model = model;
    c->infer = infer;
    memcpy(c->model_digest, name, sizeof c->model_digest);
out:
    pf_buf_free(&file);
    return st;
}

enum pocketfed_status pocketfed_client_predict(struct pocketfed_client *c,
                                               const float *x, size_t n_x,
                                               float *probabilities,
                                               size_t *n_classes)
{
    struct pf_shape in;
    enum pocketfed_status st;
    size_t want, classes;
    fenv_t app;

    if (!c || !x || !probabilities || !n_classes)
        return POCKETFED_INVALID;
    st = load_newest(c);
    if (st)
        return st;
    in = pf_model_input(c->model);
    want = (size_t)in.c * in.h * in.w;
    classes = pf_model_n_classes(c->model);
    if (n_x != want)
        return pf_fail(&c->error, POCKETFED_INVALID,
                       "the model takes %zu numbers, not %zu", want, n_x);
    if (*n_classes < classes)
        return pf_fail(&c->error, POCKETFED_LIMIT,
                       "the model has %zu classes; there is room for %zu",
                       classes, *n_classes);
    fegetenv(&app);
    fesetenv(FE_DFL_ENV);
    pf_infer_probabilities(c->infer, x, probabilities);
    fesetenv(&app);
    *n_classes = classes;
    return POCKETFED_OK;
}
