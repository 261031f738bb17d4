/* A spec that is accepted must come back from its canonical form as the same
 * model; a small one is initialised and run in all
 * precisions. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "train.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct pf_model *m, size_t inputs)
{
    size_t n = pf_model_n_params(m), classes = pf_model_n_classes(m);
    float *params = malloc(n * sizeof *params);
    float *x = calloc(inputs, sizeof *x);
    float *p = malloc(classes * sizeof *p);

    if (params && x && p) {
        pf_model_init(m, 1, params);
        for (int i = PF_F32; i <= PF_INT8; i++)
            if (pf_predict(m, params, (enum pf_precision)i, x, p, NULL) !=
                POCKETFED_OK)
                abort();
    }
    free(params);
    free(x);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_model *m = NULL, *again = NULL;
    uint8_t a[32], b[32];
    struct pf_shape in;
    size_t inputs;

    if (pf_model_create((const char *)data, size, &m, NULL) != POCKETFED_OK)
        return 0;
    if (pf_model_create(pf_model_spec(m), strlen(pf_model_spec(m)), &again,
                        NULL) != POCKETFED_OK ||
        strcmp(pf_model_spec(m), pf_model_spec(again)) != 0)
        abort();
    pf_model_layout_digest(m, a);
    pf_model_layout_digest(again, b);
    if (memcmp(a, b, sizeof a) != 0)
        abort();
    in = pf_model_input(m);
    inputs = (size_t)in.c * in.h * in.w;
    if (pf_model_n_params(m) < 20000 && inputs < 1024)
        run(m, inputs);
    pf_model_free(m);
    pf_model_free(again);
    return 0;
}
