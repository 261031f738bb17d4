/* accept4 and pipe2: other programs are started meanwhile and must not get
 * these descriptors. */
#define _GNU_SOURCE
#include "faultproxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_OPEN   128       /* connections at once, silent ones among them */
#define SOME       4096      /* bytes taken at a time */
#define LEAST      512       /* no tinier pieces for want of bandwidth */
#define TOKENS_MS  5         /* until there is more bandwidth */
#define NEAR       8192      /* bytes between the sides */
#define FAR        (1 << 20) /* the same when they are under way for a while */
#define SOCKET_BUF 16384
#define ADDRESSES  200

/* Bytes that are under way; one direction of a connection. */
struct flow {
    int from, to;
    uint8_t *data; /* FAR bytes, a ring */
    size_t first, len;
    struct {
        int64_t at_ms;
        size_t len;
    } batch[FAR / 256]; /* when they arrive; a ring */
    size_t first_batch, n_batches;
    int ended;     /* no more comes from `from` */
    int told;      /* and `to` knows */
    uint64_t seen; /* bytes taken */
};

struct pair {
    int client, server;
    int silent; /* the client is gone, the server is not told */
    int stalled;
    struct flow up, down;
    size_t record; /* in carried */
};

/* What the bandwidth has left now. */
struct bucket {
    double bytes;
    int64_t at_us;
};

struct pf_faultproxy {
    struct pf_faults f;
    int listener, quit[2];
    uint16_t port, target;
    pthread_t thread;
    int running;
    struct pair *pair[MAX_OPEN];
    struct bucket bucket[2]; /* up, down */
    int64_t next_drop_ms;
    struct pf_carried *carried;
    size_t n_carried, room;
    unsigned stalled;
};

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_ms(void)
{
    return now_us() / 1000;
}

/* ---- connections ------------------------------------------------------- */

static void set_small(int fd)
{
    int small = SOCKET_BUF, one = 1;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        set_small(fd);
    return fd;
}

static struct sockaddr_in loopback(unsigned last, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

    a.sin_addr.s_addr = htonl((127u << 24) | last);
    return a;
}

static int dial(struct pf_faultproxy *p)
{
    struct sockaddr_in to = loopback(1, p->target), from;
    int fd = new_socket();

    from = loopback(2 + (unsigned)(p->n_carried % ADDRESSES), 0);
    if (fd >= 0 && ((p->f.move && bind(fd, (const struct sockaddr *)&from,
                                       sizeof from) != 0) ||
                    connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 ||
                    fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void end_side(int *fd, int reset)
{
    const struct linger now = {1, 0};

    if (*fd < 0)
        return;
    if (reset)
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(*fd);
    *fd = -1;
}

static void free_pair(struct pf_faultproxy *p, struct pair **at,
                      enum pf_fault_end how)
{
    struct pair *c = *at;

    p->carried[c->record].up = c->up.seen;
    p->carried[c->record].down = c->down.seen;
    end_side(&c->client, how != PF_END_CLOSE);
    if (how == PF_END_SILENT) {
        c->silent = 1;
        return;
    }
    end_side(&c->server, how == PF_END_RESET);
    free(c->up.data);
    free(c->down.data);
    free(c);
    *at = NULL;
}

static struct pair **vacancy(struct pf_faultproxy *p)
{
    int i;

    for (i = 0; i < MAX_OPEN; i++)
        if (!p->pair[i])
            return &p->pair[i];
    return NULL;
}

static int record(struct pf_faultproxy *p)
{
    struct pf_carried *more;

    if (p->n_carried == p->room) {
        more = realloc(p->carried, (p->room + 64) * sizeof *more);
        if (!more)
            return 0;
        p->carried = more;
        p->room += 64;
    }
    p->carried[p->n_carried] = (struct pf_carried){0, 0};
    return 1;
}

static void take_connection(struct pf_faultproxy *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct pair **at = vacancy(p), *c = NULL;

    if (fd < 0)
        return;
    set_small(fd);
    if (at && record(p))
        c = calloc(1, sizeof *c);
    if (c) {
        c->up.data = malloc(FAR);
        c->down.data = malloc(FAR);
        c->client = fd;
        c->server = dial(p);
    }
    if (!c || !c->up.data || !c->down.data || c->server < 0) {
        end_side(&fd, 1);
        if (c) {
            end_side(&c->server, 1);
            free(c->up.data);
            free(c->down.data);
            free(c);
        }
        return;
    }
    c->up.from = c->down.to = c->client;
    c->up.to = c->down.from = c->server;
    c->record = p->n_carried++;
    *at = c;
}

/* ---- bytes ------------------------------------------------------------- */

static size_t allowed(const struct pf_faultproxy *p, struct bucket *b,
                      int64_t us)
{
    if (!p->f.bytes_per_s)
        return SOME;
    b->bytes += (double)p->f.bytes_per_s * (double)(us - b->at_us) / 1e6;
    b->at_us = us;
    if (b->bytes > SOME)
        b->bytes = SOME;
    return b->bytes < LEAST ? 0 : (size_t)b->bytes;
}

static uint64_t carried(const struct pair *c)
{
    return c->up.seen + c->down.seen;
}

/* How many bytes the flow may take now. */
static size_t room_of(const struct pf_faultproxy *p, const struct pair *c,
                      const struct flow *f)
{
    size_t cap = p->f.latency_ms ? FAR : NEAR, n;

    if (f->ended || f->n_batches == sizeof f->batch / sizeof f->batch[0])
        return 0;
    n = cap - f->len;
    if (p->f.cut_after && n > p->f.cut_after - carried(c))
        n = (size_t)(p->f.cut_after - carried(c));
    return n < SOME ? n : SOME;
}

/* 0 when the connection is over. */
static int take(struct pf_faultproxy *p, struct pair *c, struct flow *f,
                struct bucket *b)
{
    size_t n = room_of(p, c, f), most = allowed(p, b, now_us()), at, i;
    ssize_t got;

    n = n < most ? n : most;
    at = (f->first + f->len) % FAR;
    n = n < FAR - at ? n : FAR - at;
    if (n == 0)
        return 1;
    got = recv(f->from, f->data + at, n, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
        f->ended = 1;
        return 1;
    }
    i = (f->first_batch + f->n_batches++) %
        (sizeof f->batch / sizeof *f->batch);
    f->batch[i].at_ms = now_ms() + p->f.latency_ms;
    f->batch[i].len = (size_t)got;
    f->len += (size_t)got;
    f->seen += (uint64_t)got;
    if (p->f.bytes_per_s)
        b->bytes -= (double)got;
    return 1;
}

static int give(struct flow *f, int64_t ms)
{
    size_t n, m = sizeof f->batch / sizeof *f->batch;
    ssize_t sent;

    while (f->n_batches > 0 && f->batch[f->first_batch].at_ms <= ms) {
        n = f->batch[f->first_batch].len;
        n = n < FAR - f->first ? n : FAR - f->first;
        sent = send(f->to, f->data + f->first, n, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        f->first = (f->first + (size_t)sent) % FAR;
        f->len -= (size_t)sent;
        f->batch[f->first_batch].len -= (size_t)sent;
        if (f->batch[f->first_batch].len == 0) {
            f->first_batch = (f->first_batch + 1) % m;
            f->n_batches--;
        }
    }
    if (f->ended && f->n_batches == 0 && !f->told) {
        shutdown(f->to, SHUT_WR);
        f->told = 1;
    }
    return 1;
}

/* ---- the loop ---------------------------------------------------------- */

/* 0 when it is over, by itself or by a fault. */
static int serve(struct pf_faultproxy *p, struct pair *c, int64_t ms)
{
    if (!c->stalled && p->f.stall_after && carried(c) >= p->f.stall_after &&
        p->stalled < p->f.stalls) {
        c->stalled = 1;
        p->stalled++;
    }
    if (c->stalled)
        return 1;
    if (!take(p, c, &c->up, &p->bucket[0]) ||
        !take(p, c, &c->down, &p->bucket[1]) || !give(&c->up, ms) ||
        !give(&c->down, ms))
        return 0;
    if (p->f.cut_after && carried(c) >= p->f.cut_after && c->up.len == 0 &&
        c->down.len == 0)
        return 0;
    return !(c->up.told && c->down.told);
}

static void serve_all(struct pf_faultproxy *p)
{
    int64_t ms = now_ms();
    int drop = p->f.drop_every_ms && ms >= p->next_drop_ms, i, over;

    if (drop)
        p->next_drop_ms = ms + p->f.drop_every_ms;
    for (i = 0; i < MAX_OPEN; i++) {
        struct pair *c = p->pair[i];

        if (!c || c->silent)
            continue;
        over = c->up.told && c->down.told;
        if (drop || !serve(p, c, ms))
            free_pair(p, &p->pair[i],
                      over || (c->up.told && c->down.told) ? PF_END_CLOSE
                                                           : p->f.end);
    }
}

static int64_t due(const struct flow *f)
{
    return f->batch[f->first_batch].at_ms;
}

/* For how long nothing can happen but by a socket. */
static int patience(const struct pf_faultproxy *p)
{
    int64_t ms = now_ms(), left = 1000;
    int i;

    if (p->f.drop_every_ms && p->next_drop_ms - ms < left)
        left = p->next_drop_ms - ms;
    for (i = 0; i < MAX_OPEN; i++) {
        const struct pair *c = p->pair[i];
        const struct flow *f[2];
        int k;

        if (!c || c->silent || c->stalled)
            continue;
        f[0] = &c->up;
        f[1] = &c->down;
        for (k = 0; k < 2; k++)
            if (f[k]->n_batches > 0 && due(f[k]) > ms && due(f[k]) - ms < left)
                left = due(f[k]) - ms;
    }
    return left < 0 ? 0 : (int)left;
}

static void watch(const struct pf_faultproxy *p, struct pollfd *fds, nfds_t *n,
                  int *waits_for_tokens)
{
    int64_t us = now_us(), ms = us / 1000;
    int i, k;

    *waits_for_tokens = 0;
    for (i = 0; i < MAX_OPEN; i++) {
        const struct pair *c = p->pair[i];

        if (!c || c->silent || c->stalled)
            continue;
        for (k = 0; k < 2; k++) {
            const struct flow *f = k ? &c->down : &c->up;
            struct bucket b = p->bucket[k];

            if (room_of(p, c, f) > 0) {
                if (allowed(p, &b, us) > 0)
                    fds[(*n)++] = (struct pollfd){f->from, POLLIN, 0};
                else
                    *waits_for_tokens = 1;
            }
            if (f->n_batches > 0 && due(f) <= ms)
                fds[(*n)++] = (struct pollfd){f->to, POLLOUT, 0};
        }
    }
}

static void *run(void *arg)
{
    struct pf_faultproxy *p = arg;
    struct pollfd fds[2 + 4 * MAX_OPEN];
    int tokens, ms, i;
    nfds_t n;

    p->next_drop_ms = now_ms() + p->f.drop_every_ms;
    p->bucket[0].at_us = p->bucket[1].at_us = now_us();
    for (;;) {
        fds[0] = (struct pollfd){p->listener, POLLIN, 0};
        fds[1] = (struct pollfd){p->quit[0], POLLIN, 0};
        n = 2;
        watch(p, fds, &n, &tokens);
        ms = patience(p);
        poll(fds, n, tokens && ms > TOKENS_MS ? TOKENS_MS : ms);
        if (fds[1].revents)
            break;
        if (fds[0].revents)
            take_connection(p);
        serve_all(p);
    }
    for (i = 0; i < MAX_OPEN; i++)
        if (p->pair[i])
            free_pair(p, &p->pair[i], PF_END_RESET);
    return NULL;
}

/* ---- from outside ------------------------------------------------------ */

static int open_listener(struct pf_faultproxy *p)
{
    struct sockaddr_in at = loopback(1, 0);
    socklen_t len = sizeof at;

    p->listener = new_socket();
    if (p->listener < 0 ||
        bind(p->listener, (const struct sockaddr *)&at, sizeof at) != 0 ||
        listen(p->listener, MAX_OPEN) != 0 ||
        fcntl(p->listener, F_SETFL, O_NONBLOCK) != 0 ||
        getsockname(p->listener, (struct sockaddr *)&at, &len) != 0)
        return 0;
    p->port = ntohs(at.sin_port);
    return 1;
}

struct pf_faultproxy *pf_faultproxy_start(uint16_t port,
                                          const struct pf_faults *faults)
{
    struct pf_faultproxy *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->f = *faults;
    p->target = port;
    p->listener = p->quit[0] = p->quit[1] = -1;
    if (!open_listener(p) || pipe2(p->quit, O_CLOEXEC) != 0 ||
        pthread_create(&p->thread, NULL, run, p) != 0) {
        pf_faultproxy_free(p);
        return NULL;
    }
    p->running = 1;
    return p;
}

uint16_t pf_faultproxy_port(const struct pf_faultproxy *p)
{
    return p->port;
}

void pf_faultproxy_stop(struct pf_faultproxy *p)
{
    if (!p->running)
        return;
    p->running = 0;
    if (write(p->quit[1], "", 1) == 1)
        pthread_join(p->thread, NULL);
}

const struct pf_carried *pf_faultproxy_carried(const struct pf_faultproxy *p,
                                               size_t *n)
{
    *n = p->n_carried;
    return p->carried;
}

void pf_faultproxy_free(struct pf_faultproxy *p)
{
    if (!p)
        return;
    pf_faultproxy_stop(p);
    end_side(&p->listener, 0);
    end_side(&p->quit[0], 0);
    end_side(&p->quit[1], 0);
    free(p->carried);
    free(p);
}
