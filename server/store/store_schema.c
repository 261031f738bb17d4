#include "store_int.h"

#include <errno.h>
#include <fcntl.h>
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

/* What a record of an asynchronous round says besides; rollbacks; how often a
 * device contributed.  An update is named by the round of its assignment, so
 * that is what it is unique by. */
static const char schema_2_rounds[] =
    "ALTER TABLE records ADD COLUMN assigned INTEGER;"
    "ALTER TABLE records ADD COLUMN staleness INTEGER;"
    "ALTER TABLE records ADD COLUMN divisor REAL;"
    "ALTER TABLE records ADD COLUMN source INTEGER;"
    "ALTER TABLE records ADD COLUMN class TEXT;"
    "UPDATE records SET assigned = round, staleness = 0, base = ("
    " SELECT r.base FROM rounds r"
    " WHERE r.task = records.task AND r.round = records.round) WHERE kind = 4;"
    /* A device that gave work back may get it again in an asynchronous round.
     */
    "DROP INDEX one_assignment;"
    "CREATE INDEX assignments ON records(task, round, device) WHERE kind = 2;"
    "DROP INDEX one_acknowledgement;"
    "CREATE UNIQUE INDEX one_acknowledgement ON"
    " records(task, assigned, device) WHERE kind = 4;"
    "ALTER TABLE rounds ADD COLUMN source INTEGER;"
    "ALTER TABLE devices ADD COLUMN updates INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE devices ADD COLUMN last_round INTEGER NOT NULL DEFAULT 0;"
    "UPDATE devices SET (updates, last_round) = ("
    " SELECT count(*), coalesce(max(round), 0) FROM records r"
    " WHERE r.task = devices.task AND r.device = devices.id AND r.kind = 4);";

/* What ended rounds are sealed with (store_proof.h), kept for ever.  A task's
 * records are numbered by seq from 0 on: they are its log.  A leaf's place is
 * its index in the round's tree. */
static const char schema_2_proofs[] =
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

/* What became of a device (enum pf_device_state), and when. */
static const char schema_2_devices[] =
    "ALTER TABLE devices RENAME COLUMN revoked TO state;"
    "ALTER TABLE devices ADD COLUMN state_ms INTEGER NOT NULL DEFAULT 0;";

#define MIGRATION_STEPS 4
/* migrations[v] leads from user_version v to v + 1; NULL ends the row. */
static const char *const migrations[PF_STORE_VERSION][MIGRATION_STEPS] = {
    {schema_1},
    {schema_2_rounds, schema_2_proofs, schema_2_devices},
};

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

/* The file with its final mode before SQLite sees it: -wal and -shm copy it. */
static enum pocketfed_status make_file(const char *path, struct pf_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot open %s", path);
    close(fd);
    return POCKETFED_OK;
}

/* The database as it was, beside it, for who must go back to the program that
 * wrote it. One that a crash left half-written is written anew. */
static enum pocketfed_status keep_copy(struct pf_store *s, const char *dir,
                                       int64_t version, struct pf_error *err)
{
    char path[PF_STORE_PATH_MAX + 32];
    enum pocketfed_status st;
    sqlite3_stmt *stmt = NULL;
    int rc;

    snprintf(path, sizeof path, "%s.version-%lld", s->path, (long long)version);
    if (unlink(path) != 0 && errno != ENOENT)
        return pf_fail_errno(err, errno, "cannot replace %s", path);
    st = make_file(path, err);
    if (st != POCKETFED_OK)
        return st;
    rc = sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = pf_sql_bind(stmt, "s", path);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    st =
        rc == SQLITE_DONE
            ? POCKETFED_OK
            : pf_sql_fail(s, rc, "copy the database before its migration", err);
    sqlite3_finalize(stmt);
    if (st == POCKETFED_OK)
        st = pf_file_sync(path, err);
    return st == POCKETFED_OK ? pf_dir_sync(dir, err) : st;
}

static int run_all(sqlite3 *db, const char *const *texts)
{
    int i, rc = SQLITE_OK;

    for (i = 0; i < MIGRATION_STEPS && texts[i] && rc == SQLITE_OK; i++)
        rc = sqlite3_exec(db, texts[i], NULL, NULL, NULL);
    return rc;
}

static enum pocketfed_status migrate(struct pf_store *s, const char *dir,
                                     int64_t version, struct pf_error *err)
{
    enum pocketfed_status st;
    char mark[96];
    int rc;

    if (version > 0 && version < PF_STORE_VERSION) {
        st = keep_copy(s, dir, version, err);
        if (st != POCKETFED_OK)
            return st;
        pf_log(s->log, PF_LOG_WARN,
               "state migrated from version %lld to %d; %s.version-%lld is as "
               "it was",
               (long long)version, PF_STORE_VERSION, s->path,
               (long long)version);
    }

    for (; version < PF_STORE_VERSION; version++) {
        snprintf(mark, sizeof mark,
                 "PRAGMA application_id=%d; PRAGMA user_version=%lld; COMMIT;",
                 PF_STORE_APPLICATION, (long long)version + 1);
        rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = run_all(s->db, migrations[version]);
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
    st = migrate(s, dir, version, err);
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
