#include "crafted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <cmocka.h>

#include "codec.h"
#include "proc.h"
#include "statement.h"
#include "text.h"

#define REPLY_MS  20000
#define TYPE_BASE "https://pocketfed.dev/problems/"

void pf_server_of(struct pf_server *s, const char *link)
{
    struct pf_error err = {0};

    memset(s, 0, sizeof *s);
    if (pf_join_link_parse(link, &s->link, &err))
        fail_msg("%s: %s", err.text, link);
    assert_int_equal(s->link.n_pins, 1);
    s->peer.host = s->link.host;
    s->peer.port = s->link.port;
    s->peer.pins = (const uint8_t(*)[32])s->link.pins;
    s->peer.n_pins = s->link.n_pins;
    memcpy(s->peer.record_key, s->link.id, 32);
}

void pf_server_free(struct pf_server *s)
{
    pf_key_free(s->record_key);
    memset(s, 0, sizeof *s);
}

void pf_keyholder_make(struct pf_keyholder *k)
{
    uint8_t raw[PF_PUBLIC_MAX];
    size_t n;

    memset(k, 0, sizeof *k);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &k->key), POCKETFED_OK);
    k->id.alg = PF_KEY_ED25519;
    k->id.key = k->key;
    n = pf_key_public(k->key, raw);
    pf_device_id(raw, n, k->id.device);
}

void pf_keyholder_free(struct pf_keyholder *k)
{
    pf_key_free(k->key);
    memset(k, 0, sizeof *k);
}

/* ---- requests ---- */

void pf_crafted_free(struct pf_crafted *c)
{
    pf_buf_free(&c->body);
    memset(c, 0, sizeof *c);
}

const char *pf_crafted_header(const struct pf_crafted *c, const char *name)
{
    unsigned i;

    for (i = 0; i < c->n_headers; i++)
        if (strcasecmp(c->header[i].name, name) == 0)
            return c->header[i].value;
    return NULL;
}

void pf_crafted_set(struct pf_crafted *c, const char *name, const char *value)
{
    unsigned i;

    for (i = 0; i < c->n_headers; i++)
        if (strcasecmp(c->header[i].name, name) == 0)
            break;
    if (!value) {
        if (i < c->n_headers)
            c->header[i] = c->header[--c->n_headers];
        return;
    }
    assert_in_range(i, 0, PF_CRAFTED_HEADERS - 1);
    assert_true(strlen(value) < sizeof c->header[0].value);
    snprintf(c->header[i].name, sizeof c->header[i].name, "%s", name);
    snprintf(c->header[i].value, sizeof c->header[i].value, "%s", value);
    c->n_headers += i == c->n_headers;
}

void pf_craft(struct pf_crafted *c, const struct pf_server *s,
              const struct pf_keyholder *k, enum pf_call_id call,
              const struct pf_call_args *args, const void *body, size_t len,
              const uint8_t *digest, int64_t created_s)
{
    static const struct pf_call_args none;
    struct pf_want_request want;
    struct pf_built_request b;
    struct pf_error err = {0};
    char number[32];
    size_t i;

    pf_crafted_free(c);
    pf_buf_init(&c->body, 400u << 20);
    memset(&want, 0, sizeof want);
    want.call = call;
    want.args = args ? *args : none;
    want.body = body;
    want.body_len = len;
    want.max_reply = 1u << 20;
    if (digest)
        memcpy(want.digest, digest, sizeof want.digest);
    else
        pf_sha256(body, len, want.digest);
    pf_built_request_init(&b);
    if (pf_request_build(&b, &want, &k->id, &s->peer,
                         created_s ? created_s : (int64_t)time(NULL) + 1, &err))
        fail_msg("%s", err.text);
    snprintf(c->method, sizeof c->method, "%s", b.r.method);
    snprintf(c->target, sizeof c->target, "%s", b.r.target);
    pf_crafted_set(c, "Host", "127.0.0.1");
    for (i = 0; i < b.r.n_headers; i++)
        pf_crafted_set(c, b.r.headers[i].name, b.r.headers[i].value);
    if (pf_calls[call].body != PF_BODY_NONE) {
        snprintf(number, sizeof number, "%zu", len);
        pf_crafted_set(c, "Content-Length", number);
        assert_int_equal(pf_buf_add(&c->body, body, len), POCKETFED_OK);
    }
    if (b.r.expect_continue)
        pf_crafted_set(c, "Expect", "100-continue");
    pf_built_request_free(&b);
}

void pf_crafted_head(const struct pf_crafted *c, struct pf_buf *out)
{
    unsigned i;

    pf_buf_addf(out, "%s %s HTTP/1.1\r\n", c->method, c->target);
    for (i = 0; i < c->n_headers; i++)
        pf_buf_addf(out, "%s: %s\r\n", c->header[i].name, c->header[i].value);
    pf_buf_adds(out, "\r\n");
    assert_int_equal(pf_buf_status(out), POCKETFED_OK);
}

void pf_crafted_send(struct pf_crafted *c, const struct pf_server *s,
                     struct pf_raw_reply *reply)
{
    int head_only = strcmp(c->method, "HEAD") == 0;
    struct pf_buf head;
    struct pf_raw raw;

    pf_buf_init(&head, 1u << 16);
    pf_crafted_head(c, &head);
    c->sent = 0;
    pf_raw_open(&raw, s->peer.port, s->link.pins[0]);
    assert_int_equal(pf_raw_send(&raw, head.data, head.len), head.len);
    if (pf_crafted_header(c, "Expect")) {
        if (pf_raw_reply(&raw, (int64_t)REPLY_MS * PF_SLOW, 0, reply) != 1)
            fail_msg("neither 100 nor an answer to %s %s", c->method,
                     c->target);
        if (reply->status != 100)
            goto out;
    }
    c->sent = pf_raw_send(&raw, c->body.data, c->body.len);
    if (pf_raw_reply(&raw, (int64_t)REPLY_MS * PF_SLOW, head_only, reply) != 1)
        fail_msg("no answer to %s %s", c->method, c->target);
out:
    pf_raw_close(&raw);
    pf_buf_free(&head);
}

const char *pf_problem_slug(const struct pf_raw_reply *reply,
                            struct pf_problem *out)
{
    const char *type = pf_raw_header(reply, "Content-Type");
    struct pf_json_doc *doc = NULL;
    const struct pf_json_node *root;
    struct pf_problem p;
    const char *uri;
    int64_t status;

    if (!type || strcmp(type, PF_TYPE_PROBLEM) != 0)
        fail_msg("not a problem document: %s%s", pf_buf_str(&reply->head),
                 pf_buf_str(&reply->body));
    assert_int_equal(
        pf_problem_decode(pf_buf_str(&reply->body), reply->body.len, &p),
        POCKETFED_OK);
    assert_true(p.id != PF_PROBLEM_NONE);
    assert_true(p.detail[0]);
    assert_int_equal(pf_problem_rows[p.id].status, reply->status);
    assert_int_equal(
        pf_json_parse(pf_buf_str(&reply->body), reply->body.len, &doc, NULL),
        POCKETFED_OK);
    root = pf_json_root(doc);
    assert_true(
        pf_json_integer(pf_json_get(root, "status"), 100, 599, &status));
    assert_int_equal(status, reply->status);
    uri = pf_json_text(pf_json_get(root, "type"));
    assert_non_null(uri);
    assert_int_equal(strncmp(uri, TYPE_BASE, strlen(TYPE_BASE)), 0);
    assert_string_equal(uri + strlen(TYPE_BASE), pf_problem_rows[p.id].slug);
    pf_json_free(doc);
    if (out)
        *out = p;
    return pf_problem_rows[p.id].slug;
}

/* ---- what an honest device does ---- */

void pf_enrol(const struct pf_server *s, const struct pf_keyholder *k,
              const char *token, struct pf_raw_reply *reply)
{
    struct pf_enrol_request ask;
    struct pf_call_args args;
    struct pf_crafted c;
    struct pf_buf body;

    memset(&c, 0, sizeof c);
    memset(&ask, 0, sizeof ask);
    memset(&args, 0, sizeof args);
    snprintf(ask.token, sizeof ask.token, "%s", token);
    snprintf(ask.alg, sizeof ask.alg, "%s", pf_key_alg_name(k->id.alg));
    ask.key.len = pf_key_public(k->key, ask.key.data);
    snprintf(args.task, sizeof args.task, "%s", s->link.task);
    pf_buf_init(&body, PF_MAX_CONTROL_BODY);
    assert_int_equal(pf_json_encode(pf_enrol_request_fields, &ask, &body),
                     POCKETFED_OK);
    pf_craft(&c, s, k, PF_CALL_ENROL, &args, body.data, body.len, NULL, 0);
    pf_crafted_send(&c, s, reply);
    pf_buf_free(&body);
    pf_crafted_free(&c);
}

void pf_enrol_well(struct pf_server *s, struct pf_keyholder *k)
{
    struct pf_raw_reply r;
    struct pf_enrol_reply said;
    uint8_t print[32];

    memset(&r, 0, sizeof r);
    memset(&said, 0, sizeof said);
    pf_enrol(s, k, s->link.token, &r);
    if (r.status != 201)
        fail_msg("%d %s", r.status, pf_buf_str(&r.body));
    assert_int_equal(pf_json_decode(pf_enrol_reply_fields, PF_JSON_REFUSE,
                                    pf_buf_str(&r.body), r.body.len, &said,
                                    NULL),
                     POCKETFED_OK);
    if (!s->record_key)
        assert_int_equal(pf_key_from_public(PF_KEY_ED25519, said.record_key, 32,
                                            &s->record_key),
                         POCKETFED_OK);
    pf_key_fingerprint(s->record_key, print);
    assert_memory_equal(print, s->link.id, 32);
    assert_int_equal(pf_statement_verify_field(
                         s->record_key, PF_SAY_ENROLMENT, r.body.data,
                         r.body.len, pf_raw_header(&r, PF_HEADER_STATEMENT)),
                     POCKETFED_OK);
    assert_memory_equal(said.device, k->id.device, PF_DEVICE_LEN);
    k->ordinal = said.ordinal;
    pf_raw_reply_free(&r);
}

void pf_checkin(const struct pf_server *s, struct pf_keyholder *k)
{
    struct pf_checkin_request ask;
    struct pf_call_args args;
    struct pf_raw_reply r;
    struct pf_crafted c;
    struct pf_buf body;

    memset(&c, 0, sizeof c);
    memset(&r, 0, sizeof r);
    memset(&ask, 0, sizeof ask);
    memset(&args, 0, sizeof args);
    snprintf(args.task, sizeof args.task, "%s", s->link.task);
    snprintf(ask.codecs[0], sizeof ask.codecs[0], "f32");
    ask.n_codecs = 1;
    snprintf(ask.client_version, sizeof ask.client_version, "%s",
             POCKETFED_VERSION);
    pf_buf_init(&body, PF_MAX_CONTROL_BODY);
    assert_int_equal(pf_json_encode(pf_checkin_request_fields, &ask, &body),
                     POCKETFED_OK);
    pf_craft(&c, s, k, PF_CALL_CHECKIN, &args, body.data, body.len, NULL, 0);
    pf_crafted_send(&c, s, &r);
    if (r.status != 200)
        fail_msg("%d %s", r.status, pf_buf_str(&r.body));
    memset(&k->work, 0, sizeof k->work);
    assert_int_equal(pf_json_decode(pf_checkin_reply_fields, PF_JSON_REFUSE,
                                    pf_buf_str(&r.body), r.body.len, &k->work,
                                    NULL),
                     POCKETFED_OK);
    if (k->work.kind == PF_CHECKIN_TRAIN)
        assert_int_equal(
            pf_statement_verify_field(s->record_key, PF_SAY_ASSIGNMENT,
                                      r.body.data, r.body.len,
                                      pf_raw_header(&r, PF_HEADER_STATEMENT)),
            POCKETFED_OK);
    pf_buf_free(&body);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}
