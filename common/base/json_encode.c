#include "json.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "json_scan.h"
#include "text.h"

/* Where the writer is; pretty when indent >= 0. */
struct writer {
    struct pf_buf *out;
    int indent;
};

enum pocketfed_status pf_json_string_n(struct pf_buf *out, const char *s,
                                       size_t left)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t n;

    pf_buf_adds(out, "\"");
    for (; left > 0; p += n, left -= n) {
        n = pf_utf8_len(p, left);
        if (n == 0) { /* not UTF-8: the replacement character stands for it */
            n = 1;
            pf_buf_adds(out, "\\ufffd");
        } else if (*p == '"' || *p == '\\') {
            pf_buf_addf(out, "\\%c", *p);
        } else if (*p == '\n') {
            pf_buf_adds(out, "\\n");
        } else if (*p == '\t') {
            pf_buf_adds(out, "\\t");
        } else if (*p < 0x20 || *p == 0x7f) {
            pf_buf_addf(out, "\\u%04x", *p);
        } else {
            pf_buf_add(out, p, n);
        }
    }
    return pf_buf_adds(out, "\"");
}

enum pocketfed_status pf_json_string(struct pf_buf *out, const char *s)
{
    return pf_json_string_n(out, s, strlen(s));
}

/* The locale's decimal point, whatever it is, becomes '.'. */
static void fix_point(char *s)
{
    const char *mark = localeconv()->decimal_point;
    size_t n = strlen(mark);
    char *at = n && strcmp(mark, ".") != 0 ? strstr(s, mark) : NULL;

    if (!at)
        return;
    *at = '.';
    memmove(at + 1, at + n, strlen(at + n) + 1);
}

enum pocketfed_status pf_json_double(struct pf_buf *out, double d)
{
    char text[40];
    double back;
    int digits;

    if (!(d - d == 0)) /* inf - inf is NaN */
        return pf_buf_adds(out, "null");
    /* 17 digits always read back equal; the fewest that do are for people. */
    for (digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        fix_point(text);
        if (pf_parse_double(text, strlen(text), &back) && back == d)
            break;
    }
    return pf_buf_adds(out, text);
}

static void newline(struct writer *w)
{
    int i;

    if (w->indent < 0)
        return;
    pf_buf_adds(w->out, "\n");
    for (i = 0; i < w->indent; i++)
        pf_buf_adds(w->out, "  ");
}

static int is_empty(const struct pf_json_field *f, const void *at,
                    const void *in)
{
    size_t count;

    switch (f->type) {
    case PF_JSON_STRING:
        return *(const char *)at == '\0';
    case PF_JSON_HEX:
        return pf_is_zero(at, f->size);
    case PF_JSON_BASE64URL:
        return ((const struct pf_json_bytes *)at)->len == 0;
    case PF_JSON_U32:
        return *(const uint32_t *)at == 0;
    case PF_JSON_U64:
        return *(const uint64_t *)at == 0;
    case PF_JSON_I64:
        return *(const int64_t *)at == 0;
    case PF_JSON_DOUBLE:
        return *(const double *)at == 0;
    case PF_JSON_BOOL:
    case PF_JSON_ENUM:
        return *(const int *)at == 0;
    case PF_JSON_RAW:
        return ((const struct pf_buf *)at)->len == 0;
    case PF_JSON_STRINGS:
        memcpy(&count, (const char *)in + f->count_offset, sizeof count);
        return count == 0;
    case PF_JSON_OBJECT:
        for (f = f->fields; f->key; f++)
            if (!is_empty(f, (const char *)at + f->offset, at))
                return 0;
        return 1;
    }
    return 0;
}

static enum pocketfed_status write_string(struct pf_buf *out, const char *s,
                                          size_t size)
{
    const uint8_t *p = (const uint8_t *)s;
    const char *end = memchr(s, '\0', size);
    size_t left, n;

    if (!end)
        return POCKETFED_INVALID;
    /* What could not be read back is not written. */
    for (left = (size_t)(end - s); left > 0; p += n, left -= n) {
        n = pf_utf8_len(p, left);
        if (n == 0 || *p < 0x20 || *p == 0x7f)
            return POCKETFED_INVALID;
    }
    return pf_json_string(out, s);
}

static enum pocketfed_status write_hex(struct pf_buf *out, const uint8_t *p,
                                       size_t n)
{
    char pair[3];

    pf_buf_adds(out, "\"");
    for (; n > 0; n--) {
        pf_hex(p++, 1, pair);
        pf_buf_add(out, pair, 2);
    }
    return pf_buf_adds(out, "\"");
}

static enum pocketfed_status
write_base64url(struct pf_buf *out, const struct pf_json_bytes *b, size_t size)
{
    char four[5];
    size_t i;

    if (b->len > size)
        return POCKETFED_INVALID;
    pf_buf_adds(out, "\"");
    for (i = 0; i < b->len; i += 3) {
        pf_base64url(b->data + i, b->len - i < 3 ? b->len - i : 3, four);
        pf_buf_adds(out, four);
    }
    return pf_buf_adds(out, "\"");
}

static enum pocketfed_status write_strings(struct writer *w,
                                           const struct pf_json_field *f,
                                           const char *at, size_t count)
{
    enum pocketfed_status st;
    size_t i;

    if (count > f->count)
        return POCKETFED_INVALID;
    pf_buf_adds(w->out, "[");
    for (i = 0; i < count; i++) {
        if (i > 0)
            pf_buf_adds(w->out, w->indent < 0 ? "," : ", ");
        st = write_string(w->out, at + i * f->size, f->size);
        if (st != POCKETFED_OK)
            return st;
    }
    return pf_buf_adds(w->out, "]");
}

static enum pocketfed_status write_enum(struct pf_buf *out,
                                        const char *const *names, int index)
{
    int i;

    for (i = 0; names[i]; i++)
        if (i == index)
            return pf_json_string(out, names[i]);
    return POCKETFED_INVALID;
}

static enum pocketfed_status
write_number(struct pf_buf *out, const struct pf_json_field *f, const void *at)
{
    double d;

    if (f->type == PF_JSON_U32)
        return pf_buf_addf(out, "%lu", (unsigned long)*(const uint32_t *)at);
    if (f->type == PF_JSON_U64)
        return pf_buf_addf(out, "\"%llu\"",
                           (unsigned long long)*(const uint64_t *)at);
    if (f->type == PF_JSON_I64) {
        int64_t v = *(const int64_t *)at;

        if (v < -((int64_t)1 << 53) || v > (int64_t)1 << 53)
            return POCKETFED_INVALID;
        return pf_buf_addf(out, "%lld", (long long)v);
    }
    d = *(const double *)at;
    return d - d == 0 ? pf_json_double(out, d) : POCKETFED_NON_FINITE;
}

static enum pocketfed_status write_object(struct writer *w,
                                          const struct pf_json_field *fields,
                                          const void *in);

static enum pocketfed_status write_member(struct writer *w,
                                          const struct pf_json_field *f,
                                          const void *at, const void *in)
{
    const struct pf_buf *raw;
    size_t count;

    switch (f->type) {
    case PF_JSON_STRING:
        return write_string(w->out, at, f->size);
    case PF_JSON_HEX:
        return write_hex(w->out, at, f->size);
    case PF_JSON_BASE64URL:
        return write_base64url(w->out, at, f->size);
    case PF_JSON_U32:
    case PF_JSON_U64:
    case PF_JSON_I64:
    case PF_JSON_DOUBLE:
        return write_number(w->out, f, at);
    case PF_JSON_BOOL:
        return pf_buf_adds(w->out, *(const int *)at ? "true" : "false");
    case PF_JSON_ENUM:
        return write_enum(w->out, f->names, *(const int *)at);
    case PF_JSON_OBJECT:
        return write_object(w, f->fields, at);
    case PF_JSON_STRINGS:
        memcpy(&count, (const char *)in + f->count_offset, sizeof count);
        return write_strings(w, f, at, count);
    case PF_JSON_RAW:
        raw = at;
        return pf_buf_add(w->out, raw->data, raw->len);
    }
    return POCKETFED_INTERNAL;
}

static enum pocketfed_status write_object(struct writer *w,
                                          const struct pf_json_field *fields,
                                          const void *in)
{
    const struct pf_json_field *f;
    enum pocketfed_status st;
    int any = 0;

    pf_buf_adds(w->out, "{");
    if (w->indent >= 0)
        w->indent++;
    for (f = fields; f->key; f++) {
        const void *at = (const char *)in + f->offset;

        /* An empty RAW has no text that could stand for it. */
        if ((f->flags & PF_JSON_OMIT_EMPTY || f->type == PF_JSON_RAW) &&
            is_empty(f, at, in))
            continue;
        if (any)
            pf_buf_adds(w->out, ",");
        any = 1;
        newline(w);
        pf_json_string(w->out, f->key);
        pf_buf_adds(w->out, w->indent < 0 ? ":" : ": ");
        st = write_member(w, f, at, in);
        if (st != POCKETFED_OK)
            return st;
    }
    if (w->indent >= 0)
        w->indent--;
    if (any)
        newline(w);
    return pf_buf_adds(w->out, "}");
}

static enum pocketfed_status encode(const struct pf_json_field *fields,
                                    const void *in, struct pf_buf *out,
                                    int indent)
{
    struct writer w = {.out = out, .indent = indent};
    size_t len = out->len;
    enum pocketfed_status st = write_object(&w, fields, in);

    if (st != POCKETFED_OK && out->len > len) {
        out->len = len;
        out->data[len] = '\0';
    }
    return st;
}

enum pocketfed_status pf_json_encode(const struct pf_json_field *fields,
                                     const void *in, struct pf_buf *out)
{
    return encode(fields, in, out, -1);
}

enum pocketfed_status pf_json_encode_pretty(const struct pf_json_field *fields,
                                            const void *in, struct pf_buf *out)
{
    return encode(fields, in, out, 0);
}
