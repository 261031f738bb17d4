#include "edge.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "clock.h"
#include "codec.h"
#include "conn.h"
#include "joinlink.h"
#include "statement.h"
#include "text.h"
#include "tmpdir.h"
#include "update.h"

void edge_start(struct edge *e)
{
    edge_start_with(e, 0, 0);
}

void edge_start_with(struct edge *e, unsigned timeout_s, int tls)
{
    struct pf_config c;
    struct pf_error err = {0};

    memset(e, 0, sizeof *e);
    pf_tmpdir_make(e->dir, sizeof e->dir);
    pf_config_init(&c);
    snprintf(c.state, sizeof c.state, "%s", e->dir);
    snprintf(c.listen, sizeof c.listen, "127.0.0.1:0");
    snprintf(c.host, sizeof c.host, "127.0.0.1");
    snprintf(c.ops_listen, sizeof c.ops_listen, "127.0.0.1:0");
    snprintf(c.admin_socket, sizeof c.admin_socket, "%s/admin.sock", e->dir);
    if (timeout_s)
        c.limits.timeout_s = timeout_s;
    c.threads = 1;
    c.fold_threads = 1;
    c.tls = tls;
    c.log_level = PF_LOG_ERROR;
    if (pf_daemon_start(&e->daemon, &c, &err) != POCKETFED_OK)
        fail_msg("the daemon did not start: %s", err.text);
    e->daemon.edge.verifier.started_ms -= 1000; /* no wait for a new second */
}

void edge_stop(struct edge *e)
{
    pf_daemon_stop(&e->daemon);
    pf_tmpdir_remove(e->dir);
}

int edge_fresh(void **state, unsigned cohort, unsigned timeout_s, int tls)
{
    struct edge *e = malloc(sizeof *e);

    if (!e)
        return -1;
    edge_start_with(e, timeout_s, tls);
    if (cohort)
        edge_task(e, cohort);
    *state = e;
    return 0;
}

int edge_set_up(void **state)
{
    return edge_fresh(state, 2, 0, 0);
}

int edge_tear_down(void **state)
{
    edge_stop(*state);
    free(*state);
    return 0;
}

static void keep(const struct conn *c, struct edge_reply *out)
{
    const struct pf_reply *r = &c->ex.reply;

    out->status = r->status;
    out->problem = r->problem;
    snprintf(out->type, sizeof out->type, "%s", r->type ? r->type : "");
#define COPY(name, member) conn_header(c, name, out->member, sizeof out->member)
    COPY(PF_HEADER_STATEMENT, statement);
    COPY("ETag", etag);
    COPY("Retry-After", retry_after);
    COPY("Allow", allow);
    COPY("Upload-Offset", upload_offset);
    COPY("Upload-Length", upload_length);
    COPY("Upload-Complete", upload_complete);
    COPY("Repr-Digest", repr_digest);
#undef COPY
    pf_buf_init(&out->body, 64u << 20);
    if (r->object)
        pf_buf_add(&out->body, r->object->bytes + r->offset, r->len);
    else
        pf_buf_add(&out->body, r->body.data, r->body.len);
}

void edge_send(struct edge *e, const struct edge_request *rq,
               struct edge_reply *out)
{
    struct conn c;
    enum pf_next next;

    memset(out, 0, sizeof *out);
    next = conn_begin(&c, e, rq);
    out->at_headers = next == PF_NEXT_REPLY;
    if (next == PF_NEXT_READ) {
        conn_feed(&c, 0, rq->len);
        conn_end(&c);
    }
    keep(&c, out);
    conn_close(&c);
}

void edge_cut(struct edge *e, const struct edge_request *rq, size_t bytes)
{
    struct conn c;

    if (conn_begin(&c, e, rq) == PF_NEXT_READ)
        conn_feed(&c, 0, bytes);
    conn_close(&c);
}

void edge_forget(struct edge_reply *r)
{
    pf_buf_free(&r->body);
}

void edge_header(struct edge_request *rq, const char *name, const char *value)
{
    assert_true(rq->n_headers < EDGE_HEADERS);
    rq->header[rq->n_headers].name = name;
    snprintf(rq->header[rq->n_headers++].value, sizeof rq->header[0].value,
             "%s", value);
}

void edge_sign(struct edge *e, struct edge_request *rq,
               const struct pf_key *key, int64_t created)
{
    struct pf_signature_params params = {0};
    struct pf_signed_request s = {0};
    struct pf_buf input, value;
    uint8_t digest[32], random[12];
    char field[PF_DIGEST_FIELD_LEN];
    int update = rq->whole || strcmp(rq->method, "PUT") == 0;

    s.method = rq->method;
    s.path = rq->path;
    s.query = rq->query ? rq->query : "?";
    s.record_key = e->daemon.edge.verifier.record_key;
    edge_header(rq, PF_HEADER_RECORD_KEY, s.record_key);
    if (rq->body) {
        if (rq->whole)
            pf_sha256(rq->whole->data, rq->whole->len, digest);
        else
            pf_sha256(rq->body, rq->len, digest);
        pf_digest_field(digest, field);
        edge_header(rq, update ? "Repr-Digest" : "Content-Digest", field);
        if (update)
            s.repr_digest = field;
        else
            s.content_digest = field;
    }
    params.created = created ? created : pf_wall_ms() / 1000;
    pf_random(random, sizeof random);
    pf_hex(random, sizeof random, params.nonce);
    params.alg = pf_key_algorithm(key);
    pf_key_fingerprint(key, digest);
    pf_hex(digest, PF_DEVICE_LEN, params.keyid);
    pf_buf_init(&input, 4096);
    pf_buf_init(&value, 4096);
    assert_int_equal(
        pf_httpsig_make(&s, &params, key, NULL, NULL, &input, &value),
        POCKETFED_OK);
    edge_header(rq, "Signature-Input", pf_buf_str(&input));
    edge_header(rq, "Signature", pf_buf_str(&value));
    pf_buf_free(&input);
    pf_buf_free(&value);
}

void edge_admin(struct edge *e, const char *method, const char *path,
                const char *body, struct edge_reply *out)
{
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = method,
                              .path = path,
                              .body = body,
                              .len = body ? strlen(body) : 0};

    edge_send(e, &rq, out);
}

void edge_device(struct edge *e, const struct pf_key *key, const char *method,
                 const char *path, const void *body, size_t len,
                 struct edge_reply *out)
{
    struct edge_request rq = {
        .method = method, .path = path, .body = body, .len = len};

    edge_sign(e, &rq, key, 0);
    edge_send(e, &rq, out);
}

void edge_task(struct edge *e, unsigned cohort)
{
    struct edge_reply r;
    char text[400];

    snprintf(text, sizeof text,
             "{\"name\":\"t\",\"model\":\"logreg\",\"round\":{\"select\":"
             "{\"min\":%u,\"max\":%u},\"collect\":{\"min\":%u,\"max\":%u}}}",
             cohort, cohort, cohort, cohort);
    edge_admin(e, "POST", "/admin/v1/tasks", text, &r);
    assert_int_equal(r.status, 201);
    edge_forget(&r);
}

void edge_token(struct edge *e, const char *request, char *out)
{
    struct pf_token_reply reply = {0};
    struct pf_join_link link;
    struct edge_reply r;

    edge_admin(e, "POST", "/admin/v1/tasks/t/tokens", request, &r);
    assert_int_equal(r.status, 201);
    assert_int_equal(pf_json_decode(pf_token_reply_fields, PF_JSON_REFUSE,
                                    pf_buf_str(&r.body), r.body.len, &reply,
                                    NULL),
                     POCKETFED_OK);
    edge_forget(&r);
    assert_int_equal(pf_join_link_parse(reply.link, &link, NULL), POCKETFED_OK);
    memcpy(out, link.token, sizeof link.token);
}

void edge_enrol(struct edge *e, const struct pf_key *key, const char *token,
                struct edge_reply *out)
{
    struct pf_enrol_request rq = {0};
    uint8_t raw[PF_PUBLIC_MAX];
    struct pf_buf body;

    rq.key.len = pf_key_public(key, raw);
    memcpy(rq.key.data, raw, rq.key.len);
    snprintf(rq.token, sizeof rq.token, "%s", token);
    snprintf(rq.alg, sizeof rq.alg, "%s",
             pf_key_alg_name(pf_key_algorithm(key)));
    pf_buf_init(&body, 4096);
    assert_int_equal(pf_json_encode(pf_enrol_request_fields, &rq, &body),
                     POCKETFED_OK);
    edge_device(e, key, "POST", "/v1/tasks/t/enrol", body.data, body.len, out);
    pf_buf_free(&body);
}

struct pf_key *edge_join(struct edge *e)
{
    struct pf_key *key = NULL;
    struct edge_reply r;
    char token[PF_TOKEN_LEN + 1];

    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
    edge_token(e, "{}", token);
    edge_enrol(e, key, token, &r);
    assert_int_equal(r.status, 201);
    edge_forget(&r);
    return key;
}

void edge_update(struct edge *e, const struct pf_key *key, uint64_t *round,
                 struct pf_buf *frame)
{
    static const char ask[] = "{\"client_version\":\"0.1.0\",\"codecs\":"
                              "[\"f32\",\"f16\"]}";
    const struct pf_live_task *t =
        pf_coordinator_task(e->daemon.edge.coordinator, "t");
    struct pf_checkin_reply work = {0};
    struct pf_update u = {0};
    struct edge_reply r;
    float delta[7850];
    size_t i, began;

    edge_device(e, key, "POST", "/v1/tasks/t/checkin", ask, strlen(ask), &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(pf_json_decode(pf_checkin_reply_fields, PF_JSON_IGNORE,
                                    pf_buf_str(&r.body), r.body.len, &work,
                                    NULL),
                     POCKETFED_OK);
    assert_int_equal(work.kind, PF_CHECKIN_TRAIN);
    edge_forget(&r);
    *round = work.round;
    snprintf(u.task, sizeof u.task, "t");
    u.round = work.round;
    memcpy(u.plan, work.plan, 32);
    memcpy(u.base, work.base, 32);
    memcpy(u.layout, t->layout, 32);
    u.examples = 100;
    u.n_sections = 1;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = pf_codec_f32.id;
    u.sections[0].count = 7850;
    for (i = 0; i < 7850; i++)
        delta[i] = (float)i * 1e-6f;
    pf_buf_init(frame, 1u << 20);
    assert_int_equal(pf_update_begin(frame, &u), POCKETFED_OK);
    began = frame->len;
    assert_int_equal(pf_codec_f32.encode(delta, 7850, 0, frame), POCKETFED_OK);
    assert_int_equal(pf_update_section_end(frame, &u, 0, began), POCKETFED_OK);
}

void edge_expect(struct edge_reply *r, int status, enum pf_problem_id problem)
{
    if (r->status != status || r->problem != problem)
        fail_msg("%d (problem %d) instead of %d (%d): %s", r->status,
                 (int)r->problem, status, (int)problem, pf_buf_str(&r->body));
}

void edge_says(struct edge *e, const struct edge_reply *r, const char *label)
{
    assert_int_equal(pf_statement_verify_field(e->daemon.dir.record_key, label,
                                               r->body.data, r->body.len,
                                               r->statement),
                     POCKETFED_OK);
}

void edge_get(struct edge *e, enum pf_listener on, const char *path,
              struct edge_reply *r)
{
    struct edge_request rq = {.listener = on, .method = "GET", .path = path};

    edge_send(e, &rq, r);
}

void edge_checkin(struct edge *e, const struct pf_key *key, const char *ask,
                  struct edge_reply *r)
{
    edge_device(e, key, "POST", "/v1/tasks/t/checkin", ask, strlen(ask), r);
}

void edge_put(struct edge *e, const struct pf_key *key, uint64_t round,
              const struct pf_buf *frame, struct edge_reply *r)
{
    struct edge_request rq;
    char path[EDGE_PATH];

    edge_put_request(e, key, round, frame, path, &rq);
    edge_send(e, &rq, r);
}

void edge_put_request(struct edge *e, const struct pf_key *key, uint64_t round,
                      const struct pf_buf *frame, char path[EDGE_PATH],
                      struct edge_request *rq)
{
    snprintf(path, EDGE_PATH, "/v1/tasks/t/rounds/%d/update", (int)round);
    *rq = (struct edge_request){
        .method = "PUT", .path = path, .body = frame->data, .len = frame->len};
    edge_sign(e, rq, key, 0);
}

uint64_t edge_waiting(struct edge *e)
{
    struct pf_coordinator_stats s;

    pf_coordinator_stats(e->daemon.edge.coordinator, &s);
    return s.queue_depth;
}
