/* transport.h - the transports that come with the library; the interface they
 * fill is struct pocketfed_transport of <pocketfed/client.h>.
 */
#ifndef PF_TRANSPORT_H
#define PF_TRANSPORT_H

#include <pocketfed/client.h>
#include "buf.h"
#include "fail.h"

/* HTTPS by libcurl: one kept connection, TLS 1.2 or newer, never blocks longer
 * than poll's budget.  With pins the SHA-256 of the server's public key is the
 * proof and its certificate may be self-made; without them the system's roots
 * and the host name decide.  On success destroy gives everything back. */
enum pocketfed_status pf_transport_curl(struct pocketfed_transport *out,
                                        struct pf_error *err);

/* In memory: begin keeps the request, poll hands it to `serve`, which fills the
 * reply: status and body (body is the memory transport's buffer, cleared
 * before), headers by pf_memory_header.  Another status than OK is the
 * transport failing with it; status, body, headers and body_sent are then what
 * had come and gone by that time.  For tests and simulations. */
#define PF_MEMORY_HEADERS 8

struct pf_memory_reply {
    int status;
    struct pf_buf *body;
    struct {
        char name[32];
        char value[160];
    } headers[PF_MEMORY_HEADERS];
    unsigned n_headers;
    size_t body_sent; /* of the request, when it fails */
    char why[160];    /* of a failure */
};

typedef enum pocketfed_status (*pf_memory_serve_fn)(
    void *ctx, const struct pocketfed_request *request,
    struct pf_memory_reply *reply);

enum pocketfed_status pf_transport_memory(pf_memory_serve_fn serve, void *ctx,
                                          struct pocketfed_transport *out);
/* name in lower case; ignored when there is no room. */
void pf_memory_header(struct pf_memory_reply *reply, const char *name,
                      const char *value);

#endif
