#include "sodium_ed25519.h"

#include <string.h>

#include <sodium.h>

static int verify(const uint8_t pub[32], const void *msg, size_t len,
                  const uint8_t sig[PF_SIGNATURE_LEN])
{
    return crypto_sign_verify_detached(sig, len ? msg : "", len, pub) == 0;
}

static void sign(const uint8_t seed[32], const uint8_t pub[32], const void *msg,
                 size_t len, uint8_t sig[PF_SIGNATURE_LEN])
{
    uint8_t secret[64]; /* libsodium's form: the seed, then the public key */

    memcpy(secret, seed, 32);
    memcpy(secret + 32, pub, 32);
    crypto_sign_detached(sig, NULL, len ? msg : "", len, secret);
    sodium_memzero(secret, sizeof secret);
}

const struct pf_ed25519 pf_sodium_ed25519 = {verify, sign};
