#include "crypto.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

enum pocketfed_status pf_random(void *p, size_t n)
{
    uint8_t *to = p;
    size_t part;

    for (; n > 0; to += part, n -= part) {
        part = n < INT_MAX ? n : INT_MAX;
        if (RAND_priv_bytes(to, (int)part) != 1) {
            ERR_clear_error();
            return POCKETFED_IO;
        }
    }
    return POCKETFED_OK;
}

int pf_equal_secret(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}
