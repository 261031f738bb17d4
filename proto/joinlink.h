/* joinlink.h - one opaque string with which a device joins a task.
 *
 *   pocketfed://HOST[:PORT]/TASK?v=1&id=<record key fingerprint, base64url>
 *       [&pin=<SPKI SHA-256, base64url>]...#<token>
 *
 * `id` is the SHA-256 of the server's Ed25519 record key and is mandatory: no
 * shorter, weaker form exists.  Without `pin` the system's roots decide about
 * TLS.  The token stands in the fragment, so it is in no request line or log,
 * and is sent only in the enrolment's body.
 */
#ifndef PF_JOINLINK_H
#define PF_JOINLINK_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "wire.h"

#define PF_JOIN_MAX_PINS 4
#define PF_JOIN_LINK_MAX 1024

struct pf_join_link {
    char host[256]; /* name, IPv4, or IPv6 without brackets */
    uint16_t port;
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t id[32];
    uint8_t pins[PF_JOIN_MAX_PINS][32];
    unsigned n_pins;
    char token[PF_TOKEN_LEN + 1]; /* "" allowed when made for display */
};

/* The default port is left out. INVALID when a member is not valid, LIMIT when
 * cap is short; out is then untouched. */
enum pocketfed_status pf_join_link_write(const struct pf_join_link *l,
                                         char *out, size_t cap);
/* Surrounding blanks and one newline are forgiven; anything else that is off,
 * a missing token too, is MALFORMED with the part named; the token is never
 * quoted. */
enum pocketfed_status pf_join_link_parse(const char *text,
                                         struct pf_join_link *out,
                                         struct pf_error *err);

/* A token: 256 random bits as "pft_" + 43 base64url + 6 checksum (base64url of
 * the first 36 bits of the SHA-256 of the 47 characters before), so that a
 * mistyped one is told from an unknown one and secret scanners find it. */
enum pocketfed_status pf_token_make(char out[PF_TOKEN_LEN + 1]);
int pf_token_ok(const char *token); /* form and checksum */
/* What the server stores: SHA-256 of the text. */
void pf_token_hash(const char *token, uint8_t out[32]);

#endif
