#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fenv.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "appside.h"

/* --- taking part --- */

static void takes_part_and_keeps_the_receipt(void **state)
{
    struct pf_app *a = *state;
    struct pocketfed_status_report r;
    struct pf_error err;
    struct pf_json_doc *doc;
    const char *ack;

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ASSIGNED);
    pf_app_until(a, POCKETFED_EVENT_TRAINED);
    assert_int_equal(a->progress.examples_done, 80);
    assert_int_equal(a->progress.state, POCKETFED_STATE_UPLOADING);
    assert_true(a->progress.loss > 0);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->progress.participations, 1);
    assert_int_equal(a->progress.round, 3);
    assert_int_equal(a->progress.examples_done, 80);
    assert_true(a->progress.loss > 0);
    assert_true(a->progress.bytes_up > a->fake.frame.len);
    assert_true(a->progress.bytes_down > a->fake.model_file.len);
    r = pf_app_status(a);
    assert_int_equal(r.last_round, 3);
    assert_int_equal(r.participations, 1);
    assert_int_equal(strlen(r.last_update), 64);
    assert_int_equal(strlen(r.model), 64);
    assert_int_equal(r.last_accepted_ms, a->now_ms);
    assert_int_equal(a->fake.bad_signatures, 0);
    /* The receipt can be verified by anybody with the record key. */
    if (pf_json_parse(pf_app_file(a, "receipts.jsonl"),
                      strlen(pf_app_file(a, "receipts.jsonl")), &doc, &err))
        fail_msg("%s", err.text);
    ack = pf_json_text(pf_json_get(pf_json_root(doc), "ack"));
    assert_non_null(ack);
    assert_int_equal(
        pf_statement_verify_field(
            a->fake.record_key, PF_SAY_ACK, ack, strlen(ack),
            pf_json_text(pf_json_get(pf_json_root(doc), "signature"))),
        POCKETFED_OK);
    pf_json_free(doc);
}

static void stops_after_as_many_updates_as_asked_for(void **state)
{
    struct pf_app *a = *state;

    a->options.max_participations = 2;
    a->fake.keep_contributing = 1;
    pf_app_reopen(a);
    pf_app_join(a);
    assert_int_equal(pf_app_run(a, 1000), POCKETFED_FINISHED);
    pf_app_is(a, POCKETFED_STATE_FINISHED);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE], 2);
    assert_int_equal(pf_app_status(a).last_round, 4);
}

static void a_round_lower_than_the_last_accepted_is_refused(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    a->fake.work.round = 2;
    assert_int_equal(pf_app_run(a, 50), POCKETFED_PROOF);
    pf_app_reopen(a); /* it is remembered */
    assert_int_equal(pf_app_run(a, 50), POCKETFED_PROOF);
}

static void a_finished_task_finishes_the_client(void **state)
{
    struct pf_app *a = *state;
    int max = 100;

    pf_app_join(a);
    a->fake.work.kind = PF_CHECKIN_WAIT;
    a->fake.work.reason = PF_WAIT_FINISHED;
    memcpy(a->fake.work.final_model, a->fake.model_digest, 32);
    while (pf_app_step(a) == POCKETFED_OK && max-- > 0)
        assert_int_equal(a->progress.event, POCKETFED_EVENT_NONE);
    assert_int_equal(pocketfed_client_step(a->client, 0, NULL),
                     POCKETFED_FINISHED);
    assert_int_equal(strlen(pf_app_status(a).model), 64);
}

static void network_trouble_is_retried(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    a->unreachable = 5;
    pf_app_until(a, POCKETFED_EVENT_RETRY);
    pf_app_is(a, POCKETFED_STATE_WAITING);
    assert_true(a->progress.wait_ms > 0);
    assert_non_null(strstr(pocketfed_client_error(a->client), "no route"));
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->unreachable, 0);
}

static void a_wrong_certificate_stops_for_good(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    a->wrong_certificate = 1;
    assert_int_equal(pf_app_run(a, 50), POCKETFED_PROOF);
    pf_app_is(a, POCKETFED_STATE_STOPPED);
    assert_non_null(strstr(pocketfed_client_error(a->client), "certificate"));
}

static void does_nothing_while_the_app_says_no(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ASSIGNED);
    a->may_not_run = 1;
    assert_int_equal(pf_app_step(a), POCKETFED_INELIGIBLE);
    assert_int_equal(pf_app_step(a), POCKETFED_INELIGIBLE);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE], 0);
    a->may_not_run = 0;
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
}

static void a_dropped_round_says_why(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    a->fake.problem_at = PF_CALL_UPDATE;
    a->fake.problem_times = 1;
    pf_problem_set(&a->fake.problem, PF_PROBLEM_ROUND_CLOSED, "it closed");
    pf_app_until(a, POCKETFED_EVENT_DROPPED);
    assert_non_null(strstr(pocketfed_client_error(a->client), "round-closed"));
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
}

/* --- kills --- */

/* A child process steps until that event and dies without closing. */
static void dies_after(struct pf_app *a, enum pocketfed_event event)
{
    int status = 0;
    pid_t child;

    pocketfed_client_close(a->client);
    a->client = NULL;
    child = fork();
    if (child == 0) {
        pf_app_open(a);
        if (event == POCKETFED_EVENT_ACCEPTED)
            a->fake.drop_ack = 1; /* just before: the answer is lost */
        while (a->progress.event != event && !a->lost)
            pf_app_step(a);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    pf_app_open(a);
}

static void goes_on_after_a_kill_at_each_stage(void **state)
{
    static const enum pocketfed_event events[] = {
        POCKETFED_EVENT_ASSIGNED,
        POCKETFED_EVENT_TRAINED,
        POCKETFED_EVENT_ACCEPTED,
    };
    struct pf_app *a = *state;
    size_t i;

    a->fake.keep_contributing = 0;
    pf_app_join(a);
    for (i = 0; i < 3; i++) {
        a->fake.work.round = 3 + i;
        dies_after(a, events[i]);
        pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
        assert_int_equal(pf_app_status(a).last_round, 3 + i);
        assert_int_equal(pf_app_status(a).participations, i + 1);
    }
    assert_int_equal(a->fake.bad_signatures, 0);
}

static void a_receipt_is_written_once_though_a_kill_came_after_it(void **state)
{
    struct pf_app *a = *state;
    char path[400], kept[420];
    const char *text, *newline;

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_TRAINED);
    snprintf(path, sizeof path, "%s/update", a->dir);
    snprintf(kept, sizeof kept, "%s.kept", path);
    assert_int_equal(link(path, kept), 0);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    /* As if killed before the counters were written: frame and old counters
     * are back, the receipt is there. */
    pocketfed_client_close(a->client);
    a->client = NULL;
    assert_int_equal(rename(kept, path), 0);
    snprintf(path, sizeof path, "%s/counters.json", a->dir);
    assert_int_equal(unlink(path), 0);
    pf_app_open(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE], 2);
    text = pf_app_file(a, "receipts.jsonl");
    newline = strchr(text, '\n');
    assert_non_null(newline);
    assert_int_equal(newline[1], '\0');
}

static void a_lost_device_key_is_no_new_device_in_silence(void **state)
{
    struct pf_app *a = *state;
    char path[400];
    FILE *f;

    pf_app_join(a);
    pocketfed_client_close(a->client);
    a->client = NULL;
    snprintf(path, sizeof path, "%s/identity.key", a->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("-----BEGIN", f);
    fclose(f);
    assert_int_not_equal(pf_app_try_open(a), POCKETFED_OK);
    assert_true(a->why[0] != '\0');
}

/* --- the app's side --- */

static void the_folder_belongs_to_one_handle(void **state)
{
    struct pf_app *a = *state;
    struct pocketfed_client *first = a->client;

    assert_int_equal(pf_app_try_open(a), POCKETFED_LOCKED);
    assert_ptr_equal(a->client, first);
    assert_true(a->why[0] != '\0');
}

static void what_is_missing_is_named(void **state)
{
    struct pf_app *a = *state;
    struct pocketfed_options o = {.size = sizeof o};
    struct pocketfed_env e = {.size = sizeof e};
    struct pocketfed_client *c = NULL;
    char why[200];

    assert_int_equal(pocketfed_client_open(&o, &e, &c, why, sizeof why),
                     POCKETFED_INVALID);
    assert_non_null(strstr(why, "options.storage"));
    o.storage = a->dir;
    o.precision = (enum pocketfed_precision)3;
    assert_int_equal(pocketfed_client_open(&o, &e, &c, why, sizeof why),
                     POCKETFED_INVALID);
    assert_non_null(strstr(why, "options.precision"));
    o.precision = POCKETFED_F32;
    e.size = 0;
    assert_int_equal(pocketfed_client_open(&o, &e, &c, why, sizeof why),
                     POCKETFED_INVALID);
    assert_non_null(strstr(why, "env.size"));
    e.size = sizeof e;
    e.sign = a->env.sign ? a->env.sign : pf_app_sign;
    assert_int_equal(pocketfed_client_open(&o, &e, &c, why, sizeof why),
                     POCKETFED_INVALID);
    assert_non_null(strstr(why, "public_key"));
    assert_null(c);
}

static void a_key_in_hardware_needs_no_key_file(void **state)
{
    struct pf_app *a = *state;
    uint8_t raw[PF_PUBLIC_MAX];

    assert_int_equal(pf_key_generate(PF_KEY_P256, &a->hardware), POCKETFED_OK);
    assert_int_equal(pf_key_public(a->hardware, raw), 65);
    a->env.sign = pf_app_sign;
    a->env.public_key = raw;
    pf_app_reopen(a);
    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_string_equal(pf_app_file(a, "identity.key"), "");
    assert_int_equal(a->fake.bad_signatures, 0);
}

static void the_apps_rounding_mode_reaches_no_update(void **state)
{
    struct pf_app *a = *state;
    struct pf_buf first;

    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    pf_buf_init(&first, 1 << 20);
    pf_buf_add(&first, a->fake.frame.data, a->fake.frame.len);
    pf_app_tear_down(state);
    pf_app_set_up(state);
    a = *state;
    pf_app_join(a);
    fesetround(FE_UPWARD);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
    assert_int_equal(a->fake.frame.len, first.len);
    assert_memory_equal(a->fake.frame.data, first.data, first.len);
    pf_buf_free(&first);
}

static void predicts_by_the_newest_model(void **state)
{
    struct pf_app *a = *state;
    float x[16], p[3], sum;
    size_t n = 3;
    uint32_t label;

    pf_fake_example(NULL, 0, x, &label);
    assert_int_equal(pocketfed_client_predict(a->client, x, 16, p, &n),
                     POCKETFED_NOT_FOUND);
    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    pf_app_reopen(a);
    assert_int_equal(pocketfed_client_predict(a->client, x, 15, p, &n),
                     POCKETFED_INVALID);
    n = 2;
    assert_int_equal(pocketfed_client_predict(a->client, x, 16, p, &n),
                     POCKETFED_LIMIT);
    n = 3;
    assert_int_equal(pocketfed_client_predict(a->client, x, 16, p, &n),
                     POCKETFED_OK);
    assert_int_equal(n, 3);
    sum = p[0] + p[1] + p[2];
    assert_true(sum > 0.999f && sum < 1.001f);
    for (int i = POCKETFED_F16; i <= POCKETFED_INT8; i++) {
        float q[3];

        a->options.precision = (enum pocketfed_precision)i;
        pf_app_reopen(a);
        for (int again = 0; again < 2; again++)
            assert_int_equal(pocketfed_client_predict(a->client, x, 16, q, &n),
                             POCKETFED_OK);
        for (int j = 0; j < 3; j++)
            assert_true(q[j] > p[j] - 0.02f && q[j] < p[j] + 0.02f);
        assert_true(q[0] != p[0] || q[1] != p[1]);
    }
}

static void an_app_older_than_precisions_predicts_in_floats(void **state)
{
    struct pf_app *a = *state;
    float x[16], p[3], q[3];
    size_t n = 3;
    uint32_t label;

    pf_fake_example(NULL, 0, x, &label);
    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(pocketfed_client_predict(a->client, x, 16, p, &n),
                     POCKETFED_OK);
    a->options.size = offsetof(struct pocketfed_options, precision);
    for (int valid = 0; valid < 2; valid++) {
        memset(&a->options.precision, 0x5a, sizeof a->options.precision);
        if (valid)
            a->options.precision = POCKETFED_INT8;
        pf_app_reopen(a);
        assert_int_equal(pocketfed_client_predict(a->client, x, 16, q, &n),
                         POCKETFED_OK);
        assert_memory_equal(q, p, sizeof q);
    }
}

static void an_older_apps_smaller_structs_are_understood(void **state)
{
    struct pf_app *a = *state;
    struct {
        struct pocketfed_progress p;
        char after[8];
    } out;

    memset(&out, 0x5a, sizeof out);
    out.p.size = offsetof(struct pocketfed_progress, loss);
    pf_app_join(a);
    assert_int_equal(pocketfed_client_step(a->client, 0, &out.p), POCKETFED_OK);
    assert_int_equal(out.p.size, offsetof(struct pocketfed_progress, loss));
    assert_int_equal(((uint8_t *)&out.p.loss)[0], 0x5a); /* not written */
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, pf_app_set_up, pf_app_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(takes_part_and_keeps_the_receipt),
        T(stops_after_as_many_updates_as_asked_for),
        T(a_round_lower_than_the_last_accepted_is_refused),
        T(a_finished_task_finishes_the_client),
        T(network_trouble_is_retried),
        T(a_wrong_certificate_stops_for_good),
        T(does_nothing_while_the_app_says_no),
        T(a_dropped_round_says_why),
        T(goes_on_after_a_kill_at_each_stage),
        T(a_receipt_is_written_once_though_a_kill_came_after_it),
        T(a_lost_device_key_is_no_new_device_in_silence),
        T(the_folder_belongs_to_one_handle),
        T(what_is_missing_is_named),
        T(a_key_in_hardware_needs_no_key_file),
        T(the_apps_rounding_mode_reaches_no_update),
        T(predicts_by_the_newest_model),
        T(an_app_older_than_precisions_predicts_in_floats),
        T(an_older_apps_smaller_structs_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
