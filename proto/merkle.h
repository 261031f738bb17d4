/* merkle.h - hash trees of RFC 6962 (2.1): a root commits to a list, a path
 * proves that an entry is in it, a consistency proof that one list begins with
 * another.
 *
 * Leaves are hashed with a byte 0 in front, nodes with a byte 1, so that none
 * passes for the other; a list of n is split at the largest power of two below
 * n.  What verifies takes no memory and trusts nothing: sizes, lengths and
 * hashes may be anybody's.  What proves keeps the whole tree (64 bytes a leaf)
 * and answers for every size that the list ever had.
 */
#ifndef PF_MERKLE_H
#define PF_MERKLE_H

#include "crypto.h"

/* No path is longer, and no consistency proof by more than one. */
#define PF_MERKLE_PATH 64
#define PF_MERKLE_MOST 65

void pf_merkle_leaf(const void *data, size_t n, uint8_t out[32]);
void pf_merkle_node(const uint8_t left[32], const uint8_t right[32],
                    uint8_t out[32]);

/* The root of leaf hashes as they come, in O(log n) memory. */
struct pf_merkle_sum {
    uint64_t n;
    uint8_t peak[64][32]; /* of complete subtrees, the largest first */
};
void pf_merkle_begin(struct pf_merkle_sum *s);
void pf_merkle_add(struct pf_merkle_sum *s, const uint8_t leaf[32]);
/* SHA-256 of nothing for n = 0. */
void pf_merkle_root(const struct pf_merkle_sum *s, uint8_t out[32]);

/* OK or PROOF. path is from the leaf upwards, n_path hashes. (RFC 9162,
 * 2.1.3.2) */
enum pocketfed_status pf_merkle_check_path(const uint8_t leaf[32],
                                           uint64_t index, uint64_t size,
                                           const uint8_t (*path)[32],
                                           size_t n_path,
                                           const uint8_t root[32]);
/* OK when the list of size `n` and root `root_n` begins with the one of size
 * `m` and root `root_m`; else PROOF. Every list begins with the empty one.
 * (RFC 9162, 2.1.4.2) */
enum pocketfed_status
pf_merkle_check_growth(uint64_t m, const uint8_t root_m[32], uint64_t n,
                       const uint8_t root_n[32], const uint8_t (*proof)[32],
                       size_t n_proof);

/* A list that only grows, with all its complete subtrees. */
struct pf_merkle_tree;
enum pocketfed_status pf_merkle_tree_create(struct pf_merkle_tree **out);
void pf_merkle_tree_free(struct pf_merkle_tree *t); /* NULL is fine */
/* NO_MEMORY leaves the tree as it was. */
enum pocketfed_status pf_merkle_tree_add(struct pf_merkle_tree *t,
                                         const uint8_t leaf[32]);
uint64_t pf_merkle_tree_size(const struct pf_merkle_tree *t);
/* Of the first n <= size leaves. */
void pf_merkle_tree_root(const struct pf_merkle_tree *t, uint64_t n,
                         uint8_t out[32]);
/* index < n <= size; the number of hashes. */
size_t pf_merkle_tree_path(const struct pf_merkle_tree *t, uint64_t index,
                           uint64_t n, uint8_t out[PF_MERKLE_PATH][32]);
/* m <= n <= size; the number of hashes. */
size_t pf_merkle_tree_growth(const struct pf_merkle_tree *t, uint64_t m,
                             uint64_t n, uint8_t out[PF_MERKLE_MOST][32]);

#endif
