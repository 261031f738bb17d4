#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <stdlib.h>
#include "bytes.h"
#include "guard.h"
#include "update.h"

#define METRICS_AT PF_UPDATE_FIXED
#define TABLE_AT   (METRICS_AT + 2 * 32)
#define HEAD       304 /* 192 + 2 * 32 + 2 * 24 */

/* Two metrics; a section of 21 bytes, one of 16. */
static struct pf_update example(void)
{
    struct pf_update u;

    memset(&u, 0, sizeof u);
    memcpy(u.task, "mnist", 6);
    u.round = 7;
    for (size_t i = 0; i < 32; i++) {
        u.plan[i] = (uint8_t)(0x10 + i);
        u.base[i] = (uint8_t)(0x40 + i);
        u.layout[i] = (uint8_t)(0x80 + i);
    }
    u.examples = 600;
    u.n_metrics = 2;
    memcpy(u.metrics[0].name, "loss", 5);
    u.metrics[0].value = 0.5;
    memset(u.metrics[1].name, 'a', PF_METRIC_NAME_MAX); /* no room for a NUL */
    u.metrics[1].value = -1e300;
    u.n_sections = 2;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = 1;
    u.sections[0].count = 5;
    u.sections[1].kind = 9; /* whoever uses it refuses it, not the parser */
    u.sections[1].codec = 250;
    u.sections[1].tensor_set = 0x0102;
    u.sections[1].count = UINT64_MAX;
    return u;
}

static void write_frame(struct pf_buf *out)
{
    struct pf_update u = example();
    size_t began;

    pf_buf_init(out, 4096);
    assert_int_equal(pf_update_begin(out, &u), POCKETFED_OK);
    began = out->len;
    pf_buf_add(out, "twenty-one bytes long", 21);
    assert_int_equal(pf_update_section_end(out, &u, 0, began), POCKETFED_OK);
    began = out->len;
    pf_buf_add(out, "sixteen bytes ok", 16);
    assert_int_equal(pf_update_section_end(out, &u, 1, began), POCKETFED_OK);
}

/* Parses a copy that ends at an unreadable page. */
static enum pocketfed_status parse(const uint8_t *p, size_t n,
                                   struct pf_update *out)
{
    void *copy = pf_guard_copy(p, n);
    enum pocketfed_status st = pf_update_parse(copy, n, out, NULL);

    pf_guard_free(copy, n);
    return st;
}

static void reads_back_what_was_written(void **state)
{
    struct pf_update want = example(), u;
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    assert_int_equal(f.len, HEAD + 32 + 16);
    assert_int_equal(pf_update_parse(f.data, f.len, &u, NULL), POCKETFED_OK);
    assert_string_equal(u.task, "mnist");
    assert_int_equal(u.round, 7);
    assert_memory_equal(u.plan, want.plan, 32);
    assert_memory_equal(u.base, want.base, 32);
    assert_memory_equal(u.layout, want.layout, 32);
    assert_int_equal(u.examples, 600);
    assert_int_equal(u.n_metrics, 2);
    assert_true(pf_update_metric(&u, "loss", -1) == 0.5);
    assert_true(pf_update_metric(&u, want.metrics[1].name, -1) == -1e300);
    assert_true(pf_update_metric(&u, "accuracy", -1) == -1);
    assert_int_equal(u.n_sections, 2);
    assert_int_equal(u.sections[0].len, 21);
    assert_ptr_equal(u.sections[0].bytes, f.data + HEAD);
    assert_memory_equal(u.sections[0].bytes, "twenty-one bytes long", 21);
    assert_int_equal(u.sections[1].kind, 9);
    assert_int_equal(u.sections[1].codec, 250);
    assert_int_equal(u.sections[1].tensor_set, 0x0102);
    assert_true(u.sections[1].count == UINT64_MAX);
    assert_int_equal(u.sections[1].len, 16);
    assert_memory_equal(u.sections[1].bytes, "sixteen bytes ok", 16);
    pf_buf_free(&f);
}

static void the_bytes_are_those_of_the_documented_layout(void **state)
{
    static const uint8_t start[16] = {'P', 'F', 'U', 'P', 1,    0, 2, 0,
                                      2,   0,   0,   0,   0x30, 1, 0, 0};
    static const uint8_t row[24] = {1, 1, 0, 0, 0,  0, 0, 0, 5, 0, 0, 0,
                                    0, 0, 0, 0, 21, 0, 0, 0, 0, 0, 0, 0};
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    assert_memory_equal(f.data, start, sizeof start);
    assert_memory_equal(f.data + 16, "mnist\0\0", 7);
    assert_int_equal(f.data[80], 7);
    assert_int_equal(f.data[88], 0x10);
    assert_int_equal(f.data[120], 0x40);
    assert_int_equal(f.data[152], 0x80);
    assert_int_equal(pf_get64(f.data + 184), 600);
    assert_memory_equal(f.data + METRICS_AT, "loss\0", 5);
    assert_true(pf_getd(f.data + METRICS_AT + 24) == 0.5);
    assert_memory_equal(f.data + TABLE_AT, row, sizeof row);
    pf_buf_free(&f);
}

static void every_beginning_is_incomplete_and_not_read_past(void **state)
{
    struct pf_update u;
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    for (size_t n = 0; n < f.len; n++)
        if (parse(f.data, n, &u) != POCKETFED_INCOMPLETE)
            fail_msg("%zu bytes were not incomplete", n);
    assert_int_equal(parse(f.data, f.len, &u), POCKETFED_OK);
    assert_int_equal(pf_update_parse(NULL, 0, &u, NULL), POCKETFED_INCOMPLETE);
    pf_buf_free(&f);
}

static void nothing_may_follow(void **state)
{
    struct pf_update u;
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    pf_buf_add(&f, "", 1);
    assert_int_equal(parse(f.data, f.len, &u), POCKETFED_MALFORMED);
    pf_buf_free(&f);
}

/* Where each byte has only one right value. */
static int is_fixed(size_t at)
{
    return at < 6 || (at >= 10 && at < 16) || /* magic .. head length */
           (at >= 16 + 6 && at < 80) ||       /* the task name's padding */
           (at >= METRICS_AT + 5 && at < METRICS_AT + 24) ||
           (at >= TABLE_AT + 4 && at < TABLE_AT + 8) ||
           (at >= TABLE_AT + 28 && at < TABLE_AT + 32) ||
           (at >= HEAD + 21 && at < HEAD + 32);
}

static void a_wrong_byte_is_refused_as_soon_as_it_is_there(void **state)
{
    struct pf_update u;
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    for (size_t at = 0; at < f.len; at++)
        for (int bit = 0; bit < 8 && is_fixed(at); bit++) {
            if (at == 4 && bit == 0)
                continue; /* version 0, of the first release */
            f.data[at] ^= (uint8_t)(1 << bit);
            if (parse(f.data, at + 1, &u) != POCKETFED_MALFORMED ||
                parse(f.data, f.len, &u) != POCKETFED_MALFORMED)
                fail_msg("byte %zu, bit %d passed", at, bit);
            f.data[at] ^= (uint8_t)(1 << bit);
        }
    pf_buf_free(&f);
}

/* Sets n bytes and says what the parser says of the whole, and of the frame
 * that ends with them. */
static void expect(size_t at, const void *bytes, size_t n,
                   enum pocketfed_status want)
{
    struct pf_update u;
    struct pf_buf f;

    write_frame(&f);
    memcpy(f.data + at, bytes, n);
    assert_int_equal(parse(f.data, f.len, &u), want);
    assert_int_equal(parse(f.data, at + n, &u), want);
    pf_buf_free(&f);
}

static void refuses_numbers_over_their_limits(void **state)
{
    uint8_t length[8];

    (void)state;
    expect(6, "\x11", 1, POCKETFED_MALFORMED);     /* 17 metrics or more */
    expect(6, "\x02\x01", 2, POCKETFED_MALFORMED); /* 258 */
    expect(8, "\x09", 1, POCKETFED_MALFORMED);     /* 9 sections or more */
    expect(8, "\0\0", 2, POCKETFED_MALFORMED);     /* none */
    pf_put64(length, PF_MAX_UPDATE + 1);
    expect(TABLE_AT + 16, length, 8, POCKETFED_LIMIT);
    pf_put64(length, UINT64_MAX);
    expect(TABLE_AT + 16, length, 8, POCKETFED_LIMIT);
    /* 300 MiB for the sections alone leaves no room for the head. */
    pf_put64(length, PF_MAX_UPDATE);
    expect(TABLE_AT + 16, length, 8, POCKETFED_LIMIT);
    pf_put64(length, PF_MAX_UPDATE - HEAD - 32 + 1);
    expect(TABLE_AT + 24 + 16, length, 8, POCKETFED_LIMIT);
}

static void a_frame_of_exactly_the_limit_is_only_incomplete(void **state)
{
    struct pf_update u;
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    pf_put64(f.data + TABLE_AT + 24 + 16, PF_MAX_UPDATE - HEAD - 32);
    assert_int_equal(parse(f.data, f.len, &u), POCKETFED_INCOMPLETE);
    pf_buf_free(&f);
}

static void refuses_metrics_that_are_not_finite_or_named_badly(void **state)
{
    (void)state;
    expect(METRICS_AT + 24, "\0\0\0\0\0\0\xf0\x7f", 8, POCKETFED_MALFORMED);
    expect(METRICS_AT + 24, "\0\0\0\0\0\0\xf8\xff", 8, POCKETFED_MALFORMED);
    expect(METRICS_AT, "\0", 1, POCKETFED_MALFORMED);
    expect(METRICS_AT, "L", 1, POCKETFED_MALFORMED);
    expect(METRICS_AT + 32, "loss\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24,
           POCKETFED_MALFORMED); /* the same name again */
}

static void refuses_what_is_no_task_name(void **state)
{
    (void)state;
    expect(16, "\0", 1, POCKETFED_MALFORMED);
    expect(16, "-", 1, POCKETFED_MALFORMED);
    expect(16, "mN", 2, POCKETFED_MALFORMED);
    expect(16, "m\0i", 3, POCKETFED_MALFORMED);
    expect(16, "m/", 2, POCKETFED_MALFORMED);
}

static void leaves_the_output_alone_on_failure(void **state)
{
    struct pf_update u, before;
    struct pf_error err = {.text = ""};
    struct pf_buf f;

    (void)state;
    write_frame(&f);
    memset(&u, 0x5a, sizeof u);
    before = u;
    assert_int_equal(pf_update_parse(f.data, f.len - 1, &u, &err),
                     POCKETFED_INCOMPLETE);
    f.data[0] = 'Q';
    assert_int_equal(pf_update_parse(f.data, f.len, &u, &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "magic"));
    assert_memory_equal(&u, &before, sizeof u);
    pf_buf_free(&f);
}

static void refuses_to_write_a_head_that_could_not_be_read(void **state)
{
    struct pf_update u;
    struct pf_buf f;

    (void)state;
    pf_buf_init(&f, 4096);
#define REFUSED(change)                                                        \
    u = example();                                                             \
    change;                                                                    \
    assert_int_equal(pf_update_begin(&f, &u), POCKETFED_INVALID)
    REFUSED(u.n_metrics = 17);
    REFUSED(u.n_sections = 0);
    REFUSED(u.n_sections = 9);
    REFUSED(u.task[0] = '\0');
    REFUSED(u.task[0] = '.');
    REFUSED(u.metrics[0].name[0] = '\0');
    REFUSED(u.metrics[0].name[0] = ' ');
    REFUSED(u.metrics[1] = u.metrics[0]);
    REFUSED(u.metrics[0].value = strtod("nan", NULL));
    REFUSED(u.metrics[0].value = strtod("-inf", NULL));
#undef REFUSED
    assert_int_equal(f.len, 0);
    pf_buf_free(&f);
}

static void a_section_ends_only_where_it_can_have_begun(void **state)
{
    struct pf_update u = example();
    struct pf_buf f;

    (void)state;
    pf_buf_init(&f, HEAD + 16);
    assert_int_equal(pf_update_begin(&f, &u), POCKETFED_OK);
    assert_int_equal(pf_update_begin(&f, &u), POCKETFED_INVALID);
    assert_int_equal(pf_update_section_end(&f, &u, 2, HEAD), POCKETFED_INVALID);
    assert_int_equal(pf_update_section_end(&f, &u, 0, HEAD + 16),
                     POCKETFED_INVALID);
    assert_int_equal(pf_update_section_end(&f, &u, 0, HEAD - 16),
                     POCKETFED_INVALID);
    pf_buf_add(&f, "0123456789abcdef0", 17); /* one byte too many */
    assert_int_equal(pf_update_section_end(&f, &u, 0, HEAD), POCKETFED_LIMIT);
    pf_buf_free(&f);
}

static void empty_sections_and_no_metrics_are_fine(void **state)
{
    struct pf_update u = example(), back;
    struct pf_buf f;

    (void)state;
    u.n_metrics = 0;
    pf_buf_init(&f, 4096);
    assert_int_equal(pf_update_begin(&f, &u), POCKETFED_OK);
    assert_int_equal(f.len, 240);
    assert_int_equal(pf_update_section_end(&f, &u, 0, 240), POCKETFED_OK);
    assert_int_equal(pf_update_section_end(&f, &u, 1, 240), POCKETFED_OK);
    assert_int_equal(f.len, 240);
    assert_int_equal(parse(f.data, f.len, &back), POCKETFED_OK);
    assert_int_equal(back.sections[1].len, 0);
    for (size_t n = 0; n < f.len; n++)
        assert_int_equal(parse(f.data, n, &back), POCKETFED_INCOMPLETE);
    pf_buf_free(&f);
}

static void the_padding_before_the_sections_is_zero(void **state)
{
    struct pf_update u = example(), back;
    struct pf_buf f;

    (void)state;
    u.n_metrics = 0;
    u.n_sections = 1; /* 192 + 24 = 216, padded to 224 */
    pf_buf_init(&f, 4096);
    assert_int_equal(pf_update_begin(&f, &u), POCKETFED_OK);
    assert_int_equal(f.len, 224);
    for (size_t at = 216; at < 224; at++) {
        f.data[at] = 1;
        assert_int_equal(parse(f.data, at + 1, &back), POCKETFED_MALFORMED);
        assert_int_equal(parse(f.data, f.len, &back), POCKETFED_MALFORMED);
        f.data[at] = 0;
    }
    pf_buf_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_was_written),
        cmocka_unit_test(the_bytes_are_those_of_the_documented_layout),
        cmocka_unit_test(every_beginning_is_incomplete_and_not_read_past),
        cmocka_unit_test(nothing_may_follow),
        cmocka_unit_test(a_wrong_byte_is_refused_as_soon_as_it_is_there),
        cmocka_unit_test(refuses_numbers_over_their_limits),
        cmocka_unit_test(a_frame_of_exactly_the_limit_is_only_incomplete),
        cmocka_unit_test(refuses_metrics_that_are_not_finite_or_named_badly),
        cmocka_unit_test(refuses_what_is_no_task_name),
        cmocka_unit_test(leaves_the_output_alone_on_failure),
        cmocka_unit_test(refuses_to_write_a_head_that_could_not_be_read),
        cmocka_unit_test(a_section_ends_only_where_it_can_have_begun),
        cmocka_unit_test(empty_sections_and_no_metrics_are_fine),
        cmocka_unit_test(the_padding_before_the_sections_is_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
