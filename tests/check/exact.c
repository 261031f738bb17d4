#include "exact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWEST (-512) /* exponent of the lowest bit */

typedef unsigned __int128 wide;

/* |x| = *mantissa * 2^(what is returned). */
static int split(double x, uint64_t *mantissa)
{
    uint64_t bits;
    int e;

    memcpy(&bits, &x, sizeof bits);
    e = (int)(bits >> 52 & 0x7ff);
    *mantissa = bits & ((UINT64_C(1) << 52) - 1);
    if (e == 0)
        return -1074;
    *mantissa |= UINT64_C(1) << 52;
    return e - 1075;
}

void exact_zero(struct exact *e)
{
    memset(e, 0, sizeof *e);
}

/* e += sign * term * 2^(64 * at), where a negative term is its complement plus
 * one, sign-extended to the top. */
static void add_words(struct exact *e, const uint64_t term[4], unsigned at,
                      int negative)
{
    uint64_t carry = negative != 0;
    unsigned i;

    for (i = at; i < EXACT_WORDS; i++) {
        uint64_t t = i - at < 4 ? term[i - at] : 0;
        wide sum = (wide)e->word[i] + (negative ? ~t : t) + carry;

        e->word[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

void exact_add(struct exact *e, double a, double b, uint64_t n)
{
    uint64_t ma, mb, part[3], term[4];
    int at = split(a, &ma) + split(b, &mb) - LOWEST;
    unsigned shift;
    wide p, low, high;

    if (ma == 0 || mb == 0 || n == 0)
        return;
    if (at < 0 || at / 64 + 4 >= EXACT_WORDS) {
        fprintf(stderr, "exact: %g * %g is out of range\n", a, b);
        abort();
    }
    p = (wide)ma * mb;
    low = (wide)(uint64_t)p * n;
    high = (wide)(uint64_t)(p >> 64) * n + (uint64_t)(low >> 64);
    part[0] = (uint64_t)low;
    part[1] = (uint64_t)high;
    part[2] = (uint64_t)(high >> 64);
    shift = (unsigned)at % 64;
    term[0] = part[0] << shift;
    term[1] = part[1] << shift | (shift ? part[0] >> (64 - shift) : 0);
    term[2] = part[2] << shift | (shift ? part[1] >> (64 - shift) : 0);
    term[3] = shift ? part[2] >> (64 - shift) : 0;
    add_words(e, term, (unsigned)at / 64, (a < 0) != (b < 0));
}

static struct exact magnitude(const struct exact *e)
{
    struct exact m = *e;
    uint64_t carry = 1;
    unsigned i;

    if (!(e->word[EXACT_WORDS - 1] >> 63))
        return m;
    for (i = 0; i < EXACT_WORDS; i++) {
        m.word[i] = ~e->word[i] + carry;
        carry = carry && m.word[i] == 0;
    }
    return m;
}

int exact_within(const struct exact *e, const struct exact *most)
{
    struct exact a = magnitude(e), b = magnitude(most);
    unsigned i;

    for (i = EXACT_WORDS; i-- > 0;)
        if (a.word[i] != b.word[i])
            return a.word[i] < b.word[i];
    return 1;
}

double exact_clamp(double x, double range, unsigned bits)
{
    double most = range - range / (double)(UINT64_C(1) << (bits - 1));

    return x > most ? most : x < -most ? -most : x;
}

int64_t exact_round(double x, int shift)
{
    uint64_t m, left, half;
    int e = split(x, &m) + shift;

    if (e >= 0) {
        m <<= e;
    } else if (e <= -64) {
        m = 0; /* m < 2^53: below a half */
    } else {
        left = m & ((UINT64_C(1) << -e) - 1);
        half = UINT64_C(1) << (-e - 1);
        m >>= -e;
        m += left > half || (left == half && (m & 1));
    }
    return x < 0 ? -(int64_t)m : (int64_t)m;
}

double exact_ulp(float x)
{
    uint32_t bits;
    float next;

    memcpy(&bits, &x, sizeof bits);
    bits &= 0x7fffffff;
    memcpy(&x, &bits, sizeof x);
    bits++;
    memcpy(&next, &bits, sizeof next);
    return (double)next - (double)x;
}
