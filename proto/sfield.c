#include "sfield.h"

#include <string.h>
#include "text.h"

static int lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static int digit(char c)
{
    return c >= '0' && c <= '9';
}

static int alpha(char c)
{
    return lower(c) || (c >= 'A' && c <= 'Z');
}

int pf_sf_open(struct pf_sf *f, const char *field)
{
    size_t len = strnlen(field, PF_SF_MAX_FIELD + 1);

    if (len > PF_SF_MAX_FIELD)
        return 0;
    /* Blanks around the field belong to the message, not to the value. */
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\t'))
        len--;
    while (len > 0 && (*field == ' ' || *field == '\t')) {
        field++;
        len--;
    }
    f->p = field;
    f->end = field + len;
    f->begun = 0;
    return 1;
}

/* Each reader below takes one thing at f->p and moves on; 1 or 0. */

static int at(const struct pf_sf *f, char c)
{
    return f->p < f->end && *f->p == c;
}

static int take(struct pf_sf *f, char c)
{
    if (!at(f, c))
        return 0;
    f->p++;
    return 1;
}

static int read_key(struct pf_sf *f, struct pf_sf_slice *out)
{
    const char *begin = f->p;

    if (f->p == f->end || (!lower(*f->p) && *f->p != '*'))
        return 0;
    while (f->p < f->end && (lower(*f->p) || digit(*f->p) || *f->p == '_' ||
                             *f->p == '-' || *f->p == '.' || *f->p == '*'))
        f->p++;
    out->p = begin;
    out->len = (size_t)(f->p - begin);
    return 1;
}

static int read_integer(struct pf_sf *f, struct pf_sf_item *out)
{
    const char *begin = f->p;
    int64_t max = INT64_C(999999999999999); /* 15 digits */

    if (at(f, '-'))
        f->p++;
    while (f->p < f->end && digit(*f->p))
        f->p++;
    out->type = PF_SF_INTEGER;
    if (at(f, '.')) /* a decimal: nothing here has one */
        return 0;
    return pf_parse_i64(begin, (size_t)(f->p - begin), -max, max,
                        &out->integer);
}

static int read_string(struct pf_sf *f, struct pf_sf_item *out)
{
    const char *begin = ++f->p;

    for (; f->p < f->end && *f->p != '"'; f->p++) {
        if (*f->p < 0x20 || *f->p > 0x7e)
            return 0;
        if (*f->p != '\\')
            continue;
        f->p++;
        if (!at(f, '"') && !at(f, '\\'))
            return 0;
    }
    out->type = PF_SF_STRING;
    out->text.p = begin;
    out->text.len = (size_t)(f->p - begin);
    return take(f, '"');
}

static int read_bytes(struct pf_sf *f, struct pf_sf_item *out)
{
    const char *begin = ++f->p;

    while (f->p < f->end && (alpha(*f->p) || digit(*f->p) || *f->p == '+' ||
                             *f->p == '/' || *f->p == '='))
        f->p++;
    out->type = PF_SF_BYTES;
    out->text.p = begin;
    out->text.len = (size_t)(f->p - begin);
    return take(f, ':');
}

static int read_token(struct pf_sf *f, struct pf_sf_item *out)
{
    const char *begin = f->p;

    while (f->p < f->end && *f->p != '\0' &&
           (alpha(*f->p) || digit(*f->p) || strchr("!#$%&'*+-.^_`|~:/", *f->p)))
        f->p++;
    out->type = PF_SF_TOKEN;
    out->text.p = begin;
    out->text.len = (size_t)(f->p - begin);
    return 1;
}

static int read_bare_item(struct pf_sf *f, struct pf_sf_item *out)
{
    char c = f->p < f->end ? *f->p : '\0';

    memset(out, 0, sizeof *out);
    if (c == '"')
        return read_string(f, out);
    if (c == ':')
        return read_bytes(f, out);
    if (c == '-' || digit(c))
        return read_integer(f, out);
    if (alpha(c) || c == '*')
        return read_token(f, out);
    if (c != '?')
        return 0;
    f->p++;
    out->type = PF_SF_BOOLEAN;
    out->integer = at(f, '1');
    return take(f, '0') || take(f, '1');
}

static int read_params(struct pf_sf *f, struct pf_sf_member *m)
{
    while (take(f, ';')) {
        struct pf_sf_param *p = &m->params[m->n_params];
        size_t i;

        if (m->n_params == PF_SF_MAX_LIST || !read_key(f, &p->key))
            return 0;
        for (i = 0; i < m->n_params; i++)
            if (m->params[i].key.len == p->key.len &&
                !memcmp(m->params[i].key.p, p->key.p, p->key.len))
                return 0;
        memset(&p->value, 0, sizeof p->value);
        p->value.type = PF_SF_BOOLEAN;
        p->value.integer = 1;
        if (take(f, '=') && !read_bare_item(f, &p->value))
            return 0;
        m->n_params++;
    }
    return 1;
}

static int read_inner_list(struct pf_sf *f, struct pf_sf_member *m)
{
    f->p++;
    m->value.type = PF_SF_LIST;
    while (!take(f, ')')) {
        if (m->n_items == PF_SF_MAX_LIST || (m->n_items > 0 && !take(f, ' ')) ||
            !read_bare_item(f, &m->items[m->n_items]))
            return 0;
        m->n_items++;
    }
    return 1;
}

static void skip_blanks(struct pf_sf *f)
{
    while (at(f, ' ') || at(f, '\t'))
        f->p++;
}

int pf_sf_next(struct pf_sf *f, struct pf_sf_member *out)
{
    int ok = 1;

    if (f->begun) {
        skip_blanks(f);
        if (f->p == f->end)
            return 0;
        if (!take(f, ','))
            return -1;
        skip_blanks(f);
    } else if (f->p == f->end) {
        return 0;
    }
    f->begun = 1;
    memset(out, 0, sizeof *out);
    if (!read_key(f, &out->key))
        return -1;
    out->value.type = PF_SF_BOOLEAN;
    out->value.integer = 1;
    out->raw.p = f->p;
    if (take(f, '=')) {
        out->raw.p = f->p;
        ok = at(f, '(') ? read_inner_list(f, out)
                        : read_bare_item(f, &out->value);
    }
    if (!ok || !read_params(f, out))
        return -1;
    out->raw.len = (size_t)(f->p - out->raw.p);
    return 1;
}

int pf_sf_is(struct pf_sf_slice s, const char *text)
{
    return s.len == strlen(text) && !memcmp(s.p, text, s.len);
}

const struct pf_sf_item *pf_sf_param(const struct pf_sf_member *m,
                                     const char *key)
{
    size_t i;

    for (i = 0; i < m->n_params; i++)
        if (pf_sf_is(m->params[i].key, key))
            return &m->params[i].value;
    return NULL;
}

int pf_sf_bytes(const struct pf_sf_item *item, uint8_t *out, size_t n)
{
    uint8_t bytes[96];
    size_t len = sizeof bytes;

    if (item->type != PF_SF_BYTES || n > sizeof bytes ||
        pf_unbase64(item->text.p, item->text.len, bytes, &len) || len != n)
        return 0;
    memcpy(out, bytes, n);
    return 1;
}

int pf_sf_string(const struct pf_sf_item *item, char *out, size_t cap)
{
    if (item->type != PF_SF_STRING || item->text.len >= cap ||
        memchr(item->text.p, '\\', item->text.len))
        return 0;
    memcpy(out, item->text.p, item->text.len);
    out[item->text.len] = '\0';
    return 1;
}
