/* isa_avx512.h - 512 bits: AVX-512 F, BW, DQ and VL (x86-64-v4). */
#include <immintrin.h>

#define LANES     16
#define REGISTERS 32
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

#define KEEP(v) __asm__("" : "+v"(v))

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

#define HAS_PARTS
ALWAYS_INLINE vec load_part(const float *p, size_t n)
{
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

ALWAYS_INLINE void store_part(float *p, vec v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}

ALWAYS_INLINE quad fold(vec v)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256((__m512)v),
                             _mm512_extractf32x8_ps((__m512)v, 1));

    return (quad)_mm_add_ps(_mm256_castps256_ps128(h),
                            _mm256_extractf128_ps(h, 1));
}

ALWAYS_INLINE void store_quads(float *to, size_t step, vec v)
{
    _mm_storeu_ps(to, _mm512_castps512_ps128((__m512)v));
    _mm_storeu_ps(to + step, _mm512_extractf32x4_ps((__m512)v, 1));
    _mm_storeu_ps(to + 2 * step, _mm512_extractf32x4_ps((__m512)v, 2));
    _mm_storeu_ps(to + 3 * step, _mm512_extractf32x4_ps((__m512)v, 3));
}

ALWAYS_INLINE ivec load_bytes(const uint8_t *from)
{
    return (ivec)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
}

ALWAYS_INLINE void store_bytes(uint8_t *to, ivec v)
{
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8((__m512i)v));
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
