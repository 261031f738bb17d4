#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "drawn.h"
#include "json.h"
#include "proc.h"
#include "tmpdir.h"

/* Training and timing from the command line, on drawn images. */

static char base[256], data[300], spec[300];
static struct pf_run r;

static void write_set(const char *which, uint32_t first, uint32_t n)
{
    struct pf_idx set = {0};
    uint32_t idx[600];

    assert_in_range(n, 1, sizeof idx / sizeof *idx);
    for (uint32_t i = 0; i < n; i++)
        idx[i] = i;
    assert_int_equal(drawn_images(first, n, &set, NULL), POCKETFED_OK);
    assert_int_equal(pf_idx_write(data, which, &set, idx, n, NULL),
                     POCKETFED_OK);
    pf_idx_free(&set);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    pf_tmpdir_make(base, sizeof base);
    snprintf(data, sizeof data, "%s/data", base);
    snprintf(spec, sizeof spec, "%s/net.json", base);
    pf_isolate(base);
    assert_int_equal(mkdir(data, 0700), 0);
    write_set("train", 0, 600);
    write_set("t10k", 600, 200);
    write_file(spec, "{\"version\":1,\"input\":[1,28,28],"
                     "\"loss\":\"softmax_cross_entropy\",\"layers\":["
                     "{\"name\":\"conv\",\"type\":\"conv2d\",\"out_channels\":"
                     "4,\"kernel\":5,\"padding\":0},"
                     "{\"name\":\"relu\",\"type\":\"relu\"},"
                     "{\"name\":\"pool\",\"type\":\"maxpool2d\",\"size\":2},"
                     "{\"name\":\"flatten\",\"type\":\"flatten\"},"
                     "{\"name\":\"out\",\"type\":\"dense\",\"units\":10}]}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_run_free(&r);
    pf_kill_all();
    pf_tmpdir_remove(base);
    return 0;
}

static void says(const struct pf_buf *out, const char *text)
{
    if (!strstr(pf_buf_str(out), text))
        fail_msg("\"%s\" is not in:\n%s", text, pf_buf_str(out));
}

/* The last line of what it said, which ended well, as JSON. */
static struct pf_json_doc *summary(void)
{
    const char *text = pf_buf_str(&r.out), *line = text, *at;
    struct pf_json_doc *doc = NULL;

    if (r.code != 0)
        fail_msg("exit %d: %s%s", r.code, text, pf_buf_str(&r.err));
    for (at = text; (at = strchr(at, '\n')) && at[1]; at++)
        line = at + 1;
    assert_int_equal(pf_json_parse(line, strcspn(line, "\n"), &doc, NULL),
                     POCKETFED_OK);
    assert_string_equal(pf_json_text(pf_json_get(pf_json_root(doc), "type")),
                        "summary");
    return doc;
}

static double number(const struct pf_json_node *at, const char *name)
{
    double v = -1;

    if (!pf_json_number(pf_json_get(at, name), &v))
        fail_msg("no number \"%s\" in %s", name, pf_buf_str(&r.out));
    return v;
}

static const struct pf_json_node *part(const struct pf_json_doc *doc,
                                       const char *name)
{
    const struct pf_json_node *n = pf_json_get(pf_json_root(doc), name);

    if (!n)
        fail_msg("no \"%s\" in %s", name, pf_buf_str(&r.out));
    return n;
}

static void is_spread(const struct pf_json_node *s)
{
    assert_true(number(s, "min") > 0);
    assert_true(number(s, "min") <= number(s, "median"));
    assert_true(number(s, "median") <= number(s, "max"));
}

/* ---- bench ---- */

static void a_timing_comes_with_what_was_learnt_meanwhile(void **state)
{
    const struct pf_json_node *root;
    struct pf_json_doc *doc;

    (void)state;
    PF_CLI(&r, "bench", "train", "--model", "logreg", "--batch", "10",
           "--seconds", "0.5", "--json");
    doc = summary();
    root = pf_json_root(doc);
    is_spread(part(doc, "samples_per_s"));
    is_spread(part(doc, "peak_gflops"));
    assert_true(number(root, "dense_gflops") > 0);
    assert_true(number(root, "executed_gflops") > 0);
    assert_true(number(root, "share_of_peak") > 0);
    assert_true(number(root, "train_loss") < 2.3);
    assert_true(number(root, "test_accuracy") > 0.5);
    assert_true(number(root, "epoch_from") < number(root, "epoch_to"));
    assert_true(number(part(doc, "memory"), "predicted_bytes") > 7850 * 4);
    assert_non_null(pf_json_text(part(doc, "kernels")));
    pf_json_free(doc);
}

static void clients_and_threads_are_timed_together(void **state)
{
    struct pf_json_doc *doc;

    (void)state;
    PF_CLI(&r, "bench", "train", "--model", spec, "--clients", "2", "--seconds",
           "0.3", "--threads", "2", "--json");
    doc = summary();
    assert_true(number(pf_json_root(doc), "clients") == 2);
    assert_true(number(pf_json_root(doc), "threads") == 2);
    is_spread(part(doc, "samples_per_s"));
    pf_json_free(doc);
}

static void a_timing_ends_with_its_epochs(void **state)
{
    struct pf_json_doc *doc;

    (void)state;
    PF_CLI(&r, "bench", "train", "--model", "logreg", "--data", data,
           "--epochs", "40", "--batch", "50", "--seconds", "100", "--json");
    doc = summary();
    assert_true(number(pf_json_root(doc), "epoch_to") == 40);
    pf_json_free(doc);
}

static void explain_names_each_layer_and_times_nothing(void **state)
{
    (void)state;
    PF_CLI(&r, "bench", "train", "--model", spec, "--explain");
    assert_int_equal(r.code, 0);
    says(&r.out, "conv+relu+pool");
    says(&r.out, "out");
    says(&r.out, "memory");
    assert_null(strstr(pf_buf_str(&r.out), "samples/s"));
}

static void kernels_are_timed_on_the_shapes_of_the_network(void **state)
{
    struct pf_json_doc *doc;

    (void)state;
    PF_CLI(&r, "bench", "kernels", "--model", spec, "--seconds", "0.01",
           "--batch", "3", "--reference", "--json");
    doc = summary();
    says(&r.out, "\"kernel\":\"conv_forward\"");
    says(&r.out, "\"kernel\":\"conv_backward\"");
    says(&r.out, "\"kernel\":\"dense_backward\"");
    says(&r.out, "\"kernel\":\"update\"");
    says(&r.out, "\"reference_us\":");
    is_spread(part(doc, "peak_gflops"));
    pf_json_free(doc);
}

static void inference_is_timed_by_the_batch(void **state)
{
    struct pf_json_doc *doc;

    (void)state;
    PF_CLI(&r, "bench", "infer", "--model", spec, "--batch", "1", "--seconds",
           "0.2", "--json");
    doc = summary();
    is_spread(part(doc, "samples_per_s"));
    assert_true(number(pf_json_root(doc), "latency_median_us") > 0);
    assert_true(number(pf_json_root(doc), "latency_p99_us") >=
                number(pf_json_root(doc), "latency_median_us"));
    pf_json_free(doc);
}

/* Executed products: halves skip a dense layer's zeros, bytes skip nothing. */
static void arithmetic_is_counted_in_every_precision(void **state)
{
    static const char *const names[] = {"f32", "f16", "int8"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct pf_json_node *conv, *dense;
        struct pf_json_doc *doc;
        double macs;

        PF_CLI(&r, "bench", "infer", "--model", spec, "--seconds", "0.05",
               "--precision", names[i], "--json");
        doc = summary();
        conv = pf_json_first(part(doc, "steps"));
        dense = pf_json_next(conv);
        macs = number(dense, "dense_macs");
        assert_true(number(conv, "dense_macs") == 5 * 5 * 4 * 24 * 24);
        assert_true(number(conv, "executed_macs") > 0);
        assert_true(macs == 10 * 4 * 12 * 12);
        assert_true(number(dense, "input_density") < 1);
        if (i < 2)
            assert_true(fabs(number(dense, "executed_macs") -
                             macs * number(dense, "input_density")) <= 1);
        for (size_t j = 0; i == 2 && j < 2; j++)
            assert_true(number(j ? dense : conv, "executed_macs") ==
                        number(j ? dense : conv, "dense_macs"));
        assert_true(number(pf_json_root(doc), "executed_gflops") > 0);
        pf_json_free(doc);
    }
    PF_CLI(&r, "bench", "infer", "--model", spec, "--seconds", "0.05",
           "--precision", "int8");
    assert_int_equal(r.code, 0);
    says(&r.out, " GOP/s executed, ");
}

/* ---- train-local ---- */

static void the_model_does_not_depend_on_the_threads(void **state)
{
    static const char *const optimizers[] = {"sgd", "momentum", "nesterov",
                                             "adam", "adamw"};
    static const char *const threads[] = {"1", "2", "3"};
    char digest[80] = "";

    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (size_t t = 0; t < 3; t++) {
            const char *is;
            struct pf_json_doc *doc;

            PF_CLI(&r, "train-local", "--model", spec, "--data", data,
                   "--batch", "32", "--optimizer", optimizers[i], "--schedule",
                   "cosine", "--warmup", "3", "--epochs", "2", "--clip", "1",
                   "--threads", threads[t], "--json");
            doc = summary();
            is = pf_json_text(part(doc, "model_digest"));
            assert_non_null(is);
            if (t == 0)
                snprintf(digest, sizeof digest, "%s", is);
            assert_string_equal(is, digest);
            pf_json_free(doc);
        }
}

static void a_training_tells_each_epoch_and_its_sum(void **state)
{
    struct pf_json_doc *doc;

    (void)state;
    PF_CLI(&r, "train-local", "--model", spec, "--data", data, "--epochs", "3",
           "--optimizer", "adam", "--json");
    doc = summary();
    says(&r.out, "{\"type\":\"epoch\",\"epoch\":3,");
    assert_true(number(pf_json_root(doc), "test_accuracy") > 0.5);
    assert_true(number(pf_json_root(doc), "seconds") > 0);
    assert_true(number(pf_json_root(doc), "samples_per_s") > 0);
    assert_true(number(pf_json_root(doc), "lr") == 0.001);
    pf_json_free(doc);
    PF_CLI(&r, "train-local", "--model", spec, "--data", data, "--epochs", "3");
    assert_int_equal(r.code, 0);
    says(&r.out, "[##########] epoch 3 of 3: train loss ");
}

static void the_version_says_which_kernels_compute(void **state)
{
    (void)state;
    assert_int_equal(setenv("POCKETFED_KERNELS", "reference", 1), 0);
    PF_CLI(&r, "--version");
    assert_int_equal(r.code, 0);
    says(&r.out, "\nkernels: reference (this machine runs ");
    PF_CLI(&r, "--version", "--json");
    says(&r.out, "\"kernels\":\"reference\",\"families\":[\"");
    assert_int_equal(setenv("POCKETFED_KERNELS", "referense", 1), 0);
    PF_CLI(&r, "--version");
    assert_int_equal(unsetenv("POCKETFED_KERNELS"), 0);
    assert_int_equal(r.code, 78);
    says(&r.err, "portable or reference");
}

/* ---- mistakes ---- */

static void a_wrong_value_is_answered_with_what_is_taken(void **state)
{
    static const char *const wrong[][3] = {
        {"--schedule", "cosin", "did you mean cosine?"},
        {"--optimizer", "adma", "did you mean adam?"},
        {"--model", "lenet6", "did you mean lenet5?"},
        {"--lr", "0", "is not a number from 1e-08 to 10"},
        {"--batch", "1e3", "is not a whole number from 1 to 4096"},
        {"--threads", "0", "is not a whole number from 1 to 64"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        PF_CLI(&r, "train-local", wrong[i][0], wrong[i][1]);
        assert_int_equal(r.code, 2);
        says(&r.err, wrong[i][2]);
        PF_CLI(&r, "bench", "train", wrong[i][0], wrong[i][1]);
        assert_int_equal(r.code, 2);
        says(&r.err, wrong[i][2]);
    }
    PF_CLI(&r, "bench", "train", "--clients", "65");
    assert_int_equal(r.code, 2);
    PF_CLI(&r, "bench", "infer", "--precision", "fp16");
    assert_int_equal(r.code, 2);
    says(&r.err, "is not one of: f32");
}

static void a_wrong_spec_file_is_refused_by_its_place(void **state)
{
    (void)state;
    write_file(spec, "{\"version\":1,\"input\":[1,28,28],"
                     "\"loss\":\"softmax_cross_entropy\",\"layers\":["
                     "{\"name\":\"a\",\"type\":\"conv3d\"}]}");
    PF_CLI(&r, "train-local", "--model", spec, "--data", data);
    assert_int_equal(r.code, 5);
    says(&r.err, "conv3d");
    PF_CLI(&r, "bench", "train", "--model", "./nowhere.json");
    assert_int_equal(r.code, 4);
    says(&r.err, "nowhere.json");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_timing_comes_with_what_was_learnt_meanwhile),
        T(clients_and_threads_are_timed_together),
        T(a_timing_ends_with_its_epochs),
        T(explain_names_each_layer_and_times_nothing),
        T(kernels_are_timed_on_the_shapes_of_the_network),
        T(inference_is_timed_by_the_batch),
        T(arithmetic_is_counted_in_every_precision),
        T(the_model_does_not_depend_on_the_threads),
        T(a_training_tells_each_epoch_and_its_sum),
        T(the_version_says_which_kernels_compute),
        T(a_wrong_value_is_answered_with_what_is_taken),
        T(a_wrong_spec_file_is_refused_by_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
