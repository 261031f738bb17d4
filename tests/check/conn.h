/* conn.h - one request to a test's daemon in steps, without a socket: what the
 * HTTP library does with an exchange, at the moments that the test chooses.
 */
#ifndef PF_CHECK_CONN_H
#define PF_CHECK_CONN_H

#include <pthread.h>
#include "edge.h"

struct conn {
    struct pf_exchange ex;
    const struct edge_request *rq; /* borrowed */
    char length[24];
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int awake;
    int hung_up; /* how often the daemon wanted to end the connection */
};

/* The headers are in; what comes next, after all waiting. */
enum pf_next conn_begin(struct conn *c, struct edge *e,
                        const struct edge_request *rq);
/* n bytes of the body, from `from` on, in the request's pieces. */
void conn_feed(struct conn *c, size_t from, size_t n);
/* The body is in. */
enum pf_next conn_end(struct conn *c);
/* Until the daemon wakes it; then the answer is there, unread. */
void conn_wait(struct conn *c);
/* The connection is gone. */
void conn_close(struct conn *c);
/* A header of the reply, or "". */
void conn_header(const struct conn *c, const char *name, char *out, size_t cap);

#endif
