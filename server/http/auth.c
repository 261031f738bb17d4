#include "auth.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The digest field that the kind of body must sign; "" when it has none. */
static const char *needed_digest(enum pf_body body,
                                 const struct pf_signed_request *rq,
                                 const char **field)
{
    *field = NULL;
    if (body == PF_BODY_CONTROL) {
        *field = rq->content_digest;
        return "Content-Digest";
    }
    if (body == PF_BODY_UPDATE) {
        *field = rq->repr_digest;
        return "Repr-Digest";
    }
    return "";
}

int pf_auth_read(const struct pf_verifier *a, enum pf_body body,
                 const struct pf_signed_request *rq, const char *input,
                 const char *value, struct pf_signature *out,
                 uint8_t digest[PF_DIGEST_LEN], struct pf_problem *why)
{
    const char *missing = NULL, *name, *field;
    struct pf_error err = {0};
    enum pocketfed_status st;

    name = needed_digest(body, rq, &field);
    if (!input)
        missing = "Signature-Input";
    else if (!value)
        missing = "Signature";
    else if (!rq->record_key)
        missing = "Pocketfed-Record-Key";
    else if (name[0] && !field)
        missing = name;
    if (missing) {
        pf_problem_set(why, PF_PROBLEM_SIGNATURE_MISSING,
                       "the header %s is missing", missing);
        return 0;
    }
    st = pf_httpsig_parse(input, value, rq, out, &err);
    if (st != POCKETFED_OK) {
        pf_problem_set(why,
                       st == POCKETFED_PROOF ? PF_PROBLEM_SIGNATURE_MISSING
                                             : PF_PROBLEM_SIGNATURE_WRONG,
                       "%s", err.text);
        return 0;
    }
    if (name[0] && !pf_digest_field_parse(field, digest)) {
        pf_problem_set(why, PF_PROBLEM_DIGEST,
                       "%s has no readable sha-256 member", name);
        return 0;
    }
    if (strcmp(rq->record_key, a->record_key) != 0) {
        pf_problem_set(why, PF_PROBLEM_RECORD_KEY,
                       "this server's record key is %s", a->record_key);
        return 0;
    }
    return 1;
}

static int check_time(const struct pf_verifier *a, int64_t created,
                      int64_t now_ms, struct pf_problem *why)
{
    int64_t now = now_ms / 1000;
    int64_t started = a->started_ms / 1000 + (a->started_ms % 1000 != 0);

    /* `created` is any 64-bit number; compare without subtracting from it. */
    if (created < now - PF_SKEW_S || created > now + PF_SKEW_S) {
        pf_problem_set(why, PF_PROBLEM_CLOCK_SKEW,
                       "the request was made at %" PRId64
                       ", here it is %" PRId64 "; at most %d s are allowed",
                       created, now, PF_SKEW_S);
        why->server_time_ms = now_ms;
        return 0;
    }
    /* Nonces of before the start are forgotten. */
    if (created < started && !atomic_load(&a->settled)) {
        pf_problem_set(why, PF_PROBLEM_CREATED_BEFORE_START,
                       "the request was made %" PRId64
                       " s before this server started; sign it anew",
                       started - created);
        why->server_time_ms = now_ms;
        why->retry_after_ms = 1000;
        return 0;
    }
    return 1;
}

static int check_signature(const struct pf_signature *sig,
                           const struct pf_signed_request *rq,
                           const struct pf_key *key, struct pf_problem *why)
{
    if (sig->params.alg == pf_key_algorithm(key) &&
        pf_httpsig_verify(sig, rq, key) == POCKETFED_OK)
        return 1;
    pf_problem_set(why, PF_PROBLEM_SIGNATURE_WRONG,
                   "the signature does not match key %s", sig->params.keyid);
    return 0;
}

int pf_auth_check_idempotent(const struct pf_verifier *a,
                             const struct pf_signature *sig,
                             const struct pf_signed_request *rq,
                             const struct pf_key *key, int64_t now_ms,
                             struct pf_problem *why)
{
    return check_time(a, sig->params.created, now_ms, why) &&
           check_signature(sig, rq, key, why);
}

int pf_auth_check(const struct pf_verifier *a, const struct pf_signature *sig,
                  const struct pf_signed_request *rq, const struct pf_key *key,
                  int64_t now_ms, struct pf_problem *why)
{
    const struct pf_signature_params *p = &sig->params;
    int64_t now = now_ms / 1000;

    if (!check_time(a, p->created, now_ms, why))
        return 0;
    if (pf_nonces_seen(a->nonces, p->keyid, p->nonce, now))
        goto replayed;
    if (!check_signature(sig, rq, key, why))
        return 0;
    switch (pf_nonces_add(a->nonces, p->keyid, p->nonce,
                          p->created + PF_SKEW_S + 1, now)) {
    case POCKETFED_OK:
        return 1;
    case POCKETFED_EXISTS:
        goto replayed;
    default:
        pf_problem_set(why, PF_PROBLEM_BUSY,
                       "too many requests within the last %d s", PF_SKEW_S);
        why->retry_after_ms = 5000;
        return 0;
    }
replayed:
    pf_problem_set(why, PF_PROBLEM_REPLAYED,
                   "the nonce was used before; make a new one");
    return 0;
}

int pf_auth_body(const uint8_t digest[PF_DIGEST_LEN], const void *body,
                 size_t len, struct pf_problem *why)
{
    uint8_t got[PF_DIGEST_LEN];

    pf_sha256(body, len, got);
    if (memcmp(got, digest, sizeof got) == 0)
        return 1;
    pf_problem_set(why, PF_PROBLEM_DIGEST,
                   "the body's SHA-256 is not the one that was signed");
    return 0;
}
