#include "tls.h"

#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One key with its certificate; freed by the last who holds it. */
struct pf_tls_session {
    atomic_uint holders; /* sessions, and the pf_tls while it is the newest */
    gnutls_certificate_credentials_t credentials;
};

struct pf_tls {
    char *key, *cert; /* at the start */
    gnutls_datum_t ticket_key;
    pthread_mutex_t lock;
    struct pf_tls_session *newest;
};

const char *pf_tls_priorities(void)
{
    return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
           ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
           ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM"
           ":-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1"
           ":+GROUP-SECP384R1:%SERVER_PRECEDENCE";
}

void pf_tls_session_end(struct pf_tls_session *s)
{
    if (!s || atomic_fetch_sub(&s->holders, 1) > 1)
        return;
    gnutls_certificate_free_credentials(s->credentials);
    free(s);
}

/* Both readable, and a pair: credentials refuse anything else. */
static enum pocketfed_status load_pair(const char *key_pem,
                                       const char *cert_pem,
                                       struct pf_tls_session **out,
                                       struct pf_error *err)
{
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)key_pem,
                          (unsigned)strlen(key_pem)};
    gnutls_datum_t cert = {(unsigned char *)(uintptr_t)cert_pem,
                           (unsigned)strlen(cert_pem)};
    struct pf_tls_session *s = calloc(1, sizeof *s);
    int rc;

    if (!s || gnutls_certificate_allocate_credentials(&s->credentials) !=
                  GNUTLS_E_SUCCESS) {
        free(s);
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for TLS");
    }
    atomic_init(&s->holders, 1);
    rc = gnutls_certificate_set_x509_key_mem(s->credentials, &cert, &key,
                                             GNUTLS_X509_FMT_PEM);
    if (rc >= 0) {
        *out = s;
        return POCKETFED_OK;
    }
    pf_tls_session_end(s);
    if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return pf_fail(err, POCKETFED_PROOF,
                       "the TLS certificate is not for the private key");
    return pf_fail(err, POCKETFED_MALFORMED,
                   "cannot read TLS certificate and key: %s",
                   gnutls_strerror(rc));
}

enum pocketfed_status pf_tls_create(const char *key_pem, const char *cert_pem,
                                    struct pf_tls **out, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_NO_MEMORY;
    struct pf_tls *t = calloc(1, sizeof *t);

    if (!t)
        return pf_fail(err, st, "no memory for TLS");
    pthread_mutex_init(&t->lock, NULL);
    t->key = strdup(key_pem);
    t->cert = strdup(cert_pem);
    if (!t->key || !t->cert) {
        pf_fail(err, st, "no memory for TLS");
        goto out;
    }
    st = load_pair(key_pem, cert_pem, &t->newest, err);
    if (st != POCKETFED_OK)
        goto out;
    if (gnutls_session_ticket_key_generate(&t->ticket_key) < 0) {
        st = pf_fail(err, POCKETFED_INTERNAL, "cannot make a TLS ticket key");
        goto out;
    }
    *out = t;
    t = NULL;
out:
    pf_tls_free(t);
    return st;
}

void pf_tls_free(struct pf_tls *t)
{
    if (!t)
        return;
    pf_tls_session_end(t->newest);
    if (t->key)
        gnutls_memset(t->key, 0, strlen(t->key));
    if (t->ticket_key.data)
        gnutls_memset(t->ticket_key.data, 0, t->ticket_key.size);
    gnutls_free(t->ticket_key.data);
    pthread_mutex_destroy(&t->lock);
    free(t->key);
    free(t->cert);
    free(t);
}

enum pocketfed_status pf_tls_replace(struct pf_tls *t, const char *key_pem,
                                     const char *cert_pem, struct pf_error *err)
{
    struct pf_tls_session *fresh = NULL, *before;
    enum pocketfed_status st = load_pair(key_pem, cert_pem, &fresh, err);

    if (st != POCKETFED_OK)
        return st;
    pthread_mutex_lock(&t->lock);
    before = t->newest;
    t->newest = fresh;
    pthread_mutex_unlock(&t->lock);
    pf_tls_session_end(before);
    return POCKETFED_OK;
}

const char *pf_tls_key(const struct pf_tls *t)
{
    return t->key;
}

const char *pf_tls_cert(const struct pf_tls *t)
{
    return t->cert;
}

struct pf_tls_session *pf_tls_session_begin(struct pf_tls *t, void *session)
{
    struct pf_tls_session *s;

    pthread_mutex_lock(&t->lock);
    s = t->newest;
    atomic_fetch_add(&s->holders, 1);
    pthread_mutex_unlock(&t->lock);
    /* In place of what the HTTP library was started with. */
    if (gnutls_credentials_set((gnutls_session_t)session,
                               GNUTLS_CRD_CERTIFICATE, s->credentials) < 0) {
        pf_tls_session_end(s);
        s = NULL;
    }
    /* Without tickets the session works too: a full handshake next time. */
    (void)gnutls_session_ticket_enable_server((gnutls_session_t)session,
                                              &t->ticket_key);
    return s;
}
