/* tls.h - what the client listener's TLS is made of: TLS 1.2 or newer, AEAD
 * ciphers with ECDHE only, session tickets under one key of this process.
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
const char *pf_tls_key(const struct pf_tls *t);
const char *pf_tls_cert(const struct pf_tls *t);
const char *pf_tls_priorities(void);
/* Lets a fresh session (gnutls_session_t) issue and take tickets. */
void pf_tls_tickets(const struct pf_tls *t, void *session);

#endif
