/* train-local: the same training loop, without a server. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "crypto.h"
#include "device_clock.h"
#include "evaluate.h"
#include "file.h"
#include "kernels.h"
#include "safetensors.h"
#include "text.h"
#include "wire.h"

struct run {
    struct cli *c;
    struct pf_idx train, test;
    struct pf_model *model;
    struct pf_trainer *trainer;
    float *params; /* as files have them */
    struct pf_examples examples;
    struct pf_train_config config;
    unsigned threads;
    double accuracy, seconds; /* training only, without evaluation */
    uint64_t samples;
};

static enum pocketfed_status prepare(struct run *r, struct pf_error *err)
{
    const char *spec = pf_zoo_spec(cli_text(r->c, "model"));
    uint64_t seed = (uint64_t)cli_int(r->c, "seed");
    enum pocketfed_status st;

    if (!spec)
        return pf_fail(err, POCKETFED_NOT_FOUND, "there is no model \"%s\"",
                       cli_text(r->c, "model"));
    pf_train_config_default(&r->config);
    r->config.optimizer =
        !strcmp(cli_text(r->c, "optimizer"), "adam") ? PF_ADAM : PF_SGD;
    r->config.lr = cli_real(r->c, "lr");
    r->config.momentum = cli_real(r->c, "momentum");
    r->config.epochs = (uint32_t)cli_int(r->c, "epochs");
    r->config.batch = (uint32_t)cli_int(r->c, "batch");
    r->threads = (unsigned)cli_int(r->c, "threads");
    st = pf_train_config_check(&r->config, err);
    if (!st)
        st = pf_model_create(spec, strlen(spec), &r->model, err);
    if (!st)
        st = pf_idx_load(cli_text(r->c, "data"), "train", &r->train, err);
    if (!st)
        st = pf_idx_load(cli_text(r->c, "data"), "t10k", &r->test, err);
    if (!st)
        st = idx_examples(r->model, &r->train, &r->examples, err);
    if (!st)
        st = pf_trainer_create(r->model, &r->config, &r->examples, seed, NULL,
                               &r->trainer, err);
    if (st)
        return st;
    r->params = malloc(pf_model_n_params(r->model) * sizeof *r->params);
    if (!r->params)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    pf_model_init(r->model, seed, r->params);
    pf_trainer_set_params(r->trainer, r->params);
    return POCKETFED_OK;
}

/* An epoch's worth of steps. AGAIN: more epochs to come. */
static enum pocketfed_status epoch(struct run *r, struct pf_error *err)
{
    const struct pf_train_position *at = pf_trainer_position(r->trainer);
    struct cli_progress progress = {r->c, 0, 0};
    uint32_t number = at->epoch;
    uint64_t before = at->examples;
    int64_t began = pf_device_monotonic_ms();
    enum pocketfed_status st = POCKETFED_AGAIN;

    while (st == POCKETFED_AGAIN && at->epoch == number) {
        st = pf_trainer_step(r->trainer);
        cli_progress_draw(
            &progress, (double)(at->examples - before) / (double)r->examples.n,
            "epoch %u, loss %.4f", number + 1, pf_trainer_loss(r->trainer));
        if (cli_interrupted) {
            cli_progress_clear(&progress);
            return pf_fail(err, POCKETFED_INTERRUPTED, "interrupted");
        }
    }
    cli_progress_clear(&progress);
    r->seconds += (double)(pf_device_monotonic_ms() - began) / 1000;
    r->samples += at->examples - before;
    if (st != POCKETFED_OK && st != POCKETFED_AGAIN)
        pf_fail(err, st, "epoch %u: %s", number + 1, pocketfed_status_text(st));
    return st;
}

/* 0 when it was over before the clock ticked. */
static double per_second(const struct run *r)
{
    return r->seconds > 0 ? (double)r->samples / r->seconds : 0;
}

static enum pocketfed_status measure(struct run *r, uint32_t number,
                                     struct pf_error *err)
{
    struct pf_evaluation e;
    enum pocketfed_status st;

    pf_trainer_get_params(r->trainer, r->params);
    st = evaluate(r->model, r->params, &r->test, r->threads, &e, err);
    if (st)
        return st;
    r->accuracy = e.n ? (double)e.correct / (double)e.n : 0;
    if (r->c->json)
        cli_out("{\"type\":\"epoch\",\"epoch\":%u,\"train_loss\":%.6f,"
                "\"test_loss\":%.6f,\"test_accuracy\":%.6f,\"seconds\":%.3f}\n",
                number, pf_trainer_loss(r->trainer), e.loss, r->accuracy,
                r->seconds);
    else
        cli_out("epoch %u of %u: train loss %.4f, test accuracy %.4f, "
                "%.1f s\n",
                number, r->config.epochs, pf_trainer_loss(r->trainer),
                r->accuracy, r->seconds);
    return POCKETFED_OK;
}

static enum pocketfed_status finish(struct run *r, struct pf_error *err)
{
    const struct pf_kernels *k = NULL;
    struct pf_model_meta meta;
    enum pocketfed_status st;
    struct pf_buf file;
    uint8_t digest[32];
    char hex[65];

    memset(&meta, 0, sizeof meta);
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    st = pf_safetensors_write(r->model, r->params, &meta, &file);
    if (st) {
        pf_fail(err, st, "the model file does not fit in memory");
        goto out;
    }
    pf_sha256(file.data, file.len, digest);
    pf_hex(digest, 32, hex);
    if (cli_text(r->c, "out"))
        st = pf_file_replace(cli_text(r->c, "out"), file.data, file.len, 0644,
                             err);
    if (!st)
        st = pf_kernels_get(&k, err);
    if (st)
        goto out;
    if (r->c->json)
        cli_out("{\"type\":\"summary\",\"test_accuracy\":%.6f,"
                "\"seconds\":%.3f,\"samples_per_s\":%.1f,"
                "\"model_digest\":\"%s\",\"kernels\":\"%s\"}\n",
                r->accuracy, r->seconds, per_second(r), hex, k->name);
    else
        cli_out("%.1f s of training, %.0f samples/s (%s kernels), accuracy "
                "%.4f\nmodel %s%s%s\n",
                r->seconds, per_second(r), k->name, r->accuracy, hex,
                cli_text(r->c, "out") ? "\nwritten to " : "",
                cli_text(r->c, "out") ? cli_text(r->c, "out") : "");
out:
    pf_buf_free(&file);
    return st;
}

static int train_local(struct cli *c)
{
    struct pf_error err = {0};
    enum pocketfed_status st;
    struct run r;
    int code = CLI_OK;

    if (!cli_text(c, "data"))
        return cli_usage(c, "train-local needs --data DIR");
    memset(&r, 0, sizeof r);
    r.c = c;
    cli_catch_interrupts();
    st = prepare(&r, &err);
    for (uint32_t i = 1; !st; i++) {
        enum pocketfed_status more = epoch(&r, &err);

        st = more == POCKETFED_AGAIN ? POCKETFED_OK : more;
        if (!st)
            st = measure(&r, i, &err);
        if (more != POCKETFED_AGAIN)
            break;
    }
    if (!st)
        st = finish(&r, &err);
    if (st)
        code = cli_fail(c, &err, "the training did not end");
    pf_trainer_free(r.trainer);
    free(r.params);
    pf_model_free(r.model);
    pf_idx_free(&r.train);
    pf_idx_free(&r.test);
    return code;
}

static const char *const zoo[] = {"lenet5",      "lenet-caffe", "lenet-coreml",
                                  "cnn-mcmahan", "mlp",         "logreg",
                                  NULL};

static const struct cli_option options[] = {
    {"model", 'm', CLI_TEXT, "NAME", "lenet5", 0, 0, zoo, "which network"},
    {"data", 'd', CLI_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder with the IDX files"},
    {"epochs", 'e', CLI_INT, "N", "1", 1, 1000, NULL,
     "passes over the examples"},
    {"optimizer", 'o', CLI_TEXT, "NAME", "sgd", 0, 0,
     (const char *const[]){"sgd", "adam", NULL}, "sgd or adam"},
    {"lr", 0, CLI_REAL, "X", "0.05", 1e-8, 10, NULL, "learning rate"},
    {"momentum", 0, CLI_REAL, "X", "0", 0, 0.9999, NULL, "of sgd"},
    {"batch", 'b', CLI_INT, "N", "10", 1, 4096, NULL, "examples in a step"},
    {"threads", 't', CLI_INT, "N", "1", 1, 64, NULL,
     "threads that measure accuracy; the training itself is one thread"},
    {"seed", 's', CLI_INT, "S", "1", 0, 9007199254740992.0, NULL,
     "same seed, same model"},
    {"out", 0, CLI_TEXT, "FILE", NULL, 0, 0, NULL,
     "write the model as .safetensors"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_train_local;
const struct cli_command cmd_train_local = {
    "train-local",
    "Models and data",
    "",
    0,
    0,
    "train without a server",
    "  pocketfed train-local --model lenet5 --data mnist --epochs 3\n"
    "  pocketfed train-local --model lenet-coreml --optimizer adam --lr 0.001 "
    "--batch 128 --data mnist --json\n",
    options,
    train_local};
