#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet.h"
#include "rival.h"
#include "say.h"

#define CONNECTIONS 32
#define MAX_ROUNDS  1000

/* ---- download ---------------------------------------------------------- */

#define DOWNLOADS      512
#define LEAST_DOWNLOAD 0.9

/* The same GET, n times over all connections. */
struct fetch {
    char head[256];
    unsigned left;
    size_t bytes; /* of the last answer */
};

static int next(void *ctx, unsigned i, struct load_request *out)
{
    struct fetch *g = ctx;

    (void)i;
    if (g->left == 0)
        return 0;
    g->left--;
    out->head = g->head;
    out->head_len = strlen(g->head);
    return 1;
}

static void done(void *ctx, unsigned i, const struct load_reply *r)
{
    struct fetch *g = ctx;

    (void)i;
    if (r->status != 200)
        die("status %d to a download", r->status);
    g->bytes = r->body_len;
}

/* Bytes per CPU-second of the server. */
static double fetch(struct load *l, const char *path, unsigned n, pid_t server,
                    size_t *bytes)
{
    double cpu = cpu_of(server);
    struct fetch g = {.left = n};
    struct load_job job = {&g, next, done};

    snprintf(g.head, sizeof g.head,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    load_run(l, &job);
    *bytes = g.bytes;
    return (double)n * (double)g.bytes / (cpu_of(server) - cpu);
}

/* The path of the model that the open round starts from. */
static void model_path(const struct fleet *f, char out[PF_CALL_PATH_MAX])
{
    struct pf_call_args args = {0};

    memcpy(args.digest, f->base, 32);
    if (pf_call_path(PF_CALL_MODEL, &args, out, PF_CALL_PATH_MAX))
        die("no path");
}

static void write_file(const char *dir, size_t bytes)
{
    char path[160];
    FILE *f;
    size_t i;

    snprintf(path, sizeof path, "%s/model", dir);
    f = fopen(path, "w");
    if (!f)
        die("cannot write %s", path);
    for (i = 0; i < bytes; i++)
        fputc((int)(i * 2654435761u >> 13 & 255), f);
    fclose(f);
}

void mode_download(const struct options *o)
{
    static double ours[MAX_ROUNDS], theirs[MAX_ROUNDS], ratio[MAX_ROUNDS];
    char path[PF_CALL_PATH_MAX];
    struct load *to_us, *to_them;
    struct pf_testdaemon d;
    struct fleet f;
    struct rival r;
    size_t bytes;
    unsigned i;
    double q;

    fleet_daemon(&d, o->dir);
    to_us = load_open(d.port, CONNECTIONS);
    fleet_join(&f, &d, to_us, "download", "lenet-caffe", 1, 1);
    fleet_checkin(&f, to_us, 0, 1);
    model_path(&f, path);
    fetch(to_us, path, 1, d.pid, &bytes);
    write_file(d.dir, bytes);
    rival_start(&r, d.dir, d.state);
    to_them = load_open(r.port, CONNECTIONS);
    for (i = 0; i < o->rounds; i++) {
        ours[i] = fetch(to_us, path, DOWNLOADS, d.pid, &bytes);
        theirs[i] = fetch(to_them, "/model", DOWNLOADS, r.pid, &bytes);
        ratio[i] = ours[i] / theirs[i];
    }
    q = median(ratio, o->rounds);
    printf("{\"bytes\":%zu,\"ours_mb_per_cpu_s\":%.0f,"
           "\"nginx_mb_per_cpu_s\":%.0f,\"ratio\":%.3f}\n",
           bytes, median(ours, o->rounds) * 1e-6,
           median(theirs, o->rounds) * 1e-6, q);
    gate(q >= LEAST_DOWNLOAD, "%.3f of nginx's downloads, at least %.2f", q,
         LEAST_DOWNLOAD);
    fleet_free(&f);
    load_close(to_us);
    load_close(to_them);
    rival_stop(&r);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}

/* ---- tickets ----------------------------------------------------------- */

#define VISITORS     20
#define VISITS       25 /* of each; all but the first can be resumed */
#define LEAST_RESUME 0.95

void mode_tickets(const struct options *o)
{
    char path[PF_CALL_PATH_MAX], head[256];
    struct load_request rq = {.head = head};
    unsigned i, k, resumed = 0;
    struct pf_testdaemon d;
    void *session;
    struct fleet f;
    struct load *l;
    double q;

    fleet_daemon(&d, o->dir);
    l = load_open(d.port, 1);
    fleet_join(&f, &d, l, "tickets", "logreg", 1, 1);
    fleet_checkin(&f, l, 0, 1);
    model_path(&f, path);
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
             path);
    rq.head_len = strlen(head);
    for (i = 0; i < VISITORS; i++) {
        session = NULL;
        for (k = 0; k < VISITS; k++)
            resumed += (unsigned)load_visit(d.port, &session, &rq);
        load_forget(session);
    }
    q = (double)resumed / (VISITORS * (VISITS - 1));
    printf("{\"reconnects\":%d,\"resumed\":%u,\"ratio\":%.3f}\n",
           VISITORS * (VISITS - 1), resumed, q);
    gate(q > LEAST_RESUME, "%.3f of the reconnects resumed, more than %.2f", q,
         LEAST_RESUME);
    fleet_free(&f);
    load_close(l);
    pf_testdaemon_stop(&d);
    pf_testdaemon_end(&d);
}
