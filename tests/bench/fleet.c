#include "fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "model.h"
#include "proc.h"
#include "rng.h"
#include "say.h"
#include "tmpdir.h"
#include "update.h"

/* ---- daemon and task --------------------------------------------------- */

#define MAX_DIRS 32

static char dirs[MAX_DIRS][64];
static unsigned n_dirs;

/* However the program ends. */
static void clean(void)
{
    pf_kill_all();
    while (n_dirs > 0)
        pf_tmpdir_remove(dirs[--n_dirs]);
}

/* One address asks for thousands, and a connection is idle while others have
 * their turn. */
static void lift_limits(void)
{
    setenv("POCKETFED_CLIENT_TIMEOUT_S", "3600", 0);
    setenv("POCKETFED_LIMITS_HEAD_S", "3600", 0);
    setenv("POCKETFED_LIMITS_MIN_RATE", "0", 0);
    setenv("POCKETFED_LIMITS_DEVICE_RATE", "0", 0);
    setenv("POCKETFED_LIMITS_ADDRESS_RATE", "0", 0);
}

void fleet_daemon(struct pf_testdaemon *d, const char *dir)
{
    lift_limits();
    memset(d, 0, sizeof *d);
    snprintf(d->dir, sizeof d->dir, "%.40s/pf-bench-XXXXXX", dir);
    if (!mkdtemp(d->dir))
        die("cannot make %s", d->dir);
    if (n_dirs == 0)
        atexit(clean);
    if (n_dirs < MAX_DIRS)
        snprintf(dirs[n_dirs++], sizeof dirs[0], "%s", d->dir);
    snprintf(d->state, sizeof d->state, "%s/state", d->dir);
    snprintf(d->socket, sizeof d->socket, "%s/admin.sock", d->dir);
    snprintf(d->log, sizeof d->log, "%s/daemon.log", d->dir);
    snprintf(d->listen, sizeof d->listen, "127.0.0.1:0");
    pf_testdaemon_start(d);
}

static void make_task(struct fleet *f, const char *model, unsigned cohort)
{
    const char *quote = model[0] == '{' ? "" : "\"";

    pf_buf_init(&f->file, 1u << 16);
    pf_buf_addf(&f->file,
                "{\"name\":\"%s\",\"model\":%s%s%s,\"keep\":{\"models\":2},"
                "\"round\":{\"over_select\":1,"
                "\"select\":{\"min\":%u,\"max\":%u},"
                "\"collect\":{\"min\":%u,\"max\":%u}}}",
                f->task, quote, model, quote, cohort, cohort, cohort, cohort);
    pf_testdaemon_task(f->daemon, f->task, pf_buf_str(&f->file));
}

static void make_layout(struct fleet *f, const char *model)
{
    const char *spec = model[0] == '{' ? model : pf_zoo_spec(model);
    struct pf_model *m = NULL;
    struct pf_error err = {0};

    if (!spec || pf_model_create(spec, strlen(spec), &m, &err))
        die("model %.40s: %s", model, err.text);
    f->n_params = pf_model_n_params(m);
    pf_model_layout_digest(m, f->layout);
    pf_model_free(m);
}

static void find_server(struct fleet *f, unsigned uses)
{
    struct pf_run r = {0};
    char number[16];

    snprintf(number, sizeof number, "%u", uses);
    PF_CLI(&r, "token", "create", f->task, "--socket", f->daemon->socket,
           "--uses", number);
    if (r.code != 0)
        die("no token: %s", pf_buf_str(&r.err));
    pf_buf_str(&r.out);
    r.out.data[strcspn((char *)r.out.data, "\n")] = '\0';
    pf_server_of(&f->server, (char *)r.out.data);
    pf_run_free(&r);
}

double fleet_metric(const struct pf_testdaemon *d, const char *name)
{
    const char *p;
    char line[96];
    struct pf_buf b;
    double v;

    memset(&b, 0, sizeof b);
    if (pf_testdaemon_ops(d, "/metrics", &b) != 200)
        die("/metrics does not answer");
    snprintf(line, sizeof line, "\n%s ", name);
    p = strstr(pf_buf_str(&b), line);
    if (!p) {
        snprintf(line, sizeof line, "\npocketfed_%s ", name);
        p = strstr(pf_buf_str(&b), line);
    }
    if (!p)
        die("/metrics has no %s", name);
    v = strtod(p + strlen(line), NULL);
    pf_buf_free(&b);
    return v;
}

void fleet_await(const struct pf_testdaemon *d, uint64_t published)
{
    double end = seconds_now() + 60;

    while (fleet_metric(d, "rounds_published_total") < (double)published) {
        if (seconds_now() > end)
            die("round %" PRIu64 " was not published within a minute",
                published);
        pf_nap(10);
    }
}

/* ---- requests ---------------------------------------------------------- */

static void want_enrol(struct fleet *f, struct fleet_slot *s)
{
    const struct pf_keyholder *k = &f->device[s->device];
    struct pf_enrol_request ask;

    memset(&ask, 0, sizeof ask);
    snprintf(ask.token, sizeof ask.token, "%s", f->server.link.token);
    snprintf(ask.alg, sizeof ask.alg, "%s", pf_key_alg_name(k->id.alg));
    ask.key.len = pf_key_public(k->key, ask.key.data);
    if (pf_json_encode(pf_enrol_request_fields, &ask, &s->body))
        die("no memory");
}

static void want_checkin(struct fleet_slot *s)
{
    struct pf_checkin_request ask;

    memset(&ask, 0, sizeof ask);
    snprintf(ask.codecs[0], sizeof ask.codecs[0], "f32");
    ask.n_codecs = 1;
    snprintf(ask.client_version, sizeof ask.client_version, "%s",
             POCKETFED_VERSION);
    if (pf_json_encode(pf_checkin_request_fields, &ask, &s->body))
        die("no memory");
}

static void write_head(struct fleet_slot *s)
{
    const struct pocketfed_request *r = &s->built.r;
    size_t i;

    pf_buf_clear(&s->head);
    pf_buf_addf(&s->head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", r->method,
                r->target);
    for (i = 0; i < r->n_headers; i++)
        pf_buf_addf(&s->head, "%s: %s\r\n", r->headers[i].name,
                    r->headers[i].value);
    pf_buf_addf(&s->head, "Content-Length: %zu\r\n%s\r\n", r->body_len,
                r->expect_continue ? "Expect: 100-continue\r\n" : "");
    if (pf_buf_status(&s->head) != POCKETFED_OK)
        die("no memory");
}

void fleet_craft(struct fleet *f, unsigned slot, unsigned device,
                 struct load_request *out)
{
    struct fleet_slot *s = &f->slot[slot];
    struct pf_want_request want;
    struct pf_error err = {0};

    s->device = device;
    memset(&want, 0, sizeof want);
    want.call = f->call;
    memcpy(want.args.task, f->task, sizeof want.args.task);
    want.args.round = f->round;
    pf_buf_clear(&s->body);
    if (f->call == PF_CALL_UPDATE) {
        want.body = f->frame.data;
        want.body_len = f->frame.len;
        memcpy(want.digest, f->digest, 32);
    } else {
        if (f->call == PF_CALL_ENROL)
            want_enrol(f, s);
        else
            want_checkin(s);
        want.body = s->body.data;
        want.body_len = s->body.len;
        pf_sha256(want.body, want.body_len, want.digest);
    }
    /* A second ahead: a daemon that has just started refuses what was made
     * before it. */
    if (pf_request_build(&s->built, &want, &f->device[device].id,
                         &f->server.peer, (int64_t)time(NULL) + 1, &err))
        die("%s", err.text);
    write_head(s);
    out->head = (const char *)s->head.data;
    out->head_len = s->head.len;
    out->body = want.body;
    out->body_len = want.body_len;
    out->expect = s->built.r.expect_continue;
}

void fleet_slots(struct fleet *f, unsigned n)
{
    if (n <= f->n_slots)
        return;
    f->slot = realloc(f->slot, n * sizeof *f->slot);
    if (!f->slot)
        die("no memory");
    for (; f->n_slots < n; f->n_slots++) {
        struct fleet_slot *s = &f->slot[f->n_slots];

        pf_built_request_init(&s->built);
        pf_buf_init(&s->head, 1u << 14);
        pf_buf_init(&s->body, PF_MAX_CONTROL_BODY);
    }
}

/* ---- a call by many ---------------------------------------------------- */

struct errand {
    struct fleet *f;
    unsigned at, end;
    void (*answered)(struct fleet *f, unsigned device,
                     const struct load_reply *r);
};

static int next(void *ctx, unsigned i, struct load_request *out)
{
    struct errand *e = ctx;

    if (e->at == e->end)
        return 0;
    fleet_craft(e->f, i, e->at++, out);
    return 1;
}

static void done(void *ctx, unsigned i, const struct load_reply *r)
{
    struct errand *e = ctx;
    unsigned device = e->f->slot[i].device;

    if (r->status != 200 && r->status != 201)
        die("device %u got %d: %s", device, r->status, r->body);
    e->f->seconds[device] = r->seconds;
    if (e->answered)
        e->answered(e->f, device, r);
}

static void run(struct fleet *f, struct load *l, enum pf_call_id call,
                unsigned first, unsigned n,
                void (*answered)(struct fleet *, unsigned,
                                 const struct load_reply *))
{
    struct errand e = {f, first, first + n, answered};
    struct load_job job = {&e, next, done};

    f->call = call;
    fleet_slots(f, load_size(l));
    load_run(l, &job);
}

static void assigned(struct fleet *f, unsigned device,
                     const struct load_reply *r)
{
    struct pf_checkin_reply *w = &f->device[device].work;
    struct pf_error err = {0};

    memset(w, 0, sizeof *w);
    if (pf_json_decode(pf_checkin_reply_fields, PF_JSON_IGNORE, r->body,
                       r->body_len, w, &err))
        die("a check-in's answer: %s", err.text);
    if (w->kind != PF_CHECKIN_TRAIN)
        die("device %u was told to wait: %s", device,
            pf_wait_reasons[w->reason]);
    f->round = w->round;
    memcpy(f->base, w->base, 32);
    memcpy(f->plan, w->plan, 32);
}

/* Small normal numbers, as a delta has. */
static void make_frame(struct fleet *f)
{
    const struct pf_codec *codec = pf_codec_find("f32");
    struct pf_rng rng = pf_rng_make(1, 0, 0, PF_RNG_TEST);
    float *x = malloc(f->n_params * sizeof *x);
    struct pf_update u;
    size_t i, began;

    if (!x)
        die("no memory");
    for (i = 0; i < f->n_params; i++)
        x[i] = 0.01f * (float)(pf_rng_float(&rng, i) - 0.5f);
    memset(&u, 0, sizeof u);
    memcpy(u.task, f->task, sizeof u.task);
    u.round = f->round;
    memcpy(u.plan, f->plan, 32);
    memcpy(u.base, f->base, 32);
    memcpy(u.layout, f->layout, 32);
    u.examples = 100;
    u.n_sections = 1;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = codec->id;
    u.sections[0].count = f->n_params;
    pf_buf_clear(&f->frame);
    if (pf_update_begin(&f->frame, &u))
        die("no memory");
    began = f->frame.len;
    if (codec->encode(x, f->n_params, 0, &f->frame) ||
        pf_update_section_end(&f->frame, &u, 0, began))
        die("no memory");
    pf_sha256(f->frame.data, f->frame.len, f->digest);
    free(x);
}

void fleet_checkin(struct fleet *f, struct load *l, unsigned first, unsigned n)
{
    run(f, l, PF_CALL_CHECKIN, first, n, assigned);
    make_frame(f);
}

void fleet_upload(struct fleet *f, struct load *l, unsigned first, unsigned n)
{
    run(f, l, PF_CALL_UPDATE, first, n, NULL);
}

void fleet_round(struct fleet *f, struct load *l, unsigned first, unsigned n)
{
    uint64_t before =
        (uint64_t)fleet_metric(f->daemon, "rounds_published_total");

    fleet_checkin(f, l, first, n);
    fleet_upload(f, l, first, n);
    fleet_await(f->daemon, before + 1);
}

void fleet_join(struct fleet *f, struct pf_testdaemon *d, struct load *l,
                const char *task, const char *model, unsigned cohort,
                unsigned n)
{
    unsigned i;

    memset(f, 0, sizeof *f);
    f->daemon = d;
    f->n = n;
    snprintf(f->task, sizeof f->task, "%s", task);
    pf_buf_init(&f->frame, 64u << 20);
    f->device = calloc(n, sizeof *f->device);
    f->seconds = calloc(n, sizeof *f->seconds);
    if (!f->device || !f->seconds)
        die("no memory for %u devices", n);
    make_task(f, model, cohort);
    make_layout(f, model);
    find_server(f, n);
    for (i = 0; i < n; i++)
        pf_keyholder_make(&f->device[i]);
    run(f, l, PF_CALL_ENROL, 0, n, NULL);
}

void fleet_free(struct fleet *f)
{
    unsigned i;

    for (i = 0; i < f->n_slots; i++) {
        pf_built_request_free(&f->slot[i].built);
        pf_buf_free(&f->slot[i].head);
        pf_buf_free(&f->slot[i].body);
    }
    for (i = 0; i < f->n; i++)
        pf_keyholder_free(&f->device[i]);
    pf_server_free(&f->server);
    pf_buf_free(&f->frame);
    pf_buf_free(&f->file);
    free(f->slot);
    free(f->device);
    free(f->seconds);
    memset(f, 0, sizeof *f);
}
