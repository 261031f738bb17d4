#include "verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "statement.h"
#include "text.h"

#define MAX_LINES ((size_t)64 << 20) /* of one file */

/* One look at a folder. */
struct look {
    const struct pf_storage *s;
    struct pf_verdict *v;
    struct pf_record_keys keys;
    void (*wrong)(void *ctx, const char *sentence);
    void *ctx;
    size_t room; /* of v->list */
    /* Too large for a stack: the line in hand, and what is known before it. */
    struct pf_proof *proof;
    struct pf_history *history;
};

static void fault(struct look *l, const char *fmt, ...) PF_PRINTF(2, 3);

static void fault(struct look *l, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    l->v->faults++;
    l->wrong(l->ctx, text);
}

/* Calls `line` for each whole line of a file; a file that is not there has
 * none. */
static enum pocketfed_status
each_line(struct look *l, const char *name,
          enum pocketfed_status (*line)(struct look *l, const char *text,
                                        size_t len, size_t number),
          struct pf_error *err)
{
    enum pocketfed_status st;
    const char *at, *end;
    struct pf_buf text;
    size_t n = 0;

    pf_buf_init(&text, MAX_LINES);
    st = pf_storage_load(l->s, name, &text, err);
    at = pf_buf_str(&text);
    for (; st == POCKETFED_OK &&
           (end = memchr(at, '\n',
                         text.len - (size_t)(at - pf_buf_str(&text)))) != NULL;
         at = end + 1)
        st = line(l, at, (size_t)(end - at), ++n);
    pf_buf_free(&text);
    if (st == POCKETFED_NOT_FOUND)
        return POCKETFED_OK;
    if (st == POCKETFED_NO_MEMORY)
        pf_fail(err, st, "no memory to read %s", name);
    return st;
}

/* ---- receipts ---------------------------------------------------------- */

/* What is wrong with a receipt, or NULL with *ack filled. */
static const char *read_receipt(const struct look *l, const char *text,
                                size_t len, struct pf_ack *ack)
{
    const struct pf_membership *home = &l->v->home;
    const char *why = "cannot be read", *body;
    struct pf_json_doc *doc = NULL;
    uint8_t sig[PF_SIGNATURE_LEN];
    const struct pf_json_node *root;

    if (pf_json_parse(text, len, &doc, NULL))
        return why;
    root = pf_json_root(doc);
    body = pf_json_text(pf_json_get(root, "ack"));
    memset(ack, 0, sizeof *ack);
    if (!body || pf_json_decode(pf_ack_fields, PF_JSON_IGNORE, body,
                                strlen(body), ack, NULL))
        goto out;
    why = "is not signed by the record key";
    if (pf_statement_parse(pf_json_text(pf_json_get(root, "signature")), sig) ||
        pf_keys_verify(&l->keys, PF_SAY_ACK, body, strlen(body), sig))
        goto out;
    why = "is of another task or device";
    if (strcmp(ack->task, home->task) == 0 &&
        memcmp(ack->device, home->device, PF_DEVICE_LEN) == 0)
        why = NULL;
out:
    pf_json_free(doc);
    return why;
}

static enum pocketfed_status receipt(struct look *l, const char *text,
                                     size_t len, size_t number)
{
    struct pf_verdict *v = l->v;
    const char *why;
    struct pf_ack ack;
    size_t room;
    void *p;

    why = read_receipt(l, text, len, &ack);
    if (why) {
        fault(l, "receipts.jsonl, line %zu: the acknowledgement %s", number,
              why);
        return POCKETFED_OK;
    }
    if (v->n == l->room) {
        room = l->room ? 2 * l->room : 16;
        p = realloc(v->list, room * sizeof *v->list);
        if (!p)
            return POCKETFED_NO_MEMORY;
        v->list = p;
        l->room = room;
    }
    memset(&v->list[v->n], 0, sizeof v->list[0]);
    v->list[v->n++].ack = ack;
    return POCKETFED_OK;
}

/* ---- proofs ------------------------------------------------------------ */

/* The receipt that a proof speaks of, by round and digest of the update. */
static struct pf_verified *find_receipt(const struct look *l)
{
    struct pf_leaf leaf;
    size_t i;

    if (pf_leaf_read(l->proof->leaf.data, l->proof->leaf.len, &leaf))
        return NULL;
    for (i = 0; i < l->v->n; i++)
        if (l->v->list[i].ack.counted == leaf.round &&
            memcmp(l->v->list[i].ack.digest, leaf.digest, 32) == 0)
            return &l->v->list[i];
    return NULL;
}

static enum pocketfed_status proof(struct look *l, const char *text, size_t len,
                                   size_t number)
{
    struct pf_history *h = l->history;
    struct pf_error err = {.text = ""};
    enum pf_proof_fault kind;
    struct pf_verified *of;

    if (pf_proof_line_read(text, len, "proof", l->proof)) {
        fault(l, "proofs.jsonl, line %zu: the proof cannot be read", number);
        return POCKETFED_OK;
    }
    of = find_receipt(l);
    if (!of) {
        fault(l,
              "proofs.jsonl, line %zu: no acknowledgement is kept of what it "
              "proves",
              number);
        return POCKETFED_OK;
    }
    if (!h->known && l->proof->since != 0)
        fault(l,
              "proofs.jsonl, line %zu: it goes on from a log of %" PRIu64
              " records, of which no proof is kept",
              number, l->proof->since);
    if (pf_proof_check(l->proof, &of->ack, &l->keys, h, h, &kind, &err)) {
        fault(l, "proofs.jsonl, line %zu: %s", number, err.text);
        l->v->evidence += kind == PF_FAULT_EQUIVOCAL;
        return POCKETFED_OK;
    }
    l->v->n_proved += !of->proved;
    of->proved = 1;
    of->record = h->record;
    of->log_index = l->proof->log_index;
    return POCKETFED_OK;
}

/* ---- evidence ---------------------------------------------------------- */

/* Both halves must be signed, or it is no evidence. */
static enum pocketfed_status evidence(struct look *l, const char *text,
                                      size_t len, size_t number)
{
    static const char *const halves[] = {"before", "now"};
    struct pf_history *h = calloc(2, sizeof *h);
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_error err = {.text = ""};
    int i;

    if (!h)
        return POCKETFED_NO_MEMORY;
    for (i = 0; i < 2 && st == POCKETFED_OK; i++) {
        st = pf_proof_line_read(text, len, halves[i], l->proof);
        if (st == POCKETFED_OK)
            st = pf_proof_read(l->proof, &l->keys, &h[i], &err);
    }
    if (st != POCKETFED_OK) {
        fault(l,
              "evidence.jsonl, line %zu: it cannot be read, or is not "
              "signed by the record key",
              number);
    } else {
        l->v->evidence++;
        fault(l,
              "evidence.jsonl, line %zu: the server contradicts itself: the "
              "record of round %" PRIu64 " in a log of %" PRIu64
              ", then that of round %" PRIu64 " in one of %" PRIu64,
              number, h[0].record.round, h[0].head.size, h[1].record.round,
              h[1].head.size);
    }
    free(h);
    return POCKETFED_OK;
}

/* ---- models ------------------------------------------------------------ */

static enum pocketfed_status check_models(struct look *l, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_counters counters;
    uint8_t name[32], digest[32];
    struct pf_buf file;
    size_t i;

    pf_storage_counters(l->s, &counters);
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    for (i = 0; i < counters.n_models && st == POCKETFED_OK; i++) {
        const char *hex = counters.models[i];

        pf_buf_clear(&file);
        if (!pf_unhex(hex, strlen(hex), name, sizeof name))
            continue;
        st = pf_storage_object_get(l->s, name, &file);
        if (st == POCKETFED_NOT_FOUND) {
            st = POCKETFED_OK; /* it is fetched again */
            continue;
        }
        pf_sha256(file.data, file.len, digest);
        if (st == POCKETFED_OK && memcmp(digest, name, sizeof digest) != 0)
            fault(l, "objects/%.16s...: the model is not what its name says",
                  hex);
    }
    pf_buf_free(&file);
    return st ? pf_fail(err, st, "a model file cannot be read: %s",
                        pocketfed_status_text(st))
              : st;
}

/* ---- all of it --------------------------------------------------------- */

static enum pocketfed_status look(struct look *l, struct pf_error *err)
{
    struct pf_verdict *v = l->v;
    enum pocketfed_status st;
    size_t skipped = 0;

    st = pf_storage_membership(l->s, &v->home);
    if (st)
        return pf_fail(err, st, "%s has joined no task", l->s->dir);
    st = pf_keyring_load(&v->keyring, l->s, v->home.record_key, &skipped);
    if (st)
        return pf_fail(err, st, "%s/server.json names no record key",
                       l->s->dir);
    if (skipped)
        fault(l,
              "rotations.jsonl: %zu line%s not signed by the key that was "
              "in force",
              skipped, skipped == 1 ? " is" : "s are");
    l->keys = pf_keyring_keys(&v->keyring);
    if ((st = each_line(l, "receipts.jsonl", receipt, err)) ||
        (st = each_line(l, PF_KEPT_PROOFS, proof, err)) ||
        (st = each_line(l, PF_KEPT_EVIDENCE, evidence, err)))
        return st;
    return check_models(l, err);
}

enum pocketfed_status
pf_verify_folder(const struct pf_storage *s,
                 void (*wrong)(void *ctx, const char *sentence), void *ctx,
                 struct pf_verdict *out, struct pf_error *err)
{
    struct look l = {.s = s, .v = out, .wrong = wrong, .ctx = ctx};
    enum pocketfed_status st;

    memset(out, 0, sizeof *out);
    l.proof = calloc(1, sizeof *l.proof);
    l.history = calloc(1, sizeof *l.history);
    st = l.proof && l.history
             ? look(&l, err)
             : pf_fail(err, POCKETFED_NO_MEMORY, "no memory to verify");
    if (l.history && l.history->known) {
        out->history = l.history;
        l.history = NULL;
    }
    free(l.proof);
    free(l.history);
    return st;
}

void pf_verdict_free(struct pf_verdict *v)
{
    pf_keyring_free(&v->keyring);
    free(v->list);
    free(v->history);
    memset(v, 0, sizeof *v);
}

const struct pf_verified *pf_verdict_model(const struct pf_verdict *v,
                                           const uint8_t digest[32])
{
    size_t i;

    for (i = v->n; i-- > 0;)
        if (v->list[i].proved &&
            v->list[i].record.outcome != PF_RECORD_ABANDONED &&
            memcmp(v->list[i].record.model, digest, 32) == 0)
            return &v->list[i];
    return NULL;
}
