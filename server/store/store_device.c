#include "store_int.h"

#include <string.h>

/* What becomes of devices after their enrolment, and how people see them. */

enum pocketfed_status pf_store_device_end(struct pf_store *s, int64_t task,
                                          const uint8_t id[PF_DEVICE_LEN],
                                          enum pf_device_state state,
                                          int64_t now_ms,
                                          enum pf_device_state *was,
                                          struct pf_error *err)
{
    sqlite3_stmt *find = s->stmt[PF_SQL_DEVICE_FIND];
    enum pocketfed_status st = POCKETFED_OK;
    int rc;

    rc = pf_sql_bind(find, "iI", task, id);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(find);
    if (rc == SQLITE_ROW)
        *was = (enum pf_device_state)sqlite3_column_int(find, 1);
    else if (rc == SQLITE_DONE)
        st = pf_fail(err, POCKETFED_NOT_FOUND, "there is no such device");
    else
        st = pf_sql_fail(s, rc, "look for a device", err);
    sqlite3_reset(find);
    /* Revoked is for good; one that has left can still be revoked. */
    if (st != POCKETFED_OK || *was == state || *was == PF_DEVICE_REVOKED)
        return st;
    rc = pf_sql_bind(s->stmt[PF_SQL_DEVICE_END], "iIni", task, id, (int)state,
                     now_ms);
    return pf_sql_run(s, PF_SQL_DEVICE_END, rc, "end a device", err);
}

static void read_status(sqlite3_stmt *q, struct pf_device_status *d)
{
    memset(d, 0, sizeof *d);
    pf_sql_bytes(q, 0, d->device, sizeof d->device);
    d->ordinal = (uint64_t)sqlite3_column_int64(q, 1);
    pf_sql_text(q, 2, d->label, sizeof d->label);
    d->state = sqlite3_column_int(q, 3);
    d->enrolled_ms = sqlite3_column_int64(q, 4);
    d->state_ms = sqlite3_column_int64(q, 5);
    d->rounds = (uint64_t)sqlite3_column_int64(q, 6);
    d->last_round = (uint64_t)sqlite3_column_int64(q, 7);
}

enum pocketfed_status pf_reader_device_status(struct pf_store_reader *r,
                                              int64_t task,
                                              const uint8_t id[PF_DEVICE_LEN],
                                              struct pf_device_status *out)
{
    sqlite3_stmt *q = r->stmt[PF_READ_DEVICE_STATUS];
    enum pocketfed_status st = POCKETFED_IO;
    int rc;

    rc = pf_sql_bind(q, "iI", task, id);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        read_status(q, out);
        st = POCKETFED_OK;
    } else if (rc == SQLITE_DONE) {
        st = POCKETFED_NOT_FOUND;
    }
    sqlite3_reset(q);
    return st;
}

enum pocketfed_status
pf_reader_devices(struct pf_store_reader *r, int64_t task, uint64_t first,
                  size_t max, const uint8_t *lowest, const uint8_t *highest,
                  void (*visit)(void *ctx, const struct pf_device_status *d),
                  void *ctx)
{
    sqlite3_stmt *q =
        r->stmt[lowest ? PF_READ_DEVICES_BY_ID : PF_READ_DEVICES_BY_ORDINAL];
    int64_t limit = max > 1u << 20 ? 1 << 20 : (int64_t)max;
    struct pf_device_status d;
    int rc;

    if (lowest)
        rc = pf_sql_bind(q, "iuiII", task, first, limit, lowest, highest);
    else
        rc = pf_sql_bind(q, "iui", task, first, limit);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(q)) {
        read_status(q, &d);
        visit(ctx, &d);
    }
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? POCKETFED_OK : POCKETFED_IO;
}
