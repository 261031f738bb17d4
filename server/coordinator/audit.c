#include "audit_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "coordinator_int.h"
#include "statement.h"
#include "store_proof.h"
#include "text.h"

void pf_audit_differs(struct pf_auditing *d, uint64_t round, const char *fmt,
                      ...)
{
    va_list ap;

    if (d->said.differs)
        return;
    d->said.differs = round;
    va_start(ap, fmt);
    vsnprintf(d->said.why, sizeof d->said.why, fmt, ap);
    va_end(ap);
}

/* ---- whose signature? ------------------------------------------------------
 */

struct signed_by {
    const uint8_t *key; /* raw, newer */
    const struct pf_sealed *sealed;
    int ok;
    uint8_t older[32];
    int has_older;
};

static void try_key(struct signed_by *s, const uint8_t raw[32])
{
    struct pf_key *key = NULL;

    if (pf_key_from_public(PF_KEY_ED25519, raw, 32, &key) == POCKETFED_OK)
        s->ok |= pf_statement_verify(key, PF_SAY_RECORD, s->sealed->body,
                                     s->sealed->len,
                                     s->sealed->signature) == POCKETFED_OK;
    pf_key_free(key);
}

/* A rotation that leads to the key in hand: the older key is good as well. */
static void see_rotation(void *ctx, const void *body, size_t len,
                         const uint8_t sig[PF_SIGNATURE_LEN])
{
    struct signed_by *s = ctx;
    struct pf_key *old = NULL;
    struct pf_rotation r;

    memset(&r, 0, sizeof r);
    if (s->has_older ||
        pf_json_decode(pf_rotation_fields, PF_JSON_IGNORE, body, len, &r,
                       NULL) != POCKETFED_OK ||
        memcmp(r.new_key, s->key, 32) != 0 ||
        pf_key_from_public(PF_KEY_ED25519, r.old_key, 32, &old) != POCKETFED_OK)
        return;
    if (pf_statement_verify(old, PF_SAY_ROTATION, body, len, sig) ==
        POCKETFED_OK) {
        memcpy(s->older, r.old_key, 32);
        s->has_older = 1;
    }
    pf_key_free(old);
}

/* By the record key of today, or by one that it replaced. */
static enum pocketfed_status check_signature(struct pf_auditing *d,
                                             uint64_t round,
                                             const struct pf_sealed *sealed,
                                             struct pf_error *err)
{
    uint8_t raw[PF_PUBLIC_MAX], key[32];
    enum pocketfed_status st = POCKETFED_OK;
    struct signed_by s = {.key = key, .sealed = sealed};
    unsigned hops;

    pf_key_public(d->a->record_key, raw);
    memcpy(key, raw, sizeof key);
    for (hops = 0; hops < 1000; hops++) {
        try_key(&s, key);
        s.has_older = 0;
        if (!s.ok)
            st = pf_reader_rotations(d->reader, see_rotation, &s);
        if (s.ok || st != POCKETFED_OK || !s.has_older)
            break;
        memcpy(key, s.older, sizeof key);
    }
    if (st != POCKETFED_OK)
        return pf_fail(err, st,
                       "the rotations of the record key cannot be "
                       "read");
    if (!s.ok)
        pf_audit_differs(d, round,
                         "its record is not signed by the record key, nor by "
                         "one that it replaced");
    return POCKETFED_OK;
}

/* ---- the record
 * -------------------------------------------------------------- */

static int same(struct pf_auditing *d, uint64_t round, const uint8_t *a,
                const uint8_t *b, const char *what)
{
    if (memcmp(a, b, 32) == 0)
        return 1;
    pf_audit_differs(d, round, "its record names another %s", what);
    return 0;
}

/* The tree over the updates that the database lists. */
static enum pocketfed_status root_of(const struct pf_auditing *d,
                                     uint64_t round, int status,
                                     uint8_t root[32], uint64_t *n)
{
    struct pf_merkle_sum sum;
    struct pf_leaf *leaf;
    uint8_t hash[32];
    size_t i;

    *n = 0;
    leaf = calloc(d->n_updates ? d->n_updates : 1, sizeof *leaf);
    if (!leaf)
        return POCKETFED_NO_MEMORY;
    for (i = 0; i < d->n_updates; i++) {
        const struct pf_audit_update *u = &d->update[i];
        struct pf_leaf *l = &leaf[*n];

        if (u->round != round)
            continue;
        l->round = round;
        pf_pseudonym(u->device.id, d->t->stored.name, round, l->pseudonym);
        memcpy(l->digest, u->accepted.digest, 32);
        l->weight = u->accepted.admitted.weight;
        l->staleness = u->accepted.staleness;
        l->status = status;
        ++*n;
    }
    qsort(leaf, (size_t)*n, sizeof *leaf, pf_leaf_compare);
    pf_merkle_begin(&sum);
    for (i = 0; i < *n; i++) {
        pf_leaf_hash(&leaf[i], hash);
        pf_merkle_add(&sum, hash);
    }
    pf_merkle_root(&sum, root);
    free(leaf);
    return POCKETFED_OK;
}

static enum pocketfed_status add_leaf(void *ctx, const struct pf_leaf *leaf)
{
    uint8_t hash[32];

    pf_leaf_hash(leaf, hash);
    pf_merkle_add(ctx, hash);
    return POCKETFED_OK;
}

/* The leaves that proofs are made from. */
static void check_leaves(struct pf_auditing *d, const struct pf_round_record *r)
{
    struct pf_merkle_sum sum;
    uint8_t root[32];

    pf_merkle_begin(&sum);
    if (pf_reader_leaves(d->reader, d->t->stored.id, r->round, add_leaf,
                         &sum) != POCKETFED_OK) {
        pf_audit_differs(d, r->round, "its leaves cannot be read");
        return;
    }
    pf_merkle_root(&sum, root);
    if (memcmp(root, r->root, 32) != 0)
        pf_audit_differs(d, r->round,
                         "the leaves kept for proofs are not its updates");
}

/* Chain, states, tree and signature of an ended round's record; *sums is what
 * it names. 0 in *found when the round ended before there were records. */
static enum pocketfed_status
check_record(struct pf_auditing *d, const struct pf_record *rec, int outcome,
             const uint8_t model[32], const uint8_t state[32], uint8_t sums[32],
             int *found, struct pf_error *err)
{
    uint32_t shift = (uint32_t)pf_plan_shift(&d->t->plan.update);
    uint8_t before[32], after[32], root[32];
    struct pf_round_record r;
    struct pf_sealed sealed;
    enum pocketfed_status st;
    uint64_t n = 0, round = rec->round;

    st = pf_reader_sealed(d->reader, d->t->stored.id, round, &sealed);
    *found = st == POCKETFED_OK;
    if (st == POCKETFED_NOT_FOUND)
        return POCKETFED_OK;
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "the record of round %llu cannot be read",
                       (unsigned long long)round);
    st = check_signature(d, round, &sealed, err);
    if (st != POCKETFED_OK || d->said.differs)
        return st;
    memset(&r, 0, sizeof r);
    if (pf_json_decode(pf_round_record_fields, PF_JSON_IGNORE,
                       (const char *)sealed.body, sealed.len, &r, NULL)) {
        pf_audit_differs(d, round, "its record cannot be read");
        return POCKETFED_OK;
    }
    st = root_of(d, round,
                 outcome == PF_RECORD_ABANDONED ? PF_LEAF_ABANDONED
                                                : PF_LEAF_COUNTED,
                 root, &n);
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "no memory for the leaves of a round");
    pf_state_digest(d->model, d->state, shift, before);
    pf_state_digest(model, state, shift, after);
    if (r.round != round || r.outcome != outcome || r.updates != n ||
        strcmp(r.task, d->t->stored.name) != 0)
        pf_audit_differs(d, round,
                         "its record is of another task, round, outcome or "
                         "number of updates");
    else if (same(d, round, r.previous, d->previous, "record before it") &&
             same(d, round, r.plan, d->t->stored.plan, "plan") &&
             same(d, round, r.base, d->model, "base model") &&
             same(d, round, r.base_state, before, "state before it") &&
             same(d, round, r.model, model, "model") &&
             same(d, round, r.state, after, "state") &&
             same(d, round, r.root, root, "tree of updates"))
        check_leaves(d, &r);
    memcpy(sums, r.sums, 32);
    pf_sha256(sealed.body, sealed.len, d->previous);
    return POCKETFED_OK;
}

/* ---- records
 * ------------------------------------------------------------------ */

static enum pocketfed_status remember(struct pf_auditing *d,
                                      const struct pf_record *rec,
                                      struct pf_error *err)
{
    size_t room;
    void *p;

    if (d->n_updates == d->room) {
        room = d->room ? 2 * d->room : 64;
        p = realloc(d->update, room * sizeof *d->update);
        if (!p)
            return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a round");
        d->update = p;
        d->room = room;
    }
    d->update[d->n_updates].round = rec->round;
    d->update[d->n_updates].device = rec->device;
    d->update[d->n_updates++].accepted = rec->u.accepted;
    return POCKETFED_OK;
}

static void forget(struct pf_auditing *d, uint64_t round)
{
    size_t i, n = 0;

    for (i = 0; i < d->n_updates; i++)
        if (d->update[i].round != round)
            d->update[n++] = d->update[i];
    d->n_updates = n;
}

static enum pocketfed_status see_published(struct pf_auditing *d,
                                           const struct pf_record *rec,
                                           struct pf_error *err)
{
    int back = rec->u.published.source != 0, found = 0;
    enum pocketfed_status st;
    uint8_t sums[32] = {0};

    st = check_record(
        d, rec, back ? PF_RECORD_ROLLED_BACK : PF_RECORD_PUBLISHED,
        rec->u.published.model, rec->u.published.state, sums, &found, err);
    if (st == POCKETFED_OK && !found)
        d->said.unsealed++;
    else if (st == POCKETFED_OK && !d->said.differs && back)
        d->said.rolled_back++;
    else if (st == POCKETFED_OK && !d->said.differs)
        st = pf_audit_step(d, rec, sums, err);
    memcpy(d->model, rec->u.published.model, 32);
    memcpy(d->state, rec->u.published.state, 32);
    forget(d, rec->round);
    return st;
}

static enum pocketfed_status see_abandoned(struct pf_auditing *d,
                                           const struct pf_record *rec,
                                           struct pf_error *err)
{
    enum pocketfed_status st;
    uint8_t sums[32];
    int found = 0;

    st = check_record(d, rec, PF_RECORD_ABANDONED, d->model, d->state, sums,
                      &found, err);
    if (st == POCKETFED_OK && !found)
        d->said.unsealed++;
    else
        d->said.abandoned++;
    forget(d, rec->round);
    return st;
}

static enum pocketfed_status see_record(void *ctx, int64_t task,
                                        const struct pf_record *rec,
                                        struct pf_error *err)
{
    struct pf_auditing *d = ctx;

    (void)task;
    if (!d->t || d->said.differs)
        return POCKETFED_OK;
    switch (rec->kind) {
    case PF_REC_ACCEPTED:
        return remember(d, rec, err);
    case PF_REC_PUBLISHED:
        return see_published(d, rec, err);
    case PF_REC_ABANDONED:
        return see_abandoned(d, rec, err);
    default:
        return POCKETFED_OK;
    }
}

/* ---- tasks
 * --------------------------------------------------------------------- */

static void end_task(struct pf_auditing *d)
{
    if (!d->t)
        return;
    d->a->task(d->a->ctx, &d->said);
    pf_live_task_free(d->t);
    d->t = NULL;
    d->n_updates = 0;
}

struct walk {
    struct pf_auditing d;
    int verdict;
    unsigned tasks;
};

static void count(struct walk *w)
{
    const struct pf_audit_task *s = &w->d.said;

    if (!w->d.t)
        return;
    if (s->differs)
        w->verdict = 1;
    else if (w->verdict != 1 && (s->rounds[PF_AUDIT_SUMS] ||
                                 s->rounds[PF_AUDIT_RECORD] || s->unsealed))
        w->verdict = 3;
    end_task(&w->d);
}

static enum pocketfed_status see_task(void *ctx, const struct pf_store_task *t,
                                      struct pf_error *err)
{
    struct walk *w = ctx;
    struct pf_auditing *d = &w->d;
    enum pocketfed_status st;

    count(w);
    if (d->a->only && strcmp(d->a->only, t->name) != 0)
        return POCKETFED_OK;
    w->tasks++;
    memset(&d->said, 0, sizeof d->said);
    memset(d->previous, 0, sizeof d->previous);
    memset(d->state, 0, sizeof d->state);
    snprintf(d->said.name, sizeof d->said.name, "%s", t->name);
    st = pf_live_task_load(d->objects, t, &d->t, err);
    if (st == POCKETFED_OK)
        memcpy(d->model, d->t->stored.initial_model, 32);
    return st;
}

static enum pocketfed_status see_records(void *ctx, int64_t task,
                                         const struct pf_record *rec,
                                         struct pf_error *err)
{
    return see_record(&((struct walk *)ctx)->d, task, rec, err);
}

enum pocketfed_status pf_audit_run(const struct pf_audit *a, int *verdict,
                                   struct pf_error *err)
{
    struct walk w = {.d = {.a = a}};
    const struct pf_store_visitor visitor = {&w, see_task, see_records};
    enum pocketfed_status st;

    w.d.scratch = malloc(PF_ADMIT_BLOCK * sizeof *w.d.scratch);
    if (!w.d.scratch)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory to audit");
    st = pf_store_open(a->state_dir, a->log, &w.d.store, err);
    if (st == POCKETFED_OK)
        st = pf_objects_open(a->state_dir, a->log, &w.d.objects, err);
    if (st == POCKETFED_OK)
        st = pf_reader_open(w.d.store, &w.d.reader, err);
    if (st == POCKETFED_OK)
        st = pf_store_load(w.d.store, &visitor, err);
    if (st == POCKETFED_OK)
        count(&w);
    if (st == POCKETFED_OK && a->only && w.tasks == 0)
        st = pf_fail(err, POCKETFED_NOT_FOUND, "there is no task %s", a->only);
    if (st == POCKETFED_OK)
        *verdict = w.verdict;
    pf_live_task_free(w.d.t);
    pf_reader_close(w.d.reader);
    pf_objects_close(w.d.objects);
    pf_store_close(w.d.store);
    free(w.d.update);
    free(w.d.scratch);
    return st;
}
