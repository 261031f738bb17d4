#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "model.h"

static struct pf_model *make(const char *spec)
{
    struct pf_model *m = NULL;
    struct pf_error err = {0};

    if (pf_model_create(spec, strlen(spec), &m, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    return m;
}

static void the_zoo_has_the_parameter_counts_of_its_papers(void **state)
{
    static const struct {
        const char *name;
        size_t n;
    } zoo[] = {
        {"lenet5", 61706},
        {"lenet-caffe", 431080},
        {"lenet-coreml", 585958},
        {"cnn-mcmahan", 1663370},
        {"mlp", 199210},
        {"logreg", 7850},
        {"lenet-coreml-leaky", 585958},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof zoo / sizeof *zoo; i++) {
        struct pf_model *m = make(pf_zoo_spec(zoo[i].name));
        assert_string_equal(pf_zoo_names()[i], zoo[i].name);
        assert_int_equal(pf_model_n_params(m), zoo[i].n);
        assert_int_equal(pf_model_n_classes(m), 10);
        assert_int_equal(pf_model_input(m).c, 1);
        assert_int_equal(pf_model_input(m).h, 28);
        assert_int_equal(pf_model_input(m).w, 28);
        pf_model_free(m);
    }
    assert_null(pf_zoo_names()[i]);
    assert_null(pf_zoo_spec("lenet"));
}

static void tensors_have_the_names_and_order_of_pytorch(void **state)
{
    static const struct {
        const char *name;
        unsigned n_dims;
        uint32_t dims[4];
    } expected[] = {
        {"conv1.weight", 4, {6, 1, 5, 5}},  {"conv1.bias", 1, {6}},
        {"conv2.weight", 4, {16, 6, 5, 5}}, {"conv2.bias", 1, {16}},
        {"fc1.weight", 2, {120, 400}},      {"fc1.bias", 1, {120}},
        {"fc2.weight", 2, {84, 120}},       {"fc2.bias", 1, {84}},
        {"fc3.weight", 2, {10, 84}},        {"fc3.bias", 1, {10}},
    };
    struct pf_model *m = make(pf_zoo_spec("lenet5"));
    const struct pf_tensor *t;
    size_t n, offset = 0;

    (void)state;
    t = pf_model_tensors(m, &n);
    assert_int_equal(n, 10);
    for (size_t i = 0; i < n; i++) {
        size_t count = 1;
        assert_string_equal(t[i].name, expected[i].name);
        assert_int_equal(t[i].n_dims, expected[i].n_dims);
        for (unsigned d = 0; d < t[i].n_dims; d++) {
            assert_int_equal(t[i].dims[d], expected[i].dims[d]);
            count *= t[i].dims[d];
        }
        assert_int_equal(t[i].count, count);
        assert_int_equal(t[i].offset, offset);
        offset += count;
    }
    assert_int_equal(offset, pf_model_n_params(m));
    pf_model_free(m);
}

#define HEAD       "{\"version\":1,\"input\":[1,8,8],"
#define LOSS       "\"loss\":\"softmax_cross_entropy\","
#define FLAT       "{\"name\":\"f\",\"type\":\"flatten\"},"
#define FC         "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}"
#define ONE(layer) HEAD LOSS "\"layers\":[" layer "," FLAT FC "]}"
#define CONV       "\"name\":\"c\",\"type\":\"conv2d\",\"out_channels\":2,"

static const struct {
    const char *spec;
    enum pocketfed_status status;
    const char *says; /* in the text or the hint */
} bad_specs[] = {
    {"", POCKETFED_MALFORMED, ""},
    {"[]", POCKETFED_MALFORMED, "object"},
    {"{\"version\":2}", POCKETFED_UNSUPPORTED, "/version is 2"},
    {"{}", POCKETFED_MALFORMED, "/version"},
    {HEAD "\"layers\":[" FLAT FC "]}", POCKETFED_MALFORMED, "/loss"},
    {HEAD "\"loss\":\"hinge\",\"layers\":[" FLAT FC "]}", POCKETFED_UNSUPPORTED,
     "\"hinge\" in this version; it can be softmax_cross_entropy, mse or "
     "binary_cross_entropy"},
    {HEAD "\"loss\":\"mse\",\"layers\":[" FLAT
          "{\"name\":\"fc\",\"type\":\"dense\",\"units\":1}]}",
     POCKETFED_MALFORMED, "the loss needs 2 to 4096"},
    {HEAD LOSS "\"layer\":[" FLAT FC "]}", POCKETFED_MALFORMED,
     "did you mean \"layers\""},
    {HEAD LOSS "\"layers\":[]}", POCKETFED_MALFORMED, "/layers"},
    {HEAD LOSS "\"layers\":[7]}", POCKETFED_MALFORMED, "/layers/0"},
    {"{\"version\":1,\"input\":[1,8]," LOSS "\"layers\":[" FLAT FC "]}",
     POCKETFED_MALFORMED, "/input"},
    {"{\"version\":1,\"input\":[1,8,4097]," LOSS "\"layers\":[" FLAT FC "]}",
     POCKETFED_LIMIT, "/input/2 is 4097"},
    {"{\"version\":1,\"input\":[4096,4096,2]," LOSS "\"layers\":[" FLAT FC "]}",
     POCKETFED_LIMIT, "/input"},
    {ONE("{\"name\":\"x\",\"type\":\"lstm\"}"), POCKETFED_UNSUPPORTED,
     "/layers/0/type: there is no layer type \"lstm\""},
    {ONE("{\"name\":\"x\",\"type\":\"lstm\"}"), POCKETFED_UNSUPPORTED,
     "conv2d, depthwise_conv2d, maxpool2d"},
    {ONE("{\"type\":\"relu\"}"), POCKETFED_MALFORMED, "/layers/0/name"},
    {ONE("{\"name\":\"a.b\",\"type\":\"relu\"}"), POCKETFED_MALFORMED,
     "/layers/0/name"},
    {ONE("{\"name\":\"input\",\"type\":\"relu\"}"), POCKETFED_MALFORMED,
     "/layers/0/name"},
    {ONE("{\"name\":\"fc\",\"type\":\"relu\"}"), POCKETFED_MALFORMED,
     "/layers/2/name: \"fc\" is the name of layer 0"},
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"init\":\"he_normal\"}"),
     POCKETFED_MALFORMED, "/layers/0/init"},
    {ONE("{" CONV "\"kernel\":32}"), POCKETFED_LIMIT,
     "/layers/0/kernel is 32, more than the limit of 31"},
    {ONE("{" CONV "\"kernel\":1.5}"), POCKETFED_MALFORMED, "/layers/0/kernel"},
    {ONE("{" CONV "\"kernel\":0}"), POCKETFED_MALFORMED, "/layers/0/kernel"},
    {ONE("{" CONV "\"stride\":1}"), POCKETFED_MALFORMED,
     "/layers/0/kernel is missing"},
    {ONE("{" CONV "\"kernel\":3,\"padding\":3}"), POCKETFED_MALFORMED,
     "/layers/0/padding is 3"},
    {ONE("{" CONV "\"kernel\":9}"), POCKETFED_MALFORMED,
     "/layers/0/kernel is 9"},
    {ONE("{" CONV "\"kernel\":3,\"pading\":1}"), POCKETFED_MALFORMED,
     "did you mean \"padding\""},
    {ONE("{" CONV "\"kernel\":3,\"init\":\"zeros\"}"), POCKETFED_MALFORMED,
     "/layers/0/init"},
    {ONE("{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":9}"),
     POCKETFED_MALFORMED, "/layers/0/size is 9"},
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"inputs\":[\"q\"]}"),
     POCKETFED_MALFORMED,
     "/layers/0/inputs/0: no earlier layer has the name \"q\""},
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"inputs\":[\"inptu\"]}"),
     POCKETFED_MALFORMED, "did you mean \"input\""},
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"inputs\":[\"fc\"]}"),
     POCKETFED_MALFORMED, "/layers/0/inputs/0"}, /* a later one */
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"inputs\":[\"input\",\"q\"]}"),
     POCKETFED_MALFORMED,
     "/layers/0/inputs has 2 entries; a layer of type relu takes 1"},
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"inputs\":[7]}"),
     POCKETFED_MALFORMED, "/layers/0/inputs"},
    {ONE("{\"name\":\"s\",\"type\":\"add\"}"), POCKETFED_MALFORMED,
     "/layers/0/inputs is missing; an add layer takes 2"},
    {ONE("{\"name\":\"s\",\"type\":\"add\",\"inputs\":[\"input\"]}"),
     POCKETFED_MALFORMED, "/layers/0/inputs has 1 entries"},
    {ONE("{" CONV "\"kernel\":1},{\"name\":\"s\",\"type\":\"add\",\"inputs\":["
         "\"input\",\"c\"]}"),
     POCKETFED_MALFORMED,
     "/layers/1/inputs: their shapes differ, 1x8x8 and 2x8x8"},
    {ONE("{" CONV "\"kernel\":1},{\"name\":\"r\",\"type\":\"relu\",\"inputs\":["
         "\"input\"]}"),
     POCKETFED_MALFORMED, "/layers/0: nothing takes the output of \"c\""},
    {ONE("{\"name\":\"d\",\"type\":\"dropout\",\"rate\":1}"),
     POCKETFED_MALFORMED, "/layers/0/rate must be a number from 0 to 0.99"},
    {ONE("{\"name\":\"d\",\"type\":\"dropout\",\"rate\":\"half\"}"),
     POCKETFED_MALFORMED, "/layers/0/rate"},
    {ONE("{\"name\":\"r\",\"type\":\"leaky_relu\",\"slope\":-0.1}"),
     POCKETFED_MALFORMED, "/layers/0/slope"},
    {ONE("{\"name\":\"r\",\"type\":\"leaky_relu\",\"slop\":0.1}"),
     POCKETFED_MALFORMED, "did you mean \"slope\""},
    {ONE("{\"name\":\"n\",\"type\":\"batchnorm2d\",\"eps\":0}"),
     POCKETFED_MALFORMED, "/layers/0/eps"},
    {ONE("{\"name\":\"n\",\"type\":\"groupnorm\",\"groups\":2}"),
     POCKETFED_MALFORMED, "/layers/0/groups is 2, which does not divide the 1"},
    {ONE("{\"name\":\"r\",\"type\":\"leakyrelu\"}"), POCKETFED_UNSUPPORTED,
     "did you mean \"leaky_relu\""},
    {ONE("{\"name\":\"d\",\"type\":\"depthwise_conv2d\",\"kernel\":9}"),
     POCKETFED_MALFORMED, "/layers/0/kernel is 9"},
    {ONE("{\"name\":\"p\",\"type\":\"avgpool2d\",\"size\":9}"),
     POCKETFED_MALFORMED, "/layers/0/size is 9, but its input is only 8x8"},
    {ONE("{\"name\":\"r\",\"type\":\"relu\",\"inputs\":\"input\"}"),
     POCKETFED_MALFORMED, "/layers/0/inputs"},
    {HEAD LOSS "\"layers\":[" FC "]}", POCKETFED_MALFORMED, "flatten"},
    {HEAD LOSS "\"layers\":[{\"name\":\"r\",\"type\":\"relu\"}]}",
     POCKETFED_MALFORMED, "classes"},
    {"{\"version\":1,\"input\":[3,1,1]," LOSS
     "\"layers\":[{\"name\":\"r\",\"type\":\"relu\"}]}",
     POCKETFED_MALFORMED, "nothing to train"},
    {"{\"version\":1,\"input\":[16,1024,1024]," LOSS
     "\"layers\":[{\"name\":\"p\",\"type\":\"maxpool2d\",\"size\":1}]}",
     POCKETFED_LIMIT, "/layers/0 makes the values"},
    {"{\"version\":1,\"input\":[1024,64,64]," LOSS "\"layers\":[" FLAT
     "{\"name\":\"fc\",\"type\":\"dense\",\"units\":4096}]}",
     POCKETFED_LIMIT, "/layers/1 makes the parameters"},
    {"{\"version\":1,\"input\":[512,128,128]," LOSS
     "\"layers\":[{\"name\":\"c\",\"type\":\"conv2d\",\"kernel\":31,"
     "\"padding\":15,\"out_channels\":32}]}",
     POCKETFED_LIMIT, "/layers/0 makes the multiplications"},
};

static void a_bad_spec_is_refused_with_the_place_of_its_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_specs / sizeof *bad_specs; i++) {
        struct pf_model *m = NULL;
        struct pf_error err = {0};
        enum pocketfed_status st = pf_model_create(
            bad_specs[i].spec, strlen(bad_specs[i].spec), &m, &err);

        if (st != bad_specs[i].status || err.status != st || m ||
            (!strstr(err.text, bad_specs[i].says) &&
             !strstr(err.hint, bad_specs[i].says)))
            fail_msg("%s\ngave %s: %s (%s)", bad_specs[i].spec,
                     pocketfed_status_name(st), err.text, err.hint);
    }
}

static void too_many_layers_are_refused(void **state)
{
    struct pf_model *m = NULL;
    struct pf_error err = {0};
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, PF_MODEL_MAX_SPEC);
    pf_buf_adds(&b, HEAD LOSS "\"layers\":[");
    for (int i = 0; i < PF_MODEL_MAX_LAYERS; i++)
        pf_buf_addf(&b, "{\"name\":\"r%d\",\"type\":\"relu\"},", i);
    pf_buf_adds(&b, FLAT FC "]}");
    assert_int_equal(pf_model_create(pf_buf_str(&b), b.len, &m, &err),
                     POCKETFED_LIMIT);
    assert_non_null(strstr(err.text, "66 layers"));
    pf_buf_free(&b);
}

static void a_spec_that_is_too_long_is_refused(void **state)
{
    size_t len = PF_MODEL_MAX_SPEC + 1;
    char *blanks = malloc(len);
    struct pf_model *m = NULL;

    (void)state;
    assert_non_null(blanks);
    memset(blanks, ' ', len);
    assert_int_equal(pf_model_create(blanks, len, &m, NULL), POCKETFED_LIMIT);
    free(blanks);
}

#define RESIDUAL                                                               \
    HEAD LOSS "\"layers\":[{\"name\":\"c\",\"type\":\"conv2d\",\"out_"         \
              "channels\":4,\"kernel\":3,\"padding\":1},"                      \
              "{\"name\":\"n\",\"type\":\"batchnorm2d\"},"                     \
              "{\"name\":\"s\",\"type\":\"add\",\"inputs\":[\"n\",\"c\"]},"    \
              "{\"name\":\"g\",\"type\":\"globalavgpool\"}," FC "]}"

static void running_statistics_are_tensors_that_no_optimiser_moves(void **state)
{
    static const char *const names[] = {
        "c.weight",       "c.bias",        "n.weight",  "n.bias",
        "n.running_mean", "n.running_var", "fc.weight", "fc.bias"};
    struct pf_model *m = make(RESIDUAL);
    size_t n, n_params = pf_model_n_params(m), offset = 0;
    const struct pf_tensor *t = pf_model_tensors(m, &n);
    float *p = malloc(n_params * sizeof *p);

    (void)state;
    assert_non_null(p);
    assert_int_equal(n, 8);
    pf_model_init(m, 1, p);
    for (size_t i = 0; i < n; i++) {
        int statistic = i == 4 || i == 5;

        assert_string_equal(t[i].name, names[i]);
        assert_int_equal(t[i].trainable, !statistic);
        assert_int_equal(t[i].offset, offset);
        offset += t[i].count;
        if (i >= 2 && i <= 5) {
            assert_int_equal(t[i].n_dims, 1);
            assert_int_equal(t[i].count, 4);
            for (size_t j = 0; j < 4; j++)
                assert_true(p[t[i].offset + j] == (i == 2 || i == 5 ? 1 : 0));
        }
    }
    assert_int_equal(offset, n_params);
    free(p);
    pf_model_free(m);
}

static void inputs_and_reals_stand_in_the_canonical_form(void **state)
{
    struct pf_model *a = make(RESIDUAL), *b = make(pf_model_spec(a));

    (void)state;
    assert_string_equal(pf_model_spec(a), pf_model_spec(b));
    assert_non_null(strstr(pf_model_spec(a),
                           "\"type\":\"batchnorm2d\",\"inputs\":[\"c\"],"
                           "\"eps\":1e-05,\"momentum\":0.1}"));
    assert_non_null(
        strstr(pf_model_spec(a), "\"type\":\"add\",\"inputs\":[\"n\",\"c\"]}"));
    pf_model_free(a);
    pf_model_free(b);
}

static void one_output_of_binary_cross_entropy_tells_two_classes(void **state)
{
    struct pf_model *m =
        make(HEAD "\"loss\":\"binary_cross_entropy\",\"layers\":[" FLAT
                  "{\"name\":\"fc\",\"type\":\"dense\",\"units\":1}]}");

    (void)state;
    assert_int_equal(pf_model_n_classes(m), 2);
    pf_model_free(m);
}

static void equal_models_have_equal_canonical_bytes(void **state)
{
    struct pf_model *a, *b, *c;
    uint8_t da[32], db[32], dc[32];

    (void)state;
    a = make(ONE("{" CONV "\"kernel\":3}"));
    b = make(" { \"loss\" : \"softmax_cross_entropy\", \"layers\":[\n"
             "{\"stride\":1,\"kernel\":3,\"padding\":0,\"out_channels\":2,"
             "\"init\":\"he_uniform\",\"type\":\"conv2d\",\"name\":\"c\"},"
             "{\"name\":\"f\",\"inputs\":[\"c\"],\"type\":\"flatten\"}," FC
             "],\"input\":[1,8,8],\"version\":1}\n");
    c = make(ONE("{" CONV "\"kernel\":4}"));
    assert_string_equal(pf_model_spec(a), pf_model_spec(b));
    assert_string_not_equal(pf_model_spec(a), pf_model_spec(c));
    pf_model_layout_digest(a, da);
    pf_model_layout_digest(b, db);
    pf_model_layout_digest(c, dc);
    assert_memory_equal(da, db, 32);
    assert_memory_not_equal(da, dc, 32);
    pf_model_free(b);
    b = make(pf_model_spec(a)); /* the canonical form is a fixed point */
    assert_string_equal(pf_model_spec(a), pf_model_spec(b));
    pf_model_free(a);
    pf_model_free(b);
    pf_model_free(c);
}

static void initial_parameters_follow_from_the_seed(void **state)
{
    struct pf_model *m = make(pf_zoo_spec("lenet5"));
    size_t n = pf_model_n_params(m), k;
    const struct pf_tensor *t = pf_model_tensors(m, &k);
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    double sum = 0, squares = 0, reach = sqrt(6.0 / 400);
    double variance = reach * reach / 3; /* of the uniform distribution */

    (void)state;
    assert_true(a && b);
    pf_model_init(m, 5, a);
    pf_model_init(m, 5, b);
    assert_memory_equal(a, b, n * sizeof *a);
    pf_model_init(m, 6, b);
    assert_memory_not_equal(a, b, n * sizeof *a);
    for (size_t i = 0; i < t[4].count; i++) { /* fc1.weight, he_uniform */
        double w = (double)a[t[4].offset + i];
        assert_true(w >= -reach && w <= reach);
        sum += w;
        squares += w * w;
    }
    assert_true(fabs(sum / 48000) < 4 * sqrt(variance / 48000));
    assert_true(fabs(squares / 48000 / variance - 1) < 0.03);
    for (size_t i = 0; i < t[5].count; i++)
        assert_true(a[t[5].offset + i] == 0);
    free(a);
    free(b);
    pf_model_free(m);
}

static void normal_initialisers_have_their_deviation(void **state)
{
    struct pf_model *m =
        make("{\"version\":1,\"input\":[300,1,1]," LOSS
             "\"layers\":[{\"name\":\"a\",\"type\":\"dense\",\"units\":100,"
             "\"init\":\"he_normal\"},{\"name\":\"b\",\"type\":\"dense\","
             "\"units\":200,\"init\":\"glorot_normal\"}]}");
    size_t n = pf_model_n_params(m), k;
    const struct pf_tensor *t = pf_model_tensors(m, &k);
    const double variance[] = {2.0 / 300, 2.0 / 300};
    float *p = malloc(n * sizeof *p);

    (void)state;
    assert_non_null(p);
    pf_model_init(m, 1, p);
    for (size_t i = 0; i < 2; i++) {
        double squares = 0;
        for (size_t j = 0; j < t[2 * i].count; j++) {
            double w = (double)p[t[2 * i].offset + j];
            squares += w * w;
        }
        squares /= (double)t[2 * i].count;
        assert_true(fabs(squares / variance[i] - 1) < 0.05);
    }
    free(p);
    pf_model_free(m);
}

static void a_model_describes_itself_by_layer(void **state)
{
    struct pf_model *m = make(pf_zoo_spec("lenet5"));
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 4096);
    assert_int_equal(pf_model_describe(m, &b), POCKETFED_OK);
    assert_non_null(strstr(pf_buf_str(&b),
                           "conv2        conv2d           16x10x10"
                           "             2416\n"));
    assert_non_null(strstr(pf_buf_str(&b), "fc3          dense            10"));
    pf_buf_free(&b);
    pf_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_zoo_has_the_parameter_counts_of_its_papers),
        cmocka_unit_test(tensors_have_the_names_and_order_of_pytorch),
        cmocka_unit_test(a_bad_spec_is_refused_with_the_place_of_its_fault),
        cmocka_unit_test(too_many_layers_are_refused),
        cmocka_unit_test(a_spec_that_is_too_long_is_refused),
        cmocka_unit_test(
            running_statistics_are_tensors_that_no_optimiser_moves),
        cmocka_unit_test(inputs_and_reals_stand_in_the_canonical_form),
        cmocka_unit_test(one_output_of_binary_cross_entropy_tells_two_classes),
        cmocka_unit_test(equal_models_have_equal_canonical_bytes),
        cmocka_unit_test(initial_parameters_follow_from_the_seed),
        cmocka_unit_test(normal_initialisers_have_their_deviation),
        cmocka_unit_test(a_model_describes_itself_by_layer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
