#include "crypto.h"

#include <limits.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "key_inside.h"

#define MAX_DAYS 36500
#define BACKDATE (-5 * 60) /* seconds: clocks of phones lag */

static enum pocketfed_status openssl_failed(struct pf_error *err,
                                            const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    enum pocketfed_status st;

    st = pf_fail(err, POCKETFED_INTERNAL, "%s: %s", what,
                 why ? why : "OpenSSL gave no reason");
    ERR_clear_error();
    return st;
}

/* Letters, digits, '-', '.', '_' and one '*' in front: what RFC 6125 compares;
 * nothing that a certificate's reader could take for something else. */
static int is_dns_name(const char *s)
{
    size_t i, n = strlen(s);

    if (n == 0 || n > 253)
        return 0;
    for (i = 0; i < n; i++) {
        int c = (unsigned char)s[i], low = c | 32;

        if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
            c == '_' || (c == '.' && i > 0 && s[i - 1] != '.') ||
            (c == '*' && i == 0 && s[1] == '.'))
            continue;
        return 0;
    }
    return 1;
}

static GENERAL_NAME *name_of(const char *host)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    ASN1_IA5STRING *dns = NULL;

    if (!name)
        goto fail;
    if (ip) {
        GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
        return name;
    }
    dns = ASN1_IA5STRING_new();
    if (!dns || !ASN1_STRING_set(dns, host, -1))
        goto fail;
    GENERAL_NAME_set0_value(name, GEN_DNS, dns);
    return name;
fail:
    ASN1_OCTET_STRING_free(ip);
    ASN1_IA5STRING_free(dns);
    GENERAL_NAME_free(name);
    return NULL;
}

static int add_hosts(X509 *cert, const char *const *hosts, size_t n_hosts)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name;
    int ok = names != NULL;
    size_t i;

    for (i = 0; ok && i < n_hosts; i++) {
        name = name_of(hosts[i]);
        ok = name && sk_GENERAL_NAME_push(names, name) > 0;
        if (!ok)
            GENERAL_NAME_free(name);
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0,
                                 X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static int add_extensions(X509 *cert)
{
    static const struct {
        int nid;
        const char *value;
    } rows[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,digitalSignature,keyCertSign"},
        {NID_ext_key_usage, "serverAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"},
    };
    X509_EXTENSION *ext;
    X509V3_CTX ctx;
    size_t i;
    int ok = 1;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    for (i = 0; ok && i < sizeof rows / sizeof *rows; i++) {
        ext = X509V3_EXT_conf_nid(NULL, &ctx, rows[i].nid, rows[i].value);
        ok = ext && X509_add_ext(cert, ext, -1);
        X509_EXTENSION_free(ext);
    }
    return ok;
}

static int set_serial(X509 *cert)
{
    uint8_t bytes[16];
    BIGNUM *number = NULL;
    int ok = pf_random(bytes, sizeof bytes) == POCKETFED_OK;

    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, 16 bytes */
    if (ok)
        number = BN_bin2bn(bytes, sizeof bytes, NULL);
    ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

static int fill(X509 *cert, const struct pf_key *key, const char *const *hosts,
                size_t n_hosts, int days)
{
    static const unsigned char cn[] = "pocketfed";
    X509_NAME *name = X509_get_subject_name(cert);
    EVP_MD *md = NULL;
    int ok;

    ok = X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
         X509_gmtime_adj(X509_getm_notBefore(cert), BACKDATE) &&
         X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) &&
         X509_set_pubkey(cert, key->pkey) &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, cn, -1, -1, 0) &&
         X509_set_issuer_name(cert, name) && add_extensions(cert) &&
         add_hosts(cert, hosts, n_hosts);
    if (ok)
        md = EVP_MD_fetch(NULL, "SHA256", NULL);
    ok = md && X509_sign(cert, key->pkey, md) > 0;
    EVP_MD_free(md);
    return ok;
}

static enum pocketfed_status check(const struct pf_key *key,
                                   const char *const *hosts, size_t n_hosts,
                                   int days, struct pf_error *err)
{
    ASN1_OCTET_STRING *ip;
    size_t i;
    int is_ip;

    if (key->alg != PF_KEY_P256 || !key->has_private)
        return pf_fail(err, POCKETFED_INVALID,
                       "a certificate needs a private P-256 key");
    if (days < 1 || days > MAX_DAYS)
        return pf_fail(err, POCKETFED_INVALID,
                       "a certificate for %d days; 1 to %d are possible", days,
                       MAX_DAYS);
    if (n_hosts == 0)
        return pf_fail(err, POCKETFED_INVALID,
                       "a certificate needs a host name or address");
    for (i = 0; i < n_hosts; i++) {
        ip = a2i_IPADDRESS(hosts[i]);
        is_ip = ip != NULL;
        ASN1_OCTET_STRING_free(ip);
        ERR_clear_error();
        if (!is_ip && !is_dns_name(hosts[i]))
            return pf_fail(err, POCKETFED_INVALID,
                           "\"%.64s\" is neither a host name nor an address",
                           hosts[i]);
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_cert_make(const struct pf_key *key,
                                   const char *const *hosts, size_t n_hosts,
                                   int days, struct pf_buf *out,
                                   struct pf_error *err)
{
    enum pocketfed_status st;
    X509 *cert = NULL;
    BIO *bio = NULL;
    char *text;
    long len;

    st = check(key, hosts, n_hosts, days, err);
    if (st != POCKETFED_OK)
        return st;
    cert = X509_new();
    bio = BIO_new(BIO_s_mem());
    if (!cert || !bio || !fill(cert, key, hosts, n_hosts, days) ||
        !PEM_write_bio_X509(bio, cert)) {
        st = openssl_failed(err, "cannot make the certificate");
        goto out;
    }
    len = BIO_get_mem_data(bio, &text);
    st = pf_buf_add(out, text, (size_t)len);
    if (st != POCKETFED_OK)
        pf_fail(err, st, "a certificate of %ld bytes: %s", len,
                pocketfed_status_text(st));
out:
    BIO_free(bio);
    X509_free(cert);
    return st;
}

static int end_of(const X509 *cert, int64_t *seconds)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, rest, ok;

    ok = epoch && ASN1_TIME_diff(&days, &rest, epoch, X509_get0_notAfter(cert));
    if (ok)
        *seconds = (int64_t)days * 86400 + rest;
    ASN1_TIME_free(epoch);
    return ok;
}

enum pocketfed_status pf_cert_info(const char *pem, size_t len,
                                   uint8_t spki[PF_DIGEST_LEN],
                                   int64_t *not_after, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_MALFORMED;
    uint8_t *der = NULL;
    int64_t end = 0;
    X509 *cert = NULL;
    BIO *bio = NULL;
    int der_len;

    if (len <= INT_MAX)
        bio = BIO_new_mem_buf(len ? pem : "", (int)len);
    if (bio)
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (!cert) {
        ERR_clear_error();
        st = pf_fail(err, st, "there is no certificate in this PEM text");
        goto out;
    }
    der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (der_len <= 0 || !end_of(cert, &end)) {
        st = openssl_failed(err, "cannot read the certificate");
        goto out;
    }
    if (spki)
        pf_sha256(der, (size_t)der_len, spki);
    if (not_after)
        *not_after = end;
    st = POCKETFED_OK;
out:
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
    return st;
}
