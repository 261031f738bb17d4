/* links.h - the connections of a listener, and which of them have to go.
 *
 * libmicrohttpd itself closes a connection that is silent; one byte a second
 * keeps it.  So a sweep, every second, closes what is slower than the limits
 * allow: a request head that does not end, a body or an answer below the
 * minimum rate, a body that lasts too long.  And when there are nearly as many
 * connections as there may be, each new one costs the one that has rested
 * longest, so that whoever only holds connections open holds out nobody.
 * Requests of proved devices are never given up for room.
 *
 * Knows sockets, not the HTTP library. Closing is a shutdown: the connection's
 * own thread sees the end and tidies up.  Thread-safe.
 */
#ifndef PF_LINKS_H
#define PF_LINKS_H

#include <stdatomic.h>
#include <stdint.h>
#include <pocketfed/status.h>
#include "limiter.h"

/* What a connection is doing. */
enum pf_link_phase {
    PF_LINK_REST,   /* between requests, or a request head is on its way */
    PF_LINK_WORK,   /* the daemon thinks, the peer waits */
    PF_LINK_BODY,   /* a body is on its way in */
    PF_LINK_ANSWER, /* an answer is on its way out */
};

struct pf_link;
struct pf_links;

/* most: connections that the listener has at once. */
enum pocketfed_status pf_links_create(struct pf_limits *limits, unsigned most,
                                      struct pf_links **out);
void pf_links_free(struct pf_links *l); /* all removed; NULL is fine */
/* NULL when there is no memory. May close another one. */
struct pf_link *pf_links_add(struct pf_links *l, int fd);
void pf_links_remove(struct pf_links *l, struct pf_link *k); /* NULL is fine */

/* The steps of a request; k NULL is fine. */
void pf_link_begin(struct pf_links *l, struct pf_link *k); /* whole head */
void pf_link_phase(struct pf_link *k, enum pf_link_phase phase);
void pf_link_bytes(struct pf_link *k, uint64_t n); /* of its body came */
void pf_link_trust(struct pf_link *k);             /* proved who asks */
void pf_link_end(struct pf_links *l, struct pf_link *k);

/* Closes what is too slow by now, in seconds of the monotonic clock. */
void pf_links_sweep(struct pf_links *l, int64_t now_s);

#endif
