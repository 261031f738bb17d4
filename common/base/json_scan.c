#include "json_scan.h"

#include <string.h>

#include "json.h"

struct scan {
    const uint8_t *p;
    size_t len, pos, values;
    unsigned depth;
    uint8_t is_object[PF_JSON_MAX_DEPTH];
};

size_t pf_utf8_len(const uint8_t *p, size_t left)
{
    uint32_t c;
    size_t n, i;

    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n > left)
        return 0;
    c = p[0] & (0x7fu >> n);
    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
        return 0;
    return c >= 0xd800 && c <= 0xdfff ? 0 : n;
}

/* The byte at the position, or -1 at the end. */
static int peek(const struct scan *s)
{
    return s->pos < s->len ? s->p[s->pos] : -1;
}

static int take(struct scan *s, int c)
{
    if (peek(s) != c)
        return 0;
    s->pos++;
    return 1;
}

static void blanks(struct scan *s)
{
    int c = peek(s);

    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        s->pos++;
        c = peek(s);
    }
}

static size_t digits(struct scan *s)
{
    size_t n = 0;

    for (; peek(s) >= '0' && peek(s) <= '9'; n++)
        s->pos++;
    return n;
}

/* Four hexadecimal digits, or -1. */
static long hex4(struct scan *s)
{
    long v = 0;
    int i, c;

    for (i = 0; i < 4; i++) {
        c = peek(s);
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + ((c | 32) - 'a' + 10);
        else
            return -1;
        s->pos++;
    }
    return v;
}

/* Each of these passes one thing and returns NULL, or what is wrong at pos. */
static const char *escape(struct scan *s)
{
    long high, low;
    int c = peek(s);

    if (c > 0 && strchr("\"\\/bfnrt", c)) {
        s->pos++;
        return NULL;
    }
    if (!take(s, 'u'))
        return "an unknown escape";
    high = hex4(s);
    if (high < 0)
        return "an escape without four hexadecimal digits";
    if (high == 0)
        return "the character U+0000";
    if (high >= 0xdc00 && high <= 0xdfff)
        return "half a surrogate pair";
    if (high >= 0xd800 && high <= 0xdbff) {
        low = take(s, '\\') && take(s, 'u') ? hex4(s) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return "half a surrogate pair";
    }
    return NULL;
}

static const char *string(struct scan *s)
{
    const char *bad;
    size_t n;

    if (!take(s, '"'))
        return "no string where a member's name belongs";
    while (!take(s, '"')) {
        if (peek(s) < 0)
            return "the end of the text inside a string";
        if (peek(s) < 0x20)
            return "a control character inside a string";
        if (take(s, '\\')) {
            bad = escape(s);
            if (bad)
                return bad;
            continue;
        }
        n = pf_utf8_len(s->p + s->pos, s->len - s->pos);
        if (n == 0)
            return "bytes that are not UTF-8";
        s->pos += n;
    }
    return NULL;
}

static const char *number(struct scan *s)
{
    size_t start = s->pos;

    take(s, '-');
    if (!take(s, '0') && digits(s) == 0)
        return "a number without digits";
    if (take(s, '.') && digits(s) == 0)
        return "a number without digits after its point";
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        if (digits(s) == 0)
            return "a number without digits in its exponent";
    }
    /* cJSON reads numbers through a buffer of 64. */
    return s->pos - start > 63 ? "a number of more than 63 characters" : NULL;
}

static const char *word(struct scan *s, const char *name)
{
    size_t n = strlen(name);

    if (s->len - s->pos < n || memcmp(s->p + s->pos, name, n) != 0)
        return "no value";
    s->pos += n;
    return NULL;
}

static const char *scalar(struct scan *s)
{
    int c = peek(s);

    if (c == '"')
        return string(s);
    if (c == '-' || (c >= '0' && c <= '9'))
        return number(s);
    if (c == 't')
        return word(s, "true");
    if (c == 'f')
        return word(s, "false");
    if (c == 'n')
        return word(s, "null");
    return c < 0 ? "the end of the text where a value belongs" : "no value";
}

static const char *member_name(struct scan *s)
{
    const char *bad;

    blanks(s);
    bad = string(s);
    if (bad)
        return bad;
    blanks(s);
    return take(s, ':') ? NULL : "no ':' after a member's name";
}

static int too_big(const struct scan *s)
{
    return s->depth > PF_JSON_MAX_DEPTH || s->values > PF_JSON_MAX_VALUES;
}

/* A value up to where the next one of the same text begins. *opened says that
 * an array or object began and has a first value. */
static const char *value(struct scan *s, int *opened)
{
    int object;

    *opened = 0;
    blanks(s);
    s->values++;
    object = peek(s) == '{';
    if (!object && peek(s) != '[')
        return too_big(s) ? "too many values" : scalar(s);
    if (++s->depth > PF_JSON_MAX_DEPTH)
        return "too deep";
    s->is_object[s->depth - 1] = (uint8_t)object;
    s->pos++;
    blanks(s);
    if (take(s, object ? '}' : ']')) {
        s->depth--;
        return NULL;
    }
    *opened = 1;
    return object ? member_name(s) : NULL;
}

/* After a value: closes what ends here. *more says that another value comes. */
static const char *separator(struct scan *s, int *more)
{
    int object;

    *more = 0;
    for (; s->depth > 0; s->depth--) {
        object = s->is_object[s->depth - 1];
        blanks(s);
        if (take(s, ',')) {
            *more = 1;
            return object ? member_name(s) : NULL;
        }
        if (!take(s, object ? '}' : ']'))
            return object ? "no ',' or '}' after a member"
                          : "no ',' or ']' after an element";
    }
    blanks(s);
    return s->pos == s->len ? NULL : "something after the end of the value";
}

static enum pocketfed_status report(const struct scan *s, const char *bad,
                                    struct pf_error *err)
{
    size_t line = 1, column = 1, i;

    for (i = 0; i < s->pos && i < s->len; i++, column++)
        if (s->p[i] == '\n') {
            line++;
            column = 0;
        }
    return pf_fail(err, POCKETFED_MALFORMED,
                   "not JSON: line %zu, column %zu: %s", line, column, bad);
}

enum pocketfed_status pf_json_scan(const char *text, size_t len,
                                   struct pf_error *err)
{
    struct scan s = {.p = (const uint8_t *)text, .len = len};
    const char *bad = NULL;
    int more = 1;

    if (len > PF_JSON_MAX_TEXT)
        return pf_fail(err, POCKETFED_LIMIT,
                       "JSON text of %zu bytes; at most %u are read", len,
                       PF_JSON_MAX_TEXT);
    while (more && !bad) {
        bad = value(&s, &more);
        if (!bad && !more)
            bad = separator(&s, &more);
    }
    if (s.depth > PF_JSON_MAX_DEPTH)
        return pf_fail(err, POCKETFED_LIMIT,
                       "JSON nested deeper than %d levels", PF_JSON_MAX_DEPTH);
    if (s.values > PF_JSON_MAX_VALUES)
        return pf_fail(err, POCKETFED_LIMIT, "JSON with more than %u values",
                       PF_JSON_MAX_VALUES);
    return bad ? report(&s, bad, err) : POCKETFED_OK;
}

static void put(struct pf_json_path *path, char c)
{
    size_t room = sizeof path->text - sizeof "...";

    if (path->len < room) {
        path->text[path->len++] = c;
        path->text[path->len] = '\0';
    } else {
        memcpy(path->text + room, "...", sizeof "...");
    }
}

size_t pf_json_push(struct pf_json_path *path, const char *key)
{
    size_t before = path->len;

    put(path, '/');
    for (; *key; key++) {
        unsigned char c = (unsigned char)*key;

        if (c == '~' || c == '/') {
            put(path, '~');
            put(path, c == '~' ? '0' : '1');
        } else {
            put(path, c < 0x20 || c == 0x7f ? '?' : (char)c);
        }
    }
    return before;
}

void pf_json_pop(struct pf_json_path *path, size_t len)
{
    path->len = len;
    path->text[len] = '\0';
}
