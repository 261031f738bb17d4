/* What the admin is shown when the store holds what no JSON can say. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <cmocka.h>

#include "edge.h"

static struct edge e;

static int set_up(void **state)
{
    (void)state;
    edge_start(&e);
    edge_task(&e, 2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    edge_stop(&e);
    return 0;
}

/* SQL behind the daemon's back. */
static void change(const char *sql)
{
    char path[300];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/pocketfed.db", e.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void fails(const char *path)
{
    struct edge_reply r;

    edge_admin(&e, "GET", path, NULL, &r);
    edge_expect(&r, 500, PF_PROBLEM_INTERNAL);
    edge_forget(&r);
}

static void a_round_with_an_infinite_loss_is_an_error(void **state)
{
    (void)state;
    change("INSERT INTO rounds(task, round, phase, base, opened_ms, last_ms, "
           "train_loss) VALUES(1, 7, 'published', x'00', 0, 0, 9e999)");
    fails("/admin/v1/tasks/t/rounds");
    fails("/admin/v1/tasks/t/rounds/7");
}

static void a_task_with_an_infinite_loss_is_an_error(void **state)
{
    struct pf_config config = e.daemon.config;
    struct pf_error err = {0};

    (void)state;
    pf_daemon_stop(&e.daemon);
    change("INSERT INTO records(task, round, kind, at_ms, test_loss, "
           "test_accuracy) VALUES(1, 1, 9, 0, 9e999, 0.5)");
    config.log_level = PF_LOG_ERROR;
    assert_int_equal(pf_daemon_start(&e.daemon, &config, &err), POCKETFED_OK);
    fails("/admin/v1/tasks");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_round_with_an_infinite_loss_is_an_error),
        TEST(a_task_with_an_infinite_loss_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
