#include "store_int.h"

#include "bytes.h"

/* Columns of `records` in the order in which they are written and read. */
#define RECORD_COLUMNS                                                         \
    "task, round, kind, at_ms, device, ordinal, base, digest, offset, "        \
    "length, examples, accepted, weight, saturated, norm, train_loss, "        \
    "model, state, test_loss, test_accuracy, code, reason, assigned, "         \
    "staleness, divisor, source, class"

#define OF_ROUND " WHERE task = ?1 AND round = ?2"
#define COUNTERS                                                               \
    "late = max(late, ?4), refused = max(refused, ?5), "                       \
    "bytes_up = max(bytes_up, ?6), bytes_down = max(bytes_down, ?7)"

const char *const pf_sql_texts[PF_SQL_COUNT] = {
    [PF_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [PF_SQL_COMMIT] = "COMMIT",
    [PF_SQL_RECORD] = "INSERT INTO records(" RECORD_COLUMNS ") VALUES("
                      "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
                      "?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, "
                      "?23, ?24, ?25, ?26, ?27)",
    /* ?1 task, ?2 round, ?3 at_ms, then what the row needs */
    [PF_SQL_OPENED] = "INSERT INTO rounds(task, round, opened_ms, last_ms, "
                      "phase, base) VALUES(?1, ?2, ?3, ?3, 'selecting', ?4)",
    [PF_SQL_ASSIGNED] = "UPDATE rounds SET last_ms = ?3, "
                        "assigned = assigned + 1" OF_ROUND,
    [PF_SQL_COLLECTING] = "UPDATE rounds SET last_ms = ?3, "
                          "phase = 'collecting'" OF_ROUND,
    [PF_SQL_ACCEPTED] = "UPDATE rounds SET last_ms = ?3, "
                        "accepted = accepted + 1, weight = weight + ?4, "
                        "saturated = saturated + ?5" OF_ROUND,
    [PF_SQL_DEVICE_UPDATED] = "UPDATE devices SET updates = updates + 1, "
                              "last_round = max(last_round, ?3) "
                              "WHERE task = ?1 AND id = ?2",
    [PF_SQL_FAILED] = "UPDATE rounds SET last_ms = ?3, "
                      "failed = failed + 1" OF_ROUND,
    [PF_SQL_CLOSED] =
        "UPDATE rounds SET last_ms = ?3, phase = 'closing', " COUNTERS OF_ROUND,
    [PF_SQL_PUBLISHED] = "UPDATE rounds SET last_ms = ?3, ended_ms = ?3, "
                         "phase = 'published', " COUNTERS
                         ", model = ?8, state = ?9, train_loss = ?10, "
                         "source = ?11" OF_ROUND,
    [PF_SQL_ABANDONED] =
        "UPDATE rounds SET last_ms = ?3, ended_ms = ?3, "
        "phase = 'abandoned', " COUNTERS ", reason = ?8" OF_ROUND,
    [PF_SQL_EVALUATED] = "UPDATE rounds SET test_loss = ?4, "
                         "test_accuracy = ?5, "
                         "last_ms = max(last_ms, ?3)" OF_ROUND,
    [PF_SQL_TASK_FIND] = "SELECT id FROM tasks WHERE name = ?1",
    [PF_SQL_TASK_ADD] = "INSERT INTO tasks(name, file, plan, plan_signature, "
                        "initial_model, created_ms) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [PF_SQL_TOKEN_ADD] = "INSERT INTO tokens(hash, task, uses_left, "
                         "expires_ms, label, ordinal) "
                         "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [PF_SQL_TOKEN_FIND] = "SELECT uses_left, expires_ms, ordinal FROM tokens "
                          "WHERE hash = ?1 AND task = ?2",
    [PF_SQL_TOKEN_SPEND] = "UPDATE tokens SET uses_left = uses_left - 1 "
                           "WHERE hash = ?1",
    [PF_SQL_DEVICE_FIND] = "SELECT ordinal, state, token, label "
                           "FROM devices WHERE task = ?1 AND id = ?2",
    [PF_SQL_DEVICE_ADD] = "INSERT INTO devices(task, id, ordinal, alg, key, "
                          "label, token, created_ms) "
                          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [PF_SQL_ORDINAL_USED] = "SELECT 1 FROM devices "
                            "WHERE task = ?1 AND ordinal = ?2",
    /* The mark itself, or the first gap after an ordinal that is taken. */
    [PF_SQL_ORDINAL_FREE] =
        "WITH t AS (SELECT id, ordinal_mark AS mark FROM tasks WHERE id = ?1) "
        "SELECT mark FROM t WHERE NOT EXISTS(SELECT 1 FROM devices "
        "  WHERE task = t.id AND ordinal = t.mark) "
        "UNION ALL SELECT * FROM (SELECT d.ordinal + 1 FROM t, devices d "
        "  WHERE d.task = t.id AND d.ordinal >= t.mark AND NOT EXISTS("
        "    SELECT 1 FROM devices e WHERE e.task = d.task "
        "    AND e.ordinal = d.ordinal + 1) "
        "  ORDER BY d.ordinal LIMIT 1) "
        "LIMIT 1",
    [PF_SQL_ORDINAL_MARK] = "UPDATE tasks SET ordinal_mark = ?2 WHERE id = ?1",
    [PF_SQL_TASKS] = "SELECT id, name, file, plan, plan_signature, "
                     "initial_model, created_ms FROM tasks ORDER BY id",
    [PF_SQL_RECORDS] =
        "SELECT " RECORD_COLUMNS " FROM records WHERE task = ?1 ORDER BY seq",
    [PF_SQL_CLOCK] = "SELECT max("
                     "coalesce((SELECT max(at_ms) FROM records), 0), "
                     "coalesce((SELECT ms FROM clock), 0))",
    [PF_SQL_CLOCK_SET] = "INSERT INTO clock(id, ms) VALUES(1, ?1) "
                         "ON CONFLICT(id) DO UPDATE SET ms = max(ms, ?1)",
    [PF_SQL_NEEDED] =
        "SELECT plan FROM tasks WHERE id = ?1 "
        "UNION SELECT initial_model FROM tasks WHERE id = ?1 "
        "UNION SELECT base FROM rounds WHERE task = ?1 AND ended_ms IS NULL "
        "UNION SELECT model FROM (SELECT model FROM rounds "
        "  WHERE task = ?1 AND model IS NOT NULL "
        "  ORDER BY round DESC LIMIT ?2) "
        "UNION SELECT state FROM (SELECT state FROM rounds "
        "  WHERE task = ?1 AND model IS NOT NULL "
        "  ORDER BY round DESC LIMIT ?2) "
        "UNION SELECT sums FROM (SELECT sums FROM round_records "
        "  WHERE task = ?1 AND sums IS NOT NULL ORDER BY seq DESC LIMIT ?3)",
    /* A rollback publishes a digest again: not what a newer round has. */
    [PF_SQL_EXPIRED] =
        "WITH kept AS (SELECT model, state FROM rounds "
        "  WHERE task = ?1 AND model IS NOT NULL ORDER BY round DESC LIMIT ?2),"
        " old AS (SELECT model, state FROM rounds "
        "  WHERE task = ?1 AND model IS NOT NULL "
        "  ORDER BY round DESC LIMIT 4 OFFSET ?2) "
        "SELECT model FROM old WHERE model NOT IN (SELECT model FROM kept) "
        "AND model != (SELECT initial_model FROM tasks WHERE id = ?1) "
        "UNION SELECT state FROM old WHERE state NOT IN "
        "(SELECT state FROM kept WHERE state IS NOT NULL) "
        "UNION SELECT sums FROM (SELECT sums FROM round_records "
        "  WHERE task = ?1 AND sums IS NOT NULL "
        "  ORDER BY seq DESC LIMIT 4 OFFSET ?3)",
    [PF_SQL_SEAL_RECORD] = "INSERT INTO round_records(task, seq, round, body, "
                           "signature, sums) "
                           "SELECT ?1, coalesce(max(seq) + 1, 0), "
                           "?2, ?3, ?4, ?5 "
                           "FROM round_records WHERE task = ?1",
    [PF_SQL_SEAL_LEAF] = "INSERT INTO leaves(task, round, place, pseudonym, "
                         "digest, weight, staleness, status) "
                         "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [PF_SQL_LOG_END] = "SELECT seq, body FROM round_records WHERE task = ?1 "
                       "ORDER BY seq DESC LIMIT 1",
    [PF_SQL_COUNTED] = "SELECT device, digest, weight, staleness FROM records "
                       "WHERE task = ?1 AND round = ?2 AND kind = 4",
    [PF_SQL_PLAN_SIGN] = "UPDATE tasks SET plan_signature = ?2 WHERE id = ?1",
    [PF_SQL_ROTATE] = "INSERT INTO rotations(old, body, signature) "
                      "VALUES(?1, ?2, ?3) ON CONFLICT(old) DO NOTHING",
    [PF_SQL_N_DEVICES] = "SELECT count(*) FROM devices "
                         "WHERE task = ?1 AND state = 0",
    [PF_SQL_PUBLISHED_BY] = "SELECT model, state FROM rounds WHERE task = ?1 "
                            "AND round = ?2 AND model IS NOT NULL",
    [PF_SQL_DEVICE_END] = "UPDATE devices SET state = ?3, state_ms = ?4 "
                          "WHERE task = ?1 AND id = ?2",
    [PF_SQL_DEVICE_AGAIN] = "UPDATE devices SET state = 0, state_ms = ?6, "
                            "ordinal = ?3, label = ?4, token = ?5 "
                            "WHERE task = ?1 AND id = ?2",
};

enum pocketfed_status pf_store_begin(struct pf_store *s, struct pf_error *err)
{
    return pf_sql_run(s, PF_SQL_BEGIN, SQLITE_OK, "begin a transaction", err);
}

enum pocketfed_status pf_store_commit(struct pf_store *s, struct pf_error *err)
{
    return pf_sql_run(s, PF_SQL_COMMIT, SQLITE_OK, "commit", err);
}

enum pocketfed_status pf_store_clock_set(struct pf_store *s, int64_t now_ms,
                                         struct pf_error *err)
{
    return pf_sql_run(s, PF_SQL_CLOCK_SET,
                      pf_sql_bind(s->stmt[PF_SQL_CLOCK_SET], "i", now_ms),
                      "write the clock", err);
}

/* Binds the whole row; what a kind does not have is NULL. */
static int bind_record(sqlite3_stmt *stmt, int64_t task,
                       const struct pf_record *r)
{
    const struct pf_admitted *a = &r->u.accepted.admitted;
    const struct pf_device_ref *d = &r->device;

    sqlite3_clear_bindings(stmt);
#define HEAD "iuni"
    switch (r->kind) {
    case PF_REC_OPENED:
        return pf_sql_bind(stmt, HEAD "--D", task, r->round, (int)r->kind,
                           r->at_ms, r->u.opened.base);
    case PF_REC_ASSIGNED:
        return pf_sql_bind(
            stmt, HEAD "Iu--------------------s", task, r->round, (int)r->kind,
            r->at_ms, d->id, d->ordinal,
            r->u.assigned.device_class[0] ? r->u.assigned.device_class : NULL);
    case PF_REC_ACCEPTED:
        return pf_sql_bind(
            stmt, HEAD "IuDDuuu-uudd------uu", task, r->round, (int)r->kind,
            r->at_ms, d->id, d->ordinal, r->u.accepted.base,
            r->u.accepted.digest, r->u.accepted.extent.offset,
            r->u.accepted.extent.length, a->examples, a->weight, a->saturated,
            a->norm, a->train_loss, r->u.accepted.assigned,
            (uint64_t)r->u.accepted.staleness);
    case PF_REC_FAILED:
        return pf_sql_bind(stmt, HEAD "Iu--------------n", task, r->round,
                           (int)r->kind, r->at_ms, d->id, d->ordinal,
                           r->u.failure);
    case PF_REC_PUBLISHED:
        return pf_sql_bind(stmt, HEAD "-------uuu-dDD------du", task, r->round,
                           (int)r->kind, r->at_ms, r->u.published.accepted,
                           r->u.published.weight, r->u.published.saturated,
                           r->u.published.train_loss, r->u.published.model,
                           r->u.published.state, r->u.published.divisor,
                           r->u.published.source);
    case PF_REC_ABANDONED:
        return pf_sql_bind(stmt, HEAD "-----------------s", task, r->round,
                           (int)r->kind, r->at_ms, r->u.abandoned.reason);
    case PF_REC_EVALUATED:
        return pf_sql_bind(stmt, HEAD "--------------dd", task, r->round,
                           (int)r->kind, r->at_ms, r->u.evaluated.loss,
                           r->u.evaluated.accuracy);
    case PF_REC_STATE:
        return pf_sql_bind(stmt, HEAD "----------------ns", task, r->round,
                           (int)r->kind, r->at_ms, r->u.state.state,
                           r->u.state.reason);
    case PF_REC_COLLECTING:
    case PF_REC_CLOSED:
        return pf_sql_bind(stmt, HEAD, task, r->round, (int)r->kind, r->at_ms);
    }
#undef HEAD
    return SQLITE_MISUSE;
}

/* Keeps the row of `rounds` up with a record. */
static enum pocketfed_status keep_round(struct pf_store *s, int64_t task,
                                        const struct pf_record *r,
                                        const struct pf_round_counters *c,
                                        struct pf_error *err)
{
    static const struct pf_round_counters none;
    enum pf_sql which;
    const uint8_t *state;
    sqlite3_stmt *stmt;
    int rc;

    if (!c)
        c = &none;
#define HEAD           "iui"
#define HEAD_VALUES    task, r->round, r->at_ms
#define COUNTER_VALUES c->late, c->refused, c->bytes_up, c->bytes_down
    switch (r->kind) {
    case PF_REC_OPENED:
        stmt = s->stmt[which = PF_SQL_OPENED];
        rc = pf_sql_bind(stmt, HEAD "D", HEAD_VALUES, r->u.opened.base);
        break;
    case PF_REC_ASSIGNED:
        stmt = s->stmt[which = PF_SQL_ASSIGNED];
        rc = pf_sql_bind(stmt, HEAD, HEAD_VALUES);
        break;
    case PF_REC_COLLECTING:
        stmt = s->stmt[which = PF_SQL_COLLECTING];
        rc = pf_sql_bind(stmt, HEAD, HEAD_VALUES);
        break;
    case PF_REC_ACCEPTED:
        stmt = s->stmt[which = PF_SQL_ACCEPTED];
        rc = pf_sql_bind(stmt, HEAD "uu", HEAD_VALUES,
                         r->u.accepted.admitted.weight,
                         r->u.accepted.admitted.saturated);
        break;
    case PF_REC_FAILED:
        stmt = s->stmt[which = PF_SQL_FAILED];
        rc = pf_sql_bind(stmt, HEAD, HEAD_VALUES);
        break;
    case PF_REC_CLOSED:
        stmt = s->stmt[which = PF_SQL_CLOSED];
        rc = pf_sql_bind(stmt, HEAD "uuuu", HEAD_VALUES, COUNTER_VALUES);
        break;
    case PF_REC_PUBLISHED:
        stmt = s->stmt[which = PF_SQL_PUBLISHED];
        state =
            pf_is_zero(r->u.published.state, 32) ? NULL : r->u.published.state;
        rc = pf_sql_bind(stmt, HEAD "uuuuDDdu", HEAD_VALUES, COUNTER_VALUES,
                         r->u.published.model, state, r->u.published.train_loss,
                         r->u.published.source);
        break;
    case PF_REC_ABANDONED:
        stmt = s->stmt[which = PF_SQL_ABANDONED];
        rc = pf_sql_bind(stmt, HEAD "uuuus", HEAD_VALUES, COUNTER_VALUES,
                         r->u.abandoned.reason);
        break;
    case PF_REC_EVALUATED:
        stmt = s->stmt[which = PF_SQL_EVALUATED];
        rc = pf_sql_bind(stmt, HEAD "dd", HEAD_VALUES, r->u.evaluated.loss,
                         r->u.evaluated.accuracy);
        break;
    case PF_REC_STATE:
    default:
        return POCKETFED_OK;
    }
#undef HEAD
#undef HEAD_VALUES
#undef COUNTER_VALUES
    return pf_sql_run(s, which, rc, "keep the round up", err);
}

enum pocketfed_status pf_store_record(struct pf_store *s, int64_t task,
                                      const struct pf_record *rec,
                                      const struct pf_round_counters *counters,
                                      struct pf_error *err)
{
    enum pocketfed_status st;

    st = pf_sql_run(s, PF_SQL_RECORD,
                    bind_record(s->stmt[PF_SQL_RECORD], task, rec),
                    "write a record", err);
    if (st == POCKETFED_OK)
        st = keep_round(s, task, rec, counters, err);
    if (st == POCKETFED_OK && rec->kind == PF_REC_ACCEPTED)
        st = pf_sql_run(s, PF_SQL_DEVICE_UPDATED,
                        pf_sql_bind(s->stmt[PF_SQL_DEVICE_UPDATED], "iIu", task,
                                    rec->device.id, rec->round),
                        "keep the device up", err);
    return st;
}

enum pocketfed_status pf_store_task_add(struct pf_store *s,
                                        struct pf_store_task *t,
                                        struct pf_error *err)
{
    sqlite3_stmt *stmt = s->stmt[PF_SQL_TASK_FIND];
    enum pocketfed_status st;
    int rc;

    rc = pf_sql_bind(stmt, "s", t->name);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        st = pf_fail(err, POCKETFED_EXISTS, "there is a task %s already",
                     t->name);
    else if (rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, "look for a task", err);
    else
        st = POCKETFED_OK;
    sqlite3_reset(stmt);
    if (st != POCKETFED_OK)
        return st;
    stmt = s->stmt[PF_SQL_TASK_ADD];
    rc = pf_sql_bind(stmt, "sbDbDi", t->name, pf_buf_str(&t->file), t->file.len,
                     t->plan, t->plan_signature, sizeof t->plan_signature,
                     t->initial_model, t->created_ms);
    st = pf_sql_run(s, PF_SQL_TASK_ADD, rc, "add a task", err);
    if (st == POCKETFED_OK)
        t->id = sqlite3_last_insert_rowid(s->db);
    return st;
}

enum pocketfed_status pf_store_token_add(struct pf_store *s, int64_t task,
                                         const uint8_t hash[32], uint64_t uses,
                                         int64_t expires_ms, int has_ordinal,
                                         uint64_t ordinal, const char *label,
                                         struct pf_error *err)
{
    sqlite3_stmt *stmt = s->stmt[PF_SQL_TOKEN_ADD];
    int rc;

    if (uses < 1 || uses > INT64_MAX || ordinal > INT64_MAX)
        return pf_fail(err, POCKETFED_INVALID,
                       "a token needs at least one use and an ordinal below "
                       "2^63");
    sqlite3_clear_bindings(stmt);
    rc = pf_sql_bind(stmt, has_ordinal ? "Diuisu" : "Diuis", hash, task, uses,
                     expires_ms, label, ordinal);
    return pf_sql_run(s, PF_SQL_TOKEN_ADD, rc, "add a token", err);
}
