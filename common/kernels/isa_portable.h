/* isa_portable.h - 128 bits of whatever the target has, no FMA: runs
 * everywhere, with the same bits everywhere. */
#include <math.h>

#define LANES     4
#define REGISTERS 16
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

#define KEEP(v) (void)(v)

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

ALWAYS_INLINE ivec load_bytes(const uint8_t *from)
{
    return (ivec){from[0], from[1], from[2], from[3]};
}

ALWAYS_INLINE void store_bytes(uint8_t *to, ivec v)
{
    for (int l = 0; l < LANES; l++)
        to[l] = (uint8_t)v[l];
}

/* As half.h does: nothing here is denormal. */
ALWAYS_INLINE vec widen(const uint16_t *h)
{
    ivec all = {h[0], h[1], h[2], h[3]}, u = (all & 0x7fff) << 13;
    ivec small = (ivec)(u < 1u << 23);
    vec v = (vec)(u + (small & 1u << 23) + (112u << 23));

    v -= (vec)(small & 113u << 23); /* 2^-14 */
    return (vec)((ivec)v | (all & 0x8000) << 16);
}

/* In 16 bits: two products are at most 2 * 127 * 127 < 2^15. */
ALWAYS_INLINE ivec dot4(ivec sum, ivec x, ivec w)
{
    typedef int16_t pairs __attribute__((vector_size(4 * LANES)));
    typedef uint16_t bytes __attribute__((vector_size(4 * LANES)));
    typedef int32_t words __attribute__((vector_size(4 * LANES)));
    pairs even = ((pairs)((bytes)x << 8) >> 8) * ((pairs)((bytes)w << 8) >> 8);
    pairs odd = ((pairs)x >> 8) * ((pairs)w >> 8);
    words p = (words)(even + odd);

    return sum + (ivec)((words)((ivec)p << 16) >> 16) + (ivec)(p >> 16);
}

#define dot4_positive dot4
