/* isa_fma128.h - 128 bits with FMA on x86-64: NEON's width, to compare counts
 * of instructions with. Built with POCKETFED_FMA128 only. */
#include <immintrin.h>

#define LANES     4
#define REGISTERS 16
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

#define KEEP(v) __asm__("" : "+x"(v))

ALWAYS_INLINE vec fma_(vec a, vec b, vec c)
{
    return (vec)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
}

ALWAYS_INLINE vec vmax(vec a, vec b)
{
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
}

ALWAYS_INLINE vec vsqrt(vec a)
{
    return (vec)_mm_sqrt_ps((__m128)a);
}

ALWAYS_INLINE uint32_t bits_of(ivec mask)
{
    return (uint32_t)_mm_movemask_ps((__m128)mask);
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

/* Within each 128 bits: a0 b0 a1 b1, a2 b2 a3 b3; a0 a1 b0 b1, a2 a3 b2 b3. */
ALWAYS_INLINE vec unpack_low(vec a, vec b)
{
    return (vec)_mm_unpacklo_ps((__m128)a, (__m128)b);
}

ALWAYS_INLINE vec unpack_high(vec a, vec b)
{
    return (vec)_mm_unpackhi_ps((__m128)a, (__m128)b);
}

ALWAYS_INLINE vec pair_low(vec a, vec b)
{
    return (vec)_mm_shuffle_ps((__m128)a, (__m128)b, 0x44);
}

ALWAYS_INLINE vec pair_high(vec a, vec b)
{
    return (vec)_mm_shuffle_ps((__m128)a, (__m128)b, 0xee);
}

ALWAYS_INLINE ivec load_bytes(const uint8_t *from)
{
    return (ivec)_mm_cvtepu8_epi32(_mm_loadu_si32(from));
}

ALWAYS_INLINE void store_bytes(uint8_t *to, ivec v)
{
    __m128i words = _mm_packus_epi32((__m128i)v, (__m128i)v);

    _mm_storeu_si32(to, _mm_packus_epi16(words, words));
}

ALWAYS_INLINE vec widen(const uint16_t *h)
{
    return (vec)_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)h));
}

/* Two products are at most 2 * 127 * 127 < 2^15. */
ALWAYS_INLINE ivec dot4_positive(ivec sum, ivec x, ivec w)
{
    __m128i p = _mm_maddubs_epi16((__m128i)x, (__m128i)w);

    return sum + (ivec)_mm_madd_epi16(p, _mm_set1_epi16(1));
}

/* Unsigned times signed bytes is what there is: the signs move to w. */
ALWAYS_INLINE ivec dot4(ivec sum, ivec x, ivec w)
{
    return dot4_positive(sum, (ivec)_mm_abs_epi8((__m128i)x),
                         (ivec)_mm_sign_epi8((__m128i)w, (__m128i)x));
}
