#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fail.h"

static void every_status_has_its_sentence_and_name(void **state)
{
    static const struct {
        int number;
        const char *name, *sentence;
    } rows[] = {
#define ROW(name, number, sentence) {number, #name, sentence},
        POCKETFED_STATUSES(ROW)
#undef ROW
    };
    char lower[32];
    size_t i, k;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum pocketfed_status st = (enum pocketfed_status)rows[i].number;

        for (k = 0; rows[i].name[k]; k++)
            lower[k] = (char)tolower((unsigned char)rows[i].name[k]);
        lower[k] = '\0';
        assert_int_equal(rows[i].number, i); /* frozen, without gaps */
        assert_string_equal(pocketfed_status_name(st), lower);
        assert_string_equal(pocketfed_status_text(st), rows[i].sentence);
    }
}

static void an_unknown_status_has_a_sentence_too(void **state)
{
    (void)state;
    assert_string_equal(pocketfed_status_text((enum pocketfed_status)999),
                        "unknown status");
    assert_string_equal(pocketfed_status_name((enum pocketfed_status)999),
                        "unknown");
    assert_string_equal(pocketfed_status_name((enum pocketfed_status) - 1),
                        "unknown");
}

static void failing_sets_the_text_and_clears_the_hint(void **state)
{
    struct pf_error err = {.hint = "old"};

    (void)state;
    assert_int_equal(pf_fail(&err, POCKETFED_LIMIT, "%d of %d", 5, 4),
                     POCKETFED_LIMIT);
    assert_int_equal(err.status, POCKETFED_LIMIT);
    assert_string_equal(err.text, "5 of 4");
    assert_string_equal(err.hint, "");
    pf_hint(&err, "try %d", 4);
    assert_string_equal(err.hint, "try 4");
}

static void nobody_needs_to_ask_for_the_sentence(void **state)
{
    (void)state;
    assert_int_equal(pf_fail(NULL, POCKETFED_BUSY, "x"), POCKETFED_BUSY);
    assert_int_equal(pf_fail_errno(NULL, ENOENT, "x"), POCKETFED_IO);
    pf_hint(NULL, "x");
}

static void a_system_error_is_spelled_out(void **state)
{
    struct pf_error err;

    (void)state;
    assert_int_equal(pf_fail_errno(&err, ENOENT, "cannot open %s", "a"),
                     POCKETFED_IO);
    assert_string_equal(err.text, "cannot open a: No such file or directory");
    assert_string_equal(err.hint, "");
    pf_fail_errno(&err, ENOSPC, "cannot write %s", "a");
    assert_non_null(strstr(err.hint, "free some space"));
}

static void a_long_sentence_is_cut_not_overrun(void **state)
{
    char word[1000];
    struct pf_error err;

    (void)state;
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    pf_fail_errno(&err, ENOENT, "%s", word);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    pf_hint(&err, "%s", word);
    assert_int_equal(strlen(err.hint), sizeof err.hint - 1);
}

static void offers_the_nearest_name(void **state)
{
    static const char *const names[] = {"listen", "state", "rounds", "lr",
                                        NULL};

    (void)state;
    assert_string_equal(pf_nearest("lisen", names), "listen");
    assert_string_equal(pf_nearest("lsiten", names), "listen");
    assert_string_equal(pf_nearest("round", names), "rounds");
    assert_string_equal(pf_nearest("statee", names), "state");
    assert_string_equal(pf_nearest("rl", names), "lr");
}

static void offers_nothing_when_nothing_is_near(void **state)
{
    static const char *const names[] = {"listen", "state", "rounds", "lr",
                                        NULL};
    static const char *const none[] = {NULL}, *const k[] = {"k", NULL};
    char word[200];

    (void)state;
    memset(word, 'l', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(pf_nearest("banana", names));
    assert_null(pf_nearest("", names));
    assert_null(pf_nearest("xy", names));
    assert_null(pf_nearest("x", k));
    assert_null(pf_nearest(word, names));
    assert_null(pf_nearest("listen", none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_sentence_and_name),
        cmocka_unit_test(an_unknown_status_has_a_sentence_too),
        cmocka_unit_test(failing_sets_the_text_and_clears_the_hint),
        cmocka_unit_test(nobody_needs_to_ask_for_the_sentence),
        cmocka_unit_test(a_system_error_is_spelled_out),
        cmocka_unit_test(a_long_sentence_is_cut_not_overrun),
        cmocka_unit_test(offers_the_nearest_name),
        cmocka_unit_test(offers_nothing_when_nothing_is_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
