#include "joinlink.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "buf.h"
#include "calls.h"
#include "crypto.h"
#include "text.h"

#define SCHEME       "pocketfed://"
#define TOKEN_PREFIX "pft_"
#define SECRET_LEN   32                 /* bytes: 43 base64url characters */
#define CHECKED_LEN  (PF_TOKEN_LEN - 6) /* what the checksum is over */

/* A piece of the link: [p, p + len). */
struct piece {
    const char *p;
    size_t len;
};

static int is_ipv6(const char *s)
{
    struct in6_addr addr;

    return inet_pton(AF_INET6, s, &addr) == 1;
}

/* Letters, digits, '-' and '_' between dots; IPv4 has the same form. */
static int host_name_ok(const char *s)
{
    size_t i, label = 0, n = strlen(s);

    for (i = 0; i < n; i++) {
        char c = s[i];
        int last = i + 1 == n || s[i + 1] == '.';

        if (c == '.') {
            if (label == 0 || label > 63)
                return 0;
            label = 0;
            continue;
        }
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '_' ||
              (c == '-' && label > 0 && !last)))
            return 0;
        label++;
    }
    return label > 0 && label <= 63 && n <= 253;
}

static int host_ok(const char *s)
{
    return strchr(s, ':') ? is_ipv6(s) : host_name_ok(s);
}

static void add_key(struct pf_buf *b, const char *name, const uint8_t key[32])
{
    char text[PF_BASE64_LEN(32) + 1];

    pf_base64url(key, 32, text);
    pf_buf_addf(b, "&%s=%s", name, text);
}

enum pocketfed_status pf_join_link_write(const struct pf_join_link *l,
                                         char *out, size_t cap)
{
    enum pocketfed_status st;
    struct pf_buf b;
    unsigned i;

    if (!host_ok(l->host) || l->port == 0 || !pf_task_name_ok(l->task) ||
        l->n_pins > PF_JOIN_MAX_PINS || (l->token[0] && !pf_token_ok(l->token)))
        return POCKETFED_INVALID;
    pf_buf_init(&b, PF_JOIN_LINK_MAX);
    pf_buf_addf(&b, strchr(l->host, ':') ? SCHEME "[%s]" : SCHEME "%s",
                l->host);
    if (l->port != PF_DEFAULT_PORT)
        pf_buf_addf(&b, ":%u", (unsigned)l->port);
    pf_buf_addf(&b, "/%s?v=1", l->task);
    add_key(&b, "id", l->id);
    for (i = 0; i < l->n_pins; i++)
        add_key(&b, "pin", l->pins[i]);
    if (l->token[0])
        pf_buf_addf(&b, "#%s", l->token);
    st = pf_buf_status(&b);
    if (!st && b.len >= cap)
        st = POCKETFED_LIMIT;
    if (!st)
        memcpy(out, b.data, b.len + 1);
    pf_buf_free(&b);
    return st;
}

/* Blanks around, and one line end, are what copying and `echo` leave. */
static struct piece trim(const char *text, size_t len)
{
    struct piece s = {text, len};

    while (s.len > 0 && (*s.p == ' ' || *s.p == '\t')) {
        s.p++;
        s.len--;
    }
    if (s.len > 0 && s.p[s.len - 1] == '\n')
        s.len--;
    if (s.len > 0 && s.p[s.len - 1] == '\r')
        s.len--;
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* What stands before the first of the letters `stops`; s moves to the stop. */
static struct piece before(struct piece *s, const char *stops)
{
    struct piece head = {s->p, 0};

    while (head.len < s->len && !strchr(stops, head.p[head.len]))
        head.len++;
    s->p += head.len;
    s->len -= head.len;
    return head;
}

/* s without its first letter, when that is c; 1 or 0. */
static int skip(struct piece *s, char c)
{
    if (s->len == 0 || *s->p != c)
        return 0;
    s->p++;
    s->len--;
    return 1;
}

static int piece_is(struct piece s, const char *text)
{
    return s.len == strlen(text) && !memcmp(s.p, text, s.len);
}

static int copy(struct piece s, char *out, size_t cap)
{
    if (s.len >= cap)
        return 0;
    memcpy(out, s.p, s.len);
    out[s.len] = '\0';
    return 1;
}

static enum pocketfed_status wrong(struct pf_error *err, const char *part,
                                   const char *why)
{
    return pf_fail(err, POCKETFED_MALFORMED, "the join link's %s %s", part,
                   why);
}

static enum pocketfed_status
parse_address(struct piece *s, struct pf_join_link *out, struct pf_error *err)
{
    int bracket = skip(s, '[');
    struct piece host = before(s, bracket ? "]/?#" : ":/?#");
    uint64_t port = PF_DEFAULT_PORT;

    if (!copy(host, out->host, sizeof out->host) ||
        (bracket ? !skip(s, ']') || !is_ipv6(out->host)
                 : !host_name_ok(out->host)))
        return wrong(err, "host", "is not a name or an address");
    if (skip(s, ':')) {
        struct piece number = before(s, "/?#");

        if (!pf_parse_u64(number.p, number.len, 1, UINT16_MAX, &port))
            return wrong(err, "port", "is not a number from 1 to 65535");
    }
    out->port = (uint16_t)port;
    if (s->len > 0 && !strchr("/?#", *s->p)) /* after ']' */
        return wrong(err, "host", "is not a name or an address");
    return POCKETFED_OK;
}

static int parse_key(struct piece s, uint8_t out[32])
{
    size_t n = 32;

    return !pf_unbase64url(s.p, s.len, out, &n) && n == 32;
}

static enum pocketfed_status parse_pair(struct piece pair, unsigned *seen,
                                        struct pf_join_link *out,
                                        struct pf_error *err)
{
    enum { V = 1, ID = 2 };
    struct piece name = before(&pair, "=");
    struct piece value = pair;

    if (!skip(&value, '='))
        return wrong(err, "query", "has a part without '='");
    if (piece_is(name, "v")) {
        if (*seen & V)
            return wrong(err, "v", "is given twice");
        *seen |= V;
        if (!piece_is(value, "1")) {
            wrong(err, "v", "is a version that this program does not know");
            pf_hint(err, "update pocketfed");
            return POCKETFED_MALFORMED;
        }
        return POCKETFED_OK;
    }
    if (piece_is(name, "id")) {
        if (*seen & ID)
            return wrong(err, "id", "is given twice");
        *seen |= ID;
        if (!parse_key(value, out->id))
            return wrong(err, "id", "is not 43 base64url characters");
        return POCKETFED_OK;
    }
    if (piece_is(name, "pin")) {
        if (out->n_pins == PF_JOIN_MAX_PINS)
            return wrong(err, "pin", "is given more than four times");
        if (!parse_key(value, out->pins[out->n_pins]))
            return wrong(err, "pin", "is not 43 base64url characters");
        out->n_pins++;
        return POCKETFED_OK;
    }
    return wrong(err, "query", "has a part that is none of v, id and pin");
}

static enum pocketfed_status
parse_query(struct piece *s, struct pf_join_link *out, struct pf_error *err)
{
    enum pocketfed_status st;
    unsigned seen = 0;

    if (!skip(s, '?'))
        return wrong(err, "id", "is missing");
    do {
        st = parse_pair(before(s, "&#"), &seen, out, err);
        if (st)
            return st;
    } while (skip(s, '&'));
    if (!(seen & 1))
        return wrong(err, "v", "is missing");
    if (!(seen & 2))
        return wrong(err, "id", "is missing");
    return POCKETFED_OK;
}

static enum pocketfed_status
parse_token(struct piece *s, struct pf_join_link *out, struct pf_error *err)
{
    if (!skip(s, '#') || s->len == 0) {
        wrong(err, "token", "is missing");
        pf_hint(err, "copy the whole link, with what follows '#'");
        return POCKETFED_MALFORMED;
    }
    if (!copy(*s, out->token, sizeof out->token) || !pf_token_ok(out->token)) {
        wrong(err, "token", "is mistyped or cut short");
        pf_hint(err, "copy the whole link again");
        return POCKETFED_MALFORMED;
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_join_link_parse(const char *text,
                                         struct pf_join_link *out,
                                         struct pf_error *err)
{
    size_t len = strnlen(text, PF_JOIN_LINK_MAX + 1), scheme = strlen(SCHEME);
    struct piece s = trim(text, len), task;
    struct pf_join_link l;
    enum pocketfed_status st;

    if (len > PF_JOIN_LINK_MAX)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "the join link is longer than %d characters",
                       PF_JOIN_LINK_MAX);
    if (s.len < scheme || memcmp(s.p, SCHEME, scheme)) {
        wrong(err, "scheme", "is not " SCHEME);
        pf_hint(err, "make a link with: pocketfed token create TASK");
        return POCKETFED_MALFORMED;
    }
    s.p += scheme;
    s.len -= scheme;
    memset(&l, 0, sizeof l);
    st = parse_address(&s, &l, err);
    if (st)
        return st;
    if (!skip(&s, '/'))
        return wrong(err, "task", "is missing");
    task = before(&s, "?#");
    if (!copy(task, l.task, sizeof l.task) || !pf_task_name_ok(l.task))
        return wrong(err, "task", "is not a task name");
    st = parse_query(&s, &l, err);
    if (!st)
        st = parse_token(&s, &l, err);
    if (!st)
        *out = l;
    return st;
}

/* The checksum of a token's first CHECKED_LEN characters. */
static void checksum(const char *token, char out[7])
{
    uint8_t digest[PF_DIGEST_LEN];
    char text[PF_BASE64_LEN(5) + 1]; /* 40 bits; 36 are 6 characters */

    pf_sha256(token, CHECKED_LEN, digest);
    pf_base64url(digest, 5, text);
    memcpy(out, text, 6);
    out[6] = '\0';
}

enum pocketfed_status pf_token_make(char out[PF_TOKEN_LEN + 1])
{
    char text[PF_TOKEN_LEN + 1], secret_text[PF_BASE64_LEN(SECRET_LEN) + 1];
    uint8_t secret[SECRET_LEN];
    enum pocketfed_status st = pf_random(secret, sizeof secret);

    if (st)
        return st;
    pf_base64url(secret, sizeof secret, secret_text);
    snprintf(text, sizeof text, TOKEN_PREFIX "%.43s", secret_text);
    checksum(text, text + CHECKED_LEN);
    memcpy(out, text, sizeof text);
    return POCKETFED_OK;
}

int pf_token_ok(const char *token)
{
    const size_t prefix = strlen(TOKEN_PREFIX);
    uint8_t secret[SECRET_LEN];
    size_t n = sizeof secret;
    char sum[7];

    if (strnlen(token, PF_TOKEN_LEN + 1) != PF_TOKEN_LEN ||
        memcmp(token, TOKEN_PREFIX, prefix) ||
        pf_unbase64url(token + prefix, CHECKED_LEN - prefix, secret, &n) ||
        n != sizeof secret)
        return 0;
    checksum(token, sum);
    return !memcmp(sum, token + CHECKED_LEN, 6);
}

void pf_token_hash(const char *token, uint8_t out[32])
{
    pf_sha256(token, strlen(token), out);
}
