#include "crypto.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* OpenSSL's SHA-256 is the fast one, but takes memory to begin.  A digest must
 * not be able to fail, because no caller of a digest could do better than
 * this: FIPS 180-4, section 6.2, in the plain. */
static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void block(uint32_t h[8], const uint8_t *p)
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
        0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
        0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
        0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
        0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
        0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
        0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64], v[8], a, b;
    int i;

    for (i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
               (uint32_t)p[2] << 8 | p[3];
    for (; i < 64; i++) {
        a = w[i - 2];
        b = w[i - 15];
        w[i] = w[i - 16] + w[i - 7] +
               (rotate(a, 17) ^ rotate(a, 19) ^ a >> 10) +
               (rotate(b, 7) ^ rotate(b, 18) ^ b >> 3);
    }
    memcpy(v, h, sizeof v);
    for (i = 0; i < 64; i++) {
        a = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
            ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        b = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
            ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += a;
        v[0] = a + b;
    }
    for (i = 0; i < 8; i++)
        h[i] += v[i];
}

/* A message in pieces, the last of which ends it. */
struct plain {
    uint32_t h[8];
    uint8_t part[64];
    size_t n_part;
    uint64_t total;
};

static void plain_begin(struct plain *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                      0xa54ff53a, 0x510e527f, 0x9b05688c,
                                      0x1f83d9ab, 0x5be0cd19};

    memcpy(s->h, start, sizeof s->h);
    s->n_part = 0;
    s->total = 0;
}

static void plain_add(struct plain *s, const uint8_t *p, size_t n)
{
    size_t take;

    s->total += n;
    while (n > 0) {
        if (s->n_part == 0 && n >= 64) {
            block(s->h, p);
            take = 64;
        } else {
            take = 64 - s->n_part < n ? 64 - s->n_part : n;
            memcpy(s->part + s->n_part, p, take);
            s->n_part += take;
            if (s->n_part == 64) {
                block(s->h, s->part);
                s->n_part = 0;
            }
        }
        p += take;
        n -= take;
    }
}

static void plain_end(struct plain *s, uint8_t out[PF_DIGEST_LEN])
{
    uint64_t bits = s->total * 8;
    uint8_t tail[72] = {0x80};
    size_t pad = (s->n_part < 56 ? 56 : 120) - s->n_part, i;

    for (i = 0; i < 8; i++)
        tail[pad + 7 - i] = (uint8_t)(bits >> 8 * i);
    plain_add(s, tail, pad + 8);
    for (i = 0; i < 32; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

static void plain_two(const void *a, size_t n_a, const void *b, size_t n_b,
                      uint8_t out[PF_DIGEST_LEN])
{
    struct plain s;

    plain_begin(&s);
    plain_add(&s, a, n_a);
    plain_add(&s, b, n_b);
    plain_end(&s, out);
}

void pf_sha256(const void *p, size_t n, uint8_t out[PF_DIGEST_LEN])
{
    if (EVP_Q_digest(NULL, "SHA256", NULL, n ? p : "", n, out, NULL))
        return;
    ERR_clear_error();
    plain_two(p, n, NULL, 0, out);
}

void pf_sha256_two(const void *a, size_t n_a, const void *b, size_t n_b,
                   uint8_t out[PF_DIGEST_LEN])
{
    struct pf_hash *h = pf_hash_new();

    if (!h) {
        plain_two(a, n_a, b, n_b, out);
        return;
    }
    pf_hash_add(h, a, n_a);
    pf_hash_add(h, b, n_b);
    pf_hash_end(h, out);
    pf_hash_free(h);
}

/* RFC 2104 with B = 64. */
void pf_hmac_sha256(const void *key, size_t n_key, const void *msg, size_t n,
                    uint8_t out[PF_DIGEST_LEN])
{
    uint8_t pad[64] = {0}, inner[PF_DIGEST_LEN];
    size_t i;

    if (n_key > sizeof pad)
        pf_sha256(key, n_key, pad);
    else if (n_key > 0)
        memcpy(pad, key, n_key);
    for (i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36;
    pf_sha256_two(pad, sizeof pad, msg, n, inner);
    for (i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    pf_sha256_two(pad, sizeof pad, inner, sizeof inner, out);
    OPENSSL_cleanse(pad, sizeof pad);
}

struct pf_hash {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};

struct pf_hash *pf_hash_new(void)
{
    struct pf_hash *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    h->ctx = EVP_MD_CTX_new();
    if (!h->md || !h->ctx || !EVP_DigestInit_ex2(h->ctx, h->md, NULL)) {
        ERR_clear_error();
        pf_hash_free(h);
        return NULL;
    }
    return h;
}

/* Once begun with the same algorithm, these three take no memory and have
 * nothing to fail with. */
void pf_hash_add(struct pf_hash *h, const void *p, size_t n)
{
    if (n > 0)
        EVP_DigestUpdate(h->ctx, p, n);
}

void pf_hash_end(struct pf_hash *h, uint8_t out[PF_DIGEST_LEN])
{
    EVP_DigestFinal_ex(h->ctx, out, NULL);
    EVP_DigestInit_ex2(h->ctx, NULL, NULL);
}

void pf_hash_free(struct pf_hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    EVP_MD_free(h->md);
    free(h);
}
