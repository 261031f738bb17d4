#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "json_sample.h"

static struct pf_error err;

/* Decodes text from just before an unreadable page. */
static enum pocketfed_status decode(const char *text, struct sample *s,
                                    enum pf_json_unknown unknown)
{
    size_t n = strlen(text);
    char *p = pf_guard_copy(text, n);
    enum pocketfed_status st;

    memset(s, 0, sizeof *s);
    memset(&err, 0, sizeof err);
    st = pf_json_decode(sample_fields, unknown, p, n, s, &err);
    pf_guard_free(p, n);
    return st;
}

static void assert_refused(const char *text, const char *why)
{
    struct sample s;

    assert_int_equal(decode(text, &s, PF_JSON_REFUSE), POCKETFED_MALFORMED);
    assert_string_equal(err.text, why);
    pf_buf_free(&s.extra);
}

static const char FULL[] =
    "{\"name\":\"a\\\"b\",\"digest\":\"00ff10ab\",\"nonce\":\"Zm9v\","
    "\"count\":4294967295,\"seed\":\"18446744073709551615\","
    "\"offset\":-9007199254740992,\"scale\":0.1,\"shuffle\":true,"
    "\"phase\":\"closed\",\"train\":{\"batch\":32,\"lr\":0.05},"
    "\"hosts\":[\"one\",\"two\"],\"extra\":{\"x\":[1,null,false,\"y\"]}}";

static void reads_a_member_of_every_type(void **state)
{
    struct sample s;

    (void)state;
    if (decode(FULL, &s, PF_JSON_REFUSE) != POCKETFED_OK)
        fail_msg("%s", err.text);
    assert_string_equal(s.name, "a\"b");
    assert_memory_equal(s.digest, "\x00\xff\x10\xab", 4);
    assert_int_equal(s.nonce.len, 3);
    assert_memory_equal(s.nonce.data, "foo", 3);
    assert_true(s.count == UINT32_MAX);
    assert_true(s.seed == UINT64_MAX);
    assert_true(s.offset == -((int64_t)1 << 53));
    assert_true(s.scale == 0.1);
    assert_int_equal(s.shuffle, 1);
    assert_int_equal(s.phase, SAMPLE_CLOSED);
    assert_int_equal(s.train.batch, 32);
    assert_true(s.train.lr == 0.05);
    assert_int_equal(s.n_hosts, 2);
    assert_string_equal(s.hosts[1], "two");
    assert_string_equal(pf_buf_str(&s.extra), "{\"x\":[1,null,false,\"y\"]}");
    pf_buf_free(&s.extra);
}

static void writes_the_same_bytes_that_it_read(void **state)
{
    struct pf_buf out;
    struct sample s;

    (void)state;
    pf_buf_init(&out, 4096);
    assert_int_equal(decode(FULL, &s, PF_JSON_REFUSE), POCKETFED_OK);
    assert_int_equal(pf_json_encode(sample_fields, &s, &out), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&out), FULL);
    pf_buf_free(&out);
    pf_buf_free(&s.extra);
}

static void writes_for_people_with_indentation(void **state)
{
    struct sample s = {.name = "a", .train = {.batch = 1, .lr = 2}};
    struct pf_buf out;

    (void)state;
    pf_buf_init(&out, 4096);
    assert_int_equal(pf_json_encode_pretty(sample_fields, &s, &out),
                     POCKETFED_OK);
    assert_string_equal(pf_buf_str(&out), "{\n"
                                          "  \"name\": \"a\",\n"
                                          "  \"digest\": \"00000000\",\n"
                                          "  \"nonce\": \"\",\n"
                                          "  \"count\": 0,\n"
                                          "  \"seed\": \"0\",\n"
                                          "  \"offset\": 0,\n"
                                          "  \"scale\": 0,\n"
                                          "  \"phase\": \"open\",\n"
                                          "  \"train\": {\n"
                                          "    \"batch\": 1,\n"
                                          "    \"lr\": 2\n"
                                          "  }\n"
                                          "}");
    pf_buf_free(&out);
}

static void absent_members_keep_their_defaults(void **state)
{
    struct sample s = {.count = 7, .train = {.batch = 9}};

    (void)state;
    assert_int_equal(pf_json_decode(sample_fields, PF_JSON_REFUSE,
                                    "{\"name\":\"x\"}", 12, &s, NULL),
                     POCKETFED_OK);
    assert_int_equal(s.count, 7);
    assert_int_equal(s.train.batch, 9);
}

static void unknown_members_are_ignored_in_messages(void **state)
{
    struct sample s;

    (void)state;
    assert_int_equal(
        decode("{\"name\":\"x\",\"nmae\":[{}]}", &s, PF_JSON_IGNORE),
        POCKETFED_OK);
}

static void unknown_members_are_refused_with_the_nearest_name(void **state)
{
    (void)state;
    assert_refused("{\"name\":\"x\",\"nmae\":1}",
                   "/nmae: there is no such member");
    assert_string_equal(err.hint, "did you mean \"name\"?");
    assert_refused("{\"name\":\"x\",\"train\":{\"batch\":1,\"btach\":1}}",
                   "/train/btach: there is no such member");
    assert_string_equal(err.hint, "did you mean \"batch\"?");
    assert_refused("{\"name\":\"x\",\"zebra\":1}",
                   "/zebra: there is no such member");
    assert_string_equal(err.hint, "");
    assert_refused("{\"name\":\"x\",\"a/b~c\\n\":1}",
                   "/a~1b~0c?: there is no such member");
}

static void names_the_member_and_what_is_wrong_with_it(void **state)
{
    (void)state;
    assert_refused("{}", "/name: missing");
    assert_refused("[]", "the top level: an array where an object belongs");
    assert_refused("{\"name\":5}", "/name: a number where a string belongs");
    assert_refused("{\"name\":\"0123456789abcdef\"}",
                   "/name: 16 bytes of text; at most 15 fit");
    assert_refused("{\"name\":\"a\\tb\"}",
                   "/name: a control character in the text");
    assert_refused("{\"digest\":\"00FF10AB\"}",
                   "/digest: not 8 lower-case hexadecimal digits");
    assert_refused("{\"nonce\":\"Zg==\"}",
                   "/nonce: not base64url without padding");
    assert_refused("{\"nonce\":\"MDEyMzQ1Njc4OWE\"}",
                   "/nonce: more than 10 bytes of base64url");
    assert_refused("{\"shuffle\":1}",
                   "/shuffle: a number where true or false belongs");
    assert_refused("{\"phase\":\"opne\"}",
                   "/phase: not one of the names it may have");
    assert_string_equal(err.hint, "did you mean \"open\"?");
    assert_refused("{\"phase\":\"x\"}",
                   "/phase: not one of the names it may have");
    assert_string_equal(err.hint, "it may be: open, closed, failed");
    assert_refused("{\"train\":{}}", "/train/batch: missing");
    assert_refused("{\"train\":{\"batch\":0}}",
                   "/train/batch: 0 is not between 1 and 4096");
    assert_refused("{\"hosts\":[\"a\",1]}",
                   "/hosts/1: a number where a string belongs");
    assert_refused("{\"hosts\":[\"a\",\"b\",\"c\",\"d\"]}",
                   "/hosts: 4 entries; at most 3 fit");
    assert_refused("{\"hosts\":null}",
                   "/hosts: null where an array of strings belongs");
}

static void whole_numbers_are_exact_or_refused(void **state)
{
    struct sample s;

    (void)state;
    assert_refused("{\"count\":4294967296}",
                   "/count: not a whole number from 0 to 2^32 - 1");
    assert_refused("{\"count\":-1}",
                   "/count: not a whole number from 0 to 2^32 - 1");
    assert_refused("{\"count\":1.5}",
                   "/count: not a whole number from 0 to 2^32 - 1");
    assert_refused("{\"offset\":9007199254740994}",
                   "/offset: not a whole number from -2^53 to 2^53");
    assert_refused("{\"seed\":9007199254740994}",
                   "/seed: not a whole number from 0 to 2^53 (larger ones are "
                   "written as strings)");
    assert_refused("{\"seed\":\"18446744073709551616\"}",
                   "/seed: not a whole number from 0 to 2^64 - 1");
    assert_refused("{\"seed\":\"-1\"}",
                   "/seed: not a whole number from 0 to 2^64 - 1");
    assert_refused("{\"scale\":1e999}", "/scale: too large for a number");
    assert_int_equal(decode("{\"name\":\"\",\"seed\":1e3,\"count\":2e0}", &s,
                            PF_JSON_REFUSE),
                     POCKETFED_OK);
    assert_true(s.seed == 1000);
    assert_int_equal(s.count, 2);
}

static void the_same_member_twice_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"name\":\"a\",\"name\":\"b\"}",
                   "/name: there more than once");
    assert_refused("{\"x\":[0,{\"a\":{\"b\":1,\"c\":2,\"\\u0062\":3}}]}",
                   "/x/1/a/b: there more than once");
}

static void raw_text_is_bounded(void **state)
{
    struct sample s = {.extra = {.max = 5}};

    (void)state;
    assert_int_equal(pf_json_decode(sample_fields, PF_JSON_REFUSE,
                                    "{\"name\":\"\",\"extra\":[1,2,3]}", 27, &s,
                                    &err),
                     POCKETFED_LIMIT);
    assert_non_null(strstr(err.text, "/extra: "));
    pf_buf_free(&s.extra);
}

static void what_could_not_be_read_back_is_not_written(void **state)
{
    struct sample s = {.name = "a"};
    struct pf_buf out;

    (void)state;
    pf_buf_init(&out, 4096);
    pf_buf_adds(&out, "kept");
    s.scale = 1e308 * 10;
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_NON_FINITE);
    s.scale = 0;
    s.phase = 3;
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_INVALID);
    s.phase = 0;
    s.n_hosts = 4;
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_INVALID);
    s.n_hosts = 0;
    s.nonce.len = 11;
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_INVALID);
    s.nonce.len = 0;
    s.offset = INT64_MAX;
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_INVALID);
    s.offset = 0;
    s.name[0] = '\x80';
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_INVALID);
    memset(s.name, 'x', sizeof s.name);
    assert_int_equal(pf_json_encode(sample_fields, &s, &out),
                     POCKETFED_INVALID);
    assert_string_equal(pf_buf_str(&out), "kept");
    out.max = 10;
    s.name[0] = '\0';
    assert_int_equal(pf_json_encode(sample_fields, &s, &out), POCKETFED_LIMIT);
    assert_string_equal(pf_buf_str(&out), "kept");
    pf_buf_free(&out);
}

static void numbers_are_written_short_and_read_back_equal(void **state)
{
    static const struct {
        double d;
        const char *text;
    } rows[] = {{0, "0"},
                {0.1, "0.1"},
                {-2.5, "-2.5"},
                {1.0 / 3, "0.3333333333333333"},
                {0.1 + 0.2, "0.30000000000000004"},
                {5e-324, "4.94065645841247e-324"},
                {1e21, "1e+21"}};
    struct pf_buf out;
    size_t i;

    (void)state;
    pf_buf_init(&out, 100);
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        pf_buf_clear(&out);
        assert_int_equal(pf_json_double(&out, rows[i].d), POCKETFED_OK);
        assert_string_equal(pf_buf_str(&out), rows[i].text);
    }
    pf_buf_clear(&out);
    pf_json_double(&out, 1e308 * 10);
    assert_string_equal(pf_buf_str(&out), "null");
    pf_buf_free(&out);
}

static void strings_are_escaped(void **state)
{
    struct pf_buf out;

    (void)state;
    pf_buf_init(&out, 100);
    pf_json_string(&out, "\"\\\n\t\x01/\xc3\xa9\xff\x7f");
    assert_string_equal(pf_buf_str(&out),
                        "\"\\\"\\\\\\n\\t\\u0001/\xc3\xa9\\ufffd\\u007f\"");
    pf_buf_free(&out);
}

static void a_string_of_n_bytes_needs_no_nul(void **state)
{
    char *text = pf_guard_copy("ab\"\xc3", 4); /* torn in the last character */
    struct pf_buf out;

    (void)state;
    pf_buf_init(&out, 100);
    pf_json_string_n(&out, text, 4);
    assert_string_equal(pf_buf_str(&out), "\"ab\\\"\\ufffd\"");
    pf_buf_free(&out);
    pf_guard_free(text, 4);
}

static void the_locale_changes_nothing(void **state)
{
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8",
                                        "de_DE.utf8", "cs_CZ.UTF-8"};
    struct pf_buf out;
    struct sample s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof comma / sizeof *comma; i++)
        if (setlocale(LC_NUMERIC, comma[i]))
            break;
    if (i == sizeof comma / sizeof *comma)
        skip(); /* no such locale on this machine */
    pf_buf_init(&out, 4096);
    assert_int_equal(decode(FULL, &s, PF_JSON_REFUSE), POCKETFED_OK);
    assert_int_equal(pf_json_encode(sample_fields, &s, &out), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&out), FULL);
    setlocale(LC_NUMERIC, "C");
    pf_buf_free(&out);
    pf_buf_free(&s.extra);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_member_of_every_type),
        cmocka_unit_test(writes_the_same_bytes_that_it_read),
        cmocka_unit_test(writes_for_people_with_indentation),
        cmocka_unit_test(absent_members_keep_their_defaults),
        cmocka_unit_test(unknown_members_are_ignored_in_messages),
        cmocka_unit_test(unknown_members_are_refused_with_the_nearest_name),
        cmocka_unit_test(names_the_member_and_what_is_wrong_with_it),
        cmocka_unit_test(whole_numbers_are_exact_or_refused),
        cmocka_unit_test(the_same_member_twice_is_refused),
        cmocka_unit_test(raw_text_is_bounded),
        cmocka_unit_test(what_could_not_be_read_back_is_not_written),
        cmocka_unit_test(numbers_are_written_short_and_read_back_equal),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(a_string_of_n_bytes_needs_no_nul),
        cmocka_unit_test(the_locale_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
