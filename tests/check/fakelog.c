#include "fakelog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "statement.h"

void fakelog_init(struct fakelog *l, const struct pf_key *key)
{
    memset(l, 0, sizeof *l);
    l->key = key;
    l->time_ms = 1700000000000;
}

/* Bytes of a message and a statement over them. */
static size_t say(const struct pf_key *key, const char *label,
                  const struct pf_json_field *fields, const void *msg,
                  uint8_t *out, size_t cap, uint8_t sig[PF_SIGNATURE_LEN])
{
    struct pf_buf b;
    size_t len;

    pf_buf_init(&b, cap);
    if (pf_json_encode(fields, msg, &b) ||
        pf_statement_sign(key, label, b.data, b.len, sig))
        abort();
    memcpy(out, b.data, b.len);
    len = b.len;
    pf_buf_free(&b);
    return len;
}

void fakelog_resign(struct fakelog *l, size_t i)
{
    struct fakelog_round *r = &l->round[i];

    r->len = say(l->key, PF_SAY_RECORD, pf_round_record_fields, &r->record,
                 r->body, sizeof r->body, r->signature);
}

static void leaf_hash(const struct pf_leaf *leaf, uint8_t out[32])
{
    uint8_t bytes[PF_LEAF_LEN];

    pf_leaf_write(leaf, bytes);
    pf_merkle_leaf(bytes, sizeof bytes, out);
}

void fakelog_seal(struct fakelog *l, const struct pf_ack *acks, size_t n,
                  const uint8_t *model)
{
    struct fakelog_round *r = &l->round[l->n];
    struct pf_round_record *rec = &r->record;
    struct pf_merkle_sum sum;
    uint8_t hash[32];

    if (l->n == FAKELOG_ROUNDS || n > FAKELOG_LEAVES)
        abort();
    memset(r, 0, sizeof *r);
    rec->version = PF_RECORD_VERSION;
    memcpy(rec->task, acks[0].task, sizeof rec->task);
    rec->round = acks[0].counted;
    rec->outcome = model ? PF_RECORD_PUBLISHED : PF_RECORD_ABANDONED;
    memcpy(rec->plan, acks[0].plan, 32);
    memcpy(rec->base, acks[0].base, 32);
    memcpy(rec->model, model ? model : rec->base, 32);
    rec->updates = r->n_leaves = n;
    rec->time_ms = l->time_ms;
    for (size_t i = 0; i < n; i++) {
        struct pf_leaf *leaf = &r->leaf[i];

        leaf->round = rec->round;
        pf_pseudonym(acks[i].device, rec->task, rec->round, leaf->pseudonym);
        memcpy(leaf->digest, acks[i].digest, 32);
        leaf->weight = acks[i].weight;
        leaf->status = model ? PF_LEAF_COUNTED : PF_LEAF_ABANDONED;
        rec->weight += acks[i].weight;
    }
    qsort(r->leaf, n, sizeof r->leaf[0], pf_leaf_compare);
    pf_merkle_begin(&sum);
    for (size_t i = 0; i < n; i++) {
        leaf_hash(&r->leaf[i], hash);
        pf_merkle_add(&sum, hash);
    }
    pf_merkle_root(&sum, rec->root);
    if (l->n > 0)
        pf_sha256(r[-1].body, r[-1].len, rec->previous);
    fakelog_resign(l, l->n++);
}

/* The leaf of an update in round r; n_leaves when there is none. */
static size_t find_leaf(const struct fakelog_round *r, const struct pf_ack *ack)
{
    uint8_t name[32];
    size_t i;

    pf_pseudonym(ack->device, ack->task, ack->counted, name);
    for (i = 0; i < r->n_leaves; i++)
        if (memcmp(r->leaf[i].pseudonym, name, 32) == 0)
            break;
    return i;
}

static void prove_leaf(const struct fakelog_round *r, size_t i,
                       struct pf_proof *out)
{
    uint8_t path[PF_MERKLE_PATH][32], hash[32];
    struct pf_merkle_tree *tree = NULL;

    if (pf_merkle_tree_create(&tree))
        abort();
    for (size_t k = 0; k < r->n_leaves; k++) {
        leaf_hash(&r->leaf[k], hash);
        if (pf_merkle_tree_add(tree, hash))
            abort();
    }
    pf_leaf_write(&r->leaf[i], out->leaf.data);
    out->leaf.len = PF_LEAF_LEN;
    out->index = i;
    out->n_path = pf_merkle_tree_path(tree, i, r->n_leaves, path);
    pf_path_write((const uint8_t(*)[32])path, out->n_path, out->path);
    pf_merkle_tree_free(tree);
}

static void prove_log(const struct fakelog *l, size_t i, uint64_t since,
                      struct pf_proof *out)
{
    struct pf_log_head head = {.size = l->n, .time_ms = l->time_ms};
    uint8_t hash[PF_MERKLE_MOST][32];
    struct pf_merkle_tree *tree = NULL;

    if (pf_merkle_tree_create(&tree))
        abort();
    for (size_t k = 0; k < l->n; k++) {
        pf_merkle_leaf(l->round[k].body, l->round[k].len, hash[0]);
        if (pf_merkle_tree_add(tree, hash[0]))
            abort();
    }
    snprintf(head.task, sizeof head.task, "%s",
             l->head_task ? l->head_task : l->round[i].record.task);
    pf_merkle_tree_root(tree, l->n, head.root);
    out->head.len =
        say(l->key, PF_SAY_LOG, pf_log_head_fields, &head, out->head.data,
            sizeof out->head.data, out->head_signature);
    out->log_index = i;
    out->n_log_path = pf_merkle_tree_path(tree, i, l->n, hash);
    pf_path_write((const uint8_t(*)[32])hash, out->n_log_path, out->log_path);
    if (since <= l->n) {
        out->since = since;
        out->n_growth = pf_merkle_tree_growth(tree, since, l->n, hash);
        pf_path_write((const uint8_t(*)[32])hash, out->n_growth, out->growth);
    }
    pf_merkle_tree_free(tree);
}

int fakelog_prove(const struct fakelog *l, const struct pf_ack *ack,
                  uint64_t since, struct pf_proof *out)
{
    const struct fakelog_round *r = NULL;
    size_t i, leaf;

    for (i = 0; i < l->n && !r; i++)
        if (l->round[i].record.round == ack->counted)
            r = &l->round[i];
    if (!r)
        return 0;
    leaf = find_leaf(r, ack);
    if (leaf == r->n_leaves)
        return 0;
    memset(out, 0, sizeof *out);
    memcpy(out->record.data, r->body, r->len);
    out->record.len = r->len;
    memcpy(out->record_signature, r->signature, PF_SIGNATURE_LEN);
    prove_leaf(r, leaf, out);
    prove_log(l, i - 1, since, out);
    return 1;
}
