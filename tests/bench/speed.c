#include "modes.h"

#include <stdio.h>
#include <sys/stat.h>

#include "fleet.h"
#include "proc.h"
#include "rival.h"
#include "say.h"
#include "stages.h"

#define CONNECTIONS 32
#define MAX_ROUNDS  1000

static const struct size {
    const char *task, *model;
    unsigned cohort;
    double least; /* of nginx's uploads per CPU-second */
} sizes[] = {
    {"small", "lenet5", 512, 0.25},      /* 61,706 parameters, 247 KB */
    {"large", "lenet-caffe", 128, 0.35}, /* 431,080 parameters, 1.7 MB */
};

/* CPU-seconds of the daemon for one cohort's uploads, from the first head to
 * the next model. */
static double our_round(struct fleet *f, struct load *l)
{
    uint64_t published =
        (uint64_t)fleet_metric(f->daemon, "rounds_published_total");
    double cpu;

    fleet_checkin(f, l, 0, f->n);
    cpu = cpu_of(f->daemon->pid);
    fleet_upload(f, l, 0, f->n);
    fleet_await(f->daemon, published + 1);
    return cpu_of(f->daemon->pid) - cpu;
}

static double their_round(struct fleet *f, const struct rival *r,
                          struct load *l)
{
    double cpu = cpu_of(r->pid);

    fleet_upload(f, l, 0, f->n);
    return cpu_of(r->pid) - cpu;
}

static void print(const struct fleet *f, double ours, double theirs,
                  double ratio, const struct stages *s)
{
    printf("{\"bytes\":%zu,\"ours\":%.0f,\"nginx\":%.0f,\"ratio\":%.3f,"
           "\"us_per_stage\":{\"tls\":%.0f,\"hash\":%.0f,\"verify\":%.0f,"
           "\"segment\":%.0f,\"validate\":%.0f,\"fold\":%.0f}}\n",
           f->frame.len, ours, theirs, ratio, s->tls, s->hash, s->verify,
           s->segment, s->validate, s->fold);
    fflush(stdout);
}

static void measure(const struct options *o, const struct size *size,
                    struct pf_testdaemon *d, const struct rival *r)
{
    static double ours[MAX_ROUNDS], theirs[MAX_ROUNDS], ratio[MAX_ROUNDS];
    struct load *to_us = load_open(d->port, CONNECTIONS);
    struct load *to_them = load_open(r->port, CONNECTIONS);
    struct stages stages;
    struct fleet f;
    double q;
    unsigned i;

    fleet_join(&f, d, to_us, size->task, size->model, size->cohort,
               size->cohort);
    our_round(&f, to_us); /* both warm */
    their_round(&f, r, to_them);
    for (i = 0; i < o->rounds; i++) {
        ours[i] = f.n / our_round(&f, to_us);
        theirs[i] = f.n / their_round(&f, r, to_them);
        ratio[i] = ours[i] / theirs[i];
        say("%zu bytes: ours %.0f, nginx %.0f uploads per CPU-second, %.3f",
            f.frame.len, ours[i], theirs[i], ratio[i]);
    }
    fleet_checkin(&f, to_us, 0, f.n);
    stages_measure(&f, d->dir, &stages);
    q = median(ratio, o->rounds);
    print(&f, median(ours, o->rounds), median(theirs, o->rounds), q, &stages);
    gate(q >= size->least, "%.3f of nginx at %zu bytes, at least %.2f", q,
         f.frame.len, size->least);
    fleet_free(&f);
    load_close(to_us);
    load_close(to_them);
}

void mode_speed(const struct options *o)
{
    struct pf_testdaemon d;
    struct rival r;
    size_t i;

    fleet_daemon(&d, o->dir);
    rival_start(&r, d.dir, d.state);
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        measure(o, &sizes[i], &d, &r);
    rival_stop(&r);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}
