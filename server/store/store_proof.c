#include "store_proof.h"

#include <string.h>

#include "store_int.h"

/* ---- writing ----------------------------------------------------------- */

static enum pocketfed_status write_leaf(struct pf_store *s, int64_t task,
                                        const struct pf_seal *seal, size_t i,
                                        struct pf_error *err)
{
    const struct pf_leaf *l = &seal->leaves[i];
    int rc;

    rc = pf_sql_bind(s->stmt[PF_SQL_SEAL_LEAF], "iuuDDuun", task, seal->round,
                     (uint64_t)i, l->pseudonym, l->digest, l->weight,
                     (uint64_t)l->staleness, l->status);
    return pf_sql_run(s, PF_SQL_SEAL_LEAF, rc, "write a leaf", err);
}

enum pocketfed_status pf_store_seal(struct pf_store *s, int64_t task,
                                    const struct pf_seal *seal,
                                    struct pf_error *err)
{
    enum pocketfed_status st;
    size_t i;
    int rc;

    rc = pf_sql_bind(s->stmt[PF_SQL_SEAL_RECORD], "iubbD", task, seal->round,
                     seal->body, seal->len, seal->signature,
                     (size_t)PF_SIGNATURE_LEN, seal->sums);
    st = pf_sql_run(s, PF_SQL_SEAL_RECORD, rc, "write a round's record", err);
    for (i = 0; i < seal->n_leaves && st == POCKETFED_OK; i++)
        st = write_leaf(s, task, seal, i, err);
    return st;
}

enum pocketfed_status pf_store_log_end(struct pf_store *s, int64_t task,
                                       uint64_t *size, uint8_t last[32],
                                       struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_LOG_END];
    enum pocketfed_status st = POCKETFED_OK;
    int rc;

    rc = pf_sql_bind(q, "i", task);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        *size = (uint64_t)sqlite3_column_int64(q, 0) + 1;
        pf_sha256(sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1),
                  last);
    } else if (rc == SQLITE_DONE) {
        *size = 0;
        memset(last, 0, 32);
    } else {
        st = pf_sql_fail(s, rc, "read the end of the log", err);
    }
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status
pf_store_counted(struct pf_store *s, int64_t task, uint64_t round,
                 void (*visit)(void *ctx, const struct pf_counted *c),
                 void *ctx, struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_COUNTED];
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_counted c;
    int rc;

    rc = pf_sql_bind(q, "iu", task, round);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(q)) {
        pf_sql_bytes(q, 0, c.device, sizeof c.device);
        pf_sql_bytes(q, 1, c.digest, sizeof c.digest);
        c.weight = (uint64_t)sqlite3_column_int64(q, 2);
        c.staleness = (uint32_t)sqlite3_column_int64(q, 3);
        visit(ctx, &c);
    }
    if (rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, "list the updates of a round", err);
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status pf_store_plan_sign(struct pf_store *s, int64_t task,
                                         const uint8_t sig[PF_SIGNATURE_LEN],
                                         struct pf_error *err)
{
    int rc = pf_sql_bind(s->stmt[PF_SQL_PLAN_SIGN], "ib", task, sig,
                         (size_t)PF_SIGNATURE_LEN);

    return pf_sql_run(s, PF_SQL_PLAN_SIGN, rc, "sign a plan", err);
}

enum pocketfed_status pf_store_rotate(struct pf_store *s, const uint8_t old[32],
                                      const void *body, size_t len,
                                      const uint8_t sig[PF_SIGNATURE_LEN],
                                      struct pf_error *err)
{
    int rc = pf_sql_bind(s->stmt[PF_SQL_ROTATE], "Dbb", old, body, len, sig,
                         (size_t)PF_SIGNATURE_LEN);

    return pf_sql_run(s, PF_SQL_ROTATE, rc, "note a new record key", err);
}

/* ---- reading ----------------------------------------------------------- */

/* The end of a query that was asked for at most one row. */
static enum pocketfed_status one_row(sqlite3_stmt *q, int bound)
{
    int rc = bound == SQLITE_OK ? sqlite3_step(q) : bound;

    if (rc == SQLITE_ROW)
        return POCKETFED_OK;
    return rc == SQLITE_DONE ? POCKETFED_NOT_FOUND : POCKETFED_IO;
}

static int has_bytes(sqlite3_stmt *q, int column, size_t n)
{
    return (size_t)sqlite3_column_bytes(q, column) == n;
}

enum pocketfed_status pf_reader_sealed(struct pf_store_reader *r, int64_t task,
                                       uint64_t round, struct pf_sealed *out)
{
    sqlite3_stmt *q = r->stmt[PF_READ_SEALED];
    enum pocketfed_status st;
    size_t len;

    st = one_row(q, pf_sql_bind(q, "iu", task, round));
    if (st == POCKETFED_OK) {
        len = (size_t)sqlite3_column_bytes(q, 1);
        if (len == 0 || len > sizeof out->body ||
            !has_bytes(q, 2, PF_SIGNATURE_LEN)) {
            st = POCKETFED_PROOF;
        } else {
            out->seq = (uint64_t)sqlite3_column_int64(q, 0);
            out->len = len;
            pf_sql_bytes(q, 1, out->body, len);
            pf_sql_bytes(q, 2, out->signature, PF_SIGNATURE_LEN);
        }
    }
    sqlite3_reset(q);
    return st;
}

/* A row of `leaves`: place, pseudonym, digest, weight, staleness, status. */
static enum pocketfed_status read_leaf(sqlite3_stmt *q, uint64_t round,
                                       struct pf_leaf *out, uint64_t *place)
{
    int64_t staleness = sqlite3_column_int64(q, 4);

    if (!has_bytes(q, 1, 32) || !has_bytes(q, 2, 32) || staleness < 0 ||
        staleness > UINT32_MAX)
        return POCKETFED_PROOF;
    *place = (uint64_t)sqlite3_column_int64(q, 0);
    out->round = round;
    pf_sql_bytes(q, 1, out->pseudonym, 32);
    pf_sql_bytes(q, 2, out->digest, 32);
    out->weight = (uint64_t)sqlite3_column_int64(q, 3);
    out->staleness = (uint32_t)staleness;
    out->status = sqlite3_column_int(q, 5);
    return POCKETFED_OK;
}

enum pocketfed_status pf_reader_leaf(struct pf_store_reader *r, int64_t task,
                                     uint64_t round,
                                     const uint8_t pseudonym[32],
                                     const uint8_t *digest, struct pf_leaf *out,
                                     uint64_t *place)
{
    sqlite3_stmt *q = r->stmt[PF_READ_LEAF];
    enum pocketfed_status st;

    st = one_row(q, pf_sql_bind(q, "iuDD", task, round, pseudonym, digest));
    if (st == POCKETFED_OK)
        st = read_leaf(q, round, out, place);
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status pf_reader_leaves(
    struct pf_store_reader *r, int64_t task, uint64_t round,
    enum pocketfed_status (*visit)(void *ctx, const struct pf_leaf *leaf),
    void *ctx)
{
    sqlite3_stmt *q = r->stmt[PF_READ_LEAVES];
    enum pocketfed_status st = POCKETFED_OK;
    uint64_t place, want = 0;
    struct pf_leaf leaf;
    int rc;

    rc = pf_sql_bind(q, "iu", task, round);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW && st == POCKETFED_OK; rc = sqlite3_step(q)) {
        st = read_leaf(q, round, &leaf, &place);
        if (st == POCKETFED_OK && place != want++)
            st = POCKETFED_PROOF;
        if (st == POCKETFED_OK)
            st = visit(ctx, &leaf);
    }
    sqlite3_reset(q);
    return st == POCKETFED_OK && rc != SQLITE_DONE ? POCKETFED_IO : st;
}

enum pocketfed_status pf_reader_log(
    struct pf_store_reader *r, int64_t task, uint64_t first,
    enum pocketfed_status (*visit)(void *ctx, const void *body, size_t len),
    void *ctx)
{
    sqlite3_stmt *q = r->stmt[PF_READ_LOG];
    enum pocketfed_status st = POCKETFED_OK;
    uint64_t want = first;
    int rc;

    rc = pf_sql_bind(q, "iu", task, first);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW && st == POCKETFED_OK; rc = sqlite3_step(q)) {
        if ((uint64_t)sqlite3_column_int64(q, 0) != want++)
            st = POCKETFED_PROOF;
        else
            st = visit(ctx, sqlite3_column_blob(q, 1),
                       (size_t)sqlite3_column_bytes(q, 1));
    }
    sqlite3_reset(q);
    return st == POCKETFED_OK && rc != SQLITE_DONE ? POCKETFED_IO : st;
}

enum pocketfed_status pf_reader_rotation(struct pf_store_reader *r,
                                         const uint8_t old[32],
                                         struct pf_buf *body,
                                         uint8_t sig[PF_SIGNATURE_LEN])
{
    sqlite3_stmt *q = r->stmt[PF_READ_ROTATION];
    enum pocketfed_status st;

    st = one_row(q, pf_sql_bind(q, "D", old));
    if (st == POCKETFED_OK && !has_bytes(q, 1, PF_SIGNATURE_LEN))
        st = POCKETFED_PROOF;
    if (st == POCKETFED_OK) {
        pf_sql_bytes(q, 1, sig, PF_SIGNATURE_LEN);
        st = pf_buf_add(body, sqlite3_column_blob(q, 0),
                        (size_t)sqlite3_column_bytes(q, 0));
    }
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status
pf_reader_rotations(struct pf_store_reader *r,
                    void (*visit)(void *ctx, const void *body, size_t len,
                                  const uint8_t sig[PF_SIGNATURE_LEN]),
                    void *ctx)
{
    sqlite3_stmt *q = r->stmt[PF_READ_ROTATIONS];
    int rc;

    for (rc = sqlite3_step(q); rc == SQLITE_ROW; rc = sqlite3_step(q))
        if (has_bytes(q, 1, PF_SIGNATURE_LEN))
            visit(ctx, sqlite3_column_blob(q, 0),
                  (size_t)sqlite3_column_bytes(q, 0),
                  sqlite3_column_blob(q, 1));
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? POCKETFED_OK : POCKETFED_IO;
}
