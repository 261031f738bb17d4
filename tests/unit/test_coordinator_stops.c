/* What ends the daemon, or keeps it from starting: a store that does not write
 * and bytes that are not what was acknowledged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core.h"
#include "text.h"
#include "tmpdir.h"

static struct core k;

static struct pf_ack take_part(struct pf_live_task *t, int i)
{
    struct pf_ack ack;

    assert_true(core_take_part(&k, t, i, &ack));
    return ack;
}

static void break_store(const char *sql)
{
    char path[300];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/pocketfed.db", k.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void a_failed_transaction_answers_nobody(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 1, ""));
    struct pf_ack ack;
    struct pf_answer a;

    (void)state;
    take_part(t, 0);
    break_store("CREATE TRIGGER t BEFORE INSERT ON records BEGIN "
                "SELECT raise(ABORT, 'no'); END;");
    assert_false(core_checkin(&k, t, 1, &a));
    assert_int_equal(k.n_fatal, 1);
    assert_non_null(strstr(k.fatal, "write a record"));
    core_close(&k);
    break_store("DROP TRIGGER t;");
    core_open(&k, k.dir);
    t = pf_coordinator_task(k.c, "a");
    assert_int_equal(
        pf_reader_ack(k.reader, t->stored.id, 1, core_device(0).id, &ack),
        POCKETFED_OK);
    take_part(t, 1);
    take_part(t, 2);
    assert_true(core_wait(&k, t, 1));
    assert_int_equal(core_check_models(&k, t, 3), 1);
}

/* Starts, which must fail with a sentence about device 0's update. */
static void does_not_start(const char *why)
{
    struct pf_error err = {0};

    assert_int_equal(core_try_open(&k, k.dir, &err), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "task a round 1: "));
    assert_non_null(
        strstr(err.text, "device 01010101010101010101010101010101 is lost"));
    assert_non_null(strstr(err.text, why));
    core_close(&k);
}

static void refuses_to_start_without_an_acknowledged_update(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 1, ""));
    char path[300], byte = 0;
    FILE *f;

    take_part(t, 0);
    core_close(&k);
    snprintf(path, sizeof path, "%s/journal/1/1.seg", k.dir);
    f = fopen(path, "r+b"); /* one bit in the middle */
    assert_non_null(f);
    assert_int_equal(fseek(f, 300, SEEK_SET), 0);
    assert_int_equal(fread(&byte, 1, 1, f), 1);
    byte ^= 1;
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    assert_int_equal(fwrite(&byte, 1, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    does_not_start("its bytes have changed");
    assert_int_equal(truncate(path, 0), 0);
    does_not_start("1.seg ends at byte 0");
    pf_tmpdir_remove(k.dir);
    core_set_up(state);
}

static void refuses_to_start_without_a_plan(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 1, ""));
    struct pf_error err = {0};
    char hex[65], path[400], away[410];

    (void)state;
    pf_hex(t->stored.plan, 32, hex);
    core_close(&k);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", k.dir, hex, hex);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(core_try_open(&k, k.dir, &err), POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, "task a"));
    assert_non_null(strstr(err.text, hex));
    core_close(&k);
    assert_int_equal(rename(away, path), 0);
    core_open(&k, k.dir);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, core_set_up, core_tear_down, &k)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_transaction_answers_nobody),
        TEST(refuses_to_start_without_an_acknowledged_update),
        TEST(refuses_to_start_without_a_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
