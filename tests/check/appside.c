#include "appside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guard.h"
#include "httpsig.h"
#include "joinlink.h"
#include "text.h"
#include "tmpdir.h"

#define MUST(what)                                                             \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);         \
            abort();                                                           \
        }                                                                      \
    } while (0)

static const char *header(const struct pocketfed_request *r, const char *name)
{
    size_t i;

    for (i = 0; i < r->n_headers; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

/* The key that must have signed: the enrolled one, or the one that asks. */
static struct pf_key *signer(struct pf_app *a, enum pf_call_id call,
                             const struct pocketfed_request *r)
{
    struct pf_enrol_request q;
    struct pf_key *key = NULL;
    enum pf_key_alg alg;
    uint8_t raw[PF_PUBLIC_MAX];
    size_t n;

    if (call != PF_CALL_ENROL) {
        MUST(a->fake.device_key);
        n = pf_key_public(a->fake.device_key, raw);
        MUST(!pf_key_from_public(pf_key_algorithm(a->fake.device_key), raw, n,
                                 &key));
        return key;
    }
    memset(&q, 0, sizeof q);
    MUST(!pf_json_decode(pf_enrol_request_fields, PF_JSON_IGNORE,
                         (const char *)r->body, r->body_len, &q, NULL));
    MUST(pf_key_alg_find(q.alg, &alg));
    MUST(!pf_key_from_public(alg, q.key.data, q.key.len, &key));
    return key;
}

/* 1 when the signature is right; *created_ms is its time. */
static int check_signature(struct pf_app *a, enum pf_call_id call,
                           const struct pocketfed_request *r, const char *path,
                           int64_t *created_ms)
{
    struct pf_signed_request parts = {
        .method = r->method,
        .path = path,
        .query = a->fake.query[0] ? a->fake.query : "?",
        .content_digest = header(r, "Content-Digest"),
        .repr_digest = header(r, "Repr-Digest"),
        .record_key = header(r, "Pocketfed-Record-Key"),
    };
    struct pf_key *key = signer(a, call, r);
    struct pf_signature sig;
    uint8_t is[32], want[32];
    const char *field =
        parts.content_digest ? parts.content_digest : parts.repr_digest;
    char hex[65];
    int ok;

    pf_key_fingerprint(a->fake.record_key, want);
    pf_hex(want, 32, hex);
    ok = a->any_record_key ||
         (parts.record_key && strcmp(parts.record_key, hex) == 0);
    if (pf_calls[call].body != PF_BODY_NONE) {
        /* Of an appended body the digest is the whole frame's. */
        pf_sha256(r->body, r->body_len, is);
        ok = ok && field && pf_digest_field_parse(field, want) &&
             (call == PF_CALL_UPDATE_APPEND || memcmp(is, want, 32) == 0);
    }
    ok = ok &&
         !pf_httpsig_parse(header(r, "Signature-Input"), header(r, "Signature"),
                           &parts, &sig, NULL) &&
         !pf_httpsig_verify(&sig, &parts, key);
    *created_ms = ok ? sig.params.created * 1000 : 0;
    pf_key_free(key);
    return ok;
}

static void refuse_time(struct pf_app *a, struct pf_fake_reply *r)
{
    struct pf_problem p;
    uint8_t sig[64];

    a->skewed++;
    pf_problem_set(&p, PF_PROBLEM_CLOCK_SKEW, "your clock is off");
    p.server_time_ms = a->fake.now_ms;
    pf_buf_init(&r->body, 1 << 16);
    r->status = 401;
    MUST(!pf_problem_encode(&p, &r->body));
    MUST(!pf_statement_sign(a->fake.record_key, PF_SAY_TIME, r->body.data,
                            r->body.len, sig));
    pf_statement_field(sig, r->statement);
}

/* What a daemon says that was given a new record key. */
static int refuse_key(struct pf_app *a, const struct pocketfed_request *r,
                      struct pf_fake_reply *reply)
{
    const char *named = header(r, "Pocketfed-Record-Key");
    struct pf_problem p;
    char hex[65];

    pf_hex(a->fake.replaced, 32, hex);
    if (!a->fake.rotation.len || !named || strcmp(named, hex) != 0)
        return 0;
    pf_problem_set(&p, PF_PROBLEM_RECORD_KEY, "another record key");
    pf_buf_init(&reply->body, 1 << 16);
    reply->status = 421;
    MUST(!pf_problem_encode(&p, &reply->body));
    return 1;
}

static void split_target(struct pf_app *a, const char *target, char *path,
                         size_t cap)
{
    size_t n = strcspn(target, "?");

    MUST(n < cap && strlen(target + n) < sizeof a->fake.query);
    memcpy(path, target, n);
    path[n] = '\0';
    snprintf(a->fake.query, sizeof a->fake.query, "%s", target + n);
}

/* What the request's headers say of positions. */
static void read_asked(const struct pocketfed_request *r,
                       struct pf_fake_asked *out)
{
    const char *offset = header(r, "Upload-Offset");
    const char *range = header(r, "Range");
    const char *digest = header(r, "Repr-Digest");

    memset(out, 0, sizeof *out);
    if (offset)
        out->offset = strtoull(offset, NULL, 10);
    if (range)
        out->offset = strtoull(range + strlen("bytes="), NULL, 10);
    if (digest)
        MUST(pf_digest_field_parse(digest, out->digest));
}

static void add_positions(const struct pf_fake_reply *reply,
                          struct pf_memory_reply *out)
{
    char text[PF_DIGEST_FIELD_LEN];

    if (reply->upload_offset >= 0) {
        snprintf(text, sizeof text, "%" PRId64, reply->upload_offset);
        pf_memory_header(out, "upload-offset", text);
    }
    if (reply->has_digest) {
        pf_digest_field(reply->digest, text);
        pf_memory_header(out, "repr-digest", text);
    }
    if (reply->range_first >= 0) {
        snprintf(text, sizeof text, "bytes %" PRId64 "-1/1",
                 reply->range_first);
        pf_memory_header(out, "content-range", text);
    }
}

/* 1 when the connection breaks under the request, or under the reply. */
static int breaks_up(struct pf_app *a, enum pf_call_id call,
                     const struct pocketfed_request *r,
                     struct pf_memory_reply *out)
{
    if ((call != PF_CALL_UPDATE && call != PF_CALL_UPDATE_APPEND) ||
        !a->up_limit || r->body_len <= a->up_limit)
        return 0;
    pf_fake_cut(&a->fake, call, r->body, a->up_limit);
    out->body_sent = a->up_limit;
    a->cuts++;
    return 1;
}

static int breaks_down(struct pf_app *a, enum pf_call_id call,
                       struct pf_memory_reply *out)
{
    if (call != PF_CALL_MODEL || !a->down_limit ||
        out->body->len <= a->down_limit)
        return 0;
    out->body->len = a->down_limit;
    a->cuts++;
    return 1;
}

static enum pocketfed_status serve(void *ctx, const struct pocketfed_request *r,
                                   struct pf_memory_reply *out)
{
    struct pf_app *a = ctx;
    char path[256];
    const struct pf_call *call;
    struct pf_call_args args;
    struct pf_fake_reply reply;
    const char *allow;
    char after[24];
    int64_t created_ms, off;
    int known;

    if (a->wrong_certificate) {
        snprintf(out->why, sizeof out->why, "the certificate is wrong");
        return POCKETFED_PROOF;
    }
    if (a->unreachable > 0) {
        a->unreachable--;
        snprintf(out->why, sizeof out->why, "no route to %s", r->host);
        return POCKETFED_UNREACHABLE;
    }
    memset(&args, 0, sizeof args);
    split_target(a, r->target, path, sizeof path);
    call =
        pf_call_match(PF_LISTEN_CLIENT, r->method, path, &args, &known, &allow);
    MUST(call);
    memset(&reply, 0, sizeof reply);
    if (call->auth != PF_AUTH_NONE && !refuse_key(a, r, &reply)) {
        if (!check_signature(a, call->id, r, path, &created_ms))
            a->fake.bad_signatures++;
        off = created_ms - a->fake.now_ms;
        if (off > PF_SKEW_S * 1000 || off < -PF_SKEW_S * 1000)
            refuse_time(a, &reply);
    }
    read_asked(r, &a->fake.asked);
    if (breaks_up(a, call->id, r, out))
        return POCKETFED_UNREACHABLE;
    if (!reply.status)
        pf_fake_serve(&a->fake, call->id, &args, r->body, r->body_len, &reply);
    if (call->id == PF_CALL_UPDATE && a->fake.drop_ack) {
        a->lost = 1;
        pf_fake_reply_free(&reply);
        return POCKETFED_UNREACHABLE;
    }
    out->status = reply.status;
    if (r->method[0] != 'H')
        pf_buf_add(out->body, reply.body.data, reply.body.len);
    add_positions(&reply, out);
    if (reply.statement[0])
        pf_memory_header(out, "pocketfed-signature", reply.statement);
    if (reply.retry_after_s) {
        snprintf(after, sizeof after, "%" PRId64, reply.retry_after_s);
        pf_memory_header(out, "retry-after", after);
    }
    pf_fake_reply_free(&reply);
    if (!breaks_down(a, call->id, out))
        return POCKETFED_OK;
    return a->hangs ? POCKETFED_AGAIN : POCKETFED_UNREACHABLE;
}

/* The transport: the memory one, but a body ends where the memory ends, with no
 * NUL after it, and is gone after the cancel. */
struct wire {
    struct pocketfed_transport inner;
    uint8_t *body;
    size_t body_len;
};

static enum pocketfed_status wire_begin(void *ctx,
                                        const struct pocketfed_request *r)
{
    struct wire *w = ctx;

    return w->inner.begin(w->inner.ctx, r);
}

static void wire_cancel(void *ctx)
{
    struct wire *w = ctx;

    w->inner.cancel(w->inner.ctx);
    pf_guard_free(w->body, w->body_len);
    w->body = NULL;
}

static enum pocketfed_status wire_poll(void *ctx, int budget_ms,
                                       struct pocketfed_reply *out, char *why,
                                       size_t why_len)
{
    struct wire *w = ctx;
    enum pocketfed_status st;

    st = w->inner.poll(w->inner.ctx, budget_ms, out, why, why_len);
    pf_guard_free(w->body, w->body_len);
    w->body_len = out->body_len;
    w->body = pf_guard_copy(out->body, out->body_len);
    out->body = w->body;
    return st;
}

static void wire_destroy(void *ctx)
{
    struct wire *w = ctx;

    wire_cancel(w);
    w->inner.destroy(w->inner.ctx);
    free(w);
}

static void make_transport(struct pf_app *a)
{
    struct wire *w = calloc(1, sizeof *w);

    MUST(w && !pf_transport_memory(serve, a, &w->inner));
    a->transport = (struct pocketfed_transport){
        .size = sizeof a->transport,
        .ctx = w,
        .begin = wire_begin,
        .poll = wire_poll,
        .cancel = wire_cancel,
        .destroy = wire_destroy,
    };
}

static enum pocketfed_status count(void *ctx, uint64_t *n)
{
    (void)ctx;
    *n = PF_FAKE_EXAMPLES;
    return POCKETFED_OK;
}

static enum pocketfed_status example(void *ctx, uint64_t i, float *x,
                                     size_t n_x, uint32_t *label)
{
    MUST(n_x == 16 && i < PF_FAKE_EXAMPLES);
    return pf_fake_example(ctx, (size_t)i, x, label);
}

static int may_run(void *ctx)
{
    const struct pf_app *a = ctx;

    return !a->may_not_run;
}

static int64_t now_ms(void *ctx)
{
    const struct pf_app *a = ctx;

    return a->now_ms;
}

enum pocketfed_status pf_app_sign(void *ctx, const void *msg, size_t len,
                                  uint8_t signature[64])
{
    struct pf_app *a = ctx;

    return pf_key_sign(a->hardware, msg, len, signature);
}

enum pocketfed_status pf_app_try_open(struct pf_app *a)
{
    enum pocketfed_status st;

    make_transport(a);
    st = pocketfed_client_open(&a->options, &a->env, &a->client, a->why,
                               sizeof a->why);
    if (st)
        a->transport.destroy(a->transport.ctx);
    return st;
}

void pf_app_open(struct pf_app *a)
{
    if (pf_app_try_open(a)) {
        fprintf(stderr, "open: %s\n", a->why);
        abort();
    }
    memset(&a->progress, 0, sizeof a->progress);
    a->progress.size = sizeof a->progress;
}

void pf_app_reopen(struct pf_app *a)
{
    pocketfed_client_close(a->client);
    a->client = NULL;
    pf_app_open(a);
}

void pf_app_start(struct pf_app *a)
{
    struct pf_join_link link;

    memset(a, 0, sizeof *a);
    pf_fake_start(&a->fake, "tiny");
    a->now_ms = a->fake.now_ms;
    pf_tmpdir_make(a->base, sizeof a->base);
    snprintf(a->dir, sizeof a->dir, "%s/device", a->base);
    memset(&link, 0, sizeof link);
    snprintf(link.host, sizeof link.host, "example.org");
    link.port = 8443;
    snprintf(link.task, sizeof link.task, "tiny");
    pf_key_fingerprint(a->fake.record_key, link.id);
    memset(link.pins[0], 9, 32);
    link.n_pins = 1;
    MUST(!pf_token_make(link.token));
    MUST(!pf_join_link_write(&link, a->link, sizeof a->link));
    a->options.size = sizeof a->options;
    a->options.storage = a->dir;
    a->options.label = "test";
    a->env = (struct pocketfed_env){
        .size = sizeof a->env,
        .ctx = a,
        .examples = count,
        .example = example,
        .may_run = may_run,
        .now_ms = now_ms,
        .transport = &a->transport,
    };
    pf_app_open(a);
}

void pf_app_stop(struct pf_app *a)
{
    pocketfed_client_close(a->client);
    pf_fake_stop(&a->fake);
    pf_key_free(a->hardware);
    pf_tmpdir_remove(a->base);
}

enum pocketfed_status pf_app_step(struct pf_app *a)
{
    enum pocketfed_status st;

    st = pocketfed_client_step(a->client, 1000, &a->progress);
    if (a->progress.state == POCKETFED_STATE_WAITING) {
        a->now_ms += a->progress.wait_ms;
        a->fake.now_ms += a->progress.wait_ms;
    }
    return st;
}

enum pocketfed_status pf_app_run(struct pf_app *a, int max)
{
    enum pocketfed_status st = POCKETFED_OK;

    while (max-- > 0 && st == POCKETFED_OK)
        st = pf_app_step(a);
    return st;
}

void pf_app_until(struct pf_app *a, enum pocketfed_event event)
{
    enum pocketfed_status st;
    int max = 1000;

    do {
        st = pf_app_step(a);
        if (st || max-- == 0) {
            fprintf(stderr, "no event %d: status %d, %s\n", (int)event, (int)st,
                    pocketfed_client_error(a->client));
            abort();
        }
    } while (a->progress.event != event);
}

void pf_app_join(struct pf_app *a)
{
    MUST(!pocketfed_client_join(a->client, a->link));
    pf_app_until(a, POCKETFED_EVENT_JOINED);
}

struct pocketfed_status_report pf_app_status(const struct pf_app *a)
{
    struct pocketfed_status_report r = {.size = sizeof r};

    MUST(!pocketfed_client_status(a->client, &r));
    return r;
}

int pf_app_set_up(void **state)
{
    struct pf_app *a = calloc(1, sizeof *a);

    MUST(a);
    pf_app_start(a);
    *state = a;
    return 0;
}

int pf_app_tear_down(void **state)
{
    struct pf_app *a = *state;

    pf_app_stop(a);
    free(a);
    return 0;
}

void pf_app_is(const struct pf_app *a, enum pocketfed_state want)
{
    assert_int_equal(pf_app_status(a).state, want);
}

const char *pf_app_file(const struct pf_app *a, const char *name)
{
    static char text[8192];
    char path[400];
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", a->dir, name);
    f = fopen(path, "r");
    if (f) {
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    text[n] = '\0';
    return text;
}
