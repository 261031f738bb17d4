/* faults.c - what a machine does to a daemon while devices take part: no room,
 * no writing, errors from the disk, a clock that jumps, a locked database.
 * After each it goes on, or says why it does not and goes on when the cause is
 * gone; and all that was acknowledged is counted once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "bed.h"
#include "proc.h"

#define FOR_EVER UINT64_MAX
#define ALL      (CRASH_WRITE | CRASH_SYNC | CRASH_NAME)

static int may_mount; /* this process has a mount table of its own */

/* ---- no room ----------------------------------------------------------- */

static void needs_mount(void)
{
    if (may_mount)
        return;
    print_message("skipped: this process may not mount a file system\n");
    skip();
}

/* Takes all the room that is left. */
static void fill(const char *path)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    while (write(fd, zeros, 1) > 0)
        ;
    close(fd);
}

static void a_full_disk_costs_nothing_that_was_acknowledged(void **state)
{
    char path[160];
    int round;

    (void)state;
    needs_mount();
    bed_set_up_on("size=4m");
    snprintf(path, sizeof path, "%s/filler", bed.v.disk);
    for (round = 0; round < 3; round++) {
        fill(path);
        pf_nap(300);
        if (victim_wait(&bed.v, 3000) == -1) { /* it has refused and lives */
            assert_true(pf_file_says(bed.v.d.log, "no room for an update"));
        } else {
            assert_true(pf_file_says(bed.v.d.log, "full") ||
                        pf_file_says(bed.v.d.log, "No space left"));
            bed_holds(NULL);
            fill(path);
            victim_spawn(&bed.v); /* it says so again, sooner or later */
            assert_int_equal(victim_wait(&bed.v, BED_DIES_MS), 1);
            assert_true(pf_file_says(bed.v.d.log, "full") ||
                        pf_file_says(bed.v.d.log, "No space left"));
            assert_true(pf_file_says(bed.v.d.log, "free some space there"));
        }
        assert_int_equal(unlink(path), 0);
        if (bed.v.d.pid == 0)
            bed_start_again();
        bed_goes_on();
    }
    bed_stops_in_order();
}

/* The same without a file system of our own: the calls fail, one after the
 * other, each time a little later. */
static void enospc_at_any_write_costs_nothing(void **state)
{
    static const char *const places[] = {".seg", "-wal", "objects/", "state"};
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        victim_fail(&bed.v, CRASH_WRITE, places[i], ENOSPC, 3 * i, FOR_EVER);
        if (i == 0) {
            pf_await_text(bed.v.d.log, "no room for an update", 5000);
            victim_fail(&bed.v, 0, "", 0, 0, 0);
            bed_goes_on(); /* it only refused */
            continue;
        }
        bed_dies_saying("stopping");
        bed_start_again();
        bed_goes_on();
    }
    bed_stops_in_order();
}

/* ---- no writing -------------------------------------------------------- */

static void a_disk_that_turns_read_only_ends_the_daemon(void **state)
{
    (void)state;
    victim_fail(&bed.v, ALL, "state", EROFS, 0, FOR_EVER);
    bed_dies_saying("stopping");
    victim_reset(&bed.v);
    victim_fail(&bed.v, ALL, "state", EROFS, 0, FOR_EVER);
    bed_does_not_start_saying("Read-only file system");
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

static void a_read_only_mount_keeps_it_from_starting(void **state)
{
    (void)state;
    needs_mount();
    bed_set_up_on("size=32m");
    bed_crash();
    assert_int_equal(
        mount(NULL, bed.v.disk, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    bed_does_not_start_saying("Read-only file system");
    assert_int_equal(mount(NULL, bed.v.disk, NULL, MS_REMOUNT, NULL), 0);
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

/* ---- errors from the disk ---------------------------------------------- */

static void eio_on_write_is_no_acknowledgement(void **state)
{
    static const char *const places[] = {"-wal", "objects/", "journal/1/"};
    unsigned i;

    (void)state;
    victim_fail(&bed.v, CRASH_WRITE, ".seg", EIO, 2, 5);
    pf_await_text(bed.v.d.log, "update task=crash", 5000);
    bed_goes_on(); /* those were refused, and came again */
    for (i = 0; i < 3; i++) {
        /* a segment that cannot be removed is in nobody's way: only making
         * one must not fail */
        victim_fail(&bed.v, i == 2 ? CRASH_NAME : CRASH_WRITE, places[i], EIO,
                    i, i == 2 ? FOR_EVER : 1);
        bed_dies_saying("stopping");
        bed_start_again();
        bed_goes_on();
    }
    bed_stops_in_order();
}

/* The second sync would succeed; nobody may ask for it. */
static void eio_on_fsync_ends_the_daemon_and_is_not_tried_again(void **state)
{
    static const char *const places[] = {".seg", "-wal", "objects/",
                                         "journal/1"};
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        victim_fail(&bed.v, CRASH_SYNC, places[i], EIO, 3 + i, 1);
        bed_dies_saying("stopping");
        assert_int_equal(atomic_load(&bed.v.c->failed), 1);
        assert_int_equal(atomic_load(&bed.v.c->retried), 0);
        bed_start_again();
        bed_goes_on();
    }
    /* and when the log moves into the database, which it does when idle */
    victim_fail(&bed.v, CRASH_SYNC, "pocketfed.db", EIO, 0, 1);
    atomic_store(&bed.v.c->fail_skip, 0);
    fleet_pause(&bed.f);
    bed_dies_saying("stopping");
    assert_int_equal(atomic_load(&bed.v.c->retried), 0);
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

/* ---- the clock --------------------------------------------------------- */

static void restart_with_clock(int days)
{
    bed_crash();
    victim_reset(&bed.v);
    atomic_store(&bed.v.c->clock_s, days * 86400LL);
    victim_start(&bed.v);
    fleet_go_on(&bed.f);
}

/* Set back within the first minutes of a daemon's life: whatever devices sign
 * now might be what was sent to it before its start. They are told to wait and
 * nothing is lost (docs/OPERATIONS.md). */
static void stands_still(void)
{
    size_t before;

    pf_nap(300);
    before = book_n_acks(&bed.f.book);
    pf_nap(500);
    assert_int_equal(book_n_acks(&bed.f.book), before);
    assert_true(pf_alive(bed.v.d.pid));
}

static void a_clock_that_jumps_a_day_changes_no_round(void **state)
{
    unsigned k, corrected;

    (void)state;
    atomic_store(&bed.v.c->clock_s, 86400); /* a day ahead, under way */
    bed_goes_on();
    restart_with_clock(1);
    bed_goes_on();
    atomic_store(&bed.v.c->clock_s, 0); /* a day back */
    stands_still();
    restart_with_clock(-1); /* another day back */
    bed_goes_on();
    atomic_store(&bed.v.c->clock_s, 0); /* and ahead again */
    bed_goes_on();
    fleet_stop(&bed.f);
    for (k = 0, corrected = 0; k < bed.f.n_devices; k++)
        corrected += bed.f.device[k].offset_s > 0;
    assert_int_equal(corrected, bed.f.n_devices); /* each was told the time */
    pf_testdaemon_stop(&bed.v.d);
    bed_holds(
        NULL); /* which knows no round that was abandoned or closed early */
}

/* ---- a locked database ------------------------------------------------- */

static sqlite3 *lock_database(void)
{
    char path[160];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/pocketfed.db", bed.v.d.state);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
                     SQLITE_OK);
    return db;
}

static void unlock_database(sqlite3 *db)
{
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
}

static void a_locked_database_is_waited_for_but_not_for_ever(void **state)
{
    sqlite3 *db = lock_database();
    size_t before;

    (void)state;
    pf_nap(300);
    before = book_n_acks(&bed.f.book);
    pf_nap(700);
    assert_int_equal(book_n_acks(&bed.f.book), before); /* nobody is answered */
    unlock_database(db);
    bed_goes_on();
    db = lock_database();
    pf_nap(100);
    before = book_n_acks(&bed.f.book);
    bed_dies_saying("database is locked");
    assert_int_equal(book_n_acks(&bed.f.book), before);
    unlock_database(db);
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

/* ---- */

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return;
    fputs(text, file);
    fclose(file);
}

/* As root, or as the root of a user namespace. */
static int own_mounts(void)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();

    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return 0;
        write_text("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1\n", uid);
        write_text("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %u 1\n", gid);
        write_text("/proc/self/gid_map", map);
    }
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)
#define MOUNTED(name) cmocka_unit_test_teardown(name, bed_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOUNTED(a_full_disk_costs_nothing_that_was_acknowledged),
        TEST(enospc_at_any_write_costs_nothing),
        TEST(a_disk_that_turns_read_only_ends_the_daemon),
        MOUNTED(a_read_only_mount_keeps_it_from_starting),
        TEST(eio_on_write_is_no_acknowledgement),
        TEST(eio_on_fsync_ends_the_daemon_and_is_not_tried_again),
        TEST(a_clock_that_jumps_a_day_changes_no_round),
        TEST(a_locked_database_is_waited_for_but_not_for_ever),
    };

    may_mount = own_mounts();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
