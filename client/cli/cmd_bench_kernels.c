/* bench kernels: each kernel alone, on the shapes of a network's layers. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_room.h"
#include "exec.h"
#include "training.h"

#define MAX_TIMES 1024

struct run {
    struct cli *c;
    const struct pf_kernels *k, *reference; /* NULL: not asked for */
    const char *model;
    size_t n;
    double seconds;
    struct bench_spread peak;
    unsigned n_rows;
};

/* ---- timing ---- */

/* Median seconds of one call, of this thread's processor time: calls in groups
 * of at least 100 us, so that the clock does not show. */
static double time_calls(void (*call)(struct room *), struct room *r,
                         double seconds)
{
    double took[MAX_TIMES], began, until = bench_now() + seconds;
    size_t group = 1, n = 0;

    call(r); /* caches and pages */
    for (;; group *= 2) {
        began = bench_thread_cpu();
        for (size_t i = 0; i < group; i++)
            call(r);
        took[0] = (bench_thread_cpu() - began) / (double)group;
        if (took[0] * (double)group > 100e-6)
            break;
    }
    for (n = 1; n < MAX_TIMES && bench_now() < until && !cli_interrupted; n++) {
        began = bench_thread_cpu();
        for (size_t i = 0; i < group; i++)
            call(r);
        took[n] = (bench_thread_cpu() - began) / (double)group;
    }
    return bench_spread(took, n).median;
}

/* ---- rows ---- */

static void heading(struct run *b)
{
    if (!b->n_rows++)
        cli_out("%-13s %-8s %-15s %10s %9s %8s %5s%s\n", "model", "layer",
                "kernel", "us", "us/ex.", "GFLOP/s", "peak",
                b->reference ? "  of reference" : "");
}

/* One kernel of a layer; `other` is the same room of the reference, or NULL.
 * macs: multiply-adds of one example, as if nothing were skipped. */
static void row(struct run *b, const char *layer, const char *kernel,
                const char *method, void (*call)(struct room *), struct room *r,
                struct room *other, double macs)
{
    double took = time_calls(call, r, b->seconds);
    double than = other->k ? time_calls(call, other, b->seconds) : 0;
    double gflops = 2e-9 * macs * (double)r->n / took;
    double examples = call == room_call_update ? 1 : (double)r->n;

    if (b->c->json) {
        cli_out(
            "{\"type\":\"kernel\",\"model\":\"%s\",\"layer\":\"%s\","
            "\"kernel\":\"%s\",\"method\":\"%s\",\"us\":%.3f,"
            "\"us_per_example\":%.4f,\"gflops\":%.2f,\"share_of_peak\":%.4f",
            b->model, layer, kernel, method, took * 1e6, took * 1e6 / examples,
            gflops, gflops / b->peak.median);
        if (other->k)
            cli_out(",\"reference_us\":%.3f", than * 1e6);
        cli_out("}\n");
        return;
    }
    heading(b);
    cli_out("%-13s %-8s %-15s %10.1f %9.3f ", b->model, layer, kernel,
            took * 1e6, took * 1e6 / examples);
    if (macs > 0)
        cli_out("%8.1f %4.0f%%", gflops, 100 * gflops / b->peak.median);
    else
        cli_out("%8s %5s", "", "");
    if (other->k)
        cli_out(" %13.1fx", than / took);
    cli_out("%s%s\n", method[0] ? "  " : "", method);
}

static enum pocketfed_status no_memory(struct pf_error *err, const char *layer)
{
    return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for the arrays of %s",
                   layer);
}

static enum pocketfed_status conv_rows(struct run *b, const char *layer,
                                       const struct pf_conv *s, int wants_dx,
                                       struct pf_error *err)
{
    struct room r = {.k = b->k, .n = b->n, .conv = *s};
    struct room other = {.k = b->reference, .n = b->n, .conv = *s};
    double macs = (double)(s->o * s->c * s->k * s->k * s->oh * s->ow);
    const char *method = r.k->conv_method(s);
    enum pocketfed_status st = POCKETFED_OK;

    if (room_conv(&r, wants_dx) && (!other.k || room_conv(&other, wants_dx))) {
        if (r.k->conv_ready_size(s))
            row(b, layer, "conv_prepare", method, room_call_conv_prepare, &r,
                &other, 0);
        else
            room_call_conv_prepare(&r);
        if (other.k)
            room_call_conv_prepare(&other);
        row(b, layer, "conv_forward", method, room_call_conv_forward, &r,
            &other, macs);
        row(b, layer, "conv_backward", method, room_call_conv_backward, &r,
            &other, wants_dx ? 2 * macs : macs);
    } else {
        st = no_memory(err, layer);
    }
    room_free(&r);
    room_free(&other);
    return st;
}

static enum pocketfed_status dense_rows(struct run *b, const char *layer,
                                        const struct pf_dense *s, int wants_dx,
                                        struct pf_error *err)
{
    struct room r = {.k = b->k, .n = b->n, .dense = *s};
    struct room other = {.k = b->reference, .n = b->n, .dense = *s};
    double macs = (double)(s->in * s->out);
    const char *method = r.k->dense_method(s);
    enum pocketfed_status st = POCKETFED_OK;

    if (room_dense(&r, wants_dx) &&
        (!other.k || room_dense(&other, wants_dx))) {
        row(b, layer, "dense_forward", method, room_call_dense_forward, &r,
            &other, macs);
        row(b, layer, "dense_turn", "", room_call_dense_turn, &r, &other, 0);
        row(b, layer, "dense_backward", method, room_call_dense_backward, &r,
            &other, wants_dx ? 2 * macs : macs);
    } else {
        st = no_memory(err, layer);
    }
    room_free(&r);
    room_free(&other);
    return st;
}

/* The kernels that belong to no layer with parameters, on 32 channels of 24 x
 * 24. */
static enum pocketfed_status simple_rows(struct run *b, struct pf_error *err)
{
    static const struct pf_pool shape = {32, 24, 24, 3, 2, 11, 11};
    struct room r = {.k = b->k, .n = b->n, .pool = shape};
    struct room other = {.k = b->reference, .n = b->n, .pool = shape};
    enum pocketfed_status st = POCKETFED_OK;

    b->model = "any";
    if (room_simple(&r) && (!other.k || room_simple(&other))) {
        row(b, "3x3/2", "pool_forward", "", room_call_pool_forward, &r, &other,
            0);
        row(b, "3x3/2", "pool_backward", "", room_call_pool_backward, &r,
            &other, 0);
        row(b, "24x24", "relu_forward", "", room_call_relu_forward, &r, &other,
            0);
        row(b, "24x24", "relu_backward", "", room_call_relu_backward, &r,
            &other, 0);
        row(b, "24x24", "channels_first", "", room_call_channels_first, &r,
            &other, 0);
        row(b, "24x24", "channels_last", "", room_call_channels_last, &r,
            &other, 0);
    } else {
        st = no_memory(err, "the simple kernels");
    }
    room_free(&r);
    room_free(&other);
    return st;
}

/* An optimiser's step on all parameters at once; in training the dense
 * layers do theirs inside dense_backward. */
static enum pocketfed_status update_row(struct run *b, size_t n_params,
                                        enum pf_rule rule, const char *name,
                                        struct pf_error *err)
{
    struct room r = {.k = b->k, .n = n_params};
    struct room other = {.k = b->reference, .n = n_params};
    enum pocketfed_status st = POCKETFED_OK;

    if (room_update(&r, rule) && (!other.k || room_update(&other, rule)))
        row(b, "all", "update", name, room_call_update, &r, &other, 0);
    else
        st = no_memory(err, "the parameters");
    room_free(&r);
    room_free(&other);
    return st;
}

/* The kernels of each step that training takes. */
static enum pocketfed_status model_rows(struct run *b, const struct pf_model *m,
                                        struct pf_error *err)
{
    struct pf_exec_options o = {.batch = b->n, .training = 1};
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_exec e;

    pf_exec_plan(&e, m, b->k, &o);
    for (size_t i = 0; !st && i < e.n_steps && !cli_interrupted; i++) {
        const struct pf_step *s = &e.steps[i];

        if (s->kind == &pf_conv_step)
            st = conv_rows(b, s->l->name, &s->conv, s->wants_dx[0], err);
        else if (s->kind == &pf_dense_step)
            st = dense_rows(b, s->l->name, &s->dense, s->wants_dx[0], err);
    }
    /* The optimisers are in the order of enum pf_rule. */
    for (int rule = PF_RULE_SGD; !st && rule <= PF_RULE_ADAMW; rule++)
        st = update_row(b, pf_model_n_params(m), (enum pf_rule)rule,
                        training_optimizers[rule], err);
    return st;
}

static enum pocketfed_status all_rows(struct run *b, struct pf_error *err)
{
    const char *one = cli_text(b->c, "model");
    const char *const *names = pf_zoo_names();
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_model *m = NULL;

    for (size_t i = 0; !st && (one ? i == 0 : names[i] != NULL); i++) {
        b->model = one ? one : names[i];
        st = training_model(b->model, &m, err);
        if (!st)
            st = model_rows(b, m, err);
        pf_model_free(m);
        m = NULL;
    }
    if (!st && !one)
        st = simple_rows(b, err);
    if (!st && cli_interrupted)
        st = pf_fail(err, POCKETFED_INTERRUPTED, "interrupted");
    return st;
}

static void finish(const struct run *b)
{
    struct pf_buf out;

    if (!b->c->json) {
        cli_out("batch %zu, %s kernels; peak %.1f GFLOP/s (%.1f to %.1f)\n",
                b->n, b->k->name, b->peak.median, b->peak.min, b->peak.max);
        return;
    }
    pf_buf_init(&out, 4096);
    pf_buf_addf(&out, "{\"type\":\"summary\",\"kernels\":\"%s\",\"batch\":%zu,",
                b->k->name, b->n);
    bench_spread_json(&out, "peak_gflops", &b->peak);
    pf_buf_adds(&out, "}");
    cli_out_json(&out);
    pf_buf_free(&out);
}

static int bench_kernels(struct cli *c)
{
    struct pf_error err = {0};
    enum pocketfed_status st;
    double peak[9];
    struct run b = {.c = c};

    b.n = (size_t)cli_int(c, "batch");
    b.seconds = cli_real(c, "seconds");
    cli_catch_interrupts();
    st = pf_kernels_get(&b.k, &err);
    if (!st) {
        if (cli_flag(c, "reference"))
            b.reference = &pf_kernels_reference;
        for (size_t i = 0; i < 9; i++)
            peak[i] = bench_peak(b.k);
        b.peak = bench_spread(peak, 9);
        st = all_rows(&b, &err);
    }
    if (st)
        return cli_fail(c, &err, "the kernels were not timed");
    finish(&b);
    return CLI_OK;
}

static const struct cli_option options[] = {
    {"model", 'm', CLI_MODEL, "NAME", NULL, 0, 0, NULL,
     "whose shapes (default: the whole zoo)"},
    {"batch", 'b', CLI_INT, "N", "128", 1, 4096, NULL, "examples in a call"},
    {"seconds", 0, CLI_REAL, "S", "0.1", 0.001, 60, NULL, "time for each"},
    {"reference", 'r', CLI_FLAG, NULL, NULL, 0, 0, NULL,
     "time the plain loops of the reference too"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_bench_kernels;
const struct cli_command cmd_bench_kernels = {
    "bench kernels",
    "Timings",
    "",
    0,
    0,
    "time each kernel on the shapes of networks",
    "  pocketfed bench kernels --model lenet-coreml\n"
    "  pocketfed bench kernels --batch 10 --reference --json\n",
    options,
    bench_kernels};
