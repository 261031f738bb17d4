/* train-local: the same training loop, without a server. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "crypto.h"
#include "bench.h"
#include "evaluate.h"
#include "file.h"
#include "kernels.h"
#include "pool.h"
#include "safetensors.h"
#include "text.h"
#include "training.h"
#include "wire.h"

struct run {
    struct cli *c;
    struct pf_idx train, test;
    struct pf_model *model;
    struct pf_trainer *trainer;
    struct pf_examples examples;
    struct pf_train_config config;
    const struct pf_kernels *kernels;
    struct pool *pool;
    float *params; /* in the order of files, of the last epoch */
    double accuracy;
    double seconds, epoch_seconds; /* training only, without evaluation */
    double cpu_seconds;            /* the same of all threads' processors */
    uint64_t samples, epoch_samples;
};

static enum pocketfed_status prepare(struct run *r, struct pf_error *err)
{
    uint64_t seed = (uint64_t)cli_int(r->c, "seed");
    const char *dir = cli_text(r->c, "data");
    enum pocketfed_status st;

    r->pool = pool_open((unsigned)cli_int(r->c, "threads"));
    if (!r->pool)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    st = pf_kernels_get(&r->kernels, err);
    if (!st)
        st = training_model(cli_text(r->c, "model"), &r->model, err);
    if (!st)
        st = pf_idx_load(dir, "train", &r->train, err);
    if (!st)
        st = pf_idx_load(dir, "t10k", &r->test, err);
    if (!st)
        st = idx_examples(r->model, &r->train, &r->examples, err);
    if (!st)
        st = pf_trainer_create(r->model, &r->config, &r->examples, seed,
                               pool_parallel(r->pool), &r->trainer, err);
    if (!st) {
        r->params = malloc(pf_model_n_params(r->model) * sizeof *r->params);
        if (!r->params)
            return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
        pf_model_init(r->model, seed, r->params);
        pf_trainer_set_params(r->trainer, r->params);
    }
    return st;
}

/* An epoch's worth of steps. AGAIN: more epochs to come. */
static enum pocketfed_status epoch(struct run *r, struct pf_error *err)
{
    const struct pf_train_position *at = pf_trainer_position(r->trainer);
    struct cli_progress progress = {r->c, 0, 0};
    enum pocketfed_status st = POCKETFED_AGAIN;
    uint64_t before = at->examples;
    uint32_t number = at->epoch;
    double began = bench_now(), cpu = bench_cpu();

    while (st == POCKETFED_AGAIN && at->epoch == number) {
        st = pf_trainer_step(r->trainer);
        cli_progress_draw(
            &progress, (double)(at->examples - before) / (double)r->examples.n,
            "epoch %u of %u, loss %.4f", number + 1, r->config.epochs,
            pf_trainer_loss(r->trainer));
        if (cli_interrupted) {
            cli_progress_clear(&progress);
            return pf_fail(err, POCKETFED_INTERRUPTED, "interrupted");
        }
    }
    r->epoch_seconds = bench_now() - began;
    r->epoch_samples = at->examples - before;
    r->seconds += r->epoch_seconds;
    r->cpu_seconds += bench_cpu() - cpu;
    r->samples += r->epoch_samples;
    cli_progress_clear(&progress);
    if (st != POCKETFED_OK && st != POCKETFED_AGAIN) {
        pf_fail(err, st, "epoch %u: %s", number + 1, pocketfed_status_text(st));
        if (st == POCKETFED_NON_FINITE)
            pf_hint(err, "a smaller --lr, or --clip 1, keeps it finite");
    }
    return st;
}

/* After epoch `number`: the line that says what it brought. */
static enum pocketfed_status measure(struct run *r, uint32_t number,
                                     struct pf_error *err)
{
    double loss = pf_trainer_loss(r->trainer);
    double rate = (double)r->epoch_samples / r->epoch_seconds;
    enum pocketfed_status st;
    struct pf_evaluation e;
    char bar[32];

    pf_trainer_get_params(r->trainer, r->params);
    st = evaluate(r->model, r->params, &r->test, PF_F32, pool_parallel(r->pool),
                  &e, err);
    if (st)
        return st;
    r->accuracy = e.n ? (double)e.correct / (double)e.n : 0;
    if (r->c->json) {
        cli_out("{\"type\":\"epoch\",\"epoch\":%u,\"train_loss\":%.6f,"
                "\"test_loss\":%.6f,\"test_accuracy\":%.6f,\"seconds\":%.3f,"
                "\"samples_per_s\":%.1f}\n",
                number, loss, e.loss, r->accuracy, r->seconds, rate);
        return POCKETFED_OK;
    }
    cli_bar((double)number / r->config.epochs, 10, bar, sizeof bar);
    cli_out("%s epoch %u of %u: train loss %.4f, test accuracy %.4f, %.1f s, "
            "%.0f samples/s\n",
            bar, number, r->config.epochs, loss, r->accuracy, r->seconds, rate);
    return POCKETFED_OK;
}

static void say(const struct run *r, const char *digest)
{
    double rate = (double)r->samples / r->seconds;
    const char *out = cli_text(r->c, "out");
    unsigned threads = pool_parallel(r->pool)->n;
    struct pf_buf line;

    if (!r->c->json) {
        cli_out("%.1f s of training, %.0f samples/s (%s kernels, %u thread%s), "
                "accuracy %.4f\nmodel %s%s%s\n",
                r->seconds, rate, r->kernels->name, threads,
                threads > 1 ? "s" : "", r->accuracy, digest,
                out ? "\nwritten to " : "", out ? out : "");
        return;
    }
    pf_buf_init(&line, 8192);
    pf_buf_addf(&line,
                "{\"type\":\"summary\",\"test_accuracy\":%.6f,"
                "\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"samples_per_s\":%.1f,"
                "\"model_digest\":\"%s\",\"kernels\":\"%s\",",
                r->accuracy, r->seconds, r->cpu_seconds, rate, digest,
                r->kernels->name);
    training_json(r->c, &r->config, &line);
    pf_buf_adds(&line, "}");
    cli_out_json(&line);
    pf_buf_free(&line);
}

static enum pocketfed_status finish(struct run *r, struct pf_error *err)
{
    const char *out = cli_text(r->c, "out");
    struct pf_model_meta meta;
    enum pocketfed_status st;
    struct pf_buf file;
    uint8_t digest[32];
    char hex[65];

    memset(&meta, 0, sizeof meta);
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    st = pf_safetensors_write(r->model, r->params, &meta, &file);
    if (st)
        pf_fail(err, st, "the model file does not fit in memory");
    else if (out)
        st = pf_file_replace(out, file.data, file.len, 0644, err);
    if (!st) {
        pf_sha256(file.data, file.len, digest);
        pf_hex(digest, 32, hex);
        say(r, hex);
    }
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
    code = training_config(c, (uint32_t)cli_int(c, "epochs"), &r.config);
    if (code)
        return code;
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
    pf_model_free(r.model);
    pf_idx_free(&r.train);
    pf_idx_free(&r.test);
    pool_close(r.pool);
    free(r.params);
    return code;
}

static const struct cli_option options[] = {
    TRAINING_MODEL,
    {"data", 'd', CLI_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder with the IDX files"},
    {"epochs", 'e', CLI_INT, "N", "1", 1, 1000, NULL,
     "passes over the examples"},
    TRAINING_ROWS,
    TRAINING_THREADS,
    TRAINING_SEED,
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
    "  pocketfed train-local --model lenet-coreml --optimizer adam --batch 128 "
    "\\\n      --schedule cosine --epochs 10 --data mnist --threads 2\n",
    options,
    train_local};
