/* sodium_ed25519.h - Ed25519 by libsodium, in half the time that OpenSSL takes.
 *
 * The only room that includes libsodium; what a phone runs does without it.
 */
#ifndef PF_SODIUM_ED25519_H
#define PF_SODIUM_ED25519_H

#include "crypto.h"

/* For pf_ed25519_by. It refuses what OpenSSL refuses and, besides, public keys
 * and signatures that lie in the small subgroup, which RFC 8032 never makes.
 * It needs no initialising: no random number is drawn. */
extern const struct pf_ed25519 pf_sodium_ed25519;

#endif
