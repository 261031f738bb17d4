/* What the store and the coordinator keep, or refuse to go on without: the
 * write-ahead log, the clock, and a task only when it is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include "core.h"
#include "store_bench.h"

static void refuses_a_file_system_without_a_write_ahead_log(void **state)
{
    sqlite3_vfs *usual = sqlite3_vfs_find(NULL);
    struct bench *b = *state;
    struct pf_store *s = NULL;

    bench_close(b);
    bench_query(b, "PRAGMA journal_mode=DELETE");
    /* Locks by files beside it and shares no memory, like some mounts. */
    sqlite3_vfs_register(sqlite3_vfs_find("unix-dotfile"), 1);
    assert_int_equal(pf_store_open(b->dir, NULL, &s, &b->err),
                     POCKETFED_UNSUPPORTED);
    sqlite3_vfs_register(usual, 1);
    assert_non_null(strstr(b->err.text, b->dir));
    assert_non_null(strstr(b->err.text, "write-ahead log"));
    bench_open(b);
}

static void the_clock_goes_on_and_never_back(void **state)
{
    struct bench *b = *state;
    int64_t now = -1;

    assert_int_equal(pf_store_clock(b->s, &now, &b->err), POCKETFED_OK);
    assert_int_equal(now, 0);
    assert_int_equal(pf_store_clock_set(b->s, 7000, &b->err), POCKETFED_OK);
    assert_int_equal(pf_store_clock_set(b->s, 6000, &b->err), POCKETFED_OK);
    bench_restart(b);
    assert_int_equal(pf_store_clock(b->s, &now, &b->err), POCKETFED_OK);
    assert_int_equal(now, 7000);
}

static void a_clock_that_cannot_be_read_is_an_error(void **state)
{
    struct bench *b = *state;
    int64_t now = -1;

    bench_query(b, "DROP TABLE clock");
    assert_int_not_equal(pf_store_clock(b->s, &now, &b->err), POCKETFED_OK);
    assert_int_equal(now, -1);
    assert_non_null(strstr(b->err.text, "read the clock"));
}

/* ---- with a coordinator ------------------------------------------------ */

static struct core k;

/* Runs SQL behind the daemon's back; the number it gives, or -1. */
static int64_t query(const char *sql)
{
    sqlite3_stmt *q = NULL;
    char path[300];
    int64_t n = -1;
    sqlite3 *db;
    int rc;

    snprintf(path, sizeof path, "%s/pocketfed.db", k.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    rc = sqlite3_step(q);
    assert_true(rc == SQLITE_ROW || rc == SQLITE_DONE);
    if (rc == SQLITE_ROW)
        n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void time_without_records_is_kept_while_a_round_is_open(void **state)
{
    struct pf_live_task *t = core_add_task(&k, CORE_TASK("a", 1, ""), NULL);
    struct pf_job view;

    (void)state;
    core_view(&k, t, &view); /* the loop has gone round once since */
    assert_int_equal(query("SELECT count(*) FROM clock"), 1);
}

static void time_without_records_counts_over_a_restart(void **state)
{
    struct pf_live_task *t = core_add_task(&k, CORE_TASK("a", 1, ""), NULL);
    struct pf_job view;

    (void)state;
    query("DELETE FROM clock");
    core_close(&k); /* writes it anew */
    assert_int_equal(query("SELECT count(*) FROM clock"), 1);
    query("UPDATE clock SET ms = ms + 60000");
    core_open(&k, k.dir);
    t = pf_coordinator_task(k.c, "a");
    core_view(&k, t, &view);
    assert_true(view.u.view.has_open);
    assert_true(view.u.view.open.elapsed_ms >= 60000);
}

static void a_task_that_was_not_committed_is_nobodys(void **state)
{
    struct pf_live_task *t;

    (void)state;
    query("CREATE TRIGGER t BEFORE INSERT ON records BEGIN "
          "SELECT raise(ABORT, 'no'); END;");
    t = core_add_task(&k, CORE_TASK("a", 1, ""), NULL);
    assert_int_equal(k.n_fatal, 1);
    assert_null(pf_coordinator_task(k.c, "a"));
    pf_live_task_free(t); /* still its maker's */
}

#define STORE(f)                                                               \
    cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)
#define CORE(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, core_set_up, core_tear_down, &k)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE(refuses_a_file_system_without_a_write_ahead_log),
        STORE(the_clock_goes_on_and_never_back),
        STORE(a_clock_that_cannot_be_read_is_an_error),
        CORE(time_without_records_is_kept_while_a_round_is_open),
        CORE(time_without_records_counts_over_a_restart),
        CORE(a_task_that_was_not_committed_is_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
