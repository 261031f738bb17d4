#include "modes.h"

#include <stdio.h>
#include <stdlib.h>

#include "fleet.h"
#include "proc.h"
#include "rival.h"
#include "say.h"

#define CONNECTIONS 32
#define IDLERS      500 /* whose memory is told */
#define MAX_ROUNDS  1000

static const struct setting {
    const char *buffer_kib, *threads;
} settings[] = {
    {"32", "2"}, {"64", "2"}, {"128", "2"}, {"256", "2"},
    {"64", "1"}, {"64", "4"}, {"128", "1"}, {"128", "4"},
};

#define N_SETTINGS (sizeof settings / sizeof settings[0])

static const struct {
    const char *model;
    unsigned cohort;
} loads[] = {{"lenet5", 128}, {"lenet-caffe", 64}};

struct candidate {
    struct pf_testdaemon d;
    struct load *l;
    struct fleet f;
    double us[MAX_ROUNDS], idle_kib;
};

static void start(const struct options *o, const struct setting *s,
                  const char *model, unsigned cohort, struct candidate *c)
{
    struct load *idle;
    double before;

    setenv("POCKETFED_CLIENT_BUFFER_KIB", s->buffer_kib, 1);
    setenv("POCKETFED_SERVER_THREADS", s->threads, 1);
    fleet_daemon(&c->d, o->dir);
    c->l = load_open(c->d.port, CONNECTIONS);
    fleet_join(&c->f, &c->d, c->l, "pools", model, cohort, cohort);
    fleet_round(&c->f, c->l, 0, cohort);
    pf_nap(500); /* what the round had mapped goes */
    before = fleet_metric(&c->d, "process_resident_memory_bytes");
    idle = load_open(c->d.port, IDLERS);
    c->idle_kib =
        (fleet_metric(&c->d, "process_resident_memory_bytes") - before) /
        IDLERS / 1024;
    load_close(idle);
}

static void turn(struct candidate *c, unsigned i)
{
    uint64_t published =
        (uint64_t)fleet_metric(&c->d, "rounds_published_total");
    double cpu;

    fleet_checkin(&c->f, c->l, 0, c->f.n);
    cpu = cpu_of(c->d.pid);
    fleet_upload(&c->f, c->l, 0, c->f.n);
    fleet_await(&c->d, published + 1);
    c->us[i] = (cpu_of(c->d.pid) - cpu) * 1e6 / c->f.n;
}

static void end(struct candidate *c)
{
    fleet_free(&c->f);
    load_close(c->l);
    pf_testdaemon_stop(&c->d);
    pf_testdaemon_end(&c->d);
}

/* All run at once, those whose turn it is not idle. */
void mode_pools(const struct options *o)
{
    static struct candidate c[N_SETTINGS];
    size_t s, w;
    unsigned i;

    for (w = 0; w < sizeof loads / sizeof loads[0]; w++) {
        for (s = 0; s < N_SETTINGS; s++)
            start(o, &settings[s], loads[w].model, loads[w].cohort, &c[s]);
        for (i = 0; i < o->rounds; i++)
            for (s = 0; s < N_SETTINGS; s++)
                turn(&c[s], i);
        for (s = 0; s < N_SETTINGS; s++) {
            printf("{\"bytes\":%zu,\"buffer_kib\":%s,\"threads\":%s,"
                   "\"us_per_upload\":%.0f,\"kib_per_connection\":%.0f}\n",
                   c[s].f.frame.len, settings[s].buffer_kib,
                   settings[s].threads, median(c[s].us, o->rounds),
                   c[s].idle_kib);
            end(&c[s]);
        }
        fflush(stdout);
    }
}
