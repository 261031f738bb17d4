#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "frame.h"
#include "guard.h"

#define DIM (PF_ADMIT_BLOCK + 3)

static struct frame f;
static float x[DIM], scratch[PF_ADMIT_BLOCK];
static struct pf_admitted out;
static struct pf_problem why;

static int set_up(void **state)
{
    (void)state;
    frame_init(&f, DIM);
    memset(x, 0, sizeof x);
    memset(&out, 0x55, sizeof out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    frame_free(&f);
    return 0;
}

/* The frame ends where memory ends. */
static enum pocketfed_status admit(void)
{
    size_t len = f.bytes.len;
    uint8_t *copy = pf_guard_copy(f.bytes.data, len);
    enum pocketfed_status st =
        pf_admit(&f.want, copy, len, scratch, &out, &why);

    pf_guard_free(copy, len);
    return st;
}

static void is_refused(enum pf_problem_id id)
{
    struct pf_admitted before;

    memset(&before, 0x55, sizeof before);
    memset(&out, 0x55, sizeof out);
    assert_int_equal(admit(), POCKETFED_REFUSED);
    assert_int_equal(why.id, id);
    assert_true(why.detail[0] != '\0');
    assert_memory_equal(&out, &before, sizeof out);
}

static void an_honest_update_is_admitted_with_its_numbers(void **state)
{
    (void)state;
    x[0] = 3;
    x[DIM - 1] = 4;
    f.head.n_metrics = 1;
    snprintf(f.head.metrics[0].name, sizeof f.head.metrics[0].name,
             "train_loss");
    f.head.metrics[0].value = 0.125;
    frame_make(&f, "f32", x, DIM);
    assert_int_equal(admit(), POCKETFED_OK);
    assert_int_equal(out.examples, 10);
    assert_int_equal(out.weight, 10);
    assert_int_equal(out.saturated, 1); /* the 4 */
    assert_true(out.norm == 5);
    assert_true(out.train_loss == 0.125);
}

static void a_loss_that_was_not_reported_is_none(void **state)
{
    (void)state;
    frame_make(&f, "f32", x, DIM);
    assert_int_equal(admit(), POCKETFED_OK);
    assert_true(out.train_loss == -1);
    assert_true(out.norm == 0);
}

static void a_loss_beyond_belief_is_none(void **state)
{
    static const double losses[] = {1e308, 1.01e9, 1e9};
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        f.head.n_metrics = 1;
        snprintf(f.head.metrics[0].name, sizeof f.head.metrics[0].name,
                 "train_loss");
        f.head.metrics[0].value = losses[i];
        frame_make(&f, "f32", x, DIM);
        assert_int_equal(admit(), POCKETFED_OK);
        assert_true(out.train_loss == (i == 2 ? 1e9 : -1));
    }
}

static void bytes_that_are_no_frame_are_malformed(void **state)
{
    (void)state;
    frame_make(&f, "f32", x, DIM);
    f.bytes.len--; /* cut short */
    is_refused(PF_PROBLEM_MALFORMED);
    f.bytes.len = 0;
    is_refused(PF_PROBLEM_MALFORMED);
    frame_make(&f, "f32", x, DIM);
    f.bytes.data[0] ^= 1;
    is_refused(PF_PROBLEM_MALFORMED);
}

static void another_round_or_task_is_not_assigned(void **state)
{
    (void)state;
    f.head.round = 4;
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_NOT_ASSIGNED);
    f.head.round = 3;
    snprintf(f.head.task, sizeof f.head.task, "other");
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_NOT_ASSIGNED);
}

static void another_plan_model_or_layout_is_refused(void **state)
{
    uint8_t *digest[] = {f.head.plan, f.head.base, f.head.layout};

    (void)state;
    for (int i = 0; i < 3; i++) {
        digest[i][31] ^= 1;
        frame_make(&f, "f32", x, DIM);
        is_refused(PF_PROBLEM_LAYOUT);
        digest[i][31] ^= 1;
    }
    frame_make(&f, "f32", x, DIM - 1);
    is_refused(PF_PROBLEM_LAYOUT);
}

static void the_number_of_examples_is_held_to_the_plan(void **state)
{
    static const struct {
        uint64_t examples;
        int ok;
    } row[] = {{0, 0}, {1, 0}, {2, 1}, {1000, 1}, {1001, 0}, {UINT64_MAX, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        f.head.examples = row[i].examples;
        frame_make(&f, "f32", x, DIM);
        if (row[i].ok)
            assert_int_equal(admit(), POCKETFED_OK);
        else
            is_refused(PF_PROBLEM_EXAMPLES);
    }
}

static void another_codec_than_the_plans_is_refused(void **state)
{
    (void)state;
    frame_make(&f, "f16", x, DIM);
    is_refused(PF_PROBLEM_CODEC_UNKNOWN);
    snprintf(f.plan.update.codec, sizeof f.plan.update.codec, "f16");
    assert_int_equal(admit(), POCKETFED_OK);
}

static void sections_that_the_task_does_not_use_are_refused(void **state)
{
    (void)state;
    f.head.sections[0].kind = 2;
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_SECTION_UNKNOWN);
    f.head.sections[0].kind = PF_SECTION_DELTA;
    f.head.sections[0].tensor_set = 1;
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_SECTION_UNKNOWN);
    f.head.sections[0].tensor_set = 0;
    f.head.n_sections = 2; /* twice the same: would count double */
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_SECTION_UNKNOWN);
}

static void a_section_of_the_wrong_length_is_malformed(void **state)
{
    struct pf_section *sec = &f.head.sections[0];
    size_t began;

    (void)state;
    sec->kind = PF_SECTION_DELTA;
    sec->codec = 1;
    sec->count = DIM;
    assert_int_equal(pf_update_begin(&f.bytes, &f.head), POCKETFED_OK);
    began = f.bytes.len;
    pf_buf_add(&f.bytes, x, (DIM - 1) * sizeof *x);
    assert_int_equal(pf_update_section_end(&f.bytes, &f.head, 0, began),
                     POCKETFED_OK);
    is_refused(PF_PROBLEM_MALFORMED);
}

/* Writes a coordinate into the finished frame: encoders refuse these. */
static void poison(size_t i, float v)
{
    struct pf_update u;

    frame_make(&f, "f32", x, DIM);
    assert_int_equal(pf_update_parse(f.bytes.data, f.bytes.len, &u, NULL),
                     POCKETFED_OK);
    memcpy(f.bytes.data + (u.sections[0].bytes - f.bytes.data) + 4 * i, &v,
           sizeof v);
}

static void nan_and_infinity_are_refused_wherever_they_are(void **state)
{
    static const size_t at[] = {
        0, 1, 7, PF_ADMIT_BLOCK - 1, PF_ADMIT_BLOCK, DIM - 1};

    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        poison(at[i], NAN);
        is_refused(PF_PROBLEM_NON_FINITE);
        poison(at[i], INFINITY);
        is_refused(PF_PROBLEM_NON_FINITE);
        poison(at[i], -INFINITY);
        is_refused(PF_PROBLEM_NON_FINITE);
    }
}

static void the_norm_is_held_to_the_plan_with_a_little_slack(void **state)
{
    (void)state;
    x[5] = 100.05f; /* within a thousandth */
    frame_make(&f, "f32", x, DIM);
    assert_int_equal(admit(), POCKETFED_OK);
    x[5] = 100.2f;
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_NORM);
    x[5] = 3e38f; /* its square is no float, but a double */
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_NORM);
    x[5] = 80;
    x[DIM - 1] = -80; /* in the second block */
    frame_make(&f, "f32", x, DIM);
    is_refused(PF_PROBLEM_NORM);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_honest_update_is_admitted_with_its_numbers),
        TEST(a_loss_that_was_not_reported_is_none),
        TEST(a_loss_beyond_belief_is_none),
        TEST(bytes_that_are_no_frame_are_malformed),
        TEST(another_round_or_task_is_not_assigned),
        TEST(another_plan_model_or_layout_is_refused),
        TEST(the_number_of_examples_is_held_to_the_plan),
        TEST(another_codec_than_the_plans_is_refused),
        TEST(sections_that_the_task_does_not_use_are_refused),
        TEST(a_section_of_the_wrong_length_is_malformed),
        TEST(nan_and_infinity_are_refused_wherever_they_are),
        TEST(the_norm_is_held_to_the_plan_with_a_little_slack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
