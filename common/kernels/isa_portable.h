/* isa_portable.h - 128 bits of whatever the target has, no FMA: runs
 * everywhere, with the same bits everywhere. */
#include <math.h>

#define LANES     4
#define REGISTERS 16
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

ALWAYS_INLINE vec fma_(vec a, vec b, vec c)
{
    return a * b + c;
}

ALWAYS_INLINE vec vmax(vec a, vec b)
{
    ivec first = (ivec)(a > b);

    return (vec)(((ivec)a & first) | ((ivec)b & ~first));
}

ALWAYS_INLINE vec vsqrt(vec a)
{
    return (vec){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
}

ALWAYS_INLINE uint32_t bits_of(ivec mask)
{
    return (mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8);
}

/* No compress instruction: a loop over the set bits. */
ALWAYS_INLINE size_t compress(float *to, vec v, uint32_t bits)
{
    size_t n = 0;

    for (int l = 0; l < LANES; l++) {
        to[n] = v[l];
        n += bits >> l & 1;
    }
    return n;
}

ALWAYS_INLINE size_t compress_u32(uint32_t *to, ivec v, uint32_t bits)
{
    size_t n = 0;

    for (int l = 0; l < LANES; l++) {
        to[n] = v[l];
        n += bits >> l & 1;
    }
    return n;
}

/* a0 b0 a1 b1, a2 b2 a3 b3; a0 a1 b0 b1, a2 a3 b2 b3. */
ALWAYS_INLINE vec unpack_low(vec a, vec b)
{
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}

ALWAYS_INLINE vec unpack_high(vec a, vec b)
{
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

ALWAYS_INLINE vec pair_low(vec a, vec b)
{
    return __builtin_shufflevector(a, b, 0, 1, 4, 5);
}

ALWAYS_INLINE vec pair_high(vec a, vec b)
{
    return __builtin_shufflevector(a, b, 2, 3, 6, 7);
}
