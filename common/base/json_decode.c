/* From a tree to a struct, by the table. Nothing here knows cJSON. */
#include "json.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "json_scan.h"
#include "text.h"

#define MAX_KEYS 128 /* of one table, for pf_nearest */

struct reader {
    struct pf_json_path path;
    enum pf_json_unknown unknown;
    struct pf_error *err;
};

static const char *kind_name(const struct pf_json_node *n)
{
    static const char *const names[] = {"null",     "true or false",
                                        "a number", "a string",
                                        "an array", "an object"};

    return names[pf_json_kind(n)];
}

static const char *where(const struct reader *r)
{
    return r->path.len ? r->path.text : "the top level";
}

/* A member of the wrong kind. */
static enum pocketfed_status
not_a(struct reader *r, const struct pf_json_node *n, const char *wanted)
{
    return pf_fail(r->err, POCKETFED_MALFORMED, "%s: %s where %s belongs",
                   where(r), kind_name(n), wanted);
}

static enum pocketfed_status bad(struct reader *r, const char *why)
{
    return pf_fail(r->err, POCKETFED_MALFORMED, "%s: %s", where(r), why);
}

static enum pocketfed_status read_string(struct reader *r,
                                         const struct pf_json_node *n,
                                         size_t size, char *out)
{
    const char *s = pf_json_text(n), *c;
    size_t len;

    if (!s)
        return not_a(r, n, "a string");
    for (c = s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return bad(r, "a control character in the text");
    len = (size_t)(c - s);
    if (len >= size)
        return pf_fail(r->err, POCKETFED_MALFORMED,
                       "%s: %zu bytes of text; at most %zu fit", where(r), len,
                       size - 1);
    memcpy(out, s, len + 1);
    return POCKETFED_OK;
}

static enum pocketfed_status read_hex(struct reader *r,
                                      const struct pf_json_node *n, size_t size,
                                      uint8_t *out)
{
    const char *s = pf_json_text(n);

    if (!s)
        return not_a(r, n, "a string");
    if (!pf_unhex(s, strlen(s), out, size))
        return pf_fail(r->err, POCKETFED_MALFORMED,
                       "%s: not %zu lower-case hexadecimal digits", where(r),
                       2 * size);
    return POCKETFED_OK;
}

static enum pocketfed_status read_base64url(struct reader *r,
                                            const struct pf_json_node *n,
                                            size_t size,
                                            struct pf_json_bytes *out)
{
    const char *s = pf_json_text(n);
    enum pocketfed_status st;
    size_t len = size;

    if (!s)
        return not_a(r, n, "a string");
    st = pf_unbase64url(s, strlen(s), out->data, &len);
    if (st == POCKETFED_LIMIT)
        return pf_fail(r->err, POCKETFED_MALFORMED,
                       "%s: more than %zu bytes of base64url", where(r), size);
    if (st != POCKETFED_OK)
        return bad(r, "not base64url without padding");
    out->len = len;
    return POCKETFED_OK;
}

static enum pocketfed_status
check_range(struct reader *r, const struct pf_json_field *f, double v)
{
    if ((f->min == 0 && f->max == 0) || (v >= f->min && v <= f->max))
        return POCKETFED_OK;
    return pf_fail(r->err, POCKETFED_MALFORMED,
                   "%s: %.15g is not between %.15g and %.15g", where(r), v,
                   f->min, f->max);
}

static enum pocketfed_status read_u64(struct reader *r,
                                      const struct pf_json_field *f,
                                      const struct pf_json_node *n,
                                      uint64_t *out)
{
    const char *s = pf_json_text(n);
    enum pocketfed_status st;
    uint64_t v;
    int64_t small;

    if (s) {
        if (!pf_parse_u64(s, strlen(s), 0, UINT64_MAX, &v))
            return bad(r, "not a whole number from 0 to 2^64 - 1");
    } else if (pf_json_kind(n) != PF_JSON_KIND_NUMBER) {
        return not_a(r, n, "a decimal number in a string");
    } else if (pf_json_integer(n, 0, INT64_MAX, &small)) {
        v = (uint64_t)small;
    } else {
        return bad(r, "not a whole number from 0 to 2^53 (larger ones are "
                      "written as strings)");
    }
    st = check_range(r, f, (double)v);
    if (st == POCKETFED_OK)
        *out = v;
    return st;
}

static enum pocketfed_status read_number(struct reader *r,
                                         const struct pf_json_field *f,
                                         const struct pf_json_node *n,
                                         void *out)
{
    int64_t top = f->type == PF_JSON_U32 ? UINT32_MAX : (int64_t)1 << 53;
    enum pocketfed_status st;
    int64_t v = 0;
    double d;

    if (pf_json_kind(n) != PF_JSON_KIND_NUMBER)
        return not_a(r, n, "a number");
    if (!pf_json_number(n, &d))
        return bad(r, "too large for a number");
    st = check_range(r, f, d);
    if (st != POCKETFED_OK)
        return st;
    if (f->type == PF_JSON_DOUBLE) {
        *(double *)out = d;
        return POCKETFED_OK;
    }
    if (!pf_json_integer(n, f->type == PF_JSON_U32 ? 0 : -top, top, &v))
        return bad(r, f->type == PF_JSON_U32
                          ? "not a whole number from 0 to 2^32 - 1"
                          : "not a whole number from -2^53 to 2^53");
    if (f->type == PF_JSON_U32)
        *(uint32_t *)out = (uint32_t)v;
    else
        *(int64_t *)out = v;
    return POCKETFED_OK;
}

static enum pocketfed_status read_enum(struct reader *r,
                                       const struct pf_json_field *f,
                                       const struct pf_json_node *n, int *out)
{
    const char *s = pf_json_text(n), *near;
    enum pocketfed_status st;
    int i;

    if (!s)
        return not_a(r, n, "a string");
    for (i = 0; f->names[i]; i++)
        if (strcmp(s, f->names[i]) == 0) {
            *out = i;
            return POCKETFED_OK;
        }
    st = bad(r, "not one of the names it may have");
    near = pf_nearest(s, f->names);
    if (near) {
        pf_hint(r->err, "did you mean \"%s\"?", near);
    } else if (r->err) {
        size_t used = 0, cap = sizeof r->err->hint;

        for (i = 0; f->names[i] && used < cap; i++)
            used += (size_t)snprintf(r->err->hint + used, cap - used, "%s%s",
                                     i ? ", " : "it may be: ", f->names[i]);
    }
    return st;
}

static enum pocketfed_status read_strings(struct reader *r,
                                          const struct pf_json_field *f,
                                          const struct pf_json_node *n,
                                          char *out, void *in_struct)
{
    enum pocketfed_status st;
    size_t count = 0, mark;
    char index[24];

    if (pf_json_kind(n) != PF_JSON_KIND_ARRAY)
        return not_a(r, n, "an array of strings");
    if (pf_json_size(n) > f->count)
        return pf_fail(r->err, POCKETFED_MALFORMED,
                       "%s: %zu entries; at most %zu fit", where(r),
                       pf_json_size(n), f->count);
    for (n = pf_json_first(n); n; n = pf_json_next(n)) {
        snprintf(index, sizeof index, "%zu", count);
        mark = pf_json_push(&r->path, index);
        st = read_string(r, n, f->size, out + count * f->size);
        if (st != POCKETFED_OK)
            return st;
        pf_json_pop(&r->path, mark);
        count++;
    }
    memcpy((char *)in_struct + f->count_offset, &count, sizeof count);
    return POCKETFED_OK;
}

static enum pocketfed_status
read_raw(struct reader *r, const struct pf_json_node *n, struct pf_buf *out)
{
    enum pocketfed_status st;

    if (out->max == 0)
        out->max = PF_JSON_MAX_TEXT;
    pf_buf_clear(out);
    st = pf_json_write(n, out);
    if (st != POCKETFED_OK)
        pf_fail(r->err, st, "%s: more than the %zu bytes it may have: %s",
                where(r), out->max, pocketfed_status_text(st));
    return st;
}

static enum pocketfed_status read_object(struct reader *r,
                                         const struct pf_json_field *fields,
                                         const struct pf_json_node *n,
                                         void *out);

static enum pocketfed_status read_member(struct reader *r,
                                         const struct pf_json_field *f,
                                         const struct pf_json_node *n,
                                         void *in_struct)
{
    void *at = (char *)in_struct + f->offset;

    switch (f->type) {
    case PF_JSON_STRING:
        return read_string(r, n, f->size, at);
    case PF_JSON_HEX:
        return read_hex(r, n, f->size, at);
    case PF_JSON_BASE64URL:
        return read_base64url(r, n, f->size, at);
    case PF_JSON_U64:
        return read_u64(r, f, n, at);
    case PF_JSON_U32:
    case PF_JSON_I64:
    case PF_JSON_DOUBLE:
        return read_number(r, f, n, at);
    case PF_JSON_BOOL:
        if (pf_json_kind(n) != PF_JSON_KIND_BOOL)
            return not_a(r, n, "true or false");
        *(int *)at = pf_json_is_true(n);
        return POCKETFED_OK;
    case PF_JSON_ENUM:
        return read_enum(r, f, n, at);
    case PF_JSON_OBJECT:
        return read_object(r, f->fields, n, at);
    case PF_JSON_STRINGS:
        return read_strings(r, f, n, at, in_struct);
    case PF_JSON_RAW:
        return read_raw(r, n, at);
    }
    return POCKETFED_INTERNAL;
}

static enum pocketfed_status unknown_key(struct reader *r,
                                         const struct pf_json_field *fields,
                                         const char *key)
{
    const char *names[MAX_KEYS + 1], *near;
    enum pocketfed_status st;
    size_t n = 0;

    for (; fields->key && n < MAX_KEYS; fields++)
        names[n++] = fields->key;
    names[n] = NULL;
    pf_json_push(&r->path, key);
    st = bad(r, "there is no such member");
    near = pf_nearest(key, names);
    if (near)
        pf_hint(r->err, "did you mean \"%s\"?", near);
    return st;
}

static const struct pf_json_field *find(const struct pf_json_field *fields,
                                        const char *key)
{
    for (; fields->key; fields++)
        if (strcmp(fields->key, key) == 0)
            return fields;
    return NULL;
}

static enum pocketfed_status read_object(struct reader *r,
                                         const struct pf_json_field *fields,
                                         const struct pf_json_node *n,
                                         void *out)
{
    const struct pf_json_node *member;
    const struct pf_json_field *f;
    enum pocketfed_status st;
    size_t mark;

    if (pf_json_kind(n) != PF_JSON_KIND_OBJECT)
        return not_a(r, n, "an object");
    for (member = pf_json_first(n); member; member = pf_json_next(member)) {
        f = find(fields, pf_json_key(member));
        if (!f && r->unknown == PF_JSON_REFUSE)
            return unknown_key(r, fields, pf_json_key(member));
        if (!f)
            continue;
        mark = pf_json_push(&r->path, f->key);
        st = read_member(r, f, member, out);
        if (st != POCKETFED_OK)
            return st;
        pf_json_pop(&r->path, mark);
    }
    for (f = fields; f->key; f++) {
        if (!(f->flags & PF_JSON_REQUIRED) || pf_json_get(n, f->key))
            continue;
        pf_json_push(&r->path, f->key);
        return bad(r, "missing");
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_json_decode_node(const struct pf_json_field *fields,
                                          enum pf_json_unknown unknown,
                                          const struct pf_json_node *n,
                                          const char *where_, void *out,
                                          struct pf_error *err)
{
    struct reader r = {.unknown = unknown, .err = err};
    int len = snprintf(r.path.text, sizeof r.path.text / 2, "%s", where_);

    if (len > 0)
        r.path.len = strlen(r.path.text);
    return read_object(&r, fields, n, out);
}

enum pocketfed_status pf_json_decode(const struct pf_json_field *fields,
                                     enum pf_json_unknown unknown,
                                     const char *text, size_t len, void *out,
                                     struct pf_error *err)
{
    struct pf_json_doc *doc = NULL;
    enum pocketfed_status st = pf_json_parse(text, len, &doc, err);

    if (st != POCKETFED_OK)
        return st;
    st = pf_json_decode_node(fields, unknown, pf_json_root(doc), "", out, err);
    pf_json_free(doc);
    return st;
}
