#include "http.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"
#include "links.h"
#include "listen.h"

/* A refused body up to this long is read before the answer. */
#define DRAIN_MAX (64u << 10)

/* What we keep for a connection. */
struct line {
    struct pf_link *link;       /* NULL: unswept, for want of memory */
    struct pf_tls_session *tls; /* NULL: plain */
};

struct pf_http {
    struct pf_http_config c;
    struct MHD_Daemon *daemon;
    struct pf_links *links;
    unsigned timeout_s; /* as libmicrohttpd was told */
};

enum phase { PHASE_NEW, PHASE_HEADERS, PHASE_BODY, PHASE_END, PHASE_DRAIN };

/* How worker and waker agree on who resumes the connection. */
enum { SYNC_RUNNING, SYNC_WAITING, SYNC_WOKEN };

struct request {
    struct pf_exchange ex;
    struct pf_http *http;
    struct MHD_Connection *connection;
    struct pf_link *link;
    int fd; /* of the connection; -1: unknown */
    enum phase phase;
    int waits;
    atomic_int sync;
    char *uri; /* as sent; split in two at the "?" */
    char query[1024];
};

/* ---- connections ---- */

static void line_opened(struct pf_http *h, struct MHD_Connection *c,
                        void **context)
{
    unsigned timeout_s = atomic_load(&h->c.edge->limits->now.timeout_s);
    const union MHD_ConnectionInfo *info;
    struct line *line = calloc(1, sizeof *line);

    if (h->c.listener == PF_LISTEN_CLIENT)
        pf_count(h->c.edge->metrics, PF_COUNT_CONNECTIONS, 1);
    if (timeout_s != h->timeout_s)
        MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, timeout_s);
    if (!line)
        return; /* unswept, still under the timeout */
    if (h->c.tls) {
        info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        if (info && info->tls_session)
            line->tls = pf_tls_session_begin(h->c.tls, info->tls_session);
    }
    info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info)
        line->link = pf_links_add(h->links, info->connect_fd);
    *context = line;
}

static void line_closed(struct pf_http *h, struct line *line)
{
    if (!line)
        return;
    pf_links_remove(h->links, line->link);
    pf_tls_session_end(line->tls);
    free(line);
}

static void notify_connection(void *cls, struct MHD_Connection *c,
                              void **context,
                              enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        line_opened(cls, c, context);
    else
        line_closed(cls, *context);
}

void pf_http_sweep(struct pf_http *h)
{
    pf_links_sweep(h->links, pf_monotonic_s());
}

/* ---- requests ---- */

static const char *header(const struct pf_exchange *ex, const char *name)
{
    const struct request *rq = ex->adapter;

    return MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
}

static void wake(struct pf_exchange *ex)
{
    struct request *rq = ex->adapter;

    if (atomic_exchange(&rq->sync, SYNC_WOKEN) == SYNC_WAITING)
        MHD_resume_connection(rq->connection);
}

/* Its worker sees the end and closes. */
static void hang_up(struct pf_exchange *ex)
{
    const struct request *rq = ex->adapter;

    if (rq->fd >= 0)
        shutdown(rq->fd, SHUT_RDWR);
}

/* The request line is here: the only place that shows it as sent. */
static void *new_request(void *cls, const char *uri, struct MHD_Connection *c)
{
    struct pf_http *h = cls;
    struct request *rq = calloc(1, sizeof *rq);
    char *q;

    (void)c;
    if (!rq)
        return NULL;
    rq->http = h;
    rq->uri = strdup(uri);
    if (!rq->uri) {
        free(rq);
        return NULL;
    }
    pf_exchange_init(&rq->ex, h->c.edge);
    q = strchr(rq->uri, '?');
    snprintf(rq->query, sizeof rq->query, "%s", q ? q : "?");
    if (q)
        *q = '\0';
    return rq;
}

/* Headers that are read once by us and perhaps another time by a proxy: both
 * must see the same value. */
static const char *const alone[] = {
    "Host",           "Expect",
    "Signature",      "Signature-Input",
    "Content-Digest", "Repr-Digest",
    "Range",          "Content-Range",
    "If-Range",       PF_HEADER_RECORD_KEY,
    "Authorization",  "Content-Encoding",
    "Origin",         "Sec-Fetch-Site",
    "Upload-Offset",  "Upload-Complete",
};

#define N_ALONE (sizeof alone / sizeof alone[0])

struct seen {
    struct pf_exchange *ex;
    unsigned char times[N_ALONE];
};

/* "Content-Length : 5" is no Content-Length to the HTTP library, and may be one
 * to a proxy: what is not a token (RFC 9110, 5.6.2) is refused, and so are
 * control bytes in a value. */
static int is_odd(const char *key, size_t key_len, const char *value,
                  size_t len)
{
    size_t i;

    for (i = 0; i < key_len; i++)
        if (key[i] <= ' ' || key[i] > '~' ||
            strchr("\"(),/:;<=>?@[\\]{}", key[i]))
            return 1;
    for (i = 0; i < len; i++)
        if (((unsigned char)value[i] < ' ' && value[i] != '\t') ||
            value[i] == 0x7f)
            return 1;
    return key_len == 0;
}

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind,
                                  const char *key, size_t key_len,
                                  const char *value, size_t len)
{
    struct seen *seen = cls;
    size_t i;

    (void)kind;
    seen->ex->odd |= is_odd(key, key_len, value ? value : "", value ? len : 0);
    if (strcasecmp(key, "Content-Length") == 0)
        seen->ex->n_content_length++;
    if (strcasecmp(key, "Transfer-Encoding") == 0)
        seen->ex->n_transfer_encoding++;
    for (i = 0; i < N_ALONE; i++)
        if (strcasecmp(key, alone[i]) == 0 && seen->times[i]++ > 0)
            seen->ex->repeated = alone[i];
    return MHD_YES;
}

static void fill(struct request *rq, struct MHD_Connection *c,
                 const char *method)
{
    const union MHD_ConnectionInfo *info;
    struct pf_exchange *ex = &rq->ex;
    struct seen seen = {ex, {0}};
    const struct line *line;

    rq->connection = c;
    rq->phase = PHASE_HEADERS;
    info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    line = info ? info->socket_context : NULL;
    rq->link = line ? line->link : NULL;
    pf_link_begin(rq->http->links, rq->link);
    ex->listener = rq->http->c.listener;
    ex->method = method;
    ex->path = rq->uri;
    ex->query = rq->query;
    ex->header = header;
    ex->wake = wake;
    ex->hang_up = hang_up;
    ex->adapter = rq;
    info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    rq->fd = info ? info->connect_fd : -1;
    info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    ex->has_peer = info && pf_peer_name(info->client_addr, ex->peer);
    ex->gate = rq->http->c.gate;
    if (ex->listener == PF_LISTEN_ADMIN && !ex->gate)
        ex->peer_ok = rq->fd >= 0 &&
                      pf_peer_may_administer(rq->fd, rq->http->c.socket_path);
    MHD_get_connection_values_n(c, MHD_HEADER_KIND, see_header, &seen);
}

static void completed(void *cls, struct MHD_Connection *c, void **con_cls,
                      enum MHD_RequestTerminationCode why)
{
    struct request *rq = *con_cls;

    (void)cls;
    (void)c;
    (void)why;
    if (!rq)
        return;
    *con_cls = NULL;
    if (rq->phase == PHASE_NEW)
        pf_count(rq->http->c.edge->metrics, PF_COUNT_BROKEN_HEADS, 1);
    pf_link_end(rq->http->links, rq->link);
    pf_exchange_free(&rq->ex);
    free(rq->uri);
    free(rq);
}

static void release_object(void *object)
{
    pf_object_release(object);
}

static struct MHD_Response *make_response(struct pf_reply *r)
{
    struct MHD_Response *out;
    struct pf_object *obj = r->object;
    const uint8_t *from;

    if (!obj)
        return MHD_create_response_from_buffer(
            r->body.len, r->body.len ? r->body.data : (void *)r,
            r->body.len ? MHD_RESPMEM_MUST_COPY : MHD_RESPMEM_PERSISTENT);
    /* Straight out of the shared mapping. */
    from = obj->bytes + r->offset;
    out = MHD_create_response_from_buffer_with_free_callback_cls(
        r->len, (void *)(uintptr_t)from, release_object, obj);
    if (out)
        r->object = NULL; /* the response has the reference */
    return out;
}

static enum MHD_Result send_reply(struct request *rq)
{
    struct pf_reply *r = &rq->ex.reply;
    struct MHD_Response *response = make_response(r);
    enum MHD_Result rc;
    unsigned i;

    if (!response)
        return MHD_NO;
    if (r->type)
        MHD_add_response_header(response, "Content-Type", r->type);
    for (i = 0; i < r->n_headers; i++)
        MHD_add_response_header(response, r->header[i].name,
                                r->header[i].value);
    if (r->close)
        MHD_add_response_header(response, "Connection", "close");
    pf_link_phase(rq->link, PF_LINK_ANSWER);
    rc = MHD_queue_response(rq->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    pf_count_answer(rq->http->c.edge->metrics, rq->ex.listener, r->status,
                    r->problem);
    pf_log(rq->http->c.edge->log, PF_LOG_DEBUG,
           "answer method=%s path=%.200s status=%d", rq->ex.method, rq->uri,
           r->status);
    return rc;
}

/* An answer at the headers. libmicrohttpd then drops the body and closes the
 * connection, which is right for a body that is long or has not been sent yet
 * (Expect), and a waste otherwise: a short one is read, and the answer given at
 * its end, so that the connection lives on. */
static enum MHD_Result answer_early(struct request *rq)
{
    const struct pf_exchange *ex = &rq->ex;

    if (ex->reply.close || ex->n_transfer_encoding > 0 ||
        ex->content_length > DRAIN_MAX || header(ex, "Expect"))
        return send_reply(rq);
    rq->phase = PHASE_DRAIN;
    pf_link_phase(rq->link, PF_LINK_BODY);
    return MHD_YES;
}

static enum MHD_Result act(struct request *rq, enum pf_next next)
{
    int expected = SYNC_RUNNING;

    switch (next) {
    case PF_NEXT_READ:
        rq->phase = PHASE_BODY;
        if (rq->ex.proved)
            pf_link_trust(rq->link);
        pf_link_phase(rq->link, PF_LINK_BODY);
        return MHD_YES;
    case PF_NEXT_WAIT:
        rq->waits = 1;
        MHD_suspend_connection(rq->connection);
        if (!atomic_compare_exchange_strong(&rq->sync, &expected, SYNC_WAITING))
            MHD_resume_connection(rq->connection); /* woken in between */
        return MHD_YES;
    default:
        return rq->phase == PHASE_HEADERS ? answer_early(rq) : send_reply(rq);
    }
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c,
                              const char *url, const char *method,
                              const char *version, const char *data,
                              size_t *size, void **con_cls)
{
    struct request *rq = *con_cls;

    (void)cls;
    (void)url;
    (void)version;
    if (!rq) /* no memory when it began */
        return MHD_NO;
    if (rq->phase == PHASE_NEW) {
        fill(rq, c, method);
        atomic_store(&rq->sync, SYNC_RUNNING);
        return act(rq, pf_exchange_begin(&rq->ex));
    }
    if (rq->waits) {
        rq->waits = 0;
        atomic_store(&rq->sync, SYNC_RUNNING);
        return act(rq, pf_exchange_continue(&rq->ex));
    }
    if (*size > 0) {
        pf_link_bytes(rq->link, *size);
        if (rq->phase == PHASE_BODY)
            pf_exchange_data(&rq->ex, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (rq->phase == PHASE_DRAIN)
        return send_reply(rq);
    rq->phase = PHASE_END;
    pf_link_phase(rq->link, PF_LINK_WORK);
    atomic_store(&rq->sync, SYNC_RUNNING);
    return act(rq, pf_exchange_end(&rq->ex));
}

/* ---- the daemon ---- */

static void mhd_log(void *cls, const char *fmt, va_list args) PF_PRINTF(2, 0);

static void mhd_log(void *cls, const char *fmt, va_list args)
{
    struct pf_http *h = cls;
    char line[512];

    vsnprintf(line, sizeof line, fmt, args);
    line[strcspn(line, "\r\n")] = '\0';
    pf_log(h->c.edge->log, PF_LOG_DEBUG, "http \"%s\"", line);
}

/* Leaves escapes alone: paths are matched and signed as sent. */
static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *s)
{
    (void)cls;
    (void)c;
    return strlen(s);
}

static void *as_pointer(const char *s)
{
    return (void *)(uintptr_t)s;
}

enum pocketfed_status pf_http_start(const struct pf_http_config *c,
                                    struct pf_http **out, struct pf_error *err)
{
    struct MHD_OptionItem o[8];
    struct pf_http *h = calloc(1, sizeof *h);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ITC | MHD_USE_ERROR_LOG;
    unsigned threads = c->threads ? c->threads : 1;
    unsigned limit =
        c->max_connections < threads ? threads : c->max_connections;
    size_t n = 0;

    if (!h)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a listener");
    h->c = *c;
    h->timeout_s = atomic_load(&c->edge->limits->now.timeout_s);
    if (pf_links_create(c->edge->limits, limit, &h->links) != POCKETFED_OK) {
        free(h);
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a listener");
    }
    if (threads > 1)
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE,
                                         (intptr_t)threads, NULL};
    if (c->tls) {
        flags |= MHD_USE_TLS;
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0,
                                         as_pointer(pf_tls_key(c->tls))};
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0,
                                         as_pointer(pf_tls_cert(c->tls))};
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                         as_pointer(pf_tls_priorities())};
    }
    o[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, h, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, h,
        MHD_OPTION_LISTEN_SOCKET, c->fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        c->buffer, MHD_OPTION_CONNECTION_LIMIT, limit,
        MHD_OPTION_CONNECTION_TIMEOUT, h->timeout_s,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        new_request, h, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, completed, h, MHD_OPTION_NOTIFY_CONNECTION,
        notify_connection, h, MHD_OPTION_ARRAY, o, MHD_OPTION_END);
    if (!h->daemon) {
        pf_links_free(h->links);
        free(h);
        return pf_fail(err, POCKETFED_IO,
                       "the HTTP library did not start (--log-level debug "
                       "shows its reason)");
    }
    *out = h;
    return POCKETFED_OK;
}

void pf_http_quiesce(struct pf_http *h)
{
    int fd = MHD_quiesce_daemon(h->daemon);

    if (fd >= 0)
        close(fd);
}

void pf_http_stop(struct pf_http *h)
{
    if (!h)
        return;
    MHD_stop_daemon(h->daemon);
    pf_links_free(h->links);
    free(h);
}
