/* nonce.h - which signed requests were seen within the skew window.
 *
 * A request is named by (key id, nonce); its name is kept until its `created`
 * lies so far back that the clock check refuses it anyway.  Memory is bounded:
 * when the window is full of live names, adding says so and the caller answers
 * "busy".  Thread-safe.
 */
#ifndef PF_NONCE_H
#define PF_NONCE_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

struct pf_nonces;

/* max: names held at most, rounded up to a power of two; 16 bytes for each, in
 * use or not once some thousand were. */
enum pocketfed_status pf_nonces_create(size_t max, struct pf_nonces **out);
void pf_nonces_free(struct pf_nonces *n); /* NULL is fine */
/* 1 when (keyid, nonce) was added and has not expired at now_s. */
int pf_nonces_seen(struct pf_nonces *n, const char *keyid, const char *nonce,
                   int64_t now_s);
/* Remembers it until expires_s (> now_s). EXISTS when it is there already,
 * BUSY when the window is full. */
enum pocketfed_status pf_nonces_add(struct pf_nonces *n, const char *keyid,
                                    const char *nonce, int64_t expires_s,
                                    int64_t now_s);

#endif
