#include "store_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

/* The truth is `records`: one row per decision of a round engine, in order.
 * `rounds` is what people ask about a round, kept up in the same transaction.
 * The partial indexes are the exactly-once promise in the database's own
 * words: one assignment and one acknowledgement per (task, round, device), one
 * owner per extent.  kind is enum pf_record_kind. */
static const char schema_1[] =
    "CREATE TABLE tasks("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, file BLOB NOT NULL,"
    " plan BLOB NOT NULL, plan_signature BLOB NOT NULL,"
    " initial_model BLOB NOT NULL, created_ms INTEGER NOT NULL,"
    " ordinal_mark INTEGER NOT NULL DEFAULT 0) STRICT;" /* all below: taken */
    "CREATE TABLE tokens("
    " hash BLOB NOT NULL PRIMARY KEY,"
    " task INTEGER NOT NULL REFERENCES tasks,"
    " uses_left INTEGER NOT NULL CHECK(uses_left >= 0), ordinal INTEGER,"
    " expires_ms INTEGER NOT NULL, label TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE devices("
    " task INTEGER NOT NULL REFERENCES tasks, id BLOB NOT NULL,"
    " ordinal INTEGER NOT NULL, alg TEXT NOT NULL, key BLOB NOT NULL,"
    " label TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0,"
    " token BLOB NOT NULL REFERENCES tokens, created_ms INTEGER NOT NULL,"
    " PRIMARY KEY(task, id), UNIQUE(task, ordinal)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE records("
    " seq INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES tasks,"
    " round INTEGER NOT NULL, kind INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " device BLOB, ordinal INTEGER, base BLOB, digest BLOB, offset INTEGER,"
    " length INTEGER, examples INTEGER, accepted INTEGER, weight INTEGER,"
    " saturated INTEGER, norm REAL, train_loss REAL, model BLOB, state BLOB,"
    " test_loss REAL, test_accuracy REAL, code INTEGER, reason TEXT) STRICT;"
    "CREATE INDEX records_of_task ON records(task);"
    "CREATE UNIQUE INDEX one_assignment ON records(task, round, device)"
    " WHERE kind = 2;"
    "CREATE UNIQUE INDEX one_acknowledgement ON records(task, round, device)"
    " WHERE kind = 4;"
    "CREATE UNIQUE INDEX one_owner ON records(task, round, offset)"
    " WHERE kind = 4;"
    "CREATE TABLE rounds("
    " task INTEGER NOT NULL REFERENCES tasks, round INTEGER NOT NULL,"
    " phase TEXT NOT NULL, base BLOB NOT NULL, opened_ms INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL, ended_ms INTEGER, model BLOB, state BLOB,"
    " assigned INTEGER NOT NULL DEFAULT 0,"
    " accepted INTEGER NOT NULL DEFAULT 0,"
    " failed INTEGER NOT NULL DEFAULT 0, weight INTEGER NOT NULL DEFAULT 0,"
    " saturated INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0,"
    " refused INTEGER NOT NULL DEFAULT 0, bytes_up INTEGER NOT NULL DEFAULT 0,"
    " bytes_down INTEGER NOT NULL DEFAULT 0, train_loss REAL, test_loss REAL,"
    " test_accuracy REAL, reason TEXT,"
    " PRIMARY KEY(task, round)) STRICT, WITHOUT ROWID;"
    /* one row: how far the daemon's clock had come, records apart */
    "CREATE TABLE clock("
    " id INTEGER PRIMARY KEY CHECK(id = 1), ms INTEGER NOT NULL) STRICT;";

/* What ended rounds are sealed with (store_proof.h), kept for ever.  A task's
 * round_records, by seq from 0 on without a gap, are its log.  The key of
 * leaves is the order of a round's tree: by pseudonym, then digest; place is
 * the number in that order.  rotations are found by the fingerprint of the key
 * that was replaced. */
static const char schema_2[] =
    "CREATE TABLE round_records("
    " task INTEGER NOT NULL REFERENCES tasks, seq INTEGER NOT NULL,"
    " round INTEGER NOT NULL, body BLOB NOT NULL, signature BLOB NOT NULL,"
    " sums BLOB,"
    " PRIMARY KEY(task, seq), UNIQUE(task, round)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE leaves("
    " task INTEGER NOT NULL REFERENCES tasks, round INTEGER NOT NULL,"
    " pseudonym BLOB NOT NULL, digest BLOB NOT NULL, place INTEGER NOT NULL,"
    " weight INTEGER NOT NULL, staleness INTEGER NOT NULL,"
    " status INTEGER NOT NULL,"
    " PRIMARY KEY(task, round, pseudonym, digest)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE rotations("
    " old BLOB NOT NULL PRIMARY KEY, body BLOB NOT NULL,"
    " signature BLOB NOT NULL) STRICT, WITHOUT ROWID;";

/* migrations[v] leads from user_version v to v + 1. */
static const char *const migrations[PF_STORE_VERSION] = {schema_1, schema_2};

int pf_sql_connect(sqlite3 *db)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, 5000);
    return sqlite3_exec(db,
                        "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                        "PRAGMA trusted_schema=OFF;"
                        "PRAGMA wal_autocheckpoint=0;",
                        NULL, NULL, NULL);
}

int pf_sql_prepare(sqlite3 *db, const char *const *texts, size_t n,
                   sqlite3_stmt **stmts)
{
    size_t i;
    int rc;

    for (i = 0; i < n; i++) {
        rc = sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &stmts[i], NULL);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

void pf_sql_finalize(sqlite3_stmt **stmts, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        sqlite3_finalize(stmts[i]);
        stmts[i] = NULL;
    }
}

static int bind_bytes(sqlite3_stmt *stmt, int at, const void *p, size_t n)
{
    if (!p)
        return sqlite3_bind_null(stmt, at);
    return sqlite3_bind_blob64(stmt, at, p, n, SQLITE_STATIC);
}

int pf_sql_bind(sqlite3_stmt *stmt, const char *types, ...)
{
    int at, rc = SQLITE_OK;
    const void *p;
    va_list ap;

    va_start(ap, types);
    for (at = 1; *types && rc == SQLITE_OK; types++, at++) {
        switch (*types) {
        case 'i':
            rc = sqlite3_bind_int64(stmt, at, va_arg(ap, int64_t));
            break;
        case 'u': /* the same 64 bits; read back by the same cast */
            rc = sqlite3_bind_int64(stmt, at, (int64_t)va_arg(ap, uint64_t));
            break;
        case 'n':
            rc = sqlite3_bind_int(stmt, at, va_arg(ap, int));
            break;
        case 'd':
            rc = sqlite3_bind_double(stmt, at, va_arg(ap, double));
            break;
        case 's':
            rc = sqlite3_bind_text(stmt, at, va_arg(ap, const char *), -1,
                                   SQLITE_STATIC);
            break;
        case 'D':
            rc = bind_bytes(stmt, at, va_arg(ap, const uint8_t *), 32);
            break;
        case 'I':
            rc = bind_bytes(stmt, at, va_arg(ap, const uint8_t *),
                            PF_DEVICE_LEN);
            break;
        case 'b':
            p = va_arg(ap, const void *);
            rc = bind_bytes(stmt, at, p, va_arg(ap, size_t));
            break;
        case '-':
            rc = sqlite3_bind_null(stmt, at);
            break;
        default:
            rc = SQLITE_MISUSE;
        }
    }
    va_end(ap);
    return rc;
}

enum pocketfed_status pf_sql_fail(const struct pf_store *s, int rc,
                                  const char *what, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_IO;

    if ((rc & 0xff) == SQLITE_NOMEM)
        st = POCKETFED_NO_MEMORY;
    else if ((rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT)
        st = POCKETFED_PROOF;
    else if ((rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISUSE)
        st = POCKETFED_INTERNAL;
    pf_fail(err, st, "cannot %s in %s: %s", what, s->path,
            s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
    if ((rc & 0xff) == SQLITE_FULL)
        pf_hint(err, "free some space there, then start again: nothing that "
                     "was acknowledged is lost");
    return st;
}

enum pocketfed_status pf_sql_run(struct pf_store *s, enum pf_sql which,
                                 int bound, const char *what,
                                 struct pf_error *err)
{
    sqlite3_stmt *stmt = s->stmt[which];
    enum pocketfed_status st = POCKETFED_OK;
    int rc = bound;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, what, err);
    sqlite3_reset(stmt);
    return st;
}

void pf_sql_bytes(sqlite3_stmt *stmt, int column, uint8_t *out, size_t n)
{
    const void *p = sqlite3_column_blob(stmt, column);

    if (p && (size_t)sqlite3_column_bytes(stmt, column) == n)
        memcpy(out, p, n);
    else
        memset(out, 0, n);
}

void pf_sql_text(sqlite3_stmt *stmt, int column, char *out, size_t cap)
{
    const unsigned char *p = sqlite3_column_text(stmt, column);

    snprintf(out, cap, "%s", p ? (const char *)p : "");
}

double pf_sql_real(sqlite3_stmt *stmt, int column, double absent)
{
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return absent;
    return sqlite3_column_double(stmt, column);
}

/* The one number that a PRAGMA or SELECT gives. */
static enum pocketfed_status number(struct pf_store *s, const char *sql,
                                    int64_t *out, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    sqlite3_stmt *stmt = NULL;
    int rc;

    rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    else
        st = pf_sql_fail(s, rc, "read the version", err);
    sqlite3_finalize(stmt);
    return st;
}

/* Whose database is it, and of which version? An empty one is ours. */
static enum pocketfed_status identify(struct pf_store *s, int64_t *version,
                                      struct pf_error *err)
{
    int64_t application = 0, tables = 0;
    enum pocketfed_status st;

    st = number(s, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (st == POCKETFED_OK)
        st = number(s, "PRAGMA application_id", &application, err);
    if (st == POCKETFED_OK)
        st = number(s, "PRAGMA user_version", version, err);
    if (st != POCKETFED_OK) {
        if (st == POCKETFED_PROOF)
            pf_hint(err, "give pocketfedd a state directory of its own");
        return st;
    }
    if (application != PF_STORE_APPLICATION && (application || tables)) {
        st = pf_fail(err, POCKETFED_PROOF,
                     "%s is a database of another program "
                     "(application_id 0x%llx)",
                     s->path, (unsigned long long)application);
        pf_hint(err, "give pocketfedd a state directory of its own");
        return st;
    }
    if (*version < 0 || *version > PF_STORE_VERSION) {
        st = pf_fail(err, POCKETFED_UNSUPPORTED,
                     "%s has state version %lld; this pocketfedd knows "
                     "versions up to %d",
                     s->path, (long long)*version, PF_STORE_VERSION);
        pf_hint(err, "start the newer pocketfedd that wrote it");
    }
    return st;
}

static enum pocketfed_status migrate(struct pf_store *s, int64_t version,
                                     struct pf_error *err)
{
    char mark[96];
    int rc;

    for (; version < PF_STORE_VERSION; version++) {
        snprintf(mark, sizeof mark,
                 "PRAGMA application_id=%d; PRAGMA user_version=%lld; COMMIT;",
                 PF_STORE_APPLICATION, (long long)version + 1);
        rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(s->db, migrations[version], NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(s->db, mark, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return pf_sql_fail(s, rc, "make the tables", err);
    }
    return POCKETFED_OK;
}

/* SQLite answers with the mode it uses, which need not be the wanted one. */
static enum pocketfed_status use_wal(struct pf_store *s, const char *dir,
                                     struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    sqlite3_stmt *stmt = NULL;
    char mode[16];
    int rc;

    rc = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) {
        st = pf_sql_fail(s, rc, "set up the write-ahead log", err);
        goto out;
    }
    pf_sql_text(stmt, 0, mode, sizeof mode);
    if (strcmp(mode, "wal") != 0) {
        st = pf_fail(err, POCKETFED_UNSUPPORTED,
                     "the file system of %s does not support a write-ahead "
                     "log: SQLite stays in journal mode \"%s\"",
                     dir, mode);
        pf_hint(err, "put the state directory on a local file system");
    }
out:
    sqlite3_finalize(stmt);
    return st;
}

static int note_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct pf_store *s = ctx;

    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

/* The file with its final mode before SQLite sees it: -wal and -shm copy it. */
static enum pocketfed_status make_file(const char *path, struct pf_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot open %s", path);
    close(fd);
    return POCKETFED_OK;
}

enum pocketfed_status pf_store_open(const char *dir, const struct pf_log *log,
                                    struct pf_store **out, struct pf_error *err)
{
    enum pocketfed_status st;
    int64_t version = 0;
    struct pf_store *s;
    int rc;

    s = calloc(1, sizeof *s);
    if (!s)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for the store");
    s->log = log;
    st = pf_path_join(dir, "pocketfed.db", s->path, sizeof s->path, err);
    if (st == POCKETFED_OK)
        st = make_file(s->path, err);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(dir, err);
    if (st != POCKETFED_OK)
        goto out;
    rc = sqlite3_open_v2(s->path, &s->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        st = pf_sql_fail(s, rc, "open the database", err);
        goto out;
    }
    sqlite3_extended_result_codes(s->db, 1);
    st = identify(s, &version, err);
    if (st != POCKETFED_OK)
        goto out;
    rc = pf_sql_connect(s->db);
    if (rc != SQLITE_OK) {
        st = pf_sql_fail(s, rc, "set up the connection", err);
        goto out;
    }
    st = use_wal(s, dir, err);
    if (st != POCKETFED_OK)
        goto out;
    sqlite3_wal_hook(s->db, note_wal, s);
    st = migrate(s, version, err);
    if (st != POCKETFED_OK)
        goto out;
    rc = pf_sql_prepare(s->db, pf_sql_texts, PF_SQL_COUNT, s->stmt);
    if (rc != SQLITE_OK) {
        st = pf_sql_fail(s, rc, "prepare the statements", err);
        goto out;
    }
    s->wal_pages = 1; /* what a crash left is checkpointed when idle */
    *out = s;
    s = NULL;
out:
    pf_store_close(s);
    return st;
}

void pf_store_close(struct pf_store *s)
{
    int rc, ours;

    if (!s)
        return;
    ours = s->stmt[0] != NULL; /* another program's database stays untouched */
    pf_sql_finalize(s->stmt, PF_SQL_COUNT);
    if (ours) {
        rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                       NULL, NULL);
        if (rc != SQLITE_OK && rc != SQLITE_BUSY)
            pf_log(s->log, PF_LOG_WARN, "store checkpoint failed error=\"%s\"",
                   sqlite3_errmsg(s->db));
    }
    sqlite3_close(s->db);
    free(s);
}

#define WAL_LARGE 4096 /* pages of 4 KiB */

enum pocketfed_status pf_store_tidy(struct pf_store *s, int idle,
                                    struct pf_error *err)
{
    int rc;

    if (s->wal_pages < (idle ? 1 : WAL_LARGE))
        return POCKETFED_OK;
    rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                   NULL);
    s->wal_pages = 0;
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        return pf_sql_fail(s, rc, "checkpoint the log", err);
    return POCKETFED_OK;
}
