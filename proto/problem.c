#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "json.h"
#include "json_scan.h"

#define TYPE_PREFIX "https://pocketfed.dev/problems/"

const struct pf_problem_row pf_problem_rows[PF_PROBLEM_COUNT] = {
    [PF_PROBLEM_NONE] = {"", 0, PF_DO_RETRY, ""},
#define PF_PROBLEM_ROW(name, slug, status, action, title)                      \
    [PF_PROBLEM_##name] = {slug, status, PF_DO_##action, title},
    PF_PROBLEMS(PF_PROBLEM_ROW)
#undef PF_PROBLEM_ROW
};

/* The document as it travels; struct pf_problem is what programs handle. */
struct document {
    char type[96];
    char title[96];
    int64_t status;
    char detail[256];
    char pointer[96];
    char hint[160];
    int64_t server_time_ms;
    int64_t retry_after_ms;
};

#define TEXT(name, omit)                                                       \
    {                                                                          \
        .key = #name, .type = PF_JSON_STRING,                                  \
        .offset = offsetof(struct document, name),                             \
        .size = sizeof((struct document *)0)->name, .flags = (omit),           \
    }
#define NUMBER(name, omit)                                                     \
    {                                                                          \
        .key = #name, .type = PF_JSON_I64,                                     \
        .offset = offsetof(struct document, name), .size = sizeof(int64_t),    \
        .flags = (omit),                                                       \
    }

static const struct pf_json_field document_fields[] = {
    TEXT(type, 0),
    TEXT(title, 0),
    NUMBER(status, 0),
    TEXT(detail, PF_JSON_OMIT_EMPTY),
    TEXT(pointer, PF_JSON_OMIT_EMPTY),
    TEXT(hint, PF_JSON_OMIT_EMPTY),
    NUMBER(server_time_ms, PF_JSON_OMIT_EMPTY),
    NUMBER(retry_after_ms, PF_JSON_OMIT_EMPTY),
    {.key = NULL},
};

/* Copies text for people: what is no UTF-8 or would steer a terminal becomes
 * '?', and what does not fit is cut between characters. */
static void copy_text(char *out, size_t cap, const char *in)
{
    const uint8_t *s = (const uint8_t *)in;
    size_t left = strlen(in), n = 0;

    while (left > 0) {
        size_t len = pf_utf8_len(s, left);
        /* U+0080..U+009F, c2 80 .. c2 9f, are controls too */
        int ok =
            len > 0 && *s >= 0x20 && *s != 0x7f && !(*s == 0xc2 && s[1] < 0xa0);
        size_t take = ok ? len : 1;

        if (n + take >= cap)
            break;
        if (ok)
            memcpy(out + n, s, take);
        else
            out[n] = '?';
        n += take;
        len = len ? len : 1;
        s += len;
        left -= len;
    }
    out[n] = '\0';
}

void pf_problem_set(struct pf_problem *p, enum pf_problem_id id,
                    const char *fmt, ...)
{
    char text[2 * sizeof p->detail]; /* cut between characters below */
    va_list ap;

    memset(p, 0, sizeof *p);
    p->id = id;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    copy_text(p->detail, sizeof p->detail, text);
}

enum pocketfed_status pf_problem_encode(const struct pf_problem *p,
                                        struct pf_buf *out)
{
    const struct pf_problem_row *row;
    struct document d;

    if ((unsigned)p->id >= PF_PROBLEM_COUNT || p->id == PF_PROBLEM_NONE)
        return POCKETFED_INVALID;
    row = &pf_problem_rows[p->id];
    memset(&d, 0, sizeof d);
    snprintf(d.type, sizeof d.type, TYPE_PREFIX "%s", row->slug);
    snprintf(d.title, sizeof d.title, "%s", row->title);
    d.status = row->status;
    copy_text(d.detail, sizeof d.detail, p->detail);
    copy_text(d.pointer, sizeof d.pointer, p->pointer);
    copy_text(d.hint, sizeof d.hint, p->hint);
    d.server_time_ms = p->server_time_ms;
    d.retry_after_ms = p->retry_after_ms;
    return pf_json_encode(document_fields, &d, out);
}

static enum pf_problem_id find_type(const char *type)
{
    size_t prefix = strlen(TYPE_PREFIX);
    int i;

    if (strncmp(type, TYPE_PREFIX, prefix))
        return PF_PROBLEM_NONE;
    for (i = PF_PROBLEM_NONE + 1; i < PF_PROBLEM_COUNT; i++)
        if (!strcmp(type + prefix, pf_problem_rows[i].slug))
            return (enum pf_problem_id)i;
    return PF_PROBLEM_NONE;
}

static void take_text(const struct pf_json_node *root, const char *key,
                      char *out, size_t cap)
{
    const char *s = pf_json_text(pf_json_get(root, key));

    if (s)
        copy_text(out, cap, s);
}

static void take_time(const struct pf_json_node *root, const char *key,
                      int64_t *out)
{
    const struct pf_json_node *n = pf_json_get(root, key);
    int64_t v;

    if (n && pf_json_integer(n, 0, INT64_C(1) << 53, &v))
        *out = v;
}

/* Not by the table: a document may come from any proxy or a newer server, so
 * members that are longer or other than ours are cut or passed over. */
enum pocketfed_status pf_problem_decode(const char *text, size_t len,
                                        struct pf_problem *out)
{
    struct pf_json_doc *doc = NULL;
    const struct pf_json_node *root;
    struct pf_problem p;
    const char *type;
    enum pocketfed_status st;

    st = pf_json_parse(text, len, &doc, NULL);
    if (st)
        return st == POCKETFED_NO_MEMORY ? st : POCKETFED_MALFORMED;
    st = POCKETFED_MALFORMED;
    root = pf_json_root(doc);
    type = pf_json_text(pf_json_get(root, "type"));
    if (!type)
        goto out;
    memset(&p, 0, sizeof p);
    p.id = find_type(type);
    take_text(root, "detail", p.detail, sizeof p.detail);
    if (!p.detail[0]) /* at least say something to people */
        take_text(root, "title", p.detail, sizeof p.detail);
    take_text(root, "pointer", p.pointer, sizeof p.pointer);
    take_text(root, "hint", p.hint, sizeof p.hint);
    take_time(root, "server_time_ms", &p.server_time_ms);
    take_time(root, "retry_after_ms", &p.retry_after_ms);
    *out = p;
    st = POCKETFED_OK;
out:
    pf_json_free(doc);
    return st;
}

enum pf_problem_action pf_problem_action_of(const struct pf_problem *p,
                                            int http_status)
{
    if (p && p->id != PF_PROBLEM_NONE && (unsigned)p->id < PF_PROBLEM_COUNT)
        return pf_problem_rows[p->id].action;
    switch (http_status) {
    case 408: /* request timeout */
    case 425: /* too early */
    case 429:
        return PF_DO_RETRY;
    case 409:
    case 410:
        return PF_DO_DROP;
    default:
        /* No answer, a redirect or a failing proxy may pass; another 4xx is
         * about this very request and will not. */
        return http_status >= 400 && http_status < 500 ? PF_DO_STOP
                                                       : PF_DO_RETRY;
    }
}
