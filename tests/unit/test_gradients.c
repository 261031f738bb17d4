/* Each layer's backward pass against finite differences of its forward pass,
 * in double.  Walks the layer table: a new layer needs an example below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "exec.h"
#include "layer.h"
#include "loss.h"
#include "rng.h"

#define N    3
#define STEP 1e-6

#define IN(c, h, w)                                                            \
    "{\"version\":1,\"input\":[" #c "," #h "," #w                              \
    "],\"loss\":\"softmax_cross_entropy\",\"layers\":["
#define IN_LOSS(c, h, w, loss)                                                 \
    "{\"version\":1,\"input\":[" #c "," #h "," #w "],\"loss\":\"" loss         \
    "\",\"layers\":["
#define FLAT "{\"name\":\"flat\",\"type\":\"flatten\"},"
#define END  "{\"name\":\"out\",\"type\":\"dense\",\"units\":4}]}"
/* In front of the layer under test, so that its input gradient is used. */
#define FIRST                                                                  \
    "{\"name\":\"first\",\"type\":\"conv2d\",\"out_channels\":3,\"kernel\":2}" \
    ","

static const struct {
    const char *type, *spec;
} examples[] = {
    {"conv2d", IN(2, 7, 6) FIRST "{\"name\":\"c\",\"type\":\"conv2d\",\"out_"
                                 "channels\":5,\"kernel\":3}," FLAT END},
    {"conv2d", IN(1, 6, 9) FIRST
     "{\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":2,\"kernel\":3,"
     "\"padding\":2,\"stride\":2}," FLAT END},
    {"maxpool2d", IN(2, 8, 7) FIRST
     "{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":2}," FLAT END},
    {"maxpool2d", IN(1, 8, 9) FIRST
     "{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":3,\"stride\":2}," FLAT
         END},
    {"relu", IN(1, 5, 5) FIRST "{\"name\":\"r\",\"type\":\"relu\"},"
                               "{\"name\":\"r2\",\"type\":\"relu\"}," FLAT END},
    {"relu",
     IN(3, 4, 4) FIRST "{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":2},"
                       "{\"name\":\"r\",\"type\":\"relu\"}," FLAT END},
    {"flatten", IN(2, 4, 5) FIRST FLAT END},
    {"flatten", IN(2, 2, 2) FIRST FLAT END},
    {"dense",
     IN(6, 1, 1) "{\"name\":\"a\",\"type\":\"dense\",\"units\":7},"
                 "{\"name\":\"b\",\"type\":\"dense\",\"units\":5}," END},
    {"depthwise_conv2d", IN(2, 7, 6) FIRST
     "{\"name\":\"d\",\"type\":\"depthwise_conv2d\",\"kernel\":3}," FLAT END},
    {"depthwise_conv2d", IN(1, 6, 9) FIRST
     "{\"name\":\"d\",\"type\":\"depthwise_conv2d\",\"kernel\":4,"
     "\"padding\":2,\"stride\":2}," FLAT END},
    {"avgpool2d", IN(2, 8, 7) FIRST
     "{\"name\":\"p\",\"type\":\"avgpool2d\",\"size\":2}," FLAT END},
    {"avgpool2d", IN(1, 8, 9) FIRST
     "{\"name\":\"t\",\"type\":\"tanh\"},"
     "{\"name\":\"p\",\"type\":\"avgpool2d\",\"size\":3,\"stride\":2}," FLAT
         END},
    {"globalavgpool",
     IN(2, 5, 4) FIRST "{\"name\":\"g\",\"type\":\"globalavgpool\"}," END},
    {"globalmaxpool",
     IN(2, 5, 4) FIRST "{\"name\":\"g\",\"type\":\"globalmaxpool\"}," END},
    {"leaky_relu", IN(1, 5, 5) FIRST
     "{\"name\":\"r\",\"type\":\"leaky_relu\"},"
     "{\"name\":\"r2\",\"type\":\"leaky_relu\",\"slope\":0.3}," FLAT END},
    {"tanh", IN(2, 4, 4) FIRST "{\"name\":\"t\",\"type\":\"tanh\"}," FLAT END},
    {"sigmoid",
     IN(2, 4, 4) FIRST "{\"name\":\"s\",\"type\":\"sigmoid\"}," FLAT END},
    {"dropout", IN(2, 4, 5) FIRST
     "{\"name\":\"d\",\"type\":\"dropout\",\"rate\":0.3}," FLAT END},
    {"batchnorm2d",
     IN(2, 4, 5) FIRST "{\"name\":\"n\",\"type\":\"batchnorm2d\"},"
                       "{\"name\":\"t\",\"type\":\"tanh\"}," FLAT END},
    {"batchnorm2d",
     IN(6, 1, 1) "{\"name\":\"a\",\"type\":\"dense\",\"units\":7},"
                 "{\"name\":\"n\",\"type\":\"batchnorm2d\",\"eps\":0.01},"
                 "{\"name\":\"t\",\"type\":\"tanh\"}," END},
    {"groupnorm", IN(2, 4, 5) FIRST
     "{\"name\":\"n\",\"type\":\"groupnorm\",\"groups\":1}," FLAT END},
    {"groupnorm",
     IN(2, 4,
        5) "{\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":6,\"kernel\":"
           "2},"
           "{\"name\":\"n\",\"type\":\"groupnorm\",\"groups\":3}," FLAT END},
    {"add", IN(3, 5, 5) FIRST
     "{\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":3,\"kernel\":3,"
     "\"padding\":1},{\"name\":\"t\",\"type\":\"tanh\"},"
     "{\"name\":\"s\",\"type\":\"add\",\"inputs\":[\"t\",\"first\"]}," FLAT
         END},
    {"add", IN(3, 5, 5) FIRST /* twice the same, and a value taken thrice */
     "{\"name\":\"s\",\"type\":\"add\",\"inputs\":[\"first\",\"first\"]},"
     "{\"name\":\"t\",\"type\":\"sigmoid\",\"inputs\":[\"first\"]},"
     "{\"name\":\"u\",\"type\":\"add\",\"inputs\":[\"s\",\"t\"]}," FLAT END},
    {"add", IN(3, 5, 5) /* the input is nobody's gradient */
     "{\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":3,\"kernel\":3,"
     "\"padding\":1},"
     "{\"name\":\"s\",\"type\":\"add\",\"inputs\":[\"input\",\"c\"]}," FLAT
         END},
};

static const struct {
    const char *loss, *spec;
} losses[] = {
    {"softmax_cross_entropy", IN_LOSS(5, 1, 1, "softmax_cross_entropy") END},
    {"mse", IN_LOSS(5, 1, 1, "mse") END},
    {"binary_cross_entropy", IN_LOSS(5, 1, 1, "binary_cross_entropy") END},
    {"binary_cross_entropy",
     IN_LOSS(5, 1, 1, "binary_cross_entropy") "{\"name\":\"out\",\"type\":"
                                              "\"dense\",\"units\":1}]}"},
};

struct check {
    struct pf_model *m;
    struct pf_exec e;
    struct pf_run r;
    void *mem;
    double *params, *w, *grads, *x; /* w: packed, as the reference does */
    double *gradient;               /* canonical */
    uint32_t labels[N];
};

static double loss_of(struct check *c, double *gradient)
{
    size_t size = pf_shape_size(&c->m->input);
    const double *logits;

    for (size_t i = 0; i < N; i++)
        memcpy(pf_exec_input(&c->e, i), c->x + i * size, size * sizeof *c->x);
    pf_exec_pack(&c->e, c->params, c->w);
    pf_exec_prepare(&c->e, c->w);
    c->r.n = N;
    c->r.w = c->w;
    c->r.grads = c->grads;
    logits = pf_exec_forward(&c->e, &c->r);
    return c->m->loss->run(logits, c->labels, N, pf_exec_outputs(&c->e),
                           1.0 / N, gradient, NULL) /
           N;
}

static void start(struct check *c, const char *spec)
{
    struct pf_rng r = pf_rng_make(3, 0, 0, PF_RNG_TEST);
    struct pf_exec_options o = {.batch = N, .training = 1};
    struct pf_error err = {0};
    size_t n, inputs;

    if (pf_model_create(spec, strlen(spec), &c->m, &err) != POCKETFED_OK)
        fail_msg("%s: %s", spec, err.text);
    n = pf_model_n_params(c->m);
    inputs = N * pf_shape_size(&c->m->input);
    c->mem = malloc(pf_exec_plan(&c->e, c->m, &pf_kernels_reference, &o));
    c->params = malloc(n * sizeof *c->params);
    c->gradient = malloc(n * sizeof *c->params);
    c->w = malloc(c->e.n_packed * sizeof *c->w);
    c->grads = calloc(c->e.n_packed, sizeof *c->grads);
    c->x = malloc(inputs * sizeof *c->x);
    assert_true(c->mem && c->params && c->gradient && c->w && c->grads && c->x);
    pf_exec_place(&c->e, c->mem);
    for (size_t i = 0; i < n; i++)
        c->params[i] = pf_rng_double(&r, i) - 0.5;
    for (size_t i = 0; i < inputs; i++)
        c->x[i] = 2 * pf_rng_double(&r, n + i) - 1;
    for (uint32_t i = 0; i < N; i++)
        c->labels[i] = (i * 3 + 1) % (uint32_t)pf_model_n_classes(c->m);
}

static void stop(struct check *c)
{
    pf_model_free(c->m);
    free(c->mem);
    free(c->params);
    free(c->gradient);
    free(c->w);
    free(c->grads);
    free(c->x);
}

static void check_spec(const char *spec)
{
    struct check c = {0};
    double largest = 0;
    size_t n;

    start(&c, spec);
    n = pf_model_n_params(c.m);
    loss_of(&c, pf_exec_output_gradient(&c.e));
    pf_exec_backward(&c.e, &c.r);
    pf_exec_unpack(&c.e, c.grads, c.gradient);
    for (size_t i = 0; i < n; i++)
        if (fabs(c.gradient[i]) > largest)
            largest = fabs(c.gradient[i]);
    assert_true(largest > 1e-3);
    for (size_t i = 0; i < n; i++) {
        double at = c.params[i], up, down, slope;

        c.params[i] = at + STEP;
        up = loss_of(&c, NULL);
        c.params[i] = at - STEP;
        down = loss_of(&c, NULL);
        c.params[i] = at;
        slope = (up - down) / (2 * STEP);
        if (!(fabs(slope - c.gradient[i]) <= 1e-7 * largest))
            fail_msg("parameter %zu of %s: backward says %.10g, the "
                     "difference quotient %.10g",
                     i, spec, c.gradient[i], slope);
    }
    stop(&c);
}

static void every_layer_type_has_the_gradient_of_its_forward(void **state)
{
    const size_t n = sizeof examples / sizeof *examples;

    (void)state;
    for (size_t t = 0; pf_layer_types[t]; t++) {
        size_t found = 0;
        for (size_t i = 0; i < n; i++)
            if (strcmp(examples[i].type, pf_layer_types[t]->name) == 0) {
                check_spec(examples[i].spec);
                found++;
            }
        if (found == 0)
            fail_msg("no example of %s", pf_layer_types[t]->name);
    }
}

static void every_loss_has_the_gradient_of_its_value(void **state)
{
    (void)state;
    for (size_t t = 0; pf_loss_types[t]; t++) {
        size_t found = 0;
        for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
            if (strcmp(losses[i].loss, pf_loss_types[t]->name) == 0) {
                check_spec(losses[i].spec);
                found++;
            }
        if (found == 0)
            fail_msg("no example of %s", pf_loss_types[t]->name);
    }
}

static void the_gradient_of_chunks_adds_up(void **state)
{
    struct check c = {0};
    double *once;
    size_t n;

    (void)state;
    start(&c, examples[0].spec);
    n = c.e.n_packed;
    once = malloc(n * sizeof *once);
    assert_non_null(once);
    loss_of(&c, pf_exec_output_gradient(&c.e));
    pf_exec_backward(&c.e, &c.r);
    memcpy(once, c.grads, n * sizeof *once);
    loss_of(&c, pf_exec_output_gradient(&c.e));
    pf_exec_backward(&c.e, &c.r);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(c.grads[i] - 2 * once[i]) < 1e-12);
    free(once);
    stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_type_has_the_gradient_of_its_forward),
        cmocka_unit_test(every_loss_has_the_gradient_of_its_value),
        cmocka_unit_test(the_gradient_of_chunks_adds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
