#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "bytes.h"
#include "guard.h"

static void grows_up_to_its_maximum_and_no_further(void **state)
{
    struct pf_buf b;
    size_t i;

    (void)state;
    pf_buf_init(&b, 1000);
    for (i = 0; i < 1000; i++)
        assert_int_equal(pf_buf_add(&b, "x", 1), POCKETFED_OK);
    assert_int_equal(pf_buf_add(&b, "y", 1), POCKETFED_LIMIT);
    assert_int_equal(b.len, 1000);
    assert_int_equal(b.data[999], 'x');
    assert_int_equal(b.data[1000], 0);
    pf_buf_free(&b);
}

static void one_check_at_the_end_of_a_chain_is_enough(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 4);
    pf_buf_adds(&b, "ab");
    pf_buf_addf(&b, "%d", 12345); /* too long */
    pf_buf_adds(&b, "c");         /* would fit, but the chain is broken */
    assert_int_equal(pf_buf_status(&b), POCKETFED_LIMIT);
    assert_string_equal(pf_buf_str(&b), "ab");
    assert_null(pf_buf_extend(&b, 0));
    pf_buf_clear(&b);
    assert_int_equal(pf_buf_adds(&b, "abcd"), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&b), "abcd");
    pf_buf_free(&b);
}

static void a_freed_buffer_can_be_used_again(void **state)
{
    struct pf_buf b, zeroed = {.max = 0};

    (void)state;
    pf_buf_init(&b, 8);
    assert_string_equal(pf_buf_str(&b), "");
    pf_buf_adds(&b, "12345678");
    pf_buf_adds(&b, "9");
    pf_buf_free(&b);
    assert_null(b.data);
    assert_int_equal(pf_buf_adds(&b, "87654321"), POCKETFED_OK);
    pf_buf_free(&b);
    pf_buf_free(&zeroed);
    pf_buf_free(NULL);
}

static void adding_nothing_is_fine(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 0);
    assert_int_equal(pf_buf_add(&b, NULL, 0), POCKETFED_OK);
    assert_int_equal(pf_buf_adds(&b, ""), POCKETFED_OK);
    assert_non_null(pf_buf_extend(&b, 0));
    assert_int_equal(pf_buf_pad(&b, 8), POCKETFED_OK);
    assert_int_equal(pf_buf_add(&b, "x", 1), POCKETFED_LIMIT);
    pf_buf_free(&b);
}

static void formats_into_the_room_there_is(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 100);
    assert_int_equal(pf_buf_addf(&b, "%s-%d", "abc", 7), POCKETFED_OK);
    assert_int_equal(pf_buf_addf(&b, "/%060d", 1), POCKETFED_OK);
    assert_int_equal(b.len, 5 + 61);
    assert_memory_equal(b.data, "abc-7/0000", 10);
    pf_buf_free(&b);
}

/* The address sanitizer would rather stop than let an allocation fail. */
POCKETFED_API const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void refuses_a_size_that_would_overflow(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, SIZE_MAX);
    pf_buf_adds(&b, "abc");
    assert_null(pf_buf_extend(&b, SIZE_MAX - 3));
    assert_int_equal(pf_buf_status(&b), POCKETFED_LIMIT);
    pf_buf_clear(&b);
    pf_buf_adds(&b, "abc");
    assert_null(pf_buf_extend(&b, SIZE_MAX / 2 + 1));
    assert_int_equal(pf_buf_status(&b), POCKETFED_NO_MEMORY);
    assert_string_equal(pf_buf_str(&b), "abc");
    pf_buf_free(&b);
}

static void pads_with_zeros_to_the_alignment(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 16);
    pf_buf_adds(&b, "abc");
    assert_int_equal(pf_buf_pad(&b, 8), POCKETFED_OK);
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "abc\0\0\0\0\0", 8);
    assert_int_equal(pf_buf_pad(&b, 8), POCKETFED_OK);
    assert_int_equal(b.len, 8);
    pf_buf_free(&b);
}

static void reads_back_little_endian_words(void **state)
{
    uint8_t bytes[1 + 2 + 4 + 8 + 8];
    struct pf_reader r;

    (void)state;
    bytes[0] = 0xfe;
    pf_put16(bytes + 1, 0x0102);
    pf_put32(bytes + 3, 0x03040506);
    pf_put64(bytes + 7, 0x0708090a0b0c0d0eu);
    pf_putd(bytes + 15, -1.5);
    assert_int_equal(bytes[1], 2);
    assert_int_equal(bytes[3], 6);
    assert_int_equal(bytes[7], 0x0e);
    pf_reader_init(&r, bytes, sizeof bytes);
    assert_int_equal(pf_read8(&r), 0xfe);
    assert_int_equal(pf_read16(&r), 0x0102);
    assert_int_equal(pf_read32(&r), 0x03040506);
    assert_true(pf_read64(&r) == 0x0708090a0b0c0d0eu);
    assert_true(pf_readd(&r) == -1.5);
    assert_true(pf_reader_ok(&r));
    assert_int_equal(pf_reader_left(&r), 0);
}

static void a_float_survives_its_four_bytes(void **state)
{
    uint8_t bytes[4];

    (void)state;
    pf_putf(bytes, -0.1f);
    assert_true(pf_getf(bytes) == -0.1f);
}

/* Every prefix of a record: the reader stops at the guard page and says how
 * much is missing at the first read that failed. */
static void every_prefix_is_short_and_none_is_overrun(void **state)
{
    uint8_t bytes[15] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const size_t ends[] = {1, 3, 7, 15};
    struct pf_reader r;
    size_t n, i;

    (void)state;
    for (n = 0; n < sizeof bytes; n++) {
        uint8_t *p = pf_guard_copy(bytes, n);

        pf_reader_init(&r, p, n);
        pf_read8(&r);
        pf_read16(&r);
        pf_read32(&r);
        assert_true(pf_read64(&r) == 0);
        for (i = 0; ends[i] <= n; i++)
            ;
        assert_false(pf_reader_ok(&r));
        assert_int_equal(r.short_by, ends[i] - n);
        assert_null(pf_read_bytes(&r, 0)); /* and it stays failed */
        pf_guard_free(p, n);
    }
}

static void skips_padding_relative_to_its_start(void **state)
{
    static const uint8_t bytes[] = {1, 0, 0, 0, 2};
    struct pf_reader r;

    (void)state;
    pf_reader_init(&r, bytes, sizeof bytes);
    pf_read8(&r);
    pf_read_pad(&r, 4);
    pf_read_pad(&r, 4);
    assert_int_equal(pf_read8(&r), 2);
    assert_true(pf_reader_ok(&r));
    pf_read_pad(&r, 4);
    assert_int_equal(r.short_by, 3);
}

static void an_empty_reader_may_read_nothing(void **state)
{
    struct pf_reader r;

    (void)state;
    pf_reader_init(&r, NULL, 0);
    assert_non_null(pf_read_bytes(&r, 0));
    assert_true(pf_reader_ok(&r));
    assert_int_equal(pf_read8(&r), 0);
    assert_int_equal(r.short_by, 1);
}

static void sizes_are_added_and_multiplied_with_care(void **state)
{
    size_t out = 7;

    (void)state;
    assert_true(pf_add_size(2, 3, &out));
    assert_int_equal(out, 5);
    assert_true(pf_mul_size(6, 7, &out));
    assert_int_equal(out, 42);
    assert_false(pf_add_size(SIZE_MAX, 1, &out));
    assert_false(pf_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_int_equal(out, 42);
    assert_true(pf_mul_size(SIZE_MAX, 0, &out));
    assert_int_equal(out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_up_to_its_maximum_and_no_further),
        cmocka_unit_test(one_check_at_the_end_of_a_chain_is_enough),
        cmocka_unit_test(a_freed_buffer_can_be_used_again),
        cmocka_unit_test(adding_nothing_is_fine),
        cmocka_unit_test(formats_into_the_room_there_is),
        cmocka_unit_test(refuses_a_size_that_would_overflow),
        cmocka_unit_test(pads_with_zeros_to_the_alignment),
        cmocka_unit_test(reads_back_little_endian_words),
        cmocka_unit_test(a_float_survives_its_four_bytes),
        cmocka_unit_test(every_prefix_is_short_and_none_is_overrun),
        cmocka_unit_test(skips_padding_relative_to_its_start),
        cmocka_unit_test(an_empty_reader_may_read_nothing),
        cmocka_unit_test(sizes_are_added_and_multiplied_with_care),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
