/* pocketfedd audit: each step is taken again, and what was changed behind the
 * store's back is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "audit.h"
#include "core.h"
#include "tmpdir.h"

#define ALL  ",\"keep\":{\"updates\":\"all\"}"
#define NONE ""

static struct core k;
static char dir[256];
static struct pf_key *key; /* the record key of the closed core */
static struct pf_audit_task said;

/* Three rounds of devices 0, 1 and 2; the core is closed, its directory and key
 * stay. */
static void three_rounds(const char *file)
{
    struct pf_live_task *t = core_begin(&k, file);
    uint8_t raw[PF_PUBLIC_MAX];
    struct pf_ack ack;
    uint64_t round;
    int i;

    for (round = 1; round <= 3; round++) {
        for (i = 0; i < 3; i++)
            assert_int_equal(core_take_part(&k, t, i, &ack), 1);
        assert_true(core_wait(&k, t, round));
    }
    memcpy(dir, k.dir, sizeof dir);
    pf_key_public(k.key, raw);
    assert_int_equal(pf_key_from_public(PF_KEY_ED25519, raw, 32, &key), 0);
    core_close(&k);
}

static void note(void *ctx, const struct pf_audit_task *t)
{
    (void)ctx;
    said = *t;
}

static int audit(void)
{
    struct pf_audit a = {.state_dir = dir, .record_key = key, .task = note};
    struct pf_error err = {0};
    int verdict = -1;

    memset(&said, 0, sizeof said);
    if (pf_audit_run(&a, &verdict, &err) != POCKETFED_OK)
        fail_msg("no audit: %s", err.text);
    return verdict;
}

static void change(const char *sql)
{
    char path[300];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/pocketfed.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_true(sqlite3_changes(db) > 0);
    sqlite3_close(db);
}

static void differs(uint64_t round, const char *why)
{
    assert_int_equal(audit(), 1);
    assert_int_equal(said.differs, round);
    if (!strstr(said.why, why))
        fail_msg("\"%s\" does not say \"%s\"", said.why, why);
}

static void kept_updates_give_every_state_again(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    assert_int_equal(audit(), 0);
    assert_int_equal(said.rounds[PF_AUDIT_UPDATES], 3);
    assert_int_equal(said.rounds[PF_AUDIT_SUMS], 0);
}

static void without_updates_the_sums_give_every_state(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, NONE));
    assert_int_equal(audit(), 3);
    assert_int_equal(said.rounds[PF_AUDIT_UPDATES], 0);
    assert_int_equal(said.rounds[PF_AUDIT_SUMS], 3);
}

static void of_updates_that_stay_for_a_round_the_newest_are_there(void **state)
{
    (void)state;
    three_rounds(
        CORE_TASK("a", 9, ",\"keep\":{\"updates\":\"1 rounds\",\"sums\":2}"));
    assert_int_equal(audit(), 3);
    assert_int_equal(said.rounds[PF_AUDIT_UPDATES], 1);
    assert_int_equal(said.rounds[PF_AUDIT_SUMS], 1);
    assert_int_equal(said.rounds[PF_AUDIT_RECORD], 1);
}

#define ASYNC                                                                  \
    "{\"name\":\"a\",\"model\":{\"version\":1,\"input\":[1,4,4],"              \
    "\"loss\":\"softmax_cross_entropy\",\"layers\":["                          \
    "{\"name\":\"flatten\",\"type\":\"flatten\"},"                             \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]},"                      \
    "\"round\":{\"policy\":\"async\",\"divide\":\"discounted\","               \
    "\"select\":{\"max\":3},\"collect\":{\"min\":2,\"max\":2},"                \
    "\"poll_min_s\":0.01,\"poll_max_s\":0.02}" ALL "}"

/* Device 2 is always late by a model. */
static void stale_updates_give_every_state_again(void **state)
{
    struct pf_live_task *t = core_begin(&k, ASYNC);
    struct pf_answer late, out;
    uint8_t raw[PF_PUBLIC_MAX];
    struct pf_ack ack;
    unsigned lap;
    int i;

    (void)state;
    for (lap = 0; lap < 3; lap++) {
        assert_int_equal(core_checkin(&k, t, 2, &late), 1);
        assert_int_equal(late.u.checkin.kind, PF_CHECKIN_TRAIN);
        for (i = 0; i < 2; i++)
            assert_int_equal(core_take_part(&k, t, i, &ack), 1);
        assert_true(core_wait(&k, t, 2 * lap + 1));
        assert_int_equal(core_upload(&k, t, late.u.checkin.round,
                                     late.u.checkin.base, 2, 0, &out),
                         1);
        assert_int_equal(out.kind, PF_ANSWER_ACK);
        assert_true(out.u.ack.counted > out.u.ack.round);
        assert_int_equal(core_take_part(&k, t, 0, &ack), 1);
        assert_true(core_wait(&k, t, 2 * lap + 2));
    }
    memcpy(dir, k.dir, sizeof dir);
    pf_key_public(k.key, raw);
    assert_int_equal(pf_key_from_public(PF_KEY_ED25519, raw, 32, &key), 0);
    core_close(&k);
    assert_int_equal(audit(), 0);
    assert_int_equal(said.rounds[PF_AUDIT_UPDATES], 6);
    change("UPDATE records SET staleness = 0 WHERE kind = 4 AND staleness > 0 "
           "AND round = 2");
    differs(2, "tree of updates");
}

static void a_rollback_is_a_link_of_the_chain(void **state)
{
    struct pf_live_task *t;
    struct pf_job job = {0};

    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    pf_key_free(key);
    core_open(&k, dir);
    t = pf_coordinator_task(k.c, "a");
    job.kind = PF_JOB_TASK_SET;
    job.task = t;
    job.u.set.command = PF_CMD_ROLLBACK;
    job.u.set.source = 1;
    core_run(&k, &job);
    assert_int_equal(job.problem.id, PF_PROBLEM_NONE);
    key = k.key;
    k.key = NULL;
    core_close(&k);
    /* The first three are signed by a key that nothing leads to. */
    assert_int_equal(audit(), 1);
    assert_int_equal(said.differs, 1);
    change("DELETE FROM round_records WHERE round <= 3");
    assert_int_equal(audit(), 1); /* the chain does not begin there */
    assert_int_equal(said.unsealed, 3);
}

static void another_model_is_found(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    change("UPDATE records SET model = zeroblob(32) WHERE kind = 7 AND "
           "round = 2");
    differs(2, "another model");
}

static void another_weight_is_found(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    change("UPDATE records SET weight = weight + 1 WHERE kind = 4 AND "
           "round = 3 AND ordinal = 1");
    differs(3, "tree of updates");
}

static void an_update_that_was_taken_out_is_found(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    change("DELETE FROM records WHERE kind = 4 AND round = 1 AND ordinal = 2");
    differs(1, "number of updates");
}

static void a_leaf_that_was_changed_is_found(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    change("UPDATE leaves SET weight = 7 WHERE round = 2 AND place = 0");
    differs(2, "leaves");
}

static void a_record_of_somebody_elses_key_is_found(void **state)
{
    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    change("UPDATE round_records SET signature = zeroblob(64) WHERE round = 2");
    differs(2, "not signed");
}

static void a_byte_of_a_kept_update_is_missed(void **state)
{
    char path[300], byte;
    int fd;

    (void)state;
    three_rounds(CORE_TASK("a", 9, ALL));
    snprintf(path, sizeof path, "%s/journal/1/2.seg", dir);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 300), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 300), 1);
    close(fd);
    differs(2, "digest");
}

static void a_task_that_is_not_there_is_said(void **state)
{
    struct pf_audit a = {.task = note, .only = "nosuch"};
    struct pf_error err = {0};
    int verdict = 0;

    (void)state;
    three_rounds(CORE_TASK("a", 9, NONE));
    a.state_dir = dir;
    a.record_key = key;
    assert_int_equal(pf_audit_run(&a, &verdict, &err), POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, "nosuch"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static int set_up(void **state)
{
    *state = &k;
    return core_set_up(state);
}

static int tear_down(void **state)
{
    if (k.c) /* the test failed early */
        return core_tear_down(state);
    pf_key_free(key);
    key = NULL;
    pf_tmpdir_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kept_updates_give_every_state_again),
        TEST(without_updates_the_sums_give_every_state),
        TEST(of_updates_that_stay_for_a_round_the_newest_are_there),
        TEST(stale_updates_give_every_state_again),
        TEST(a_rollback_is_a_link_of_the_chain),
        TEST(another_model_is_found),
        TEST(another_weight_is_found),
        TEST(an_update_that_was_taken_out_is_found),
        TEST(a_leaf_that_was_changed_is_found),
        TEST(a_record_of_somebody_elses_key_is_found),
        TEST(a_byte_of_a_kept_update_is_missed),
        TEST(a_task_that_is_not_there_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
