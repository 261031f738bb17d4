#include "merkle.h"

#include <string.h>

void pf_merkle_leaf(const void *data, size_t n, uint8_t out[32])
{
    static const uint8_t prefix = 0;

    pf_sha256_two(&prefix, 1, data, n, out);
}

void pf_merkle_node(const uint8_t left[32], const uint8_t right[32],
                    uint8_t out[32])
{
    uint8_t both[65];

    both[0] = 1;
    memcpy(both + 1, left, 32);
    memcpy(both + 33, right, 32);
    pf_sha256(both, sizeof both, out);
}

/* ---- the root alone ---------------------------------------------------- */

/* There is one peak for each bit that is set in n. */
static unsigned n_peaks(uint64_t n)
{
    unsigned count = 0;

    for (; n; n &= n - 1)
        count++;
    return count;
}

void pf_merkle_begin(struct pf_merkle_sum *s)
{
    memset(s, 0, sizeof *s);
}

void pf_merkle_add(struct pf_merkle_sum *s, const uint8_t leaf[32])
{
    unsigned at = n_peaks(s->n);
    uint64_t n;

    memcpy(s->peak[at], leaf, 32);
    for (n = s->n; n & 1; n >>= 1, at--)
        pf_merkle_node(s->peak[at - 1], s->peak[at], s->peak[at - 1]);
    s->n++;
}

void pf_merkle_root(const struct pf_merkle_sum *s, uint8_t out[32])
{
    unsigned at = n_peaks(s->n);

    if (at == 0) {
        pf_sha256(NULL, 0, out);
        return;
    }
    memcpy(out, s->peak[--at], 32);
    while (at > 0)
        pf_merkle_node(s->peak[--at], out, out);
}

/* ---- verifying --------------------------------------------------------- */

static enum pocketfed_status equal(const uint8_t a[32], const uint8_t b[32])
{
    return memcmp(a, b, 32) == 0 ? POCKETFED_OK : POCKETFED_PROOF;
}

enum pocketfed_status pf_merkle_check_path(const uint8_t leaf[32],
                                           uint64_t index, uint64_t size,
                                           const uint8_t (*path)[32],
                                           size_t n_path,
                                           const uint8_t root[32])
{
    uint64_t at = index, last = size - 1;
    uint8_t hash[32];
    size_t i;

    if (index >= size || n_path > PF_MERKLE_PATH)
        return POCKETFED_PROOF;
    memcpy(hash, leaf, 32);
    for (i = 0; i < n_path; i++, at >>= 1, last >>= 1) {
        if (last == 0)
            return POCKETFED_PROOF;
        if (!(at & 1) && at != last) {
            pf_merkle_node(hash, path[i], hash);
            continue;
        }
        pf_merkle_node(path[i], hash, hash);
        /* A node without a right sibling went up as it was. */
        for (; at != 0 && !(at & 1); at >>= 1)
            last >>= 1;
    }
    return last == 0 ? equal(hash, root) : POCKETFED_PROOF;
}

enum pocketfed_status
pf_merkle_check_growth(uint64_t m, const uint8_t root_m[32], uint64_t n,
                       const uint8_t root_n[32], const uint8_t (*proof)[32],
                       size_t n_proof)
{
    uint64_t at = m - 1, last = n - 1;
    uint8_t old[32], new[32];
    size_t i = 0;

    if (m > n || n_proof > PF_MERKLE_MOST)
        return POCKETFED_PROOF;
    if (m == 0 || m == n) {
        if (n_proof > 0)
            return POCKETFED_PROOF;
        return m == 0 ? POCKETFED_OK : equal(root_m, root_n);
    }
    for (; at & 1; at >>= 1)
        last >>= 1;
    /* The largest subtree that both lists share: at > 0 unless it is all of
     * the old list, whose root is known. */
    if (at == 0)
        memcpy(old, root_m, 32);
    else if (n_proof > 0)
        memcpy(old, proof[i++], 32);
    else
        return POCKETFED_PROOF;
    memcpy(new, old, 32);
    for (; i < n_proof; i++, at >>= 1, last >>= 1) {
        if (last == 0)
            return POCKETFED_PROOF;
        if (!(at & 1) && at != last) {
            pf_merkle_node(new, proof[i], new);
            continue;
        }
        pf_merkle_node(proof[i], old, old);
        pf_merkle_node(proof[i], new, new);
        for (; at != 0 && !(at & 1); at >>= 1)
            last >>= 1;
    }
    if (last != 0 || equal(old, root_m))
        return POCKETFED_PROOF;
    return equal(new, root_n);
}
