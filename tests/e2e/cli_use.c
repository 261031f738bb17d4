/* What a person meets around the commands: joining, a folder, a daemon that is
 * not there, configuration files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "testdevice.h"
#include "words.h"

static struct pf_testdaemon *const d = &words_daemon;

#define TASK(NAME)                                                             \
    "{\"name\":\"" NAME "\",\"model\":\"logreg\","                             \
    "\"round\":{\"select\":{\"min\":1,\"max\":1},"                             \
    "\"collect\":{\"min\":1,\"max\":1},\"poll_min_s\":0.05,"                   \
    "\"poll_max_s\":0.1},\"stop\":{\"rounds\":3}}"

static int setup(void **state)
{
    (void)state;
    pf_testdaemon_init(d);
    pf_isolate(d->dir);
    pf_make_images(pf_in_dir(d, "data"), "train", 200, 1);
    pf_make_images(pf_in_dir(d, "data"), "t10k", 50, 2);
    pf_testdaemon_start(d);
    pf_testdaemon_task(d, "first", TASK("first"));
    pf_testdaemon_task(d, "c", TASK("c"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    words_end();
    return 0;
}

/* ---- joining ---- */

static void a_link_is_read_from_stdin_argument_and_file(void **state)
{
    char link[512], dir[3][128];
    unsigned i;

    (void)state;
    for (i = 0; i < 3; i++) {
        pf_test_link(d, "first", -1, link);
        snprintf(dir[i], sizeof dir[i], "%s/way-%u", d->dir, i);
        words_file("link-2", link);
        if (i == 0)
            pf_run(&said, link,
                   (const char *const[]){PF_POCKETFED, "join", "-", "--dir",
                                         dir[i], NULL});
        else if (i == 1)
            PF_CLI(&said, "join", link, "--dir", dir[i]);
        else
            PF_CLI(&said, "join", pf_in_dir(d, "link-2"), "--dir", dir[i]);
        assert_int_equal(said.code, 0);
        words_has(&said.out, "joined first at 127.0.0.1:");
        words_has(&said.err, "next: pocketfed train");
    }
    PF_CLI(&said, "join", pf_in_dir(d, "link-2"), "--dir", dir[2]); /* again */
    assert_int_equal(said.code, 0);
    words_has(&said.out, "already");
    pf_test_link(d, "first", -1, link); /* with a new link: not spent */
    PF_CLI(&said, "join", link, "--dir", dir[2]);
    assert_int_equal(said.code, 0);
    PF_CLI(&said, "join", link, "--dir", pf_in_dir(d, "way-3"));
    assert_int_equal(said.code, 0);
    pf_test_link(d, "c", -1, link); /* one folder, one task */
    PF_CLI(&said, "join", link, "--dir", dir[2]);
    assert_int_equal(said.code, 5);
    pf_run(&said, "", (const char *const[]){PF_POCKETFED, "join", "-", NULL});
    assert_int_equal(said.code, 1);
    words_has(&said.err, "stdin");
}

static void the_device_folder_is_private(void **state)
{
    struct stat sb;
    char path[200];

    (void)state;
    snprintf(path, sizeof path, "%s", pf_in_dir(d, "way-0"));
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/identity.key", pf_in_dir(d, "way-0"));
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/join.link", pf_in_dir(d, "way-0"));
    assert_int_not_equal(stat(path, &sb), 0); /* wiped */
}

static void two_processes_do_not_share_a_folder(void **state)
{
    struct pf_testdevice v;

    (void)state;
    memset(&v, 0, sizeof v);
    snprintf(v.dir, sizeof v.dir, "%s", pf_in_dir(d, "way-0"));
    snprintf(v.shard, sizeof v.shard, "%s", pf_in_dir(d, "data"));
    snprintf(v.log, sizeof v.log, "%s", pf_in_dir(d, "way-0.log"));
    PF_CLI(&said, "task", "pause", "first", "--socket", d->socket);
    assert_int_equal(said.code, 0);
    pf_testdevice_train(&v); /* it waits, for the task is paused */
    do {
        pf_nap(20);
        PF_CLI(&said, "status", "--json", "--dir", v.dir);
        assert_int_equal(said.code, 0);
    } while (!strstr(pf_buf_str(&said.out), "\"running\":true"));
    PF_CLI(&said, "train", "--data", v.shard, "--dir", v.dir);
    assert_int_equal(said.code, 6);
    pf_signal(v.pid, 15);
    assert_int_equal(pf_testdevice_wait(&v, 10000, NULL), 130);
    PF_CLI(&said, "task", "resume", "first", "--socket", d->socket);
    assert_int_equal(said.code, 0);
}

/* ---- who is not there ---- */

static void a_missing_daemon_is_named_with_where_it_was_sought(void **state)
{
    struct pf_testdaemon gone;
    char link[512];

    (void)state;
    words_run("task list", "", "--socket %none");
    assert_int_equal(said.code, 7);
    words_has(&said.err, "none");
    words_has(&said.err, "command line");
    setenv("POCKETFED_SOCKET", "/nowhere.sock", 1);
    words_run("task list", "", "");
    unsetenv("POCKETFED_SOCKET");
    assert_int_equal(said.code, 7);
    words_has(&said.err, "/nowhere.sock");
    words_has(&said.err, "environment");

    pf_testdaemon_init(&gone);
    pf_testdaemon_start(&gone);
    pf_testdaemon_task(&gone, "g", TASK("g"));
    pf_test_link(&gone, "g", -1, link);
    pf_testdaemon_stop(&gone);
    PF_CLI(&said, "join", link, "--dir", pf_in_dir(d, "late"), "--timeout",
           "1");
    assert_int_equal(said.code, 7);
    words_has(&said.err, "127.0.0.1");
    pf_testdaemon_end(&gone);
}

/* ---- configuration ---- */

static void a_wrong_configuration_names_file_and_line(void **state)
{
    char dir[160];

    (void)state;
    snprintf(dir, sizeof dir, "%s", pf_in_dir(d, ".config"));
    mkdir(dir, 0700);
    mkdir(pf_in_dir(d, ".config/pocketfed"), 0700);
    words_file(".config/pocketfed/pocketfed.ini", "batch = 20\nbtach = 3\n");
    words_run("train-local", "--data %data", "");
    assert_int_equal(said.code, 78);
    words_has(&said.err, "pocketfed.ini, line 2");
    words_has(&said.err, "btach");
    words_run("train-local", "--data %data", "--json");
    words_fail_in_json(78);
    words_file(".config/pocketfed/pocketfed.ini", "\n\nbatch = many\n");
    words_run("train-local", "--data %data", "");
    assert_int_equal(said.code, 78);
    words_has(&said.err, "line 3");

    /* the file, then the variable, then the command line */
    words_file(".config/pocketfed/pocketfed.ini", "data = /nowhere/file\n");
    words_run("train-local", "--model logreg", "");
    assert_int_equal(said.code, 4);
    words_has(&said.err, "/nowhere/file");
    setenv("POCKETFED_DATA", "/nowhere/variable", 1);
    words_run("train-local", "--model logreg", "");
    assert_int_equal(said.code, 4);
    words_has(&said.err, "/nowhere/variable");
    words_run("train-local", "--model logreg --data %data", "");
    unsetenv("POCKETFED_DATA");
    assert_int_equal(said.code, 0);
    unlink(pf_in_dir(d, ".config/pocketfed/pocketfed.ini"));
}

static void the_daemon_explains_itself_too(void **state)
{
    (void)state;
    PF_RUN(&said, PF_POCKETFEDD, "-h");
    assert_int_equal(said.code, 0);
    words_has(&said.out, "--state");
    PF_RUN(&said, PF_POCKETFEDD, "--version");
    assert_int_equal(said.code, 0);
    PF_RUN(&said, PF_POCKETFEDD, "--sate", "x");
    assert_int_equal(said.code, 2);
    words_has(&said.err, "--state");
    PF_RUN(&said, PF_POCKETFEDD, "--print-config");
    assert_int_equal(said.code, 0);
    words_file("all.ini", pf_buf_str(&said.out));
    PF_RUN(&said, PF_POCKETFEDD, "--check-config", "--config",
           pf_in_dir(d, "all.ini"));
    assert_int_equal(said.code, 0);
    words_file("wrong.ini", "[server]\nthreads = 2\nstat = /x\n");
    PF_RUN(&said, PF_POCKETFEDD, "--check-config", "--config",
           pf_in_dir(d, "wrong.ini"));
    assert_int_equal(said.code, 78);
    words_has(&said.err, "wrong.ini:3: ");
    words_has(&said.err, "did you mean state?");
    PF_RUN(&said, PF_POCKETFEDD, "--state", d->state, "--listen", "127.0.0.1:0",
           "--ops-listen", "127.0.0.1:0");
    assert_int_equal(said.code, 1); /* that directory is being served */
    words_has(&said.err, "another pocketfedd");
    PF_RUN(&said, PF_POCKETFEDD, "--state", pf_in_dir(d, "state-2"), "--listen",
           d->listen, "--ops-listen", "127.0.0.1:0");
    assert_int_equal(said.code, 1);
    words_has(&said.err, "is taken by pocketfedd");
    pf_testdaemon_stop(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_is_read_from_stdin_argument_and_file),
        cmocka_unit_test(the_device_folder_is_private),
        cmocka_unit_test(two_processes_do_not_share_a_folder),
        cmocka_unit_test(a_missing_daemon_is_named_with_where_it_was_sought),
        cmocka_unit_test(a_wrong_configuration_names_file_and_line),
        cmocka_unit_test(the_daemon_explains_itself_too),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
