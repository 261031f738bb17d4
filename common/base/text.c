#include "text.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

void pf_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int pf_unhex(const char *s, size_t len, uint8_t *out, size_t n)
{
    size_t i;

    if (len % 2 != 0 || len / 2 != n)
        return 0;
    for (i = 0; i < len; i++) /* before the first byte is written */
        if (hex_digit(s[i]) < 0)
            return 0;
    for (i = 0; i < n; i++)
        out[i] = (uint8_t)(hex_digit(s[2 * i]) << 4 | hex_digit(s[2 * i + 1]));
    return 1;
}

/* digit62 and digit63 are what the two alphabets differ in. */
static char digit64(unsigned v, const char *last)
{
    if (v < 26)
        return (char)('A' + v);
    if (v < 52)
        return (char)('a' + (v - 26));
    if (v < 62)
        return (char)('0' + (v - 52));
    return last[v - 62];
}

static int value64(char c, const char *last)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == last[0])
        return 62;
    return c == last[1] ? 63 : -1;
}

static size_t encode64(const uint8_t *p, size_t n, const char *last, int padded,
                       char *out)
{
    size_t i, k, o = 0;

    for (i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        unsigned v = (unsigned)p[i] << 16;

        if (left > 1)
            v |= (unsigned)p[i + 1] << 8;
        if (left > 2)
            v |= p[i + 2];
        for (k = 0; k < 4; k++, v <<= 6) {
            if (k <= left)
                out[o++] = digit64(v >> 18 & 63, last);
            else if (padded)
                out[o++] = '=';
        }
    }
    out[o] = '\0';
    return o;
}

size_t pf_base64(const uint8_t *p, size_t n, char *out)
{
    return encode64(p, n, "+/", 1, out);
}

size_t pf_base64url(const uint8_t *p, size_t n, char *out)
{
    return encode64(p, n, "-_", 0, out);
}

/* s holds digits only, no padding. */
static enum pocketfed_status decode64(const char *s, size_t len,
                                      const char *last, uint8_t *out,
                                      size_t *out_len)
{
    size_t n = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0), i, o = 0;
    unsigned v = 0, bits = 0;

    if (len % 4 == 1)
        return POCKETFED_MALFORMED;
    for (i = 0; i < len; i++)
        if (value64(s[i], last) < 0)
            return POCKETFED_MALFORMED;
    /* Bits beyond the last byte must be zero: one text for one content. */
    if (len % 4 == 2 && (value64(s[len - 1], last) & 15))
        return POCKETFED_MALFORMED;
    if (len % 4 == 3 && (value64(s[len - 1], last) & 3))
        return POCKETFED_MALFORMED;
    if (n > *out_len)
        return POCKETFED_LIMIT;
    for (i = 0; i < len; i++) {
        v = (v << 6 | (unsigned)value64(s[i], last)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[o++] = (uint8_t)(v >> bits);
        }
    }
    *out_len = n;
    return POCKETFED_OK;
}

enum pocketfed_status pf_unbase64(const char *s, size_t len, uint8_t *out,
                                  size_t *out_len)
{
    if (len % 4 != 0)
        return POCKETFED_MALFORMED;
    if (len > 0 && s[len - 1] == '=') {
        len--;
        if (s[len - 1] == '=')
            len--;
    }
    return decode64(s, len, "+/", out, out_len);
}

enum pocketfed_status pf_unbase64url(const char *s, size_t len, uint8_t *out,
                                     size_t *out_len)
{
    return decode64(s, len, "-_", out, out_len);
}

/* Digits without a leading zero; 1 or 0. */
static int digits_u64(const char *s, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    size_t i;

    if (len == 0 || (len > 1 && s[0] == '0'))
        return 0;
    for (i = 0; i < len; i++) {
        unsigned d = (unsigned)(s[i] - '0');

        if (d > 9 || v > (UINT64_MAX - d) / 10)
            return 0;
        v = v * 10 + d;
    }
    *out = v;
    return 1;
}

int pf_parse_u64(const char *s, size_t len, uint64_t min, uint64_t max,
                 uint64_t *out)
{
    uint64_t v;

    if (!digits_u64(s, len, &v) || v < min || v > max)
        return 0;
    *out = v;
    return 1;
}

int pf_parse_i64(const char *s, size_t len, int64_t min, int64_t max,
                 int64_t *out)
{
    int minus = len > 0 && s[0] == '-';
    uint64_t u;
    int64_t v;

    if (!digits_u64(s + minus, len - (size_t)minus, &u))
        return 0;
    if (minus) {
        if (u > (uint64_t)INT64_MAX + 1)
            return 0;
        v = u ? -(int64_t)(u - 1) - 1 : 0;
    } else {
        if (u > INT64_MAX)
            return 0;
        v = (int64_t)u;
    }
    if (v < min || v > max)
        return 0;
    *out = v;
    return 1;
}

static size_t count_digits(const char *s, size_t len)
{
    size_t n = 0;

    while (n < len && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

/* [-] digits [. digits] [e [+-] digits], a digit before or after the point.
 * *point is where the point is, or len. */
static int is_decimal(const char *s, size_t len, size_t *point)
{
    size_t i = len > 0 && s[0] == '-', whole, part = 0, n;

    *point = len;
    whole = count_digits(s + i, len - i);
    i += whole;
    if (i < len && s[i] == '.') {
        *point = i++;
        part = count_digits(s + i, len - i);
        i += part;
    }
    if (whole + part == 0)
        return 0;
    if (i < len && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < len && (s[i] == '+' || s[i] == '-'))
            i++;
        n = count_digits(s + i, len - i);
        if (n == 0)
            return 0;
        i += n;
    }
    return i == len;
}

int pf_parse_double(const char *s, size_t len, double *out)
{
    char buf[400];
    const char *mark = localeconv()->decimal_point; /* what strtod expects */
    size_t point, n_mark = strlen(mark), n = 0;
    char *end;
    double d;

    if (!is_decimal(s, len, &point) || len + n_mark >= sizeof buf)
        return 0;
    memcpy(buf, s, point);
    n = point;
    if (point < len) {
        memcpy(buf + n, mark, n_mark);
        n += n_mark;
        memcpy(buf + n, s + point + 1, len - point - 1);
        n += len - point - 1;
    }
    buf[n] = '\0';
    d = strtod(buf, &end);
    if (end != buf + n || !(d - d == 0)) /* inf - inf is NaN */
        return 0;
    *out = d;
    return 1;
}
