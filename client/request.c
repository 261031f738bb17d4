#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define NONCE_BYTES 16

void pf_built_request_init(struct pf_built_request *b)
{
    memset(b, 0, sizeof *b);
    pf_buf_init(&b->signature_input, 1024);
    pf_buf_init(&b->signature, 256);
}

void pf_built_request_free(struct pf_built_request *b)
{
    pf_buf_free(&b->signature_input);
    pf_buf_free(&b->signature);
    pf_built_request_init(b);
}

void pf_device_id(const uint8_t *public_key, size_t len,
                  uint8_t out[PF_DEVICE_LEN])
{
    uint8_t digest[PF_DIGEST_LEN];

    pf_sha256(public_key, len, digest);
    memcpy(out, digest, PF_DEVICE_LEN);
}

static void add_header(struct pf_built_request *b, const char *name,
                       const char *value)
{
    b->headers[b->r.n_headers++] = (struct pocketfed_header){name, value};
}

static enum pocketfed_status sign(struct pf_built_request *b,
                                  const struct pf_call *call, const char *query,
                                  const struct pf_identity *identity,
                                  int64_t created_s)
{
    struct pf_signed_request signed_parts = {
        .method = call->method,
        .path = b->path,
        .query = query[0] ? query : "?",
        .content_digest = call->body == PF_BODY_CONTROL ? b->digest : NULL,
        .repr_digest = call->body == PF_BODY_UPDATE ? b->digest : NULL,
        .record_key = b->record_key,
    };
    struct pf_signature_params params;
    uint8_t nonce[NONCE_BYTES];
    enum pocketfed_status st;

    memset(&params, 0, sizeof params);
    params.created = created_s;
    params.alg = identity->alg;
    pf_hex(identity->device, PF_DEVICE_LEN, params.keyid);
    st = pf_random(nonce, sizeof nonce);
    if (st)
        return st;
    pf_base64url(nonce, sizeof nonce, params.nonce);
    return pf_httpsig_make(&signed_parts, &params, identity->key,
                           identity->sign, identity->sign_ctx,
                           &b->signature_input, &b->signature);
}

static void add_body_headers(struct pf_built_request *b,
                             const struct pf_call *call,
                             const struct pf_want_request *want)
{
    const char *type = PF_TYPE_JSON;

    if (call->body == PF_BODY_NONE)
        return;
    if (call->body == PF_BODY_UPDATE)
        type = call->id == PF_CALL_UPDATE ? PF_TYPE_UPDATE : PF_TYPE_PARTIAL;
    pf_digest_field(want->digest, b->digest);
    add_header(b, "Content-Type", type);
    add_header(b,
               call->body == PF_BODY_UPDATE ? "Repr-Digest" : "Content-Digest",
               b->digest);
    if (call->id != PF_CALL_UPDATE_APPEND)
        return;
    snprintf(b->offset, sizeof b->offset, "%" PRIu64, want->offset);
    add_header(b, "Upload-Offset", b->offset);
    add_header(b, "Upload-Complete", "?1"); /* the body goes to the end */
}

/* From the offset on, if it is still these bytes: then 206, else all of it. */
static void add_range(struct pf_built_request *b,
                      const struct pf_want_request *want)
{
    snprintf(b->offset, sizeof b->offset, "bytes=%" PRIu64 "-", want->offset);
    b->etag[0] = '"';
    pf_hex(want->args.digest, sizeof want->args.digest, b->etag + 1);
    memcpy(b->etag + 1 + 2 * sizeof want->args.digest, "\"", 2);
    add_header(b, "Range", b->offset);
    add_header(b, "If-Range", b->etag);
}

enum pocketfed_status pf_request_build(struct pf_built_request *b,
                                       const struct pf_want_request *want,
                                       const struct pf_identity *identity,
                                       const struct pf_peer *peer,
                                       int64_t created_s, struct pf_error *err)
{
    const struct pf_call *call = &pf_calls[want->call];
    enum pocketfed_status st;

    pf_built_request_free(b);
    st = pf_call_path(want->call, &want->args, b->path, sizeof b->path);
    if (st)
        return pf_fail(err, st, "the path of %s does not fit", call->path);
    snprintf(b->target, sizeof b->target, "%s%s", b->path, want->query);
    b->r = (struct pocketfed_request){
        .size = sizeof b->r,
        .method = call->method,
        .host = peer->host,
        .port = peer->port,
        .target = b->target,
        .headers = b->headers,
        .body = want->body,
        .body_len = want->body_len,
        .expect_continue = call->body == PF_BODY_UPDATE,
        .pins = peer->pins,
        .n_pins = peer->n_pins,
        .max_reply = want->max_reply,
    };
    if (call->id == PF_CALL_UPDATE_APPEND)
        b->r.piece = PF_REQUEST_PIECE;
    add_body_headers(b, call, want);
    if (call->body == PF_BODY_NONE && want->offset > 0)
        add_range(b, want);
    if (call->auth == PF_AUTH_NONE)
        return POCKETFED_OK;
    pf_hex(peer->record_key, 32, b->record_key);
    st = sign(b, call, want->query, identity, created_s);
    if (st)
        return pf_fail(err, st, "the request cannot be signed: %s",
                       pocketfed_status_text(st));
    add_header(b, "Pocketfed-Record-Key", b->record_key);
    add_header(b, "Signature-Input", pf_buf_str(&b->signature_input));
    add_header(b, "Signature", pf_buf_str(&b->signature));
    return POCKETFED_OK;
}

/* The number that a header begins with, behind `prefix` and before any of
 * `ends`; -1 when that is not how it is. */
static int64_t number(const struct pocketfed_reply *in, const char *name,
                      const char *prefix, const char *ends, uint64_t most)
{
    const char *s = in->header ? in->header(in->ctx, name) : NULL;
    size_t skip = strlen(prefix);
    uint64_t n;

    if (!s || strncmp(s, prefix, skip) != 0 ||
        !pf_parse_u64(s + skip, strcspn(s + skip, ends), 0, most, &n))
        return -1;
    return (int64_t)n;
}

void pf_request_reply(const struct pocketfed_reply *in,
                      struct pf_want_reply *out)
{
    int64_t seconds;
    const char *s;

    *out = (struct pf_want_reply){
        .status = in->status,
        .body = in->body,
        .body_len = in->body_len,
        .upload_offset = number(in, "upload-offset", "", "", INT64_MAX),
        .range_first = number(in, "content-range", "bytes ", "-", INT64_MAX),
        .body_sent = in->body_sent,
    };
    /* Seconds, as our server writes it; for a date the backoff will do. */
    seconds = number(in, "retry-after", "", "", 1u << 30);
    if (seconds > 0)
        out->retry_after_ms = seconds * 1000;
    s = in->header ? in->header(in->ctx, "repr-digest") : NULL;
    out->has_digest = s && pf_digest_field_parse(s, out->digest);
    /* Last: a transport's headers are valid until the next is asked for. */
    out->statement =
        in->header ? in->header(in->ctx, PF_HEADER_STATEMENT) : NULL;
}
