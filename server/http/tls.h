/* tls.h - what the client listener's TLS is made of: TLS 1.2 or newer, AEAD
 * ciphers with ECDHE only, session tickets under one key of this process.
 *
 * Key and certificate may be replaced while connections are open: each session
 * holds on to what it began with, a new one begins with the newest.
 *
 * This file and http.c are the only ones that know GnuTLS and libmicrohttpd.
 */
#ifndef PF_TLS_H
#define PF_TLS_H

#include <stddef.h>
#include "fail.h"

struct pf_tls;

/* Key and certificate chain as PEM, copied. PROOF when they do not belong
 * together, MALFORMED when they cannot be read. */
enum pocketfed_status pf_tls_create(const char *key_pem, const char *cert_pem,
                                    struct pf_tls **out, struct pf_error *err);
void pf_tls_free(struct pf_tls *t); /* NULL is fine; the key is wiped */
/* For sessions that begin from now on; on failure nothing changes. Any
 * thread. */
enum pocketfed_status pf_tls_replace(struct pf_tls *t, const char *key_pem,
                                     const char *cert_pem,
                                     struct pf_error *err);
/* What it was created with. */
const char *pf_tls_key(const struct pf_tls *t);
const char *pf_tls_cert(const struct pf_tls *t);
const char *pf_tls_priorities(void);

/* Gives a fresh session (gnutls_session_t), before its handshake, the newest
 * certificate, and lets it issue and take tickets. The result is ended when
 * the session does nothing any more. */
struct pf_tls_session;
struct pf_tls_session *pf_tls_session_begin(struct pf_tls *t, void *session);
void pf_tls_session_end(struct pf_tls_session *s); /* NULL is fine */

#endif
