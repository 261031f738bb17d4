#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "train.h"

/* One weight per class and a bias: small enough to check by hand. */
#define LINE                                                                   \
    "{\"version\":1,\"input\":[1,1,1],\"loss\":\"softmax_cross_entropy\","     \
    "\"layers\":[{\"name\":\"fc\",\"type\":\"dense\",\"units\":2}]}"

static enum pocketfed_status get_two(void *ctx, size_t i, float *x,
                                     uint32_t *label)
{
    (void)ctx;
    (void)i;
    *x = 2;
    *label = 0;
    return POCKETFED_OK;
}

/* With parameters zero both classes have probability 1/2, so the gradient is
 * (-1/2, 1/2) by the biases and twice that by the weights, for x = 2. */
static void check_first_steps(struct pf_train_config c, size_t n, float w1,
                              float w2)
{
    struct pf_examples same = {NULL, n, get_two};
    struct pf_model *m = NULL;
    struct pf_trainer *t = NULL;
    float p[4] = {0};

    c.epochs = 2;
    c.batch = (uint32_t)n;
    pf_model_create(LINE, strlen(LINE), &m, NULL);
    assert_int_equal(pf_trainer_create(m, &c, &same, 1, NULL, &t, NULL),
                     POCKETFED_OK);
    pf_trainer_set_params(t, p);
    pf_trainer_step(t);
    pf_trainer_get_params(t, p);
    assert_true(fabs(pf_trainer_loss(t) - 0.69314718055994531) < 1e-12);
    assert_true(fabsf(p[0] - w1) < 1e-6f && fabsf(p[1] + w1) < 1e-6f);
    pf_trainer_step(t);
    pf_trainer_get_params(t, p);
    if (!(fabsf(p[0] - w2) < 2e-6f))
        fail_msg("%.8f instead of %.8f", (double)p[0], (double)w2);
    pf_trainer_free(t);
    pf_model_free(m);
}

static void optimisers_make_the_steps_of_their_papers(void **state)
{
    struct pf_train_config c;
    double g2, m, v;

    (void)state;
    pf_train_config_default(&c);
    c.lr = 0.1;
    /* w = -lr g = 0.1, b = 0.05, so z0 - z1 = 2 (2 * 0.1 + 0.05) = 0.5 */
    g2 = -2 / (1 + exp(0.5));
    check_first_steps(c, 1, 0.1f, (float)(0.1 - 0.1 * g2));
    /* the same examples many times, in several chunks, have the same mean */
    check_first_steps(c, 300, 0.1f, (float)(0.1 - 0.1 * g2));
    c.momentum = 0.5; /* v = 0.5 * -1 + g2 */
    check_first_steps(c, 1, 0.1f, (float)(0.1 - 0.1 * (-0.5 + g2)));
    c.momentum = 0;
    c.weight_decay = 0.5;
    check_first_steps(c, 1, 0.1f, (float)(0.1 - 0.1 * (g2 + 0.05)));
    c.weight_decay = 0;
    /* Adam's first step is lr, whatever the gradient: w = b = 0.1 */
    c.optimizer = PF_ADAM;
    g2 = -2 / (1 + exp(0.6));
    m = (0.9 * 0.1 * -1 + 0.1 * g2) / (1 - 0.9 * 0.9);
    v = (0.999 * 0.001 + 0.001 * g2 * g2) / (1 - 0.999 * 0.999);
    check_first_steps(c, 1, 0.1f, (float)(0.1 - 0.1 * m / (sqrt(v) + 1e-8)));
}

/* The first step has g = -1 by w, the second one g2 (above), where w = 0.1. */
static void newer_rules_make_the_steps_of_their_papers(void **state)
{
    struct pf_train_config c;
    double g2, m, v, b1, w1;

    (void)state;
    pf_train_config_default(&c);
    c.lr = 0.1;
    c.momentum = 0.5;
    c.nesterov = 1;
    /* m = -1, w = 0.1 (1 + 0.5); b = 0.075, so z0 - z1 = 2 (0.3 + 0.075) */
    g2 = -2 / (1 + exp(0.75));
    m = -0.5 + g2;
    check_first_steps(c, 1, 0.15f, (float)(0.15 - 0.1 * (g2 + 0.5 * m)));
    c.momentum = 0;
    c.nesterov = 0;
    /* AdamW: w is zero at first, so decay shows in the second step only */
    c.optimizer = PF_ADAMW;
    c.weight_decay = 0.5;
    g2 = -2 / (1 + exp(0.6));
    m = (0.9 * 0.1 * -1 + 0.1 * g2) / (1 - 0.9 * 0.9);
    v = (0.999 * 0.001 + 0.001 * g2 * g2) / (1 - 0.999 * 0.999);
    check_first_steps(
        c, 1, 0.1f,
        (float)(0.1 - 0.1 * 0.5 * 0.1 - 0.1 * m / (sqrt(v) + 1e-8)));
    c.optimizer = PF_SGD;
    c.weight_decay = 0;
    /* The whole gradient is (-1, 1, -1/2, 1/2), of norm sqrt(2.5). */
    c.clip_norm = 0.5 * sqrt(2.5);
    w1 = 0.05;
    b1 = 0.025;
    g2 = -2 / (1 + exp(2 * (2 * w1 + b1)));
    v = fabs(g2) * sqrt(2.5); /* the norm of the second one */
    check_first_steps(c, 1, (float)w1,
                      (float)(w1 - 0.1 * g2 * c.clip_norm / v));
    c.clip_norm = 100; /* never */
    g2 = -2 / (1 + exp(0.5));
    check_first_steps(c, 1, 0.1f, (float)(0.1 - 0.1 * g2));
    c.clip_norm = 0;
    /* FedProx pulls back to where it began, which is zero. */
    c.mu = 2;
    check_first_steps(c, 1, 0.1f, (float)(0.1 - 0.1 * (g2 + 2 * 0.1)));
}

static void a_control_variate_is_added_to_the_gradient(void **state)
{
    static const float control[4] = {0.25f, 0, 0, -0.5f};
    struct pf_examples same = {NULL, 1, get_two};
    struct pf_model *m = NULL;
    struct pf_trainer *t = NULL;
    struct pf_train_config c;
    float p[4] = {0};

    (void)state;
    pf_train_config_default(&c);
    c.lr = 0.1;
    c.batch = 1;
    pf_model_create(LINE, strlen(LINE), &m, NULL);
    pf_trainer_create(m, &c, &same, 1, NULL, &t, NULL);
    assert_int_equal(pf_trainer_set_control(t, control), POCKETFED_INVALID);
    pf_trainer_free(t);
    c.control = 1;
    pf_trainer_create(m, &c, &same, 1, NULL, &t, NULL);
    assert_int_equal(pf_trainer_set_control(t, control), POCKETFED_OK);
    pf_trainer_set_params(t, p);
    pf_trainer_step(t);
    pf_trainer_get_params(t, p);
    assert_true(fabsf(p[0] - 0.075f) < 1e-6f && fabsf(p[1] + 0.1f) < 1e-6f);
    assert_true(fabsf(p[2] - 0.05f) < 1e-6f && fabsf(p[3] - 0) < 1e-6f);
    pf_trainer_free(t);
    pf_model_free(m);
}

static void assert_rate(const struct pf_train_config *c, uint64_t step,
                        double rate)
{
    double ours = pf_train_rate(c, step, 100, 10);

    if (!(fabs(ours - rate) <= 1e-12))
        fail_msg("step %u: %.12g instead of %.12g", (unsigned)step, ours, rate);
}

static void rates_follow_their_schedule(void **state)
{
    struct pf_train_config c;

    (void)state;
    pf_train_config_default(&c);
    c.lr = 0.8;
    assert_rate(&c, 0, 0.8);
    assert_rate(&c, 99, 0.8);
    c.warmup = 4; /* a quarter, a half, ... */
    assert_rate(&c, 0, 0.2);
    assert_rate(&c, 2, 0.6);
    assert_rate(&c, 3, 0.8);
    assert_rate(&c, 4, 0.8);
    c.warmup = 0;
    c.schedule = PF_STEP;
    c.gamma = 0.5;
    c.decay_epochs = 3; /* of ten steps */
    assert_rate(&c, 29, 0.8);
    assert_rate(&c, 30, 0.4);
    assert_rate(&c, 99, 0.1);
    c.decay_epochs = 0;
    c.decay_steps = 7;
    assert_rate(&c, 6, 0.8);
    assert_rate(&c, 7, 0.4);
    assert_rate(&c, 14, 0.2);
    c.schedule = PF_COSINE;
    c.lr_min = 0.2;
    assert_rate(&c, 0, 0.8);
    assert_rate(&c, 50, 0.5);
    assert_rate(&c, 25, 0.5 + 0.3 * sqrt(0.5));
    c.warmup = 20; /* the cosine begins behind it */
    assert_rate(&c, 20, 0.8);
    assert_rate(&c, 60, 0.5);
    c.warmup = 200; /* longer than the training */
    assert_rate(&c, 99, 0.4);
}

static void a_bad_configuration_is_refused_by_name(void **state)
{
    struct pf_train_config c;
    struct pf_error err;

#define REFUSES(member, value)                                                 \
    pf_train_config_default(&c);                                               \
    assert_int_equal(pf_train_config_check(&c, NULL), POCKETFED_OK);           \
    c.member = value;                                                          \
    assert_int_equal(pf_train_config_check(&c, &err), POCKETFED_INVALID);      \
    assert_non_null(strstr(err.text, #member))
    (void)state;
    REFUSES(optimizer, 3);
    REFUSES(schedule, 3);
    REFUSES(gamma, 0);
    REFUSES(lr_min, 0.06);
    REFUSES(clip_norm, -1);
    REFUSES(mu, (double)NAN);
    REFUSES(nesterov, 1);
    REFUSES(lr, 0);
    REFUSES(lr, 10.5);
    REFUSES(lr, (double)NAN);
    REFUSES(momentum, 1);
    REFUSES(beta2, 1);
    REFUSES(epsilon, 0);
    REFUSES(weight_decay, -0.1);
    REFUSES(epochs, 0);
    REFUSES(epochs, 1001);
    REFUSES(batch, 0);
    REFUSES(batch, 4097);
#undef REFUSES
    pf_train_config_default(&c);
    c.optimizer = PF_ADAM;
    c.momentum = 0.9;
    assert_int_equal(pf_train_config_check(&c, &err), POCKETFED_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimisers_make_the_steps_of_their_papers),
        cmocka_unit_test(newer_rules_make_the_steps_of_their_papers),
        cmocka_unit_test(a_control_variate_is_added_to_the_gradient),
        cmocka_unit_test(rates_follow_their_schedule),
        cmocka_unit_test(a_bad_configuration_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
