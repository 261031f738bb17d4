/* faultproxy.h - a TCP proxy on loopback that is a bad link: slow, narrow,
 * torn off, silent, from changing addresses; and that counts what it carries.
 *
 * One proxy is the link of one device: all its connections share the bandwidth
 * and are dropped together.  Between the two sides lie only a few kilobytes, so
 * that what is lost with a connection is what a link would lose, and a byte is
 * counted when it crosses it: going up when it is taken from the client, going
 * down when it is given to it.  It runs in a thread of its own.
 */
#ifndef PF_FAULTPROXY_H
#define PF_FAULTPROXY_H

#include <stddef.h>
#include <stdint.h>

enum pf_fault_end {
    PF_END_RESET,  /* both sides are reset (SO_LINGER 0) */
    PF_END_CLOSE,  /* both are closed in order */
    PF_END_SILENT, /* the client is reset; the server hears nothing, ever */
};

struct pf_faults {         /* zeroed: none */
    int64_t latency_ms;    /* each direction */
    uint64_t bytes_per_s;  /* each direction */
    uint64_t cut_after;    /* bytes of a connection, both directions; then it
                              ends */
    int64_t drop_every_ms; /* every connection ends */
    enum pf_fault_end end;
    uint64_t stall_after; /* bytes of a connection, both directions; then it
                             carries nothing more and stays open */
    unsigned stalls;      /* so many connections, then no more */
    int move; /* each comes from another address: 127.0.0.2, .3 ... */
};

struct pf_carried { /* of one connection */
    uint64_t up, down;
};

struct pf_faultproxy;

/* Listens on a free port of 127.0.0.1 and connects to `port` there. NULL: it
 * cannot. */
struct pf_faultproxy *pf_faultproxy_start(uint16_t port,
                                          const struct pf_faults *faults);
uint16_t pf_faultproxy_port(const struct pf_faultproxy *p);
/* Ends all connections. What was carried is known from then on. */
void pf_faultproxy_stop(struct pf_faultproxy *p);
/* All connections, in the order of their beginning; n gets how many. */
const struct pf_carried *pf_faultproxy_carried(const struct pf_faultproxy *p,
                                               size_t *n);
void pf_faultproxy_free(
    struct pf_faultproxy *p); /* stops first; NULL is fine */

#endif
