/* http.h - the adapter between libmicrohttpd and struct pf_exchange.
 *
 * It moves bytes and decides nothing: sockets, threads, limits and deadlines
 * are here, every answer comes from the exchange.  A connection whose exchange
 * waits for the coordinator is suspended, so that TCP holds the sender and no
 * thread is held.  A response is never queued in the middle of a body.
 */
#ifndef PF_HTTP_H
#define PF_HTTP_H

#include "exchange.h"
#include "tls.h"

struct pf_http;
struct pf_http_config {
    struct pf_edge *edge;
    enum pf_listener listener;
    int fd;             /* listening; taken over on success */
    struct pf_tls *tls; /* borrowed; NULL: plain */
    unsigned threads, max_connections;
    size_t buffer; /* bytes a connection has for heads, reads and answers */
    const char *socket_path; /* ADMIN: whose group may connect; borrowed */
    struct pf_gate *gate;    /* ADMIN over TCP, instead; borrowed */
};

enum pocketfed_status pf_http_start(const struct pf_http_config *c,
                                    struct pf_http **out, struct pf_error *err);
/* Closes connections that are slower than the limits allow (links.h;
 * libmicrohttpd itself only sees complete silence). Call it every second. */
void pf_http_sweep(struct pf_http *h);
/* No new connections; those that are open go on. */
void pf_http_quiesce(struct pf_http *h);
/* Ends all. No exchange may be waiting any more. NULL is fine. */
void pf_http_stop(struct pf_http *h);

#endif
