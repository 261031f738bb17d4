/* Any bytes as a model file: refused with a sentence, or a model whose own
 * file reads back as the same parameters. Also as parameters of a known
 * model, as a file from elsewhere is read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct pf_model *m, const float *params,
                        const struct pf_model_meta *meta)
{
    struct pf_buf b;
    struct pf_model *m2 = NULL;
    struct pf_model_meta meta2;
    float *params2 = NULL;

    pf_buf_init(&b, (size_t)1 << 30);
    if (pf_safetensors_write(m, params, meta, &b) != POCKETFED_OK ||
        pf_safetensors_read(b.data, b.len, &m2, &params2, &meta2, NULL) !=
            POCKETFED_OK)
        abort();
    if (memcmp(params, params2, pf_model_n_params(m) * sizeof *params) != 0 ||
        strcmp(meta->task, meta2.task) != 0 || meta->round != meta2.round ||
        strcmp(pf_model_spec(m), pf_model_spec(m2)) != 0)
        abort();
    pf_buf_free(&b);
    pf_model_free(m2);
    free(params2);
}

static void check_known(const uint8_t *data, size_t size)
{
    static const char spec[] =
        "{\"version\":1,\"input\":[1,2,2],\"loss\":\"softmax_cross_entropy\","
        "\"layers\":[{\"name\":\"flatten\",\"type\":\"flatten\"},"
        "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]}";
    struct pf_model *m = NULL;
    float params[15];

    if (pf_model_create(spec, sizeof spec - 1, &m, NULL) != POCKETFED_OK ||
        pf_model_n_params(m) != 15)
        abort();
    (void)pf_safetensors_params(data, size, m, params, NULL);
    pf_model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_model *m = NULL;
    struct pf_model_meta meta;
    struct pf_error err = {0};
    float *params = NULL;

    if (pf_safetensors_read(data, size, &m, &params, &meta, &err) ==
        POCKETFED_OK)
        check_again(m, params, &meta);
    else if (err.text[0] == '\0' || m || params)
        abort();
    pf_model_free(m);
    free(params);
    check_known(data, size);
    return 0;
}
