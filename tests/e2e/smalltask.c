#include "smalltask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"
#include "model.h"
#include "proc.h"
#include "testdevice.h"
#include "update.h"

#define TASK                                                                   \
    "{\"name\":\"m\",\"seed\":1,\"model\":\"logreg\","                         \
    "\"update\":{\"max_examples\":1000,\"max_norm\":10},"                      \
    "\"round\":{\"select\":{\"min\":2,\"max\":2,\"max_s\":900},"               \
    "\"collect\":{\"min\":2,\"max\":2,\"max_s\":900},"                         \
    "\"poll_min_s\":0.05,\"poll_max_s\":0.1},\"stop\":{\"rounds\":2}}"

void world_link(struct world *w, char out[512])
{
    struct pf_join_link link;

    pf_test_link(&w->d, "m", -1, out);
    assert_int_equal(pf_join_link_parse(out, &link, NULL), POCKETFED_OK);
    if (link.n_pins > 0)
        return;
    assert_true(w->has_pin);
    memcpy(link.pins[0], w->pin, sizeof link.pins[0]);
    link.n_pins = 1;
    assert_int_equal(pf_join_link_write(&link, out, 512), POCKETFED_OK);
}

static void enrol_next(struct world *w, struct pf_keyholder *k)
{
    struct pf_server s;
    char link[512];

    world_link(w, link);
    pf_server_of(&s, link);
    pf_keyholder_make(k);
    pf_enrol_well(&s, k);
    pf_server_free(&s);
}

void world_prepare(struct world *w)
{
    memset(w, 0, sizeof *w);
    pf_testdaemon_init(&w->d);
    pf_isolate(w->d.dir);
}

void world_config(struct world *w, const char *ini)
{
    const char *path = pf_in_dir(&w->d, "daemon.ini");
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(ini, f) >= 0);
    assert_int_equal(fclose(f), 0);
    setenv("POCKETFED_CONFIG", path, 1);
}

void world_start(struct world *w)
{
    world_prepare(w);
    world_run(w);
}

void world_run(struct world *w)
{
    const char *spec = pf_zoo_spec("logreg");
    struct pf_model *m = NULL;

    pf_testdaemon_start(&w->d);
    pf_testdaemon_task(&w->d, "m", TASK);
    world_link(w, w->used);
    pf_server_of(&w->server, w->used);
    pf_keyholder_make(&w->a);
    pf_enrol_well(&w->server, &w->a);
    enrol_next(w, &w->b);
    enrol_next(w, &w->waiting);
    pf_keyholder_make(&w->stranger);
    pf_checkin(&w->server, &w->a);
    pf_checkin(&w->server, &w->b);
    pf_checkin(&w->server, &w->waiting);
    assert_int_equal(w->a.work.kind, PF_CHECKIN_TRAIN);
    assert_int_equal(w->b.work.kind, PF_CHECKIN_TRAIN);
    assert_int_equal(w->waiting.work.kind, PF_CHECKIN_WAIT);
    assert_int_equal(w->waiting.work.reason, PF_WAIT_ROUND_FULL);
    assert_int_equal(w->a.work.round, 1);

    assert_int_equal(pf_model_create(spec, strlen(spec), &m, NULL),
                     POCKETFED_OK);
    pf_model_layout_digest(m, w->layout);
    w->n_params = pf_model_n_params(m);
    pf_model_free(m);
}

void world_end(struct world *w)
{
    pf_kill_all();
    w->d.pid = 0;
    pf_testdaemon_end(&w->d);
    pf_server_free(&w->server);
    pf_keyholder_free(&w->a);
    pf_keyholder_free(&w->b);
    pf_keyholder_free(&w->waiting);
    pf_keyholder_free(&w->stranger);
}

/* ---- what must not change ---- */

void world_look(const struct world *w, struct world_view *out)
{
    memset(out, 0, sizeof *out);
    pf_task_now(&w->d, "m", &out->task);
    pf_round_now(&w->d, "m", 1, &out->round);
    out->round.refused = out->round.late = 0;
    out->round.bytes_up = out->round.bytes_down = 0;
    out->round.elapsed_ms = 0;
}

void world_refused(struct world *w, const struct world_view *before,
                   const struct pf_raw_reply *reply, int status,
                   const char *slug)
{
    struct world_view after;

    if (reply->status != status || strcmp(pf_problem_slug(reply, NULL), slug))
        fail_msg("wanted %d %s, got %d %s", status, slug, reply->status,
                 pf_buf_str(&reply->body));
    world_look(w, &after);
    assert_memory_equal(before, &after, sizeof after);
}

void world_refuses(struct world *w, struct pf_crafted *c, int status,
                   const char *slug, struct pf_raw_reply *reply)
{
    struct world_view before;
    struct pf_raw_reply own;

    memset(&own, 0, sizeof own);
    world_look(w, &before);
    if (!reply)
        reply = &own;
    pf_crafted_send(c, &w->server, reply);
    world_refused(w, &before, reply, status, slug);
    pf_raw_reply_free(&own);
}

/* ---- requests ---- */

void world_checkin(struct world *w, const struct pf_keyholder *k,
                   struct pf_crafted *c, int64_t created_s)
{
    static const char body[] =
        "{\"client_version\":\"0.1.0\",\"codecs\":[\"f32\"]}";
    struct pf_call_args args;

    memset(&args, 0, sizeof args);
    snprintf(args.task, sizeof args.task, "m");
    pf_craft(c, &w->server, k, PF_CALL_CHECKIN, &args, body, sizeof body - 1,
             NULL, created_s);
}

void world_frame(const struct world *w, const struct pf_keyholder *k,
                 struct pf_buf *out)
{
    const struct pf_codec *codec = pf_codec_find("f32");
    struct pf_update u;
    float *delta;
    size_t i, at;

    memset(&u, 0, sizeof u);
    snprintf(u.task, sizeof u.task, "m");
    u.round = k->work.round;
    memcpy(u.plan, k->work.plan, sizeof u.plan);
    memcpy(u.base, k->work.base, sizeof u.base);
    memcpy(u.layout, w->layout, sizeof u.layout);
    u.examples = 100;
    u.n_metrics = 1;
    snprintf(u.metrics[0].name, sizeof u.metrics[0].name, "train_loss");
    u.metrics[0].value = 0.5;
    u.n_sections = 1;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = codec->id;
    u.sections[0].count = w->n_params;
    delta = malloc(w->n_params * sizeof *delta);
    assert_non_null(delta);
    for (i = 0; i < w->n_params; i++)
        delta[i] = 0.001f;
    pf_buf_free(out);
    pf_buf_init(out, 1u << 20);
    assert_int_equal(pf_update_begin(out, &u), POCKETFED_OK);
    at = out->len;
    assert_int_equal(codec->encode(delta, w->n_params, 0, out), POCKETFED_OK);
    assert_int_equal(pf_update_section_end(out, &u, 0, at), POCKETFED_OK);
    free(delta);
}

void world_put(struct world *w, const struct pf_keyholder *k, uint64_t round,
               const struct pf_buf *frame, const uint8_t *digest,
               struct pf_crafted *c)
{
    struct pf_call_args args;

    memset(&args, 0, sizeof args);
    snprintf(args.task, sizeof args.task, "m");
    args.round = round;
    pf_craft(c, &w->server, k, PF_CALL_UPDATE, &args, frame->data, frame->len,
             digest, 0);
}
