#include "verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The records of one text, each signed. */
struct records {
    struct entry {
        uint64_t round;
        char task[PF_TASK_NAME_MAX + 1];
        uint8_t digest[32]; /* of its bytes */
    } * list;
    size_t n, room;
};

static enum pocketfed_status add(struct records *r, const struct pf_history *h)
{
    struct entry *e;
    size_t room;
    void *p;

    if (r->n == r->room) {
        room = r->room ? 2 * r->room : 16;
        p = realloc(r->list, room * sizeof *r->list);
        if (!p)
            return POCKETFED_NO_MEMORY;
        r->list = p;
        r->room = room;
    }
    e = &r->list[r->n++];
    e->round = h->record.round;
    memcpy(e->task, h->record.task, sizeof e->task);
    pf_sha256(h->proof.record.data, h->proof.record.len, e->digest);
    return POCKETFED_OK;
}

/* A line of proofs.jsonl, or the text of a proof itself. */
static enum pocketfed_status read_line(const char *line, size_t len,
                                       struct pf_proof *out)
{
    if (pf_proof_line_read(line, len, "proof", out) == POCKETFED_OK)
        return POCKETFED_OK;
    memset(out, 0, sizeof *out);
    return pf_json_decode(pf_proof_fields, PF_JSON_IGNORE, line, len, out, NULL)
               ? POCKETFED_MALFORMED
               : POCKETFED_OK;
}

static enum pocketfed_status read_all(const struct pf_record_keys *keys,
                                      const char *text, struct records *out,
                                      struct pf_error *err)
{
    struct pf_history *h = calloc(1, sizeof *h);
    struct pf_proof *proof = calloc(1, sizeof *proof);
    enum pocketfed_status st = h && proof ? POCKETFED_OK : POCKETFED_NO_MEMORY;
    size_t len;

    for (; st == POCKETFED_OK && *text; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        if (len == 0)
            continue;
        st = read_line(text, len, proof);
        if (st)
            pf_fail(err, st, "a line is no proof: %.40s", text);
        else
            st = pf_proof_read(proof, keys, h, err);
        if (st == POCKETFED_OK)
            st = add(out, h);
    }
    if (st == POCKETFED_NO_MEMORY)
        pf_fail(err, st, "no memory for the records");
    free(h);
    free(proof);
    return st;
}

static enum pocketfed_status differ(const struct entry *e, struct pf_error *err)
{
    pf_fail(err, POCKETFED_PROOF,
            "equivocation: the server signed two different records for round "
            "%" PRIu64 " of task %s",
            e->round, e->task);
    pf_hint(err, "keep both files: each is signed, and no server that tells "
                 "everybody the same makes both");
    return POCKETFED_PROOF;
}

enum pocketfed_status pf_verify_compare(const struct pf_record_keys *keys,
                                        const char *a, const char *b,
                                        size_t *common, struct pf_error *err)
{
    struct records x = {NULL, 0, 0}, y = {NULL, 0, 0};
    enum pocketfed_status st;
    size_t i, k;

    *common = 0;
    st = read_all(keys, a, &x, err);
    if (st == POCKETFED_OK)
        st = read_all(keys, b, &y, err);
    for (i = 0; i < x.n && st == POCKETFED_OK; i++)
        for (k = 0; k < y.n && st == POCKETFED_OK; k++) {
            if (x.list[i].round != y.list[k].round ||
                strcmp(x.list[i].task, y.list[k].task) != 0)
                continue;
            ++*common;
            if (memcmp(x.list[i].digest, y.list[k].digest, 32) != 0)
                st = differ(&x.list[i], err);
        }
    if (st == POCKETFED_OK && *common == 0)
        st = pf_fail(err, POCKETFED_NOT_FOUND,
                     "the two speak of no round that both know");
    free(x.list);
    free(y.list);
    return st;
}
