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
    /* Small cohorts: machines that hand free memory back to their host every
     * other second pay for getting it again, and files of a round that is much
     * smaller than what comes in two seconds mostly use it while it is here. */
    unsigned cohort, rounds; /* between two turns of nginx */
    double least;            /* of nginx's uploads per CPU-second */
} sizes[] = {
    {"small", "lenet5", 128, 4, 0.25},     /* 61,706 parameters, 247 KB */
    {"large", "lenet-caffe", 64, 2, 0.35}, /* 431,080 parameters, 1.7 MB */
};

/* Our uploads per CPU-second, from the first head of a cohort's to the next
 * model; check-ins do not count. */
static double our_turn(struct fleet *f, struct load *l, unsigned rounds)
{
    double cpu = 0, before;
    uint64_t published =
        (uint64_t)fleet_metric(f->daemon, "rounds_published_total");
    unsigned i;

    for (i = 1; i <= rounds; i++) {
        fleet_checkin(f, l, 0, f->n);
        before = cpu_of(f->daemon->pid);
        fleet_upload(f, l, 0, f->n);
        fleet_await(f->daemon, published + i);
        cpu += cpu_of(f->daemon->pid) - before;
    }
    return rounds * f->n / cpu;
}

static double their_turn(struct fleet *f, const struct rival *r, struct load *l,
                         unsigned rounds)
{
    double cpu = cpu_of(r->pid);
    unsigned i;

    for (i = 0; i < rounds; i++)
        fleet_upload(f, l, 0, f->n);
    return rounds * f->n / (cpu_of(r->pid) - cpu);
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
    our_turn(&f, to_us, 1); /* both warm */
    their_turn(&f, r, to_them, 1);
    for (i = 0; i < o->rounds; i++) {
        ours[i] = our_turn(&f, to_us, size->rounds);
        theirs[i] = their_turn(&f, r, to_them, size->rounds);
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
