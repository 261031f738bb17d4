#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "sfield.h"

/* How many members the field has, or -1; *last is the last one read. */
static int count(const char *field, struct pf_sf_member *last)
{
    struct pf_sf_member m;
    struct pf_sf f;
    int n = 0, more;

    if (!pf_sf_open(&f, field))
        return -2;
    while ((more = pf_sf_next(&f, &m)) > 0) {
        *last = m;
        n++;
    }
    return more < 0 ? -1 : n;
}

static void reads_each_type_of_item(void **state)
{
    struct pf_sf_member m;
    uint8_t bytes[5];
    char text[8];

    (void)state;
    assert_int_equal(count("a=42", &m), 1);
    assert_true(pf_sf_is(m.key, "a") && m.value.type == PF_SF_INTEGER);
    assert_int_equal(m.value.integer, 42);
    assert_int_equal(count("a=-999999999999999", &m), 1);
    assert_true(m.value.integer == -999999999999999);
    assert_int_equal(count("a=\"x y\"", &m), 1);
    assert_int_equal(pf_sf_string(&m.value, text, sizeof text), 1);
    assert_string_equal(text, "x y");
    assert_int_equal(count("a=:aGVsbG8=:", &m), 1);
    assert_int_equal(pf_sf_bytes(&m.value, bytes, 5), 1);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(count("a=tok/en:1", &m), 1);
    assert_true(m.value.type == PF_SF_TOKEN &&
                pf_sf_is(m.value.text, "tok/en:1"));
    assert_int_equal(count("a=?0", &m), 1);
    assert_true(m.value.type == PF_SF_BOOLEAN && m.value.integer == 0);
    assert_int_equal(count("a", &m), 1);
    assert_true(m.value.type == PF_SF_BOOLEAN && m.value.integer == 1);
}

static void reads_inner_lists_with_parameters(void **state)
{
    struct pf_sf_member m;

    (void)state;
    assert_int_equal(
        count("sig1=(\"@method\" \"@path\");created=5;x;tag=\"t\"", &m), 1);
    assert_int_equal(m.value.type, PF_SF_LIST);
    assert_int_equal(m.n_items, 2);
    assert_true(pf_sf_is(m.items[1].text, "@path"));
    assert_int_equal(m.n_params, 3);
    assert_int_equal(pf_sf_param(&m, "created")->integer, 5);
    assert_int_equal(pf_sf_param(&m, "x")->integer, 1);
    assert_true(pf_sf_is(pf_sf_param(&m, "tag")->text, "t"));
    assert_null(pf_sf_param(&m, "ta"));
    assert_true(
        pf_sf_is(m.raw, "(\"@method\" \"@path\");created=5;x;tag=\"t\""));
    assert_int_equal(count("a=()", &m), 1);
    assert_int_equal(m.n_items, 0);
}

static void reads_several_members(void **state)
{
    struct pf_sf_member m;

    (void)state;
    assert_int_equal(count("", &m), 0);
    assert_int_equal(count(" \t ", &m), 0);
    assert_int_equal(count("a=1,b=2 ,\tc;d=1", &m), 3);
    assert_true(pf_sf_is(m.key, "c"));
    assert_true(pf_sf_is(m.raw, ";d=1"));
    assert_int_equal(count(" a=1 ", &m), 1);
}

static void refuses_what_is_not_canonical(void **state)
{
    static const char *const wrong[] = {
        ",",
        "a=",
        "a=1,",
        ",a=1",
        "A=1",
        "1=1",
        "=1",
        "a =1",
        "a= 1",
        "a=1 b=2",
        "a=01",
        "a=1.5",
        "a=--1",
        "a=-",
        "a=1234567890123456",
        "a=\"",
        "a=\"\x7f\"",
        "a=\"\xc3\xa9\"",
        "a=\"\n\"",
        "a=\"\\n\"",
        "a=\"x\"y",
        "a=:x",
        "a=:a b:",
        "a=:_:",
        "a=?",
        "a=?2",
        "a=(",
        "a=(1",
        "a=( 1)",
        "a=(1 )",
        "a=(1  2)",
        "a=(1,2)",
        "a=(\"x\"\"y\")",
        "a=(1;x)",
        "a=((1))",
        "a=1;",
        "a=1; x",
        "a=1;x=",
        "a=1;X",
        "a=1;x;x",
        "a=1;x=1;y;x=2",
        "a=@",
        "a=1\n",
        "a=\\",
    };
    struct pf_sf_member m;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (count(wrong[i], &m) != -1)
            fail_msg("accepted %s", wrong[i]);
}

static void is_bounded(void **state)
{
    struct pf_sf_member m;
    char text[PF_SF_MAX_FIELD + 2];
    size_t n;

    (void)state;
    memset(text, 'a', sizeof text);
    text[PF_SF_MAX_FIELD] = '\0';
    assert_int_equal(count(text, &m), 1);
    text[PF_SF_MAX_FIELD] = 'a';
    text[PF_SF_MAX_FIELD + 1] = '\0';
    assert_int_equal(count(text, &m), -2);
    n = (size_t)snprintf(text, sizeof text, "a=(1");
    for (int i = 1; i < PF_SF_MAX_LIST; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " 1");
    memcpy(text + n, ")", 2);
    assert_int_equal(count(text, &m), 1);
    memcpy(text + n, " 1)", 4);
    assert_int_equal(count(text, &m), -1);
    n = (size_t)snprintf(text, sizeof text, "a=1");
    for (int i = 0; i < PF_SF_MAX_LIST; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, ";p%d", i);
    assert_int_equal(count(text, &m), 1);
    memcpy(text + n, ";q", 3);
    assert_int_equal(count(text, &m), -1);
}

static void bytes_and_strings_are_taken_only_when_they_fit(void **state)
{
    struct pf_sf_member m;
    uint8_t bytes[32];
    char text[4];

    (void)state;
    assert_int_equal(count("a=:aGVsbG8=:", &m), 1);
    assert_int_equal(pf_sf_bytes(&m.value, bytes, 4), 0);
    assert_int_equal(pf_sf_bytes(&m.value, bytes, 6), 0);
    assert_int_equal(pf_sf_string(&m.value, text, sizeof text), 0);
    assert_int_equal(count("a=:aGVsbG8:", &m), 1); /* padding is missing */
    assert_int_equal(pf_sf_bytes(&m.value, bytes, 5), 0);
    assert_int_equal(count("a=\"abcd\"", &m), 1);
    assert_int_equal(pf_sf_string(&m.value, text, sizeof text), 0);
    assert_int_equal(pf_sf_bytes(&m.value, bytes, 4), 0);
    assert_int_equal(count("a=\"a\\\"\"", &m), 1); /* an escape */
    assert_int_equal(pf_sf_string(&m.value, text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_type_of_item),
        cmocka_unit_test(reads_inner_lists_with_parameters),
        cmocka_unit_test(reads_several_members),
        cmocka_unit_test(refuses_what_is_not_canonical),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(bytes_and_strings_are_taken_only_when_they_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
