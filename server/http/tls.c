#include "tls.h"

#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

struct pf_tls {
    char *key, *cert;
    gnutls_datum_t ticket_key;
};

const char *pf_tls_priorities(void)
{
    return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
           ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
           ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM"
           ":-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1"
           ":+GROUP-SECP384R1:%SERVER_PRECEDENCE";
}

/* Both readable, and a pair: credentials refuse anything else. */
static enum pocketfed_status check_pair(const struct pf_tls *t,
                                        struct pf_error *err)
{
    gnutls_certificate_credentials_t cred;
    gnutls_datum_t key = {(unsigned char *)t->key, (unsigned)strlen(t->key)};
    gnutls_datum_t cert = {(unsigned char *)t->cert, (unsigned)strlen(t->cert)};
    int rc;

    rc = gnutls_certificate_allocate_credentials(&cred);
    if (rc != GNUTLS_E_SUCCESS)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for TLS");
    rc = gnutls_certificate_set_x509_key_mem(cred, &cert, &key,
                                             GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(cred);
    if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return pf_fail(err, POCKETFED_PROOF,
                       "the TLS certificate is not for the private key");
    if (rc < 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "cannot read TLS certificate and key: %s",
                       gnutls_strerror(rc));
    return POCKETFED_OK;
}

enum pocketfed_status pf_tls_create(const char *key_pem, const char *cert_pem,
                                    struct pf_tls **out, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_NO_MEMORY;
    struct pf_tls *t = calloc(1, sizeof *t);

    if (!t)
        return pf_fail(err, st, "no memory for TLS");
    t->key = strdup(key_pem);
    t->cert = strdup(cert_pem);
    if (!t->key || !t->cert) {
        pf_fail(err, st, "no memory for TLS");
        goto out;
    }
    st = check_pair(t, err);
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
    if (t->key)
        gnutls_memset(t->key, 0, strlen(t->key));
    if (t->ticket_key.data)
        gnutls_memset(t->ticket_key.data, 0, t->ticket_key.size);
    gnutls_free(t->ticket_key.data);
    free(t->key);
    free(t->cert);
    free(t);
}

const char *pf_tls_key(const struct pf_tls *t)
{
    return t->key;
}

const char *pf_tls_cert(const struct pf_tls *t)
{
    return t->cert;
}

void pf_tls_tickets(const struct pf_tls *t, void *session)
{
    /* Without tickets the session works too: a full handshake next time. */
    (void)gnutls_session_ticket_enable_server((gnutls_session_t)session,
                                              &t->ticket_key);
}
