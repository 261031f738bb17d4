/* isa_avx512.h - 512 bits: AVX-512 F, BW, DQ and VL (x86-64-v4). */
#include <immintrin.h>

#define LANES     16
#define REGISTERS 32
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

ALWAYS_INLINE vec fma_(vec a, vec b, vec c)
{
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

ALWAYS_INLINE vec vmax(vec a, vec b)
{
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
}

ALWAYS_INLINE vec vsqrt(vec a)
{
    return (vec)_mm512_sqrt_ps((__m512)a);
}

ALWAYS_INLINE uint32_t bits_of(ivec mask)
{
    return _mm512_movepi32_mask((__m512i)mask);
}

/* In a register first: compressing to memory is microcoded on some cores. */
ALWAYS_INLINE size_t compress(float *to, vec v, uint32_t bits)
{
    vec r = (vec)_mm512_maskz_compress_ps((__mmask16)bits, (__m512)v);

    memcpy(to, &r, sizeof r);
    return (size_t)__builtin_popcount(bits);
}

ALWAYS_INLINE size_t compress_u32(uint32_t *to, ivec v, uint32_t bits)
{
    ivec r = (ivec)_mm512_maskz_compress_epi32((__mmask16)bits, (__m512i)v);

    memcpy(to, &r, sizeof r);
    return (size_t)__builtin_popcount(bits);
}

/* Within each 128 bits: a0 b0 a1 b1, a2 b2 a3 b3; a0 a1 b0 b1, a2 a3 b2 b3. */
ALWAYS_INLINE vec unpack_low(vec a, vec b)
{
    return (vec)_mm512_unpacklo_ps((__m512)a, (__m512)b);
}

ALWAYS_INLINE vec unpack_high(vec a, vec b)
{
    return (vec)_mm512_unpackhi_ps((__m512)a, (__m512)b);
}

ALWAYS_INLINE vec pair_low(vec a, vec b)
{
    return (vec)_mm512_shuffle_ps((__m512)a, (__m512)b, 0x44);
}

ALWAYS_INLINE vec pair_high(vec a, vec b)
{
    return (vec)_mm512_shuffle_ps((__m512)a, (__m512)b, 0xee);
}

ALWAYS_INLINE vec widen(const uint16_t *h)
{
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h));
}

/* Two products are at most 2 * 127 * 127 < 2^15. */
ALWAYS_INLINE ivec dot4_positive(ivec sum, ivec x, ivec w)
{
    __m512i p = _mm512_maddubs_epi16((__m512i)x, (__m512i)w);

    return sum + (ivec)_mm512_madd_epi16(p, _mm512_set1_epi16(1));
}

/* Unsigned times signed bytes is what there is: the signs move to w. */
ALWAYS_INLINE ivec dot4(ivec sum, ivec x, ivec w)
{
    __m512i turned =
        _mm512_mask_sub_epi8((__m512i)w, _mm512_movepi8_mask((__m512i)x),
                             _mm512_setzero_si512(), (__m512i)w);

    return dot4_positive(sum, (ivec)_mm512_abs_epi8((__m512i)x), (ivec)turned);
}
