/* bench infer: how long a network takes to say what it sees. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_steps.h"
#include "drawn.h"
#include "evaluate.h"
#include "file.h"
#include "json.h"
#include "pool.h"
#include "safetensors.h"
#include "training.h"
#include "wire.h"

#define MAX_RUNS (1u << 18)
#define N_DRAWN  6000
#define N_TEST   1000

struct bench {
    struct cli *c;
    const struct pf_kernels *k;
    struct pf_model *model;
    float *params;
    struct pf_idx train, test;
    struct pf_examples examples; /* of the test set */
    struct pool *pool;
    struct pf_infer *infer;
    size_t batch;
    double *run; /* seconds of each */
    struct bench_spread rate, peak;
    double median, p99; /* seconds of a run */
    double accuracy;
    struct bench_steps steps;
    uint64_t grown;
    size_t weights; /* bytes of parameters, as they are kept */
};

static int is_trained_file(const char *name)
{
    size_t n = strlen(name);

    return n > 12 && !strcmp(name + n - 12, ".safetensors");
}

/* A pass over the examples: zeros are then where they are in a network that
 * has learnt. */
static enum pocketfed_status train(struct bench *b, struct pf_error *err)
{
    uint64_t seed = (uint64_t)cli_int(b->c, "seed");
    struct pf_train_config config;
    struct pf_trainer *t = NULL;
    struct pf_examples all;
    enum pocketfed_status st;

    b->params = malloc(pf_model_n_params(b->model) * sizeof *b->params);
    if (!b->params)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    pf_model_init(b->model, seed, b->params);
    pf_train_config_default(&config);
    config.optimizer = PF_ADAM;
    config.lr = 0.001;
    st = idx_examples(b->model, &b->train, &all, err);
    if (!st)
        st = pf_trainer_create(b->model, &config, &all, seed,
                               pool_parallel(b->pool), &t, err);
    if (st)
        return st;
    pf_trainer_set_params(t, b->params);
    do
        st = cli_interrupted ? POCKETFED_INTERRUPTED : pf_trainer_step(t);
    while (st == POCKETFED_AGAIN);
    if (st)
        pf_fail(err, st, "the training before failed: %s",
                pocketfed_status_text(st));
    else
        pf_trainer_get_params(t, b->params);
    pf_trainer_free(t);
    return st;
}

static enum pocketfed_status read_file(struct bench *b, const char *path,
                                       struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf file;

    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    st = pf_file_read(path, &file, err);
    if (!st)
        st = pf_safetensors_read(file.data, file.len, &b->model, &b->params,
                                 NULL, err);
    pf_buf_free(&file);
    return st;
}

static enum pocketfed_status load(struct bench *b, struct pf_error *err)
{
    const char *model = cli_text(b->c, "model");
    const char *dir = cli_text(b->c, "data");
    int trained = is_trained_file(model);
    enum pocketfed_status st;

    b->pool = pool_open((unsigned)cli_int(b->c, "threads"));
    b->run = malloc(MAX_RUNS * sizeof *b->run);
    if (!b->pool || !b->run)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    st = pf_kernels_get(&b->k, err);
    if (!st)
        st = trained ? read_file(b, model, err)
                     : training_model(model, &b->model, err);
    if (!st)
        st = dir ? pf_idx_load(dir, "t10k", &b->test, err)
                 : drawn_images(N_DRAWN, N_TEST, &b->test, err);
    if (!st)
        st = idx_examples(b->model, &b->test, &b->examples, err);
    if (st || trained)
        return st;
    st = dir ? pf_idx_load(dir, "train", &b->train, err)
             : drawn_images(0, N_DRAWN, &b->train, err);
    return st ? st : train(b, err);
}

/* The next batch of the test set, over and over. */
static void put_in(struct bench *b, size_t *at)
{
    uint32_t label;

    for (size_t i = 0; i < b->batch; i++) {
        b->examples.get(b->examples.ctx, *at, pf_infer_input(b->infer, i),
                        &label);
        *at = (*at + 1) % b->examples.n;
    }
}

static double share(const double *sorted, size_t n, double part)
{
    return sorted[(size_t)(part * (double)(n - 1))];
}

/* Only the runs are timed, not the bytes that become floats. */
static enum pocketfed_status time_runs(struct bench *b, struct pf_error *err)
{
    double seconds = cli_real(b->c, "seconds"), began, until;
    double peak[64], rate[64], busy = 0;
    size_t n = 0, at = 0, chunks = 0, first = 0;

    for (until = bench_now() + seconds / 10; bench_now() < until;) {
        put_in(b, &at);
        pf_infer_run(b->infer, b->batch);
    }
    until = bench_now() + seconds;
    while (n < MAX_RUNS && (bench_now() < until || n == 0)) {
        if (cli_interrupted)
            return pf_fail(err, POCKETFED_INTERRUPTED, "interrupted");
        put_in(b, &at);
        began = bench_now();
        pf_infer_run(b->infer, b->batch);
        b->run[n] = bench_now() - began;
        busy += b->run[n++];
        if (chunks < 64 && busy > seconds / 128) {
            rate[chunks] = (double)((n - first) * b->batch) / busy;
            peak[chunks++] = bench_peak(b->k);
            first = n;
            busy = 0;
        }
    }
    if (chunks == 0) {
        rate[0] = (double)(n * b->batch) / busy;
        peak[chunks++] = bench_peak(b->k);
    }
    b->rate = bench_spread(rate, chunks);
    b->peak = bench_spread(peak, chunks);
    b->median = bench_spread(b->run, n).median;
    b->p99 = share(b->run, n, 0.99);
    return POCKETFED_OK;
}

/* The same runs with a clock on each step. */
static void take_apart(struct bench *b)
{
    struct pf_exec *e = pf_infer_exec(b->infer);
    double until = bench_now() + cli_real(b->c, "seconds") / 10;
    uint64_t n = 0;
    size_t at = 0;

    bench_steps_begin(&b->steps, e);
    e->clock =
        pool_parallel(b->pool)->n > 1 ? bench_clock_wall : bench_clock_cpu;
    do {
        put_in(b, &at);
        pf_infer_run(b->infer, b->batch);
        if (n / b->batch % 8 == 0)
            bench_steps_look(&b->steps, e, b->batch);
        n += b->batch;
    } while (bench_now() < until);
    e->clock = NULL;
    bench_steps_end(&b->steps, e, n);
}

static enum pocketfed_status measure(struct bench *b, struct pf_error *err)
{
    uint64_t before;
    enum pocketfed_status st;
    struct pf_evaluation e;

    bench_forget_peak();
    before = bench_resident();
    st = pf_infer_open(b->model, b->params, (size_t)cli_int(b->c, "batch"),
                       precision_of(cli_text(b->c, "precision")),
                       pool_parallel(b->pool), &b->infer, err);
    if (st)
        return st;
    b->batch = pf_infer_batch(b->infer);
    b->weights = pf_infer_measure(b->model, b->batch,
                                  precision_of(cli_text(b->c, "precision")),
                                  pool_parallel(b->pool))
                     .weights;
    st = time_runs(b, err);
    if (st)
        return st;
    b->grown = bench_resident_peak();
    b->grown = before && b->grown > before ? b->grown - before : 0;
    take_apart(b);
    st = pf_infer_evaluate(b->infer, &b->examples, 0, b->examples.n, &e, err);
    if (!st)
        b->accuracy = (double)e.correct / (double)e.n;
    return st;
}

static double gflops(const struct bench *b, int executed)
{
    double macs = 0;

    for (size_t i = 0; i < b->steps.n; i++)
        macs += executed ? b->steps.step[i].executed : b->steps.step[i].dense;
    return 2e-9 * macs * b->rate.median;
}

static void say_json(const struct bench *b)
{
    struct pf_buf o;

    pf_buf_init(&o, 1u << 20);
    pf_buf_adds(&o, "{\"type\":\"summary\",\"model\":");
    pf_json_string(&o, cli_text(b->c, "model"));
    pf_buf_addf(&o,
                ",\"batch\":%zu,\"precision\":\"%s\",\"threads\":%u,"
                "\"kernels\":\"%s\",\"data\":",
                b->batch, cli_text(b->c, "precision"),
                pool_parallel(b->pool)->n, b->k->name);
    pf_json_string(&o,
                   cli_text(b->c, "data") ? cli_text(b->c, "data") : "drawn");
    pf_buf_adds(&o, ",");
    bench_spread_json(&o, "samples_per_s", &b->rate);
    pf_buf_addf(&o, ",\"latency_median_us\":%.3f,\"latency_p99_us\":%.3f,",
                b->median * 1e6, b->p99 * 1e6);
    bench_spread_json(&o, "peak_gflops", &b->peak);
    pf_buf_addf(&o,
                ",\"dense_gflops\":%.3f,\"executed_gflops\":%.3f,"
                "\"memory_bytes\":%llu,\"weight_bytes\":%zu,"
                "\"test_accuracy\":%.6f,",
                gflops(b, 0), gflops(b, 1), (unsigned long long)b->grown,
                b->weights, b->accuracy);
    bench_steps_json(&b->steps, &o);
    pf_buf_adds(&o, "}");
    cli_out_json(&o);
    pf_buf_free(&o);
}

static void say_text(const struct bench *b)
{
    int int8 = precision_of(cli_text(b->c, "precision")) == PF_INT8;
    char bytes[24];

    cli_out("%s, batch %zu, %s, %u thread%s, %s kernels\n\n",
            cli_text(b->c, "model"), b->batch, cli_text(b->c, "precision"),
            pool_parallel(b->pool)->n, pool_parallel(b->pool)->n > 1 ? "s" : "",
            b->k->name);
    cli_out("latency      %.1f us (99%% within %.1f)\n", b->median * 1e6,
            b->p99 * 1e6);
    cli_out("samples/s    %.0f (%.0f to %.0f)\n", b->rate.median, b->rate.min,
            b->rate.max);
    cli_out("arithmetic   %.1f %s executed, %.1f as if nothing were skipped; "
            "the peak of a thread is %.1f%s\n",
            gflops(b, 1), int8 ? "GOP/s" : "GFLOP/s", gflops(b, 0),
            b->peak.median, int8 ? " in floats" : "");
    cli_out("memory       %s", b->grown ? cli_bytes(b->grown, bytes) : "-");
    cli_out("; parameters %s\n", cli_bytes(b->weights, bytes));
    cli_out("accuracy     %.4f of %s images\n", b->accuracy,
            cli_text(b->c, "data") ? "test" : "drawn");
    bench_steps_print(&b->steps, -1);
}

static int bench_infer(struct cli *c)
{
    struct bench b = {.c = c};
    struct pf_error err = {0};
    enum pocketfed_status st;
    int code = CLI_OK;

    cli_catch_interrupts();
    st = load(&b, &err);
    if (!st)
        st = measure(&b, &err);
    if (st)
        code = cli_fail(c, &err, "nothing was timed");
    else if (c->json)
        say_json(&b);
    else
        say_text(&b);
    pf_infer_close(b.infer);
    pool_close(b.pool);
    pf_model_free(b.model);
    pf_idx_free(&b.train);
    pf_idx_free(&b.test);
    free(b.params);
    free(b.run);
    return code;
}

static const struct cli_option options[] = {
    {"model", 'm', CLI_MODEL, "NAME", "lenet5", 0, 0, NULL,
     "which network, or a model file (*.safetensors)"},
    {"data", 'd', CLI_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder with IDX files (default: drawn images)"},
    {"batch", 'b', CLI_INT, "N", "1", 1, 4096, NULL, "examples in a run"},
    {"precision", 'p', CLI_TEXT, "NAME", "f32", 0, 0, precision_names,
     "numbers of its weights"},
    {"threads", 't', CLI_INT, "N", "1", 1, 64, NULL, "threads of a run"},
    {"seconds", 0, CLI_REAL, "S", "2", 0.01, 3600, NULL, "how long"},
    TRAINING_SEED,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_bench_infer;
const struct cli_command cmd_bench_infer = {
    "bench infer",
    "Timings",
    "",
    0,
    0,
    "time a network that is used, not trained",
    "  pocketfed bench infer --model lenet-coreml --batch 1\n"
    "  pocketfed bench infer --model m.safetensors --data mnist --batch 128\n",
    options,
    bench_infer};
