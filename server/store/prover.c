#include "prover.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kept {
    int64_t task;
    uint64_t round; /* of a round's tree */
    struct pf_merkle_tree *tree;
    struct kept *next;
};

struct pf_prover {
    pthread_mutex_t lock;
    struct kept *logs;
    struct kept *rounds; /* the one asked for last comes first */
};

enum pocketfed_status pf_prover_create(struct pf_prover **out)
{
    struct pf_prover *p = calloc(1, sizeof *p);

    if (!p)
        return POCKETFED_NO_MEMORY;
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return POCKETFED_OK;
}

static void drop(struct kept *k)
{
    struct kept *next;

    for (; k; k = next) {
        next = k->next;
        pf_merkle_tree_free(k->tree);
        free(k);
    }
}

void pf_prover_free(struct pf_prover *p)
{
    if (!p)
        return;
    drop(p->logs);
    drop(p->rounds);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* A new, empty one, in no list yet. */
static struct kept *make(int64_t task, uint64_t round)
{
    struct kept *k = calloc(1, sizeof *k);

    if (k && pf_merkle_tree_create(&k->tree) != POCKETFED_OK) {
        free(k);
        return NULL;
    }
    if (k) {
        k->task = task;
        k->round = round;
    }
    return k;
}

/* Where the entry hangs, or NULL's place at the end of the list. */
static struct kept **find(struct kept **at, int64_t task, uint64_t round)
{
    while (*at && ((*at)->task != task || (*at)->round != round))
        at = &(*at)->next;
    return at;
}

/* ---- rounds ------------------------------------------------------------ */

static enum pocketfed_status add_leaf(void *ctx, const struct pf_leaf *leaf)
{
    uint8_t hash[32];

    pf_leaf_hash(leaf, hash);
    return pf_merkle_tree_add(ctx, hash);
}

/* Forgets what was not asked for lately. The first always stays. */
static void trim(struct pf_prover *p)
{
    struct kept *k = p->rounds;
    uint64_t leaves = pf_merkle_tree_size(k->tree);
    unsigned n = 1;

    for (; k->next; k = k->next) {
        leaves += pf_merkle_tree_size(k->next->tree);
        if (++n <= PF_PROVER_ROUNDS && leaves <= PF_PROVER_LEAVES)
            continue;
        drop(k->next);
        k->next = NULL;
        return;
    }
}

/* The tree of an ended round, in front of the list. */
static enum pocketfed_status round_tree(struct pf_prover *p,
                                        struct pf_store_reader *r, int64_t task,
                                        uint64_t round,
                                        const struct pf_merkle_tree **out)
{
    struct kept **at = find(&p->rounds, task, round), *k = *at;
    enum pocketfed_status st;

    if (k) {
        *at = k->next;
    } else {
        k = make(task, round);
        if (!k)
            return POCKETFED_NO_MEMORY;
        st = pf_reader_leaves(r, task, round, add_leaf, k->tree);
        if (st != POCKETFED_OK) {
            drop(k);
            return st;
        }
    }
    k->next = p->rounds;
    p->rounds = k;
    trim(p);
    *out = k->tree;
    return POCKETFED_OK;
}

enum pocketfed_status pf_prover_leaf(struct pf_prover *p,
                                     struct pf_store_reader *r, int64_t task,
                                     uint64_t round, uint64_t place,
                                     struct pf_leaf_path *out)
{
    const struct pf_merkle_tree *tree;
    enum pocketfed_status st;

    pthread_mutex_lock(&p->lock);
    st = round_tree(p, r, task, round, &tree);
    if (st == POCKETFED_OK && place >= pf_merkle_tree_size(tree))
        st = POCKETFED_PROOF;
    if (st == POCKETFED_OK)
        out->n = pf_merkle_tree_path(tree, place, pf_merkle_tree_size(tree),
                                     out->hash);
    pthread_mutex_unlock(&p->lock);
    return st;
}

/* ---- logs -------------------------------------------------------------- */

static enum pocketfed_status add_record(void *ctx, const void *body, size_t len)
{
    uint8_t hash[32];

    pf_merkle_leaf(body, len, hash);
    return pf_merkle_tree_add(ctx, hash);
}

static enum pocketfed_status log_tree(struct pf_prover *p,
                                      struct pf_store_reader *r, int64_t task,
                                      const struct pf_merkle_tree **out)
{
    struct kept **at = find(&p->logs, task, 0);
    enum pocketfed_status st;

    if (!*at)
        *at = make(task, 0);
    if (!*at)
        return POCKETFED_NO_MEMORY;
    st = pf_reader_log(r, task, pf_merkle_tree_size((*at)->tree), add_record,
                       (*at)->tree);
    if (st == POCKETFED_OK)
        *out = (*at)->tree;
    return st;
}

enum pocketfed_status pf_prover_log(struct pf_prover *p,
                                    struct pf_store_reader *r, int64_t task,
                                    uint64_t seq, uint64_t since,
                                    struct pf_log_proof *out)
{
    const struct pf_merkle_tree *tree;
    enum pocketfed_status st;
    uint64_t size;

    pthread_mutex_lock(&p->lock);
    st = log_tree(p, r, task, &tree);
    size = st == POCKETFED_OK ? pf_merkle_tree_size(tree) : 0;
    if (st == POCKETFED_OK && seq >= size)
        st = POCKETFED_PROOF;
    if (st == POCKETFED_OK) {
        out->size = size;
        pf_merkle_tree_root(tree, size, out->root);
        out->n_path = pf_merkle_tree_path(tree, seq, size, out->path);
        out->n_growth = since > size ? 0
                                     : pf_merkle_tree_growth(tree, since, size,
                                                             out->growth);
    }
    pthread_mutex_unlock(&p->lock);
    return st;
}
