/* What layers and losses promise beyond their gradients: dropout's draws, batch
 * norm's statistics, what counts as right, and how near the float functions
 * come to the double ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "exec.h"
#include "expneg.h"
#include "layer.h"
#include "train.h"

#define HEAD                                                                   \
    "{\"version\":1,\"input\":[2,5,5],\"loss\":\"softmax_cross_entropy\","     \
    "\"layers\":[{\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":9,"      \
    "\"kernel\":3,\"padding\":1},"
#define TAIL                                                                   \
    "{\"name\":\"g\",\"type\":\"globalavgpool\"},"                             \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]}"
#define DROPOUT HEAD "{\"name\":\"d\",\"type\":\"dropout\",\"rate\":0.25}," TAIL
#define NORM    HEAD "{\"name\":\"n\",\"type\":\"batchnorm2d\"}," TAIL

enum { SIZE = 50 };

static struct pf_model *make(const char *spec)
{
    struct pf_model *m = NULL;
    struct pf_error err = {0};

    if (pf_model_create(spec, strlen(spec), &m, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    return m;
}

static double worst(float (*f)(float), double (*g)(double), float from,
                    float to, float step)
{
    double most = 0;

    for (float x = from; x <= to; x += step) {
        double want = g((double)x);
        double e = fabs((double)f(x) - want) / fabs(want);

        if (want != 0 && e > most)
            most = e;
    }
    return most;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void the_float_functions_are_as_precise_as_they_say(void **state)
{
    (void)state;
    assert_true(worst(pf_exp_neg, exp, -87.3f, 0, 1e-4f) < 2e-7);
    assert_true(worst(pf_exp_neg, exp, -1, 0, 1e-6f) < 2e-7);
    assert_true(worst(pf_real_tanh, tanh, -12, 12, 1e-5f) < 4e-7);
    assert_true(worst(pf_real_tanh, tanh, -1e-3f, 1e-3f, 1e-8f) < 4e-7);
    assert_true(worst(pf_real_sigmoid, sigmoid, -80, 80, 1e-4f) < 4e-7);
    assert_true(pf_exp_neg(0) == 1.0f);
    assert_true(pf_exp_neg(-1000) < 1.3e-38f);
    assert_true(pf_real_tanh(0) == 0.0f);
    assert_true(pf_real_tanh(50) == 1.0f && pf_real_tanh(-50) == -1.0f);
    assert_true(isnan(pf_exp_neg((float)NAN)));
    assert_true(isnan(pf_real_tanh((float)NAN)));
    assert_true(isnan(pf_real_sigmoid((float)NAN)));
}

/* The dropout layer alone on values that are all 1. */
static void drop(const struct pf_layer *l, uint64_t seed, size_t first,
                 size_t n, int training, float *y)
{
    static const size_t size = 9 * 5 * 5;
    uint32_t side[4 * 8];
    float x[4 * 9 * 5 * 5];
    struct pf_pass p = {.n = n,
                        .x = x,
                        .y = y,
                        .side = side,
                        .training = training,
                        .seed = seed,
                        .first = first};

    for (size_t i = 0; i < n * size; i++)
        x[i] = 1;
    l->type->forward(l, &p);
}

static void dropout_draws_by_seed_and_example_alone(void **state)
{
    struct pf_model *m = make(DROPOUT);
    const struct pf_layer *l = &m->layers[1];
    enum { N = 9 * 5 * 5 };
    float all[4 * N], part[2 * N], other[4 * N];
    size_t dropped = 0;

    (void)state;
    drop(l, 7, 10, 4, 1, all);
    drop(l, 7, 12, 2, 1, part); /* another cut of the same batch */
    assert_memory_equal(all + 2 * N, part, sizeof part);
    assert_memory_not_equal(all, all + N, N * sizeof *all);
    drop(l, 8, 10, 4, 1, other);
    assert_memory_not_equal(all, other, sizeof all);
    for (size_t i = 0; i < 4 * N; i++) {
        assert_true(all[i] == 0 || fabsf(all[i] - 1 / 0.75f) < 1e-6f);
        dropped += all[i] == 0;
    }
    assert_in_range(dropped, 180, 270); /* 225 expected, deviation 13 */
    drop(l, 7, 0, 4, 0, all);           /* not training */
    for (size_t i = 0; i < 4 * N; i++)
        assert_true(all[i] == 1);
    pf_model_free(m);
}

static enum pocketfed_status get(void *ctx, size_t i, float *x, uint32_t *label)
{
    (void)ctx;
    for (size_t j = 0; j < SIZE; j++)
        x[j] = (float)((i * 37 + j * j * 11) % 23) / 23;
    *label = (uint32_t)(i % 3);
    return POCKETFED_OK;
}

/* A trained copy of the model after one epoch in batches of 8, with decay and
 * FedProx. */
static void train(const struct pf_model *m, size_t examples, double momentum,
                  int fast, float *params)
{
    struct pf_examples e = {NULL, examples, get};
    struct pf_train_config c;
    struct pf_trainer *t;

    pf_train_config_default(&c);
    c.batch = 8;
    c.momentum = momentum;
    c.weight_decay = 0.5;
    c.mu = 1;
    c.lr = fast ? 0.1 : 1e-9;
    pf_model_init(m, 1, params);
    assert_int_equal(pf_trainer_create(m, &c, &e, 5, NULL, &t, NULL),
                     POCKETFED_OK);
    pf_trainer_set_params(t, params);
    while (pf_trainer_step(t) == POCKETFED_AGAIN)
        continue;
    pf_trainer_get_params(t, params);
    pf_trainer_free(t);
}

static const struct pf_tensor *tensor(const struct pf_model *m,
                                      const char *name)
{
    size_t n;
    const struct pf_tensor *t = pf_model_tensors(m, &n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void running_statistics_follow_the_batch_and_no_rule(void **state)
{
    struct pf_model *m = make(NORM);
    const struct pf_tensor *mean = tensor(m, "n.running_mean");
    const struct pf_tensor *var = tensor(m, "n.running_var");
    size_t n = pf_model_n_params(m);
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);

    (void)state;
    assert_true(a && b);
    /* The statistics of the first batch see no rule's effect, so rules and
     * rates must not show in them. */
    train(m, 8, 0, 0, a);
    train(m, 8, 0.9, 1, b);
    assert_memory_equal(a + mean->offset, b + mean->offset, 9 * sizeof(float));
    assert_memory_equal(a + var->offset, b + var->offset, 9 * sizeof(float));
    for (size_t i = 0; i < 9; i++) {
        assert_true(a[mean->offset + i] != 0);
        assert_true(a[var->offset + i] > 0.9f); /* a tenth is the batch's */
        assert_true(a[var->offset + i] != 1);
    }
    free(a);
    free(b);
    pf_model_free(m);
}

static void a_batch_of_one_value_leaves_the_running_variance(void **state)
{
    struct pf_model *m =
        make("{\"version\":1,\"input\":[50,1,1],\"loss\":\"mse\",\"layers\":["
             "{\"name\":\"n\",\"type\":\"batchnorm2d\"},"
             "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]}");
    const struct pf_tensor *var = tensor(m, "n.running_var");
    float params[50 * 4 + 153];

    (void)state;
    assert_int_equal(pf_model_n_params(m), 50 * 4 + 153);
    train(m, 1, 0, 1, params);
    for (size_t i = 0; i < 50; i++)
        assert_true(params[var->offset + i] == 1);
    for (size_t i = 0; i < 50 * 4 + 153; i++)
        assert_true(isfinite(params[i]));
    pf_model_free(m);
}

static void losses_say_what_is_right(void **state)
{
    static const float z[] = {0.2f, 0.9f, 0.9f, -1, -2, -3};
    static const uint32_t labels[] = {1, 2};
    static const float one[] = {-0.5f, 0.5f, 0};
    static const uint32_t answers[] = {0, 1, 1};
    float p[3];

    (void)state;
    for (size_t t = 0; pf_loss_types[t]; t++) {
        uint64_t right = 0;

        pf_loss_types[t]->run(z, labels, 2, 3, 1, NULL, &right);
        assert_int_equal(right, 1); /* of equals the first */
        if (pf_loss_types[t]->min_outputs > 1)
            continue;
        right = 0;
        pf_loss_types[t]->run(one, answers, 3, 1, 1, NULL, &right);
        assert_int_equal(right, 2);
        pf_loss_types[t]->predict(one, 1, p);
        assert_true(fabsf(p[1] - 0.3775407f) < 1e-6f);
        assert_true(fabsf(p[0] - 0.6224593f) < 1e-6f);
    }
}

static void losses_of_what_is_not_finite_are_not_finite(void **state)
{
    static const uint32_t label = 1;
    static const float bad[] = {(float)NAN, (float)INFINITY};

    (void)state;
    for (size_t t = 0; pf_loss_types[t]; t++)
        for (size_t b = 0; b < 2; b++)
            for (size_t at = 0; at < 3; at++) {
                float z[] = {0.5f, -0.5f, 0.25f}, g[3];

                z[at] = bad[b];
                for (size_t want = 0; want < 2; want++)
                    if (isfinite(pf_loss_types[t]->run(z, &label, 1, 3, 1,
                                                       want ? g : NULL, NULL)))
                        fail_msg("%s, %g at %zu", pf_loss_types[t]->name,
                                 (double)bad[b], at);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_float_functions_are_as_precise_as_they_say),
        cmocka_unit_test(dropout_draws_by_seed_and_example_alone),
        cmocka_unit_test(running_statistics_follow_the_batch_and_no_rule),
        cmocka_unit_test(a_batch_of_one_value_leaves_the_running_variance),
        cmocka_unit_test(losses_say_what_is_right),
        cmocka_unit_test(losses_of_what_is_not_finite_are_not_finite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
