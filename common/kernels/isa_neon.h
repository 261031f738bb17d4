/* isa_neon.h - 128 bits with FMA: aarch64, and armv7 with NEON and VFPv4. */
#include <arm_neon.h>
#include <math.h>

#define LANES 4
#ifdef __aarch64__
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES)));

#define KEEP(v) __asm__("" : "+w"(v))

ALWAYS_INLINE vec fma_(vec a, vec b, vec c)
{
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

ALWAYS_INLINE vec vmax(vec a, vec b)
{
    return (vec)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
}

ALWAYS_INLINE vec vsqrt(vec a)
{
#ifdef __aarch64__
    return (vec)vsqrtq_f32((float32x4_t)a);
#else
    return (vec){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
#endif
}

ALWAYS_INLINE uint32_t bits_of(ivec mask)
{
    ivec b = mask & (ivec){1, 2, 4, 8};

    return b[0] | b[1] | b[2] | b[3];
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
    uint32_t all;

    memcpy(&all, from, sizeof all);
    return (ivec)vmovl_u16(
        vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(all)))));
}

ALWAYS_INLINE void store_bytes(uint8_t *to, ivec v)
{
    uint16x4_t words = vmovn_u32((uint32x4_t)v);
    uint32_t all = vget_lane_u32(
        vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);

    memcpy(to, &all, sizeof all);
}

ALWAYS_INLINE vec widen(const uint16_t *h)
{
    uint16x4_t v;
    vec f;

    memcpy(&v, h, sizeof v);
#ifdef __aarch64__
    f = (vec)vcvt_f32_f16(vreinterpret_f16_u16(v));
#else
    /* gcc declares the intrinsic under an option that clang does not know */
    __asm__("vcvt.f32.f16 %q0, %P1" : "=w"(f) : "w"(v));
#endif
    return f;
}

/* Two products are at most 2 * 127 * 127 < 2^15. */
ALWAYS_INLINE ivec dot4(ivec sum, ivec x, ivec w)
{
#ifdef __ARM_FEATURE_DOTPROD
    return (ivec)vdotq_s32((int32x4_t)sum, (int8x16_t)x, (int8x16_t)w);
#else
    int8x16_t a = (int8x16_t)x, b = (int8x16_t)w;
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    int16x8_t high = vmull_s8(vget_high_s8(a), vget_high_s8(b));
#ifdef __aarch64__
    int16x8_t pairs = vpaddq_s16(low, high);
#else
    int16x8_t pairs =
        vcombine_s16(vpadd_s16(vget_low_s16(low), vget_high_s16(low)),
                     vpadd_s16(vget_low_s16(high), vget_high_s16(high)));
#endif
    return (ivec)vpadalq_s16((int32x4_t)sum, pairs);
#endif
}

#define dot4_positive dot4
