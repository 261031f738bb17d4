/* power.c - the power is cut under load: what was not synced is lost in part,
 * in any order (shadow.h), and the daemon starts from what is left.
 *
 *   crash_power [cuts [seed]]
 *
 * All that was acknowledged must be there, as after a kill (verify.h).  One
 * death in four is a kill alone: what it left unsynced is lost by a later cut.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleet.h"
#include "proc.h"
#include "shadow.h"
#include "table.h"
#include "text.h"
#include "verify.h"

#define CAMPAIGN 20 /* cuts in one directory */
#define LIFE_MS  1000
#define LOG_ROOM (256u << 20)
#define NTH_MOST 30

static struct run {
    struct victim v;
    struct fleet f;
    struct shadow *disk;
    struct pf_rng rng;
    uint64_t draws, seed;
    unsigned cuts;
    int failed;
} r;

static uint64_t below(uint64_t n)
{
    return pf_rng_below(&r.rng, r.draws++, n);
}

static int failure(const char *what)
{
    fprintf(stderr, "FAILED at cut %u, seed %llu: %s\n", r.cuts,
            (unsigned long long)r.seed, what);
    victim_show(&r.v);
    r.failed = 1;
    return 0;
}

/* ---- deaths ------------------------------------------------------------ */

static int was_kept_out(void)
{
    return pf_file_says(r.v.d.log, "in use");
}

/* Starts it and waits for its end, at most so long; then kills it. 1: it died
 * at the point that was armed; 0: at a random moment. */
static int live_and_die(int64_t ms)
{
    int code;

    do {
        victim_spawn(&r.v);
        code = victim_wait(&r.v, ms);
    } while (code == 1 && was_kept_out());
    if (code < 0) {
        victim_kill(&r.v);
        return 0;
    }
    if (code != 128 + SIGKILL || !atomic_load(&r.v.c->fired))
        failure("the daemon ended by itself");
    return 1;
}

static void note_log(void)
{
    if (!shadow_replay(r.disk, r.v.c))
        failure("the log of operations is no history of these files");
    atomic_store(&r.v.c->log_used, 0);
}

static void cut(unsigned keep)
{
    shadow_lose(r.disk, &r.rng, &r.draws, keep);
    r.cuts++;
}

static void check_state(struct verified *seen)
{
    char why[600];

    if (!verify_state(r.v.d.state, &r.f.book, seen, why, sizeof why))
        failure(why);
    if (r.f.book.wrong[0])
        failure(r.f.book.wrong);
}

static void one_life(void)
{
    unsigned point = (unsigned)below(POINT_COUNT + POINT_COUNT / 2);
    unsigned keep = (unsigned)below(5);
    const char *name = point < POINT_COUNT ? point_names[point] : "any moment";
    struct verified seen;
    int at_point;

    victim_reset(&r.v);
    if (point < POINT_COUNT)
        victim_arm(&r.v, (enum crash_where)(1 + below(3)), point,
                   1 + below(1 + below(NTH_MOST)));
    if (point < POINT_COUNT && strcmp(name, "pf_store_task_add") == 0)
        fleet_want_task(&r.f);
    at_point = live_and_die(
        (point < POINT_COUNT ? LIFE_MS : 20 + (int64_t)below(400)) * PF_SLOW);
    note_log();
    if (r.failed)
        return;
    if (at_point && below(4) == 0) { /* this time the power stays */
        check_state(&seen);
        return;
    }
    cut(keep);
    check_state(&seen);
    printf("cut %u at %s, %u/4 kept: %zu acknowledged, %llu of %llu rounds\n",
           r.cuts, at_point ? name : "any moment", keep, book_n_acks(&r.f.book),
           (unsigned long long)seen.published, (unsigned long long)seen.rounds);
    fflush(stdout);
}

/* ---- a failed sync ----------------------------------------------------- */

/* The kernel says once that it lost something, and forgets it. Who went on
 * would acknowledge what is nowhere. */
static void failed_sync(const char *place, unsigned skip)
{
    struct verified seen;

    victim_reset(&r.v);
    victim_fail(&r.v, CRASH_SYNC, place, EIO, skip, 1);
    victim_spawn(&r.v);
    if (victim_wait(&r.v, 20000 * PF_SLOW) != 1)
        failure("it went on after a failed sync");
    if (!pf_file_says(r.v.d.log, "Input/output error") &&
        !pf_file_says(r.v.d.log, "disk I/O error"))
        failure("it did not say that a sync failed");
    note_log();
    if (r.failed)
        return;
    cut(0);
    check_state(&seen);
    printf("cut %u after a failed sync of %s: %zu acknowledged\n", r.cuts,
           place, book_n_acks(&r.f.book));
}

/* ---- a first start ----------------------------------------------------- */

/* Nothing was promised to anybody yet: it must start again, as itself or
 * anew, and what it then says lasts. */
static void first_start(unsigned number)
{
    static const char *const names[] = {"pf_store_open", "pf_dir_sync",
                                        "pf_file_replace", "pf_objects_open"};
    struct verified seen;
    unsigned i;

    victim_init(&r.v, LOG_ROOM);
    r.disk = shadow_new(r.v.disk);
    for (i = 0; i < POINT_COUNT; i++)
        if (strcmp(point_names[i], names[number % 4]) == 0)
            victim_arm(&r.v, CRASH_AT, i, 1 + number / 4);
    live_and_die(500 * PF_SLOW);
    note_log();
    if (!r.failed)
        cut((unsigned)below(5));
    victim_reset(&r.v);
    if (!r.failed) {
        victim_start(&r.v);
        fleet_start(&r.f, &r.v, r.seed, 0);
        if (!fleet_await(&r.f, 1, 20000))
            failure("nothing goes on");
        victim_kill(&r.v);
        note_log();
        if (!r.failed)
            cut(0);
        if (!r.failed)
            check_state(&seen);
        fleet_stop(&r.f);
        fleet_free(&r.f);
    }
    shadow_free(r.disk);
    victim_end(&r.v);
}

/* ---- a campaign -------------------------------------------------------- */

static void campaign(unsigned cuts)
{
    static const char *const places[] = {".seg", "-wal", "objects/", "journal"};
    unsigned until = r.cuts + cuts;
    struct verified seen;

    victim_init(&r.v, LOG_ROOM);
    r.disk = shadow_new(r.v.disk);
    victim_start(&r.v);
    fleet_start(&r.f, &r.v, r.seed * 1000 + r.cuts, r.cuts / CAMPAIGN % 2);
    fleet_operate(&r.f);
    if (!fleet_await(&r.f, 8, 20000))
        failure("nothing goes on");
    if (r.v.d.pid)
        victim_kill(&r.v);
    note_log();
    if (!r.failed) {
        cut(0); /* of what was never synced nothing is left */
        check_state(&seen);
    }
    while (r.cuts < until && !r.failed)
        if (below(8) == 0)
            failed_sync(places[below(4)], (unsigned)below(8));
        else
            one_life();
    if (!r.failed) {
        victim_reset(&r.v);
        victim_start(&r.v);
        if (!fleet_await(&r.f, 12, 20000))
            failure("left in peace, nothing goes on");
        fleet_stop(&r.f);
        pf_testdaemon_stop(&r.v.d);
        check_state(&seen);
    }
    fleet_stop(&r.f);
    fleet_free(&r.f);
    shadow_free(r.disk);
    if (r.failed) {
        printf("what is left: %s\n", r.v.d.dir);
        setenv("PF_TEST_KEEP", "1", 1);
    }
    victim_end(&r.v);
}

int main(int argc, char **argv)
{
    uint64_t cuts = 30, seed = 1;
    unsigned i, n;

    if ((argc > 1 &&
         !pf_parse_u64(argv[1], strlen(argv[1]), 1, 1000000, &cuts)) ||
        (argc > 2 &&
         !pf_parse_u64(argv[2], strlen(argv[2]), 0, UINT64_MAX, &seed))) {
        fprintf(stderr, "usage: crash_power [cuts [seed]]\n");
        return 2;
    }
    r.seed = seed;
    r.rng = pf_rng_make(seed, 0, 0, PF_RNG_TEST);
    printf("%llu cuts, seed %llu\n", (unsigned long long)cuts,
           (unsigned long long)seed);
    for (i = 0; i < (cuts < 100 ? 8 : 80) && !r.failed; i++)
        first_start(i);
    printf("%u first starts\n", i);
    r.cuts = 0;
    while (r.cuts < cuts && !r.failed) {
        n = (unsigned)cuts - r.cuts;
        campaign(n < CAMPAIGN ? n : CAMPAIGN);
    }
    pf_kill_all();
    return r.failed;
}
