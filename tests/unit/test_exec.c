/* How a training runs inside: what becomes one step, that lent threads change
 * no bit, that a step takes no memory, and that the memory is what was said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <stdatomic.h>

#include "crew.h"
#include "exec.h"
#include "rng.h"
#include "train.h"

/* The linker leads all calls here (--wrap). */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

static _Atomic size_t asked, calls;

void *__wrap_malloc(size_t n)
{
    asked += n;
    calls++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    asked += n * size;
    calls++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    asked += n;
    calls++;
    return __real_realloc(p, n);
}

#define HEAD                                                                   \
    "{\"version\":1,\"input\":[2,10,10],\"loss\":\"softmax_cross_entropy\","   \
    "\"layers\":["
#define CONV(name, out)                                                        \
    "{\"name\":\"" name "\",\"type\":\"conv2d\",\"out_channels\":" #out        \
    ",\"kernel\":3,\"padding\":1},"
#define LAYER(name) "{\"name\":\"" name "\",\"type\":\"" name "\"},"
#define POOL        "{\"name\":\"pool\",\"type\":\"maxpool2d\",\"size\":2},"
#define MEAN        "{\"name\":\"mean\",\"type\":\"avgpool2d\",\"size\":2},"
#define CLASSES     "{\"name\":\"out\",\"type\":\"dense\",\"units\":3}]}"

#define CHAIN HEAD CONV("c", 5) LAYER("relu") POOL LAYER("flatten") CLASSES
#define DEEP                                                                   \
    HEAD CONV("c", 6) LAYER("leaky_relu") MEAN CONV("d", 7) LAYER("relu")      \
        POOL LAYER("flatten") "{\"name\":\"h\",\"type\":\"dense\",\"units\":"  \
                              "37}," LAYER("tanh") CLASSES
/* One of everything that needs more than a chain of fused steps. */
#define BRANCHES                                                               \
    HEAD CONV("c", 6) LAYER("batchnorm2d") LAYER("relu")                       \
        CONV("d", 6) "{\"name\":\"g\",\"type\":\"groupnorm\",\"groups\":2},"   \
                     "{\"name\":\"sum\",\"type\":\"add\",\"inputs\":[\"g\","   \
                     "\"relu\"]},{\"name\":\"dw\",\"type\":"                   \
                     "\"depthwise_conv2d\",\"kernel\":3,\"stride\":2}," LAYER( \
                         "dropout") LAYER("globalavgpool") CLASSES

#define N    210
#define SIZE 200

static enum pocketfed_status get(void *ctx, size_t i, float *x, uint32_t *label)
{
    struct pf_rng r = pf_rng_make(9, i, 0, PF_RNG_TEST);

    (void)ctx;
    *label = (uint32_t)(i % 3);
    for (uint64_t j = 0; j < SIZE; j++)
        x[j] = pf_rng_float(&r, j) + (j % 3 == *label ? 0.5f : 0) - 0.5f;
    return POCKETFED_OK;
}

static const struct pf_examples examples = {NULL, N, get};

static struct pf_model *model(const char *spec)
{
    struct pf_model *m = NULL;
    struct pf_error err = {0};

    if (pf_model_create(spec, strlen(spec), &m, &err) != POCKETFED_OK)
        fail_msg("%s: %s", spec, err.text);
    return m;
}

static struct pf_train_config config(void)
{
    struct pf_train_config c;

    pf_train_config_default(&c);
    c.batch = 100;
    c.optimizer = PF_ADAM;
    c.lr = 0.003;
    return c;
}

/* The parameters after all steps; the caller frees them. */
static float *train(const struct pf_model *m, const struct pf_train_config *c,
                    const struct pf_parallel *threads)
{
    float *p = malloc(pf_model_n_params(m) * sizeof *p);
    struct pf_trainer *t = NULL;
    struct pf_error err = {0};
    enum pocketfed_status st;

    assert_non_null(p);
    if (pf_trainer_create(m, c, &examples, 5, threads, &t, &err) !=
        POCKETFED_OK)
        fail_msg("%s", err.text);
    pf_model_init(m, 3, p);
    pf_trainer_set_params(t, p);
    do {
        st = pf_trainer_step(t);
    } while (st == POCKETFED_AGAIN);
    assert_int_equal(st, POCKETFED_OK);
    pf_trainer_get_params(t, p);
    pf_trainer_free(t);
    return p;
}

static void plan(struct pf_exec *e, const struct pf_model *m)
{
    const struct pf_exec_options o = {4, 1, NULL, PF_F32};

    pf_exec_plan(e, m, &pf_kernels_reference, &o);
}

static void layers_that_belong_together_are_one_step(void **state)
{
    struct pf_model *m = model(CHAIN);
    struct pf_exec e;

    (void)state;
    plan(&e, m);
    assert_int_equal(e.n_steps, 2);
    assert_int_equal(e.steps[0].n_layers, 3);
    assert_int_equal(e.steps[0].conv.act, PF_ACT_RELU);
    assert_int_equal(e.steps[0].conv.pool, PF_POOL_MAX2);
    assert_false(e.steps[0].wants_dx[0]);       /* nothing learns before it */
    assert_false(e.steps[0].conv.zero_is_dead); /* the model's own input */
    assert_int_equal(e.steps[1].n_layers, 2);
    assert_int_equal(e.steps[1].dense.c, 5);
    assert_int_equal(e.steps[1].dense.hw, 25);
    assert_true(e.steps[1].dense.zero_is_dead);
    assert_true(e.steps[1].wants_dx[0]);
    pf_model_free(m);
    m = model(DEEP);
    plan(&e, m);
    assert_int_equal(e.n_steps, 5); /* c d h tanh out */
    assert_int_equal(e.steps[0].conv.act, PF_ACT_LEAKY);
    assert_int_equal(e.steps[0].conv.pool, PF_POOL_AVG2);
    assert_false(e.steps[1].conv.zero_is_dead); /* leaky: zeros may live */
    pf_model_free(m);
    /* The other order makes the same values. */
    m = model(HEAD CONV("c", 5) POOL LAYER("relu") LAYER("flatten") CLASSES);
    plan(&e, m);
    assert_int_equal(e.n_steps, 2);
    assert_int_equal(e.steps[0].conv.act, PF_ACT_RELU);
    pf_model_free(m);
}

static void a_value_that_two_layers_take_stays_outside_of_steps(void **state)
{
    struct pf_model *m = model(HEAD CONV("c", 5) LAYER("relu") CONV(
        "d", 5) "{\"name\":\"sum\",\"type\":\"add\",\"inputs\":[\"c\",\"d\"]}"
                "," LAYER("globalavgpool") CLASSES);
    struct pf_exec e;

    (void)state;
    plan(&e, m);
    assert_int_equal(e.n_steps, 6);
    assert_int_equal(e.steps[0].n_layers, 1); /* sum takes c, too */
    assert_int_equal(e.steps[0].conv.act, PF_ACT_NONE);
    assert_true(e.steps[1].wants_dx[0] && e.steps[1].adds_dx[0]);
    assert_false(e.steps[3].adds_dx[0] || e.steps[3].adds_dx[1]);
    pf_model_free(m);
}

static void check_threads(const char *spec, struct pf_train_config c)
{
    static const unsigned counts[] = {1, 2, 3, 7};
    struct pf_model *m = model(spec);
    float *alone = train(m, &c, NULL), *p;

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct crew crew = {.workers = counts[i]};
        struct pf_parallel threads = crew_lend(&crew);

        p = train(m, &c, &threads);
        assert_memory_equal(p, alone, pf_model_n_params(m) * sizeof *p);
        assert_true((crew.runs > 0) == (counts[i] > 1));
        free(p);
    }
    free(alone);
    pf_model_free(m);
}

static void lent_threads_change_no_bit(void **state)
{
    struct pf_train_config c = config();

    (void)state;
    check_threads(DEEP, c);
    check_threads(BRANCHES, c);
    c.batch = 30; /* other groups of examples */
    check_threads(DEEP, c);
    c.batch = 200; /* two chunks */
    c.clip_norm = 0.5;
    check_threads(DEEP, c);
    check_threads(BRANCHES, c);
}

static void evaluation_on_threads_has_the_same_bits(void **state)
{
    struct pf_model *m = model(DEEP);
    float *p = malloc(pf_model_n_params(m) * sizeof *p);
    struct crew crew = {.workers = 3};
    struct pf_parallel threads = crew_lend(&crew);
    struct pf_evaluation one, three;
    struct pf_infer *f = NULL;

    (void)state;
    assert_non_null(p);
    pf_model_init(m, 3, p);
    assert_int_equal(pf_evaluate(m, p, &examples, 0, N, &one, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_infer_open(m, p, N, PF_F32, &threads, &f, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_infer_evaluate(f, &examples, 0, N, &three, NULL),
                     POCKETFED_OK);
    assert_true(crew.runs > 0);
    assert_true(one.loss == three.loss && one.correct == three.correct);
    pf_infer_close(f);
    free(p);
    pf_model_free(m);
}

/* The step that is applied layer by layer in the backward pass, and the one
 * that gathers all gradients first, which a clipping that never clips asks
 * for. */
static void gathered_gradients_make_the_same_steps(void **state)
{
    static const char *const specs[] = {CHAIN, DEEP, BRANCHES};
    struct pf_train_config c = config(), gathered;

    (void)state;
    c.optimizer = PF_SGD;
    c.lr = 0.02;
    c.momentum = 0.9;
    c.weight_decay = 0.001;
    gathered = c;
    gathered.clip_norm = 1e6;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct pf_model *m = model(specs[i]);
        float *a = train(m, &c, NULL), *b = train(m, &gathered, NULL);

        for (size_t j = 0; j < pf_model_n_params(m); j++)
            assert_true(fabsf(a[j] - b[j]) <= 2e-5f);
        free(a);
        free(b);
        pf_model_free(m);
    }
}

static void check_memory(const char *spec, struct pf_train_config c)
{
    struct pf_model *m = model(spec);
    size_t said = pf_trainer_bytes(m, &c, N, 1), before;
    float *p = malloc(pf_model_n_params(m) * sizeof *p);
    struct pf_trainer *t = NULL;

    assert_non_null(p);
    pf_model_init(m, 3, p);
    before = asked;
    assert_int_equal(pf_trainer_create(m, &c, &examples, 5, NULL, &t, NULL),
                     POCKETFED_OK);
    assert_int_equal(asked - before, said);
    before = calls;
    pf_trainer_set_params(t, p);
    while (pf_trainer_step(t) == POCKETFED_AGAIN) {
    }
    pf_trainer_get_params(t, p);
    assert_int_equal(calls, before);
    pf_trainer_free(t);
    free(p);
    pf_model_free(m);
}

static void a_training_takes_what_was_said_and_nothing_later(void **state)
{
    static const char *const specs[] = {CHAIN, DEEP, BRANCHES};
    struct pf_train_config c;

    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        c = config();
        check_memory(specs[i], c);
        c.mu = 0.1;
        c.control = 1;
        c.clip_norm = 1;
        c.schedule = PF_COSINE;
        check_memory(specs[i], c);
        c.optimizer = PF_SGD;
        c.batch = 7;
        c.shuffle = 0;
        check_memory(specs[i], c);
    }
}

static void an_explanation_has_a_line_for_each_step(void **state)
{
    struct pf_model *m = model(DEEP);
    struct pf_exec e;
    struct pf_buf text;
    unsigned lines = 0;

    (void)state;
    plan(&e, m);
    pf_buf_init(&text, 4096);
    assert_int_equal(pf_exec_explain(&e, &text), POCKETFED_OK);
    for (const char *c = pf_buf_str(&text); *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 5);
    assert_non_null(strstr(pf_buf_str(&text), "c+leaky_relu+mean"));
    assert_non_null(strstr(pf_buf_str(&text), "flatten+h"));
    pf_buf_free(&text);
    pf_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_belong_together_are_one_step),
        cmocka_unit_test(a_value_that_two_layers_take_stays_outside_of_steps),
        cmocka_unit_test(lent_threads_change_no_bit),
        cmocka_unit_test(evaluation_on_threads_has_the_same_bits),
        cmocka_unit_test(gathered_gradients_make_the_same_steps),
        cmocka_unit_test(a_training_takes_what_was_said_and_nothing_later),
        cmocka_unit_test(an_explanation_has_a_line_for_each_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
