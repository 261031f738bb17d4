/* stages.h - what each stage of an upload costs, measured one by one with the
 * daemon's own functions on the fleet's own update, in processor time of the
 * thread that does it.
 */
#ifndef PF_BENCH_STAGES_H
#define PF_BENCH_STAGES_H

#include "fleet.h"

struct stages {      /* microseconds an upload */
    double tls;      /* a body read from a socket and decrypted by GnuTLS, in
                        records of 16 KiB */
    double hash;     /* SHA-256, a record at a time */
    double verify;   /* the signature's header fields, key, nonce, Ed25519 */
    double segment;  /* extent reserved, written a record at a time, synced
                        with 31 others */
    double validate; /* mapped, decoded, admitted, unmapped */
    double fold;     /* mapped, decoded, quantised, added, unmapped */
};

/* After a fleet_checkin. dir: where segments are made. */
void stages_measure(struct fleet *f, const char *dir, struct stages *out);

#endif
