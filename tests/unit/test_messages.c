#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "tables.h"

#define ONES "1111111111111111111111111111111111111111111111111111111111111111"

/* Large enough for any message. */
union message {
    char bytes[20000];
    uint64_t align;
    double align_too;
};

/* The messages: what comes before the plan's three tables. */
#define EACH_MESSAGE(t)                                                        \
    for (const struct pf_table *t = pf_tables; strcmp(t->name, "plan"); t++)

static void round_trip(const struct pf_table *t, int high)
{
    union message m, back;
    struct pf_buf a, b;
    struct pf_error err = {.text = ""};

    memset(&m, 0, sizeof m);
    memset(&back, 0, sizeof back);
    assert_true(t->size <= sizeof m);
    table_fill(t, m.bytes, high);
    pf_buf_init(&a, PF_MAX_CONTROL_BODY);
    pf_buf_init(&b, PF_MAX_CONTROL_BODY);
    assert_int_equal(pf_json_encode(t->fields, &m, &a), POCKETFED_OK);
    if (pf_json_decode(t->fields, PF_JSON_REFUSE, pf_buf_str(&a), a.len, &back,
                       &err))
        fail_msg("%s: %s\n%s", t->name, err.text, pf_buf_str(&a));
    assert_memory_equal(&m, &back, t->size);
    assert_int_equal(pf_json_encode(t->fields, &back, &b), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&a), pf_buf_str(&b));
    pf_buf_free(&a);
    pf_buf_free(&b);
}

static void every_message_survives_the_journey(void **state)
{
    (void)state;
    EACH_MESSAGE(t)
    round_trip(t, 0);
}

static void every_message_at_its_limits_fits_a_control_body(void **state)
{
    (void)state;
    EACH_MESSAGE(t)
    round_trip(t, 1);
}

static void every_member_has_a_key_of_its_own_and_a_sentence(void **state)
{
    (void)state;
    for (const struct pf_table *t = pf_tables; t->name; t++)
        for (const struct pf_json_field *f = t->fields; f->key; f++) {
            assert_non_null(f->help);
            assert_true(f->offset + f->size <= t->size);
            for (const struct pf_json_field *g = t->fields; g < f; g++)
                assert_string_not_equal(f->key, g->key);
        }
}

static void a_message_without_a_required_member_is_refused(void **state)
{
    (void)state;
    EACH_MESSAGE(t)
    for (const struct pf_json_field *f = t->fields; f->key; f++) {
        /* The table without f writes the message without f. */
        struct pf_json_field without[32], *w = without;
        struct pf_error err = {.text = ""};
        union message m, back;
        struct pf_buf text;
        char pointer[64];

        memset(&m, 0, sizeof m);
        table_fill(t, m.bytes, 0);
        for (const struct pf_json_field *g = t->fields; g->key; g++) {
            if (g != f)
                *w++ = *g;
        }
        memset(w, 0, sizeof *w);
        pf_buf_init(&text, PF_MAX_CONTROL_BODY);
        assert_int_equal(pf_json_encode(without, &m, &text), POCKETFED_OK);
        memset(&back, 0, sizeof back);
        snprintf(pointer, sizeof pointer, "/%s", f->key);
        if (f->flags & PF_JSON_REQUIRED) {
            assert_int_equal(pf_json_decode(t->fields, PF_JSON_IGNORE,
                                            pf_buf_str(&text), text.len, &back,
                                            &err),
                             POCKETFED_MALFORMED);
            assert_non_null(strstr(err.text, pointer));
        } else {
            assert_int_equal(pf_json_decode(t->fields, PF_JSON_IGNORE,
                                            pf_buf_str(&text), text.len, &back,
                                            NULL),
                             POCKETFED_OK);
        }
        pf_buf_free(&text);
    }
}

static enum pocketfed_status decode(const struct pf_json_field *fields,
                                    const char *text, void *out,
                                    struct pf_error *err)
{
    return pf_json_decode(fields, PF_JSON_IGNORE, text, strlen(text), out, err);
}

static void text_over_its_bound_is_refused(void **state)
{
    struct pf_failure_report report;
    char text[300], detail[201];

    (void)state;
    memset(detail, 'd', sizeof detail);
    detail[199] = '\0';
    snprintf(text, sizeof text, "{\"code\":\"other\",\"detail\":\"%s\"}",
             detail);
    assert_int_equal(decode(pf_failure_report_fields, text, &report, NULL), 0);
    detail[199] = 'd';
    detail[200] = '\0';
    snprintf(text, sizeof text, "{\"code\":\"other\",\"detail\":\"%s\"}",
             detail);
    assert_int_equal(decode(pf_failure_report_fields, text, &report, NULL),
                     POCKETFED_MALFORMED);
}

static void refuses_values_out_of_bounds(void **state)
{
    static const struct {
        const char *table, *text;
    } rows[] = {
        {"checkin_request",
         "{\"client_version\":\"0.1.0\",\"codecs\":\"f32\"}"},
        {"checkin_request",
         "{\"client_version\":\"0.1.0\",\"codecs\":[\"0123456789abcdef\"]}"},
        {"checkin_request", "{\"client_version\":\"0.1.0\",\"codecs\":[1]}"},
        {"checkin_request",
         "{\"client_version\":\"0.1.0\",\"codecs\":[],\"held_plan\":\"AB\"}"},
        {"checkin_request",
         "{\"client_version\":\"0.1.0\",\"codecs\":[],\"memory\":\"-1\"}"},
        {"checkin_request", "{\"client_version\":\"0.1.0\",\"codecs\":[],"
                            "\"memory\":\"18446744073709551616\"}"},
        {"checkin_request", "{\"client_version\":\"0.1.0\",\"codecs\":["
                            "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                            "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                            "\"a\"]}"},
        {"failure_report", "{\"code\":\"bored\"}"},
        {"failure_report", "{\"code\":0}"},
        {"task_set", "{\"state\":\"gone\"}"},
        {"token_request", "{\"uses\":\"0\"}"},
        {"token_request", "{\"uses\":\"1000001\"}"},
        {"token_request", "{\"expires_s\":0}"},
        {"token_request", "{\"expires_s\":315360001}"},
        {"token_request", "{\"has_ordinal\":1}"},
        {"token_request", "{\"label\":\"a\\u0007\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct pf_table *t = pf_tables;
        union message m;

        memset(&m, 0, sizeof m);
        while (strcmp(t->name, rows[i].table))
            t++;
        if (decode(t->fields, rows[i].text, &m, NULL) != POCKETFED_MALFORMED)
            fail_msg("accepted %s", rows[i].text);
    }
}

static void a_wait_says_why_and_an_assignment_does_not(void **state)
{
    struct pf_checkin_reply r;
    struct pf_buf text;

    (void)state;
    memset(&r, 0, sizeof r);
    r.kind = PF_CHECKIN_TRAIN;
    memcpy(r.task, "t", 2);
    r.round = 3;
    r.lease_ms = 60000;
    memset(r.base, 0x11, 32);
    pf_buf_init(&text, 4096);
    assert_int_equal(pf_json_encode(pf_checkin_reply_fields, &r, &text), 0);
    assert_string_equal(pf_buf_str(&text),
                        "{\"kind\":\"train\",\"task\":\"t\",\"device\":"
                        "\"00000000000000000000000000000000\",\"round\":\"3\","
                        "\"base\":\"" ONES "\",\"lease_ms\":60000}");
    memset(&r, 0, sizeof r);
    r.kind = PF_CHECKIN_WAIT;
    memcpy(r.task, "t", 2);
    r.reason = PF_WAIT_ROUND_FULL;
    r.min_ms = 1000;
    r.max_ms = 5000;
    pf_buf_clear(&text);
    assert_int_equal(pf_json_encode(pf_checkin_reply_fields, &r, &text), 0);
    assert_string_equal(pf_buf_str(&text),
                        "{\"kind\":\"wait\",\"task\":\"t\",\"device\":"
                        "\"00000000000000000000000000000000\",\"min_ms\":1000,"
                        "\"max_ms\":5000,\"reason\":\"round-full\"}");
    pf_buf_free(&text);
}

static void defaults_stay_when_a_token_request_is_silent(void **state)
{
    struct pf_token_request r = {.uses = 1, .expires_s = 3600};

    (void)state;
    assert_int_equal(decode(pf_token_request_fields, "{}", &r, NULL), 0);
    assert_int_equal(r.uses, 1);
    assert_int_equal(r.expires_s, 3600);
    assert_int_equal(decode(pf_token_request_fields,
                            "{\"has_ordinal\":true,\"ordinal\":\"0\","
                            "\"uses\":3,\"unknown\":{}}",
                            &r, NULL),
                     0);
    assert_int_equal(r.has_ordinal, 1);
    assert_int_equal(r.ordinal, 0);
    assert_int_equal(r.uses, 3);
}

static void a_device_cannot_report_what_the_server_says_of_it(void **state)
{
    struct pf_failure_report r = {0};

    (void)state;
    for (int k = 0; k <= PF_FAILURE_LEFT; k++) {
        char text[64];

        snprintf(text, sizeof text, "{\"code\":\"%s\"}", pf_failure_codes[k]);
        assert_int_equal(decode(pf_failure_report_fields, text, &r, NULL),
                         k <= PF_FAILURE_OTHER ? POCKETFED_OK
                                               : POCKETFED_MALFORMED);
        if (k <= PF_FAILURE_OTHER)
            assert_int_equal(r.code, k);
    }
}

/* The first byte of a seed is the number of its table: a table put before
 * others moves them all. What the seed says, the table must still take. */
static void each_fuzz_seed_is_read_by_the_table_it_is_named_after(void **state)
{
    (void)state;
    for (size_t i = 0; i < pf_n_tables; i++) {
        const struct pf_table *t = &pf_tables[i];
        union message m = {{0}};
        char path[1024], seed[4096];
        size_t len;
        FILE *f;

        snprintf(path, sizeof path, "%s/fuzz/messages/%s", PF_TEST_DIR,
                 t->name);
        f = fopen(path, "rb");
        if (!f) /* nested ones have none of their own */
            continue;
        len = fread(seed, 1, sizeof seed, f);
        fclose(f);
        if (len < 2 || (size_t)seed[0] != i ||
            pf_json_decode(t->fields, PF_JSON_IGNORE, seed + 1, len - 1, &m,
                           NULL))
            fail_msg("%s is no byte %zu and a %s", path, i, t->name);
        for (const struct pf_json_field *k = t->fields; k->key; k++)
            if (k->type == PF_JSON_RAW)
                pf_buf_free((struct pf_buf *)(void *)(m.bytes + k->offset));
    }
}

static void each_enumeration_has_a_name_for_each_value(void **state)
{
    static const struct {
        const char *const *names;
        int last;
    } rows[] = {
        {pf_checkin_kinds, PF_CHECKIN_WAIT},
        {pf_wait_reasons, PF_WAIT_NOT_ELIGIBLE},
        {pf_failure_codes, PF_FAILURE_LEFT},
        {pf_task_states, PF_TASK_FINISHED},
        {pf_device_states, PF_DEVICE_LEFT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int k = 0; k <= rows[i].last; k++)
            assert_non_null(rows[i].names[k]);
        assert_null(rows[i].names[rows[i].last + 1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_survives_the_journey),
        cmocka_unit_test(every_message_at_its_limits_fits_a_control_body),
        cmocka_unit_test(every_member_has_a_key_of_its_own_and_a_sentence),
        cmocka_unit_test(a_message_without_a_required_member_is_refused),
        cmocka_unit_test(text_over_its_bound_is_refused),
        cmocka_unit_test(refuses_values_out_of_bounds),
        cmocka_unit_test(a_wait_says_why_and_an_assignment_does_not),
        cmocka_unit_test(defaults_stay_when_a_token_request_is_silent),
        cmocka_unit_test(a_device_cannot_report_what_the_server_says_of_it),
        cmocka_unit_test(each_fuzz_seed_is_read_by_the_table_it_is_named_after),
        cmocka_unit_test(each_enumeration_has_a_name_for_each_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
