/* rawhttp.h - HTTP/1.1 by hand over TLS, for requests that no client would
 * send: every byte is the test's, and so is the moment it is sent.
 */
#ifndef PF_RAWHTTP_H
#define PF_RAWHTTP_H

#include <stdint.h>
#include "buf.h"

struct pf_raw {
    void *curl;       /* only its TLS connection */
    struct pf_buf in; /* received, not yet taken */
};

struct pf_raw_reply {
    int status;
    struct pf_buf head, body;
};

/* Connects to 127.0.0.1:port; the server's key must have this SHA-256. */
void pf_raw_open(struct pf_raw *r, uint16_t port, const uint8_t pin[32]);
void pf_raw_close(struct pf_raw *r);
/* Bytes sent: fewer than n when the server hung up. */
size_t pf_raw_send(struct pf_raw *r, const void *p, size_t n);
/* Waits for one whole response (a 100 is one). 1: there it is. 0: nothing, or
 * not all of it, within `ms`. -1: the server hung up. no_body: to a HEAD. */
int pf_raw_reply(struct pf_raw *r, int64_t ms, int no_body,
                 struct pf_raw_reply *out);
/* 1 when the server closes the connection within `ms` without a word more. */
int pf_raw_hung_up(struct pf_raw *r, int64_t ms);
void pf_raw_reply_free(struct pf_raw_reply *r); /* zeroed is fine */
/* The value of a header field, or NULL; borrowed until the next call. */
const char *pf_raw_header(const struct pf_raw_reply *r, const char *name);

#endif
