#include "store_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Connections and prepared statements: what every other file of the store runs
 * its SQL with. */

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
