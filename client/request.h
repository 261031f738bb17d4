/* request.h - a call and its parameters become a signed HTTP request; an HTTP
 * reply becomes what the participation takes.
 *
 * Everything but the GET of a plan or model is signed (httpsig.h), with a fresh
 * random nonce each time: build the request anew for every attempt.
 */
#ifndef PF_REQUEST_H
#define PF_REQUEST_H

#include <pocketfed/client.h>
#include "httpsig.h"
#include "participation.h"

/* The device's signing key: ours, or one that the app keeps. */
struct pf_identity {
    enum pf_key_alg alg;
    const struct pf_key *key; /* used when sign is NULL */
    pf_sign_fn sign;
    void *sign_ctx;
    uint8_t device[PF_DEVICE_LEN];
};

/* Where requests go and which record key they are meant for. Borrowed. */
struct pf_peer {
    const char *host;
    uint16_t port;
    const uint8_t (*pins)[32];
    size_t n_pins;
    uint8_t record_key[32]; /* fingerprint */
};

#define PF_REQUEST_HEADERS 8
/* Of a body that may be cut off: what has come of a TLS record is lost. */
#define PF_REQUEST_PIECE 4096

struct pf_built_request {
    struct pocketfed_request r; /* points into this struct and at the body */
    struct pocketfed_header headers[PF_REQUEST_HEADERS];
    char path[256], target[384], digest[PF_DIGEST_FIELD_LEN], record_key[65];
    char offset[32], etag[72];
    struct pf_buf signature_input, signature;
};

void pf_built_request_init(struct pf_built_request *b);
void pf_built_request_free(struct pf_built_request *b); /* then reusable */

/* created_s: Unix seconds as the server sees them. want's body is borrowed
 * until the request has ended. */
enum pocketfed_status pf_request_build(struct pf_built_request *b,
                                       const struct pf_want_request *want,
                                       const struct pf_identity *identity,
                                       const struct pf_peer *peer,
                                       int64_t created_s, struct pf_error *err);

/* Views into the transport's reply, valid as long as that is. */
void pf_request_reply(const struct pocketfed_reply *in,
                      struct pf_want_reply *out);

/* First bytes of SHA-256 over the raw public key: the device's name. */
void pf_device_id(const uint8_t *public_key, size_t len,
                  uint8_t out[PF_DEVICE_LEN]);

#endif
