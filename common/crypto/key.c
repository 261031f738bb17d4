#include "crypto.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "file.h"
#include "key_inside.h"

#define PEM_MAX (16u << 10)
#define HALF    (PF_SIGNATURE_LEN / 2) /* r or s of a P-256 signature */
#define DER_MAX 80                     /* of such a signature: at most 72 */

static const struct {
    enum pf_key_alg alg;
    const char *name;   /* RFC 9421, section 6.2.2 */
    const char *digest; /* NULL: the algorithm hashes by itself */
    size_t public_len;
} algs[] = {
    {PF_KEY_ED25519, "ed25519", NULL, 32},
    {PF_KEY_P256, "ecdsa-p256-sha256", "SHA256", 65},
};
#define N_ALGS (sizeof algs / sizeof *algs)

static const struct pf_ed25519 *ed25519_by; /* NULL: OpenSSL */

void pf_ed25519_by(const struct pf_ed25519 *who)
{
    ed25519_by = who;
}

const char *pf_key_alg_name(enum pf_key_alg alg)
{
    size_t i;

    for (i = 0; i < N_ALGS; i++)
        if (algs[i].alg == alg)
            return algs[i].name;
    return "unknown";
}

int pf_key_alg_find(const char *name, enum pf_key_alg *alg)
{
    size_t i;

    for (i = 0; i < N_ALGS; i++)
        if (strcmp(algs[i].name, name) == 0) {
            *alg = algs[i].alg;
            return 1;
        }
    return 0;
}

static const char *digest_of(const struct pf_key *key)
{
    return algs[key->alg == PF_KEY_P256].digest;
}

/* Wraps pkey, which it owns from here on, also when it fails. */
static enum pocketfed_status wrap(EVP_PKEY *pkey, int has_private,
                                  struct pf_key **out)
{
    enum pocketfed_status st = POCKETFED_UNSUPPORTED;
    struct pf_key *key = NULL;
    enum pf_key_alg alg;
    char group[32];
    size_t len;

    if (EVP_PKEY_is_a(pkey, "ED25519"))
        alg = PF_KEY_ED25519;
    else if (EVP_PKEY_is_a(pkey, "EC") &&
             EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) &&
             strcmp(group, "prime256v1") == 0)
        alg = PF_KEY_P256;
    else
        goto out;

    st = POCKETFED_NO_MEMORY;
    key = calloc(1, sizeof *key);
    if (!key)
        goto out;
    key->alg = alg;
    key->has_private = has_private;

    st = POCKETFED_INTERNAL;
    if (!EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY,
                                         key->public_key, PF_PUBLIC_MAX, &len))
        goto out;
    if (len != algs[alg == PF_KEY_P256].public_len ||
        (alg == PF_KEY_P256 && key->public_key[0] != 4))
        goto out;
    key->public_len = len;
    key->pkey = pkey;
    pkey = NULL;
    *out = key;
    key = NULL;
    st = POCKETFED_OK;
out:
    if (st != POCKETFED_OK)
        ERR_clear_error();
    free(key);
    EVP_PKEY_free(pkey);
    return st;
}

enum pocketfed_status pf_key_generate(enum pf_key_alg alg, struct pf_key **out)
{
    EVP_PKEY *pkey = NULL;

    if (alg == PF_KEY_ED25519)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else if (alg == PF_KEY_P256)
        pkey = EVP_EC_gen("P-256");
    else
        return POCKETFED_INVALID;
    if (!pkey) {
        ERR_clear_error();
        return POCKETFED_NO_MEMORY;
    }
    return wrap(pkey, 1, out);
}

/* A point that is not on the curve gives NULL. */
static EVP_PKEY *p256_public(const uint8_t *p, size_t len)
{
    char group[] = "prime256v1";
    uint8_t point[PF_PUBLIC_MAX];
    OSSL_PARAM params[3];
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *pkey = NULL;

    memcpy(point, p, len);
    params[0] =
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[1] =
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, len);
    params[2] = OSSL_PARAM_construct_end();
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* A key for another than OpenSSL, which would spend on making its own form of
 * it a tenth of what the other spends on a signature. */
static enum pocketfed_status bare(const uint8_t *p, struct pf_key **out)
{
    struct pf_key *key = calloc(1, sizeof *key);

    if (!key)
        return POCKETFED_NO_MEMORY;
    key->alg = PF_KEY_ED25519;
    key->public_len = 32;
    memcpy(key->public_key, p, 32);
    *out = key;
    return POCKETFED_OK;
}

enum pocketfed_status pf_key_from_public(enum pf_key_alg alg, const uint8_t *p,
                                         size_t len, struct pf_key **out)
{
    EVP_PKEY *pkey = NULL;

    if (alg == PF_KEY_ED25519 && len == 32 && ed25519_by)
        return bare(p, out);
    if (alg == PF_KEY_ED25519 && len == 32)
        pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, p, len);
    else if (alg == PF_KEY_P256 && len == 65 && p[0] == 4)
        pkey = p256_public(p, len);
    if (!pkey) {
        ERR_clear_error();
        return POCKETFED_MALFORMED;
    }
    return wrap(pkey, 0, out);
}

enum pocketfed_status pf_key_pem(const struct pf_key *key, struct pf_buf *out)
{
    enum pocketfed_status st = POCKETFED_NO_MEMORY;
    char *text;
    BIO *bio;
    long len;

    if (!key->has_private)
        return POCKETFED_INVALID;
    bio = BIO_new(BIO_s_secmem());
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0,
                                             NULL, NULL)) {
        len = BIO_get_mem_data(bio, &text);
        st = pf_buf_add(out, text, (size_t)len);
    }
    if (st != POCKETFED_OK)
        ERR_clear_error();
    BIO_free(bio);
    return st;
}

static void wipe(struct pf_buf *b)
{
    if (b->data)
        OPENSSL_cleanse(b->data, b->cap);
    pf_buf_free(b);
}

enum pocketfed_status pf_key_save(const struct pf_key *key, const char *path,
                                  struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf pem;

    pf_buf_init(&pem, PEM_MAX);
    st = pf_key_pem(key, &pem);
    if (st == POCKETFED_OK)
        st = pf_file_replace(path, pem.data, pem.len, 0600, err);
    else
        pf_fail(err, st, "cannot write the key %s: %s", path,
                key->has_private ? pocketfed_status_text(st)
                                 : "it has no private part");
    wipe(&pem);
    return st;
}

/* An encrypted key must not make OpenSSL ask on the terminal. */
static int no_password(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return -1;
}

enum pocketfed_status pf_key_load(const char *path, struct pf_key **out,
                                  struct pf_error *err)
{
    enum pocketfed_status st;
    EVP_PKEY *pkey = NULL;
    struct pf_buf pem;
    BIO *bio = NULL;

    pf_buf_init(&pem, PEM_MAX);
    st = pf_file_read(path, &pem, err);
    if (st != POCKETFED_OK)
        goto out;
    bio = BIO_new_mem_buf(pem.len ? pem.data : (const void *)"", (int)pem.len);
    if (!bio) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "cannot read %s: out of memory",
                     path);
        goto out;
    }
    pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (!pkey) {
        ERR_clear_error();
        st = pf_fail(err, POCKETFED_MALFORMED,
                     "%s holds no private key in PEM without a password", path);
        goto out;
    }
    st = wrap(pkey, 1, out);
    if (st != POCKETFED_OK)
        pf_fail(err, st, "the key in %s: %s", path,
                st == POCKETFED_UNSUPPORTED ? "neither Ed25519 nor P-256"
                                            : pocketfed_status_text(st));
out:
    BIO_free(bio);
    wipe(&pem);
    return st;
}

void pf_key_free(struct pf_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey); /* wipes the private part */
    free(key);
}

enum pf_key_alg pf_key_algorithm(const struct pf_key *key)
{
    return key->alg;
}

size_t pf_key_public(const struct pf_key *key, uint8_t out[PF_PUBLIC_MAX])
{
    memcpy(out, key->public_key, key->public_len);
    return key->public_len;
}

void pf_key_fingerprint(const struct pf_key *key, uint8_t out[PF_DIGEST_LEN])
{
    pf_sha256(key->public_key, key->public_len, out);
}

/* DER of a P-256 signature to r || s; 1 or 0. */
static int der_to_raw(const uint8_t *der, size_t len, uint8_t *raw)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    int ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, HALF) == HALF &&
             BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + HALF, HALF) == HALF;

    ECDSA_SIG_free(sig);
    return ok;
}

/* The reverse; returns the length of the DER or 0. */
static size_t raw_to_der(const uint8_t *raw, uint8_t der[DER_MAX])
{
    BIGNUM *r = BN_bin2bn(raw, HALF, NULL);
    BIGNUM *s = BN_bin2bn(raw + HALF, HALF, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    uint8_t *end = der;
    int len = 0;

    if (r && s && sig && ECDSA_SIG_set0(sig, r, s)) {
        r = s = NULL; /* the signature owns them now */
        len = i2d_ECDSA_SIG(sig, NULL);
        if (len > 0 && len <= DER_MAX)
            len = i2d_ECDSA_SIG(sig, &end);
        else
            len = 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

static int is_by_another(const struct pf_key *key)
{
    return ed25519_by && key->alg == PF_KEY_ED25519;
}

static enum pocketfed_status sign_by_another(const struct pf_key *key,
                                             const void *msg, size_t len,
                                             uint8_t sig[PF_SIGNATURE_LEN])
{
    uint8_t seed[32];
    size_t seed_len = sizeof seed;
    int ok = EVP_PKEY_get_raw_private_key(key->pkey, seed, &seed_len) == 1;

    if (ok)
        ed25519_by->sign(seed, key->public_key, msg, len, sig);
    OPENSSL_cleanse(seed, sizeof seed);
    return ok ? POCKETFED_OK : POCKETFED_INTERNAL;
}

enum pocketfed_status pf_key_sign(const struct pf_key *key, const void *msg,
                                  size_t len, uint8_t sig[PF_SIGNATURE_LEN])
{
    enum pocketfed_status st = POCKETFED_INTERNAL;
    uint8_t made[DER_MAX], raw[PF_SIGNATURE_LEN];
    size_t made_len = sizeof made;
    EVP_MD_CTX *ctx;

    if (!key->has_private)
        return POCKETFED_INVALID;
    if (is_by_another(key))
        return sign_by_another(key, msg, len, sig);
    ctx = EVP_MD_CTX_new();
    if (!ctx)
        return POCKETFED_NO_MEMORY;
    if (!EVP_DigestSignInit_ex(ctx, NULL, digest_of(key), NULL, NULL, key->pkey,
                               NULL) ||
        EVP_DigestSign(ctx, made, &made_len, len ? msg : (const void *)"",
                       len) != 1)
        goto out;
    if (key->alg == PF_KEY_P256) {
        if (!der_to_raw(made, made_len, raw))
            goto out;
        memcpy(sig, raw, PF_SIGNATURE_LEN);
    } else {
        memcpy(sig, made, PF_SIGNATURE_LEN);
    }
    st = POCKETFED_OK;
out:
    if (st != POCKETFED_OK)
        ERR_clear_error();
    EVP_MD_CTX_free(ctx);
    return st;
}

enum pocketfed_status pf_key_verify(const struct pf_key *key, const void *msg,
                                    size_t len,
                                    const uint8_t sig[PF_SIGNATURE_LEN])
{
    enum pocketfed_status st = POCKETFED_PROOF;
    const uint8_t *checked = sig;
    size_t checked_len = PF_SIGNATURE_LEN;
    uint8_t der[DER_MAX];
    EVP_MD_CTX *ctx;

    if (is_by_another(key))
        return ed25519_by->verify(key->public_key, msg, len, sig)
                   ? POCKETFED_OK
                   : POCKETFED_PROOF;
    if (key->alg == PF_KEY_P256) {
        checked = der;
        checked_len = raw_to_der(sig, der);
        if (checked_len == 0)
            return POCKETFED_PROOF;
    }
    ctx = EVP_MD_CTX_new();
    if (ctx &&
        EVP_DigestVerifyInit_ex(ctx, NULL, digest_of(key), NULL, NULL,
                                key->pkey, NULL) &&
        EVP_DigestVerify(ctx, checked, checked_len,
                         len ? msg : (const void *)"", len) == 1)
        st = POCKETFED_OK;
    if (st != POCKETFED_OK)
        ERR_clear_error();
    EVP_MD_CTX_free(ctx);
    return st;
}
