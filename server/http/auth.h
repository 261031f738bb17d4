/* auth.h - is this request signed by the device it names, meant for this
 * server, fresh, and new?
 *
 * HTTP Message Signatures (RFC 9421, httpsig.h) in a fixed order of checks, so
 * that each refusal has one cause: headers present, form, record key, [the
 * caller looks the device up,] clock, start of this process, nonce, signature,
 * and at the end of the body its digest.  Nothing here touches the network or
 * the store; time is an argument.
 */
#ifndef PF_AUTH_H
#define PF_AUTH_H

#include <stdatomic.h>
#include "calls.h"
#include "httpsig.h"
#include "nonce.h"
#include "problem.h"

struct pf_verifier {
    char record_key[65]; /* hex fingerprint of ours */
    struct pf_nonces *nonces;
    int64_t started_ms; /* wall clock */
    /* Set when the process is older than 2 * PF_SKEW_S by the monotonic clock:
     * what was made before its start is refused as too old by then, and a wall
     * clock that was wrong at the start does no more harm. */
    atomic_int settled;
};

/* Everything that needs no key: 1 with *out filled and, when the call has a
 * body, its signed digest in `digest`; 0 with *why. */
int pf_auth_read(const struct pf_verifier *a, enum pf_body body,
                 const struct pf_signed_request *rq, const char *input,
                 const char *value, struct pf_signature *out,
                 uint8_t digest[PF_DIGEST_LEN], struct pf_problem *why);
/* Clock, start, nonce, signature; the nonce counts as used when all is well. */
int pf_auth_check(const struct pf_verifier *a, const struct pf_signature *sig,
                  const struct pf_signed_request *rq, const struct pf_key *key,
                  int64_t now_ms, struct pf_problem *why);
/* The same without the nonce, for a call that says the same however often it
 * is made, from keys that nobody knows yet: they must not fill the window. */
int pf_auth_check_idempotent(const struct pf_verifier *a,
                             const struct pf_signature *sig,
                             const struct pf_signed_request *rq,
                             const struct pf_key *key, int64_t now_ms,
                             struct pf_problem *why);
/* The body has the digest that was signed. */
int pf_auth_body(const uint8_t digest[PF_DIGEST_LEN], const void *body,
                 size_t len, struct pf_problem *why);

#endif
