#include "transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    pf_memory_serve_fn serve;
    void *ctx;
    const struct pocketfed_request *request; /* of the running request */
    struct pf_memory_reply reply;
    struct pf_buf body;
};

static enum pocketfed_status memory_begin(void *ctx,
                                          const struct pocketfed_request *r)
{
    struct memory *m = ctx;

    if (m->request)
        return POCKETFED_INVALID;
    m->request = r;
    return POCKETFED_OK;
}

static const char *memory_header(void *ctx, const char *name)
{
    const struct pf_memory_reply *reply = ctx;
    unsigned i;

    for (i = 0; i < reply->n_headers; i++)
        if (strcmp(reply->headers[i].name, name) == 0)
            return reply->headers[i].value;
    return NULL;
}

static enum pocketfed_status memory_poll(void *ctx, int budget_ms,
                                         struct pocketfed_reply *out, char *why,
                                         size_t why_len)
{
    struct memory *m = ctx;
    const struct pocketfed_request *r = m->request;
    enum pocketfed_status st;

    (void)budget_ms;
    if (!r)
        return POCKETFED_INVALID;
    memset(&m->reply, 0, sizeof m->reply);
    pf_buf_clear(&m->body);
    m->reply.body = &m->body;
    st = m->serve(m->ctx, r, &m->reply);
    if (m->body.len > r->max_reply) {
        st = POCKETFED_LIMIT;
        snprintf(m->reply.why, sizeof m->reply.why,
                 "the reply is longer than %zu bytes", r->max_reply);
    }
    if (st != POCKETFED_AGAIN)
        m->request = NULL;
    if (st && why && why_len)
        snprintf(why, why_len, "%s",
                 m->reply.why[0] ? m->reply.why : pocketfed_status_text(st));
    if (st == POCKETFED_LIMIT)
        return st;
    *out = (struct pocketfed_reply){
        .size = sizeof *out,
        .status = m->reply.status,
        .body = m->body.data,
        .body_len = m->body.len,
        .header = memory_header,
        .ctx = &m->reply,
        .bytes_sent = st ? m->reply.body_sent : r->body_len,
        .bytes_received = m->body.len,
        .body_sent = st ? m->reply.body_sent : r->body_len,
    };
    return st;
}

static void memory_cancel(void *ctx)
{
    struct memory *m = ctx;

    m->request = NULL;
}

static void memory_destroy(void *ctx)
{
    struct memory *m = ctx;

    pf_buf_free(&m->body);
    free(m);
}

enum pocketfed_status pf_transport_memory(pf_memory_serve_fn serve, void *ctx,
                                          struct pocketfed_transport *out)
{
    struct memory *m = calloc(1, sizeof *m);

    if (!m)
        return POCKETFED_NO_MEMORY;
    m->serve = serve;
    m->ctx = ctx;
    pf_buf_init(&m->body, SIZE_MAX / 2);
    *out = (struct pocketfed_transport){
        .size = sizeof *out,
        .ctx = m,
        .begin = memory_begin,
        .poll = memory_poll,
        .cancel = memory_cancel,
        .destroy = memory_destroy,
    };
    return POCKETFED_OK;
}

void pf_memory_header(struct pf_memory_reply *reply, const char *name,
                      const char *value)
{
    if (reply->n_headers == PF_MEMORY_HEADERS ||
        strlen(value) >= sizeof reply->headers[0].value)
        return;
    snprintf(reply->headers[reply->n_headers].name,
             sizeof reply->headers[0].name, "%s", name);
    snprintf(reply->headers[reply->n_headers].value,
             sizeof reply->headers[0].value, "%s", value);
    reply->n_headers++;
}
