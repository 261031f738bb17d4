/* Losses, gradients and trained parameters of every zoo model, and of small
 * models with every layer, loss and optimiser, against what PyTorch computed in
 * double: tests/vectors/nn_<model>.bin, written by
 * tests/interop/make_vectors.py, which explains the files.  Compiled twice:
 * the double build must agree to 1e-6, each float family to 1e-4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "bytes.h"
#include "exec.h"
#include "file.h"
#include "optim.h"

#define BATCH       4
#define STEPS       5
#define PROJECTIONS 4
#define MAX_RUNS    5

enum { PARAMS = 1, INPUTS = 2, SAMPLE = 3, SIGN = 4 }; /* streams */

#ifdef PF_REAL_DOUBLE
static const double tolerance = 1e-6;
#else
static const double tolerance = 1e-4;
#endif

/* splitmix64, as the script computes it. */
static uint64_t word(uint64_t stream, uint64_t tensor, uint64_t i)
{
    uint64_t z = i + 1 + ((stream * 1000 + tensor) << 40);

    z *= 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t stream, uint64_t tensor, uint64_t i)
{
    return (double)(word(stream, tensor, i) >> 11) * 0x1p-53;
}

/* The file of one model, read front to back, and what went wrong last. */
struct vectors {
    struct pf_buf bytes;
    struct pf_reader in;
    uint64_t samples; /* of each tensor */
    char what[160];
};

static void assert_near(struct vectors *v, double ours, double scale,
                        const char *part)
{
    double theirs = pf_readd(&v->in);

    if (!(fabs(ours - theirs) <= tolerance * scale))
        fail_msg("%s: %s is %.10g, PyTorch says %.10g, the scale is %.3g",
                 v->what, part, ours, theirs, scale);
}

/* One tensor of the file against the values in w. */
static void assert_summary(struct vectors *v, uint64_t index, size_t n,
                           const pf_real *w)
{
    double largest = pf_readd(&v->in), magnitudes = pf_readd(&v->in);
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
    }
    assert_near(v, sum, magnitudes, "the sum");
    assert_near(v, sqrt(squares), sqrt(squares), "the norm");
    for (uint64_t p = 0; p < PROJECTIONS; p++) {
        sum = 0;
        for (size_t i = 0; i < n; i++)
            sum +=
                word(SIGN + p, index, i) >> 63 ? -(double)w[i] : (double)w[i];
        assert_near(v, sum, magnitudes, "a projection");
    }
    for (uint64_t s = 0; s < v->samples; s++)
        assert_near(v, (double)w[word(SAMPLE, index, s) % n], largest,
                    "a value");
}

static void assert_tensors(struct vectors *v, const struct pf_model *m,
                           const char *name, const char *set, const pf_real *w)
{
    size_t n;
    const struct pf_tensor *t = pf_model_tensors(m, &n);

    for (size_t i = 0; i < n; i++) {
        snprintf(v->what, sizeof v->what, "%s, %s of %s", name, set, t[i].name);
        assert_summary(v, i, t[i].count, w + t[i].offset);
    }
}

struct network {
    struct pf_model *m;
    struct pf_exec e, still; /* training, and not */
    void *mem, *still_mem;
    pf_real *params;                      /* canonical */
    pf_real *w, *grads, *first, *m1, *m2; /* packed; first: canonical */
    pf_real *after[MAX_RUNS];             /* canonical */
    uint32_t labels[BATCH];
};

static void open_network(struct network *n, const char *spec, size_t len,
                         const struct pf_kernels *k)
{
    struct pf_exec_options o = {.batch = BATCH, .training = 1};
    struct pf_exec_options still = {.batch = BATCH};
    struct pf_error err = {0};
    size_t count, packed;

    if (pf_model_create(spec, len, &n->m, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    count = pf_model_n_params(n->m);
    n->mem = malloc(pf_exec_plan(&n->e, n->m, k, &o) + 64);
    n->still_mem = malloc(pf_exec_plan(&n->still, n->m, k, &still) + 64);
    packed = n->e.n_packed;
    n->params = calloc((2 + MAX_RUNS) * count + 4 * packed, sizeof *n->params);
    assert_true(n->mem && n->still_mem && n->params);
    pf_exec_place(&n->e, n->mem);
    pf_exec_place(&n->still, n->still_mem);
    n->first = n->params + count;
    for (size_t i = 0; i < MAX_RUNS; i++)
        n->after[i] = n->first + (1 + i) * count;
    n->w = n->first + (1 + MAX_RUNS) * count;
    n->grads = n->w + packed;
    n->m1 = n->grads + packed;
    n->m2 = n->m1 + packed;
}

static void close_network(struct network *n)
{
    free(n->params);
    free(n->mem);
    free(n->still_mem);
    pf_model_free(n->m);
}

static void start(struct network *n)
{
    size_t n_tensors, fan_in = 1;
    const struct pf_tensor *t = pf_model_tensors(n->m, &n_tensors);

    for (size_t i = 0; i < n_tensors; i++) {
        double shift = strstr(t[i].name, "running_var") ? 1 : 0;

        if (t[i].n_dims > 1)
            fan_in = t[i].count / t[i].dims[0];
        for (size_t j = 0; j < t[i].count; j++)
            n->params[t[i].offset + j] =
                (pf_real)((2 * uniform(PARAMS, i, j) - 1) /
                              sqrt((double)fan_in) +
                          shift);
    }
    pf_exec_pack(&n->e, n->params, n->w);
    pf_exec_prepare(&n->e, n->w);
    pf_exec_zero(n->m1, n->e.n_packed);
    pf_exec_zero(n->m2, n->e.n_packed);
}

/* Forward over the batch of a step; the mean loss. */
static double loss_of(struct network *n, struct pf_exec *e, struct pf_run *r,
                      uint64_t at)
{
    uint64_t size = pf_shape_size(&n->m->input);
    const pf_real *outputs;

    for (uint64_t i = 0; i < BATCH; i++) {
        pf_real *x = pf_exec_input(e, i);
        for (uint64_t j = 0; j < size; j++)
            x[j] = (pf_real)uniform(INPUTS, at, i * size + j);
        n->labels[i] = (uint32_t)((3 * i + at) % pf_model_n_classes(n->m));
    }
    outputs = pf_exec_forward(e, r);
    return n->m->loss->run(outputs, n->labels, BATCH, pf_exec_outputs(e),
                           1.0 / BATCH, pf_exec_output_gradient(e), NULL) /
           BATCH;
}

static double step(struct network *n, const struct pf_train_config *c,
                   uint64_t at)
{
    struct pf_update u = {.w = n->w, .m = n->m1, .v = n->m2};
    struct pf_run r = {.n = BATCH, .w = n->w, .grads = n->grads};
    double loss;

    pf_exec_zero(n->grads, n->e.n_packed);
    loss = loss_of(n, &n->e, &r, at);
    pf_exec_backward(&n->e, &r);
    if (at == 0)
        pf_exec_unpack(&n->e, n->grads, n->first);
    pf_optim_set(&u, c, at + 1, c->lr);
    pf_exec_update(&n->e, &u, n->grads);
    return loss;
}

/* The loss of the last batch when nothing is trained. */
static double still_loss(struct network *n)
{
    struct pf_run r = {.n = BATCH, .w = n->w};

    pf_exec_prepare(&n->still, n->w);
    return loss_of(n, &n->still, &r, STEPS - 1);
}

struct run {
    const char *what;
    int optimizer, nesterov;
    double lr, momentum, decay;
};

static const struct run zoo_runs[] = {
    {"parameters after SGD", PF_SGD, 0, 0.05, 0, 0},
    {"parameters after SGD with momentum", PF_SGD, 0, 0.05, 0.9, 0.001},
    {"parameters after Adam", PF_ADAM, 0, 0.001, 0, 0},
    {0},
};

static const struct run small_runs[] = {
    {"parameters after SGD", PF_SGD, 0, 0.05, 0, 0.001},
    {"parameters after SGD with momentum", PF_SGD, 0, 0.05, 0.9, 0.001},
    {"parameters after Nesterov", PF_SGD, 1, 0.05, 0.9, 0.001},
    {"parameters after Adam", PF_ADAM, 0, 0.001, 0, 0.01},
    {"parameters after AdamW", PF_ADAMW, 0, 0.001, 0, 0.01},
    {0},
};

static void do_run(struct network *n, const struct run *run, struct vectors *v,
                   pf_real *after, int small)
{
    struct pf_train_config c;

    pf_train_config_default(&c);
    c.optimizer = run->optimizer;
    c.nesterov = run->nesterov;
    c.lr = run->lr;
    c.momentum = run->momentum;
    c.weight_decay = run->decay;
    start(n);
    for (uint64_t at = 0; at < STEPS; at++)
        assert_near(v, step(n, &c, at), 1, "a loss");
    if (small)
        assert_near(v, still_loss(n), 1, "the loss in eval mode");
    pf_exec_unpack(&n->e, n->w, after);
}

/* Parameters after Adam are compared in double only: its first steps are
 * lr * sign(gradient), which is anything where the gradient is about zero. */
static int comparable(const struct run *run)
{
    return sizeof(pf_real) == sizeof(double) || run->optimizer == PF_SGD;
}

static void read_vectors(const char *name, const char *kind, struct pf_buf *b)
{
    struct pf_error err = {0};
    char path[256];

    snprintf(path, sizeof path, PF_TEST_DIR "/vectors/nn_%s.%s", name, kind);
    pf_buf_init(b, 1u << 20);
    if (pf_file_read(path, b, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
}

static void check_model(const char *name, const char *spec, size_t len,
                        int small, const struct pf_kernels *k)
{
    const struct run *runs = small ? small_runs : zoo_runs;
    struct network n = {0};
    struct vectors v = {.samples = small ? 8 : 64};

    open_network(&n, spec, len, k);
    read_vectors(name, "bin", &v.bytes);
    pf_reader_init(&v.in, v.bytes.data, v.bytes.len);
    for (size_t i = 0; runs[i].what; i++) {
        snprintf(v.what, sizeof v.what, "%s with %s, run %zu", name, k->name,
                 i);
        do_run(&n, &runs[i], &v, n.after[i], small);
    }
    assert_tensors(&v, n.m, name, "gradient", n.first);
    for (size_t i = 0; runs[i].what && comparable(&runs[i]); i++)
        assert_tensors(&v, n.m, name, runs[i].what, n.after[i]);
    if (sizeof(pf_real) == sizeof(double))
        assert_int_equal(pf_reader_left(&v.in), 0);
    assert_true(pf_reader_ok(&v.in));
    pf_buf_free(&v.bytes);
    close_network(&n);
}

static void every_family_computes_what_pytorch_computes(void **state)
{
    const char *const *families = pf_kernels_names();

    (void)state;
    for (size_t f = 0; families[f]; f++)
        for (size_t i = 0; pf_zoo_names()[i]; i++) {
            const char *spec = pf_zoo_spec(pf_zoo_names()[i]);

            check_model(pf_zoo_names()[i], spec, strlen(spec), 0,
                        pf_kernels_find(families[f]));
        }
}

static void every_layer_and_loss_computes_what_pytorch_computes(void **state)
{
    static const char *const names[] = {"small_residual", "small_smooth",
                                        "small_binary", "small_fused"};
    const char *const *families = pf_kernels_names();

    (void)state;
    for (size_t f = 0; families[f]; f++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            struct pf_buf spec;

            read_vectors(names[i], "json", &spec);
            check_model(names[i], (const char *)spec.data, spec.len, 1,
                        pf_kernels_find(families[f]));
            pf_buf_free(&spec);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_computes_what_pytorch_computes),
        cmocka_unit_test(every_layer_and_loss_computes_what_pytorch_computes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
