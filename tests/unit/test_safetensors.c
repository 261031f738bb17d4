#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bytes.h"
#include "file.h"
#include "guard.h"
#include "safetensors.h"

#define MAX_FILE ((size_t)16 << 20)

/* fc.weight [3,4] and fc.bias [3]: 15 parameters, 60 bytes. */
static const char tiny[] =
    "{\"version\":1,\"input\":[1,2,2],\"loss\":\"softmax_cross_entropy\","
    "\"layers\":[{\"name\":\"flatten\",\"type\":\"flatten\"},"
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]}";

#define N      15u
#define WEIGHT "\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],"
#define BIAS   "\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[3],"
#define GOOD                                                                   \
    "{" WEIGHT "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":[48,60]}}"

static struct pf_model *make_model(const char *spec)
{
    struct pf_model *m = NULL;
    struct pf_error err = {0};

    if (pf_model_create(spec, strlen(spec), &m, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    return m;
}

/* A file of that header and n floats 0, 1, 2 ... */
static void make_file(struct pf_buf *b, const char *header, size_t n)
{
    uint8_t length[8];

    pf_put64(length, strlen(header));
    pf_buf_init(b, MAX_FILE);
    pf_buf_add(b, length, 8);
    pf_buf_adds(b, header);
    for (size_t i = 0; i < n; i++) {
        uint8_t f[4];

        pf_putf(f, (float)i);
        pf_buf_add(b, f, 4);
    }
    assert_int_equal(b->status, POCKETFED_OK);
}

/* The status of reading such a file for the tiny model; when it fails, the
 * parameters are untouched. */
static enum pocketfed_status status_of(const char *header, size_t n,
                                       struct pf_error *err)
{
    struct pf_model *m = make_model(tiny);
    struct pf_buf b;
    float params[N];
    enum pocketfed_status st;

    for (size_t i = 0; i < N; i++)
        params[i] = -1.0f;
    make_file(&b, header, n);
    st = pf_safetensors_params(b.data, b.len, m, params, err);
    if (st != POCKETFED_OK)
        for (size_t i = 0; i < N; i++)
            assert_true(params[i] == -1.0f);
    pf_buf_free(&b);
    pf_model_free(m);
    return st;
}

static void write_zoo_model(const char *name, uint64_t round, struct pf_buf *b)
{
    struct pf_model *m = make_model(pf_zoo_spec(name));
    struct pf_model_meta meta = {.task = "digits \"0\"", .round = round};
    float *params = malloc(pf_model_n_params(m) * sizeof *params);

    assert_non_null(params);
    memset(meta.plan, 0xab, sizeof meta.plan);
    pf_model_init(m, 1, params);
    pf_buf_init(b, MAX_FILE);
    assert_int_equal(pf_safetensors_write(m, params, &meta, b), POCKETFED_OK);
    free(params);
    pf_model_free(m);
}

static void reads_back_each_model_of_the_zoo(void **state)
{
    const char *const *names = pf_zoo_names();

    (void)state;
    for (size_t i = 0; names[i]; i++) {
        struct pf_model *m = NULL, *known = make_model(pf_zoo_spec(names[i]));
        size_t n = pf_model_n_params(known);
        float *params = NULL, *expected = malloc(n * sizeof *expected);
        struct pf_model_meta meta;
        struct pf_buf b;

        assert_non_null(expected);
        write_zoo_model(names[i], UINT64_MAX, &b);
        assert_int_equal(
            pf_safetensors_read(b.data, b.len, &m, &params, &meta, NULL),
            POCKETFED_OK);
        pf_model_init(known, 1, expected);
        assert_memory_equal(params, expected, n * sizeof *params);
        assert_string_equal(pf_model_spec(m), pf_model_spec(known));
        assert_string_equal(meta.task, "digits \"0\"");
        assert_true(meta.round == UINT64_MAX);
        assert_int_equal(meta.plan[31], 0xab);
        assert_int_equal(meta.previous[0], 0);

        memset(expected, 0, n * sizeof *expected);
        assert_int_equal(
            pf_safetensors_params(b.data, b.len, known, expected, NULL),
            POCKETFED_OK);
        assert_memory_equal(params, expected, n * sizeof *params);
        free(expected);
        free(params);
        pf_model_free(known);
        pf_model_free(m);
        pf_buf_free(&b);
    }
}

static void equal_models_are_equal_bytes(void **state)
{
    struct pf_buf a, b;

    (void)state;
    write_zoo_model("logreg", 3, &a);
    write_zoo_model("logreg", 3, &b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    pf_buf_free(&b);
    write_zoo_model("logreg", 4, &b);
    assert_memory_not_equal(a.data, b.data, a.len);
    pf_buf_free(&a);
    pf_buf_free(&b);
}

/* vectors/tiny.safetensors was written by a script of its own, not by us. */
static void writes_and_reads_the_golden_file(void **state)
{
    struct pf_model *m = NULL;
    struct pf_model_meta meta;
    struct pf_error err = {0};
    struct pf_buf golden, again;
    float *params = NULL;

    (void)state;
    pf_buf_init(&golden, MAX_FILE);
    assert_int_equal(
        pf_file_read(PF_TEST_DIR "/vectors/tiny.safetensors", &golden, &err),
        POCKETFED_OK);
    if (pf_safetensors_read(golden.data, golden.len, &m, &params, &meta,
                            &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
    assert_int_equal(pf_model_n_params(m), N);
    for (size_t i = 0; i < N; i++)
        assert_true(params[i] == ((float)i - 7.0f) / 4.0f);
    assert_string_equal(meta.task, "digits");
    assert_int_equal(meta.round, 7);
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(meta.plan[i], i);
        assert_int_equal(meta.previous[i], 255 - i);
    }
    pf_buf_init(&again, MAX_FILE);
    assert_int_equal(pf_safetensors_write(m, params, &meta, &again),
                     POCKETFED_OK);
    assert_int_equal(again.len, golden.len);
    assert_memory_equal(again.data, golden.data, golden.len);
    pf_buf_free(&again);
    pf_buf_free(&golden);
    free(params);
    pf_model_free(m);
}

static void the_header_is_padded_to_eight_bytes(void **state)
{
    struct pf_buf b;

    (void)state;
    for (uint64_t round = 1; round < 1000000000; round *= 10) {
        write_zoo_model("logreg", round, &b);
        assert_int_equal(pf_get64(b.data) % 8, 0);
        assert_int_equal(b.len, 8 + pf_get64(b.data) + 4 * 7850);
        pf_buf_free(&b);
    }
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    struct pf_model *m = make_model(tiny);
    struct pf_model_meta meta = {.round = 0};
    float params[N] = {0};
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 100);
    assert_int_equal(pf_buf_adds(&b, "before"), POCKETFED_OK);
    assert_int_equal(pf_safetensors_write(m, params, &meta, &b),
                     POCKETFED_LIMIT);
    assert_string_equal(pf_buf_str(&b), "before");
    pf_buf_free(&b);
    pf_model_free(m);
}

static void reads_tensors_in_any_order_and_without_metadata(void **state)
{
    struct pf_model *m = make_model(tiny);
    struct pf_buf b;
    float params[N];

    (void)state;
    assert_int_equal(status_of(GOOD, N, NULL), POCKETFED_OK);
    make_file(&b,
              "{" WEIGHT "\"data_offsets\":[12,60]}," BIAS
              "\"data_offsets\":[0,12]},\"__metadata__\":{\"by\":\"torch\"}}  ",
              N);
    assert_int_equal(pf_safetensors_params(b.data, b.len, m, params, NULL),
                     POCKETFED_OK);
    assert_true(params[0] == 3.0f);  /* weight begins after the bias */
    assert_true(params[12] == 0.0f); /* bias */
    pf_buf_free(&b);
    pf_model_free(m);
}

static void refuses_overlaps_and_gaps(void **state)
{
    const struct {
        const char *header;
        size_t n;
    } bad[] = {
        {"{" WEIGHT "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":"
         "[36,48]}}",
         12}, /* overlap at the end */
        {"{" WEIGHT "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":"
         "[0,12]}}",
         12}, /* overlap at the beginning */
        {"{" WEIGHT "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":"
         "[52,64]}}",
         16}, /* gap between */
        {"{" WEIGHT "\"data_offsets\":[4,52]}," BIAS "\"data_offsets\":"
         "[52,64]}}",
         16},          /* gap before */
        {GOOD, N + 1}, /* bytes after the last */
        {GOOD, N - 1}, /* cut short */
        {GOOD, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pf_error err = {0};

        assert_int_equal(status_of(bad[i].header, bad[i].n, &err),
                         POCKETFED_MALFORMED);
        assert_non_null(strstr(err.text, "overlap, leave gaps"));
    }
}

static void refuses_tensors_that_are_not_the_models(void **state)
{
    const struct {
        const char *header, *text;
    } bad[] = {
        {"{}", "there is no tensor fc.weight"},
        {"{" WEIGHT "\"data_offsets\":[0,48]}}", "there is no tensor fc.bias"},
        {"{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[4,3],"
         "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":[48,60]}}",
         "not the shape [3,4]"},
        {"{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[12],"
         "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":[48,60]}}",
         "not the shape [3,4]"},
        {"{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":12,"
         "\"data_offsets\":[0,48]}," BIAS "\"data_offsets\":[48,60]}}",
         "not the shape [3,4]"},
        {"{" WEIGHT "\"data_offsets\":[0,44]}," BIAS
         "\"data_offsets\":[44,60]}}",
         "fc.weight has 44 bytes instead of 48"},
        {"{" WEIGHT "\"data_offsets\":[48,0]}," BIAS
         "\"data_offsets\":[48,60]}}",
         "fc.weight has -48 bytes"},
        {"{" WEIGHT "\"data_offsets\":[-48,0]}," BIAS
         "\"data_offsets\":[48,60]}}",
         "fc.weight has no pair of data_offsets"},
        {"{" WEIGHT "\"data_offsets\":[0,1e300]}," BIAS
         "\"data_offsets\":[48,60]}}",
         "fc.weight has no pair of data_offsets"},
        {"{" WEIGHT "\"data_offsets\":[0]}," BIAS "\"data_offsets\":[48,60]}}",
         "fc.weight has no pair of data_offsets"},
        {"{\"fc.weight\":{\"shape\":[3,4],\"data_offsets\":[0,48]}," BIAS
         "\"data_offsets\":[48,60]}}",
         "fc.weight has no dtype"},
        {"{\"fc.weight\":3}", "fc.weight has no dtype"},
        {"{" WEIGHT "\"data_offsets\":[0,48]}," BIAS
         "\"data_offsets\":[48,60]},\"extra\":{}}",
         "the file names 3 tensors, the model has 2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pf_error err = {0};

        assert_int_equal(status_of(bad[i].header, N, &err),
                         POCKETFED_MALFORMED);
        if (!strstr(err.text, bad[i].text))
            fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].text);
    }
}

static void refuses_a_tensor_named_twice(void **state)
{
    (void)state;
    assert_int_equal(status_of("{" WEIGHT "\"data_offsets\":[0,48]}," BIAS
                               "\"data_offsets\":[48,60]}," BIAS
                               "\"data_offsets\":[48,60]}}",
                               N, NULL),
                     POCKETFED_MALFORMED);
}

static void names_the_dtype_that_it_cannot_read(void **state)
{
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(status_of("{\"fc.weight\":{\"dtype\":\"BF16\","
                               "\"shape\":[3,4],\"data_offsets\":[0,24]}," BIAS
                               "\"data_offsets\":[24,36]}}",
                               9, &err),
                     POCKETFED_UNSUPPORTED);
    assert_non_null(strstr(err.text, "fc.weight is of dtype BF16"));
}

static void refuses_headers_that_are_too_long_or_no_object(void **state)
{
    uint8_t huge[16] = {0};
    struct pf_model *m = make_model(tiny);
    struct pf_error err = {0};
    float params[N];

    (void)state;
    pf_put64(huge, (uint64_t)1 << 40);
    huge[8] = '{';
    assert_int_equal(pf_safetensors_params(huge, 16, m, params, &err),
                     POCKETFED_LIMIT);
    pf_put64(huge, 9); /* one byte more than there is */
    assert_int_equal(pf_safetensors_params(huge, 16, m, params, &err),
                     POCKETFED_MALFORMED);
    pf_put64(huge, UINT64_MAX);
    assert_int_equal(pf_safetensors_params(huge, 16, m, params, &err),
                     POCKETFED_LIMIT);
    assert_int_equal(status_of("", 0, NULL), POCKETFED_MALFORMED);
    assert_int_equal(status_of("[]", 0, NULL), POCKETFED_MALFORMED);
    assert_int_equal(status_of(" " GOOD, N, NULL), POCKETFED_MALFORMED);
    assert_int_equal(status_of("{\"a\":", 0, NULL), POCKETFED_MALFORMED);
    pf_model_free(m);
}

static void refuses_every_strict_prefix_without_reading_past_it(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, MAX_FILE);
    assert_int_equal(
        pf_file_read(PF_TEST_DIR "/vectors/tiny.safetensors", &b, NULL),
        POCKETFED_OK);
    for (size_t n = 0; n <= b.len; n++) {
        uint8_t *p = pf_guard_copy(b.data, n);
        struct pf_model *m = NULL;
        float *params = NULL;
        enum pocketfed_status st =
            pf_safetensors_read(p, n, &m, &params, NULL, NULL);

        assert_int_equal(st, n == b.len ? POCKETFED_OK : POCKETFED_MALFORMED);
        if (n < b.len)
            assert_true(m == NULL && params == NULL);
        free(params);
        pf_model_free(m);
        pf_guard_free(p, n);
    }
    pf_buf_free(&b);
}

/* Reads tiny.safetensors with one piece of its header replaced by another of
 * the same length. */
static enum pocketfed_status status_with(const char *was, const char *is,
                                         struct pf_error *err)
{
    struct pf_buf b;
    struct pf_model *m = NULL;
    float *params = NULL;
    enum pocketfed_status st;
    size_t at = 0, n = strlen(was);

    assert_int_equal(strlen(is), n);
    pf_buf_init(&b, MAX_FILE);
    assert_int_equal(
        pf_file_read(PF_TEST_DIR "/vectors/tiny.safetensors", &b, NULL),
        POCKETFED_OK);
    while (at + n < b.len && memcmp(b.data + at, was, n) != 0)
        at++;
    assert_true(at + n < b.len);
    memcpy(b.data + at, is, n);
    st = pf_safetensors_read(b.data, b.len, &m, &params, NULL, err);
    assert_true((st == POCKETFED_OK) == (m != NULL));
    free(params);
    pf_model_free(m);
    pf_buf_free(&b);
    return st;
}

static void refuses_metadata_that_is_not_ours(void **state)
{
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(status_with("digits", "DIGITS", &err), POCKETFED_OK);
    assert_int_equal(status_with("model-0", "model-9", &err),
                     POCKETFED_UNSUPPORTED);
    assert_non_null(strstr(err.text, "pocketfed-model-9"));
    assert_int_equal(status_with("\"format\"", "\"Format\"", &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "no \"format\""));
    assert_non_null(strstr(err.hint, "pocketfed"));
    assert_int_equal(status_with("\"spec\"", "\"Spec\"", &err),
                     POCKETFED_MALFORMED);
    assert_int_equal(status_with("\"task\"", "\"Task\"", &err),
                     POCKETFED_MALFORMED);
    assert_int_equal(status_with("\"round\":\"7\"", "\"round\":\"x\"", &err),
                     POCKETFED_MALFORMED);
    assert_int_equal(status_with("0001020304", "000102030G", &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "\"plan\""));
    assert_int_equal(status_with("fffefdfcfb", "FFFEFDFCFB", &err),
                     POCKETFED_MALFORMED);
    assert_int_equal(status_with("__metadata__", "__Metadata__", &err),
                     POCKETFED_MALFORMED);
}

static void refuses_a_spec_that_does_not_fit_the_tensors(void **state)
{
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(status_with("units\\\":3", "units\\\":4", &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "has 60 bytes of parameters"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_each_model_of_the_zoo),
        cmocka_unit_test(equal_models_are_equal_bytes),
        cmocka_unit_test(writes_and_reads_the_golden_file),
        cmocka_unit_test(the_header_is_padded_to_eight_bytes),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(reads_tensors_in_any_order_and_without_metadata),
        cmocka_unit_test(refuses_overlaps_and_gaps),
        cmocka_unit_test(refuses_tensors_that_are_not_the_models),
        cmocka_unit_test(refuses_a_tensor_named_twice),
        cmocka_unit_test(names_the_dtype_that_it_cannot_read),
        cmocka_unit_test(refuses_headers_that_are_too_long_or_no_object),
        cmocka_unit_test(refuses_every_strict_prefix_without_reading_past_it),
        cmocka_unit_test(refuses_metadata_that_is_not_ours),
        cmocka_unit_test(refuses_a_spec_that_does_not_fit_the_tensors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
