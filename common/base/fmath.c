/* Each function reduces its argument to a small interval, carrying what the
 * reduction rounds off in a second double, and sums a Taylor series there:
 * the coefficients are plain fractions and the truncation error is below
 * 2^-58.  Nothing here depends on -ffp-contract (off for the whole build) or
 * on anything that IEEE 754 leaves open. */
#include "fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln 2 in two parts; the first has 40 bits, so k * LN2_HI is exact for every
 * exponent k. */
#define LN2_HI 0x1.62e42fefa2p-1
#define LN2_LO 0x1.9ef35793c7673p-41

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double of_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* 2^k for -1022 <= k <= 1023. */
static double power2(int k)
{
    return of_bits((uint64_t)(k + 1023) << 52);
}

/* The whole number nearest to x, ties away from zero; |x| < 2^31. */
static int nearest(double x)
{
    return (int)(x < 0 ? x - 0.5 : x + 0.5);
}

/* c[n] x^n + ... + c[0] */
static double horner(const double *c, int n, double x)
{
    double s = c[n];

    while (n-- > 0)
        s = s * x + c[n];
    return s;
}

/* x = k ln 2 + r + lo with |r| <= 0.35; returns exp(r + lo) - 1 - r, which is
 * small, so that the caller adds r to it last. |x| < 800. */
static double exp_reduce(double x, int *k, double *r)
{
    static const double c[] = {
        1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
        1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
        1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
    };
    double hi, lo, t;

    *k = nearest(x * 0x1.71547652b82fep0); /* 1 / ln 2 */
    hi = x - *k * LN2_HI;
    lo = *k * LN2_LO;
    t = hi - lo;
    lo = (hi - t) - lo;
    *r = t;
    return t * t * horner(c, 11, t) + (lo + lo * t);
}

double pf_exp(double x)
{
    double r, e;
    int k;

    if (x != x)
        return x;
    if (x > 709.8) /* ln 2^1024 = 709.78 */
        return (double)INFINITY;
    if (x < -745.2) /* ln 2^-1075 = -745.13 */
        return 0;
    e = exp_reduce(x, &k, &r);
    e = 1 + (r + e);
    if (k > 1022) /* 2^1024 is not a double, twice 2^1023 may be too much */
        return e * power2(k - 1) * 2;
    if (k < -1022)
        return e * power2(k + 100) * 0x1p-100;
    return e * power2(k);
}

double pf_ln(double x)
{
    static const double c[] = {
        2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
        2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23,
    };
    double f, s, z, h, p;
    uint64_t u;
    int k = 0;

    if (x != x || x < 0)
        return (double)NAN;
    if (x == 0)
        return -(double)INFINITY;
    if (x > 0x1.fffffffffffffp1023)
        return x;
    if (x < 0x1p-1022) { /* subnormal */
        x *= 0x1p54;
        k = -54;
    }
    /* x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)) */
    u = bits_of(x);
    k += (int)(u >> 52) - 1023;
    f = of_bits((u & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (f >= 0x1.6a09e667f3bcdp0) {
        f *= 0.5;
        k++;
    }
    f -= 1;
    /* log(1 + f) = 2 artanh s with s = f / (2 + f), and 2 s = f - s f, so
     * = f - (h - s (h + p)) with h = f^2 / 2, where f is exact and the rest
     * is small beside it; p = 2 s^2/3 + 2 s^4/5 + ... */
    s = f / (2 + f);
    z = s * s;
    h = 0.5 * f * f;
    p = z * horner(c, 10, z);
    if (k == 0)
        return f - (h - s * (h + p));
    return k * LN2_HI - ((h - (s * (h + p) + k * LN2_LO)) - f);
}

/* *lo is what a + b rounds off (Knuth). */
static double two_sum(double a, double b, double *lo)
{
    double s = a + b, t = s - a;

    *lo = (a - (s - t)) + (b - t);
    return s;
}

double pf_tanh(double x)
{
    double a = x < 0 ? -x : x, r, e, t, s, t_lo, s_lo, more;
    int k;

    if (x != x || a <= 0x1p-28) /* x - x^3/3 is x */
        return x;
    if (a > 22) { /* 1 - tanh < 2^-60 */
        t = 1;
    } else if (a >= 0.55) {
        t = 1 - 2 / (pf_exp(2 * a) + 1);
    } else {
        /* t + t_lo = exp(2 a) - 1 without cancellation; tanh = t / (t + 2) */
        e = exp_reduce(2 * a, &k, &r);
        r = two_sum(r, e, &e);
        t = two_sum(power2(k) * r, power2(k) - 1, &t_lo);
        t_lo += power2(k) * e;
        s = two_sum(t, 2, &s_lo);
        more = t_lo - t / s * (s_lo + t_lo);
        t = t / s + more / s;
    }
    return x < 0 ? -t : t;
}

double pf_pow(double x, double y)
{
    if (y == 0 || x == 1)
        return 1;
    return pf_exp(y * pf_ln(x));
}

/* cos and sin of r + lo for |r| <= pi/4 and lo a rounding error of r. */
static double cos_near(double r, double lo)
{
    static const double c[] = {
        1.0 / 24,
        -1.0 / 720,
        1.0 / 40320,
        -1.0 / 3628800,
        1.0 / 479001600,
        -1.0 / 87178291200,
        1.0 / 20922789888000,
        -1.0 / 6402373705728000,
    };
    double z = r * r, h = 0.5 * z, w = 1 - h;

    return w + (((1 - w) - h) + (z * z * horner(c, 7, z) - r * lo));
}

static double sin_near(double r, double lo)
{
    static const double c[] = {
        -1.0 / 6,
        1.0 / 120,
        -1.0 / 5040,
        1.0 / 362880,
        -1.0 / 39916800,
        1.0 / 6227020800,
        -1.0 / 1307674368000,
        1.0 / 355687428096000,
    };
    double z = r * r;

    return r + (r * z * horner(c, 7, z) + lo * (1 - 0.5 * z));
}

double pf_cos(double x)
{
    /* pi/2 in four parts; three of 33 bits, so that k times them is exact */
    static const double p[] = {0x1.921fb544p0, 0x1.0b4611a6p-34,
                               0x1.3198a2ep-69, 0x1.b839a252049c1p-104};
    double r, lo, a, b;
    int k;

    if (!(x >= -1e6 && x <= 1e6)) /* NaN, or outside what we promise */
        return (double)NAN;
    k = nearest(x * 0x1.45f306dc9c883p-1); /* 2 / pi */
    r = two_sum(x - k * p[0], -(k * p[1]), &a);
    r = two_sum(r, -(k * p[2]), &b);
    r = two_sum(r, a + b - k * p[3], &lo);
    switch (k & 3) {
    case 0:
        return cos_near(r, lo);
    case 1:
        return -sin_near(r, lo);
    case 2:
        return -cos_near(r, lo);
    default:
        return sin_near(r, lo);
    }
}
