/* What devices can prove, offline, about the rounds that they took part in; a
 * new record key between rounds; a database that somebody changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "file.h"
#include "json.h"
#include "proc.h"
#include "testdevice.h"

#define DEVICES 2

static struct fleet {
    struct pf_testdaemon d;
    struct pf_testdevice v[DEVICES];
} f;

static void join(unsigned k, const char *name)
{
    char shard[160];

    snprintf(shard, sizeof shard, "%s.shard", pf_in_dir(&f.d, name));
    pf_make_images(shard, "train", 60, 100 + k);
    pf_testdevice_join(&f.v[k], &f.d, "t", name, k, shard);
}

static int set_up(void **state)
{
    (void)state;
    pf_testdaemon_init(&f.d);
    pf_isolate(f.d.dir);
    pf_testdaemon_start(&f.d);
    pf_testdaemon_task(&f.d, "t",
                       "{\"name\":\"t\",\"seed\":5,\"model\":\"logreg\","
                       "\"train\":{\"epochs\":1,\"batch\":20},"
                       "\"round\":{\"select\":{\"min\":2,\"max\":2},"
                       "\"collect\":{\"min\":2,\"max\":2},"
                       "\"poll_min_s\":0.05,\"poll_max_s\":0.1},"
                       "\"stop\":{\"rounds\":9}}");
    join(0, "one");
    join(1, "two");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_kill_all();
    f.d.pid = 0;
    pf_testdaemon_end(&f.d);
    memset(&f, 0, sizeof f);
    return 0;
}

/* One update of each device, sent at once; the exit codes. */
static void both_train(int code[DEVICES])
{
    unsigned k;

    for (k = 0; k < DEVICES; k++)
        f.v[k].pid = pf_spawn((const char *const[]){PF_POCKETFED, "train",
                                                    "--data", f.v[k].shard,
                                                    "--dir", f.v[k].dir, NULL},
                              f.v[k].log);
    for (k = 0; k < DEVICES; k++)
        code[k] = pf_testdevice_wait(&f.v[k], 30000, NULL);
}

static void a_round(uint64_t round)
{
    int64_t end = pf_now_ms() + 20000 * PF_SLOW;
    struct pf_task_status t;
    int code[DEVICES];

    both_train(code);
    for (unsigned k = 0; k < DEVICES; k++)
        assert_int_equal(code[k], 0);
    do {
        pf_nap(10);
        pf_task_now(&f.d, "t", &t);
    } while (t.published < round && pf_now_ms() < end);
    assert_int_equal(t.published, round);
}

/* ---- asking verify ----------------------------------------------------- */

static int verify(unsigned k, struct pf_run *r)
{
    PF_CLI(r, "verify", "--dir", f.v[k].dir, "--json");
    return r->code;
}

static int64_t number(const struct pf_run *r, const char *key)
{
    struct pf_json_doc *doc = NULL;
    int64_t n = -1;

    if (pf_json_parse(pf_buf_str(&r->out), r->out.len, &doc, NULL) ||
        !pf_json_integer(pf_json_get(pf_json_root(doc), key), 0, 1 << 20, &n))
        fail_msg("no %s in %s", key, pf_buf_str(&r->out));
    pf_json_free(doc);
    return n;
}

static void proves(unsigned k, int64_t updates, int64_t proved,
                   int64_t rotations)
{
    struct pf_run r = {0};

    if (verify(k, &r) != 0)
        fail_msg("device %u: %s", k, pf_buf_str(&r.out));
    assert_int_equal(number(&r, "updates"), updates);
    assert_int_equal(number(&r, "proved"), proved);
    assert_int_equal(number(&r, "rotations"), rotations);
    assert_int_equal(number(&r, "evidence"), 0);
    pf_run_free(&r);
}

static const char *in_device(unsigned k, const char *name)
{
    static char path[4][400];
    static int i;

    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", f.v[k].dir, name);
    return path[i];
}

/* Turns one bit in the middle of a file, asks, turns it back. */
static int verify_with_a_bit_turned(unsigned k, const char *name)
{
    char path[400];
    struct pf_run r = {0};
    struct pf_buf b = {0};
    int code;

    snprintf(path, sizeof path, "%s", in_device(k, name));
    pf_slurp(path, &b);
    assert_true(b.len > 0);
    b.data[b.len / 2] ^= 1;
    assert_int_equal(pf_file_replace(path, b.data, b.len, 0600, NULL), 0);
    code = verify(k, &r);
    b.data[b.len / 2] ^= 1;
    assert_int_equal(pf_file_replace(path, b.data, b.len, 0600, NULL), 0);
    pf_run_free(&r);
    pf_buf_free(&b);
    return code;
}

/* The newest model file of a device. */
static void model_of(unsigned k, char name[100])
{
    struct pf_json_doc *doc = NULL;
    struct pf_buf b = {0};

    pf_slurp(in_device(k, "counters.json"), &b);
    assert_int_equal(pf_json_parse(pf_buf_str(&b), b.len, &doc, NULL), 0);
    snprintf(
        name, 100, "objects/%s",
        pf_json_text(pf_json_first(pf_json_get(pf_json_root(doc), "models"))));
    pf_json_free(doc);
    pf_buf_free(&b);
}

/* ---- the tests --------------------------------------------------------- */

static void devices_verify_their_rounds_without_the_server(void **state)
{
    static const char *const kept[] = {"receipts.jsonl", "proofs.jsonl"};
    struct pf_run r = {0};
    char model[100];

    (void)state;
    for (uint64_t round = 1; round <= 3; round++)
        a_round(round);
    pf_testdaemon_stop(&f.d);
    for (unsigned k = 0; k < DEVICES; k++) {
        proves(k, 3, 2, 0); /* the third is proved at the next visit */
        model_of(k, model);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(verify_with_a_bit_turned(k, kept[i]), 8);
        assert_int_equal(verify_with_a_bit_turned(k, model), 8);
        proves(k, 3, 2, 0);
    }
    /* The base of round 3 is what the record of round 2 names. */
    PF_CLI(&r, "verify", "--dir", f.v[0].dir, "--model", in_device(0, model));
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(pf_buf_str(&r.out), "the model of round 2"));
    PF_CLI(&r, "verify", "--dir", f.v[0].dir, "--model",
           in_device(0, "server.json"));
    assert_int_equal(r.code, 8);
    PF_CLI(&r, "verify", "--dir", f.v[0].dir, "--record",
           in_device(0, "proofs.jsonl"), "--record",
           in_device(1, "proofs.jsonl"));
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(pf_buf_str(&r.out), "2 records"));
    pf_run_free(&r);
}

static void rotate_key(void)
{
    struct pf_run r = {0};

    PF_RUN(&r, PF_POCKETFEDD, "rotate-key", "--state", f.d.state);
    assert_int_equal(r.code, 1); /* the daemon runs */
    pf_testdaemon_stop(&f.d);
    PF_RUN(&r, PF_POCKETFEDD, "rotate-key", "--state", f.d.state);
    if (r.code != 0)
        fail_msg("%s", pf_buf_str(&r.err));
    pf_run_free(&r);
    pf_testdaemon_start(&f.d);
}

static void devices_follow_a_new_record_key(void **state)
{
    struct pf_run r = {0};
    char link[512], dir[200];

    (void)state;
    a_round(1);
    pf_test_link(&f.d, "t", 7, link); /* names the first key */
    rotate_key();
    a_round(2);
    rotate_key();
    rotate_key();
    a_round(3);
    a_round(4);
    for (unsigned k = 0; k < DEVICES; k++) {
        proves(k, 4, 3, 3);
        assert_int_equal(verify_with_a_bit_turned(k, "rotations.jsonl"), 8);
    }
    snprintf(dir, sizeof dir, "%s", pf_in_dir(&f.d, "late"));
    pf_run(
        &r, link,
        (const char *const[]){PF_POCKETFED, "join", "-", "--dir", dir, NULL});
    if (r.code != 0)
        fail_msg("%s", pf_buf_str(&r.err));
    PF_CLI(&r, "verify", "--dir", dir, "--json");
    assert_int_equal(r.code, 0);
    assert_int_equal(number(&r, "rotations"), 3);
    pf_run_free(&r);
}

/* SQL behind a stopped daemon's back. */
static void tamper(const char *sql)
{
    char path[160], *why = NULL;
    sqlite3 *db = NULL;

    snprintf(path, sizeof path, "%s/pocketfed.db", f.d.state);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_close(db);
}

static void devices_notice_a_record_that_was_replaced(void **state)
{
    int code[DEVICES];
    struct pf_run r = {0};

    (void)state;
    for (uint64_t round = 1; round <= 3; round++)
        a_round(round);
    pf_testdaemon_stop(&f.d);
    tamper("UPDATE round_records SET body = CAST(replace(CAST(body AS TEXT), "
           "'published', 'abandoned') AS BLOB) WHERE round = 1");
    pf_testdaemon_start(&f.d);
    both_train(code);
    for (unsigned k = 0; k < DEVICES; k++) {
        assert_int_equal(code[k], 8);
        assert_true(pf_file_says(f.v[k].log, "history was rewritten"));
        /* What was told is kept, and shown. */
        assert_int_equal(verify(k, &r), 8);
        assert_int_equal(number(&r, "evidence"), 1);
        assert_int_equal(number(&r, "proved"), 2);
    }
    pf_run_free(&r);
}

static void devices_notice_a_leaf_that_was_changed(void **state)
{
    int code[DEVICES];

    (void)state;
    a_round(1);
    pf_testdaemon_stop(&f.d);
    tamper("UPDATE leaves SET weight = weight + 1 WHERE round = 1 AND "
           "place = 0");
    pf_testdaemon_start(&f.d);
    both_train(code);
    for (unsigned k = 0; k < DEVICES; k++) {
        assert_int_equal(code[k], 8);
        assert_true(pf_file_says(f.v[k].log, "the proof of round 1"));
    }
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(devices_verify_their_rounds_without_the_server),
        TEST(devices_follow_a_new_record_key),
        TEST(devices_notice_a_record_that_was_replaced),
        TEST(devices_notice_a_leaf_that_was_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
