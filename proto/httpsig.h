/* httpsig.h - HTTP Message Signatures (RFC 9421) over the components that
 * pocketfed signs, with RFC 9530 digest fields and RFC 8941 structured fields
 * as far as they need them.
 *
 * Covered, in this order: "@method" "@path" "@query", then "content-digest"
 * (control bodies) or "repr-digest" (updates) when there is a body, then
 * "pocketfed-record-key".  Parameters: created, nonce, keyid, alg, tag.  The
 * label is sig1.  A verifier accepts any order of components and parameters as
 * long as all of the above are covered.
 */
#ifndef PF_HTTPSIG_H
#define PF_HTTPSIG_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "crypto.h"
#include "fail.h"
#include "wire.h"

/* What a request says; strings borrowed. Absent headers are NULL. */
struct pf_signed_request {
    const char *method;         /* "POST" */
    const char *path;           /* "/v1/tasks/a/checkin" */
    const char *query;          /* "?" for none, else "?a=b" */
    const char *content_digest; /* field values as sent */
    const char *repr_digest;
    const char *record_key; /* hex */
};

struct pf_signature_params {
    int64_t created; /* Unix seconds */
    char nonce[PF_NONCE_MAX + 1];
    char keyid[2 * PF_DEVICE_LEN + 1]; /* hex of the device id */
    enum pf_key_alg alg;
};

/* Appends the values of the Signature-Input and Signature fields. The private
 * key signs; with sign == NULL, key is used. `sign` lets an app keep the key in
 * hardware: it returns 64 bytes over the base. */
typedef enum pocketfed_status (*pf_sign_fn)(void *ctx, const void *msg,
                                            size_t len,
                                            uint8_t sig[PF_SIGNATURE_LEN]);
enum pocketfed_status pf_httpsig_make(const struct pf_signed_request *req,
                                      const struct pf_signature_params *params,
                                      const struct pf_key *key, pf_sign_fn sign,
                                      void *sign_ctx, struct pf_buf *input,
                                      struct pf_buf *value);

/* Parses Signature-Input: finds the signature whose tag is PF_SIGNATURE_TAG
 * and checks that every needed component is covered. MALFORMED, PROOF (a
 * component is missing; err names it). Nothing is verified yet. */
struct pf_signature {
    struct pf_signature_params params;
    char label[32];
    char covered[512]; /* inner list and parameters exactly as sent */
    uint8_t bytes[PF_SIGNATURE_LEN];
};
enum pocketfed_status pf_httpsig_parse(const char *signature_input,
                                       const char *signature,
                                       const struct pf_signed_request *req,
                                       struct pf_signature *out,
                                       struct pf_error *err);
/* OK or PROOF. */
enum pocketfed_status pf_httpsig_verify(const struct pf_signature *sig,
                                        const struct pf_signed_request *req,
                                        const struct pf_key *key);

/* RFC 9530: "sha-256=:base64:". out has room for PF_DIGEST_FIELD_LEN. */
#define PF_DIGEST_FIELD_LEN 64
void pf_digest_field(const uint8_t digest[PF_DIGEST_LEN],
                     char out[PF_DIGEST_FIELD_LEN]);
/* The sha-256 member of a digest field; 1 or 0. */
int pf_digest_field_parse(const char *field, uint8_t digest[PF_DIGEST_LEN]);

#endif
