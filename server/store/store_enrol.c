#include "store_int.h"

#include <string.h>

/* What the registry knows before an enrolment changes anything. */
struct known {
    int has_token, token_ordinal_given, has_device, same_token;
    enum pf_device_state state;
    uint64_t uses_left, token_ordinal, device_ordinal;
    int64_t expires_ms;
    char label[PF_LABEL_MAX + 1];
};

static enum pocketfed_status find_token(struct pf_store *s, int64_t task,
                                        const uint8_t hash[32], struct known *k,
                                        struct pf_error *err)
{
    sqlite3_stmt *stmt = s->stmt[PF_SQL_TOKEN_FIND];
    enum pocketfed_status st = POCKETFED_OK;
    int rc;

    rc = pf_sql_bind(stmt, "Di", hash, task);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        k->has_token = 1;
        k->uses_left = (uint64_t)sqlite3_column_int64(stmt, 0);
        k->expires_ms = sqlite3_column_int64(stmt, 1);
        k->token_ordinal_given = sqlite3_column_type(stmt, 2) != SQLITE_NULL;
        k->token_ordinal = (uint64_t)sqlite3_column_int64(stmt, 2);
    } else if (rc != SQLITE_DONE) {
        st = pf_sql_fail(s, rc, "look for a token", err);
    }
    sqlite3_reset(stmt);
    return st;
}

static enum pocketfed_status find_device(struct pf_store *s, int64_t task,
                                         const uint8_t hash[32],
                                         const uint8_t id[PF_DEVICE_LEN],
                                         struct known *k, struct pf_error *err)
{
    sqlite3_stmt *stmt = s->stmt[PF_SQL_DEVICE_FIND];
    enum pocketfed_status st = POCKETFED_OK;
    uint8_t token[32];
    int rc;

    rc = pf_sql_bind(stmt, "iI", task, id);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        k->has_device = 1;
        k->device_ordinal = (uint64_t)sqlite3_column_int64(stmt, 0);
        k->state = (enum pf_device_state)sqlite3_column_int(stmt, 1);
        pf_sql_bytes(stmt, 2, token, sizeof token);
        k->same_token = memcmp(token, hash, sizeof token) == 0;
        pf_sql_text(stmt, 3, k->label, sizeof k->label);
    } else if (rc != SQLITE_DONE) {
        st = pf_sql_fail(s, rc, "look for a device", err);
    }
    sqlite3_reset(stmt);
    return st;
}

/* The one number of a bound query; *found = 0 when it gives no row. */
static enum pocketfed_status one(struct pf_store *s, enum pf_sql which,
                                 int bound, uint64_t *out, int *found,
                                 struct pf_error *err)
{
    sqlite3_stmt *stmt = s->stmt[which];
    enum pocketfed_status st = POCKETFED_OK;
    int rc = bound;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    *found = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(stmt, 0);
    else if (rc != SQLITE_DONE)
        st = pf_sql_fail(s, rc, "look for an ordinal", err);
    sqlite3_reset(stmt);
    return st;
}

/* The device's own when it comes back and the token names no other; the token's
 * if nobody has it; else the smallest free one. */
static enum pocketfed_status
choose_ordinal(struct pf_store *s, int64_t task, const struct known *k,
               uint64_t *out, struct pf_problem *why, struct pf_error *err)
{
    enum pocketfed_status st;
    uint64_t any;
    int found, rc;

    if (k->has_device &&
        (!k->token_ordinal_given || k->token_ordinal == k->device_ordinal)) {
        *out = k->device_ordinal;
        return POCKETFED_OK;
    }
    if (k->token_ordinal_given) {
        rc = pf_sql_bind(s->stmt[PF_SQL_ORDINAL_USED], "iu", task,
                         k->token_ordinal);
        st = one(s, PF_SQL_ORDINAL_USED, rc, &any, &found, err);
        if (st != POCKETFED_OK)
            return st;
        if (found) {
            pf_problem_set(why, PF_PROBLEM_ORDINAL_TAKEN,
                           "another device has the token's ordinal %llu",
                           (unsigned long long)k->token_ordinal);
            return POCKETFED_REFUSED;
        }
        *out = k->token_ordinal;
        return POCKETFED_OK;
    }
    rc = pf_sql_bind(s->stmt[PF_SQL_ORDINAL_FREE], "i", task);
    st = one(s, PF_SQL_ORDINAL_FREE, rc, out, &found, err);
    if (st != POCKETFED_OK)
        return st;
    if (!found)
        return pf_fail(err, POCKETFED_INTERNAL, "no free ordinal in task %lld",
                       (long long)task);
    rc = pf_sql_bind(s->stmt[PF_SQL_ORDINAL_MARK], "iu", task, *out + 1);
    return pf_sql_run(s, PF_SQL_ORDINAL_MARK, rc, "mark an ordinal", err);
}

/* May this key be (or stay) a device by this token? */
static enum pocketfed_status decide(const struct known *k, int64_t now_ms,
                                    struct pf_problem *why)
{
    if (!k->has_token)
        pf_problem_set(why, PF_PROBLEM_TOKEN_UNKNOWN,
                       "this task has no such join token");
    else if (k->has_device && k->state == PF_DEVICE_REVOKED)
        pf_problem_set(why, PF_PROBLEM_DEVICE_REVOKED,
                       "the operator has revoked this device");
    else if (k->has_device && k->same_token && k->state == PF_DEVICE_LEFT)
        pf_problem_set(why, PF_PROBLEM_TOKEN_USED,
                       "this device has left; it comes back by a new token");
    else if (k->has_device && k->same_token)
        return POCKETFED_OK; /* it has spent its use: valid for ever */
    else if (now_ms >= k->expires_ms)
        pf_problem_set(why, PF_PROBLEM_TOKEN_EXPIRED,
                       "the join token expired %lld s ago",
                       (long long)(now_ms - k->expires_ms) / 1000);
    else if (k->uses_left == 0)
        pf_problem_set(why, PF_PROBLEM_TOKEN_USED,
                       "the join token was used by another device");
    else
        return POCKETFED_OK;
    return POCKETFED_REFUSED;
}

/* Its row, new or as it comes back. */
static enum pocketfed_status
write_device(struct pf_store *s, int64_t task, const uint8_t token_hash[32],
             int64_t now_ms, const struct pf_device *d, uint64_t ordinal,
             int back, struct pf_error *err)
{
    enum pf_sql which = back ? PF_SQL_DEVICE_AGAIN : PF_SQL_DEVICE_ADD;
    int rc;

    if (back)
        rc = pf_sql_bind(s->stmt[which], "iIusDi", task, d->id, ordinal,
                         d->label, token_hash, now_ms);
    else
        rc = pf_sql_bind(s->stmt[which], "iIusbsDi", task, d->id, ordinal,
                         pf_key_alg_name(d->alg), (const void *)d->key,
                         d->key_len, d->label, token_hash, now_ms);
    return pf_sql_run(s, which, rc, "add a device", err);
}

enum pocketfed_status pf_store_enrol(struct pf_store *s, int64_t task,
                                     const uint8_t token_hash[32],
                                     int64_t now_ms, struct pf_device *d,
                                     int *again, struct pf_problem *why,
                                     struct pf_error *err)
{
    enum pocketfed_status st;
    struct known k = {0};
    uint64_t ordinal = 0;
    int rc;

    st = find_token(s, task, token_hash, &k, err);
    if (st == POCKETFED_OK)
        st = find_device(s, task, token_hash, d->id, &k, err);
    if (st == POCKETFED_OK)
        st = decide(&k, now_ms, why);
    if (st != POCKETFED_OK)
        return st;
    d->state = PF_DEVICE_ACTIVE;
    if (k.has_device && k.state == PF_DEVICE_ACTIVE) {
        d->ordinal = k.device_ordinal;
        memcpy(d->label, k.label, sizeof d->label);
        *again = 1;
        return POCKETFED_OK;
    }
    st = choose_ordinal(s, task, &k, &ordinal, why, err);
    if (st == POCKETFED_OK)
        st = write_device(s, task, token_hash, now_ms, d, ordinal, k.has_device,
                          err);
    if (st != POCKETFED_OK)
        return st;
    rc = pf_sql_bind(s->stmt[PF_SQL_TOKEN_SPEND], "D", token_hash);
    st = pf_sql_run(s, PF_SQL_TOKEN_SPEND, rc, "spend a token", err);
    if (st != POCKETFED_OK)
        return st;
    d->ordinal = ordinal;
    *again = 0;
    return POCKETFED_OK;
}
