#include "nonce.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crypto.h"

/* A slot is a name, 46 bits of a digest, and above them the second after `base`
 * in which it expires; 0 is free. An expired slot still ends no probe, so that
 * names behind it are found; rebuilding drops it. In a full window one request
 * in 2^26 is taken for a replay, and is made anew. */
#define NAME_BITS 46
#define NAME_MASK ((UINT64_C(1) << NAME_BITS) - 1)
/* Three days: a clock may be set back by one without a name being forgotten
 * before its time. */
#define EXPIRY_MAX ((INT64_C(1) << (64 - NAME_BITS)) - 1)

#define LEAST_SLOTS 1024u

struct pf_nonces {
    pthread_mutex_t lock;
    /* All there will ever be, so that memory does not depend on the hour: pages
     * are taken when they are touched, and some thousand names touch all. */
    uint64_t *slot;
    size_t n_slots; /* a power of two */
    size_t n_used;  /* live and expired */
    int64_t base;
    int64_t full_until; /* no room before; 0: there may be some */
};

enum pocketfed_status pf_nonces_create(size_t max, struct pf_nonces **out)
{
    struct pf_nonces *n;

    if (max == 0 || max > SIZE_MAX / 4 / sizeof *n->slot)
        return POCKETFED_INVALID;
    n = calloc(1, sizeof *n);
    if (!n)
        return POCKETFED_NO_MEMORY;
    /* At most half the slots hold live names: probes stay short. */
    n->n_slots = LEAST_SLOTS;
    while (n->n_slots < 2 * max)
        n->n_slots *= 2;
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

static uint64_t name_of(const char *keyid, const char *nonce)
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
    return pf_get64(digest) & NAME_MASK;
}

/* The slot of the name, or the free slot that ends its probe. */
static uint64_t *find(uint64_t *slots, size_t n_slots, uint64_t name)
{
    size_t i = (size_t)name & (n_slots - 1);

    while (slots[i] != 0 && (slots[i] & NAME_MASK) != name)
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

static int64_t expires(const struct pf_nonces *n, uint64_t slot)
{
    return n->base + (int64_t)(slot >> NAME_BITS);
}

/* 1 or more, so that no slot in use is 0. */
static uint64_t pack(uint64_t name, int64_t base, int64_t expires_s)
{
    int64_t after = expires_s - base;

    if (after < 1)
        after = 1;
    if (after > EXPIRY_MAX)
        after = EXPIRY_MAX;
    return (uint64_t)after << NAME_BITS | name;
}

/* Drops what has expired and counts seconds from a day ago. When too many are
 * left, nothing is looked through again before the first of them expires. */
static enum pocketfed_status rebuild(struct pf_nonces *n, int64_t now_s)
{
    int64_t first = INT64_MAX, base = now_s - EXPIRY_MAX / 3;
    size_t live = 0, i;
    uint64_t *fresh;

    if (now_s < n->full_until)
        return POCKETFED_BUSY;
    for (i = 0; i < n->n_slots; i++) {
        if (n->slot[i] == 0 || expires(n, n->slot[i]) <= now_s)
            continue;
        live++;
        if (expires(n, n->slot[i]) < first)
            first = expires(n, n->slot[i]);
    }
    if (live >= n->n_slots / 2) {
        n->full_until = first;
        return POCKETFED_BUSY;
    }
    fresh = calloc(n->n_slots, sizeof *fresh);
    if (!fresh)
        return POCKETFED_BUSY;
    for (i = 0; i < n->n_slots; i++) {
        uint64_t s = n->slot[i], name = s & NAME_MASK;

        if (s != 0 && expires(n, s) > now_s)
            *find(fresh, n->n_slots, name) = pack(name, base, expires(n, s));
    }
    free(n->slot);
    n->slot = fresh;
    n->n_used = live;
    n->base = base;
    return POCKETFED_OK;
}

int pf_nonces_seen(struct pf_nonces *n, const char *keyid, const char *nonce,
                   int64_t now_s)
{
    uint64_t name = name_of(keyid, nonce), slot;
    int seen;

    pthread_mutex_lock(&n->lock);
    slot = *find(n->slot, n->n_slots, name);
    seen = slot != 0 && expires(n, slot) > now_s;
    pthread_mutex_unlock(&n->lock);
    return seen;
}

/* Is there room, and can `base` express the time? */
static int in_order(const struct pf_nonces *n, int64_t expires_s)
{
    return n->n_used < n->n_slots / 2 && expires_s > n->base &&
           expires_s - n->base <= EXPIRY_MAX;
}

enum pocketfed_status pf_nonces_add(struct pf_nonces *n, const char *keyid,
                                    const char *nonce, int64_t expires_s,
                                    int64_t now_s)
{
    uint64_t name = name_of(keyid, nonce), *s;
    enum pocketfed_status st = POCKETFED_OK;

    pthread_mutex_lock(&n->lock);
    s = find(n->slot, n->n_slots, name);
    if (*s != 0 && expires(n, *s) > now_s)
        st = POCKETFED_EXISTS;
    else if (!in_order(n, expires_s))
        st = rebuild(n, now_s);
    if (st == POCKETFED_OK) {
        s = find(n->slot, n->n_slots, name);
        n->n_used += *s == 0; /* or the same name again, long after */
        *s = pack(name, n->base, expires_s);
    }
    pthread_mutex_unlock(&n->lock);
    return st;
}
