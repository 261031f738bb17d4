/* key_inside.h - what key.c and cert.c share; nobody else sees OpenSSL.
 */
#ifndef PF_KEY_INSIDE_H
#define PF_KEY_INSIDE_H

#include <openssl/types.h>

#include "crypto.h"

struct pf_key {
    enum pf_key_alg alg;
    int has_private;
    size_t public_len;
    uint8_t public_key[PF_PUBLIC_MAX];
    EVP_PKEY *pkey; /* NULL: public, and not for OpenSSL */
};

#endif
