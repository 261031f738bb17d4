#include "exchange.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "pace.h"
#include "statement.h"
#include "text.h"

#define MAX_REPLY (8u << 20) /* the longest list an admin may ask for */

void pf_reply_clear(struct pf_exchange *ex)
{
    struct pf_reply *r = &ex->reply;

    pf_object_release(r->object);
    pf_buf_free(&r->body);
    memset(r, 0, sizeof *r);
    pf_buf_init(&r->body, MAX_REPLY);
}

void pf_reply_header(struct pf_exchange *ex, const char *name, const char *fmt,
                     ...)
{
    struct pf_reply *r = &ex->reply;
    va_list args;

    if (r->n_headers == PF_REPLY_HEADERS)
        return;
    r->header[r->n_headers].name = name;
    va_start(args, fmt);
    vsnprintf(r->header[r->n_headers].value, sizeof r->header[0].value, fmt,
              args);
    va_end(args);
    r->n_headers++;
}

enum pf_next pf_reply_body(struct pf_exchange *ex, int status, const char *type)
{
    struct pf_error err = {0};

    if (pf_buf_status(&ex->reply.body) != POCKETFED_OK) {
        pf_fail(&err, pf_buf_status(&ex->reply.body), "the answer is too long");
        return pf_reply_internal(ex, &err);
    }
    ex->reply.status = status;
    ex->reply.type = type;
    return PF_NEXT_REPLY;
}

enum pf_next pf_reply_text(struct pf_exchange *ex, int status, const char *type,
                           const char *text)
{
    pf_reply_clear(ex);
    pf_buf_adds(&ex->reply.body, text);
    return pf_reply_body(ex, status, type);
}

enum pf_next pf_reply_empty(struct pf_exchange *ex, int status)
{
    pf_reply_clear(ex);
    ex->reply.status = status;
    return PF_NEXT_REPLY;
}

/* Signs the reply's body under the record key. */
static enum pocketfed_status state(struct pf_exchange *ex, const char *label)
{
    const struct pf_buf *body = &ex->reply.body;
    uint8_t sig[PF_SIGNATURE_LEN];
    enum pocketfed_status st;
    char field[96];

    st = pf_statement_sign(ex->edge->record_key, label, body->data, body->len,
                           sig);
    if (st != POCKETFED_OK)
        return st;
    pf_statement_field(sig, field);
    pf_reply_header(ex, PF_HEADER_STATEMENT, "%s", field);
    return POCKETFED_OK;
}

/* When one who is refused may come again: `least` or up to twice that for a
 * few, spread like the waits of check-ins when all are refused (503). Drawn
 * here, because Retry-After is one number. */
static int64_t come_again(struct pf_exchange *ex, int status, int64_t least)
{
    struct pf_pace pace = {0};
    int64_t min_ms, max_ms;
    uint32_t draw[2] = {0, 0};

    pf_coordinator_pace(ex->edge->coordinator, ex->task, &pace);
    if (status != 503)
        pace.population = 0; /* this one alone */
    pace.least_ms = least;
    pace.most_ms = 2 * least;
    (void)pf_random(draw, sizeof draw); /* at worst they come together */
    pace.draw = draw[0] * 0x1p-32;
    pf_pace(&pace, &min_ms, &max_ms);
    return min_ms + (int64_t)((double)(max_ms - min_ms) * draw[1] * 0x1p-32);
}

enum pf_next pf_reply_problem(struct pf_exchange *ex,
                              const struct pf_problem *p)
{
    struct pf_problem said = *p;
    int status;

    if (said.id == PF_PROBLEM_NONE)
        said.id = PF_PROBLEM_INTERNAL;
    pf_limits_refused(ex, said.id);
    status = pf_problem_rows[said.id].status;
    if ((status == 503 || status == 429) && said.retry_after_ms <= 0)
        said.retry_after_ms = 2000;
    if (said.retry_after_ms > 0)
        said.retry_after_ms = come_again(ex, status, said.retry_after_ms);

    pf_reply_clear(ex);
    ex->reply.status = status;
    ex->reply.problem = said.id;
    ex->reply.type = PF_TYPE_PROBLEM;
    if (pf_problem_encode(&said, &ex->reply.body) != POCKETFED_OK) {
        /* No memory even for a sentence: the status alone. */
        pf_buf_clear(&ex->reply.body);
        ex->reply.type = NULL;
        return PF_NEXT_REPLY;
    }
    if (said.retry_after_ms > 0)
        pf_reply_header(ex, "Retry-After", "%" PRId64,
                        (said.retry_after_ms + 999) / 1000);
    if (said.server_time_ms != 0)
        (void)state(ex, PF_SAY_TIME); /* unsigned, the client ignores it */
    pf_reply_header(ex, "Cache-Control", "no-store");
    return PF_NEXT_REPLY;
}

enum pf_next pf_reply_refuse(struct pf_exchange *ex, enum pf_problem_id id,
                             const char *fmt, ...)
{
    struct pf_problem p = {0};
    char detail[sizeof p.detail];
    va_list args;

    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    pf_problem_set(&p, id, "%s", detail);
    return pf_reply_problem(ex, &p);
}

enum pf_next pf_reply_internal(struct pf_exchange *ex,
                               const struct pf_error *err)
{
    if (err->status == POCKETFED_BUSY)
        return pf_reply_refuse(ex, PF_PROBLEM_BUSY, "%s", err->text);
    pf_log(ex->edge->log, PF_LOG_ERROR,
           "request failed method=%s path=%s status=%s detail=\"%s\"",
           ex->method, ex->call ? ex->call->path : "-",
           pocketfed_status_name(err->status), err->text);
    return pf_reply_refuse(ex, PF_PROBLEM_INTERNAL,
                           "the details are in the server's log");
}

enum pf_next pf_reply_json(struct pf_exchange *ex, int status,
                           const struct pf_json_field *fields, const void *msg,
                           const char *label)
{
    struct pf_error err = {0};
    enum pocketfed_status st;

    pf_reply_clear(ex);
    st = pf_json_encode(fields, msg, &ex->reply.body);
    if (st == POCKETFED_OK && label)
        st = state(ex, label);
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "the answer cannot be written");
        return pf_reply_internal(ex, &err);
    }
    pf_reply_header(ex, "Cache-Control", "no-store");
    return pf_reply_body(ex, status, PF_TYPE_JSON);
}

/* 1 when the field (If-None-Match) lists the entity tag, or is "*". */
static int lists_etag(const char *field, const char *etag)
{
    const char *p = field;

    while (*p == ' ' || *p == '\t')
        p++;
    if (*p == '*')
        return 1;
    /* The tag is 64 digits in quotes: it cannot be part of another tag, and
     * a weak "W/" prefix compares equal for If-None-Match. */
    return strstr(field, etag) != NULL;
}

enum range { RANGE_WHOLE, RANGE_PART, RANGE_OUTSIDE };

/* One byte range of RFC 9110, 14.1.2. What is not understood, and more than
 * one range, is the whole: that is always a right answer. */
static enum range parse_range(const char *field, size_t total, size_t *first,
                              size_t *n)
{
    const char *dash, *p = field + 6, *end;
    uint64_t a, b;

    if (strncmp(field, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    end = p + strlen(p);
    dash = strchr(p, '-');
    if (!dash)
        return RANGE_WHOLE;
    if (dash == p) { /* the last b bytes */
        if (!pf_parse_u64(dash + 1, (size_t)(end - dash - 1), 0, UINT64_MAX,
                          &b))
            return RANGE_WHOLE;
        if (b == 0 || total == 0)
            return RANGE_OUTSIDE;
        *n = b > total ? total : (size_t)b;
        *first = total - *n;
        return RANGE_PART;
    }
    b = UINT64_MAX;
    if (!pf_parse_u64(p, (size_t)(dash - p), 0, UINT64_MAX, &a))
        return RANGE_WHOLE;
    if (dash + 1 != end &&
        !pf_parse_u64(dash + 1, (size_t)(end - dash - 1), 0, UINT64_MAX, &b))
        return RANGE_WHOLE;
    if (b < a)
        return RANGE_WHOLE;
    if (a >= total)
        return RANGE_OUTSIDE;
    if (b >= total)
        b = total - 1;
    *first = (size_t)a;
    *n = (size_t)(b - a) + 1;
    return RANGE_PART;
}

enum pf_next pf_reply_object(struct pf_exchange *ex, struct pf_object *obj,
                             const char *type)
{
    const char *none_match = ex->header(ex, "If-None-Match");
    const char *range = ex->header(ex, "Range");
    const char *if_range = ex->header(ex, "If-Range");
    enum range kind = RANGE_WHOLE;
    size_t first = 0, n = obj->len;
    struct pf_problem why = {0};
    char etag[2 * 32 + 3];

    etag[0] = '"';
    pf_hex(obj->digest, 32, etag + 1);
    etag[65] = '"';
    etag[66] = '\0';

    pf_reply_clear(ex);
    if (none_match && lists_etag(none_match, etag)) {
        pf_object_release(obj);
        ex->reply.status = 304;
    } else {
        if (range && (!if_range || strcmp(if_range, etag) == 0))
            kind = parse_range(range, obj->len, &first, &n);
        if (kind == RANGE_OUTSIDE) {
            pf_problem_set(&why, PF_PROBLEM_RANGE, "there are %zu bytes",
                           obj->len);
            pf_reply_problem(ex, &why);
            pf_reply_header(ex, "Content-Range", "bytes */%zu", obj->len);
            pf_object_release(obj);
            return PF_NEXT_REPLY;
        }
        ex->reply.status = kind == RANGE_PART ? 206 : 200;
        if (kind == RANGE_PART)
            pf_reply_header(ex, "Content-Range", "bytes %zu-%zu/%zu", first,
                            first + n - 1, obj->len);
        ex->reply.object = obj;
        ex->reply.offset = first;
        ex->reply.len = n;
        ex->reply.type = type;
        pf_reply_header(ex, "Accept-Ranges", "bytes");
    }
    pf_reply_header(ex, "ETag", "%s", etag);
    pf_reply_header(ex, "Cache-Control", "public, max-age=31536000, immutable");
    return PF_NEXT_REPLY;
}
