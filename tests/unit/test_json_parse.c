#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "json.h"

static struct pf_error err;

static enum pocketfed_status parse_n(const char *text, size_t n)
{
    char *p = pf_guard_copy(text, n);
    struct pf_json_doc *doc = NULL;
    enum pocketfed_status st;

    memset(&err, 0, sizeof err);
    st = pf_json_parse(p, n, &doc, &err);
    assert_int_equal(doc != NULL, st == POCKETFED_OK);
    pf_json_free(doc);
    pf_guard_free(p, n);
    return st;
}

static enum pocketfed_status parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static void accepts_what_rfc_8259_allows(void **state)
{
    static const char *const rows[] = {
        "0",
        "-0",
        "-0.5e-7",
        "1E+9",
        "\"\"",
        "null",
        " true ",
        "[]",
        "{}",
        "[ ]",
        "\t{ \"a\" : [ 1 , 2 ] }\r\n",
        "[[],{},[{}]]",
        "{\"\":0}",
        "\"\\u0041\\ud83d\\ude00\\/\\b\"",
        "\"\xf0\x9f\x98\x80\xc2\x80\xed\x9f\xbf\""};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof *rows; i++)
        if (parse(rows[i]) != POCKETFED_OK)
            fail_msg("%s: %s", rows[i], err.text);
}

static void refuses_what_it_does_not(void **state)
{
    static const char *const rows[] = {"",
                                       " ",
                                       "01",
                                       "1.",
                                       ".5",
                                       "+1",
                                       "-",
                                       "1e",
                                       "0x1",
                                       "NaN",
                                       "Infinity",
                                       "nul",
                                       "nulll",
                                       "True",
                                       "'a'",
                                       "\"",
                                       "\"a",
                                       "\"\\x\"",
                                       "\"\\u12\"",
                                       "\"\\u0000\"",
                                       "\"\\ud800\"",
                                       "\"\\ud800\\u0041\"",
                                       "\"\\udc00\"",
                                       "\"\n\"",
                                       "\"\xff\"",
                                       "\"\xc0\x80\"",
                                       "\"\xed\xa0\x80\"",
                                       "\"\xf4\x90\x80\x80\"",
                                       "\"\xe2\x82\"",
                                       "[",
                                       "]",
                                       "[1",
                                       "[1,",
                                       "[1,]",
                                       "[,]",
                                       "[1 2]",
                                       "{",
                                       "{\"a\"",
                                       "{\"a\":",
                                       "{\"a\":1",
                                       "{\"a\":1,",
                                       "{\"a\":1,}",
                                       "{a:1}",
                                       "{\"a\" 1}",
                                       "{\"a\":1]",
                                       "[1}",
                                       "1 2",
                                       "{}{}",
                                       "\xef\xbb\xbf{}",
                                       "/**/1",
                                       "[1]//"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof *rows; i++)
        if (parse(rows[i]) != POCKETFED_MALFORMED)
            fail_msg("accepted %s", rows[i]);
    assert_int_equal(parse_n("\0", 1), POCKETFED_MALFORMED);
    assert_int_equal(parse_n("1\0", 2), POCKETFED_MALFORMED);
    assert_int_equal(parse_n("\"a\0b\"", 5), POCKETFED_MALFORMED);
}

static void every_prefix_is_refused(void **state)
{
    static const char text[] =
        "{\"a\":[1.5e3,\"x\\n\\u00e9\",true],\"\xe2\x82\xac\":{\"c\":null}}";
    size_t n;

    (void)state;
    for (n = 0; n < sizeof text - 1; n++)
        assert_int_equal(parse_n(text, n), POCKETFED_MALFORMED);
    assert_int_equal(parse_n(text, n), POCKETFED_OK);
}

static void says_where_the_text_goes_wrong(void **state)
{
    (void)state;
    parse("{\n  \"a\": 1,\n  \"b\": nope\n}");
    assert_string_equal(err.text, "not JSON: line 3, column 8: no value");
    parse("[1, 2");
    assert_string_equal(
        err.text, "not JSON: line 1, column 6: no ',' or ']' after an element");
    parse("");
    assert_string_equal(err.text, "not JSON: line 1, column 1: the end of the "
                                  "text where a value belongs");
}

static void depth_is_limited(void **state)
{
    char text[2 * (PF_JSON_MAX_DEPTH + 1)];
    size_t n = PF_JSON_MAX_DEPTH;

    (void)state;
    memset(text, '[', n);
    memset(text + n, ']', n);
    assert_int_equal(parse_n(text, 2 * n), POCKETFED_OK);
    n++;
    memset(text, '[', n);
    memset(text + n, ']', n);
    assert_int_equal(parse_n(text, 2 * n), POCKETFED_LIMIT);
}

static void length_and_count_are_limited(void **state)
{
    size_t n = PF_JSON_MAX_TEXT + 1, i;
    char *text = malloc(n);

    (void)state;
    assert_non_null(text);
    memset(text, ' ', n);
    text[0] = '1';
    assert_int_equal(parse_n(text, n), POCKETFED_LIMIT);
    assert_int_equal(parse_n(text, n - 1), POCKETFED_OK);
    n = 2 * PF_JSON_MAX_VALUES + 1; /* that many elements and the array */
    for (i = 0; i < n; i++)
        text[i] = i % 2 ? '1' : ',';
    text[0] = '[';
    text[n - 1] = ']';
    assert_int_equal(parse_n(text, n), POCKETFED_LIMIT);
    text[n - 3] = ']';
    assert_int_equal(parse_n(text, n - 2), POCKETFED_OK);
    free(text);
}

static void many_members_are_compared_fast(void **state)
{
    struct pf_buf text;
    int i;

    (void)state;
    pf_buf_init(&text, PF_JSON_MAX_TEXT);
    pf_buf_adds(&text, "{");
    for (i = 0; i < 100000; i++)
        pf_buf_addf(&text, "\"%d\":%d,", i, i);
    pf_buf_adds(&text, "\"5\":0}");
    assert_int_equal(parse_n(pf_buf_str(&text), text.len), POCKETFED_MALFORMED);
    assert_string_equal(err.text, "/5: there more than once");
    pf_buf_free(&text);
}

static void a_tree_is_walked_and_written_again(void **state)
{
    static const char text[] =
        "{\"n\":-12,\"half\":0.5,\"s\":\"x\",\"a\":[1,2,3],\"t\":true}";
    const struct pf_json_node *root, *n;
    struct pf_json_doc *doc = NULL;
    struct pf_buf out;
    int64_t v = 0, sum = 0;
    double d = 0;

    (void)state;
    assert_int_equal(pf_json_parse(text, sizeof text - 1, &doc, NULL),
                     POCKETFED_OK);
    root = pf_json_root(doc);
    assert_int_equal(pf_json_kind(root), PF_JSON_KIND_OBJECT);
    assert_int_equal(pf_json_size(root), 5);
    assert_true(pf_json_integer(pf_json_get(root, "n"), -12, 0, &v));
    assert_int_equal(v, -12);
    assert_false(pf_json_integer(pf_json_get(root, "n"), -11, 0, &v));
    assert_false(pf_json_integer(pf_json_get(root, "half"), -11, 9, &v));
    assert_true(pf_json_number(pf_json_get(root, "half"), &d) && d == 0.5);
    assert_string_equal(pf_json_text(pf_json_get(root, "s")), "x");
    assert_true(pf_json_is_true(pf_json_get(root, "t")));
    for (n = pf_json_first(pf_json_get(root, "a")); n; n = pf_json_next(n)) {
        assert_true(pf_json_integer(n, 1, 3, &v));
        sum += v;
    }
    assert_int_equal(sum, 6);
    assert_string_equal(pf_json_key(pf_json_first(root)), "n");
    pf_buf_init(&out, 100);
    assert_int_equal(pf_json_write(root, &out), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&out), text);
    pf_buf_free(&out);
    pf_json_free(doc);
}

static void asking_for_what_is_not_there_gives_nothing(void **state)
{
    const struct pf_json_node *root;
    struct pf_json_doc *doc = NULL;
    int64_t v = 7;
    double d = 7;

    (void)state;
    assert_int_equal(pf_json_parse("[\"x\"]", 5, &doc, NULL), POCKETFED_OK);
    root = pf_json_root(doc);
    assert_null(pf_json_get(root, "x"));
    assert_null(pf_json_get(NULL, "x"));
    assert_null(pf_json_text(root));
    assert_null(pf_json_text(NULL));
    assert_null(pf_json_key(NULL));
    assert_null(pf_json_first(NULL));
    assert_null(pf_json_next(NULL));
    assert_int_equal(pf_json_size(NULL), 0);
    assert_false(pf_json_number(pf_json_first(root), &d));
    assert_false(pf_json_integer(NULL, 0, 9, &v));
    assert_false(pf_json_is_true(NULL));
    assert_int_equal(v, 7);
    pf_json_free(doc);
    pf_json_free(NULL);
}

static void one_node_is_decoded_under_its_own_pointer(void **state)
{
    static const struct pf_json_field fields[] = {
        {.key = "lr", .type = PF_JSON_DOUBLE, .offset = 0}, {.key = NULL}};
    struct pf_json_doc *doc = NULL;
    double lr = 0;

    (void)state;
    assert_int_equal(pf_json_parse("[{\"lr\":\"x\"}]", 12, &doc, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_json_decode_node(fields, PF_JSON_REFUSE,
                                         pf_json_first(pf_json_root(doc)),
                                         "/layers/0", &lr, &err),
                     POCKETFED_MALFORMED);
    assert_string_equal(err.text,
                        "/layers/0/lr: a string where a number belongs");
    pf_json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc_8259_allows),
        cmocka_unit_test(refuses_what_it_does_not),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(says_where_the_text_goes_wrong),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(length_and_count_are_limited),
        cmocka_unit_test(many_members_are_compared_fast),
        cmocka_unit_test(a_tree_is_walked_and_written_again),
        cmocka_unit_test(asking_for_what_is_not_there_gives_nothing),
        cmocka_unit_test(one_node_is_decoded_under_its_own_pointer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
