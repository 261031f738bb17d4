/* Four devices, a daemon and a test set: from task file to a model that tells
 * digits apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "proc.h"
#include "testdevice.h"

#define CLIENTS 4
#define TRAIN   8000
#define TEST    2000
#define TARGET  "0.97"

static struct pf_testdaemon d;
static const char *data; /* the whole of MNIST */

/* Parses the text as one JSON value; NULL for "" or nonsense. */
static struct pf_json_doc *parse(const struct pf_buf *text)
{
    struct pf_error err = {0};
    struct pf_json_doc *doc = NULL;

    if (pf_json_parse(pf_buf_str(text), text->len, &doc, &err))
        fail_msg("%s: %s", err.text, pf_buf_str(text));
    return doc;
}

static double number(const struct pf_buf *text, const char *key)
{
    struct pf_json_doc *doc = parse(text);
    double v = -1;

    assert_true(pf_json_number(pf_json_get(pf_json_root(doc), key), &v));
    pf_json_free(doc);
    return v;
}

/* Each line of the text is one JSON object with a "type"; how many. */
static unsigned json_lines(const struct pf_buf *text, const char *last_type)
{
    const char *at = pf_buf_str(text), *type = NULL;
    struct pf_json_doc *doc = NULL;
    unsigned n = 0;

    for (; *at; n++) {
        size_t len = strcspn(at, "\n");

        pf_json_free(doc);
        doc = NULL;
        assert_int_equal(pf_json_parse(at, len, &doc, NULL), POCKETFED_OK);
        type = pf_json_text(pf_json_get(pf_json_root(doc), "type"));
        assert_non_null(type);
        at += len + (at[len] == '\n');
    }
    assert_true(n > 0);
    assert_string_equal(type, last_type);
    pf_json_free(doc);
    return n;
}

static int setup(void **state)
{
    struct pf_run r = {0};
    char text[2000];

    (void)state;
    pf_testdaemon_init(&d);
    pf_isolate(d.dir);
    pf_take_subset(data, pf_in_dir(&d, "data"), "train", TRAIN);
    pf_take_subset(data, pf_in_dir(&d, "data"), "t10k", TEST);
    PF_CLI(&r, "data", "split", pf_in_dir(&d, "data"), pf_in_dir(&d, "shards"),
           "--clients", "4", "--seed", "3");
    assert_int_equal(r.code, 0);
    pf_run_free(&r);
    pf_testdaemon_start(&d);
    snprintf(text, sizeof text,
             "{\"name\":\"digits\",\"seed\":7,\"model\":\"lenet5\","
             "\"train\":{\"optimizer\":\"sgd\",\"lr\":0.1,\"epochs\":1,"
             "\"batch\":10},"
             "\"round\":{\"select\":{\"min\":4,\"max\":4,\"max_s\":600},"
             "\"collect\":{\"min\":4,\"max\":4,\"max_s\":600},"
             "\"poll_min_s\":0.05,\"poll_max_s\":0.15},"
             "\"evaluate\":{\"data\":\"%s\"},"
             "\"stop\":{\"rounds\":60,\"accuracy\":" TARGET "}}",
             pf_in_dir(&d, "data"));
    pf_testdaemon_task(&d, "digits", text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pf_kill_all();
    d.pid = 0;
    pf_testdaemon_end(&d);
    return 0;
}

static void four_processes_reach_the_accuracy_over_tls(void **state)
{
    struct pf_testdevice v[CLIENTS];
    struct pf_task_status t;
    struct pf_buf log;
    unsigned k;

    (void)state;
    for (k = 0; k < CLIENTS; k++) {
        char name[16], shard[32];

        snprintf(name, sizeof name, "device-%u", k);
        snprintf(shard, sizeof shard, "shards/client-%03u", k);
        pf_testdevice_join(&v[k], &d, "digits", name, k, pf_in_dir(&d, shard));
        pf_testdevice_train(&v[k]);
    }
    pf_await_finish(&d, "digits", 50000, &t);
    print_message("accuracy %.4f after %llu rounds\n", t.test_accuracy,
                  (unsigned long long)t.published);
    assert_string_equal(t.reason, "accuracy");
    assert_true(t.test_accuracy >= 0.97);
    assert_int_equal(t.devices, CLIENTS);
    memset(&log, 0, sizeof log);
    for (k = 0; k < CLIENTS; k++) {
        assert_int_equal(pf_testdevice_wait(&v[k], 10000, NULL), 0);
        pf_slurp(v[k].log, &log);
        assert_true(json_lines(&log, "summary") >= 3);
    }
    pf_buf_free(&log);
}

static void every_round_counts_each_device_once(void **state)
{
    struct pf_task_status t;
    struct pf_round_status r;
    uint64_t i;

    (void)state;
    pf_task_now(&d, "digits", &t);
    assert_true(t.published > 0);
    for (i = 1; i <= t.published; i++) {
        pf_round_now(&d, "digits", i, &r);
        assert_string_equal(r.phase, "published");
        assert_int_equal(r.accepted, CLIENTS);
        assert_int_equal(r.weight, TRAIN);
        assert_int_equal(r.late, 0);
        assert_int_equal(r.refused, 0);
        assert_true(r.bytes_up >= CLIENTS * 61706 * 4);
        assert_true(r.bytes_down >= CLIENTS * 61706 * 4);
        assert_true(r.test_accuracy > 0);
    }
}

static void the_published_file_measures_the_same(void **state)
{
    struct pf_run r = {0};
    struct pf_task_status t;
    double n;

    (void)state;
    pf_task_now(&d, "digits", &t);
    PF_CLI(&r, "task", "model", "digits", pf_in_dir(&d, "final.safetensors"),
           "--socket", d.socket);
    assert_int_equal(r.code, 0);
    PF_CLI(&r, "model", "eval", pf_in_dir(&d, "final.safetensors"), "--data",
           pf_in_dir(&d, "data"), "--json");
    assert_int_equal(r.code, 0);
    n = number(&r.out, "n");
    assert_true(n == TEST);
    /* the task's is written to round-trip, this one with six digits */
    assert_true(number(&r.out, "accuracy") - t.test_accuracy < 1e-6);
    assert_true(number(&r.out, "accuracy") - t.test_accuracy > -1e-6);
    PF_CLI(&r, "model", "info", pf_in_dir(&d, "final.safetensors"), "--json");
    assert_int_equal(r.code, 0);
    assert_true(number(&r.out, "parameters") == 61706);
    pf_run_free(&r);
}

/* By the file, and by the model that a device keeps. */
static void digits_are_named_right(void **state)
{
    char index[8], images[160];
    const struct pf_json_node *root;
    struct pf_json_doc *doc;
    struct pf_run r = {0};
    unsigned i, right = 0;
    double label, digit;

    (void)state;
    snprintf(images, sizeof images, "%s/t10k-images-idx3-ubyte",
             pf_in_dir(&d, "data"));
    for (i = 0; i < 20; i++) {
        snprintf(index, sizeof index, "%u", i);
        PF_CLI(&r, "predict", images, "--index", index, "--json", "--model",
               pf_in_dir(&d, "final.safetensors"));
        assert_int_equal(r.code, 0);
        doc = parse(&r.out);
        root = pf_json_root(doc);
        assert_true(pf_json_number(pf_json_get(root, "label"), &label));
        assert_true(pf_json_number(pf_json_get(root, "class"), &digit));
        right += label == digit;
        pf_json_free(doc);
    }
    assert_in_range(right, 17, 20);
    PF_CLI(&r, "predict", images, "--index", "0", "--dir",
           pf_in_dir(&d, "device-2"));
    assert_int_equal(r.code, 0);
    assert_non_null(strchr(pf_buf_str(&r.out), '7')); /* the first test digit */
    pf_run_free(&r);
}

static void what_operators_read_is_json_and_tables(void **state)
{
    struct pf_run r = {0};

    (void)state;
    PF_CLI(&r, "task", "list", "--json", "--socket", d.socket);
    assert_int_equal(r.code, 0);
    pf_json_free(parse(&r.out));
    PF_CLI(&r, "task", "show", "digits", "--json", "--socket", d.socket);
    assert_int_equal(r.code, 0);
    pf_json_free(parse(&r.out));
    PF_CLI(&r, "task", "show", "digits", "--socket", d.socket);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(pf_buf_str(&r.out), "digits"));
    assert_non_null(strstr(pf_buf_str(&r.out), "finished"));
    PF_CLI(&r, "round", "show", "digits", "--json", "--socket", d.socket);
    assert_int_equal(r.code, 0);
    assert_true(json_lines(&r.out, "round") >= 1);
    PF_CLI(&r, "round", "show", "digits", "--watch", "--json", "--socket",
           d.socket);
    assert_int_equal(r.code, 0);
    assert_true(json_lines(&r.out, "summary") >= 2);
    PF_CLI(&r, "round", "show", "digits", "--socket", d.socket);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(pf_buf_str(&r.out), "published"));
    PF_CLI(&r, "status", "--json", "--dir", pf_in_dir(&d, "device-1"));
    assert_int_equal(r.code, 0);
    pf_json_free(parse(&r.out));
    PF_CLI(&r, "status", "--dir", pf_in_dir(&d, "device-1"));
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(pf_buf_str(&r.out), "digits"));
    pf_run_free(&r);
}

static void the_daemon_says_only_what_it_saw(void **state)
{
    struct pf_buf b;

    (void)state;
    memset(&b, 0, sizeof b);
    assert_int_equal(pf_testdaemon_ops(&d, "/livez", &b), 200);
    assert_int_equal(pf_testdaemon_ops(&d, "/readyz", &b), 200);
    assert_int_equal(pf_testdaemon_ops(&d, "/metrics", &b), 200);
    assert_non_null(strstr(pf_buf_str(&b), "pocketfed_"));
    assert_true(pf_file_says(d.log, "task digits: first device assigned"));
    assert_true(pf_file_says(d.log, "first update in"));
    assert_true(pf_file_says(d.log, "task digits round 1 published: 4"));
    assert_true(pf_file_says(d.log, "task digits: finished (accuracy)"));
    pf_testdaemon_stop(&d);
    pf_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_processes_reach_the_accuracy_over_tls),
        cmocka_unit_test(every_round_counts_each_device_once),
        cmocka_unit_test(the_published_file_measures_the_same),
        cmocka_unit_test(digits_are_named_right),
        cmocka_unit_test(what_operators_read_is_json_and_tables),
        cmocka_unit_test(the_daemon_says_only_what_it_saw),
    };

    data = pf_test_data();
    if (!data)
        return PF_SKIPPED;
    return cmocka_run_group_tests(tests, setup, teardown);
}
