#include "inflight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define BUCKETS 4096u
/* Rounds that have a sum of their own. The last one is shared by all rounds
 * that find no other: only with more uploading rounds at once than this. */
#define TALLIES 64u

struct tally {
    int64_t task;
    uint64_t round, n, bytes;
};

struct pf_inflight {
    pthread_mutex_t lock;
    uint64_t n;
    struct tally tally[TALLIES];
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

/* The round's sum. The lock is held. */
static unsigned tally_of(const struct pf_inflight *f, int64_t task,
                         uint64_t round)
{
    unsigned i, vacant = TALLIES - 1;

    for (i = 0; i < TALLIES - 1; i++) {
        if (f->tally[i].n == 0)
            vacant = i;
        else if (f->tally[i].task == task && f->tally[i].round == round)
            return i;
    }
    return vacant;
}

enum pf_inflight_result pf_inflight_enter(struct pf_inflight *f,
                                          struct pf_inflight_entry *e,
                                          const struct pf_inflight_bounds *most,
                                          int64_t task, uint64_t round,
                                          const uint8_t device[PF_DEVICE_LEN],
                                          uint64_t bytes)
{
    enum pf_inflight_result result = PF_INFLIGHT_IN;
    struct pf_inflight_entry **bucket, *at;
    struct tally *t;
    uint64_t n = 0;

    e->task = task;
    e->round = round;
    e->bytes = bytes;
    memcpy(e->device, device, sizeof e->device);
    bucket = bucket_of(f, e);
    pthread_mutex_lock(&f->lock);
    e->tally = tally_of(f, task, round);
    t = &f->tally[e->tally];
    for (at = *bucket; at; at = at->next)
        n += same(at, e) ? 1u : 0u;
    if (f->n >= most->all)
        result = PF_INFLIGHT_ALL;
    else if (n >= most->device)
        result = PF_INFLIGHT_DEVICE;
    else if (t->n > 0 && (t->bytes > most->round_bytes ||
                          bytes > most->round_bytes - t->bytes))
        result = PF_INFLIGHT_BYTES;
    if (result == PF_INFLIGHT_IN) {
        f->n++;
        t->task = task;
        t->round = round;
        t->n++;
        t->bytes += bytes;
        e->next = *bucket;
        *bucket = e;
        e->in = 1;
    }
    pthread_mutex_unlock(&f->lock);
    return result;
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
    f->n--;
    f->tally[e->tally].n--;
    f->tally[e->tally].bytes -= e->bytes;
    pthread_mutex_unlock(&f->lock);
    e->in = 0;
}
