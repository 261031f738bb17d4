#include "modes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fleet.h"
#include "proc.h"
#include "rival.h"
#include "say.h"

/* ---- crowd ------------------------------------------------------------- */

#define CROWD    1500
#define MOST_P99 3.0

void mode_crowd(const struct options *o)
{
    unsigned rounds = o->rounds < 3 ? o->rounds : 3, i, k;
    double *all = calloc((size_t)rounds * CROWD, sizeof *all), p50, p99, cpu;
    struct pf_testdaemon d;
    struct load *l;
    struct fleet f;

    fleet_daemon(&d, o->dir);
    l = load_open(d.port, CROWD);
    fleet_join(&f, &d, l, "crowd", "lenet5", CROWD, CROWD);
    cpu = cpu_of(d.pid);
    for (i = 0; i < rounds; i++) {
        fleet_round(&f, l, 0, CROWD);
        for (k = 0; k < CROWD; k++)
            all[i * CROWD + k] = f.seconds[k];
    }
    cpu = cpu_of(d.pid) - cpu;
    p50 = quantile(all, rounds * CROWD, 0.5);
    p99 = quantile(all, rounds * CROWD, 0.99);
    printf("{\"uploaders\":%d,\"uploads\":%u,\"bytes\":%zu,\"errors\":0,"
           "\"p50_s\":%.3f,\"p99_s\":%.3f,\"max_s\":%.3f,"
           "\"cpu_us_with_checkin\":%.0f}\n",
           CROWD, rounds * CROWD, f.frame.len, p50, p99,
           all[rounds * CROWD - 1], cpu * 1e6 / (rounds * CROWD));
    gate(p99 <= MOST_P99, "p99 is %.3f s, at most %.1f", p99, MOST_P99);
    fleet_free(&f);
    load_close(l);
    free(all);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}

/* ---- memory ------------------------------------------------------------ */

#define EARLY       20000u
#define LATE        200000u
#define COHORT      1000u
#define MOST_GROWTH 1.05

/* When all is quiet: what a round had mapped is gone. */
static double resident(const struct pf_testdaemon *d)
{
    pf_nap(1000);
    return fleet_metric(d, "process_resident_memory_bytes");
}

/* Resident memory after EARLY uploads, and after LATE when that is asked. */
static void remember(const struct options *o, unsigned cohort, double *early,
                     double *late)
{
    struct pf_testdaemon d;
    struct load *l;
    struct fleet f;
    unsigned n;

    fleet_daemon(&d, o->dir);
    l = load_open(d.port, 32);
    fleet_join(&f, &d, l, "memory", "logreg", cohort, cohort);
    for (n = 0; n < (late ? LATE : EARLY); n += cohort) {
        if (n == EARLY)
            *early = resident(&d);
        fleet_round(&f, l, 0, cohort);
    }
    *(late ? late : early) = resident(&d);
    fleet_free(&f);
    load_close(l);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}

void mode_memory(const struct options *o)
{
    double early, late, small;

    remember(o, COHORT / 10, &small, NULL);
    remember(o, COHORT, &early, &late);
    printf("{\"uploads\":%u,\"cohort\":%u,\"resident\":%.0f}\n"
           "{\"uploads\":%u,\"cohort\":%u,\"resident\":%.0f}\n"
           "{\"uploads\":%u,\"cohort\":%u,\"resident\":%.0f,"
           "\"growth\":%.3f}\n",
           EARLY, COHORT / 10, small, EARLY, COHORT, early, LATE, COHORT, late,
           late / early);
    gate(early < small * MOST_GROWTH,
         "a cohort ten times as large takes %.3f of the memory", early / small);
    gate(late < early * MOST_GROWTH, "memory grew to %.3f, at most %.2f",
         late / early, MOST_GROWTH);
}

/* ---- suspended --------------------------------------------------------- */

#define WAITING    5000
#define BATCH      256 /* taken by the coordinator already */
#define MOST_AWAKE 1.0

/* SQLite's lock on writing, as its file format documents it: byte 120 of the
 * -shm file. While it is held the coordinator waits, and all who ask it. */
struct lock {
    const struct pf_testdaemon *d;
    int fd;
    double opened;
};

static void set_lock(struct lock *k, short type)
{
    struct flock range = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};

    if (fcntl(k->fd, F_SETLK, &range) != 0)
        die("the database is not free");
}

static void close_lock(struct lock *k, const struct pf_testdaemon *d)
{
    char path[160];

    snprintf(path, sizeof path, "%s/pocketfed.db-shm", d->state);
    k->d = d;
    k->fd = open(path, O_RDWR | O_CLOEXEC);
    if (k->fd < 0)
        die("cannot open %s", path);
    set_lock(k, F_WRLCK);
}

/* Lets go as soon as all wait. */
static void *open_lock(void *arg)
{
    struct lock *k = arg;

    while (fleet_metric(k->d, "coordinator_queue_depth") < WAITING - BATCH)
        pf_nap(5);
    k->opened = seconds_now();
    set_lock(k, F_UNLCK);
    return NULL;
}

/* Opening the lock is what matters, so all are sent at once. */
void mode_suspended(const struct options *o)
{
    struct rlimit files;
    struct pf_testdaemon d;
    pthread_t thread;
    struct fleet f;
    struct lock k;
    struct load *l;
    double awake;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    setenv("POCKETFED_CLIENT_MAX_CONNECTIONS", "8000", 1);
    fleet_daemon(&d, o->dir);
    l = load_open(d.port, WAITING);
    fleet_join(&f, &d, l, "suspended", "logreg", WAITING, WAITING);
    pf_nap(1000); /* the log is moved into the database when all is quiet */
    close_lock(&k, &d);
    if (pthread_create(&thread, NULL, open_lock, &k) != 0)
        die("no thread");
    fleet_checkin(&f, l, 0, WAITING);
    awake = seconds_now() - k.opened;
    pthread_join(thread, NULL);
    printf("{\"suspended\":%d,\"resumed_s\":%.3f}\n", WAITING, awake);
    gate(awake <= MOST_AWAKE,
         "%d connections took %.3f s to go on, at most "
         "%.1f",
         WAITING, awake, MOST_AWAKE);
    fleet_free(&f);
    load_close(l);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}
