/* half.h - IEEE 754 binary16 by integer arithmetic. */
#ifndef PF_HALF_H
#define PF_HALF_H

#include <stdint.h>
#include <string.h>

#define PF_HALF_MAX 65504.0f

/* To the nearest, ties to even; |x| <= PF_HALF_MAX. */
static inline uint16_t pf_half_of(float x)
{
    uint32_t u, sign, rest, shift, kept;

    memcpy(&u, &x, sizeof u);
    sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u < 0x33000000) /* below half of the smallest one, 2^-24 */
        return (uint16_t)sign;
    shift = 13;
    if (u < 0x38800000) { /* below 2^-14: no implicit one */
        shift += 113 - (u >> 23);
        u = (u & 0x7fffff) | 0x800000;
    } else {
        u -= 112u << 23;
    }
    kept = u >> shift;
    rest = u & ((1u << shift) - 1);
    if (rest + (kept & 1) > 1u << (shift - 1))
        kept++;
    return (uint16_t)(sign | kept);
}

/* Exact; h is finite. No float here is denormal, so that the processor's mode
 * for these does not matter. */
static inline float pf_half_value(uint16_t h)
{
    uint32_t u = (uint32_t)(h & 0x7fff) << 13, sign;
    int small = u < 1u << 23; /* no implicit one: m 2^-24 */
    float x;

    u += (small ? 113u : 112u) << 23; /* the exponents' biases: 127, 15 */
    memcpy(&x, &u, sizeof x);
    if (small)
        x -= 0x1p-14f;
    memcpy(&u, &x, sizeof u);
    sign = (uint32_t)(h & 0x8000) << 16;
    u |= sign;
    memcpy(&x, &u, sizeof x);
    return x;
}

#endif
