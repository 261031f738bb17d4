#include "training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "rng.h"
#include "text.h"
#include "train.h"

enum { IMAGE = 28 * 28, CLASSES = 10, KEPT = 256 };

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "training: %s failed\n", what);
        exit(1);
    }
}

/* A class is a bright bar; most pixels are zero, as in MNIST. Made once, so
 * that a count of instructions is that of training. */
static enum pocketfed_status get(void *ctx, size_t i, pf_real *x,
                                 uint32_t *label)
{
    const pf_real *images = ctx;

    *label = (uint32_t)(i % CLASSES);
    memcpy(x, images + i % KEPT * IMAGE, IMAGE * sizeof *x);
    return POCKETFED_OK;
}

static pf_real *draw_images(void)
{
    pf_real *images = malloc(KEPT * IMAGE * sizeof *images);

    must(images != NULL, "memory");
    for (size_t i = 0; i < KEPT; i++) {
        struct pf_rng r = pf_rng_make(11, i, 0, PF_RNG_TEST);

        for (size_t j = 0; j < IMAGE; j++) {
            size_t row = j / 28, bright = row / 2 == 2 + i % CLASSES;
            pf_real v = pf_rng_float(&r, j);

            images[i * IMAGE + j] = bright ? v : v > 0.9f ? v - 0.9f : 0;
        }
    }
    return images;
}

double pf_training_run(const char *model, uint32_t batch, size_t steps,
                       char digest[65])
{
    const char *spec = pf_zoo_spec(model);
    struct pf_examples all = {draw_images(), batch * steps, get};
    struct pf_train_config c;
    struct pf_model *m;
    struct pf_trainer *t;
    struct pf_error err = {0};
    enum pocketfed_status s;
    pf_real *params;
    size_t bytes;
    uint8_t sum[PF_DIGEST_LEN];
    double loss;

    must(spec != NULL, model);
    pf_train_config_default(&c);
    c.batch = batch;
    if (strcmp(model, "lenet-coreml") == 0) {
        c.optimizer = PF_ADAM;
        c.lr = 1e-3;
    }
    must(pf_model_create(spec, strlen(spec), &m, &err) == POCKETFED_OK,
         err.text);
    must(pf_trainer_create(m, &c, &all, 5, NULL, &t, &err) == POCKETFED_OK,
         err.text);
    bytes = pf_model_n_params(m) * sizeof *params;
    params = malloc(bytes);
    must(params != NULL, "memory");
    pf_model_init(m, 3, params);
    pf_trainer_set_params(t, params);
    while ((s = pf_trainer_step(t)) == POCKETFED_AGAIN)
        ;
    must(s == POCKETFED_OK, "a step");
    pf_trainer_get_params(t, params);
    pf_sha256(params, bytes, sum);
    pf_hex(sum, sizeof sum, digest);
    loss = pf_trainer_loss(t);
    pf_trainer_free(t);
    pf_model_free(m);
    free(params);
    free(all.ctx);
    return loss;
}
