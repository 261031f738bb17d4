/* Models that are only used, with weights of 32, 16 and 8 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "exec.h"
#include "rng.h"
#include "train.h"

#define N 5

static struct pf_model *model(const char *json)
{
    struct pf_error err = {0};
    struct pf_model *m = NULL;

    if (pf_model_create(json, strlen(json), &m, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    return m;
}

/* A convolution network with sizes that fill no vector, drawn from the seed. */
static struct pf_model *draw(uint64_t seed)
{
    struct pf_rng rng;
    char json[2000];
    unsigned k, c, o, pad, stride, hidden;

    rng = pf_rng_make(seed, 0, 0, PF_RNG_TEST);
    c = 1 + (unsigned)pf_rng_below(&rng, 0, 3);
    k = 1 + (unsigned)pf_rng_below(&rng, 1, 5);
    o = 1 + (unsigned)pf_rng_below(&rng, 2, 35);
    pad = (unsigned)pf_rng_below(&rng, 3, 3);
    stride = 1 + (unsigned)pf_rng_below(&rng, 4, 2);
    hidden = 1 + (unsigned)pf_rng_below(&rng, 5, 70);
    pad = pad < k ? pad : k - 1;
    snprintf(
        json, sizeof json,
        "{\"version\":1,\"input\":[%u,11,13],\"layers\":["
        "{\"name\":\"a\",\"type\":\"conv2d\",\"out_channels\":%u,\"kernel\":%u,"
        "\"padding\":%u,\"stride\":%u},{\"name\":\"r\",\"type\":\"relu\"}"
        "%s,{\"name\":\"f\",\"type\":\"flatten\"},"
        "{\"name\":\"d\",\"type\":\"dense\",\"units\":%u},"
        "{\"name\":\"s\",\"type\":\"relu\"},"
        "{\"name\":\"e\",\"type\":\"dense\",\"units\":7}],"
        "\"loss\":\"softmax_cross_entropy\"}",
        c, o, k, pad, stride,
        seed % 2 ? ",{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":2}" : "",
        hidden);
    return model(json);
}

/* Outputs of N examples, [N][7]; run twice, the same bits. */
static void outputs(const struct pf_model *m, const float *params,
                    enum pf_precision p, const float *x, float *y)
{
    struct pf_shape in = pf_model_input(m);
    size_t size = (size_t)in.c * in.h * in.w, classes = pf_model_n_classes(m);
    struct pf_error err = {0};
    struct pf_infer *f = NULL;

    if (pf_infer_open(m, params, N, p, NULL, &f, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    for (int again = 0; again < 2; again++) {
        const float *out;

        for (size_t i = 0; i < N; i++)
            memcpy(pf_infer_input(f, i), x + i * size, size * sizeof *x);
        out = pf_infer_run(f, N);
        if (again)
            assert_memory_equal(out, y, N * classes * sizeof *y);
        memcpy(y, out, N * classes * sizeof *y);
    }
    /* One at a time: the same bits. */
    for (size_t i = 0; p == PF_INT8 && i < N; i++) {
        memcpy(pf_infer_input(f, 0), x + i * size, size * sizeof *x);
        assert_memory_equal(pf_infer_run(f, 1), y + i * classes,
                            classes * sizeof *y);
    }
    pf_infer_close(f);
}

static float *noise(uint64_t seed, size_t n)
{
    float *x = malloc(n * sizeof *x);
    struct pf_rng rng;

    assert_non_null(x);
    rng = pf_rng_make(seed, 1, 0, PF_RNG_TEST);
    for (size_t i = 0; i < n; i++)
        x[i] = 2 * pf_rng_float(&rng, i) - 1;
    return x;
}

static double greatest(const float *y)
{
    double most = 0;

    for (size_t i = 0; i < N * 7; i++)
        if (fabs((double)y[i]) > most)
            most = fabs((double)y[i]);
    return most;
}

static void outputs_stay_near_those_of_floats(void **state)
{
    static const double bound[] = {0, 0.002, 0.03};

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct pf_model *m = draw(seed);
        struct pf_shape in = pf_model_input(m);
        float *params = malloc(pf_model_n_params(m) * sizeof *params);
        float *x = noise(seed, (size_t)N * in.c * in.h * in.w);
        float y[3][N * 7];
        double most;

        pf_model_init(m, seed, params);
        for (int p = PF_F32; p <= PF_INT8; p++)
            outputs(m, params, (enum pf_precision)p, x, y[p]);
        most = greatest(y[0]);
        for (int p = PF_F16; p <= PF_INT8; p++)
            for (size_t i = 0; i < N * 7; i++)
                if (!(fabs((double)y[p][i] - (double)y[0][i]) <=
                      bound[p] * most))
                    fail_msg("seed %llu, precision %d: %g instead of %g",
                             (unsigned long long)seed, p, (double)y[p][i],
                             (double)y[0][i]);
        free(params);
        free(x);
        pf_model_free(m);
    }
}

/* Sums of bytes are exact, and the rest is rounded in one way only. */
static void bytes_give_the_same_bits_in_every_family(void **state)
{
    const char *const *names = pf_kernels_names();
    struct pf_exec_options o = {.batch = N, .precision = PF_INT8};

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct pf_model *m = draw(seed);
        struct pf_shape in = pf_model_input(m);
        size_t size = (size_t)in.c * in.h * in.w;
        float *params = malloc(pf_model_n_params(m) * sizeof *params);
        float *x = noise(seed, N * size), first[N * 7];

        pf_model_init(m, seed, params);
        for (size_t i = 0; names[i]; i++) {
            struct pf_exec e;
            size_t bytes = pf_exec_plan(&e, m, pf_kernels_find(names[i]), &o);
            void *mem = aligned_alloc(64, (bytes + 63) / 64 * 64);
            float *w = aligned_alloc(64, (e.n_packed * 4 + 63) / 64 * 64);
            struct pf_run r = {.n = N, .w = w};
            const float *y;

            pf_exec_place(&e, mem);
            pf_exec_pack(&e, params, w);
            pf_exec_prepare(&e, w);
            memcpy(pf_exec_input(&e, 0), x, N * size * sizeof *x);
            y = pf_exec_forward(&e, &r);
            if (i == 0)
                memcpy(first, y, sizeof first);
            else if (memcmp(first, y, sizeof first) != 0)
                fail_msg("seed %llu: %s gives other bits than %s",
                         (unsigned long long)seed, names[i], names[0]);
            free(mem);
            free(w);
        }
        free(params);
        free(x);
        pf_model_free(m);
    }
}

static void weights_and_inputs_of_zero_give_the_biases(void **state)
{
    struct pf_model *m = draw(1);
    struct pf_shape in = pf_model_input(m);
    size_t n = pf_model_n_params(m);
    float *params = calloc(n, sizeof *params), y[N * 7];
    float *x = calloc((size_t)N * in.c * in.h * in.w, sizeof *x);

    (void)state;
    params[n - 1] = 0.75f;
    for (int p = PF_F32; p <= PF_INT8; p++) {
        outputs(m, params, (enum pf_precision)p, x, y);
        for (size_t i = 0; i < N * 7; i++)
            assert_true(y[i] == (i % 7 == 6 ? 0.75f : 0));
    }
    free(params);
    free(x);
    pf_model_free(m);
}

static void parameters_that_are_not_finite_are_refused(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct pf_model *m = draw(2);
    float *params = malloc(pf_model_n_params(m) * sizeof *params);
    struct pf_infer *f = NULL;
    struct pf_error err = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int p = PF_F16; p <= PF_INT8; p++) {
            pf_model_init(m, 1, params);
            params[3] = bad[i];
            assert_int_equal(pf_infer_open(m, params, 1, (enum pf_precision)p,
                                           NULL, &f, &err),
                             POCKETFED_NON_FINITE);
        }
    pf_model_init(m, 1, params);
    params[3] = 70000;
    assert_int_equal(pf_infer_open(m, params, 1, PF_F16, NULL, &f, &err),
                     POCKETFED_LIMIT);
    assert_non_null(strstr(err.text, "layer a"));
    free(params);
    pf_model_free(m);
}

static void an_example_that_is_not_finite_shows_in_its_own_outputs(void **state)
{
    struct pf_model *m = draw(4);
    struct pf_shape in = pf_model_input(m);
    size_t size = (size_t)in.c * in.h * in.w;
    float *params = malloc(pf_model_n_params(m) * sizeof *params);
    float *x = noise(4, N * size), y[N * 7];

    (void)state;
    pf_model_init(m, 4, params);
    x[2 * size + 5] = NAN;
    outputs(m, params, PF_INT8, x, y);
    for (size_t i = 0; i < N * 7; i++)
        assert_int_equal(isnan(y[i]) != 0, i / 7 == 2);
    free(params);
    free(x);
    pf_model_free(m);
}

static void weights_take_half_and_a_quarter_of_the_memory(void **state)
{
    struct pf_model *m = model(pf_zoo_spec("cnn-mcmahan"));
    struct pf_infer_memory f32 = pf_infer_measure(m, 1, PF_F32, NULL);
    struct pf_infer_memory f16 = pf_infer_measure(m, 1, PF_F16, NULL);
    struct pf_infer_memory int8 = pf_infer_measure(m, 1, PF_INT8, NULL);

    (void)state;
    assert_true(f32.weights >= 4 * pf_model_n_params(m));
    assert_true((double)f16.weights <= 0.52 * (double)f32.weights);
    assert_true((double)int8.weights <= 0.27 * (double)f32.weights);
    assert_true(int8.bytes < f16.bytes && f16.bytes < f32.bytes);
    pf_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_stay_near_those_of_floats),
        cmocka_unit_test(bytes_give_the_same_bits_in_every_family),
        cmocka_unit_test(weights_and_inputs_of_zero_give_the_biases),
        cmocka_unit_test(parameters_that_are_not_finite_are_refused),
        cmocka_unit_test(
            an_example_that_is_not_finite_shows_in_its_own_outputs),
        cmocka_unit_test(weights_take_half_and_a_quarter_of_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
