/* Devices that go, over TLS: an operator shuts them out, or they leave; what
 * they had in hand is another's, and a daemon that is killed forgets nothing of
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "testdevice.h"
#include "words.h"

static struct pf_testdaemon *const d = &words_daemon;

/* A round of `n` that waits for them for an hour. */
#define TASK(NAME, N, EPOCHS)                                                  \
    "{\"name\":\"" NAME "\",\"model\":\"logreg\","                             \
    "\"train\":{\"epochs\":" EPOCHS "},"                                       \
    "\"round\":{\"select\":{\"min\":" N ",\"max\":" N ",\"max_s\":3600},"      \
    "\"collect\":{\"min\":" N ",\"max\":" N ",\"max_s\":3600},"                \
    "\"poll_min_s\":0.05,\"poll_max_s\":0.1},\"stop\":{\"rounds\":1}}"

static int setup(void **state)
{
    (void)state;
    pf_testdaemon_init(d);
    pf_isolate(d->dir);
    pf_make_images(pf_in_dir(d, "data"), "train", 200, 1);
    pf_make_images(pf_in_dir(d, "much"), "train", 5000, 1);
    pf_testdaemon_start(d);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    words_end();
    return 0;
}

static void joins(struct pf_testdevice *v, const char *task, const char *name,
                  unsigned ordinal)
{
    pf_testdevice_join(v, d, task, name, ordinal, pf_in_dir(d, "data"));
}

/* `pocketfed COMMAND TASK DEVICE` on the server's machine. */
static void operator(const char *command, const char *task, const char *device)
{
    PF_CLI(&said, "device", command, task, device, "--socket", d->socket);
}

/* The id that the operator is shown for an ordinal. */
static void id_of(const char *task, const char *ordinal, char out[33])
{
    struct pf_json_doc *doc = NULL;

    PF_CLI(&said, "device", "show", task, ordinal, "--json", "--socket",
           d->socket);
    assert_int_equal(said.code, 0);
    assert_int_equal(words_json(&said.out, &doc), 1);
    snprintf(out, 33, "%s",
             pf_json_text(pf_json_get(pf_json_root(doc), "device")));
    pf_json_free(doc);
    assert_int_equal(strlen(out), 32);
}

static int is_there(const char *dir, const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void the_place_of_a_revoked_device_is_another_ones(void **state)
{
    struct pf_testdevice lost, other;
    struct pf_round_status r;

    (void)state;
    /* so much that they are killed in the midst of it */
    pf_testdaemon_task(d, "one", TASK("one", "1", "1000"));
    pf_testdevice_join(&lost, d, "one", "lost", 0, pf_in_dir(d, "much"));
    pf_testdevice_train(&lost);
    pf_await_text(lost.log, "\"assigned\"", 10000);
    pf_end(lost.pid);
    pf_testdevice_join(&other, d, "one", "other", 1, pf_in_dir(d, "much"));
    operator("revoke", "one", "0");
    assert_int_equal(said.code, 0);
    words_has(&said.out, " revoked");
    pf_testdaemon_crash(d); /* what was said is so */
    pf_testdaemon_start(d);
    PF_CLI(&said, "train", "--data", lost.shard, "--dir", lost.dir);
    assert_int_equal(said.code, 5);
    words_has(&said.err, "revoked");
    pf_testdevice_train(&other);
    pf_await_text(other.log, "\"assigned\"", 10000);
    pf_round_now(d, "one", 1, &r);
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.assigned, 2);
    pf_end(other.pid);
}

static void what_a_revoked_device_gave_before_still_counts(void **state)
{
    struct pf_testdevice a, b;
    struct pf_task_status t;
    struct pf_round_status r;

    (void)state;
    pf_testdaemon_task(d, "two", TASK("two", "2", "1"));
    joins(&a, "two", "a", 0);
    joins(&b, "two", "b", 1);
    pf_testdevice_train(&a);
    pf_await_text(a.log, "\"accepted\"", 10000);
    operator("revoke", "two", "0");
    assert_int_equal(said.code, 0);
    assert_int_equal(pf_testdevice_wait(&a, 10000, NULL), 5);
    pf_testdevice_train(&b);
    pf_await_finish(d, "two", 20000, &t);
    assert_int_equal(pf_testdevice_wait(&b, 10000, NULL), 0);
    pf_round_now(d, "two", 1, &r);
    assert_int_equal(r.accepted, 2);
    assert_int_equal(r.failed, 0);
    assert_int_equal(t.devices, 1);
}

static void devices_are_named_by_number_id_or_its_beginning(void **state)
{
    struct pf_testdevice v;
    char id[33], start[8];

    (void)state;
    pf_testdaemon_task(d, "names", TASK("names", "2", "1"));
    joins(&v, "names", "first", 0);
    joins(&v, "names", "second", 7);
    id_of("names", "7", id);
    snprintf(start, sizeof start, "%.7s", id);
    operator("show", "names", start);
    assert_int_equal(said.code, 0);
    words_has(&said.out, id);
    words_has(&said.out, "active");
    operator("show", "names", id);
    words_has(&said.out, id);
    id_of("names", id, id);
    operator("show", "names", "6");
    assert_int_equal(said.code, 4);
    words_has(&said.err, "pocketfed device list names");
    operator("show", "names", "ab"); /* too short to mean anybody */
    assert_int_equal(said.code, 2);
    operator("show", "names", "second");
    assert_int_equal(said.code, 2);
    operator("revoke", "names", start);
    assert_int_equal(said.code, 0);
    words_has(&said.out, id);
    operator("revoke", "names", start); /* again: the same */
    assert_int_equal(said.code, 0);
    words_run("device list", "names", "--socket %admin.sock");
    assert_int_equal(said.code, 0);
    words_has(&said.out, "ORDINAL");
    words_has(&said.out, "       0 active");
    words_has(&said.out, "       7 revoked");
}

static void a_device_leaves_and_may_come_back(void **state)
{
    struct pf_testdevice v;
    char link[512];

    (void)state;
    pf_testdaemon_task(d, "leave", TASK("leave", "2", "1"));
    joins(&v, "leave", "goes", 3);
    PF_CLI(&said, "train", "--data", v.shard, "--dir", v.dir);
    assert_int_equal(said.code, 0);
    PF_CLI(&said, "leave", "--dir", v.dir);
    assert_int_equal(said.code, 0);
    words_has(&said.out, "left leave");
    assert_true(is_there(v.dir, "receipts.jsonl"));
    assert_false(is_there(v.dir, "identity.key"));
    assert_false(is_there(v.dir, "server.json"));
    assert_false(is_there(v.dir, "counters.json"));
    PF_CLI(&said, "leave", "--dir", v.dir);
    assert_int_equal(said.code, 0);
    words_has(&said.out, "is in no task");
    PF_CLI(&said, "train", "--data", v.shard, "--dir", v.dir);
    assert_int_equal(said.code, 4);
    operator("show", "leave", "3");
    words_has(&said.out, "       3 left           1      1 ");
    pf_test_link(d, "leave", -1, link);
    PF_CLI(&said, "join", link, "--dir", v.dir);
    assert_int_equal(said.code, 0);
    words_has(&said.out, "as number 0");
    operator("show", "leave", "3");
    words_has(&said.out, "left");
}

static void without_the_server_nothing_is_removed(void **state)
{
    struct pf_testdevice v;

    (void)state;
    pf_testdaemon_task(d, "away", TASK("away", "2", "1"));
    joins(&v, "away", "waits", 0);
    pf_testdaemon_stop(d);
    PF_CLI(&said, "leave", "--dir", v.dir, "--timeout", "1");
    assert_int_equal(said.code, 7);
    words_has(&said.err, "again when the server is there");
    assert_true(is_there(v.dir, "identity.key"));
    PF_CLI(&said, "train", "--data", v.shard, "--dir", v.dir);
    assert_int_equal(said.code, 4);
    words_has(&said.err, "leaving");
    pf_testdaemon_start(d);
    PF_CLI(&said, "leave", "--dir", v.dir);
    assert_int_equal(said.code, 0);
    assert_false(is_there(v.dir, "identity.key"));
    operator("show", "away", "0");
    words_has(&said.out, "left");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_place_of_a_revoked_device_is_another_ones),
        cmocka_unit_test(what_a_revoked_device_gave_before_still_counts),
        cmocka_unit_test(devices_are_named_by_number_id_or_its_beginning),
        cmocka_unit_test(a_device_leaves_and_may_come_back),
        cmocka_unit_test(without_the_server_nothing_is_removed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
