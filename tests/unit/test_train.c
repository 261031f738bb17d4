#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "rng.h"
#include "train.h"

#define SPEC                                                                   \
    "{\"version\":1,\"input\":[2,6,6],\"loss\":\"softmax_cross_entropy\","     \
    "\"layers\":[{\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":5,"      \
    "\"kernel\":3,\"padding\":1},{\"name\":\"r\",\"type\":\"relu\"},"          \
    "{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":2},"                      \
    "{\"name\":\"f\",\"type\":\"flatten\"},"                                   \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]}"
#define N    41
#define SIZE 72

/* Class k is bright in a row of its own; what was asked for is recorded. */
struct source {
    size_t asked[1000], n_asked;
    size_t fail_at;  /* the how-manieth call fails; 0: none */
    size_t nan_at;   /* index of an example with a NaN, plus one */
    size_t label_at; /* index of an example with a bad label, plus one */
};

static enum pocketfed_status get(void *ctx, size_t i, float *x, uint32_t *label)
{
    struct source *s = ctx;
    struct pf_rng r = pf_rng_make(9, i, 0, PF_RNG_TEST);

    if (s->n_asked < 1000)
        s->asked[s->n_asked] = i;
    s->n_asked++;
    if (s->fail_at && s->n_asked == s->fail_at)
        return POCKETFED_IO;
    *label = (uint32_t)(i % 3);
    if (s->label_at == i + 1)
        *label = 3;
    for (uint64_t j = 0; j < SIZE; j++)
        x[j] = pf_rng_float(&r, j) * 0.5f + (j / 12 % 3 == *label ? 1.0f : 0);
    if (s->nan_at == i + 1)
        x[3] = NAN;
    return POCKETFED_OK;
}

struct run {
    struct pf_model *m;
    struct source s;
    struct pf_examples all;
    struct pf_train_config c;
    struct pf_trainer *t;
    float *params; /* as params_of gave them */
};

static size_t bytes_of(const struct run *r)
{
    return pf_model_n_params(r->m) * sizeof *r->params;
}

static const float *params_of(struct run *r)
{
    pf_trainer_get_params(r->t, r->params);
    return r->params;
}

static void start(struct run *r)
{
    struct pf_error err = {0};

    r->all.ctx = &r->s;
    r->all.n = N;
    r->all.get = get;
    assert_int_equal(pf_model_create(SPEC, strlen(SPEC), &r->m, &err),
                     POCKETFED_OK);
    if (pf_trainer_create(r->m, &r->c, &r->all, 77, NULL, &r->t, &err) !=
        POCKETFED_OK)
        fail_msg("%s", err.text);
    r->params = malloc(bytes_of(r));
    assert_non_null(r->params);
    pf_model_init(r->m, 1, r->params);
    pf_trainer_set_params(r->t, r->params);
}

static void stop(struct run *r)
{
    pf_trainer_free(r->t);
    pf_model_free(r->m);
    free(r->params);
}

static struct run defaults(void)
{
    struct run r;

    memset(&r, 0, sizeof r);
    pf_train_config_default(&r.c);
    r.c.epochs = 3;
    r.c.batch = 4;
    return r;
}

static void finish(struct pf_trainer *t)
{
    while (pf_trainer_step(t) == POCKETFED_AGAIN) {
    }
}

static void learns_what_can_be_learnt(void **state)
{
    struct run r = defaults();
    struct pf_evaluation e;
    double before;

    (void)state;
    r.c.epochs = 20;
    start(&r);
    assert_true(isnan(pf_trainer_loss(r.t)));
    assert_int_equal(pf_evaluate(r.m, params_of(&r), &r.all, 0, N, &e, NULL),
                     POCKETFED_OK);
    before = e.loss;
    finish(r.t);
    assert_int_equal(pf_evaluate(r.m, params_of(&r), &r.all, 0, N, &e, NULL),
                     POCKETFED_OK);
    assert_int_equal(e.n, N);
    assert_int_equal(e.correct, N);
    assert_true(e.loss < before / 5);
    assert_true(pf_trainer_loss(r.t) < before / 4);
    stop(&r);
}

static void the_position_counts_every_example_once_an_epoch(void **state)
{
    struct run r = defaults();
    const struct pf_train_position *p;
    unsigned seen[N] = {0}, differ = 0;
    int steps = 0;

    (void)state;
    start(&r);
    p = pf_trainer_position(r.t);
    while (pf_trainer_step(r.t) == POCKETFED_AGAIN)
        steps++;
    assert_int_equal(steps + 1, 3 * 11); /* 41 examples: ten fours and a one */
    assert_int_equal(p->epoch, 3);
    assert_int_equal(p->batch, 0);
    assert_int_equal(p->step, 33);
    assert_int_equal(p->examples, 3 * N);
    assert_int_equal(p->loss_examples, N);
    assert_int_equal(r.s.n_asked, 3 * N);
    for (size_t i = 0; i < 3 * N; i++)
        seen[r.s.asked[i]]++;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(seen[i], 3);
        differ += r.s.asked[i] != r.s.asked[N + i];
    }
    assert_true(differ > N / 2); /* each epoch has an order of its own */
    assert_int_equal(pf_trainer_step(r.t), POCKETFED_OK);
    assert_int_equal(p->step, 33); /* nothing more happens */
    stop(&r);
}

static void the_order_is_a_function_of_seed_and_epoch(void **state)
{
    struct run a = defaults(), b = defaults();

    (void)state;
    start(&a);
    start(&b);
    finish(a.t);
    finish(b.t);
    assert_memory_equal(a.s.asked, b.s.asked, 3 * N * sizeof a.s.asked[0]);
    assert_memory_equal(params_of(&a), params_of(&b), bytes_of(&a));
    stop(&a);
    stop(&b);
    a = defaults();
    a.c.shuffle = 0;
    start(&a);
    finish(a.t);
    for (size_t i = 0; i < 3 * N; i++)
        assert_int_equal(a.s.asked[i], i % N);
    stop(&a);
}

static void check_resume(struct run r, int after)
{
    struct run a = r, b = r;
    struct pf_train_position at;
    float *state;
    size_t n;

    start(&a);
    start(&b);
    for (int i = 0; i < after; i++)
        pf_trainer_step(a.t);
    n = pf_trainer_n_state(a.t);
    assert_int_equal(n, pf_trainer_n_state(b.t));
    state = calloc(n + 1, sizeof *state);
    assert_non_null(state);
    pf_trainer_get_state(a.t, state);
    at = *pf_trainer_position(a.t);
    assert_int_equal(pf_trainer_resume(b.t, &at, params_of(&a), state),
                     POCKETFED_OK);
    free(state);
    assert_memory_equal(pf_trainer_position(b.t), &at, sizeof at);
    finish(a.t);
    finish(b.t);
    assert_memory_equal(params_of(&a), params_of(&b), bytes_of(&a));
    assert_memory_equal(pf_trainer_position(b.t), pf_trainer_position(a.t),
                        sizeof at);
    assert_true(pf_trainer_loss(a.t) == pf_trainer_loss(b.t));
    stop(&a);
    stop(&b);
}

static void continues_from_any_position_to_the_same_bits(void **state)
{
    const int after[] = {0, 1, 10, 11, 12, 32, 33};
    struct run r = defaults();

    (void)state;
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        r.c.optimizer = PF_SGD;
        r.c.momentum = 0;
        check_resume(r, after[i]);
        r.c.momentum = 0.9;
        check_resume(r, after[i]);
        r.c.optimizer = PF_ADAM;
        r.c.momentum = 0;
        r.c.lr = 0.01;
        check_resume(r, after[i]);
    }
}

static void a_position_that_cannot_be_is_refused(void **state)
{
    struct run r = defaults();
    struct pf_train_position good, p;

    (void)state;
    start(&r);
    for (int i = 0; i < 12; i++)
        pf_trainer_step(r.t);
    good = *pf_trainer_position(r.t);
    p = good;
    p.epoch = 4;
    assert_int_equal(pf_trainer_resume(r.t, &p, r.params, NULL),
                     POCKETFED_INVALID);
    p = good;
    p.batch = 11;
    assert_int_equal(pf_trainer_resume(r.t, &p, r.params, NULL),
                     POCKETFED_INVALID);
    p = good;
    p.step++;
    assert_int_equal(pf_trainer_resume(r.t, &p, r.params, NULL),
                     POCKETFED_INVALID);
    p = good;
    p.examples--;
    assert_int_equal(pf_trainer_resume(r.t, &p, r.params, NULL),
                     POCKETFED_INVALID);
    p = good;
    p.loss_sum = (double)NAN;
    assert_int_equal(pf_trainer_resume(r.t, &p, r.params, NULL),
                     POCKETFED_INVALID);
    assert_memory_equal(pf_trainer_position(r.t), &good, sizeof good);
    assert_int_equal(pf_trainer_resume(r.t, &good, r.params, NULL),
                     POCKETFED_OK);
    stop(&r);
}

static void a_failing_source_leaves_parameters_and_position_alone(void **state)
{
    struct run r = defaults(), b = defaults();
    struct pf_train_position at;
    size_t bytes;
    float *before;

    (void)state;
    start(&r);
    start(&b);
    bytes = pf_model_n_params(r.m) * sizeof *before;
    before = malloc(bytes);
    assert_non_null(before);
    pf_trainer_step(r.t);
    r.s.fail_at = 7;
    memcpy(before, params_of(&r), bytes);
    at = *pf_trainer_position(r.t);
    assert_int_equal(pf_trainer_step(r.t), POCKETFED_IO);
    assert_memory_equal(params_of(&r), before, bytes);
    assert_memory_equal(pf_trainer_position(r.t), &at, sizeof at);
    finish(r.t); /* the next try succeeds, with the same result */
    finish(b.t);
    assert_memory_equal(params_of(&r), params_of(&b), bytes);
    free(before);
    stop(&r);
    stop(&b);
}

static void a_nan_stops_the_training(void **state)
{
    struct run r = defaults();

    (void)state;
    r.c.shuffle = 0;
    r.s.nan_at = 6;
    start(&r);
    assert_int_equal(pf_trainer_step(r.t), POCKETFED_AGAIN);
    assert_int_equal(pf_trainer_step(r.t), POCKETFED_NON_FINITE);
    assert_int_equal(pf_trainer_position(r.t)->step, 1);
    stop(&r);
}

static void a_label_without_a_class_is_refused(void **state)
{
    struct run r = defaults();
    struct pf_evaluation e = {.n = 5};
    struct pf_error err = {0};

    (void)state;
    r.c.shuffle = 0;
    r.s.label_at = 2;
    start(&r);
    assert_int_equal(pf_trainer_step(r.t), POCKETFED_INVALID);
    assert_int_equal(pf_evaluate(r.m, params_of(&r), &r.all, 0, N, &e, &err),
                     POCKETFED_INVALID);
    assert_non_null(strstr(err.text, "example 1 is 3"));
    assert_int_equal(e.n, 5); /* untouched */
    stop(&r);
}

static void evaluation_of_ranges_adds_up(void **state)
{
    struct run r = defaults();
    struct pf_evaluation all, a, b;

    (void)state;
    start(&r);
    finish(r.t);
    pf_evaluate(r.m, params_of(&r), &r.all, 0, N, &all, NULL);
    pf_evaluate(r.m, params_of(&r), &r.all, 0, 13, &a, NULL);
    pf_evaluate(r.m, params_of(&r), &r.all, 13, N, &b, NULL);
    assert_int_equal(a.n + b.n, all.n);
    assert_int_equal(a.correct + b.correct, all.correct);
    assert_true(fabs(a.loss * 13 + b.loss * (N - 13) - all.loss * N) < 1e-9);
    assert_int_equal(
        pf_evaluate(r.m, params_of(&r), &r.all, 3, N + 1, &a, NULL),
        POCKETFED_INVALID);
    stop(&r);
}

static void predictions_are_probabilities(void **state)
{
    struct run r = defaults();
    float x[SIZE], p[3];
    uint32_t label;

    (void)state;
    r.c.epochs = 20;
    start(&r);
    finish(r.t);
    for (size_t i = 0; i < 6; i++) {
        get(&r.s, i, x, &label);
        assert_int_equal(pf_predict(r.m, params_of(&r), PF_F32, x, p, NULL),
                         POCKETFED_OK);
        assert_true(fabsf(p[0] + p[1] + p[2] - 1) < 1e-5f);
        assert_true(p[label] > 0.5f);
    }
    stop(&r);
}

static void memory_is_known_beforehand_and_bounded(void **state)
{
    struct pf_model *m = NULL;
    struct pf_examples none = {NULL, 0, get};
    struct pf_train_config c;
    struct pf_trainer *t = NULL;
    size_t small, large;

    (void)state;
    pf_train_config_default(&c);
    pf_model_create(pf_zoo_spec("lenet5"), strlen(pf_zoo_spec("lenet5")), &m,
                    NULL);
    c.batch = 1000; /* batches go through in chunks */
    small = pf_trainer_bytes(m, &c, 4000, 1);
    c.batch = 4000;
    large = pf_trainer_bytes(m, &c, 4000, 1);
    assert_int_equal(small, large);
    assert_true(small > 2 * 61706 * sizeof(float) && small < (16u << 20));
    c.optimizer = PF_ADAM;
    assert_true(pf_trainer_bytes(m, &c, 4000, 1) >
                large + 2 * 61706 * sizeof(float) - 64);
    assert_true(pf_trainer_bytes(m, &c, 4000, 2) >
                pf_trainer_bytes(m, &c, 4000, 1));
    if (SIZE_MAX > UINT32_MAX)
        assert_true(pf_trainer_bytes(m, &c, SIZE_MAX, 1) == SIZE_MAX);
    assert_int_equal(pf_trainer_create(m, &c, &none, 1, NULL, &t, NULL),
                     POCKETFED_INVALID);
    pf_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_what_can_be_learnt),
        cmocka_unit_test(the_position_counts_every_example_once_an_epoch),
        cmocka_unit_test(the_order_is_a_function_of_seed_and_epoch),
        cmocka_unit_test(continues_from_any_position_to_the_same_bits),
        cmocka_unit_test(a_position_that_cannot_be_is_refused),
        cmocka_unit_test(a_failing_source_leaves_parameters_and_position_alone),
        cmocka_unit_test(a_nan_stops_the_training),
        cmocka_unit_test(a_label_without_a_class_is_refused),
        cmocka_unit_test(evaluation_of_ranges_adds_up),
        cmocka_unit_test(predictions_are_probabilities),
        cmocka_unit_test(memory_is_known_beforehand_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
