#include "merkle.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

/* level[k] has the roots of all complete subtrees of 2^k leaves. */
struct pf_merkle_tree {
    struct pf_hash *hash; /* once begun, it cannot fail */
    uint64_t n;
    struct {
        uint8_t (*hash)[32];
        size_t room;
    } level[64];
};

enum pocketfed_status pf_merkle_tree_create(struct pf_merkle_tree **out)
{
    struct pf_merkle_tree *t = calloc(1, sizeof *t);

    if (t)
        t->hash = pf_hash_new();
    if (!t || !t->hash) {
        free(t);
        return POCKETFED_NO_MEMORY;
    }
    *out = t;
    return POCKETFED_OK;
}

void pf_merkle_tree_free(struct pf_merkle_tree *t)
{
    unsigned k;

    if (!t)
        return;
    for (k = 0; k < 64; k++)
        free(t->level[k].hash);
    pf_hash_free(t->hash);
    free(t);
}

/* Room for one more hash on every level that the next leaf completes. */
static enum pocketfed_status reserve(struct pf_merkle_tree *t)
{
    unsigned k;

    for (k = 0; k == 0 || (t->n >> (k - 1)) & 1; k++) {
        uint64_t used = t->n >> k;
        size_t room = t->level[k].room, bytes;
        void *p;

        if (used < room)
            continue;
        room = room ? 2 * room : 8;
        if (room <= used || !pf_mul_size(room, 32, &bytes))
            return POCKETFED_NO_MEMORY;
        p = realloc(t->level[k].hash, bytes);
        if (!p)
            return POCKETFED_NO_MEMORY;
        t->level[k].hash = p;
        t->level[k].room = room;
    }
    return POCKETFED_OK;
}

static void node(struct pf_hash *h, const uint8_t left[32],
                 const uint8_t right[32], uint8_t out[32])
{
    static const uint8_t prefix = 1;

    pf_hash_add(h, &prefix, 1);
    pf_hash_add(h, left, 32);
    pf_hash_add(h, right, 32);
    pf_hash_end(h, out);
}

enum pocketfed_status pf_merkle_tree_add(struct pf_merkle_tree *t,
                                         const uint8_t leaf[32])
{
    enum pocketfed_status st = reserve(t);
    uint64_t at = t->n;
    unsigned k;

    if (st)
        return st;
    memcpy(t->level[0].hash[at], leaf, 32);
    for (k = 0; at & 1; k++, at >>= 1)
        node(t->hash, t->level[k].hash[at - 1], t->level[k].hash[at],
             t->level[k + 1].hash[at >> 1]);
    t->n++;
    return POCKETFED_OK;
}

uint64_t pf_merkle_tree_size(const struct pf_merkle_tree *t)
{
    return t->n;
}

/* The exponent of the largest power of two below n > 1. */
static unsigned split(uint64_t n)
{
    unsigned k = 0;

    for (n = (n - 1) >> 1; n; n >>= 1)
        k++;
    return k;
}

/* The root of n >= 1 leaves from `first` on, which is where a subtree of at
 * least that size begins. Complete subtrees from left to right, then up. */
static void range(const struct pf_merkle_tree *t, uint64_t first, uint64_t n,
                  uint8_t out[32])
{
    const uint8_t *peak[64];
    unsigned k, n_peaks = 0;

    while (n > 1 && (n & (n - 1))) {
        k = split(n);
        peak[n_peaks++] = t->level[k].hash[first >> k];
        first += UINT64_C(1) << k;
        n -= UINT64_C(1) << k;
    }
    for (k = 0; (UINT64_C(1) << k) < n; k++)
        ;
    memcpy(out, t->level[k].hash[first >> k], 32);
    while (n_peaks > 0)
        pf_merkle_node(peak[--n_peaks], out, out);
}

void pf_merkle_tree_root(const struct pf_merkle_tree *t, uint64_t n,
                         uint8_t out[32])
{
    if (n == 0)
        pf_sha256(NULL, 0, out);
    else
        range(t, 0, n, out);
}

/* Proofs are found from the root downwards and told from the leaf upwards. */
static void reverse(uint8_t (*hash)[32], size_t n)
{
    uint8_t swap[32];
    size_t i;

    for (i = 0; i < n / 2; i++) {
        memcpy(swap, hash[i], 32);
        memcpy(hash[i], hash[n - 1 - i], 32);
        memcpy(hash[n - 1 - i], swap, 32);
    }
}

size_t pf_merkle_tree_path(const struct pf_merkle_tree *t, uint64_t index,
                           uint64_t n, uint8_t out[PF_MERKLE_PATH][32])
{
    uint64_t first = 0, half;
    size_t n_out = 0;

    while (n > 1) {
        half = UINT64_C(1) << split(n);
        if (index - first < half) {
            range(t, first + half, n - half, out[n_out++]);
            n = half;
        } else {
            range(t, first, half, out[n_out++]);
            first += half;
            n -= half;
        }
    }
    reverse(out, n_out);
    return n_out;
}

/* RFC 6962, 2.1.2: SUBPROOF without the recursion. */
size_t pf_merkle_tree_growth(const struct pf_merkle_tree *t, uint64_t m,
                             uint64_t n, uint8_t out[PF_MERKLE_MOST][32])
{
    uint64_t first = 0, half;
    size_t n_out = 0;

    if (m == 0 || m == n)
        return 0;
    while (m != n) { /* both from `first` on */
        half = UINT64_C(1) << split(n);
        if (m <= half) {
            range(t, first + half, n - half, out[n_out++]);
            n = half;
        } else {
            range(t, first, half, out[n_out++]);
            first += half;
            m -= half;
            n -= half;
        }
    }
    if (first > 0) /* else it is the old root, which is known */
        range(t, first, n, out[n_out++]);
    reverse(out, n_out);
    return n_out;
}
