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

#include "crew.h"
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

/* A convolution network with sizes that fill no vector, drawn from the seed;
 * its pool may stand before its activation, too. */
static struct pf_model *draw(uint64_t seed)
{
    static const char *const acts[] = {
        ",{\"name\":\"r\",\"type\":\"relu\"}",
        ",{\"name\":\"r\",\"type\":\"leaky_relu\",\"slope\":0.2}", ""};
    static const char *const pools[] = {
        ",{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":2}",
        ",{\"name\":\"p\",\"type\":\"avgpool2d\",\"size\":2}", ""};
    struct pf_rng rng;
    char json[2000];
    const char *act, *pool;
    unsigned k, c, o, pad, stride, hidden;
    int turned;

    rng = pf_rng_make(seed, 0, 0, PF_RNG_TEST);
    c = 1 + (unsigned)pf_rng_below(&rng, 0, 3);
    k = 1 + (unsigned)pf_rng_below(&rng, 1, 5);
    o = 1 + (unsigned)pf_rng_below(&rng, 2, 35);
    pad = (unsigned)pf_rng_below(&rng, 3, 3);
    stride = 1 + (unsigned)pf_rng_below(&rng, 4, 2);
    hidden = 1 + (unsigned)pf_rng_below(&rng, 5, 70);
    act = acts[pf_rng_below(&rng, 6, 3)];
    pool = pools[pf_rng_below(&rng, 7, 3)];
    turned = (int)pf_rng_below(&rng, 8, 2);
    pad = pad < k ? pad : k - 1;
    snprintf(
        json, sizeof json,
        "{\"version\":1,\"input\":[%u,11,13],\"layers\":["
        "{\"name\":\"a\",\"type\":\"conv2d\",\"out_channels\":%u,\"kernel\":%u,"
        "\"padding\":%u,\"stride\":%u}%s%s,"
        "{\"name\":\"f\",\"type\":\"flatten\"},"
        "{\"name\":\"d\",\"type\":\"dense\",\"units\":%u}"
        "%s,{\"name\":\"e\",\"type\":\"dense\",\"units\":7}],"
        "\"loss\":\"softmax_cross_entropy\"}",
        c, o, k, pad, stride, turned ? pool : act, turned ? act : pool, hidden,
        seed % 2 ? ",{\"name\":\"s\",\"type\":\"relu\"}"
                 : ",{\"name\":\"s\",\"type\":\"leaky_relu\"}");
    return model(json);
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

/* As a training begins, but with biases. */
static float *parameters(const struct pf_model *m, uint64_t seed)
{
    size_t n = pf_model_n_params(m);
    float *p = malloc(n * sizeof *p), *some = noise(seed + 1000, n);

    assert_non_null(p);
    pf_model_init(m, seed, p);
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct pf_layer *l = &m->layers[i];

        for (size_t j = l->bias; l->n_params && j < l->weight + l->n_params;
             j++)
            p[j] = some[j] / 4;
    }
    free(some);
    return p;
}

static void same_bits(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 &&
            !(isnan(a[i]) && isnan(b[i])))
            fail_msg("value %zu is %.9g, then %.9g", i, (double)a[i],
                     (double)b[i]);
}

/* Outputs of N examples, [N][7]: again, by 3 threads, one by one, the same
 * bits. */
static void outputs(const struct pf_model *m, const float *params,
                    enum pf_precision p, const float *x, float *y)
{
    struct pf_shape in = pf_model_input(m);
    size_t size = (size_t)in.c * in.h * in.w, classes = pf_model_n_classes(m);
    struct crew crew = {.workers = 3};
    struct pf_parallel threads = crew_lend(&crew);
    struct pf_error err = {0};
    struct pf_infer *f = NULL;

    for (int time = 0; time < 3; time++) {
        const float *out;

        if (time != 1 && pf_infer_open(m, params, N, p, time ? &threads : NULL,
                                       &f, &err) != POCKETFED_OK)
            fail_msg("%s", err.text);
        for (size_t i = 0; i < N; i++)
            memcpy(pf_infer_input(f, i), x + i * size, size * sizeof *x);
        out = pf_infer_run(f, N);
        if (time)
            same_bits(out, y, N * classes);
        memcpy(y, out, N * classes * sizeof *y);
        if (time == 0)
            continue;
        for (size_t i = 0; i < N; i++) {
            memcpy(pf_infer_input(f, 0), x + i * size, size * sizeof *x);
            same_bits(pf_infer_run(f, 1), y + i * classes, classes);
        }
        pf_infer_close(f);
    }
    assert_true(crew.runs > 0);
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
        float *params = parameters(m, seed);
        float *x = noise(seed, (size_t)N * in.c * in.h * in.w);
        float y[3][N * 7];
        double most;

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
        float *params = parameters(m, seed);
        float *x = noise(seed, N * size), first[N * 7];

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
    free(params);
    pf_model_free(m);
}

static void what_16_bits_cannot_hold_is_refused_by_its_layer(void **state)
{
    struct pf_model *m = draw(2);
    const struct pf_layer *conv = &m->layers[0];
    const struct pf_layer *dense = &m->layers[m->n_layers - 1];
    const struct {
        size_t at;
        const char *layer; /* NULL: it can */
    } places[] = {{conv->weight + 3, "layer a"},
                  {conv->bias, "layer a"},
                  {conv->weight + conv->n_params - 1, "layer a"},
                  {dense->bias - 1, "layer e"},
                  {dense->bias, NULL}, /* a float */
                  {dense->bias + 6, NULL}};
    struct pf_infer *f = NULL;
    struct pf_error err = {0};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof places / sizeof *places; i++) {
        float *params = parameters(m, 1), beyond = i % 2 ? 65505 : -70000;
        size_t at = places[i / 2].at;

        params[at] = beyond;
        if (places[i / 2].layer) {
            assert_int_equal(
                pf_infer_open(m, params, 1, PF_F16, NULL, &f, &err),
                POCKETFED_LIMIT);
            assert_non_null(strstr(err.text, places[i / 2].layer));
        } else {
            assert_int_equal(
                pf_infer_open(m, params, 1, PF_F16, NULL, &f, &err),
                POCKETFED_OK);
            memset(pf_infer_input(f, 0), 0,
                   pf_shape_size(&m->input) * sizeof *params);
            assert_true(fabsf(pf_infer_run(f, 1)[at - dense->bias] - beyond) <
                        100);
            pf_infer_close(f);
        }
        free(params);
    }
    pf_model_free(m);
}

/* As many products as 131072, rounded up to fours in each row of a window. */
static void steps_whose_sums_could_overflow_do_not_fit_bytes(void **state)
{
    static const struct {
        size_t k, c; /* k 0: a dense step of c inputs */
        int fits;
    } sizes[] = {{0, 131072, 1}, {0, 131073, 0}, {0, 131076, 0}, {4, 8192, 1},
                 {4, 8193, 0},   {3, 14562, 1},  {3, 14563, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pf_step s = {0};

        s.conv.k = sizes[i].k;
        s.conv.c = s.dense.in = sizes[i].c;
        s.conv.o = s.dense.out = 1;
        assert_int_equal(pf_step_fits_int8(&s), sizes[i].fits);
    }
}

static void
the_longest_sum_of_bytes_is_right_and_a_longer_one_is_of_floats(void **state)
{
    static const char *const inputs[] = {"2,256,256", "36,11,331"};
    static const size_t sizes[] = {131072, 131076};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pf_infer *f = NULL;
        struct pf_model *m;
        char json[400];
        float *params;

        snprintf(json, sizeof json,
                 "{\"version\":1,\"input\":[%s],\"layers\":["
                 "{\"name\":\"f\",\"type\":\"flatten\"},"
                 "{\"name\":\"d\",\"type\":\"dense\",\"units\":2}],"
                 "\"loss\":\"softmax_cross_entropy\"}",
                 inputs[i]);
        m = model(json);
        params = parameters(m, 1);
        for (size_t j = 0; j < 2 * sizes[i]; j++)
            params[j] = j < sizes[i] ? 1 : -1;
        assert_int_equal(pf_infer_open(m, params, 1, PF_INT8, NULL, &f, NULL),
                         POCKETFED_OK);
        assert_ptr_equal(pf_infer_exec(f)->steps[0].kind,
                         i ? &pf_dense_step : &pf_dense_int8_step);
        for (size_t j = 0; j < sizes[i]; j++)
            pf_infer_input(f, 0)[j] = 1;
        for (int j = 0; j < 2; j++)
            assert_true(fabsf(pf_infer_run(f, 1)[j] -
                              (j ? -1 : 1) * (float)sizes[i]) < 1);
        pf_infer_close(f);
        free(params);
        pf_model_free(m);
    }
}

/* At row 2, column 2, where windows of all strides come by. */
static void a_NaN_in_an_example_shows_in_its_own_outputs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct pf_model *m = draw(seed);
        size_t size = pf_shape_size(&m->input);
        float *params = parameters(m, seed);
        float *x = noise(seed, N * size), y[N * 7];

        x[2 * size + 2 * 13 + 2] = NAN;
        for (int p = PF_F32; p <= PF_INT8; p++) {
            outputs(m, params, (enum pf_precision)p, x, y);
            for (size_t i = 0; i < N * 7; i++)
                assert_int_equal(isnan(y[i]) != 0, i / 7 == 2);
        }
        free(params);
        free(x);
        pf_model_free(m);
    }
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
        cmocka_unit_test(what_16_bits_cannot_hold_is_refused_by_its_layer),
        cmocka_unit_test(steps_whose_sums_could_overflow_do_not_fit_bytes),
        cmocka_unit_test(
            the_longest_sum_of_bytes_is_right_and_a_longer_one_is_of_floats),
        cmocka_unit_test(a_NaN_in_an_example_shows_in_its_own_outputs),
        cmocka_unit_test(weights_take_half_and_a_quarter_of_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
