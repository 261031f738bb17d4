#include "inflight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define BUCKETS 4096u

struct pf_inflight {
    pthread_mutex_t lock;
    struct pf_inflight_entry *bucket[BUCKETS];
};

enum pocketfed_status pf_inflight_create(struct pf_inflight **out)
{
    struct pf_inflight *f = calloc(1, sizeof *f);

    if (!f)
        return POCKETFED_NO_MEMORY;
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    return POCKETFED_OK;
}

void pf_inflight_free(struct pf_inflight *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* A device's id is a piece of a SHA-256: spread evenly as it is. */
static struct pf_inflight_entry **bucket_of(struct pf_inflight *f,
                                            const struct pf_inflight_entry *e)
{
    return &f->bucket[pf_get64(e->device) & (BUCKETS - 1)];
}

static int same(const struct pf_inflight_entry *a,
                const struct pf_inflight_entry *b)
{
    return a->task == b->task && a->round == b->round &&
           memcmp(a->device, b->device, sizeof a->device) == 0;
}

int pf_inflight_enter(struct pf_inflight *f, struct pf_inflight_entry *e,
                      int64_t task, uint64_t round,
                      const uint8_t device[PF_DEVICE_LEN])
{
    struct pf_inflight_entry **bucket, *at;
    unsigned n = 0;

    e->task = task;
    e->round = round;
    memcpy(e->device, device, sizeof e->device);
    bucket = bucket_of(f, e);
    pthread_mutex_lock(&f->lock);
    for (at = *bucket; at; at = at->next)
        n += same(at, e) ? 1u : 0u;
    if (n < PF_INFLIGHT_MAX) {
        e->next = *bucket;
        *bucket = e;
        e->in = 1;
    }
    pthread_mutex_unlock(&f->lock);
    return e->in;
}

void pf_inflight_leave(struct pf_inflight *f, struct pf_inflight_entry *e)
{
    struct pf_inflight_entry **at;

    if (!e->in)
        return;
    pthread_mutex_lock(&f->lock);
    for (at = bucket_of(f, e); *at != e;)
        at = &(*at)->next;
    *at = e->next;
    pthread_mutex_unlock(&f->lock);
    e->in = 0;
}
