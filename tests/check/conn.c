#include "conn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *header(const struct pf_exchange *ex, const char *name)
{
    const struct conn *c = ex->adapter;
    unsigned i;

    if (strcasecmp(name, "Content-Length") == 0)
        return c->rq->body ? c->length : NULL;
    for (i = 0; i < c->rq->n_headers; i++)
        if (strcasecmp(name, c->rq->header[i].name) == 0)
            return c->rq->header[i].value;
    return NULL;
}

static void wake(struct pf_exchange *ex)
{
    struct conn *c = ex->adapter;

    pthread_mutex_lock(&c->lock);
    c->awake = 1;
    pthread_cond_signal(&c->woken);
    pthread_mutex_unlock(&c->lock);
}

static void hang_up(struct pf_exchange *ex)
{
    struct conn *c = ex->adapter;

    c->hung_up++;
}

void conn_wait(struct conn *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->awake)
        pthread_cond_wait(&c->woken, &c->lock);
    c->awake = 0;
    pthread_mutex_unlock(&c->lock);
}

static enum pf_next settle(struct conn *c, enum pf_next next)
{
    while (next == PF_NEXT_WAIT) {
        conn_wait(c);
        next = pf_exchange_continue(&c->ex);
    }
    return next;
}

enum pf_next conn_begin(struct conn *c, struct edge *e,
                        const struct edge_request *rq)
{
    struct pf_exchange *ex = &c->ex;

    memset(c, 0, sizeof *c);
    c->rq = rq;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->woken, NULL);
    snprintf(c->length, sizeof c->length, "%zu", rq->len);
    pf_exchange_init(ex, &e->daemon.edge);
    ex->listener = rq->listener;
    ex->method = rq->method;
    ex->path = rq->path;
    ex->query = rq->query ? rq->query : "?";
    ex->header = header;
    ex->n_content_length = rq->body != NULL;
    ex->gate = rq->gate;
    ex->peer_ok = !rq->stranger && !rq->gate;
    memcpy(ex->peer, rq->peer, sizeof ex->peer);
    ex->has_peer = rq->peer[10] == 0xff;
    if (e->peer) {
        ex->has_peer = 1;
        memcpy(ex->peer, (uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 0, e->peer},
               sizeof ex->peer);
    }
    ex->wake = wake;
    ex->hang_up = hang_up;
    ex->adapter = c;
    return settle(c, pf_exchange_begin(ex));
}

void conn_feed(struct conn *c, size_t from, size_t n)
{
    const uint8_t *p = c->rq->body;
    size_t done = 0, some, piece = c->rq->piece;

    while (done < n) {
        some = piece && piece < n - done ? piece : n - done;
        pf_exchange_data(&c->ex, p + from + done, some);
        done += some;
    }
}

enum pf_next conn_end(struct conn *c)
{
    return settle(c, pf_exchange_end(&c->ex));
}

void conn_close(struct conn *c)
{
    pf_exchange_free(&c->ex);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->woken);
}

void conn_header(const struct conn *c, const char *name, char *out, size_t cap)
{
    const struct pf_reply *r = &c->ex.reply;
    unsigned i;

    snprintf(out, cap, "%s", "");
    for (i = 0; i < r->n_headers; i++)
        if (strcasecmp(name, r->header[i].name) == 0)
            snprintf(out, cap, "%s", r->header[i].value);
}
