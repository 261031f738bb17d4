#include "store_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_STATUS                                                          \
    "SELECT id, ordinal, label, state, created_ms, state_ms, updates, "        \
    "last_round FROM devices WHERE task = ?1 "

const char *const pf_read_texts[PF_READ_COUNT] = {
    [PF_READ_DEVICE] = "SELECT ordinal, alg, key, label, state, updates, "
                       "last_round FROM devices WHERE task = ?1 AND id = ?2",
    [PF_READ_DEVICES] = "SELECT count(*) FROM devices "
                        "WHERE task = ?1 AND state = 0",
    [PF_READ_TOKENS] = "SELECT count(*) FROM tokens WHERE task = ?1 AND "
                       "uses_left > 0 AND expires_ms > ?2",
    [PF_READ_ENROLLED] = "SELECT count(*) FROM devices WHERE task = ?1",
    [PF_READ_ACK] = "SELECT t.name, u.base, t.plan, u.digest, u.examples, "
                    "u.weight, u.round FROM records u "
                    "JOIN tasks t ON t.id = u.task "
                    "WHERE u.task = ?1 AND u.assigned = ?2 AND u.device = ?3 "
                    "AND u.kind = 4",
    [PF_READ_ROUNDS] = "SELECT round, phase, base, model, assigned, accepted, "
                       "failed, late, refused, weight, saturated, bytes_up, "
                       "bytes_down, coalesce(ended_ms, last_ms) - opened_ms, "
                       "train_loss, test_loss, test_accuracy, reason, source "
                       "FROM rounds WHERE task = ?1 AND round > ?2 "
                       "ORDER BY round LIMIT ?3",
    [PF_READ_CLASSES] =
        "SELECT coalesce(a.class, ''), count(*), sum(EXISTS(SELECT 1 "
        "  FROM records u WHERE u.task = a.task AND u.assigned = a.round "
        "  AND u.device = a.device AND u.kind = 4)) "
        "FROM records a WHERE a.task = ?1 AND a.round > ?2 AND a.kind = 2 "
        "GROUP BY 1 ORDER BY 1",
    [PF_READ_SEALED] = "SELECT seq, body, signature FROM round_records "
                       "WHERE task = ?1 AND round = ?2",
    [PF_READ_LEAF] = "SELECT place, pseudonym, digest, weight, staleness, "
                     "status FROM leaves WHERE task = ?1 AND round = ?2 "
                     "AND pseudonym = ?3 AND (?4 IS NULL OR digest = ?4) "
                     "ORDER BY place LIMIT 1",
    [PF_READ_LEAVES] = "SELECT place, pseudonym, digest, weight, staleness, "
                       "status FROM leaves WHERE task = ?1 AND round = ?2 "
                       "ORDER BY pseudonym, digest",
    [PF_READ_LOG] = "SELECT seq, body FROM round_records WHERE task = ?1 "
                    "AND seq >= ?2 ORDER BY seq",
    [PF_READ_ROTATIONS] = "SELECT body, signature FROM rotations",
    [PF_READ_ROTATION] = "SELECT body, signature FROM rotations WHERE old = ?1",
    [PF_READ_DEVICE_STATUS] = DEVICE_STATUS "AND id = ?2",
    [PF_READ_DEVICES_BY_ORDINAL] =
        DEVICE_STATUS "AND ordinal >= ?2 ORDER BY ordinal LIMIT ?3",
    [PF_READ_DEVICES_BY_ID] =
        DEVICE_STATUS "AND ordinal >= ?2 AND id BETWEEN ?4 AND ?5 "
                      "ORDER BY ordinal LIMIT ?3",
};

/* ---- loading ---------------------------------------------------------- */

static void read_record(sqlite3_stmt *q, struct pf_record *r)
{
    struct pf_admitted *a = &r->u.accepted.admitted;
    uint64_t n[27];
    int i;

    memset(r, 0, sizeof *r);
    for (i = 0; i < 27; i++)
        n[i] = (uint64_t)sqlite3_column_int64(q, i);
    r->round = n[1];
    r->kind = (enum pf_record_kind)n[2];
    r->at_ms = (int64_t)n[3];
    pf_sql_bytes(q, 4, r->device.id, sizeof r->device.id);
    r->device.ordinal = n[5];
    switch (r->kind) {
    case PF_REC_OPENED:
        pf_sql_bytes(q, 6, r->u.opened.base, 32);
        break;
    case PF_REC_ASSIGNED:
        pf_sql_text(q, 26, r->u.assigned.device_class,
                    sizeof r->u.assigned.device_class);
        break;
    case PF_REC_ACCEPTED:
        pf_sql_bytes(q, 6, r->u.accepted.base, 32);
        pf_sql_bytes(q, 7, r->u.accepted.digest, 32);
        r->u.accepted.assigned = n[22];
        r->u.accepted.staleness = (uint32_t)n[23];
        r->u.accepted.extent.offset = n[8];
        r->u.accepted.extent.length = n[9];
        a->examples = n[10];
        a->weight = n[12];
        a->saturated = n[13];
        a->norm = pf_sql_real(q, 14, 0);
        a->train_loss = pf_sql_real(q, 15, -1);
        break;
    case PF_REC_FAILED:
        r->u.failure = (int)n[20];
        break;
    case PF_REC_PUBLISHED:
        r->u.published.accepted = n[11];
        r->u.published.weight = n[12];
        r->u.published.saturated = n[13];
        r->u.published.train_loss = pf_sql_real(q, 15, -1);
        pf_sql_bytes(q, 16, r->u.published.model, 32);
        pf_sql_bytes(q, 17, r->u.published.state, 32);
        r->u.published.divisor = pf_sql_real(q, 24, 0);
        r->u.published.source = n[25];
        break;
    case PF_REC_ABANDONED:
        pf_sql_text(q, 21, r->u.abandoned.reason, sizeof r->u.abandoned.reason);
        break;
    case PF_REC_EVALUATED:
        r->u.evaluated.loss = pf_sql_real(q, 18, -1);
        r->u.evaluated.accuracy = pf_sql_real(q, 19, -1);
        break;
    case PF_REC_STATE:
        r->u.state.state = (int)n[20];
        pf_sql_text(q, 21, r->u.state.reason, sizeof r->u.state.reason);
        break;
    case PF_REC_COLLECTING:
    case PF_REC_CLOSED:
        break;
    }
}

static enum pocketfed_status load_records(struct pf_store *s, int64_t task,
                                          const struct pf_store_visitor *v,
                                          struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_RECORDS];
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_record rec;
    int rc;

    rc = pf_sql_bind(q, "i", task);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW && st == POCKETFED_OK; rc = sqlite3_step(q)) {
        read_record(q, &rec);
        st = v->record(v->ctx, task, &rec, err);
    }
    if (st == POCKETFED_OK && rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, "read the records", err);
    sqlite3_reset(q);
    return st;
}

static enum pocketfed_status read_task(sqlite3_stmt *q, struct pf_store_task *t)
{
    memset(t, 0, sizeof *t);
    t->id = sqlite3_column_int64(q, 0);
    pf_sql_text(q, 1, t->name, sizeof t->name);
    pf_buf_init(&t->file, PF_MAX_TASK_FILE);
    pf_sql_bytes(q, 3, t->plan, sizeof t->plan);
    pf_sql_bytes(q, 4, t->plan_signature, sizeof t->plan_signature);
    pf_sql_bytes(q, 5, t->initial_model, sizeof t->initial_model);
    t->created_ms = sqlite3_column_int64(q, 6);
    return pf_buf_add(&t->file, sqlite3_column_blob(q, 2),
                      (size_t)sqlite3_column_bytes(q, 2));
}

enum pocketfed_status pf_store_load(struct pf_store *s,
                                    const struct pf_store_visitor *v,
                                    struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_TASKS];
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_store_task t;
    int rc;

    for (rc = sqlite3_step(q); rc == SQLITE_ROW; rc = sqlite3_step(q)) {
        st = read_task(q, &t);
        if (st != POCKETFED_OK)
            pf_fail(err, st, "cannot read task %s: %s", t.name,
                    pocketfed_status_text(st));
        if (st == POCKETFED_OK)
            st = v->task(v->ctx, &t, err);
        if (st == POCKETFED_OK)
            st = load_records(s, t.id, v, err);
        pf_buf_free(&t.file);
        if (st != POCKETFED_OK)
            break;
    }
    if (st == POCKETFED_OK && rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, "read the tasks", err);
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status pf_store_clock(struct pf_store *s, int64_t *now_ms,
                                     struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_CLOCK];
    enum pocketfed_status st = POCKETFED_OK;
    int rc = sqlite3_step(q);

    if (rc == SQLITE_ROW)
        *now_ms = sqlite3_column_int64(q, 0);
    else
        st = pf_sql_fail(s, rc, "read the clock", err);
    sqlite3_reset(q);
    return st;
}

/* Calls visit for every digest in the rows of a query with (task, models,
 * sums). */
static enum pocketfed_status
visit_digests(struct pf_store *s, enum pf_sql which, int64_t task,
              struct pf_keep keep, void (*visit)(void *, const uint8_t *),
              void *ctx, struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[which];
    enum pocketfed_status st = POCKETFED_OK;
    int i, rc, n = sqlite3_column_count(q);
    uint8_t digest[32];

    rc = pf_sql_bind(q, "iii", task, (int64_t)keep.models, (int64_t)keep.sums);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(q)) {
        for (i = 0; i < n; i++) {
            if (sqlite3_column_type(q, i) == SQLITE_NULL)
                continue;
            pf_sql_bytes(q, i, digest, sizeof digest);
            visit(ctx, digest);
        }
    }
    if (rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, "list the objects", err);
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status
pf_store_needed(struct pf_store *s, int64_t task, struct pf_keep keep,
                void (*visit)(void *ctx, const uint8_t digest[32]), void *ctx,
                struct pf_error *err)
{
    return visit_digests(s, PF_SQL_NEEDED, task, keep, visit, ctx, err);
}

enum pocketfed_status
pf_store_expired(struct pf_store *s, int64_t task, struct pf_keep keep,
                 void (*visit)(void *ctx, const uint8_t digest[32]), void *ctx,
                 struct pf_error *err)
{
    return visit_digests(s, PF_SQL_EXPIRED, task, keep, visit, ctx, err);
}

enum pocketfed_status pf_store_n_devices(struct pf_store *s, int64_t task,
                                         uint64_t *n, struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_N_DEVICES];
    enum pocketfed_status st = POCKETFED_OK;
    int rc;

    rc = pf_sql_bind(q, "i", task);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *n = (uint64_t)sqlite3_column_int64(q, 0);
    else
        st = pf_sql_fail(s, rc, "count the devices", err);
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status pf_store_published(struct pf_store *s, int64_t task,
                                         uint64_t round, uint8_t model[32],
                                         uint8_t state[32],
                                         struct pf_error *err)
{
    sqlite3_stmt *q = s->stmt[PF_SQL_PUBLISHED_BY];
    enum pocketfed_status st = POCKETFED_OK;
    int rc;

    rc = pf_sql_bind(q, "iu", task, round);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        pf_sql_bytes(q, 0, model, 32);
        pf_sql_bytes(q, 1, state, 32);
    } else if (rc == SQLITE_DONE) {
        st = pf_fail(err, POCKETFED_NOT_FOUND, "it published nothing");
    } else {
        st = pf_sql_fail(s, rc, "look for a round", err);
    }
    sqlite3_reset(q);
    return st;
}

/* ---- readers ---------------------------------------------------------- */

enum pocketfed_status pf_reader_open(struct pf_store *s,
                                     struct pf_store_reader **out,
                                     struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_store_reader *r;
    int rc;

    r = calloc(1, sizeof *r);
    if (!r)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a reader");
    rc = sqlite3_open_v2(s->path, &r->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = pf_sql_connect(r->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(r->db, "PRAGMA query_only=ON", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = pf_sql_prepare(r->db, pf_read_texts, PF_READ_COUNT, r->stmt);
    if (rc != SQLITE_OK) {
        st = pf_fail(err, POCKETFED_IO, "cannot open a reader of %s: %s",
                     s->path, sqlite3_errstr(rc));
        pf_reader_close(r);
        return st;
    }
    *out = r;
    return POCKETFED_OK;
}

void pf_reader_close(struct pf_store_reader *r)
{
    if (!r)
        return;
    pf_sql_finalize(r->stmt, PF_READ_COUNT);
    sqlite3_close(r->db);
    free(r);
}

/* The status of a query that was asked for one row. */
static enum pocketfed_status row_status(int rc)
{
    if (rc == SQLITE_ROW)
        return POCKETFED_OK;
    return rc == SQLITE_DONE ? POCKETFED_NOT_FOUND : POCKETFED_IO;
}

enum pocketfed_status pf_reader_device(struct pf_store_reader *r, int64_t task,
                                       const uint8_t id[PF_DEVICE_LEN],
                                       struct pf_device *out)
{
    sqlite3_stmt *q = r->stmt[PF_READ_DEVICE];
    enum pocketfed_status st;
    struct pf_device d = {0};
    char alg[32];
    int rc, len;

    rc = pf_sql_bind(q, "iI", task, id);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    st = row_status(rc);
    if (st == POCKETFED_OK) {
        memcpy(d.id, id, sizeof d.id);
        d.ordinal = (uint64_t)sqlite3_column_int64(q, 0);
        pf_sql_text(q, 1, alg, sizeof alg);
        len = sqlite3_column_bytes(q, 2);
        if (!pf_key_alg_find(alg, &d.alg) || len <= 0 || len > PF_PUBLIC_MAX) {
            st = POCKETFED_PROOF;
        } else {
            d.key_len = (size_t)len;
            pf_sql_bytes(q, 2, d.key, d.key_len);
            pf_sql_text(q, 3, d.label, sizeof d.label);
            d.state = (enum pf_device_state)sqlite3_column_int(q, 4);
            d.updates = (uint64_t)sqlite3_column_int64(q, 5);
            d.last_round = (uint64_t)sqlite3_column_int64(q, 6);
            *out = d;
        }
    }
    sqlite3_reset(q);
    return st;
}

uint64_t pf_reader_n_devices(struct pf_store_reader *r, int64_t task)
{
    sqlite3_stmt *q = r->stmt[PF_READ_DEVICES];
    uint64_t n = 0;

    if (pf_sql_bind(q, "i", task) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return n;
}

enum pocketfed_status pf_reader_ack(struct pf_store_reader *r, int64_t task,
                                    uint64_t round,
                                    const uint8_t id[PF_DEVICE_LEN],
                                    struct pf_ack *out)
{
    sqlite3_stmt *q = r->stmt[PF_READ_ACK];
    enum pocketfed_status st;
    struct pf_ack a = {0};
    int rc;

    rc = pf_sql_bind(q, "iuI", task, round, id);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    st = row_status(rc);
    if (st == POCKETFED_OK) {
        pf_sql_text(q, 0, a.task, sizeof a.task);
        memcpy(a.device, id, sizeof a.device);
        a.round = round;
        pf_sql_bytes(q, 1, a.base, sizeof a.base);
        pf_sql_bytes(q, 2, a.plan, sizeof a.plan);
        pf_sql_bytes(q, 3, a.digest, sizeof a.digest);
        a.examples = (uint64_t)sqlite3_column_int64(q, 4);
        a.weight = (uint64_t)sqlite3_column_int64(q, 5);
        a.counted = (uint64_t)sqlite3_column_int64(q, 6);
        *out = a;
    }
    sqlite3_reset(q);
    return st;
}

static void read_round(sqlite3_stmt *q, struct pf_round_status *r)
{
    memset(r, 0, sizeof *r);
    r->round = (uint64_t)sqlite3_column_int64(q, 0);
    pf_sql_text(q, 1, r->phase, sizeof r->phase);
    pf_sql_bytes(q, 2, r->base, sizeof r->base);
    pf_sql_bytes(q, 3, r->model, sizeof r->model);
    r->assigned = (uint64_t)sqlite3_column_int64(q, 4);
    r->accepted = (uint64_t)sqlite3_column_int64(q, 5);
    r->failed = (uint64_t)sqlite3_column_int64(q, 6);
    r->late = (uint64_t)sqlite3_column_int64(q, 7);
    r->refused = (uint64_t)sqlite3_column_int64(q, 8);
    r->weight = (uint64_t)sqlite3_column_int64(q, 9);
    r->saturated = (uint64_t)sqlite3_column_int64(q, 10);
    r->bytes_up = (uint64_t)sqlite3_column_int64(q, 11);
    r->bytes_down = (uint64_t)sqlite3_column_int64(q, 12);
    r->elapsed_ms = sqlite3_column_int64(q, 13);
    r->train_loss = pf_sql_real(q, 14, -1);
    r->test_loss = pf_sql_real(q, 15, -1);
    r->test_accuracy = pf_sql_real(q, 16, -1);
    pf_sql_text(q, 17, r->reason, sizeof r->reason);
    r->source = (uint64_t)sqlite3_column_int64(q, 18);
}

enum pocketfed_status pf_reader_rounds(
    struct pf_store_reader *r, int64_t task, uint64_t since, size_t max,
    void (*visit)(void *ctx, const struct pf_round_status *rs), void *ctx)
{
    sqlite3_stmt *q = r->stmt[PF_READ_ROUNDS];
    int64_t limit = max > 1u << 20 ? 1 << 20 : (int64_t)max;
    struct pf_round_status rs;
    int rc;

    rc = pf_sql_bind(q, "iui", task, since, limit);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(q)) {
        read_round(q, &rs);
        visit(ctx, &rs);
    }
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? POCKETFED_OK : POCKETFED_IO;
}

enum pocketfed_status
pf_reader_classes(struct pf_store_reader *r, int64_t task, uint64_t since,
                  void (*visit)(void *ctx, const struct pf_class_status *cs),
                  void *ctx)
{
    sqlite3_stmt *q = r->stmt[PF_READ_CLASSES];
    struct pf_class_status cs;
    int rc;

    rc = pf_sql_bind(q, "iu", task, since);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(q)) {
        memset(&cs, 0, sizeof cs);
        pf_sql_text(q, 0, cs.device_class, sizeof cs.device_class);
        cs.assigned = (uint64_t)sqlite3_column_int64(q, 1);
        cs.accepted = (uint64_t)sqlite3_column_int64(q, 2);
        visit(ctx, &cs);
    }
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? POCKETFED_OK : POCKETFED_IO;
}
