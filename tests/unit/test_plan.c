#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "plan.h"

#define SPEC "{\"version\":1,\"input\":[1,28,28],\"layers\":[]}"

static void example(struct pf_plan *p)
{
    pf_plan_init(p);
    memcpy(p->task, "mnist", 6);
    assert_int_equal(pf_buf_adds(&p->model, SPEC), POCKETFED_OK);
    p->memory = 12345678;
}

static void the_defaults_are_valid(void **state)
{
    struct pf_plan p;
    struct pf_error err;

    (void)state;
    example(&p);
    if (pf_plan_check(&p, &err))
        fail_msg("%s", err.text);
    pf_plan_free(&p);
    pf_plan_free(&p); /* harmless */
    pf_plan_free(NULL);
}

static void a_plan_survives_the_journey_byte_by_byte(void **state)
{
    struct pf_plan p, q;
    struct pf_buf a, b;
    struct pf_error err;

    (void)state;
    example(&p);
    p.revision = 3;
    p.train.optimizer = PF_ADAM;
    p.train.lr = 0.1; /* no finite binary fraction */
    p.train.epochs = 2;
    p.train.batch = 10;
    p.train.shuffle = 0;
    memcpy(p.update.codec, "f16", 4);
    p.update.range = 0.25;
    p.update.bits = 24;
    p.update.max_norm = 12.5;
    p.update.min_examples = 5;
    p.update.max_examples = 600;
    p.update.cohort_max = 7;
    p.memory = UINT64_C(1) << 53;
    pf_buf_init(&a, PF_MAX_PLAN);
    pf_buf_init(&b, PF_MAX_PLAN);
    assert_int_equal(pf_plan_encode(&p, &a), POCKETFED_OK);
    pf_plan_init(&q);
    if (pf_plan_decode(pf_buf_str(&a), a.len, &q, &err))
        fail_msg("%s", err.text);
    assert_int_equal(pf_plan_encode(&q, &b), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&a), pf_buf_str(&b));
    assert_string_equal(q.task, "mnist");
    assert_int_equal(q.revision, 3);
    assert_string_equal(pf_buf_str(&q.model), SPEC);
    assert_int_equal(q.train.optimizer, PF_ADAM);
    assert_true(q.train.lr == 0.1);
    assert_int_equal(q.train.shuffle, 0);
    assert_string_equal(q.update.codec, "f16");
    assert_true(q.update.range == 0.25);
    assert_int_equal(q.update.max_examples, 600);
    assert_true(q.memory == UINT64_C(1) << 53);
    pf_plan_free(&p);
    pf_plan_free(&q);
    pf_buf_free(&a);
    pf_buf_free(&b);
}

/* What check says of the example with one change. */
#define REFUSED(change, named)                                                 \
    do {                                                                       \
        struct pf_plan p;                                                      \
        struct pf_error err = {.text = ""};                                    \
                                                                               \
        example(&p);                                                           \
        change;                                                                \
        if (pf_plan_check(&p, &err) != POCKETFED_CONFIG ||                     \
            !strstr(err.text, named))                                          \
            fail_msg("%s: %s", #change, err.text);                             \
        pf_plan_free(&p);                                                      \
    } while (0)
#define ACCEPTED(change)                                                       \
    do {                                                                       \
        struct pf_plan p;                                                      \
        struct pf_error err = {.text = ""};                                    \
                                                                               \
        example(&p);                                                           \
        change;                                                                \
        if (pf_plan_check(&p, &err))                                           \
            fail_msg("%s: %s", #change, err.text);                             \
        pf_plan_free(&p);                                                      \
    } while (0)

static void each_bound_is_kept_and_named(void **state)
{
    (void)state;
    REFUSED(p.version = 0, "version");
    REFUSED(p.task[0] = '/', "task");
    REFUSED(p.task[0] = '\0', "task");
    REFUSED(p.revision = 0, "revision");
    REFUSED(pf_buf_clear(&p.model), "model");
    REFUSED(p.train.lr = -1, "train.lr");
    REFUSED(p.update.codec[0] = '\0', "update.codec");
    REFUSED(p.update.codec[0] = 'F', "update.codec");
    REFUSED(p.update.range = 0, "update.range");
    REFUSED(p.update.range = -1, "update.range");
    REFUSED(p.update.range = 3, "update.range");
    REFUSED(p.update.range = 65536, "update.range");
    REFUSED(p.update.range = 1.0 / 65536, "update.range");
    REFUSED(p.update.range = 1.0 / 0.0, "update.range");
    REFUSED(p.update.range = 5e-324, "update.range");
    ACCEPTED(p.update.range = 32768);
    ACCEPTED(p.update.range = 1.0 / 32768);
    REFUSED(p.update.bits = 15, "update.bits");
    REFUSED(p.update.bits = 49, "update.bits");
    REFUSED(p.update.max_norm = 0, "update.max_norm");
    REFUSED(p.update.max_norm = 0.0 / 0.0, "update.max_norm");
    REFUSED(p.update.max_norm = 2e9, "update.max_norm");
    REFUSED(p.update.min_examples = 0, "update.min_examples");
    REFUSED(p.update.min_examples = 16385, "update.max_examples");
    REFUSED(p.update.cohort_max = 0, "update.cohort_max");
    REFUSED(p.retention[0] = 'N', "retention");
    REFUSED(p.memory = (UINT64_C(1) << 53) + 1, "memory");
    REFUSED(p.min_version[0] = 'v', "min_version");
}

/* cohort_max * max_examples * 2^(bits-1) < 2^63. */
static void no_sum_of_a_round_can_overflow(void **state)
{
    (void)state;
    ACCEPTED((p.update.bits = 32, p.update.cohort_max = 1 << 16,
              p.update.max_examples = (1 << 16) - 1));
    REFUSED((p.update.bits = 32, p.update.cohort_max = 1 << 16,
             p.update.max_examples = 1 << 16),
            "65535");
    ACCEPTED((p.update.bits = 48, p.update.cohort_max = 1,
              p.update.max_examples = (1 << 16) - 1));
    REFUSED((p.update.bits = 48, p.update.cohort_max = 1,
             p.update.max_examples = 1 << 16),
            "65535");
    REFUSED((p.update.bits = 48, p.update.cohort_max = UINT32_MAX),
            "at most 0");
    REFUSED(p.update.max_examples = UINT64_MAX, "overflow");
    ACCEPTED((p.update.bits = 16, p.update.cohort_max = UINT32_MAX,
              p.update.max_examples = 65536));
}

static void the_shift_is_exact(void **state)
{
    struct pf_plan_update u = {.range = 1, .bits = 32};

    (void)state;
    assert_int_equal(pf_plan_shift(&u), 31);
    u.range = 0.25;
    assert_int_equal(pf_plan_shift(&u), 33);
    u.range = 32768;
    u.bits = 16;
    assert_int_equal(pf_plan_shift(&u), 0);
    u.range = 1.0 / 32768;
    u.bits = 48;
    assert_int_equal(pf_plan_shift(&u), 62);
}

static void a_newer_plan_asks_for_a_newer_library(void **state)
{
    struct pf_plan p;

    (void)state;
    example(&p);
    p.version = 2;
    assert_int_equal(pf_plan_check(&p, NULL), POCKETFED_TOO_OLD);
    pf_plan_free(&p);
}

static void a_refused_text_leaves_the_plan_alone(void **state)
{
    static const char *const wrong[] = {
        "", "{}", "[]", "{\"version\":1}", "{\"version\":2}",
    };
    struct pf_buf text;
    struct pf_plan p;

    (void)state;
    example(&p);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_not_equal(
            pf_plan_decode(wrong[i], strlen(wrong[i]), &p, NULL), POCKETFED_OK);
    p.update.bits = 99; /* well-formed, but not valid */
    pf_buf_init(&text, PF_MAX_PLAN);
    assert_int_equal(pf_plan_encode(&p, &text), POCKETFED_OK);
    p.update.bits = 32;
    assert_int_equal(pf_plan_decode(pf_buf_str(&text), text.len, &p, NULL),
                     POCKETFED_CONFIG);
    assert_int_equal(p.update.bits, 32);
    assert_string_equal(pf_buf_str(&p.model), SPEC);
    assert_int_equal(
        pf_plan_decode(pf_buf_str(&text), PF_MAX_PLAN + 1, &p, NULL),
        POCKETFED_LIMIT);
    pf_buf_free(&text);
    pf_plan_free(&p);
}

static void unknown_members_are_passed_over_but_no_optimiser(void **state)
{
    static const char plan[] =
        "{\"version\":1,\"task\":\"t\",\"revision\":1,\"model\": {\"a\" : 1},"
        "\"future\":[1],\"train\":{\"optimizer\":\"%s\"},\"update\":{},"
        "\"retention\":\"none\",\"memory\":\"1\",\"min_version\":\"0.1.0\"}";
    char text[400];
    struct pf_error err = {.text = ""};
    struct pf_plan p;

    (void)state;
    pf_plan_init(&p);
    snprintf(text, sizeof text, plan, "sgd");
    if (pf_plan_decode(text, strlen(text), &p, &err))
        fail_msg("%s", err.text);
    assert_string_equal(pf_buf_str(&p.model), "{\"a\":1}");
    assert_int_equal(p.update.bits, 32); /* the default */
    snprintf(text, sizeof text, plan, "lion");
    assert_int_equal(pf_plan_decode(text, strlen(text), &p, &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "/train/optimizer"));
    pf_plan_free(&p);
}

static void versions_compare_by_number(void **state)
{
    (void)state;
    assert_int_equal(pf_version_at_least("0.1.0", "0.1.0"), 1);
    assert_int_equal(pf_version_at_least("0.10.0", "0.9.9"), 1);
    assert_int_equal(pf_version_at_least("0.9.9", "0.10.0"), 0);
    assert_int_equal(pf_version_at_least("1.0.0", "0.99.99"), 1);
    assert_int_equal(pf_version_at_least("0.1.1", "0.1.2"), 0);
    assert_int_equal(pf_version_at_least("0.1", "0.1.0"), 0);
    assert_int_equal(pf_version_at_least("0.1.0.0", "0.1.0"), 0);
    assert_int_equal(pf_version_at_least("0.1.0-rc", "0.1.0"), 0);
    assert_int_equal(pf_version_at_least("0.1.0", "x"), 0);
    assert_int_equal(pf_version_at_least("", ""), 0);
    assert_int_equal(pf_version_at_least("0.1.", "0.1.0"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_valid),
        cmocka_unit_test(a_plan_survives_the_journey_byte_by_byte),
        cmocka_unit_test(each_bound_is_kept_and_named),
        cmocka_unit_test(no_sum_of_a_round_can_overflow),
        cmocka_unit_test(the_shift_is_exact),
        cmocka_unit_test(a_newer_plan_asks_for_a_newer_library),
        cmocka_unit_test(a_refused_text_leaves_the_plan_alone),
        cmocka_unit_test(unknown_members_are_passed_over_but_no_optimiser),
        cmocka_unit_test(versions_compare_by_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
