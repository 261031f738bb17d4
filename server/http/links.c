#include "links.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"

struct pf_link {
    struct pf_link *prev, *next; /* in its list */
    int fd, closing;
    int busy; /* which list: resting, or with a whole request head */
    atomic_int phase, trusted;
    atomic_llong since_s;      /* of the phase */
    atomic_uint_fast64_t body; /* bytes of it so far */
    atomic_uint changes;       /* of the phase, so far */
    /* The sweep's own: what was counted when, in which phase. */
    unsigned seen;
    int marked;
    uint64_t mark;
    int64_t mark_s;
    int64_t head_s; /* a head was seen to have begun; 0: none */
};

/* Both lists are in the order in which their members came: the first of the
 * resting has rested longest. */
struct pf_links {
    pthread_mutex_t lock;
    struct pf_limits *limits;
    unsigned high; /* so many may be open before one has to go */
    unsigned open; /* and not closing */
    struct list {
        struct pf_link *first, *last;
    } list[2];
};

/* Room that stays free, so that the kernel's queue is always taken from. */
static unsigned spare(unsigned most)
{
    return most < 8 ? 0 : most / 16 + 1;
}

enum pocketfed_status pf_links_create(struct pf_limits *limits, unsigned most,
                                      struct pf_links **out)
{
    struct pf_links *l = calloc(1, sizeof *l);

    if (!l)
        return POCKETFED_NO_MEMORY;
    l->limits = limits;
    l->high = most - spare(most);
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return POCKETFED_OK;
}

void pf_links_free(struct pf_links *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void append(struct pf_links *l, struct pf_link *k)
{
    struct list *list = &l->list[k->busy];

    k->next = NULL;
    k->prev = list->last;
    if (k->prev)
        k->prev->next = k;
    else
        list->first = k;
    list->last = k;
}

static void take_out(struct pf_links *l, struct pf_link *k)
{
    struct list *list = &l->list[k->busy];

    if (k->prev)
        k->prev->next = k->next;
    else
        list->first = k->next;
    if (k->next)
        k->next->prev = k->prev;
    else
        list->last = k->prev;
}

/* The lock is held, so the descriptor is still this connection's. */
static void hang_up(struct pf_links *l, struct pf_link *k, enum pf_limit why)
{
    shutdown(k->fd, SHUT_RDWR);
    k->closing = 1;
    l->open--;
    pf_limits_count(l->limits, why);
}

/* Whoever rested longest; with nobody at rest, the oldest request that anybody
 * could make. */
static struct pf_link *least_wanted(struct pf_links *l)
{
    struct pf_link *k;
    int phase;

    for (k = l->list[0].first; k; k = k->next)
        if (!k->closing)
            return k;
    for (k = l->list[1].first; k; k = k->next) {
        phase = atomic_load(&k->phase);
        if (!k->closing && !atomic_load(&k->trusted) &&
            (phase == PF_LINK_BODY || phase == PF_LINK_ANSWER))
            return k;
    }
    return NULL;
}

struct pf_link *pf_links_add(struct pf_links *l, int fd)
{
    struct pf_link *k = calloc(1, sizeof *k), *out;

    if (!k)
        return NULL;
    k->fd = fd;
    atomic_init(&k->since_s, pf_monotonic_s());
    k->marked = 1; /* at 0 bytes: the first that comes begins a head */
    pthread_mutex_lock(&l->lock);
    if (l->open >= l->high && (out = least_wanted(l)) != NULL)
        hang_up(l, out, PF_LIMIT_CONNECTIONS);
    l->open++;
    append(l, k);
    pthread_mutex_unlock(&l->lock);
    return k;
}

void pf_links_remove(struct pf_links *l, struct pf_link *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&l->lock);
    take_out(l, k);
    if (!k->closing)
        l->open--;
    pthread_mutex_unlock(&l->lock);
    free(k);
}

void pf_link_phase(struct pf_link *k, enum pf_link_phase phase)
{
    if (!k)
        return;
    atomic_store(&k->since_s, pf_monotonic_s());
    atomic_store(&k->phase, phase);
    atomic_fetch_add(&k->changes, 1);
}

static void move(struct pf_links *l, struct pf_link *k, int busy)
{
    pthread_mutex_lock(&l->lock);
    take_out(l, k);
    k->busy = busy;
    append(l, k);
    pthread_mutex_unlock(&l->lock);
}

void pf_link_begin(struct pf_links *l, struct pf_link *k)
{
    if (!k)
        return;
    atomic_store(&k->body, 0);
    pf_link_phase(k, PF_LINK_WORK);
    move(l, k, 1);
}

void pf_link_bytes(struct pf_link *k, uint64_t n)
{
    if (k)
        atomic_fetch_add_explicit(&k->body, n, memory_order_relaxed);
}

void pf_link_trust(struct pf_link *k)
{
    if (k)
        atomic_store(&k->trusted, 1);
}

void pf_link_end(struct pf_links *l, struct pf_link *k)
{
    if (!k)
        return;
    atomic_store(&k->trusted, 0);
    pf_link_phase(k, PF_LINK_REST);
    move(l, k, 0);
}

/* ---- the sweep ---- */

/* Bytes that came from the peer and that it has confirmed to have, by the
 * kernel's count; 0 for what is no TCP socket. */
static void kernel_counts(int fd, uint64_t *in, uint64_t *out)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        memset(&info, 0, sizeof info);
    *in = info.tcpi_bytes_received;
    *out = info.tcpi_bytes_acked;
}

static void set_mark(struct pf_link *k, uint64_t bytes, int64_t now_s)
{
    k->marked = 1;
    k->mark = bytes;
    k->mark_s = now_s;
}

/* At rest: bytes that come are a request head, and that has to end. */
static void rests(struct pf_links *l, struct pf_link *k, int64_t now_s)
{
    uint64_t in, out;

    kernel_counts(k->fd, &in, &out);
    if (!k->marked) /* the first look since the last answer */
        set_mark(k, in, now_s);
    else if (k->head_s == 0 && in > k->mark)
        k->head_s = now_s;
    if (k->head_s > 0 &&
        now_s - k->head_s >= (int64_t)atomic_load(&l->limits->now.head_s))
        hang_up(l, k, PF_LIMIT_HEAD);
    else if (now_s - atomic_load(&k->since_s) >
             (int64_t)atomic_load(&l->limits->now.timeout_s))
        hang_up(l, k, PF_LIMIT_SILENCE);
}

/* A body or an answer: at least min_rate over every min_rate_s. */
static void too_slow(struct pf_links *l, struct pf_link *k, int64_t now_s,
                     uint64_t bytes)
{
    uint64_t window = atomic_load(&l->limits->now.min_rate_s);
    uint64_t rate = atomic_load(&l->limits->now.min_rate);

    if (!k->marked) {
        set_mark(k, bytes, now_s);
    } else if ((uint64_t)(now_s - k->mark_s) >= window) {
        if (bytes - k->mark < rate * (uint64_t)(now_s - k->mark_s))
            hang_up(l, k, PF_LIMIT_SLOW);
        else
            set_mark(k, bytes, now_s);
    }
}

static void look_at(struct pf_links *l, struct pf_link *k, int64_t now_s)
{
    unsigned changes = atomic_load(&k->changes);
    uint64_t in, out;

    if (k->closing)
        return;
    if (changes != k->seen) {
        k->seen = changes;
        k->marked = 0;
        k->head_s = 0;
    }
    switch (atomic_load(&k->phase)) {
    case PF_LINK_REST:
        rests(l, k, now_s);
        break;
    case PF_LINK_BODY:
        if (now_s - atomic_load(&k->since_s) >
            (int64_t)atomic_load(&l->limits->now.request_s))
            hang_up(l, k, PF_LIMIT_BODY);
        else
            too_slow(l, k, now_s, atomic_load(&k->body));
        break;
    case PF_LINK_ANSWER:
        kernel_counts(k->fd, &in, &out);
        if (out > 0)
            too_slow(l, k, now_s, out);
        break;
    default:
        break;
    }
}

void pf_links_sweep(struct pf_links *l, int64_t now_s)
{
    struct pf_link *k;
    int busy;

    pthread_mutex_lock(&l->lock);
    for (busy = 0; busy < 2; busy++)
        for (k = l->list[busy].first; k; k = k->next)
            look_at(l, k, now_s);
    pthread_mutex_unlock(&l->lock);
}
