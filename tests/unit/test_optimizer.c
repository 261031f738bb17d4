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
        cmocka_unit_test(a_bad_configuration_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
