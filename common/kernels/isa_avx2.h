/* isa_avx2.h - 256 bits with FMA (x86-64-v3). */
#include <immintrin.h>

#define LANES     8
#define REGISTERS 16
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

#define KEEP(v) __asm__("" : "+x"(v))

ALWAYS_INLINE vec fma_(vec a, vec b, vec c)
{
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

ALWAYS_INLINE vec vmax(vec a, vec b)
{
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
}

ALWAYS_INLINE vec vsqrt(vec a)
{
    return (vec)_mm256_sqrt_ps((__m256)a);
}

ALWAYS_INLINE uint32_t bits_of(ivec mask)
{
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
}

/* Indices of the set bits of each byte, from a table built at compile time
 * would be 8 KB; they follow from pdep and pext instead. */
ALWAYS_INLINE __m256i compress_order(uint32_t bits)
{
    uint64_t lanes = _pdep_u64(bits, 0x0101010101010101u) * 0xff;
    uint64_t order = _pext_u64(0x0706050403020100u, lanes);

    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)order));
}

ALWAYS_INLINE size_t compress(float *to, vec v, uint32_t bits)
{
    vec r = (vec)_mm256_permutevar8x32_ps((__m256)v, compress_order(bits));

    memcpy(to, &r, sizeof r);
    return (size_t)__builtin_popcount(bits);
}

ALWAYS_INLINE size_t compress_u32(uint32_t *to, ivec v, uint32_t bits)
{
    ivec r =
        (ivec)_mm256_permutevar8x32_epi32((__m256i)v, compress_order(bits));

    memcpy(to, &r, sizeof r);
    return (size_t)__builtin_popcount(bits);
}

/* Within each 128 bits: a0 b0 a1 b1, a2 b2 a3 b3; a0 a1 b0 b1, a2 a3 b2 b3. */
ALWAYS_INLINE vec unpack_low(vec a, vec b)
{
    return (vec)_mm256_unpacklo_ps((__m256)a, (__m256)b);
}

ALWAYS_INLINE vec unpack_high(vec a, vec b)
{
    return (vec)_mm256_unpackhi_ps((__m256)a, (__m256)b);
}

ALWAYS_INLINE vec pair_low(vec a, vec b)
{
    return (vec)_mm256_shuffle_ps((__m256)a, (__m256)b, 0x44);
}

ALWAYS_INLINE vec pair_high(vec a, vec b)
{
    return (vec)_mm256_shuffle_ps((__m256)a, (__m256)b, 0xee);
}

#define HAS_PARTS
ALWAYS_INLINE __m256i first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

ALWAYS_INLINE vec load_part(const float *p, size_t n)
{
    return (vec)_mm256_maskload_ps(p, first_lanes(n));
}

ALWAYS_INLINE void store_part(float *p, vec v, size_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), (__m256)v);
}

ALWAYS_INLINE quad fold(vec v)
{
    return (quad)_mm_add_ps(_mm256_castps256_ps128((__m256)v),
                            _mm256_extractf128_ps((__m256)v, 1));
}

ALWAYS_INLINE void store_quads(float *to, size_t step, vec v)
{
    _mm_storeu_ps(to, _mm256_castps256_ps128((__m256)v));
    _mm_storeu_ps(to + step, _mm256_extractf128_ps((__m256)v, 1));
}

ALWAYS_INLINE ivec load_bytes(const uint8_t *from)
{
    return (ivec)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
}

ALWAYS_INLINE void store_bytes(uint8_t *to, ivec v)
{
    __m128i low = _mm256_castsi256_si128((__m256i)v);
    __m128i high = _mm256_extracti128_si256((__m256i)v, 1);
    __m128i words = _mm_packus_epi32(low, high);

    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(words, words));
}

ALWAYS_INLINE vec widen(const uint16_t *h)
{
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

/* Two products are at most 2 * 127 * 127 < 2^15. */
ALWAYS_INLINE ivec dot4_positive(ivec sum, ivec x, ivec w)
{
    __m256i p = _mm256_maddubs_epi16((__m256i)x, (__m256i)w);

    return sum + (ivec)_mm256_madd_epi16(p, _mm256_set1_epi16(1));
}

/* Unsigned times signed bytes is what there is: the signs move to w. */
ALWAYS_INLINE ivec dot4(ivec sum, ivec x, ivec w)
{
    return dot4_positive(sum, (ivec)_mm256_abs_epi8((__m256i)x),
                         (ivec)_mm256_sign_epi8((__m256i)w, (__m256i)x));
}
