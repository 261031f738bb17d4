/* crypto.h - hashes, signatures, random bytes, the self-made certificate.
 *
 * The only room that includes OpenSSL (3.0 or later, fetched algorithms only,
 * never low-level calls).  Every function may be called from any thread; no
 * global state but who computes Ed25519, see pf_ed25519_by.
 */
#ifndef PF_CRYPTO_H
#define PF_CRYPTO_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"

#define PF_DIGEST_LEN    32
#define PF_SIGNATURE_LEN 64
#define PF_PUBLIC_MAX    65

/* SHA-256. The one-shot forms cannot fail; _two is of a and b in a row. */
void pf_sha256(const void *p, size_t n, uint8_t out[PF_DIGEST_LEN]);
void pf_sha256_two(const void *a, size_t n_a, const void *b, size_t n_b,
                   uint8_t out[PF_DIGEST_LEN]);
/* HMAC (RFC 2104) with SHA-256. Cannot fail. */
void pf_hmac_sha256(const void *key, size_t n_key, const void *msg, size_t n,
                    uint8_t out[PF_DIGEST_LEN]);
struct pf_hash;                    /* running */
struct pf_hash *pf_hash_new(void); /* NULL: no memory */
void pf_hash_add(struct pf_hash *h, const void *p, size_t n);
/* Afterwards it is as new. */
void pf_hash_end(struct pf_hash *h, uint8_t out[PF_DIGEST_LEN]);
void pf_hash_free(struct pf_hash *h);

/* Signature keys. */
enum pf_key_alg {
    PF_KEY_ED25519 = 1, /* public 32 bytes raw; signature RFC 8032 */
    PF_KEY_P256 = 2,    /* public 65 bytes, uncompressed point; signature
                           ECDSA-SHA256 as r || s (RFC 9421, 3.3.4) */
};
const char *pf_key_alg_name(enum pf_key_alg alg); /* RFC 9421 names: "ed25519",
                                                     "ecdsa-p256-sha256" */
int pf_key_alg_find(const char *name, enum pf_key_alg *alg); /* 1 or 0 */

struct pf_key; /* a private or a public key; immutable, shareable by threads */
enum pocketfed_status pf_key_generate(enum pf_key_alg alg, struct pf_key **out);
enum pocketfed_status pf_key_from_public(enum pf_key_alg alg, const uint8_t *p,
                                         size_t len, struct pf_key **out);
/* PKCS#8 PEM, mode 0600 from creation, written by replace. */
enum pocketfed_status pf_key_save(const struct pf_key *key, const char *path,
                                  struct pf_error *err);
enum pocketfed_status pf_key_load(const char *path, struct pf_key **out,
                                  struct pf_error *err);
/* The private key as PEM (for handing to the TLS library). */
enum pocketfed_status pf_key_pem(const struct pf_key *key, struct pf_buf *out);
void pf_key_free(struct pf_key *key); /* NULL is fine; private bytes wiped */
enum pf_key_alg pf_key_algorithm(const struct pf_key *key);
/* Raw public key; returns its length, <= PF_PUBLIC_MAX. */
size_t pf_key_public(const struct pf_key *key, uint8_t out[PF_PUBLIC_MAX]);
/* SHA-256 over the raw public key: what join links and keyids carry. */
void pf_key_fingerprint(const struct pf_key *key, uint8_t out[PF_DIGEST_LEN]);
enum pocketfed_status pf_key_sign(const struct pf_key *key, const void *msg,
                                  size_t len, uint8_t sig[PF_SIGNATURE_LEN]);
/* OK, or PROOF. */
enum pocketfed_status pf_key_verify(const struct pf_key *key, const void *msg,
                                    size_t len,
                                    const uint8_t sig[PF_SIGNATURE_LEN]);

/* Who computes Ed25519 (RFC 8032) instead of OpenSSL, for a program that checks
 * thousands of signatures a second. Named once, before any thread and any key.
 * What one of them signs or refuses the others do, for every key and signature
 * that RFC 8032 makes. */
struct pf_ed25519 {
    /* 1 when sig is by the public key. */
    int (*verify)(const uint8_t pub[32], const void *msg, size_t len,
                  const uint8_t sig[PF_SIGNATURE_LEN]);
    void (*sign)(const uint8_t seed[32], const uint8_t pub[32], const void *msg,
                 size_t len, uint8_t sig[PF_SIGNATURE_LEN]);
};
void pf_ed25519_by(const struct pf_ed25519 *who); /* NULL: OpenSSL */

/* Secret random bytes. */
enum pocketfed_status pf_random(void *p, size_t n);
/* 1 when equal, in time that does not depend on where they differ. */
int pf_equal_secret(const void *a, const void *b, size_t n);

/* A self-signed certificate for the TLS listener: P-256 key, 128-bit random
 * serial, notBefore five minutes back, SAN from hosts (a DNS name or an IP
 * address each), serverAuth, CA:TRUE pathlen 0 so that it can be trusted as
 * its own root. PEM appended to out. */
enum pocketfed_status pf_cert_make(const struct pf_key *key,
                                   const char *const *hosts, size_t n_hosts,
                                   int days, struct pf_buf *out,
                                   struct pf_error *err);
/* SHA-256 over the SubjectPublicKeyInfo of the first certificate in a PEM
 * (what libcurl pins) and its notAfter as Unix seconds (either may be NULL). */
enum pocketfed_status pf_cert_info(const char *pem, size_t len,
                                   uint8_t spki[PF_DIGEST_LEN],
                                   int64_t *not_after, struct pf_error *err);

#endif
