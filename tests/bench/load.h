/* load.h - many HTTPS connections to one server, driven by one thread.
 *
 * Each connection has one request under way at a time and keeps its TLS session
 * between requests, as a device's does.  The only file of tests/ that speaks
 * TLS by OpenSSL itself: a client library would cost more than the server that
 * is measured.  What cannot go on ends the program with a sentence.
 */
#ifndef PF_BENCH_LOAD_H
#define PF_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

struct load;

struct load_request {
    const char *head; /* to the empty line; borrowed until `done` */
    size_t head_len;
    const uint8_t *body; /* borrowed until `done` */
    size_t body_len;
    int expect; /* the body goes out after a 100 */
};

struct load_reply {
    int status;
    const char *body; /* its first bytes, NUL-terminated */
    size_t body_len;  /* all of it */
    double seconds;   /* from the first byte sent to the last received */
};

struct load_job {
    void *ctx;
    /* The next request of connection i; 0: it has no more. */
    int (*next)(void *ctx, unsigned i, struct load_request *out);
    void (*done)(void *ctx, unsigned i, const struct load_reply *r);
};

/* n connections to 127.0.0.1:port, all handshakes made. TLS 1.3 with
 * TLS_AES_128_GCM_SHA256, so that two servers do the same work. */
struct load *load_open(uint16_t port, unsigned n);
void load_close(struct load *l); /* NULL is fine */
unsigned load_size(const struct load *l);
/* Until no connection has a request any more. */
void load_run(struct load *l, const struct load_job *job);

/* One request on a connection of its own, blocking. *session: what to resume,
 * NULL for none; replaced by what the server gave. Returns 1 when the session
 * was resumed. */
int load_visit(uint16_t port, void **session, const struct load_request *rq);
void load_forget(void *session);

#endif
