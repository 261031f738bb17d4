/* What the server committed itself to, and by which key: proofs of earlier
 * updates, the history they tell, a record key that was replaced.
 */
#include "participation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "participation_core.h"
#include "statement.h"
#include "text.h"

#define MAX_ROTATIONS 16 /* keys followed in a row */
#define MAX_LINE      (256u << 10)

static struct pf_record_keys keys_of(const struct pf_participation *p)
{
    const struct pf_record_keys one = {&p->member->record_key, 1};

    return p->member->keys.n > 0 ? p->member->keys : one;
}

enum pocketfed_status pf_part_verify(const struct pf_participation *p,
                                     const char *label, const void *body,
                                     size_t len,
                                     const uint8_t sig[PF_SIGNATURE_LEN])
{
    const struct pf_record_keys keys = keys_of(p);

    return pf_keys_verify(&keys, label, body, len, sig);
}

/* --- what earlier runs have left --- */

/* The proof in the last line that was kept, checked as far as it can be. */
static void recall_history(struct pf_participation *p)
{
    const struct pf_record_keys keys = keys_of(p);
    struct pf_history *h = calloc(1, sizeof *h);
    struct pf_proof *proof = calloc(1, sizeof *proof);
    struct pf_buf line;

    pf_buf_init(&line, MAX_LINE);
    if (h && proof &&
        p->io.last(p->io.ctx, PF_KEPT_PROOFS, &line) == POCKETFED_OK &&
        pf_proof_line_read(pf_buf_str(&line), line.len, "proof", proof) ==
            POCKETFED_OK &&
        pf_proof_read(proof, &keys, h, NULL) == POCKETFED_OK &&
        strcmp(h->record.task, p->member->task) == 0) {
        p->history = h;
        h = NULL;
    }
    pf_buf_free(&line);
    free(proof);
    free(h);
}

/* It may be that its proof was kept and a kill came then: it is asked for
 * again, and the record must be the same. */
static void recall_receipt(struct pf_participation *p)
{
    struct pf_buf kept;
    const char *body;
    size_t len;

    pf_buf_init(&kept, PF_MAX_CONTROL_BODY + 128);
    memset(&p->receipt, 0, sizeof p->receipt);
    if (pf_part_load(p, PF_SAVED_RECEIPT, &kept) == POCKETFED_OK &&
        pf_part_parse_kept(p, &kept, PF_SAY_ACK, &body, &len) &&
        pf_json_decode(pf_ack_fields, PF_JSON_IGNORE, body, len, &p->receipt,
                       NULL) == POCKETFED_OK)
        p->has_receipt = 1;
    pf_buf_free(&kept);
}

void pf_part_recall(struct pf_participation *p)
{
    if (p->recalled || !p->io.append || !p->io.last)
        return;
    p->recalled = 1;
    recall_history(p);
    recall_receipt(p);
}

void pf_part_keep_receipt(struct pf_participation *p,
                          const struct pf_want_reply *r)
{
    if (!p->io.append || !p->io.last)
        return;
    pf_part_keep(p, PF_SAVED_RECEIPT, r);
    p->receipt = p->ack;
    p->has_receipt = 1;
}

/* --- asking --- */

int pf_part_wants_proof(const struct pf_participation *p)
{
    const struct pf_checkin_reply *w = &p->work;

    if (!p->has_receipt)
        return 0;
    if (w->kind == PF_CHECKIN_TRAIN)
        return w->round > p->receipt.counted;
    return w->reason != PF_WAIT_CONTRIBUTED && w->reason != PF_WAIT_PUBLISHING;
}

void pf_part_proof_query(const struct pf_participation *p, char *out,
                         size_t cap)
{
    uint64_t since = p->history ? p->history->head.size : 0;
    char hex[65];

    pf_hex(p->receipt.digest, 32, hex);
    snprintf(out, cap, "?since=%" PRIu64 "&update=%s", since, hex);
}

enum pocketfed_status pf_part_skip_proof(struct pf_participation *p)
{
    memset(&p->why, 0, sizeof p->why);
    return pf_part_go_on(p);
}

/* --- the answer --- */

/* {"proof":"..."}: its exact text. */
static enum pocketfed_status keep_proof(struct pf_participation *p,
                                        const struct pf_want_reply *r)
{
    enum pocketfed_status st;
    struct pf_buf line;

    pf_buf_init(&line, MAX_LINE);
    pf_buf_adds(&line, "{\"proof\":");
    pf_json_string_n(&line, (const char *)r->body, r->body_len);
    st = pf_buf_adds(&line, "}");
    if (st == POCKETFED_OK)
        st = p->io.append(p->io.ctx, PF_KEPT_PROOFS, pf_buf_str(&line),
                          line.len);
    pf_buf_free(&line);
    return st;
}

/* What was known and what is told now, both signed. The beginning is the same
 * for the same contradiction, so that it is kept once. */
static void keep_evidence(struct pf_participation *p,
                          const struct pf_want_reply *r, const char *kind,
                          const struct pf_proof *now)
{
    const struct pf_proof *before = &p->history->proof;
    char a[65], b[65];
    struct pf_buf line, text;
    uint8_t digest[32];
    size_t key_len;

    pf_sha256(before->record.data, before->record.len, digest);
    pf_hex(digest, 32, a);
    pf_sha256(now->record.data, now->record.len, digest);
    pf_hex(digest, 32, b);
    pf_buf_init(&line, MAX_LINE);
    pf_buf_init(&text, PF_MAX_CONTROL_BODY);
    pf_buf_addf(&line,
                "{\"kind\":\"%s\",\"round\":\"%" PRIu64
                "\",\"records\":[\"%s\",\"%s\"]",
                kind, p->receipt.counted, a, b);
    key_len = line.len;
    pf_json_encode(pf_proof_fields, before, &text);
    pf_buf_adds(&line, ",\"before\":");
    pf_json_string_n(&line, pf_buf_str(&text), text.len);
    pf_buf_adds(&line, ",\"now\":");
    pf_json_string_n(&line, (const char *)r->body, r->body_len);
    if (pf_buf_adds(&line, "}") == POCKETFED_OK &&
        pf_buf_status(&text) == POCKETFED_OK)
        p->io.append(p->io.ctx, PF_KEPT_EVIDENCE, pf_buf_str(&line), key_len);
    pf_buf_free(&text);
    pf_buf_free(&line);
}

static enum pocketfed_status refuse_proof(struct pf_participation *p,
                                          const struct pf_want_reply *r,
                                          const struct pf_proof *proof,
                                          enum pf_proof_fault fault)
{
    if (fault == PF_FAULT_EQUIVOCAL)
        keep_evidence(p, r, "equivocation", proof);
    else if (fault == PF_FAULT_REWRITTEN)
        keep_evidence(p, r, "rewritten", proof);
    if (!p->why.hint[0])
        pf_hint(&p->why, "the server's state may be older than this device's "
                         "or another one; tell its operator");
    return pf_part_refuse(p);
}

/* *history and *proof are there; the result is what the machine goes on with.
 */
static enum pocketfed_status check_proof(struct pf_participation *p,
                                         const struct pf_want_reply *r,
                                         struct pf_history *history,
                                         struct pf_proof *proof)
{
    const struct pf_record_keys keys = keys_of(p);
    enum pf_proof_fault fault;

    if (pf_json_decode(pf_proof_fields, PF_JSON_IGNORE, (const char *)r->body,
                       r->body_len, proof, NULL) != POCKETFED_OK)
        return pf_part_skip_proof(p);
    if (p->history)
        *history = *p->history;
    switch (pf_proof_check(proof, &p->receipt, &keys, history, history, &fault,
                           &p->why)) {
    case POCKETFED_OK:
        break;
    case POCKETFED_PROOF:
        return refuse_proof(p, r, proof, fault);
    default: /* a record of a newer kind */
        return pf_part_skip_proof(p);
    }
    /* What is not kept is not known: it will be asked for again. */
    if (keep_proof(p, r) != POCKETFED_OK)
        return pf_part_skip_proof(p);
    if (!p->history)
        p->history = calloc(1, sizeof *p->history);
    if (p->history)
        *p->history = *history;
    pf_part_remove(p, PF_SAVED_RECEIPT);
    p->has_receipt = 0;
    return pf_part_go_on(p);
}

enum pocketfed_status pf_part_on_proof(struct pf_participation *p,
                                       const struct pf_want_reply *r)
{
    struct pf_history *history = calloc(1, sizeof *history);
    struct pf_proof *proof = calloc(1, sizeof *proof);
    enum pocketfed_status st;

    st = history && proof ? check_proof(p, r, history, proof)
                          : pf_part_skip_proof(p);
    free(history);
    free(proof);
    return st;
}

/* --- what a known record says about what comes next --- */

enum pocketfed_status pf_part_check_base(struct pf_participation *p)
{
    const struct pf_round_record *known =
        p->history ? &p->history->record : NULL;

    if (!known)
        return POCKETFED_OK;
    /* Of the same round it may be where rounds are asynchronous: what was
     * assigned then may still be trained for. */
    if (p->work.round < known->round)
        return pf_fail(&p->why, POCKETFED_PROOF,
                       "the assignment is for round %" PRIu64
                       ", but the record of round %" PRIu64 " is known",
                       p->work.round, known->round);
    /* And an assignment of the next round, given before this one's model was
     * ready, starts from the model before. */
    if (p->work.round == known->round + 1 &&
        memcmp(p->work.base, known->model, 32) != 0 &&
        memcmp(p->work.base, known->base, 32) != 0)
        return pf_fail(&p->why, POCKETFED_PROOF,
                       "the assignment of round %" PRIu64
                       " does not start from the model that the record of "
                       "round %" PRIu64 " names",
                       p->work.round, known->round);
    return POCKETFED_OK;
}

enum pocketfed_status pf_part_check_made(struct pf_participation *p,
                                         const struct pf_model_meta *meta,
                                         const uint8_t digest[32])
{
    const struct pf_round_record *known =
        p->history ? &p->history->record : NULL;

    if (!known || meta->round != known->round)
        return POCKETFED_OK;
    if (known->outcome == PF_RECORD_PUBLISHED &&
        memcmp(digest, known->model, 32) == 0 &&
        memcmp(meta->previous, known->base, 32) == 0)
        return POCKETFED_OK;
    return pf_fail(&p->why, POCKETFED_PROOF,
                   "the model says that it is of round %" PRIu64
                   ", but that round's record names another",
                   meta->round);
}

/* --- the record key --- */

enum pocketfed_status pf_part_doubt_key(struct pf_participation *p)
{
    if (!p->io.rotated || p->rotations >= MAX_ROTATIONS)
        return pf_part_refuse(p);
    p->interrupted = p->phase;
    p->key_refused = p->why;
    p->phase = PF_PHASE_KEY;
    return POCKETFED_OK;
}

enum pocketfed_status pf_part_key_stays(struct pf_participation *p)
{
    p->why = p->key_refused;
    return pf_part_refuse(p);
}

enum pocketfed_status pf_part_on_key(struct pf_participation *p,
                                     const struct pf_want_reply *r)
{
    uint8_t sig[PF_SIGNATURE_LEN];
    struct pf_rotation rotation;
    enum pocketfed_status st;

    if (pf_statement_parse(r->statement, sig) != POCKETFED_OK ||
        pf_rotation_check(p->member->record_key, r->body, r->body_len, sig,
                          &rotation, NULL) != POCKETFED_OK)
        return pf_part_key_stays(p);
    st =
        p->io.rotated(p->io.ctx, &rotation, r->body, r->body_len, r->statement);
    if (st == POCKETFED_LIMIT)
        return pf_part_key_stays(p);
    if (st != POCKETFED_OK) {
        pf_fail(&p->why, st, "the server's new record key cannot be kept: %s",
                pocketfed_status_text(st));
        pf_part_retry(p, 0);
        return POCKETFED_OK;
    }
    p->rotations++;
    memset(&p->why, 0, sizeof p->why);
    p->phase = p->interrupted;
    return POCKETFED_OK;
}
