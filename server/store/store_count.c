#include "store_int.h"

/* What the limits of a task count. */

/* The one number of a bound statement, which is reset; 0 when there is none. */
static uint64_t number(sqlite3_stmt *q, int bound)
{
    uint64_t n = 0;

    if (bound == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return n;
}

uint64_t pf_reader_n_tokens(struct pf_store_reader *r, int64_t task,
                            int64_t now_ms)
{
    sqlite3_stmt *q = r->stmt[PF_READ_TOKENS];

    return number(q, pf_sql_bind(q, "ii", task, now_ms));
}

uint64_t pf_reader_n_enrolled(struct pf_store_reader *r, int64_t task)
{
    sqlite3_stmt *q = r->stmt[PF_READ_ENROLLED];

    return number(q, pf_sql_bind(q, "i", task));
}
