/* expneg.h - exp, tanh and sigmoid of pf_reals for loops that a compiler turns
 * into vectors: no branch, no call, no table.  Own arithmetic, so bits do not
 * depend on the C library; the double build takes the precise functions.
 *
 * NaN stays NaN.  Relative errors in float, over the arguments that
 * tests/unit/test_layers.c walks: exp under 2e-7, tanh and sigmoid under 4e-7.
 */
#ifndef PF_EXPNEG_H
#define PF_EXPNEG_H

#include <stdint.h>
#include <string.h>

#include "fmath.h"
#include "real.h"

#ifdef PF_REAL_DOUBLE

static inline double pf_exp_neg(double x)
{
    return pf_exp(x);
}

static inline double pf_real_tanh(double x)
{
    return pf_tanh(x);
}

static inline double pf_real_sigmoid(double x)
{
    double e = pf_exp(x < 0 ? x : -x);

    return (x < 0 ? e : 1) / (1 + e);
}

#else

/* exp(x) for x <= 0; below -87.3, where floats become denormal, exp(-87.3).
 * x = k ln 2 + r, |r| <= 0.35: the sum of 1.5 * 2^23 and x / ln 2 is rounded to
 * the whole k, which stands in its lowest bits. exp(r) is its Taylor series,
 * cut at an error of 2e-8. */
static inline float pf_exp_neg(float x)
{
    const float big = 12582912.0f;
    float t, k, r, e, scale;
    uint32_t bits;

    x = x < -87.3f ? -87.3f : x;
    t = x * 1.44269504f + big;
    k = t - big;
    r = x - k * 0.693359375f; /* ln 2 in two parts, the first of nine bits */
    r = r + k * 2.12194440e-4f;
    e = 1.0f / 5040;
    e = e * r + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = (e * r * r + r) + 1.0f;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits << 23) + 0x3f800000u; /* 2^k */
    memcpy(&scale, &bits, sizeof scale);
    return e * scale;
}

/* (1 - e) / (1 + e) with e = exp(-2|x|), which loses digits near zero; there
 * the continued fraction of tanh, cut behind its fifth part. */
static inline float pf_real_tanh(float x)
{
    float a = x < 0 ? -x : x, z = x * x;
    float e = pf_exp_neg(-2 * a);
    float near = x * (945 + z * (105 + z)) / (945 + z * (420 + 15 * z));
    float far = (1 - e) / (1 + e);

    far = x < 0 ? -far : far;
    return a < 0.7f ? near : far;
}

static inline float pf_real_sigmoid(float x)
{
    float e = pf_exp_neg(x < 0 ? x : -x);

    return (x < 0 ? e : 1) / (1 + e);
}

#endif

#endif
