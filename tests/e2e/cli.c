/* The command line as people and scripts meet it: every command that the help
 * lists, its help, its mistakes, its JSON, its exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testdevice.h"
#include "words.h"

/* One command: how it succeeds, how it fails and with which code. A word that
 * begins with '%' is a name in the test's directory. */
struct row {
    const char *name;
    const char *good, *bad;
    int code;
};

/* In an order in which each finds what it needs. */
static const struct row rows[] = {
    {"data split", "%data %shards --clients 2", "%none %shards", 4},
    {"train-local",
     "--data %data --model logreg --lr 0.01 --out %m.safetensors",
     "--data %none", 4},
    {"bench train", "--model logreg --seconds 0.2",
     "--model logreg --data %none", 4},
    {"bench kernels", "--model logreg --seconds 0.01", "--model %none/x.json",
     4},
    {"bench infer", "--model logreg --seconds 0.2",
     "--model logreg --data %none", 4},
    {"model info", "%m.safetensors", "%none", 4},
    {"model eval", "%m.safetensors --data %data", "%m.safetensors --data %none",
     4},
    {"predict", "%data/t10k-images-idx3-ubyte --model %m.safetensors", "%none",
     4},
    {"task create", "%c.json --socket %admin.sock",
     "%wrong.json --socket %admin.sock", 78},
    {"task list", "--socket %admin.sock", "--socket %none", 7},
    {"task show", "c --socket %admin.sock", "none --socket %admin.sock", 4},
    {"task pause", "c --socket %admin.sock", "none --socket %admin.sock", 4},
    {"task resume", "c --socket %admin.sock", "none --socket %admin.sock", 4},
    {"token create", "c --socket %admin.sock", "none --socket %admin.sock", 4},
    {"device list", "first --socket %admin.sock", "none --socket %admin.sock",
     4},
    {"join", "%link --dir %device", "%none --dir %device", 4},
    {"status", "--dir %device", "--dir %stranger", 4},
    {"train", "--data %data --dir %device --threads 2",
     "--data %data --dir %stranger", 4},
    {"verify", "--dir %device", "--dir %stranger", 4},
    {"round show", "c --socket %admin.sock", "none --socket %admin.sock", 4},
    {"device show", "first 0 --socket %admin.sock",
     "first 77 --socket %admin.sock", 4},
    {"device revoke", "first 0 --socket %admin.sock",
     "first abcd --socket %admin.sock", 4},
    {"leave", "--dir %device", "--dir %none", 4},
    {"task model", "c %final.safetensors --socket %admin.sock",
     "none %final.safetensors --socket %admin.sock", 4},
    {"round rollback", "many 1 --socket %admin.sock",
     "many 1000000 --socket %admin.sock", 4},
    {"round classes", "many --socket %admin.sock", "none --socket %admin.sock",
     4},
    {"round abort", "many --socket %admin.sock", "none --socket %admin.sock",
     4},
    {"task finish", "many --socket %admin.sock", "none --socket %admin.sock",
     4},
    {"config show", "token create", "none", 2},
};
#define N_ROWS (sizeof rows / sizeof *rows)

static const struct row *find_row(const char *name)
{
    size_t i;

    for (i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* ---- set-up ---- */

#define TASK(NAME, MORE)                                                       \
    "{\"name\":\"" NAME "\",\"model\":\"logreg\"," MORE                        \
    "\"round\":{\"select\":{\"min\":1,\"max\":1},"                             \
    "\"collect\":{\"min\":1,\"max\":1},\"poll_min_s\":0.05,"                   \
    "\"poll_max_s\":0.1},\"stop\":{\"rounds\":3}}"

/* A task that goes on, two of its rounds over and the third open. */
static void make_many(void)
{
    struct pf_task_status now;
    char link[512], dir[128], data[128];
    pid_t train;

    pf_testdaemon_task(
        &words_daemon, "many",
        "{\"name\":\"many\",\"model\":\"logreg\",\"round\":{\"select\":{"
        "\"min\":1,\"max\":1},\"collect\":{\"min\":1,\"max\":1},"
        "\"poll_min_s\":0.05,\"poll_max_s\":0.1}}");
    pf_test_link(&words_daemon, "many", -1, link);
    snprintf(dir, sizeof dir, "%s", pf_in_dir(&words_daemon, "other"));
    snprintf(data, sizeof data, "%s", pf_in_dir(&words_daemon, "data"));
    PF_CLI(&said, "join", link, "--dir", dir);
    assert_int_equal(said.code, 0);
    train = pf_spawn((const char *const[]){PF_POCKETFED, "train", "--forever",
                                           "--data", data, "--dir", dir, NULL},
                     pf_in_dir(&words_daemon, "train.log"));
    do {
        pf_nap(20);
        pf_task_now(&words_daemon, "many", &now);
    } while (now.published < 2);
    pf_end(train);
}

static int setup(void **state)
{
    char link[512];

    (void)state;
    pf_testdaemon_init(&words_daemon);
    pf_isolate(words_daemon.dir);
    pf_make_images(pf_in_dir(&words_daemon, "data"), "train", 200, 1);
    pf_make_images(pf_in_dir(&words_daemon, "data"), "t10k", 50, 2);
    words_file("c.json", TASK("c", ""));
    words_file("wrong.json", TASK("w", "\"modle\":\"mlp\","));
    pf_testdaemon_start(&words_daemon);
    /* The rows create "c" themselves; join needs a link beforehand. */
    pf_testdaemon_task(&words_daemon, "first", TASK("first", ""));
    pf_test_link(&words_daemon, "first", -1, link);
    words_file("link", link);
    make_many();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    words_end();
    return 0;
}

/* ---- help ---- */

/* Calls back with each command of the overview; returns how many. */
static unsigned each_command(void (*visit)(const char *name))
{
    char text[8192], name[32], *line, *rest = text;
    unsigned n = 0;
    size_t len;

    PF_CLI(&said, "help");
    assert_int_equal(said.code, 0);
    assert_in_range(said.out.len, 100, sizeof text - 1);
    snprintf(text, sizeof text, "%s", pf_buf_str(&said.out));
    while ((line = strtok_r(rest, "\n", &rest)) != NULL) {
        char *end;

        if (strncmp(line, "  ", 2) != 0 || line[2] < 'a' || line[2] > 'z' ||
            strncmp(line + 2, "pocketfed ", 10) == 0 ||
            strncmp(line + 2, "help ", 5) == 0)
            continue;
        end = strstr(line + 2, "  "); /* two blanks before the summary */
        len = end ? (size_t)(end - line - 2) : 0;
        if (len == 0 || len >= sizeof name) /* or one, when it is long */
            fail_msg("no command in: %s", line);
        snprintf(name, sizeof name, "%.*s", (int)len, line + 2);
        visit(name);
        n++;
    }
    return n;
}

static void is_tested(const char *name)
{
    if (!find_row(name))
        fail_msg("the help lists \"%s\", which no row here tests", name);
}

static void every_command_of_the_help_is_tested_here(void **state)
{
    const char *at;
    unsigned n = 0;

    (void)state;
    assert_int_equal(each_command(is_tested), N_ROWS);
    PF_CLI(&said, "help", "--markdown"); /* has the same */
    assert_int_equal(said.code, 0);
    for (at = pf_buf_str(&said.out); (at = strstr(at, "\n## pocketfed ")); at++)
        n++;
    assert_int_equal(n, N_ROWS);
}

static void has_help(const char *name)
{
    struct pf_buf first = {0};
    char want[64];

    words_run(name, "-h", "");
    assert_int_equal(said.code, 0);
    assert_int_equal(said.err.len, 0);
    snprintf(want, sizeof want, "pocketfed %s - ", name);
    assert_int_equal(strncmp(pf_buf_str(&said.out), want, strlen(want)), 0);
    words_has(&said.out, "Usage: ");
    words_has(&said.out, "Examples:\n");
    words_has(&said.out, "--json");
    assert_true(strstr(pf_buf_str(&said.out), "Examples:") <
                strstr(pf_buf_str(&said.out), "Options "));
    pf_buf_init(&first, 1u << 16);
    pf_buf_add(&first, said.out.data, said.out.len);
    words_run("help", name, "");
    assert_int_equal(said.code, 0);
    assert_string_equal(pf_buf_str(&said.out), pf_buf_str(&first));
    words_run(name, "--help", "--json"); /* asked for, so not a failure */
    assert_int_equal(said.code, 0);
    pf_buf_free(&first);
}

static void every_command_has_help_with_examples(void **state)
{
    (void)state;
    each_command(has_help);
    PF_RUN(&said, PF_POCKETFED);
    assert_int_equal(said.code, 0);
    words_has(&said.out, "Usage: ");
    PF_CLI(&said, "task", "-h");
    assert_int_equal(said.code, 0);
    words_has(&said.out, "task create");
    words_has(&said.out, "Examples:\n  pocketfed task create ");
    PF_CLI(&said, "--version");
    assert_int_equal(said.code, 0);
    assert_int_equal(strncmp(pf_buf_str(&said.out), "pocketfed ", 10), 0);
}

static void options_may_stand_before_the_command(void **state)
{
    struct pf_json_doc *last;

    (void)state;
    words_run("--json --socket", "%admin.sock", "task list");
    assert_int_equal(said.code, 0);
    assert_int_equal(words_json(&said.out, &last), 1);
    pf_json_free(last);
    PF_CLI(&said, "-h", "train");
    assert_int_equal(said.code, 0);
    words_has(&said.out, "pocketfed train - ");
    PF_CLI(&said, "--json", "--version");
    assert_int_equal(said.code, 0);
    assert_int_equal(words_json(&said.out, &last), 1);
    pf_json_free(last);
    PF_CLI(&said, "--json");
    words_fail_in_json(2);
}

/* ---- mistakes ---- */

static void corrects(const char *name)
{
    char wrong[32], want[80];

    /* without its last letter */
    snprintf(wrong, sizeof wrong, "%.*s", (int)strlen(name) - 1, name);
    words_run(wrong, "", "");
    assert_int_equal(said.code, 2);
    assert_int_equal(said.out.len, 0);
    snprintf(want, sizeof want, "did you mean \"pocketfed %s\"?", name);
    words_has(&said.err, want);
    words_run(wrong, "", "--json");
    words_fail_in_json(2);

    words_run(name, "--jsno", "");
    assert_int_equal(said.code, 2);
    assert_int_equal(said.out.len, 0);
    words_has(&said.err, "did you mean --json?");
    snprintf(want, sizeof want, "pocketfed %s -h", name);
    words_has(&said.err, want);
    words_run(name, "1 2 3 4 5", "--json"); /* more words than any takes */
    words_fail_in_json(2);
}

static void what_is_misspelt_is_answered_with_the_likely_one(void **state)
{
    (void)state;
    each_command(corrects);
    PF_CLI(&said, "task");
    assert_int_equal(said.code, 2);
    PF_CLI(&said, "task", "--json");
    words_fail_in_json(2);
    words_run("task show", "none", "--socket %admin.sock");
    words_has(&said.err, "  do:   pocketfed task list");
    PF_CLI(&said, "train-local", "--model", "lenet6");
    assert_int_equal(said.code, 2);
    words_has(&said.err, "did you mean lenet5?");
    PF_CLI(&said, "train-local", "--batch", "0");
    assert_int_equal(said.code, 2);
    words_has(&said.err, "--batch");
}

/* ---- JSON ---- */

static void every_command_speaks_json(void **state)
{
    struct pf_json_doc *last;
    size_t i;

    (void)state;
    for (i = 0; i < N_ROWS; i++) {
        words_run(rows[i].name, rows[i].bad, "--json");
        words_fail_in_json(rows[i].code);
        words_run(rows[i].name, rows[i].bad, "");
        assert_int_equal(said.code, rows[i].code);
        assert_int_equal(said.out.len, 0);
        assert_int_equal(strncmp(pf_buf_str(&said.err), "pocketfed: ", 11), 0);
        if (said.code != 2) /* wrong usage is one sentence */
            words_has(&said.err, "\n  why:  ");
        words_has(&said.err, "page: docs/ERRORS.md#exit-");

        words_run(rows[i].name, rows[i].good, "--json");
        if (said.code != 0)
            fail_msg("%s: exit %d: %s", rows[i].name, said.code,
                     pf_buf_str(&said.out));
        assert_int_equal(said.err.len, 0);
        if (strcmp(rows[i].name, "round show") != 0) /* no round has ended */
            assert_true(words_json(&said.out, &last) >= 1);
        else
            words_json(&said.out, &last);
        pf_json_free(last);
    }
    PF_CLI(&said, "--version", "--json");
    assert_int_equal(said.code, 0);
    assert_int_equal(words_json(&said.out, &last), 1);
    pf_json_free(last);
}

static void a_task_file_is_refused_with_the_likely_key(void **state)
{
    (void)state;
    words_run("task create", "%wrong.json", "--socket %admin.sock");
    assert_int_equal(said.code, 78);
    words_has(&said.err, "modle");
    words_has(&said.err, "model");
    words_run("task create", "%c.json",
              "--socket %admin.sock"); /* there is one */
    assert_int_equal(said.code, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_of_the_help_is_tested_here),
        cmocka_unit_test(every_command_has_help_with_examples),
        cmocka_unit_test(options_may_stand_before_the_command),
        cmocka_unit_test(what_is_misspelt_is_answered_with_the_likely_one),
        cmocka_unit_test(every_command_speaks_json),
        cmocka_unit_test(a_task_file_is_refused_with_the_likely_key),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
