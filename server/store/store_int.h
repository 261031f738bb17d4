/* store_int.h - what the three files of the store share: the connections,
 * their prepared statements, and the only ways to bind, run and read them.
 */
#ifndef PF_STORE_INT_H
#define PF_STORE_INT_H

#include <sqlite3.h>
#include "store.h"

#define PF_STORE_APPLICATION 0x70666431 /* "pfd1" */
#define PF_STORE_VERSION     2
#define PF_STORE_PATH_MAX    4096

/* Every statement of the writing connection; texts in store_write.c. */
enum pf_sql {
    PF_SQL_BEGIN,
    PF_SQL_COMMIT,
    PF_SQL_RECORD,
    PF_SQL_OPENED,
    PF_SQL_ASSIGNED,
    PF_SQL_COLLECTING,
    PF_SQL_ACCEPTED,
    PF_SQL_DEVICE_UPDATED,
    PF_SQL_FAILED,
    PF_SQL_CLOSED,
    PF_SQL_PUBLISHED,
    PF_SQL_ABANDONED,
    PF_SQL_EVALUATED,
    PF_SQL_TASK_FIND,
    PF_SQL_TASK_ADD,
    PF_SQL_TOKEN_ADD,
    PF_SQL_TOKEN_FIND,
    PF_SQL_TOKEN_SPEND,
    PF_SQL_DEVICE_FIND,
    PF_SQL_DEVICE_ADD,
    PF_SQL_ORDINAL_USED,
    PF_SQL_ORDINAL_FREE,
    PF_SQL_ORDINAL_MARK,
    PF_SQL_TASKS,
    PF_SQL_RECORDS,
    PF_SQL_CLOCK,
    PF_SQL_CLOCK_SET,
    PF_SQL_NEEDED,
    PF_SQL_EXPIRED,
    PF_SQL_N_DEVICES,
    PF_SQL_PUBLISHED_BY,
    PF_SQL_SEAL_RECORD,
    PF_SQL_SEAL_LEAF,
    PF_SQL_LOG_END,
    PF_SQL_COUNTED,
    PF_SQL_PLAN_SIGN,
    PF_SQL_ROTATE,
    PF_SQL_DEVICE_END,
    PF_SQL_DEVICE_AGAIN,
    PF_SQL_COUNT,
};
extern const char *const pf_sql_texts[PF_SQL_COUNT];

enum pf_read_sql {
    PF_READ_DEVICE,
    PF_READ_DEVICES,
    PF_READ_TOKENS,
    PF_READ_ENROLLED,
    PF_READ_ACK,
    PF_READ_ROUNDS,
    PF_READ_CLASSES,
    PF_READ_SEALED,
    PF_READ_LEAF,
    PF_READ_LEAVES,
    PF_READ_LOG,
    PF_READ_ROTATION,
    PF_READ_ROTATIONS,
    PF_READ_DEVICE_STATUS,
    PF_READ_DEVICES_BY_ORDINAL,
    PF_READ_DEVICES_BY_ID,
    PF_READ_COUNT,
};
extern const char *const pf_read_texts[PF_READ_COUNT];

struct pf_store {
    sqlite3 *db;
    sqlite3_stmt *stmt[PF_SQL_COUNT];
    const struct pf_log *log;
    int wal_pages; /* in the write-ahead log after the last commit */
    char path[PF_STORE_PATH_MAX];
};

struct pf_store_reader {
    sqlite3 *db;
    sqlite3_stmt *stmt[PF_READ_COUNT];
};

/* What every connection needs before its first statement. */
int pf_sql_connect(sqlite3 *db);
/* Prepares all of texts[0..n) for a connection; SQLITE_OK or its error. */
int pf_sql_prepare(sqlite3 *db, const char *const *texts, size_t n,
                   sqlite3_stmt **stmts);
void pf_sql_finalize(sqlite3_stmt **stmts, size_t n);

/* Binds parameters 1.. by letters: i int64_t, u uint64_t, n int, d double,
 * s text, D 32 bytes, I a device id, b pointer and size_t, - NULL.  A NULL
 * pointer is a NULL value.  The memory must live until the statement is reset.
 * Returns the first failure or SQLITE_OK. */
int pf_sql_bind(sqlite3_stmt *stmt, const char *types, ...);
/* The failure of a connection as a status and a sentence. */
enum pocketfed_status pf_sql_fail(const struct pf_store *s, int rc,
                                  const char *what, struct pf_error *err);
/* Steps a bound statement that gives no rows, and resets it. `bound` is what
 * pf_sql_bind returned. */
enum pocketfed_status pf_sql_run(struct pf_store *s, enum pf_sql which,
                                 int bound, const char *what,
                                 struct pf_error *err);
/* A column into exactly n bytes: zeros when it is NULL or of another size. */
void pf_sql_bytes(sqlite3_stmt *stmt, int column, uint8_t *out, size_t n);
/* A column into a string of at most cap - 1 bytes. */
void pf_sql_text(sqlite3_stmt *stmt, int column, char *out, size_t cap);
/* A REAL column; `absent` when NULL (SQLite keeps no NaN). */
double pf_sql_real(sqlite3_stmt *stmt, int column, double absent);

#endif
