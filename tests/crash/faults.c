/* faults.c - what a machine does to a daemon while devices take part: no room,
 * no writing, errors from the disk, a clock that jumps, a locked database,
 * damaged files.  After each it goes on, or says why it does not and goes on
 * when the cause is gone; and all that was acknowledged is counted once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "fleet.h"
#include "operator.h"
#include "proc.h"
#include "text.h"
#include "verify.h"

#define FOR_EVER UINT64_MAX
#define DIES_MS  (15000 * PF_SLOW)
#define ALL      (CRASH_WRITE | CRASH_SYNC | CRASH_NAME)

static struct victim v;
static struct fleet f;
static int may_mount; /* this process has a mount table of its own */

/* ---- the federation ---------------------------------------------------- */

static void set_up_on(const char *options)
{
    victim_init(&v, 0);
    if (options)
        assert_int_equal(mount("pocketfed-test", v.disk, "tmpfs", 0, options),
                         0);
    victim_start(&v);
    fleet_start(&f, &v, 1, 0);
    assert_true(fleet_await(&f, 6, 20000));
}

static int set_up(void **state)
{
    (void)state;
    set_up_on(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fleet_stop(&f);
    fleet_free(&f);
    pf_kill_all();
    v.d.pid = 0;
    umount2(v.disk, MNT_DETACH); /* when there is one */
    victim_end(&v);
    return 0;
}

/* ---- what must be true ------------------------------------------------- */

static void goes_on(void)
{
    if (!fleet_await(&f, 12, 20000)) {
        victim_show(&v);
        fail_msg("nothing goes on %s", f.book.wrong);
    }
}

/* The daemon is gone: all that was acknowledged is counted once. */
static void holds(struct verified *out)
{
    struct verified own;
    char why[600];

    if (!verify_state(v.d.state, &f.book, out ? out : &own, why, sizeof why))
        fail_msg("%s", why);
    assert_string_equal(f.book.wrong, "");
}

static void stops_in_order(void)
{
    fleet_stop(&f);
    pf_testdaemon_stop(&v.d);
    holds(NULL);
}

/* It ends by itself, saying so. */
static void dies_saying(const char *sentence)
{
    int code = victim_wait(&v, DIES_MS);

    if (code != 1 || !pf_file_says(v.d.log, sentence)) {
        victim_show(&v);
        fail_msg("it ended with %d without saying \"%s\"", code, sentence);
    }
    holds(NULL);
}

static void does_not_start_saying(const char *sentence)
{
    victim_spawn(&v);
    dies_saying("did not start");
    if (!pf_file_says(v.d.log, sentence)) {
        victim_show(&v);
        fail_msg("it did not say \"%s\"", sentence);
    }
}

static void crash(void)
{
    fleet_pause(&f);
    victim_kill(&v);
}

static void start_again(void)
{
    victim_reset(&v);
    victim_start(&v);
    fleet_go_on(&f);
}

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
    set_up_on("size=4m");
    snprintf(path, sizeof path, "%s/filler", v.disk);
    for (round = 0; round < 3; round++) {
        fill(path);
        pf_nap(300);
        if (victim_wait(&v, 3000) == -1) { /* it has refused and lives */
            assert_true(pf_file_says(v.d.log, "no room for an update"));
        } else {
            assert_true(pf_file_says(v.d.log, "full") ||
                        pf_file_says(v.d.log, "No space left"));
            holds(NULL);
            fill(path);
            victim_spawn(&v); /* it says so again, sooner or later */
            assert_int_equal(victim_wait(&v, DIES_MS), 1);
            assert_true(pf_file_says(v.d.log, "full") ||
                        pf_file_says(v.d.log, "No space left"));
            assert_true(pf_file_says(v.d.log, "free some space there"));
        }
        assert_int_equal(unlink(path), 0);
        if (v.d.pid == 0)
            start_again();
        goes_on();
    }
    stops_in_order();
}

/* The same without a file system of our own: the calls fail, one after the
 * other, each time a little later. */
static void enospc_at_any_write_costs_nothing(void **state)
{
    static const char *const places[] = {".seg", "-wal", "objects/", "state"};
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        victim_fail(&v, CRASH_WRITE, places[i], ENOSPC, 3 * i, FOR_EVER);
        if (i == 0) {
            pf_await_text(v.d.log, "no room for an update", 5000);
            victim_fail(&v, 0, "", 0, 0, 0);
            goes_on(); /* it only refused */
            continue;
        }
        dies_saying("stopping");
        start_again();
        goes_on();
    }
    stops_in_order();
}

/* ---- no writing -------------------------------------------------------- */

static void a_disk_that_turns_read_only_ends_the_daemon(void **state)
{
    (void)state;
    victim_fail(&v, ALL, "state", EROFS, 0, FOR_EVER);
    dies_saying("stopping");
    victim_reset(&v);
    victim_fail(&v, ALL, "state", EROFS, 0, FOR_EVER);
    does_not_start_saying("Read-only file system");
    start_again();
    goes_on();
    stops_in_order();
}

static void a_read_only_mount_keeps_it_from_starting(void **state)
{
    (void)state;
    needs_mount();
    set_up_on("size=32m");
    crash();
    assert_int_equal(mount(NULL, v.disk, NULL, MS_REMOUNT | MS_RDONLY, NULL),
                     0);
    does_not_start_saying("Read-only file system");
    assert_int_equal(mount(NULL, v.disk, NULL, MS_REMOUNT, NULL), 0);
    start_again();
    goes_on();
    stops_in_order();
}

/* ---- errors from the disk ---------------------------------------------- */

static void eio_on_write_is_no_acknowledgement(void **state)
{
    static const char *const places[] = {"-wal", "objects/", "journal/1/"};
    unsigned i;

    (void)state;
    victim_fail(&v, CRASH_WRITE, ".seg", EIO, 2, 5);
    pf_await_text(v.d.log, "update task=crash", 5000);
    goes_on(); /* those were refused, and came again */
    for (i = 0; i < 3; i++) {
        /* a segment that cannot be removed is in nobody's way: only making
         * one must not fail */
        victim_fail(&v, i == 2 ? CRASH_NAME : CRASH_WRITE, places[i], EIO, i,
                    i == 2 ? FOR_EVER : 1);
        dies_saying("stopping");
        start_again();
        goes_on();
    }
    stops_in_order();
}

/* The second sync would succeed; nobody may ask for it. */
static void eio_on_fsync_ends_the_daemon_and_is_not_tried_again(void **state)
{
    static const char *const places[] = {".seg", "-wal", "objects/",
                                         "journal/1"};
    unsigned i;

    (void)state;
    for (i = 0; i < 4; i++) {
        victim_fail(&v, CRASH_SYNC, places[i], EIO, 3 + i, 1);
        dies_saying("stopping");
        assert_int_equal(atomic_load(&v.c->failed), 1);
        assert_int_equal(atomic_load(&v.c->retried), 0);
        start_again();
        goes_on();
    }
    /* and when the log moves into the database, which it does when idle */
    victim_fail(&v, CRASH_SYNC, "pocketfed.db", EIO, 0, 1);
    atomic_store(&v.c->fail_skip, 0);
    fleet_pause(&f);
    dies_saying("stopping");
    assert_int_equal(atomic_load(&v.c->retried), 0);
    start_again();
    goes_on();
    stops_in_order();
}

/* ---- the clock --------------------------------------------------------- */

static void restart_with_clock(int days)
{
    crash();
    victim_reset(&v);
    atomic_store(&v.c->clock_s, days * 86400LL);
    victim_start(&v);
    fleet_go_on(&f);
}

/* Set back within the first minutes of a daemon's life: whatever devices sign
 * now might be what was sent to it before its start. They are told to wait and
 * nothing is lost (docs/OPERATIONS.md). */
static void stands_still(void)
{
    size_t before;

    pf_nap(300);
    before = book_n_acks(&f.book);
    pf_nap(500);
    assert_int_equal(book_n_acks(&f.book), before);
    assert_true(pf_alive(v.d.pid));
}

static void a_clock_that_jumps_a_day_changes_no_round(void **state)
{
    unsigned k, corrected;

    (void)state;
    atomic_store(&v.c->clock_s, 86400); /* a day ahead, under way */
    goes_on();
    restart_with_clock(1);
    goes_on();
    atomic_store(&v.c->clock_s, 0); /* a day back */
    stands_still();
    restart_with_clock(-1); /* another day back */
    goes_on();
    atomic_store(&v.c->clock_s, 0); /* and ahead again */
    goes_on();
    fleet_stop(&f);
    for (k = 0, corrected = 0; k < f.n_devices; k++)
        corrected += f.device[k].offset_s > 0;
    assert_int_equal(corrected, f.n_devices); /* each was told the time */
    pf_testdaemon_stop(&v.d);
    holds(NULL); /* which knows no round that was abandoned or closed early */
}

/* ---- a locked database ------------------------------------------------- */

static sqlite3 *lock_database(void)
{
    char path[160];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/pocketfed.db", v.d.state);
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
    before = book_n_acks(&f.book);
    pf_nap(700);
    assert_int_equal(book_n_acks(&f.book), before); /* nobody is answered */
    unlock_database(db);
    goes_on();
    db = lock_database();
    pf_nap(100);
    before = book_n_acks(&f.book);
    dies_saying("database is locked");
    assert_int_equal(book_n_acks(&f.book), before);
    unlock_database(db);
    start_again();
    goes_on();
    stops_in_order();
}

/* ---- damaged files ----------------------------------------------------- */

/* Kills it until a round is open that has an acknowledged update. */
static void crash_with_open_update(struct verified *seen)
{
    int i;

    for (i = 0; i < 50; i++) {
        crash();
        holds(seen);
        if (seen->open_accepted > 0)
            return;
        start_again();
        fleet_await(&f, 1, 5000);
    }
    fail_msg("no round was open with an update in it");
}

static void segment_path(const struct verified *seen, char *out, size_t cap)
{
    snprintf(out, cap, "%s/journal/1/%llu.seg", v.d.state,
             (unsigned long long)seen->newest);
}

static void flip(const char *path, uint64_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_torn_segment_is_refused_where_it_was_acknowledged(void **state)
{
    struct verified seen;
    struct pf_buf b = {0};
    char path[200], name[64];
    uint64_t end;
    FILE *file;

    (void)state;
    crash_with_open_update(&seen);
    segment_path(&seen, path, sizeof path);
    snprintf(name, sizeof name, "journal/1/%llu.seg ends at byte",
             (unsigned long long)seen.newest);
    end = seen.last.offset + seen.last.length;
    pf_slurp(path, &b);
    assert_true(b.len >= end);

    /* behind the last update that counts nothing matters */
    assert_int_equal(truncate(path, (off_t)end), 0);
    start_again();
    goes_on();
    crash_with_open_update(&seen);
    segment_path(&seen, path, sizeof path);
    snprintf(name, sizeof name, "journal/1/%llu.seg ends at byte",
             (unsigned long long)seen.newest);
    pf_slurp(path, &b);
    end = seen.last.offset + seen.last.length;

    assert_int_equal(truncate(path, (off_t)end - 100), 0);
    victim_spawn(&v);
    assert_int_equal(victim_wait(&v, DIES_MS), 1);
    assert_true(pf_file_says(v.d.log, name));
    assert_true(pf_file_says(v.d.log, "the acknowledged update of device"));
    assert_true(pf_file_says(v.d.log, "put the files under journal/ back"));

    file = fopen(path, "w"); /* from the backup */
    assert_non_null(file);
    assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
    assert_int_equal(fclose(file), 0);
    pf_buf_free(&b);
    start_again();
    goes_on();
    stops_in_order();
}

static void a_changed_byte_in_a_segment_is_refused(void **state)
{
    struct verified seen;
    char path[200];

    (void)state;
    crash_with_open_update(&seen);
    segment_path(&seen, path, sizeof path);
    flip(path, seen.last.offset + seen.last.length / 2);
    victim_spawn(&v);
    assert_int_equal(victim_wait(&v, DIES_MS), 1);
    assert_true(pf_file_says(v.d.log, "task crash round"));
    assert_true(pf_file_says(v.d.log, "its bytes have changed"));
    flip(path, seen.last.offset + seen.last.length / 2);
    start_again();
    goes_on();
    stops_in_order();
}

static void a_damaged_model_is_refused_by_name(void **state)
{
    char hex[65], path[300];
    struct verified seen;

    (void)state;
    crash();
    holds(&seen);
    pf_hex(seen.model, 32, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", v.d.state, hex, hex);
    flip(path, 2000);
    victim_spawn(&v);
    assert_int_equal(victim_wait(&v, DIES_MS), 1);
    assert_true(pf_file_says(v.d.log, "task crash"));
    assert_true(pf_file_says(v.d.log, hex));
    assert_true(pf_file_says(v.d.log, "is damaged"));
    assert_true(pf_file_says(v.d.log, "restore this file from a backup"));
    flip(path, 2000);
    start_again();
    goes_on();
    stops_in_order();
}

/* An older model is in nobody's way until somebody asks for it. */
static void a_damaged_older_model_is_given_to_nobody(void **state)
{
    char hex[65], path[300], url[160];
    struct pf_buf b = {0};
    struct verified seen;

    (void)state;
    goes_on(); /* until there are two */
    crash();
    holds(&seen);
    pf_hex(seen.before, 32, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", v.d.state, hex, hex);
    snprintf(url, sizeof url, "/admin/v1/models/%s", hex);
    flip(path, 2000);
    victim_reset(&v);
    victim_start(&v);
    assert_int_equal(operator_ask(v.d.socket, "GET", url, NULL, &b), 500);
    assert_true(pf_file_says(v.d.log, hex));
    assert_true(pf_file_says(v.d.log, "is damaged"));
    flip(path, 2000);
    assert_int_equal(operator_ask(v.d.socket, "GET", url, NULL, &b), 200);
    pf_buf_free(&b);
    fleet_go_on(&f);
    goes_on();
    stops_in_order();
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

#define TEST(name)    cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define MOUNTED(name) cmocka_unit_test_teardown(name, tear_down)

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
        TEST(a_torn_segment_is_refused_where_it_was_acknowledged),
        TEST(a_changed_byte_in_a_segment_is_refused),
        TEST(a_damaged_model_is_refused_by_name),
        TEST(a_damaged_older_model_is_given_to_nobody),
    };

    may_mount = own_mounts();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
