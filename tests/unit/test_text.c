#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

#define ALL (~(uint64_t)0)

static void hex_goes_there_and_back(void **state)
{
    uint8_t bytes[] = {0x00, 0x9f, 0xff}, back[3];
    char text[7];

    (void)state;
    pf_hex(bytes, 3, text);
    assert_string_equal(text, "009fff");
    assert_true(pf_unhex(text, 6, back, 3));
    assert_memory_equal(back, bytes, 3);
    pf_hex(bytes, 0, text);
    assert_string_equal(text, "");
}

static void hex_is_strict(void **state)
{
    uint8_t out[3] = {1, 2, 3};

    (void)state;
    assert_false(pf_unhex("009FFF", 6, out, 3));
    assert_false(pf_unhex("009ff", 5, out, 3));
    assert_false(pf_unhex("009fff00", 8, out, 3));
    assert_false(pf_unhex("009ff ", 6, out, 3));
    assert_memory_equal(out, "\1\2\3", 3);
}

static void base64_as_in_rfc_4648(void **state)
{
    static const char *const rows[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };
    uint8_t back[16];
    char text[32];
    size_t i, n, len;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        n = strlen(rows[i][0]);
        len = pf_base64((const uint8_t *)rows[i][0], n, text);
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(len, strlen(text));
        len = sizeof back;
        assert_int_equal(pf_unbase64(text, strlen(text), back, &len),
                         POCKETFED_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, rows[i][0], n);
        len = pf_base64url((const uint8_t *)rows[i][0], n, text);
        assert_string_equal(text, rows[i][2]);
        assert_int_equal(len, strlen(text));
        len = n; /* exactly enough */
        assert_int_equal(pf_unbase64url(text, strlen(text), back, &len),
                         POCKETFED_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, rows[i][0], n);
    }
}

static void base64_has_one_text_for_one_content(void **state)
{
    static const char *const padded[] = {"Zg",       "Zg=",  "Zh==", "Zm9=",
                                         "====",     "Z===", "Zm 9", "Zm9v\n",
                                         "Zg==Zg==", "-_-_"};
    static const char *const bare[] = {"Zg==", "Zh", "Zm9", "Z", "+/+/"};
    uint8_t out[16];
    size_t i, len;

    (void)state;
    for (i = 0; i < sizeof padded / sizeof *padded; i++) {
        len = sizeof out;
        assert_int_equal(pf_unbase64(padded[i], strlen(padded[i]), out, &len),
                         POCKETFED_MALFORMED);
    }
    for (i = 0; i < sizeof bare / sizeof *bare; i++) {
        len = sizeof out;
        assert_int_equal(pf_unbase64url(bare[i], strlen(bare[i]), out, &len),
                         POCKETFED_MALFORMED);
    }
    len = 2;
    assert_int_equal(pf_unbase64("Zm9v", 4, out, &len), POCKETFED_LIMIT);
    assert_int_equal(len, 2);
}

static int u64(const char *s, uint64_t *out)
{
    return pf_parse_u64(s, strlen(s), 0, ALL, out);
}

static int i64(const char *s, int64_t *out)
{
    return pf_parse_i64(s, strlen(s), INT64_MIN, INT64_MAX, out);
}

static void whole_numbers_up_to_their_ends(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    assert_true(u64("0", &u) && u == 0);
    assert_true(u64("18446744073709551615", &u) && u == ALL);
    assert_false(u64("18446744073709551616", &u));
    assert_false(u64("99999999999999999999", &u));
    assert_true(i64("9223372036854775807", &i) && i == INT64_MAX);
    assert_true(i64("-9223372036854775808", &i) && i == INT64_MIN);
    assert_false(i64("9223372036854775808", &i));
    assert_false(i64("-9223372036854775809", &i));
    assert_true(pf_parse_u64("5", 1, 5, 5, &u));
    assert_false(pf_parse_u64("6", 1, 0, 5, &u));
    assert_false(pf_parse_i64("-2", 2, -1, 5, &i));
    assert_int_equal(u, 5);
}

static void refuses_what_is_not_a_whole_number(void **state)
{
    static const char *const rows[] = {"",    "+1",  " 1", "1 ",  "01",   "0x1",
                                       "1.0", "1e3", "-",  "--1", "1_000"};
    uint64_t u = 7;
    int64_t i = 7;
    size_t k;

    (void)state;
    for (k = 0; k < sizeof rows / sizeof *rows; k++) {
        assert_false(u64(rows[k], &u));
        assert_false(i64(rows[k], &i));
    }
    assert_false(u64("-1", &u));
    assert_int_equal(u, 7);
    assert_int_equal(i, 7);
}

static int real(const char *s, double *out)
{
    return pf_parse_double(s, strlen(s), out);
}

static void reads_decimals(void **state)
{
    double d = 7;

    (void)state;
    assert_true(real("0.05", &d) && d == 0.05);
    assert_true(real("-1.5e-3", &d) && d == -1.5e-3);
    assert_true(real(".5", &d) && d == 0.5);
    assert_true(real("5.", &d) && d == 5);
    assert_true(real("1E2", &d) && d == 100);
    assert_true(real("17976931348623157e292", &d) && d > 1e308);
}

static void refuses_what_is_not_a_finite_decimal(void **state)
{
    static const char *const rows[] = {
        "",   "nan", "inf", "-infinity", "0x10", "1e999", "1,5",  "1 ",
        " 1", ".",   "-",   "1e",        "1e+",  "+1",    "1.2.3"};
    char digits[1000];
    double d = 7;
    size_t k;

    (void)state;
    for (k = 0; k < sizeof rows / sizeof *rows; k++)
        assert_false(real(rows[k], &d));
    memset(digits, '1', sizeof digits);
    assert_false(pf_parse_double(digits, sizeof digits, &d));
    assert_true(d == 7);
}

static void the_locale_does_not_matter(void **state)
{
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8",
                                        "de_DE.utf8", "cs_CZ.UTF-8"};
    double d = 0;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof comma / sizeof *comma; i++)
        if (setlocale(LC_NUMERIC, comma[i]))
            break;
    if (i == sizeof comma / sizeof *comma)
        skip(); /* no such locale on this machine */
    assert_true(real("0.5", &d) && d == 0.5);
    assert_false(real("0,5", &d));
    setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(hex_is_strict),
        cmocka_unit_test(base64_as_in_rfc_4648),
        cmocka_unit_test(base64_has_one_text_for_one_content),
        cmocka_unit_test(whole_numbers_up_to_their_ends),
        cmocka_unit_test(refuses_what_is_not_a_whole_number),
        cmocka_unit_test(reads_decimals),
        cmocka_unit_test(refuses_what_is_not_a_finite_decimal),
        cmocka_unit_test(the_locale_does_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
