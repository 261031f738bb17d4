#include "queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"

struct pf_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    uint8_t *ring;
    size_t item, room; /* bytes of one item; items the ring holds */
    size_t first, count, reserved, capacity;
    int closed;
};

enum pocketfed_status pf_queue_create(size_t item_size, size_t capacity,
                                      struct pf_queue **out)
{
    pthread_condattr_t attr;
    struct pf_queue *q;
    size_t bytes;

    if (capacity == 0 || !pf_mul_size(item_size, capacity, &bytes))
        return POCKETFED_INVALID;
    q = calloc(1, sizeof *q);
    if (!q)
        return POCKETFED_NO_MEMORY;
    q->ring = malloc(bytes);
    if (!q->ring || pthread_condattr_init(&attr) != 0) {
        free(q->ring);
        free(q);
        return POCKETFED_NO_MEMORY;
    }
    q->item = item_size;
    q->room = q->capacity = capacity;
    /* On Linux none of these takes memory or fails with valid arguments. */
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, &attr);
    pthread_cond_init(&q->emptied, &attr);
    pthread_condattr_destroy(&attr);
    *out = q;
    return POCKETFED_OK;
}

void pf_queue_free(struct pf_queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->emptied);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q->ring);
    free(q);
}

/* The lock is held and the ring has room. */
static void put(struct pf_queue *q, const void *item)
{
    size_t at = (q->first + q->count) % q->room;

    memcpy(q->ring + at * q->item, item, q->item);
    q->count++;
    pthread_cond_signal(&q->filled);
}

static int has_place(const struct pf_queue *q)
{
    return q->count + q->reserved < q->capacity;
}

int pf_queue_reserve(struct pf_queue *q)
{
    int ok;

    pthread_mutex_lock(&q->lock);
    ok = !q->closed && has_place(q);
    if (ok)
        q->reserved++;
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void pf_queue_unreserve(struct pf_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->reserved--;
    pthread_cond_signal(&q->emptied);
    if (q->closed)
        pthread_cond_broadcast(&q->filled); /* perhaps the end */
    pthread_mutex_unlock(&q->lock);
}

int pf_queue_push(struct pf_queue *q, const void *item)
{
    int ok;

    pthread_mutex_lock(&q->lock);
    ok = !q->closed && has_place(q);
    if (ok)
        put(q, item);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void pf_queue_push_reserved(struct pf_queue *q, const void *item)
{
    pthread_mutex_lock(&q->lock);
    q->reserved--;
    put(q, item);
    pthread_mutex_unlock(&q->lock);
}

int pf_queue_push_wait(struct pf_queue *q, const void *item)
{
    int ok;

    pthread_mutex_lock(&q->lock);
    while (!q->closed && !has_place(q))
        pthread_cond_wait(&q->emptied, &q->lock);
    ok = !q->closed;
    if (ok)
        put(q, item);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

/* Twice the ring, unrolled; the lock is held. */
static int grow(struct pf_queue *q)
{
    size_t head = q->room - q->first, bytes;
    uint8_t *p;

    if (!pf_mul_size(q->room, 2 * q->item, &bytes))
        return 0;
    p = malloc(bytes);
    if (!p)
        return 0;
    if (head > q->count)
        head = q->count;
    memcpy(p, q->ring + q->first * q->item, head * q->item);
    memcpy(p + head * q->item, q->ring, (q->count - head) * q->item);
    free(q->ring);
    q->ring = p;
    q->first = 0;
    q->room *= 2;
    return 1;
}

int pf_queue_push_extra(struct pf_queue *q, const void *item)
{
    int ok;

    pthread_mutex_lock(&q->lock);
    ok = !q->closed && (q->count + q->reserved < q->room || grow(q));
    if (ok)
        put(q, item);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

/* One wait; 0 when the deadline has passed. The lock is held. */
static int wait_filled(struct pf_queue *q, int64_t wait_ms,
                       const struct timespec *deadline)
{
    if (wait_ms < 0)
        return pthread_cond_wait(&q->filled, &q->lock) == 0;
    return pthread_cond_timedwait(&q->filled, &q->lock, deadline) != ETIMEDOUT;
}

static struct timespec deadline_in(int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    if (ms > 0) {
        t.tv_sec += (time_t)(ms / 1000);
        t.tv_nsec += (long)(ms % 1000) * 1000000;
        if (t.tv_nsec >= 1000000000) {
            t.tv_nsec -= 1000000000;
            t.tv_sec++;
        }
    }
    return t;
}

size_t pf_queue_take(struct pf_queue *q, void *out, size_t max, int64_t wait_ms,
                     int *ended)
{
    struct timespec deadline = deadline_in(wait_ms);
    uint8_t *to = out;
    size_t n;

    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !(q->closed && q->reserved == 0))
        if (!wait_filled(q, wait_ms, &deadline))
            break;
    for (n = 0; n < max && q->count > 0; n++, q->count--) {
        memcpy(to + n * q->item, q->ring + q->first * q->item, q->item);
        q->first = (q->first + 1) % q->room;
    }
    if (n > 0)
        pthread_cond_broadcast(&q->emptied);
    *ended = n == 0 && q->closed && q->reserved == 0;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void pf_queue_close(struct pf_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = 1;
    pthread_cond_broadcast(&q->filled);
    pthread_cond_broadcast(&q->emptied);
    pthread_mutex_unlock(&q->lock);
}

size_t pf_queue_depth(struct pf_queue *q)
{
    size_t n;

    pthread_mutex_lock(&q->lock);
    n = q->count;
    pthread_mutex_unlock(&q->lock);
    return n;
}

uint32_t pf_queue_fill(struct pf_queue *q)
{
    size_t taken;

    pthread_mutex_lock(&q->lock);
    taken = q->count + q->reserved;
    pthread_mutex_unlock(&q->lock);
    return taken < q->capacity ? (uint32_t)(taken * 1000 / q->capacity) : 1000;
}
