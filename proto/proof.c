#include "proof.h"

#include <inttypes.h>
#include <string.h>

#include "statement.h"

enum pocketfed_status pf_keys_verify(const struct pf_record_keys *keys,
                                     const char *label, const void *body,
                                     size_t len,
                                     const uint8_t sig[PF_SIGNATURE_LEN])
{
    enum pocketfed_status st = POCKETFED_PROOF;
    size_t i;

    for (i = 0; i < keys->n && st == POCKETFED_PROOF; i++)
        st = pf_statement_verify(keys->key[i], label, body, len, sig);
    return st;
}

static enum pocketfed_status wrong(struct pf_error *err, uint64_t round,
                                   const char *what)
{
    return pf_fail(err, POCKETFED_PROOF, "the proof of round %" PRIu64 ": %s",
                   round, what);
}

/* ---- what is signed ---- */

static enum pocketfed_status read_head(const struct pf_proof *p,
                                       const struct pf_record_keys *keys,
                                       struct pf_log_head *out,
                                       struct pf_error *err)
{
    enum pocketfed_status st;

    st = pf_keys_verify(keys, PF_SAY_LOG, p->head.data, p->head.len,
                        p->head_signature);
    if (st == POCKETFED_PROOF)
        return pf_fail(err, st,
                       "the head of the log is not signed by the record key");
    memset(out, 0, sizeof *out);
    if (st == POCKETFED_OK)
        st = pf_json_decode(pf_log_head_fields, PF_JSON_IGNORE,
                            (const char *)p->head.data, p->head.len, out, err);
    return st;
}

static enum pocketfed_status read_record(const struct pf_proof *p,
                                         const struct pf_record_keys *keys,
                                         struct pf_round_record *out,
                                         struct pf_error *err)
{
    enum pocketfed_status st;

    st = pf_keys_verify(keys, PF_SAY_RECORD, p->record.data, p->record.len,
                        p->record_signature);
    if (st == POCKETFED_PROOF)
        return pf_fail(err, st,
                       "the round's record is not signed by the record key");
    if (st == POCKETFED_OK)
        st = pf_round_record_read(p->record.data, p->record.len, out, err);
    return st;
}

/* The record's place in the log of the head. */
static enum pocketfed_status check_log(const struct pf_proof *p,
                                       const struct pf_log_head *head)
{
    uint8_t path[PF_MERKLE_PATH][32], hash[32];

    if (pf_path_read(p->log_path, p->n_log_path, PF_MERKLE_PATH, path))
        return POCKETFED_PROOF;
    pf_merkle_leaf(p->record.data, p->record.len, hash);
    return pf_merkle_check_path(hash, p->log_index, head->size,
                                (const uint8_t(*)[32])path, p->n_log_path,
                                head->root);
}

enum pocketfed_status pf_proof_read(const struct pf_proof *proof,
                                    const struct pf_record_keys *keys,
                                    struct pf_history *out,
                                    struct pf_error *err)
{
    struct pf_round_record record;
    struct pf_log_head head;
    enum pocketfed_status st;

    st = read_record(proof, keys, &record, err);
    if (st == POCKETFED_OK)
        st = read_head(proof, keys, &head, err);
    if (st != POCKETFED_OK)
        return st;
    if (strcmp(record.task, head.task) != 0)
        return wrong(err, record.round, "record and log are of two tasks");
    if (check_log(proof, &head))
        return wrong(err, record.round, "the record is not in the log");
    out->known = 1;
    out->proof = *proof;
    out->record = record;
    out->head = head;
    return POCKETFED_OK;
}

/* ---- the update ---- */

static enum pocketfed_status check_leaf(const struct pf_proof *p,
                                        const struct pf_ack *ack,
                                        const struct pf_round_record *r,
                                        struct pf_error *err)
{
    int abandoned = r->outcome == PF_RECORD_ABANDONED;
    uint8_t path[PF_MERKLE_PATH][32], hash[32], name[32];
    struct pf_leaf leaf;

    if (pf_leaf_read(p->leaf.data, p->leaf.len, &leaf))
        return wrong(err, ack->counted, "its leaf is none");
    pf_pseudonym(ack->device, ack->task, ack->counted, name);
    if (leaf.round != ack->counted || memcmp(leaf.pseudonym, name, 32) != 0)
        return wrong(err, ack->counted,
                     "the leaf is of another device or round");
    if (memcmp(leaf.digest, ack->digest, 32) != 0)
        return wrong(err, ack->counted, "the leaf is of another update");
    if (leaf.weight != ack->weight || leaf.weight > r->weight)
        return wrong(err, ack->counted,
                     "the leaf has another weight than was acknowledged");
    if (leaf.status != (abandoned ? PF_LEAF_ABANDONED : PF_LEAF_COUNTED))
        return wrong(err, ack->counted,
                     "leaf and record disagree on whether it counted");
    if (memcmp(r->plan, ack->plan, 32) != 0)
        return wrong(err, ack->counted, "the record is of another plan");
    if (leaf.staleness == 0 && memcmp(r->base, ack->base, 32) != 0)
        return wrong(err, ack->counted, "the record has another base model");
    pf_merkle_leaf(p->leaf.data, p->leaf.len, hash);
    if (pf_path_read(p->path, p->n_path, PF_MERKLE_PATH, path) ||
        pf_merkle_check_path(hash, p->index, r->updates,
                             (const uint8_t(*)[32])path, p->n_path, r->root))
        return wrong(err, ack->counted,
                     "the update is not in the record's tree");
    return POCKETFED_OK;
}

/* ---- history ---- */

static int same_record(const struct pf_proof *a, const struct pf_proof *b)
{
    return a->record.len == b->record.len &&
           memcmp(a->record.data, b->record.data, a->record.len) == 0;
}

static enum pocketfed_status equivocation(struct pf_error *err, const char *two,
                                          uint64_t of)
{
    pf_fail(err, POCKETFED_PROOF, "equivocation: the server signed %s %" PRIu64,
            two, of);
    pf_hint(err, "both are kept as evidence: show them to the owners of other "
                 "devices and to the operator");
    return POCKETFED_PROOF;
}

/* Two statements that no server makes that tells everybody the same. */
static enum pocketfed_status check_same(const struct pf_history *before,
                                        const struct pf_history *now,
                                        struct pf_error *err)
{
    const struct pf_proof *a = &before->proof, *b = &now->proof;
    uint8_t hash[32];

    if (before->record.round == now->record.round && !same_record(a, b))
        return equivocation(err, "two different records for round",
                            now->record.round);
    pf_sha256(a->record.data, a->record.len, hash);
    if (b->log_index == a->log_index + 1 &&
        memcmp(now->record.previous, hash, 32) != 0)
        return equivocation(err,
                            "a record that goes on from another one than that "
                            "of round",
                            before->record.round);
    if (now->head.size == before->head.size &&
        memcmp(now->head.root, before->head.root, 32) != 0)
        return equivocation(err, "two different logs of a size of",
                            now->head.size);
    return POCKETFED_OK;
}

static enum pocketfed_status check_growth(const struct pf_history *before,
                                          const struct pf_history *now,
                                          struct pf_error *err)
{
    const struct pf_proof *p = &now->proof;
    uint8_t growth[PF_MERKLE_MOST][32];
    const char *how = NULL;

    if (now->head.size < before->head.size)
        how = "the log has become shorter";
    else if (p->since != before->head.size ||
             pf_path_read(p->growth, p->n_growth, PF_MERKLE_MOST, growth) ||
             pf_merkle_check_growth(before->head.size, before->head.root,
                                    now->head.size, now->head.root,
                                    (const uint8_t(*)[32])growth, p->n_growth))
        how = "the log does not begin with what was known of it";
    if (!how)
        return POCKETFED_OK;
    return pf_fail(err, POCKETFED_PROOF,
                   "the server's history was rewritten: %s (%" PRIu64
                   " records known, %" PRIu64 " told)",
                   how, before->head.size, now->head.size);
}

static enum pocketfed_status check_history(const struct pf_history *before,
                                           const struct pf_history *now,
                                           enum pf_proof_fault *fault,
                                           struct pf_error *err)
{
    *fault = PF_FAULT_WRONG;
    if (strcmp(before->record.task, now->record.task) != 0)
        return wrong(err, now->record.round,
                     "what was known of the log is of another task");
    *fault = PF_FAULT_EQUIVOCAL;
    if (check_same(before, now, err))
        return POCKETFED_PROOF;
    *fault = PF_FAULT_REWRITTEN;
    return check_growth(before, now, err);
}

enum pocketfed_status
pf_proof_check(const struct pf_proof *proof, const struct pf_ack *ack,
               const struct pf_record_keys *keys,
               const struct pf_history *before, struct pf_history *after,
               enum pf_proof_fault *fault, struct pf_error *err)
{
    struct pf_history now;
    enum pocketfed_status st;

    *fault = PF_FAULT_WRONG;
    st = pf_proof_read(proof, keys, &now, err);
    if (st != POCKETFED_OK)
        return st;
    if (strcmp(now.record.task, ack->task) != 0 ||
        now.record.round != ack->counted)
        return wrong(err, ack->counted,
                     "the record is of another round or task");
    if (before->known) /* first: a second record is worse than a wrong leaf */
        st = check_history(before, &now, fault, err);
    if (st != POCKETFED_OK)
        return st;
    *fault = PF_FAULT_WRONG;
    st = check_leaf(proof, ack, &now.record, err);
    if (st != POCKETFED_OK)
        return st;
    *fault = PF_FAULT_NONE;
    *after = now;
    return POCKETFED_OK;
}

enum pocketfed_status pf_proof_line_read(const char *line, size_t len,
                                         const char *name, struct pf_proof *out)
{
    enum pocketfed_status st = POCKETFED_MALFORMED;
    struct pf_json_doc *doc = NULL;
    const char *text;

    if (pf_json_parse(line, len, &doc, NULL) != POCKETFED_OK)
        return st;
    text = pf_json_text(pf_json_get(pf_json_root(doc), name));
    memset(out, 0, sizeof *out);
    if (text && pf_json_decode(pf_proof_fields, PF_JSON_IGNORE, text,
                               strlen(text), out, NULL) == POCKETFED_OK)
        st = POCKETFED_OK;
    pf_json_free(doc);
    return st;
}

/* ---- keys ---- */

enum pocketfed_status pf_rotation_check(const struct pf_key *old,
                                        const void *body, size_t len,
                                        const uint8_t sig[PF_SIGNATURE_LEN],
                                        struct pf_rotation *out,
                                        struct pf_error *err)
{
    uint8_t raw[PF_PUBLIC_MAX];
    enum pocketfed_status st;
    struct pf_rotation r;

    st = pf_statement_verify(old, PF_SAY_ROTATION, body, len, sig);
    if (st == POCKETFED_PROOF)
        return pf_fail(err, st,
                       "the new record key is not signed by the old one");
    memset(&r, 0, sizeof r);
    if (st == POCKETFED_OK)
        st = pf_json_decode(pf_rotation_fields, PF_JSON_IGNORE, body, len, &r,
                            err);
    if (st != POCKETFED_OK)
        return st;
    pf_key_public(old, raw);
    if (memcmp(r.old_key, raw, 32) != 0 ||
        memcmp(r.new_key, r.old_key, 32) == 0)
        return pf_fail(err, POCKETFED_PROOF,
                       "the statement about a new record key does not lead on "
                       "from the one that is pinned");
    *out = r;
    return POCKETFED_OK;
}
