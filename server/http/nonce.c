#include "nonce.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crypto.h"

#define FIRST_SLOTS 1024u

/* A slot is free when expires is 0. An expired slot still ends no probe, so
 * that names behind it are found; growing or cleaning drops it. */
struct slot {
    uint64_t name[2];
    int64_t expires;
};

struct pf_nonces {
    pthread_mutex_t lock;
    struct slot *slot;
    size_t n_slots; /* a power of two */
    size_t n_used;  /* live and expired */
    size_t max_slots;
    int64_t full_until; /* no room before; 0: there may be some */
};

enum pocketfed_status pf_nonces_create(size_t max, struct pf_nonces **out)
{
    struct pf_nonces *n;
    size_t slots = FIRST_SLOTS;

    if (max == 0 || max > SIZE_MAX / 4 / sizeof(struct slot))
        return POCKETFED_INVALID;
    n = calloc(1, sizeof *n);
    if (!n)
        return POCKETFED_NO_MEMORY;
    /* At most half the slots hold live names: probes stay short. */
    while (slots < 2 * max)
        slots *= 2;
    n->max_slots = slots;
    n->n_slots = FIRST_SLOTS;
    n->slot = calloc(n->n_slots, sizeof *n->slot);
    if (!n->slot) {
        free(n);
        return POCKETFED_NO_MEMORY;
    }
    pthread_mutex_init(&n->lock, NULL);
    *out = n;
    return POCKETFED_OK;
}

void pf_nonces_free(struct pf_nonces *n)
{
    if (!n)
        return;
    pthread_mutex_destroy(&n->lock);
    free(n->slot);
    free(n);
}

static void name_of(const char *keyid, const char *nonce, uint64_t name[2])
{
    uint8_t text[256], digest[PF_DIGEST_LEN];
    size_t a = strlen(keyid), b = strlen(nonce);

    /* Both are bounded by their parsers; cut rather than trust that. */
    if (a > 120)
        a = 120;
    if (b > 120)
        b = 120;
    memcpy(text, keyid, a);
    text[a] = ' '; /* neither part contains one */
    memcpy(text + a + 1, nonce, b);
    pf_sha256(text, a + 1 + b, digest);
    name[0] = pf_get64(digest);
    name[1] = pf_get64(digest + 8);
}

/* The slot of the name, or the free slot that ends its probe. */
static struct slot *find(struct slot *slots, size_t n_slots,
                         const uint64_t name[2])
{
    size_t i = (size_t)name[0] & (n_slots - 1);

    while (slots[i].expires != 0 &&
           (slots[i].name[0] != name[0] || slots[i].name[1] != name[1]))
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

/* Moves the live names into a table twice the size of their number or more.
 * When that is too large, nothing is looked through again before the first of
 * them expires. */
static enum pocketfed_status rebuild(struct pf_nonces *n, int64_t now_s)
{
    size_t live = 0, slots = FIRST_SLOTS, i;
    int64_t first = INT64_MAX;
    struct slot *fresh;

    if (now_s < n->full_until)
        return POCKETFED_BUSY;
    for (i = 0; i < n->n_slots; i++) {
        if (n->slot[i].expires <= now_s)
            continue;
        live++;
        if (n->slot[i].expires < first)
            first = n->slot[i].expires;
    }
    while (slots < 4 * live && slots < n->max_slots)
        slots *= 2;
    if (live >= slots / 2) {
        n->full_until = first;
        return POCKETFED_BUSY;
    }
    fresh = calloc(slots, sizeof *fresh);
    if (!fresh)
        return POCKETFED_BUSY;
    for (i = 0; i < n->n_slots; i++)
        if (n->slot[i].expires > now_s)
            *find(fresh, slots, n->slot[i].name) = n->slot[i];
    free(n->slot);
    n->slot = fresh;
    n->n_slots = slots;
    n->n_used = live;
    return POCKETFED_OK;
}

int pf_nonces_seen(struct pf_nonces *n, const char *keyid, const char *nonce,
                   int64_t now_s)
{
    uint64_t name[2];
    int seen;

    name_of(keyid, nonce, name);
    pthread_mutex_lock(&n->lock);
    seen = find(n->slot, n->n_slots, name)->expires > now_s;
    pthread_mutex_unlock(&n->lock);
    return seen;
}

enum pocketfed_status pf_nonces_add(struct pf_nonces *n, const char *keyid,
                                    const char *nonce, int64_t expires_s,
                                    int64_t now_s)
{
    enum pocketfed_status st = POCKETFED_OK;
    uint64_t name[2];
    struct slot *s;

    name_of(keyid, nonce, name);
    pthread_mutex_lock(&n->lock);
    s = find(n->slot, n->n_slots, name);
    if (s->expires > now_s) {
        st = POCKETFED_EXISTS;
    } else if (s->expires != 0) {
        s->expires = expires_s; /* the same name again, long after */
    } else {
        if (n->n_used + 1 > n->n_slots / 2) {
            st = rebuild(n, now_s);
            s = find(n->slot, n->n_slots, name);
        }
        if (st == POCKETFED_OK) {
            s->name[0] = name[0];
            s->name[1] = name[1];
            s->expires = expires_s;
            n->n_used++;
        }
    }
    pthread_mutex_unlock(&n->lock);
    return st;
}
