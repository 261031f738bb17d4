#include "rates.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crypto.h"

#define WAYS 8u /* places that one name may have */

/* `used` is in thousandths of one thing; it falls by per_s every millisecond.
 * A place is free when it is 0. */
struct place {
    uint8_t name[PF_RATE_NAME];
    int64_t at_ms; /* when `used` was right */
    uint64_t used;
};

struct pf_rates {
    pthread_mutex_t lock;
    uint8_t secret[16];
    size_t n_sets; /* a power of two */
    uint64_t forgotten;
    struct place place[];
};

enum pocketfed_status pf_rates_create(size_t entries, struct pf_rates **out)
{
    struct pf_rates *r;
    size_t sets = 1;

    if (entries == 0 || entries > SIZE_MAX / 4 / sizeof(struct place))
        return POCKETFED_INVALID;
    while (sets * WAYS < entries)
        sets *= 2;
    r = calloc(1, sizeof *r + sets * WAYS * sizeof r->place[0]);
    if (!r)
        return POCKETFED_NO_MEMORY;
    if (pf_random(r->secret, sizeof r->secret) != POCKETFED_OK) {
        free(r);
        return POCKETFED_INTERNAL;
    }
    r->n_sets = sets;
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return POCKETFED_OK;
}

void pf_rates_free(struct pf_rates *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The first of the places that the name may have. */
static struct place *set_of(struct pf_rates *r, const uint8_t *name)
{
    uint8_t text[sizeof r->secret + PF_RATE_NAME], digest[PF_DIGEST_LEN];

    memcpy(text, r->secret, sizeof r->secret);
    memcpy(text + sizeof r->secret, name, PF_RATE_NAME);
    pf_sha256(text, sizeof text, digest);
    return &r->place[((size_t)pf_get64(digest) & (r->n_sets - 1)) * WAYS];
}

static uint64_t used_at(const struct place *p, uint32_t per_s, int64_t now_ms)
{
    uint64_t ms = now_ms > p->at_ms ? (uint64_t)(now_ms - p->at_ms) : 0;

    if (p->used == 0 || ms >= p->used / per_s + 1)
        return 0;
    return p->used > ms * per_s ? p->used - ms * per_s : 0;
}

/* The lock is held. NULL when the name has no place. */
static struct place *find(struct place *set, const uint8_t *name)
{
    unsigned i;

    for (i = 0; i < WAYS; i++)
        if (set[i].used && memcmp(set[i].name, name, PF_RATE_NAME) == 0)
            return &set[i];
    return NULL;
}

int64_t pf_rates_wait(struct pf_rates *r, const uint8_t name[PF_RATE_NAME],
                      struct pf_rate rate, int64_t now_ms)
{
    uint64_t used = 0, most = 1000ull * (rate.burst ? rate.burst : 1);
    struct place *set, *p;

    if (rate.per_s == 0)
        return 0;
    set = set_of(r, name);
    pthread_mutex_lock(&r->lock);
    p = find(set, name);
    if (p)
        used = used_at(p, rate.per_s, now_ms);
    pthread_mutex_unlock(&r->lock);
    if (used + 1000 <= most)
        return 0;
    return (int64_t)((used + 1000 - most + rate.per_s - 1) / rate.per_s);
}

void pf_rates_take(struct pf_rates *r, const uint8_t name[PF_RATE_NAME],
                   struct pf_rate rate, int64_t now_ms)
{
    struct place *set, *p;
    unsigned i;

    if (rate.per_s == 0)
        return;
    set = set_of(r, name);
    pthread_mutex_lock(&r->lock);
    p = find(set, name);
    if (!p) { /* a free place, or that of the one that used the least */
        for (p = &set[0], i = 1; i < WAYS; i++)
            if (used_at(&set[i], rate.per_s, now_ms) <
                used_at(p, rate.per_s, now_ms))
                p = &set[i];
        r->forgotten += used_at(p, rate.per_s, now_ms) > 0;
        p->used = 0;
        memcpy(p->name, name, PF_RATE_NAME);
    }
    p->used = used_at(p, rate.per_s, now_ms) + 1000;
    p->at_ms = now_ms;
    pthread_mutex_unlock(&r->lock);
}

int pf_rates_knows(struct pf_rates *r, const uint8_t name[PF_RATE_NAME])
{
    struct place *set = set_of(r, name);
    int known;

    pthread_mutex_lock(&r->lock);
    known = find(set, name) != NULL;
    pthread_mutex_unlock(&r->lock);
    return known;
}

uint64_t pf_rates_forgotten(struct pf_rates *r)
{
    uint64_t n;

    pthread_mutex_lock(&r->lock);
    n = r->forgotten;
    pthread_mutex_unlock(&r->lock);
    return n;
}
