#include "seal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "statement.h"
#include "store_proof.h"

/* ---- leaves ------------------------------------------------------------ */

struct leaves {
    const char *task;
    uint64_t round;
    int status;
    struct pf_leaf *list;
    size_t n, room;
    uint64_t weight;
    int failed; /* no memory */
};

static void add(void *ctx, const struct pf_counted *a)
{
    struct leaves *l = ctx;
    struct pf_leaf *leaf;
    size_t room;
    void *p;

    if (l->n == l->room && !l->failed) {
        room = l->room ? 2 * l->room : 64;
        p = realloc(l->list, room * sizeof *l->list);
        l->failed = p == NULL;
        if (p) {
            l->list = p;
            l->room = room;
        }
    }
    if (l->failed)
        return;
    leaf = &l->list[l->n++];
    memset(leaf, 0, sizeof *leaf);
    leaf->round = l->round;
    pf_pseudonym(a->device, l->task, l->round, leaf->pseudonym);
    memcpy(leaf->digest, a->digest, sizeof leaf->digest);
    leaf->weight = a->weight;
    leaf->staleness = a->staleness;
    leaf->status = l->status;
    l->weight += a->weight;
}

static void root(const struct leaves *l, uint8_t out[32])
{
    struct pf_merkle_sum sum;
    uint8_t hash[32];
    size_t i;

    pf_merkle_begin(&sum);
    for (i = 0; i < l->n; i++) {
        pf_leaf_hash(&l->list[i], hash);
        pf_merkle_add(&sum, hash);
    }
    pf_merkle_root(&sum, out);
}

/* ---- the record -------------------------------------------------------- */

static void describe(const struct pf_live_task *t,
                     const struct pf_round_end *end, const struct leaves *l,
                     struct pf_round_record *r)
{
    const uint8_t *base = t->model_digest;
    int abandoned = end->outcome == PF_RECORD_ABANDONED;
    uint32_t shift = (uint32_t)pf_plan_shift(&t->plan.update);

    memset(r, 0, sizeof *r);
    r->version = PF_RECORD_VERSION;
    memcpy(r->task, t->stored.name, sizeof r->task);
    r->round = end->round;
    r->outcome = end->outcome;
    memcpy(r->plan, t->stored.plan, 32);
    memcpy(r->base, base, 32);
    pf_state_digest(base, t->state, shift, r->base_state);
    memcpy(r->model, abandoned ? base : end->model, 32);
    pf_state_digest(r->model, abandoned ? t->state : end->strategy, shift,
                    r->state);
    if (end->sums)
        memcpy(r->sums, end->sums, 32);
    r->updates = l->n;
    r->weight = l->weight;
    r->saturated = end->saturated;
    root(l, r->root);
    r->source = end->source;
    r->time_ms = end->time_ms;
}

/* The record as bytes behind the last one of the log, with its signature. */
static enum pocketfed_status
write_record(struct pf_store *store, const struct pf_key *record_key,
             const struct pf_live_task *t, struct pf_round_record *r,
             const struct leaves *l, struct pf_error *err)
{
    uint8_t sig[PF_SIGNATURE_LEN];
    enum pocketfed_status st;
    struct pf_seal seal = {0};
    struct pf_buf body;
    uint64_t size;

    pf_buf_init(&body, PF_RECORD_MAX);
    st = pf_store_log_end(store, t->stored.id, &size, r->previous, err);
    if (st != POCKETFED_OK)
        goto out;
    st = pf_json_encode(pf_round_record_fields, r, &body);
    if (st == POCKETFED_OK)
        st = pf_statement_sign(record_key, PF_SAY_RECORD, body.data, body.len,
                               sig);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "cannot write the record of task %s round %" PRIu64,
                t->stored.name, r->round);
        goto out;
    }
    seal.round = r->round;
    seal.body = body.data;
    seal.len = body.len;
    seal.signature = sig;
    seal.sums = pf_is_zero(r->sums, 32) ? NULL : r->sums;
    seal.leaves = l->list;
    seal.n_leaves = l->n;
    st = pf_store_seal(store, t->stored.id, &seal, err);
out:
    pf_buf_free(&body);
    return st;
}

enum pocketfed_status pf_seal_round(struct pf_store *store,
                                    const struct pf_key *record_key,
                                    const struct pf_live_task *t,
                                    const struct pf_round_end *end,
                                    struct pf_error *err)
{
    struct leaves l = {.task = t->stored.name, .round = end->round};
    enum pocketfed_status st;
    struct pf_round_record r;

    l.status = end->outcome == PF_RECORD_ABANDONED ? PF_LEAF_ABANDONED
                                                   : PF_LEAF_COUNTED;
    st = pf_store_counted(store, t->stored.id, end->round, add, &l, err);
    if (st != POCKETFED_OK)
        goto out;
    if (l.failed) {
        st = pf_fail(err, POCKETFED_NO_MEMORY,
                     "no memory for the leaves of task %s round %" PRIu64,
                     t->stored.name, end->round);
    } else {
        if (l.n > 0)
            qsort(l.list, l.n, sizeof *l.list, pf_leaf_compare);
        describe(t, end, &l, &r);
        st = write_record(store, record_key, t, &r, &l, err);
    }
out:
    free(l.list);
    return st;
}

/* ---- plans ------------------------------------------------------------- */

enum pocketfed_status pf_seal_plan(struct pf_store *store,
                                   const struct pf_key *record_key,
                                   struct pf_live_task *t, struct pf_error *err)
{
    const struct pf_object *plan = t->plan_object;
    uint8_t sig[PF_SIGNATURE_LEN];
    enum pocketfed_status st;

    st = pf_statement_verify(record_key, PF_SAY_PLAN, plan->bytes, plan->len,
                             t->stored.plan_signature);
    if (st != POCKETFED_PROOF)
        return st;
    st =
        pf_statement_sign(record_key, PF_SAY_PLAN, plan->bytes, plan->len, sig);
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "cannot sign the plan of task %s",
                       t->stored.name);
    st = pf_store_plan_sign(store, t->stored.id, sig, err);
    if (st == POCKETFED_OK)
        memcpy(t->stored.plan_signature, sig, sizeof sig);
    return st;
}
