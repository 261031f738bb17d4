#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 64

static void set(struct pf_error *err, enum pocketfed_status status,
                const char *fmt, va_list args) PF_PRINTF(3, 0);

static void set(struct pf_error *err, enum pocketfed_status status,
                const char *fmt, va_list args)
{
    err->status = status;
    err->hint[0] = '\0';
    vsnprintf(err->text, sizeof err->text, fmt, args);
}

enum pocketfed_status pf_fail(struct pf_error *err,
                              enum pocketfed_status status, const char *fmt,
                              ...)
{
    va_list args;

    if (!err)
        return status;
    va_start(args, fmt);
    set(err, status, fmt, args);
    va_end(args);
    return status;
}

void pf_hint(struct pf_error *err, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return;
    va_start(args, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
}

enum pocketfed_status pf_fail_errno(struct pf_error *err, int errnum,
                                    const char *fmt, ...)
{
    char why[128];
    size_t used;
    va_list args;

    if (!err)
        return POCKETFED_IO;
    if (strerror_r(errnum, why, sizeof why) != 0)
        snprintf(why, sizeof why, "error %d", errnum);
    va_start(args, fmt);
    set(err, POCKETFED_IO, fmt, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", why);
    if (errnum == ENOSPC || errnum == EDQUOT)
        pf_hint(err, "free some space there, then try again");
    return POCKETFED_IO;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours. Both
 * words are at most WORD_MAX long. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][WORD_MAX + 1]; /* before last, last, current */
    size_t *before = row[0], *last = row[1], *now = row[2], *t;
    size_t i, j;

    for (j = 0; j <= m; j++)
        last[j] = before[j] = j;
    for (i = 1; i <= n; i++) {
        now[0] = i;
        for (j = 1; j <= m; j++) {
            size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);

            d = least(d, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = least(d, before[j - 2] + 1);
            now[j] = d;
        }
        t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[m];
}

const char *pf_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t n = strlen(word), best_d, d, m;

    if (n == 0 || n > WORD_MAX)
        return NULL;
    best_d = 1 + n / 3; /* farther is a guess, not a spelling mistake */
    for (; *names; names++) {
        m = strlen(*names);
        if (m == 0 || m > WORD_MAX)
            continue;
        d = distance(word, n, *names, m);
        if (d >= n || d >= m) /* nothing in common but a length */
            continue;
        if (d < best_d || (d == best_d && !best)) {
            best = *names;
            best_d = d;
        }
    }
    return best;
}
