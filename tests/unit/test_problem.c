#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "problem.h"

static void encode(const struct pf_problem *p, struct pf_buf *out)
{
    pf_buf_init(out, 4096);
    assert_int_equal(pf_problem_encode(p, out), POCKETFED_OK);
}

static enum pocketfed_status decode(const char *text, struct pf_problem *out)
{
    return pf_problem_decode(text, strlen(text), out);
}

static void each_problem_survives_the_journey(void **state)
{
    (void)state;
    for (int i = PF_PROBLEM_NONE + 1; i < PF_PROBLEM_COUNT; i++) {
        struct pf_problem p, q;
        struct pf_buf text;

        pf_problem_set(&p, (enum pf_problem_id)i, "round %d is over", i);
        snprintf(p.pointer, sizeof p.pointer, "/train/%d", i);
        snprintf(p.hint, sizeof p.hint, "say \"please\" %d", i);
        p.server_time_ms = 1700000000000 + i;
        p.retry_after_ms = i;
        encode(&p, &text);
        assert_int_equal(pf_problem_decode(pf_buf_str(&text), text.len, &q), 0);
        assert_int_equal(q.id, i);
        assert_string_equal(q.detail, p.detail);
        assert_string_equal(q.pointer, p.pointer);
        assert_string_equal(q.hint, p.hint);
        assert_true(q.server_time_ms == p.server_time_ms);
        assert_true(q.retry_after_ms == i);
        assert_int_equal(pf_problem_action_of(&q, 200),
                         pf_problem_rows[i].action);
        pf_buf_free(&text);
    }
}

static void slugs_are_words_and_each_is_there_once(void **state)
{
    (void)state;
    for (int i = 1; i < PF_PROBLEM_COUNT; i++) {
        const char *s = pf_problem_rows[i].slug;

        assert_true(*s &&
                    strspn(s, "abcdefghijklmnopqrstuvwxyz-") == strlen(s));
        assert_in_range(pf_problem_rows[i].status, 400, 599);
        for (int k = 1; k < i; k++)
            assert_string_not_equal(s, pf_problem_rows[k].slug);
    }
}

static void writes_the_document_that_is_promised(void **state)
{
    struct pf_problem p;
    struct pf_buf text;

    (void)state;
    pf_problem_set(&p, PF_PROBLEM_ROUND_CLOSED, "round %d is closed", 7);
    encode(&p, &text);
    assert_string_equal(
        pf_buf_str(&text),
        "{\"type\":\"https://pocketfed.dev/problems/round-closed\","
        "\"title\":\"The round is closed\",\"status\":410,"
        "\"detail\":\"round 7 is closed\"}");
    pf_buf_free(&text);
}

static void refuses_to_write_no_problem(void **state)
{
    struct pf_problem p;
    struct pf_buf text;

    (void)state;
    pf_buf_init(&text, 100);
    pf_problem_set(&p, PF_PROBLEM_NONE, "fine");
    assert_int_equal(pf_problem_encode(&p, &text), POCKETFED_INVALID);
    p.id = PF_PROBLEM_COUNT;
    assert_int_equal(pf_problem_encode(&p, &text), POCKETFED_INVALID);
    assert_int_equal(text.len, 0);
}

static void what_people_wrote_cannot_break_the_document(void **state)
{
    struct pf_problem p, q;
    struct pf_buf text;

    (void)state;
    pf_problem_set(&p, PF_PROBLEM_BAD_REQUEST, "%s",
                   "a\x1b[31m\n\xff\xc3\xa9\xc2\x9b\"\\\xc3");
    assert_string_equal(p.detail, "a?[31m??\xc3\xa9?\"\\?");
    memcpy(p.hint, "\xf0\x9f\n", 4); /* set by hand: cleaned when written */
    encode(&p, &text);
    assert_int_equal(pf_problem_decode(pf_buf_str(&text), text.len, &q), 0);
    assert_string_equal(q.detail, p.detail);
    assert_string_equal(q.hint, "???");
    pf_buf_free(&text);
}

static void cuts_a_long_detail_between_characters(void **state)
{
    char text[700];
    struct pf_problem p;

    (void)state;
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    pf_problem_set(&p, PF_PROBLEM_BUSY, "%s", text);
    assert_int_equal(strlen(p.detail), 254); /* 255 would cut an e-acute */
    assert_memory_equal(p.detail + 252, "\xc3\xa9", 3);
}

static void reads_documents_of_others(void **state)
{
    struct pf_problem p;
    char text[1200], longer[801];

    (void)state;
    assert_int_equal(
        decode("{\"type\":\"about:blank\",\"title\":\"Gone\"}", &p), 0);
    assert_int_equal(p.id, PF_PROBLEM_NONE);
    assert_string_equal(p.detail, "Gone");
    assert_int_equal(
        decode("{\"type\":\"https://pocketfed.dev/problems/from-the-future\","
               "\"detail\":\"x\",\"more\":[{}],\"retry_after_ms\":\"soon\","
               "\"status\":null,\"server_time_ms\":-5}",
               &p),
        0);
    assert_int_equal(p.id, PF_PROBLEM_NONE);
    assert_string_equal(p.detail, "x");
    assert_true(p.retry_after_ms == 0 && p.server_time_ms == 0);
    memset(longer, 'x', 800);
    longer[800] = '\0';
    snprintf(text, sizeof text,
             "{\"type\":\"https://pocketfed.dev/problems/busy\",\"detail\":"
             "\"%s\"}",
             longer);
    assert_int_equal(decode(text, &p), 0);
    assert_int_equal(p.id, PF_PROBLEM_BUSY);
    assert_int_equal(strlen(p.detail), sizeof p.detail - 1);
}

static void a_decoded_detail_cannot_steer_a_terminal(void **state)
{
    struct pf_problem p;

    (void)state;
    assert_int_equal(decode("{\"type\":\"x\",\"detail\":\"a\\u001b[2Jb\"}", &p),
                     0);
    assert_string_equal(p.detail, "a?[2Jb");
}

static void says_malformed_of_what_is_no_problem_document(void **state)
{
    static const char *const wrong[] = {
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        "{\"type\":7}",
        "{\"type\":\"x\"",
        "\"type\"",
        "{\"title\":\"x\"}",
        "[{\"type\":\"x\"}]",
    };
    struct pf_problem p = {.id = PF_PROBLEM_BUSY};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(decode(wrong[i], &p), POCKETFED_MALFORMED);
    assert_int_equal(p.id, PF_PROBLEM_BUSY); /* untouched */
}

static void the_status_decides_when_the_type_is_unknown(void **state)
{
    struct pf_problem p = {.id = PF_PROBLEM_NONE};

    (void)state;
    assert_int_equal(pf_problem_action_of(&p, 502), PF_DO_RETRY);
    assert_int_equal(pf_problem_action_of(&p, 429), PF_DO_RETRY);
    assert_int_equal(pf_problem_action_of(NULL, 0), PF_DO_RETRY);
    assert_int_equal(pf_problem_action_of(NULL, 410), PF_DO_DROP);
    assert_int_equal(pf_problem_action_of(NULL, 400), PF_DO_STOP);
    p.id = PF_PROBLEM_CLOCK_SKEW; /* and not when it is known */
    assert_int_equal(pf_problem_action_of(&p, 502), PF_DO_CLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_problem_survives_the_journey),
        cmocka_unit_test(slugs_are_words_and_each_is_there_once),
        cmocka_unit_test(writes_the_document_that_is_promised),
        cmocka_unit_test(refuses_to_write_no_problem),
        cmocka_unit_test(what_people_wrote_cannot_break_the_document),
        cmocka_unit_test(cuts_a_long_detail_between_characters),
        cmocka_unit_test(reads_documents_of_others),
        cmocka_unit_test(a_decoded_detail_cannot_steer_a_terminal),
        cmocka_unit_test(says_malformed_of_what_is_no_problem_document),
        cmocka_unit_test(the_status_decides_when_the_type_is_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
