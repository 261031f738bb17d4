/* crowd.h - many connections that want nothing but to be there: silent ones,
 * and ones that send a byte now and then so that they are not silent.  Whatever
 * the server closes comes back.
 */
#ifndef PF_CROWD_H
#define PF_CROWD_H

#include <stdint.h>

/* Never returns; for a process of its own. A tenth of the idle have shaken
 * hands, the others are connected alone. Of the dripping a third send a TLS
 * handshake a byte at a time, a third a request head, a third a body. */
void pf_crowd_run(uint16_t port, unsigned idle, unsigned dripping);

#endif
