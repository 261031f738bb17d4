#include "modes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "fleet.h"
#include "say.h"
#include "segment.h"
#include "store.h"

#define BATCH      64
#define UPDATE_LEN 247056
#define BATCHES    8 /* between two turns */
#define LEAST      0.75
#define MAX_TURNS  1000

/* ---- the store beside a bare log --------------------------------------- */

struct log {
    int fd;
    uint8_t update[UPDATE_LEN];
};

/* Updates a second, appended to one file and synced once a batch. */
static double bare_turn(struct log *l)
{
    double began = seconds_now();
    unsigned b, i;

    if (ftruncate(l->fd, 0) != 0 || lseek(l->fd, 0, SEEK_SET) != 0)
        die("cannot empty the log: %s", strerror(errno));
    for (b = 0; b < BATCHES; b++) {
        for (i = 0; i < BATCH; i++)
            if (write(l->fd, l->update, UPDATE_LEN) != UPDATE_LEN)
                die("cannot append to the log: %s", strerror(errno));
        if (fdatasync(l->fd) != 0)
            die("cannot sync the log: %s", strerror(errno));
    }
    return BATCHES * BATCH / (seconds_now() - began);
}

struct journal {
    char dir[128];
    struct pf_store *store;
    int64_t task;
    uint64_t round, devices;
};

static void write_record(struct journal *j, const struct pf_record *rec)
{
    struct pf_error err = {0};

    if (pf_store_record(j->store, j->task, rec, NULL, &err))
        die("%s", err.text);
}

static void begin_or_end(struct journal *j, int begin)
{
    struct pf_error err = {0};

    if (begin ? pf_store_begin(j->store, &err)
              : pf_store_commit(j->store, &err))
        die("%s", err.text);
}

/* What workers and coordinator do for a batch: bytes, one sync, one
 * transaction. */
static void our_batch(struct journal *j, struct pf_segment *s,
                      const uint8_t *update)
{
    struct pf_record rec[BATCH];
    struct pf_error err = {0};
    unsigned i;

    memset(rec, 0, sizeof rec);
    for (i = 0; i < BATCH; i++) {
        rec[i].kind = PF_REC_ACCEPTED;
        rec[i].round = j->round;
        j->devices++;
        memcpy(rec[i].device.id, &j->devices, sizeof j->devices);
        if (pf_segment_reserve(s, UPDATE_LEN, &rec[i].u.accepted.extent,
                               &err) ||
            pf_segment_write(s, rec[i].u.accepted.extent.offset, update,
                             UPDATE_LEN, &err))
            die("%s", err.text);
    }
    if (pf_segment_sync(s, &err))
        die("%s", err.text);
    begin_or_end(j, 1);
    for (i = 0; i < BATCH; i++)
        write_record(j, &rec[i]);
    begin_or_end(j, 0);
}

static double our_turn(struct journal *j, const uint8_t *update)
{
    struct pf_record opened = {.kind = PF_REC_OPENED, .round = ++j->round};
    struct pf_error err = {0};
    struct pf_segment *s;
    double began, rate;
    unsigned b;

    begin_or_end(j, 1);
    write_record(j, &opened);
    begin_or_end(j, 0);
    if (pf_segment_open(j->dir, j->task, j->round, &s, &err))
        die("%s", err.text);
    began = seconds_now();
    for (b = 0; b < BATCHES; b++)
        our_batch(j, s, update);
    rate = BATCHES * BATCH / (seconds_now() - began);
    pf_segment_unlink(s);
    pf_segment_unref(s);
    return rate;
}

static void open_journal(struct journal *j, const char *dir)
{
    struct pf_store_task t = {.name = "batches"};
    struct pf_error err = {0};
    char journal[160];

    memset(j, 0, sizeof *j);
    snprintf(j->dir, sizeof j->dir, "%s/batches", dir);
    snprintf(journal, sizeof journal, "%s/journal", j->dir);
    pf_buf_init(&t.file, 100);
    pf_buf_adds(&t.file, "{}");
    if (pf_dir_make(j->dir, 0700, &err) || pf_dir_make(journal, 0700, &err) ||
        pf_store_open(j->dir, NULL, &j->store, &err))
        die("%s", err.text);
    begin_or_end(j, 1);
    if (pf_store_task_add(j->store, &t, &err))
        die("%s", err.text);
    begin_or_end(j, 0);
    j->task = t.id;
    pf_buf_free(&t.file);
}

static void beside_a_log(const struct options *o, const char *dir)
{
    static double ours[MAX_TURNS], bare[MAX_TURNS], ratio[MAX_TURNS];
    static struct log log;
    struct journal j;
    char path[160];
    double q;
    unsigned i;

    snprintf(path, sizeof path, "%s/log", dir);
    log.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (log.fd < 0)
        die("cannot make %s: %s", path, strerror(errno));
    for (i = 0; i < UPDATE_LEN; i++)
        log.update[i] = (uint8_t)(i * 2654435761u >> 13);
    open_journal(&j, dir);
    for (i = 0; i < o->rounds; i++) {
        bare[i] = bare_turn(&log);
        ours[i] = our_turn(&j, log.update);
        ratio[i] = ours[i] / bare[i];
    }
    q = median(ratio, o->rounds);
    printf("{\"batch\":%d,\"bytes\":%d,\"ours\":%.0f,\"log\":%.0f,"
           "\"ratio\":%.3f}\n",
           BATCH, UPDATE_LEN, median(ours, o->rounds), median(bare, o->rounds),
           q);
    fflush(stdout);
    gate(q >= LEAST, "batches of %d reach %.3f of a bare log, at least %.2f",
         BATCH, q, LEAST);
    pf_store_close(j.store);
    close(log.fd);
}

/* ---- how large they become --------------------------------------------- */

static double batch_size(struct fleet *f, unsigned connections, double *rate)
{
    struct load *l = load_open(f->daemon->port, connections);
    double accepted, batches, began;
    uint64_t published =
        (uint64_t)fleet_metric(f->daemon, "rounds_published_total");

    fleet_checkin(f, l, 0, f->n);
    accepted = fleet_metric(f->daemon, "updates_accepted_total");
    batches = fleet_metric(f->daemon, "coordinator_batches_total");
    began = seconds_now();
    fleet_upload(f, l, 0, f->n);
    *rate = f->n / (seconds_now() - began);
    accepted = fleet_metric(f->daemon, "updates_accepted_total") - accepted;
    batches = fleet_metric(f->daemon, "coordinator_batches_total") - batches;
    fleet_await(f->daemon, published + 1);
    load_close(l);
    return accepted / batches;
}

static void by_load(struct pf_testdaemon *d)
{
    static const unsigned connections[] = {1, 4, 16, 64, 256};
    const unsigned n = sizeof connections / sizeof connections[0];
    struct load *l = load_open(d->port, 32);
    double size[8], rate;
    struct fleet f;
    unsigned i;

    fleet_join(&f, d, l, "batches", "lenet5", 512, 512);
    load_close(l);
    for (i = 0; i < n; i++) {
        size[i] = batch_size(&f, connections[i], &rate);
        printf("{\"connections\":%u,\"updates_per_batch\":%.1f,"
               "\"updates_per_s\":%.0f}\n",
               connections[i], size[i], rate);
        fflush(stdout);
    }
    /* By then the processors are busy, and more connections wait elsewhere. */
    gate(size[n - 1] >= 2 * size[0] && size[n - 2] > size[0],
         "batches of %.1f with %u connections, of %.1f with one", size[n - 1],
         connections[n - 1], size[0]);
    fleet_free(&f);
}

void mode_batches(const struct options *o)
{
    struct pf_testdaemon d;

    fleet_daemon(&d, o->dir);
    beside_a_log(o, d.dir);
    by_load(&d);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}
