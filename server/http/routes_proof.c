#include "routes.h"

#include <inttypes.h>
#include <string.h>

#include "prover.h"
#include "statement.h"
#include "text.h"

/* ---- proofs ---- */

/* ?update=DIGEST, which tells two updates of one device apart. 1 with *has
 * set, 0 with the refusal in the reply. */
static int query_update(struct pf_exchange *ex, int *has, uint8_t out[32])
{
    static const char name[] = "update=";
    const char *p = ex->query + 1;
    size_t len;

    *has = 0;
    for (; *p; p += len + (p[len] == '&')) {
        len = strcspn(p, "&");
        if (strncmp(p, name, sizeof name - 1) != 0)
            continue;
        *has = 1;
        if (pf_unhex(p + sizeof name - 1, len - (sizeof name - 1), out, 32))
            return 1;
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "update is not a digest of 64 hexadecimal digits");
        return 0;
    }
    return 1;
}

static enum pf_next failed(struct pf_exchange *ex, enum pocketfed_status st)
{
    struct pf_error err = {0};

    pf_fail(&err, st, "cannot prove round %" PRIu64 " of task %s: %s",
            ex->args.round, ex->args.task, pocketfed_status_text(st));
    return pf_reply_internal(ex, &err);
}

/* The device's leaf, its place and its path; 0 with the reply made. */
static int prove_leaf(struct pf_exchange *ex, struct pf_store_reader *r,
                      const uint8_t *digest, struct pf_proof *proof)
{
    struct pf_leaf_path path = {.n = 0};
    enum pocketfed_status st;
    struct pf_leaf leaf;
    uint8_t name[32];

    pf_pseudonym(ex->device.id, ex->args.task, ex->args.round, name);
    st = pf_reader_leaf(r, ex->task->stored.id, ex->args.round, name, digest,
                        &leaf, &proof->index);
    if (st == POCKETFED_NOT_FOUND) {
        pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND,
                        "the device has no such update in round %" PRIu64,
                        ex->args.round);
        return 0;
    }
    if (st == POCKETFED_OK)
        st = pf_prover_leaf(ex->edge->prover, r, ex->task->stored.id,
                            ex->args.round, proof->index, &path);
    if (st != POCKETFED_OK) {
        failed(ex, st);
        return 0;
    }
    pf_leaf_write(&leaf, proof->leaf.data);
    proof->leaf.len = PF_LEAF_LEN;
    pf_path_write((const uint8_t(*)[32])path.hash, path.n, proof->path);
    proof->n_path = path.n;
    return 1;
}

/* The log as it is now, said at this moment. */
static enum pocketfed_status prove_log(struct pf_exchange *ex,
                                       struct pf_store_reader *r,
                                       uint64_t since, struct pf_proof *proof)
{
    struct pf_log_proof log = {.size = 0};
    struct pf_log_head head = {.time_ms = ex->edge->now_ms()};
    enum pocketfed_status st;
    struct pf_buf body;

    st = pf_prover_log(ex->edge->prover, r, ex->task->stored.id,
                       proof->log_index, since, &log);
    if (st != POCKETFED_OK)
        return st;
    memcpy(head.task, ex->args.task, sizeof head.task);
    head.size = log.size;
    memcpy(head.root, log.root, 32);
    pf_buf_init(&body, sizeof proof->head.data);
    st = pf_json_encode(pf_log_head_fields, &head, &body);
    if (st == POCKETFED_OK)
        st = pf_statement_sign(ex->edge->record_key, PF_SAY_LOG, body.data,
                               body.len, proof->head_signature);
    if (st == POCKETFED_OK) {
        memcpy(proof->head.data, body.data, body.len);
        proof->head.len = body.len;
        pf_path_write((const uint8_t(*)[32])log.path, log.n_path,
                      proof->log_path);
        proof->n_log_path = log.n_path;
        /* Who knows more records than there are is told so by size. */
        proof->since = since <= log.size ? since : 0;
        pf_path_write((const uint8_t(*)[32])log.growth, log.n_growth,
                      proof->growth);
        proof->n_growth = log.n_growth;
    }
    pf_buf_free(&body);
    return st;
}

static enum pf_next prove(struct pf_exchange *ex, struct pf_store_reader *r,
                          const uint8_t *digest, uint64_t since)
{
    struct pf_sealed sealed;
    struct pf_proof proof;
    enum pocketfed_status st;

    memset(&proof, 0, sizeof proof);
    st = pf_reader_sealed(r, ex->task->stored.id, ex->args.round, &sealed);
    if (st == POCKETFED_NOT_FOUND)
        return pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND,
                               "round %" PRIu64 " has no record yet",
                               ex->args.round);
    if (st != POCKETFED_OK)
        return failed(ex, st);
    memcpy(proof.record.data, sealed.body, sealed.len);
    proof.record.len = sealed.len;
    memcpy(proof.record_signature, sealed.signature, PF_SIGNATURE_LEN);
    proof.log_index = sealed.seq;
    if (!prove_leaf(ex, r, digest, &proof))
        return PF_NEXT_REPLY;
    st = prove_log(ex, r, since, &proof);
    if (st != POCKETFED_OK)
        return failed(ex, st);
    return pf_reply_json(ex, 200, pf_proof_fields, &proof, NULL);
}

enum pf_next pf_route_proof(struct pf_exchange *ex)
{
    struct pf_store_reader *r;
    struct pf_error err = {0};
    enum pf_next next;
    uint8_t digest[32];
    uint64_t since;
    int has;

    if (!pf_route_query(ex, "since", INT64_MAX, 0, &since) ||
        !query_update(ex, &has, digest))
        return PF_NEXT_REPLY;
    r = pf_readers_take(ex->edge->readers, &err);
    if (!r)
        return pf_reply_internal(ex, &err);
    next = prove(ex, r, has ? digest : NULL, since);
    pf_readers_give(ex->edge->readers, r);
    return next;
}

/* ---- keys ---- */

enum pf_next pf_route_key(struct pf_exchange *ex)
{
    uint8_t sig[PF_SIGNATURE_LEN];
    struct pf_store_reader *r;
    struct pf_error err = {0};
    enum pocketfed_status st;
    char field[96];

    r = pf_readers_take(ex->edge->readers, &err);
    if (!r)
        return pf_reply_internal(ex, &err);
    pf_reply_clear(ex);
    st = pf_reader_rotation(r, ex->args.digest, &ex->reply.body, sig);
    pf_readers_give(ex->edge->readers, r);
    if (st == POCKETFED_NOT_FOUND)
        return pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND,
                               "no record key of that fingerprint was "
                               "replaced here");
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "cannot read what replaced a record key");
        return pf_reply_internal(ex, &err);
    }
    pf_statement_field(sig, field);
    pf_reply_header(ex, PF_HEADER_STATEMENT, "%s", field);
    pf_reply_header(ex, "Cache-Control", "public, max-age=31536000, immutable");
    return pf_reply_body(ex, 200, PF_TYPE_JSON);
}
