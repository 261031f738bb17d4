/* bench train: how fast this machine trains, and what of its limit that is. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_steps.h"
#include "drawn.h"
#include "evaluate.h"
#include "json.h"
#include "pool.h"
#include "training.h"

#define MAX_CLIENTS 64
#define MAX_CHUNKS  4096
#define N_DRAWN     6000
#define N_TEST      1000
#define WARM_UP_S   0.1
#define LOOK_EVERY  8 /* steps, while times are taken apart */

struct bench;

/* One client: a trainer of its own, on a thread of its own. */
struct client {
    struct bench *b;
    pthread_t thread;
    struct pool *pool;
    struct pf_trainer *trainer;
    /* Of each chunk: examples per second on the wall and of this thread's
     * processor time, GFLOP/s. */
    double *rate, *cpu_rate, *peak;
    size_t n_chunks;
    uint64_t first, last; /* examples seen when the timing began, ended */
    enum pocketfed_status status;
    struct pf_error err;
};

struct bench {
    struct cli *c;
    const struct pf_kernels *k;
    struct pf_model *model;
    struct pf_idx train, test;
    struct pf_examples examples;
    struct pf_train_config config;
    float *params; /* room for one client's, in the order of files */
    unsigned n_clients, threads;
    double seconds;
    pthread_mutex_t gate; /* held until every client has its thread */
    int given_up;
    struct client client[MAX_CLIENTS];
    /* what came of it */
    uint64_t grown; /* bytes, 0: not known */
    struct bench_spread rate, cpu_rate, peak;
    struct bench_steps steps;
    double step_us; /* of one example, while steps were told apart */
    double loss, accuracy;
};

static enum pocketfed_status load(struct bench *b, struct pf_error *err)
{
    const char *dir = cli_text(b->c, "data");
    enum pocketfed_status st;

    st = pf_kernels_get(&b->k, err);
    if (!st)
        st = training_model(cli_text(b->c, "model"), &b->model, err);
    if (!st)
        st = dir ? pf_idx_load(dir, "train", &b->train, err)
                 : drawn_images(0, N_DRAWN, &b->train, err);
    if (!st)
        st = dir ? pf_idx_load(dir, "t10k", &b->test, err)
                 : drawn_images(N_DRAWN, N_TEST, &b->test, err);
    if (!st)
        st = idx_examples(b->model, &b->train, &b->examples, err);
    if (st)
        return st;
    b->params = malloc(pf_model_n_params(b->model) * sizeof *b->params);
    if (!b->params)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    pf_model_init(b->model, 0, b->params); /* so that its pages are there */
    return POCKETFED_OK;
}

/* Steps for at least `seconds`. */
static enum pocketfed_status chunk(struct client *k, double seconds,
                                   double *rate, double *cpu_rate)
{
    const struct pf_train_position *at = pf_trainer_position(k->trainer);
    enum pocketfed_status st = POCKETFED_AGAIN;
    uint64_t before = at->examples;
    double began = bench_now(), cpu = bench_thread_cpu(), took = 0;

    while (st == POCKETFED_AGAIN && took < seconds && !cli_interrupted) {
        st = pf_trainer_step(k->trainer);
        took = bench_now() - began;
    }
    *rate = (double)(at->examples - before) / took;
    *cpu_rate = (double)(at->examples - before) / (bench_thread_cpu() - cpu);
    if (cli_interrupted)
        return pf_fail(&k->err, POCKETFED_INTERRUPTED, "interrupted");
    if (st != POCKETFED_OK && st != POCKETFED_AGAIN)
        pf_fail(&k->err, st, "a step failed: %s", pocketfed_status_text(st));
    return st;
}

static void *client_main(void *arg)
{
    struct client *k = arg;
    struct bench *b = k->b;
    double length = b->seconds / 20 < 0.1 ? b->seconds / 20 : 0.1;
    double until;

    if (length < b->seconds / MAX_CHUNKS)
        length = b->seconds / MAX_CHUNKS;

    pthread_mutex_lock(&b->gate);
    pthread_mutex_unlock(&b->gate);
    if (b->given_up)
        return NULL;
    k->status = chunk(k, WARM_UP_S, &k->rate[0], &k->cpu_rate[0]);
    if (k->status == POCKETFED_OK) /* over already: that was all there is */
        k->peak[k->n_chunks++] = bench_peak(b->k);
    else
        k->first = pf_trainer_position(k->trainer)->examples;
    until = bench_now() + b->seconds;
    while (k->status == POCKETFED_AGAIN && k->n_chunks < MAX_CHUNKS &&
           bench_now() < until) {
        k->status =
            chunk(k, length, &k->rate[k->n_chunks], &k->cpu_rate[k->n_chunks]);
        k->peak[k->n_chunks++] = bench_peak(b->k);
    }
    k->last = pf_trainer_position(k->trainer)->examples;
    if (k->status == POCKETFED_AGAIN)
        k->status = POCKETFED_OK;
    return NULL;
}

static enum pocketfed_status open_client(struct bench *b, unsigned i,
                                         struct pf_error *err)
{
    uint64_t seed = (uint64_t)cli_int(b->c, "seed") + i;
    struct client *k = &b->client[i];
    enum pocketfed_status st;

    k->b = b;
    k->rate = malloc(MAX_CHUNKS * sizeof *k->rate);
    k->cpu_rate = malloc(MAX_CHUNKS * sizeof *k->cpu_rate);
    k->peak = malloc(MAX_CHUNKS * sizeof *k->peak);
    k->pool = pool_open(b->threads);
    if (!k->rate || !k->cpu_rate || !k->peak || !k->pool)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for client %u", i);
    st = pf_trainer_create(b->model, &b->config, &b->examples, seed,
                           pool_parallel(k->pool), &k->trainer, err);
    if (!st) {
        pf_model_init(b->model, seed, b->params);
        pf_trainer_set_params(k->trainer, b->params);
    }
    return st;
}

static void close_client(struct client *k)
{
    pf_trainer_free(k->trainer);
    pool_close(k->pool);
    free(k->rate);
    free(k->cpu_rate);
    free(k->peak);
}

/* All clients at once, the first on this thread. */
static enum pocketfed_status run_clients(struct bench *b, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    unsigned n = 1;

    pthread_mutex_lock(&b->gate);
    for (; n < b->n_clients; n++)
        if (pthread_create(&b->client[n].thread, NULL, client_main,
                           &b->client[n])) {
            st = pf_fail(err, POCKETFED_LIMIT, "no thread for client %u", n);
            b->given_up = 1;
            break;
        }
    pthread_mutex_unlock(&b->gate);
    client_main(&b->client[0]);
    while (n > 1)
        pthread_join(b->client[--n].thread, NULL);
    for (n = 0; !st && n < b->n_clients; n++)
        if (b->client[n].status) {
            st = b->client[n].status;
            *err = b->client[n].err;
        }
    return st;
}

/* The clients' rates together, chunk by chunk: they are about as long. */
static void add_up(struct bench *b)
{
    struct client *first = &b->client[0];
    size_t n = first->n_chunks;

    for (unsigned i = 1; i < b->n_clients; i++)
        n = b->client[i].n_chunks < n ? b->client[i].n_chunks : n;
    b->peak = bench_spread(first->peak, n);
    for (unsigned i = 1; i < b->n_clients; i++)
        for (size_t c = 0; c < n; c++) {
            first->rate[c] += b->client[i].rate[c];
            first->cpu_rate[c] += b->client[i].cpu_rate[c];
        }
    b->rate = bench_spread(first->rate, n);
    b->cpu_rate = bench_spread(first->cpu_rate, n);
}

/* The first client goes on for a while with a clock on each step. */
static enum pocketfed_status take_apart(struct bench *b, struct pf_error *err)
{
    struct client *k = &b->client[0];
    struct pf_exec *e = pf_trainer_exec(k->trainer);
    const struct pf_train_position *at = pf_trainer_position(k->trainer);
    enum pocketfed_status st = POCKETFED_AGAIN;
    double began, took = 0, most = b->seconds / 10;
    int alone = b->threads == 1;
    uint64_t before = at->examples, seen;

    bench_steps_begin(&b->steps, e);
    e->clock = alone ? bench_clock_cpu : bench_clock_wall;
    for (unsigned i = 0; st == POCKETFED_AGAIN && took < most; i++) {
        seen = at->examples;
        began = alone ? bench_thread_cpu() : bench_now();
        st = pf_trainer_step(k->trainer);
        took += (alone ? bench_thread_cpu() : bench_now()) - began;
        seen = at->examples - seen;
        if (i % LOOK_EVERY == 0 && seen == b->config.batch)
            bench_steps_look(&b->steps, e,
                             seen % e->chunk ? seen % e->chunk : e->chunk);
    }
    e->clock = NULL;
    seen = at->examples - before;
    bench_steps_end(&b->steps, e, seen);
    b->step_us = seen ? took * 1e6 / (double)seen : 0;
    if (st != POCKETFED_OK && st != POCKETFED_AGAIN)
        return pf_fail(err, st, "a step failed: %s", pocketfed_status_text(st));
    return POCKETFED_OK;
}

/* Of the worst client: a network whose units died is fast, and no success. */
static enum pocketfed_status test(struct bench *b, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_evaluation e;
    double loss, accuracy;

    for (unsigned i = 0; !st && i < b->n_clients; i++) {
        struct client *k = &b->client[i];

        pf_trainer_get_params(k->trainer, b->params);
        st = evaluate(b->model, b->params, &b->test, PF_F32,
                      pool_parallel(k->pool), &e, err);
        if (st)
            break;
        accuracy = (double)e.correct / (double)e.n;
        loss = pf_trainer_loss(k->trainer);
        b->accuracy = i && b->accuracy < accuracy ? b->accuracy : accuracy;
        b->loss = i && b->loss > loss ? b->loss : loss;
    }
    return st;
}

static enum pocketfed_status measure(struct bench *b, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    uint64_t before;

    bench_forget_peak();
    before = bench_resident();
    for (unsigned i = 0; !st && i < b->n_clients; i++)
        st = open_client(b, i, err);
    if (!st)
        st = run_clients(b, err);
    if (st)
        return st;
    b->grown = bench_resident_peak();
    b->grown = before && b->grown > before ? b->grown - before : 0;
    add_up(b);
    st = test(b, err);
    return st ? st : take_apart(b, err);
}

/* ---- what is said ---- */

static size_t predicted(const struct bench *b)
{
    return b->n_clients *
           pf_trainer_bytes(b->model, &b->config, b->examples.n, b->threads);
}

/* GFLOP/s at the median rate: of processor time where one thread does all of a
 * client's work, so that what else the machine does is left out. */
static double gflops(const struct bench *b, int executed)
{
    double macs = 0;

    for (size_t i = 0; i < b->steps.n; i++)
        macs += executed ? b->steps.step[i].executed : b->steps.step[i].dense;
    return 2e-9 * macs * (b->threads > 1 ? b->rate.median : b->cpu_rate.median);
}

/* Of all cores that the clients' threads may use. */
static double peak_of_all(const struct bench *b)
{
    return b->peak.median * b->n_clients * b->threads;
}

static double rest_us(const struct bench *b)
{
    double rest = b->step_us;

    for (size_t i = 0; i < b->steps.n; i++)
        rest -= b->steps.step[i].forward_us + b->steps.step[i].backward_us;
    return rest;
}

static double epochs(const struct bench *b, uint64_t examples)
{
    return (double)examples / (double)b->examples.n;
}

static void say_json(const struct bench *b)
{
    const struct client *k = &b->client[0];
    struct pf_buf o;

    pf_buf_init(&o, 1u << 20);
    pf_buf_adds(&o, "{\"type\":\"summary\",");
    training_json(b->c, &b->config, &o);
    pf_buf_addf(&o,
                ",\"clients\":%u,\"kernels\":\"%s\",\"data\":", b->n_clients,
                b->k->name);
    pf_json_string(&o,
                   cli_text(b->c, "data") ? cli_text(b->c, "data") : "drawn");
    pf_buf_adds(&o, ",");
    bench_spread_json(&o, "samples_per_s", &b->rate);
    if (b->threads == 1) {
        pf_buf_adds(&o, ",");
        bench_spread_json(&o, "samples_per_cpu_s", &b->cpu_rate);
    }
    pf_buf_addf(&o, ",\"chunks\":%zu,", b->rate.n);
    bench_spread_json(&o, "peak_gflops", &b->peak);
    pf_buf_addf(&o,
                ",\"dense_gflops\":%.3f,\"executed_gflops\":%.3f,"
                "\"share_of_peak\":%.4f,\"dense_share_of_peak\":%.4f,",
                gflops(b, 0), gflops(b, 1), gflops(b, 1) / peak_of_all(b),
                gflops(b, 0) / peak_of_all(b));
    bench_steps_json(&b->steps, &o);
    pf_buf_addf(&o,
                ",\"rest_us\":%.4f,\"memory\":{\"predicted_bytes\":%zu,"
                "\"measured_bytes\":%llu},\"train_loss\":%.6f,"
                "\"test_accuracy\":%.6f,\"epoch_from\":%.4f,"
                "\"epoch_to\":%.4f}",
                rest_us(b), predicted(b), (unsigned long long)b->grown, b->loss,
                b->accuracy, epochs(b, k->first), epochs(b, k->last));
    cli_out_json(&o);
    pf_buf_free(&o);
}

static void say_text(const struct bench *b)
{
    const struct client *k = &b->client[0];
    char bytes[2][24];

    cli_out("%s, batch %u, %s at %g, %s; %u client%s on %u thread%s%s; %s "
            "kernels; %s images\n\n",
            cli_text(b->c, "model"), b->config.batch,
            cli_text(b->c, "optimizer"), b->config.lr,
            pf_schedule_names[b->config.schedule], b->n_clients,
            b->n_clients > 1 ? "s" : "", b->threads, b->threads > 1 ? "s" : "",
            b->n_clients > 1 ? " each" : "", b->k->name,
            cli_text(b->c, "data") ? cli_text(b->c, "data") : "drawn");
    cli_out("samples/s    %.0f (%.0f to %.0f in %zu chunks)\n", b->rate.median,
            b->rate.min, b->rate.max, b->rate.n);
    if (b->threads == 1)
        cli_out("of CPU time  %.0f (%.0f to %.0f)\n", b->cpu_rate.median,
                b->cpu_rate.min, b->cpu_rate.max);
    cli_out("peak         %.1f GFLOP/s (%.1f to %.1f) on one thread\n",
            b->peak.median, b->peak.min, b->peak.max);
    cli_out(
        "arithmetic   %.1f GFLOP/s executed, %.0f%% of the peak; %.1f as if "
        "nothing were skipped, %.0f%%\n",
        gflops(b, 1), 100 * gflops(b, 1) / peak_of_all(b), gflops(b, 0),
        100 * gflops(b, 0) / peak_of_all(b));
    cli_out("memory       %s predicted, %s measured\n",
            cli_bytes(predicted(b), bytes[0]),
            b->grown ? cli_bytes(b->grown, bytes[1]) : "not");
    cli_out("learning     epochs %.2f to %.2f: train loss %.4f, test accuracy "
            "%.4f%s\n",
            epochs(b, k->first), epochs(b, k->last), b->loss, b->accuracy,
            b->n_clients > 1 ? " (the worst client)" : "");
    bench_steps_print(&b->steps, rest_us(b));
}

/* How each step would be computed, and what it takes; no time is spent. */
static enum pocketfed_status explain(struct bench *b, struct pf_error *err)
{
    enum pocketfed_status st = open_client(b, 0, err);
    struct pf_exec *e;
    struct pf_buf o;
    char bytes[24];

    if (st)
        return st;
    e = pf_trainer_exec(b->client[0].trainer);
    pf_buf_init(&o, 1u << 20);
    if (b->c->json) {
        bench_steps_begin(&b->steps, e);
        pf_buf_adds(&o, "{\"type\":\"summary\",");
        training_json(b->c, &b->config, &o);
        pf_buf_addf(&o,
                    ",\"kernels\":\"%s\",\"memory\":{\"predicted_bytes\":%zu},",
                    b->k->name, predicted(b));
        bench_steps_json(&b->steps, &o);
        pf_buf_adds(&o, "}");
        cli_out_json(&o);
    } else {
        st = pf_exec_explain(e, &o);
        cli_out("%s, batch %u, %s kernels; memory %s\n\n%s",
                cli_text(b->c, "model"), b->config.batch, b->k->name,
                cli_bytes(predicted(b), bytes), pf_buf_str(&o));
    }
    pf_buf_free(&o);
    return st;
}

static int bench_train(struct cli *c)
{
    struct bench *b = calloc(1, sizeof *b);
    struct pf_error err = {0};
    enum pocketfed_status st;
    int code = CLI_OK;

    if (!b) {
        pf_fail(&err, POCKETFED_NO_MEMORY, "out of memory");
        return cli_fail(c, &err, "nothing was timed");
    }
    b->c = c;
    b->n_clients = (unsigned)cli_int(c, "clients");
    b->threads = (unsigned)cli_int(c, "threads");
    b->seconds = cli_real(c, "seconds");
    code = training_config(c, (uint32_t)cli_int(c, "epochs"), &b->config);
    if (code) {
        free(b);
        return code;
    }
    pthread_mutex_init(&b->gate, NULL);
    cli_catch_interrupts();
    st = load(b, &err);
    if (!st && cli_flag(c, "explain")) {
        st = explain(b, &err);
    } else if (!st) {
        st = measure(b, &err);
        if (!st)
            c->json ? say_json(b) : say_text(b);
    }
    if (st)
        code = cli_fail(c, &err, "nothing was timed");
    for (unsigned i = 0; i < b->n_clients; i++)
        close_client(&b->client[i]);
    pthread_mutex_destroy(&b->gate);
    pf_model_free(b->model);
    pf_idx_free(&b->train);
    pf_idx_free(&b->test);
    free(b->params);
    free(b);
    return code;
}

static const struct cli_option options[] = {
    TRAINING_MODEL,
    {"data", 'd', CLI_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder with IDX files (default: drawn images)"},
    {"seconds", 0, CLI_REAL, "S", "5", 0.01, 3600, NULL, "how long"},
    {"epochs", 'e', CLI_INT, "N", "1000", 1, 1000, NULL,
     "what the schedule is for; at their end the timing ends too"},
    TRAINING_ROWS,
    TRAINING_THREADS,
    {"clients", 'c', CLI_INT, "N", "1", 1, MAX_CLIENTS, NULL,
     "independent trainings at once, each on its threads"},
    TRAINING_SEED,
    {"explain", 0, CLI_FLAG, NULL, NULL, 0, 0, NULL,
     "say how each layer would be computed; time nothing"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_bench_train;
const struct cli_command cmd_bench_train = {
    "bench train",
    "Timings",
    "",
    0,
    0,
    "time the training of a network",
    "  pocketfed bench train --model lenet-coreml --batch 128 --optimizer "
    "adam\n"
    "  pocketfed bench train --model lenet5 --clients 2 --json\n"
    "  pocketfed bench train --model cnn-mcmahan --explain\n",
    options,
    bench_train};
