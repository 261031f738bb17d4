#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "crypto.h"
#include "publish.h"

/* One dense layer, 1 -> 2: weight (2,1), bias (2): four parameters. */
static const char task_text[] =
    "{\"name\":\"tiny\",\"seed\":9,\"model\":{\"version\":1,\"input\":[1,1,1],"
    "\"layers\":[{\"name\":\"flat\",\"type\":\"flatten\","
    "\"inputs\":[\"input\"]},{\"name\":\"out\",\"type\":\"dense\","
    "\"inputs\":[\"flat\"],\"units\":2}],\"loss\":\"softmax_cross_entropy\"}}";

static struct pf_task t;
static struct pf_model *m;
static struct pf_buf base, next;
static uint8_t plan[32], base_digest[32], digest[32];
static struct pf_sum sum;
static struct pf_error err;

static int set_up(void **state)
{
    const float start[4] = {1, 2, 3, 4};

    (void)state;
    memset(plan, 7, sizeof plan);
    pf_buf_init(&base, PF_MAX_MODEL_FILE);
    pf_buf_init(&next, PF_MAX_MODEL_FILE);
    if (pf_task_parse(task_text, strlen(task_text), &t, &err) ||
        pf_model_create(pf_buf_str(&t.spec), t.spec.len, &m, &err) ||
        pf_publish_initial(&t, m, plan, start, &base, base_digest) ||
        pf_sum_init(&sum, 4)) {
        print_error("%s\n", err.text);
        return 1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_buf_free(&base);
    pf_buf_free(&next);
    pf_sum_free(&sum);
    pf_model_free(m);
    pf_task_free(&t);
    return 0;
}

static enum pocketfed_status publish(uint64_t round)
{
    return pf_publish(&t, m, round, plan, base.data, base.len, base_digest,
                      &sum, NULL, &next, digest, &err);
}

static void add(const float *delta, uint64_t weight)
{
    pf_sum_add(&sum, &t.update, 0, delta, 4, weight, 1);
    sum.weight += weight;
    sum.updates++;
}

static void the_first_model_is_made_from_the_seed(void **state)
{
    float want[4], got[4];
    struct pf_model_meta meta;
    struct pf_model *again;
    float *params;

    (void)state;
    assert_int_equal(pf_model_n_params(m), 4);
    assert_int_equal(pf_publish_initial(&t, m, plan, NULL, &next, digest),
                     POCKETFED_OK);
    pf_model_init(m, 9, want);
    assert_int_equal(pf_safetensors_params(next.data, next.len, m, got, &err),
                     POCKETFED_OK);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(
        pf_safetensors_read(next.data, next.len, &again, &params, &meta, &err),
        POCKETFED_OK);
    assert_string_equal(meta.task, "tiny");
    assert_int_equal(meta.round, 0);
    assert_memory_equal(meta.plan, plan, 32);
    assert_int_equal(meta.previous[0], 0);
    pf_model_free(again);
    free(params);
}

static void fedavg_adds_the_weighted_mean(void **state)
{
    /* weights 1 and 3; delta means (0.25+0, 0+0.75, -1, 0.5). */
    const float a[4] = {1, 0, -1, 0.5f}, b[4] = {0, 1, -1, 0.5f};
    struct pf_model_meta meta;
    struct pf_model *again;
    uint8_t sha[32];
    float *params;

    (void)state;
    add(a, 1);
    add(b, 3);
    assert_int_equal(publish(1), POCKETFED_OK);
    assert_int_equal(
        pf_safetensors_read(next.data, next.len, &again, &params, &meta, &err),
        POCKETFED_OK);
    assert_true(params[0] == 1.25f);
    assert_true(params[1] == 2.75f);
    assert_true(params[2] == 2.0f);
    assert_true(params[3] == 4.5f);
    assert_int_equal(meta.round, 1);
    assert_memory_equal(meta.previous, base_digest, 32);
    assert_memory_equal(meta.plan, plan, 32);
    pf_sha256(next.data, next.len, sha);
    assert_memory_equal(digest, sha, 32);
    pf_model_free(again);
    free(params);
}

static void eta_scales_the_step(void **state)
{
    const float a[4] = {1, 0, -1, 0.5f};
    float got[4];

    (void)state;
    t.strategy.eta = 0.5;
    add(a, 10);
    assert_int_equal(publish(1), POCKETFED_OK);
    assert_int_equal(pf_safetensors_params(next.data, next.len, m, got, &err),
                     POCKETFED_OK);
    assert_true(got[0] == 1.5f && got[1] == 2 && got[2] == 2.5f &&
                got[3] == 4.25f);
}

static void made_twice_it_is_the_same_file(void **state)
{
    const float a[4] = {0.1f, 0.2f, -0.3f, 1e-7f};
    struct pf_buf first;
    uint8_t before[32];

    (void)state;
    add(a, 3);
    assert_int_equal(publish(5), POCKETFED_OK);
    memcpy(before, digest, 32);
    pf_buf_init(&first, next.max);
    pf_buf_add(&first, next.data, next.len);
    assert_int_equal(publish(5), POCKETFED_OK);
    assert_int_equal(next.len, first.len);
    assert_memory_equal(next.data, first.data, first.len);
    assert_memory_equal(digest, before, 32);
    assert_int_equal(publish(6), POCKETFED_OK);
    assert_memory_not_equal(digest, before, 32);
    pf_buf_free(&first);
}

static void what_overflows_a_float_is_refused(void **state)
{
    const float a[4] = {4, 4, 4, 4}, huge[4] = {3.4e38f, 0, 0, 0};
    uint8_t before[32];

    (void)state;
    assert_int_equal(pf_publish_initial(&t, m, plan, huge, &base, base_digest),
                     POCKETFED_OK);
    t.update.range = 32768;
    t.update.bits = 16;
    t.strategy.eta = 1e35;
    memcpy(before, digest, 32);
    add(a, 1);
    assert_int_equal(publish(1), POCKETFED_NON_FINITE);
    assert_int_equal(err.status, POCKETFED_NON_FINITE);
    assert_memory_equal(digest, before, 32);
    assert_int_equal(next.len, 0);
}

static void initial_parameters_must_be_finite(void **state)
{
    const float bad[4] = {0, NAN, 0, 0};

    (void)state;
    assert_int_equal(pf_publish_initial(&t, m, plan, bad, &next, digest),
                     POCKETFED_NON_FINITE);
    assert_int_equal(next.len, 0);
}

static void a_sum_without_updates_or_of_another_size_is_refused(void **state)
{
    const float a[4] = {1, 1, 1, 1};

    (void)state;
    assert_int_equal(publish(1), POCKETFED_INVALID);
    add(a, 1);
    sum.n = 3;
    assert_int_equal(publish(1), POCKETFED_INVALID);
    sum.n = 4;
    base.len--;
    assert_int_not_equal(publish(1), POCKETFED_OK);
    base.len++;
    assert_int_equal(publish(1), POCKETFED_OK);
}

static void a_strategy_that_is_not_built_in_is_named(void **state)
{
    const float a[4] = {1, 1, 1, 1};

    (void)state;
    assert_null(pf_strategy_find("krum"));
    assert_non_null(pf_strategy_find("fedavg"));
    for (const char *const *n = pf_strategy_names(); *n; n++)
        assert_string_equal(pf_strategy_find(*n)->name, *n);
    add(a, 1);
    snprintf(t.strategy.name, sizeof t.strategy.name, "krum");
    assert_int_equal(publish(1), POCKETFED_UNSUPPORTED);
    assert_non_null(strstr(err.text, "krum"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_model_is_made_from_the_seed),
        TEST(fedavg_adds_the_weighted_mean),
        TEST(eta_scales_the_step),
        TEST(made_twice_it_is_the_same_file),
        TEST(what_overflows_a_float_is_refused),
        TEST(initial_parameters_must_be_finite),
        TEST(a_sum_without_updates_or_of_another_size_is_refused),
        TEST(a_strategy_that_is_not_built_in_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
