/* Losses, gradients and trained parameters of every zoo model against what
 * PyTorch computed in double: tests/vectors/nn_<model>.bin, written by
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
#include "loss.h"
#include "optim.h"

#define BATCH       4
#define STEPS       5
#define SAMPLES     64
#define PROJECTIONS 4
#define RUNS        3
#define ADAM        2 /* the index of its run */

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
    char what[120];
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
    for (uint64_t s = 0; s < SAMPLES; s++)
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
    struct pf_exec e;
    void *mem;
    pf_real *params;                      /* canonical */
    pf_real *w, *grads, *first, *m1, *m2; /* packed; first: canonical */
};

static void start(struct network *n)
{
    size_t n_tensors, fan_in = 1;
    const struct pf_tensor *t = pf_model_tensors(n->m, &n_tensors);

    for (size_t i = 0; i < n_tensors; i++) {
        if (t[i].n_dims > 1)
            fan_in = t[i].count / t[i].dims[0];
        for (size_t j = 0; j < t[i].count; j++)
            n->params[t[i].offset + j] =
                (pf_real)((2 * uniform(PARAMS, i, j) - 1) /
                          sqrt((double)fan_in));
    }
    pf_exec_pack(&n->e, n->params, n->w);
    pf_exec_prepare(&n->e, n->w);
    pf_exec_zero(n->m1, n->e.n_packed);
    pf_exec_zero(n->m2, n->e.n_packed);
}

static double step(struct network *n, const struct pf_train_config *c,
                   uint64_t at)
{
    struct pf_update u = {.w = n->w, .m = n->m1, .v = n->m2};
    struct pf_run r = {.n = BATCH, .w = n->w, .grads = n->grads};
    uint32_t labels[BATCH];
    const pf_real *logits;
    double loss;

    for (size_t i = 0; i < BATCH; i++) {
        pf_real *x = pf_exec_input(&n->e, i);
        for (size_t j = 0; j < 784; j++)
            x[j] = (pf_real)uniform(INPUTS, at, i * 784 + j);
        labels[i] = (uint32_t)((3 * i + at) % 10);
    }
    pf_exec_zero(n->grads, n->e.n_packed);
    logits = pf_exec_forward(&n->e, &r);
    loss = pf_softmax_cross_entropy(logits, labels, BATCH, 10, 1.0 / BATCH,
                                    pf_exec_output_gradient(&n->e), NULL);
    pf_exec_backward(&n->e, &r);
    if (at == 0)
        pf_exec_unpack(&n->e, n->grads, n->first);
    pf_optim_set(&u, c, at + 1, c->lr);
    pf_exec_update(&n->e, &u, n->grads);
    return loss / BATCH;
}

static void configure(struct pf_train_config *c, int run)
{
    pf_train_config_default(c);
    if (run == 1) {
        c->momentum = 0.9;
        c->weight_decay = 0.001;
    } else if (run == ADAM) {
        c->optimizer = PF_ADAM;
        c->lr = 0.001;
    }
}

/* Parameters after Adam are compared in double only: its first steps are
 * lr * sign(gradient), which is anything where the gradient is about zero. */
static void check_model(const char *name, const struct pf_kernels *k)
{
    static const char *const sets[RUNS] = {"parameters after SGD",
                                           "parameters after SGD with momentum",
                                           "parameters after Adam"};
    struct pf_error err = {0};
    struct network n = {0};
    struct vectors v = {0};
    pf_real *after[RUNS];
    struct pf_exec_options o = {BATCH, 1, NULL};
    char path[256];
    size_t count, packed, bytes;

    assert_int_equal(pf_model_create(pf_zoo_spec(name),
                                     strlen(pf_zoo_spec(name)), &n.m, &err),
                     POCKETFED_OK);
    snprintf(path, sizeof path, PF_TEST_DIR "/vectors/nn_%s.bin", name);
    pf_buf_init(&v.bytes, 1u << 20);
    if (pf_file_read(path, &v.bytes, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    pf_reader_init(&v.in, v.bytes.data, v.bytes.len);
    count = pf_model_n_params(n.m);
    bytes = pf_exec_plan(&n.e, n.m, k, &o);
    packed = n.e.n_packed;
    n.mem = malloc(bytes);
    n.params = calloc((2 + RUNS) * count + 4 * packed, sizeof *n.params);
    assert_true(n.mem && n.params);
    pf_exec_place(&n.e, n.mem);
    n.first = n.params + count;
    n.w = n.first + (1 + RUNS) * count;
    n.grads = n.w + packed;
    n.m1 = n.grads + packed;
    n.m2 = n.m1 + packed;
    for (int run = 0; run < RUNS; run++) {
        struct pf_train_config c;

        after[run] = n.first + (size_t)(1 + run) * count;
        configure(&c, run);
        start(&n);
        snprintf(v.what, sizeof v.what, "%s, run %d", name, run);
        for (uint64_t at = 0; at < STEPS; at++)
            assert_near(&v, step(&n, &c, at), 1, "a loss");
        pf_exec_unpack(&n.e, n.w, after[run]);
    }
    assert_tensors(&v, n.m, name, "gradient", n.first);
    assert_tensors(&v, n.m, name, sets[0], after[0]);
    assert_tensors(&v, n.m, name, sets[1], after[1]);
#ifdef PF_REAL_DOUBLE
    assert_tensors(&v, n.m, name, sets[ADAM], after[ADAM]);
    assert_int_equal(pf_reader_left(&v.in), 0);
#endif
    assert_true(pf_reader_ok(&v.in));
    pf_buf_free(&v.bytes);
    free(n.params);
    free(n.mem);
    pf_model_free(n.m);
}

static void every_family_computes_what_pytorch_computes(void **state)
{
    const char *const *families = pf_kernels_names();

    (void)state;
    for (size_t f = 0; families[f]; f++)
        for (size_t i = 0; pf_zoo_names()[i]; i++)
            check_model(pf_zoo_names()[i], pf_kernels_find(families[f]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_computes_what_pytorch_computes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
