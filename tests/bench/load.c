#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "say.h"

#define IN_BYTES  (8u << 10) /* a head, and what of a body is kept */
#define EVENTS    256
#define STALL_MS  60000
#define PIECE_MAX (256u << 10) /* of a body, to one SSL_write */

enum state { HANDSHAKE, IDLE, HEAD, CONTINUE, BODY, REPLY };

struct connection {
    SSL *ssl;
    enum state state;
    struct load_request rq;
    size_t sent;
    char in[IN_BYTES + 1];
    size_t n_in, head_len, body_len, got; /* head_len 0: not whole yet */
    int status;
    struct timespec began;
};

struct load {
    SSL_CTX *tls;
    int epoll;
    unsigned n, busy;
    struct connection *c;
    const struct load_job *job;
};

static SSL_CTX *context(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256"))
        die("OpenSSL cannot be set up");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("cannot connect to port %u: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* 1: go on; 0: the socket is not ready. */
static int ready(struct connection *c, int rc)
{
    int why;

    if (rc > 0)
        return 1;
    why = SSL_get_error(c->ssl, rc);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return 0;
    die("a connection was lost: state %d after %zu bytes (status %d): %s",
        (int)c->state, c->sent, c->status,
        ERR_reason_error_string(ERR_peek_error()));
    return 0;
}

/* ---- one connection ---- */

static void begin(struct load *l, struct connection *c)
{
    memset(&c->rq, 0, sizeof c->rq);
    c->state = IDLE;
    c->sent = c->n_in = c->head_len = c->body_len = c->got = 0;
    if (!l->job->next(l->job->ctx, (unsigned)(c - l->c), &c->rq)) {
        l->busy--;
        return;
    }
    c->state = HEAD;
    clock_gettime(CLOCK_MONOTONIC, &c->began);
}

static int put(struct connection *c, const void *p, size_t n)
{
    size_t left = n - c->sent;
    int rc;

    if (left > PIECE_MAX)
        left = PIECE_MAX;
    rc = SSL_write(c->ssl, (const char *)p + c->sent, (int)left);
    if (!ready(c, rc))
        return 0;
    c->sent += (size_t)rc;
    return 1;
}

static size_t length_of(const char *head)
{
    const char *p;

    for (p = head; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncasecmp(p, "content-length:", 15) == 0)
            return strtoul(p + 15, NULL, 10);
    }
    return 0;
}

/* A whole head in c->in? Then status and lengths are known. */
static int parse_head(struct connection *c)
{
    char *end;

    c->in[c->n_in] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end) {
        if (c->n_in == IN_BYTES)
            die("an answer's head has more than %u bytes", IN_BYTES);
        return 0;
    }
    c->head_len = (size_t)(end - c->in) + 4;
    c->status = (int)strtol(c->in + 9, NULL, 10);
    c->body_len = c->status == 204 || c->status == 304 ? 0 : length_of(c->in);
    c->got = c->n_in - c->head_len;
    return 1;
}

/* Reads on; 1 when the reply is whole. */
static int take(struct connection *c)
{
    static char rest[64 << 10];
    int rc;

    while (c->head_len == 0 || c->got < c->body_len) {
        size_t room = IN_BYTES - c->n_in;

        rc = SSL_read(c->ssl, room ? c->in + c->n_in : rest,
                      room ? (int)room : (int)sizeof rest);
        if (!ready(c, rc))
            return 0;
        if (room)
            c->n_in += (size_t)rc;
        if (c->head_len > 0)
            c->got += (size_t)rc;
        else
            parse_head(c);
    }
    return 1;
}

static void finish(struct load *l, struct connection *c)
{
    struct load_reply r = {.status = c->status, .body_len = c->body_len};
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    r.seconds = (double)(now.tv_sec - c->began.tv_sec) +
                (double)(now.tv_nsec - c->began.tv_nsec) * 1e-9;
    c->in[c->n_in] = '\0';
    r.body = c->in + c->head_len;
    l->job->done(l->job->ctx, (unsigned)(c - l->c), &r);
    begin(l, c);
}

static void got_reply(struct load *l, struct connection *c)
{
    if (c->state == CONTINUE && c->status == 100) {
        c->state = BODY;
        c->sent = c->n_in = c->head_len = c->body_len = c->got = 0;
        return;
    }
    finish(l, c);
}

/* As far as the socket allows. */
static void go_on(struct load *l, struct connection *c)
{
    int going = 1;

    while (going) {
        switch (c->state) {
        case HEAD:
            going = put(c, c->rq.head, c->rq.head_len);
            if (going && c->sent == c->rq.head_len) {
                c->sent = 0;
                c->state = c->rq.expect         ? CONTINUE
                           : c->rq.body_len > 0 ? BODY
                                                : REPLY;
            }
            break;
        case BODY:
            going = put(c, c->rq.body, c->rq.body_len);
            if (going && c->sent == c->rq.body_len)
                c->state = REPLY;
            break;
        case CONTINUE:
        case REPLY:
            going = take(c);
            if (going)
                got_reply(l, c);
            break;
        case HANDSHAKE:
        case IDLE:
            going = 0;
            break;
        }
    }
}

/* ---- all of them ---- */

struct load *load_open(uint16_t port, unsigned n)
{
    struct load *l = calloc(1, sizeof *l);
    unsigned i;
    int fd;

    if (!l || !(l->c = calloc(n, sizeof *l->c)))
        die("no memory for %u connections", n);
    l->n = n;
    l->tls = context();
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (i = 0; i < n; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

        fd = dial(port);
        l->c[i].ssl = SSL_new(l->tls);
        if (!l->c[i].ssl || !SSL_set_fd(l->c[i].ssl, fd))
            die("no memory for %u connections", n);
        /* The server's share of the handshakes goes on meanwhile; a blocking
         * handshake keeps the listen queue short. */
        if (SSL_connect(l->c[i].ssl) != 1)
            die("handshake %u failed: %s", i,
                ERR_reason_error_string(ERR_peek_error()));
        l->c[i].state = IDLE;
        fcntl(fd, F_SETFL, O_NONBLOCK);
        e.data.u32 = i;
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);
    }
    return l;
}

void load_close(struct load *l)
{
    unsigned i;

    if (!l)
        return;
    for (i = 0; i < l->n; i++) {
        close(SSL_get_fd(l->c[i].ssl));
        SSL_free(l->c[i].ssl);
    }
    close(l->epoll);
    SSL_CTX_free(l->tls);
    free(l->c);
    free(l);
}

unsigned load_size(const struct load *l)
{
    return l->n;
}

void load_run(struct load *l, const struct load_job *job)
{
    struct epoll_event e[EVENTS];
    unsigned i;
    int n;

    l->job = job;
    l->busy = l->n;
    for (i = 0; i < l->n; i++) {
        begin(l, &l->c[i]);
        go_on(l, &l->c[i]);
    }
    while (l->busy > 0) {
        n = epoll_wait(l->epoll, e, EVENTS, STALL_MS);
        if (n == 0)
            die("nothing moved for %d s; %u requests are under way",
                STALL_MS / 1000, l->busy);
        for (i = 0; n > 0 && i < (unsigned)n; i++)
            go_on(l, &l->c[e[i].data.u32]);
    }
}

/* ---- one visit ---- */

int load_visit(uint16_t port, void **session, const struct load_request *rq)
{
    static SSL_CTX *tls;
    struct connection *c = calloc(1, sizeof *c);
    int resumed;

    if (!tls) {
        tls = context();
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT |
                                                SSL_SESS_CACHE_NO_INTERNAL);
    }
    if (!c || !(c->ssl = SSL_new(tls)) || !SSL_set_fd(c->ssl, dial(port)))
        die("no memory for a connection");
    if (*session && !SSL_set_session(c->ssl, *session))
        die("a session cannot be resumed");
    c->state = HANDSHAKE;
    ready(c, SSL_connect(c->ssl));
    resumed = SSL_session_reused(c->ssl);
    c->state = HEAD;
    while (c->sent < rq->head_len)
        put(c, rq->head, rq->head_len);
    c->state = REPLY;
    take(c); /* tickets come before it */
    if (c->status != 200)
        die("status %d to a visitor", c->status);
    load_forget(*session);
    *session = SSL_get1_session(c->ssl);
    SSL_shutdown(c->ssl);
    close(SSL_get_fd(c->ssl));
    SSL_free(c->ssl);
    free(c);
    return resumed;
}

void load_forget(void *session)
{
    SSL_SESSION_free(session);
}
