/* vec.h - vectors of floats for the sources that are compiled once per
 * instruction set.
 *
 * The build defines PF_ISA (avx2, avx512, neon, portable) and PF_ISA_HEADER,
 * "isa_<PF_ISA>.h", with the primitives that the compiler's vector extensions
 * lack; everything else is ordinary arithmetic on the type vec.  PF_NAME(f) is
 * f's name in this family.  Products are added by fma_(), never by * and +, so
 * that each family rounds in one way only.
 */
#ifndef PF_VEC_H
#define PF_VEC_H

#include <stdint.h>
#include <string.h>
#include "kernels.h"

#define PF_GLUE_(a, b, c) a##b##_##c
#define PF_GLUE(a, b, c)  PF_GLUE_(a, b, c)
#define PF_NAME(f)        PF_GLUE(pf_, PF_ISA, f)

#define PF_STRING_(x) #x
#define PF_STRING(x)  PF_STRING_(x)

/* Every kernel of this family. */
#define PF_VEC_KERNEL(name, type, args) type PF_NAME(name) args;
PF_KERNELS(PF_VEC_KERNEL)
#undef PF_VEC_KERNEL

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* PF_ISA_HEADER sets LANES, the types vec and ivec, and the primitives:
 *   vec fma_(vec a, vec b, vec c)        a b + c, rounded once where the
 *                                        processor can
 *   KEEP(v)                              v is in a register from here on: the
 *        compiler would rather load it again for each use
 *   vec vmax(vec a, vec b), vsqrt(vec a)
 *   uint32_t bits_of(ivec mask)          bit l set where lane l is all ones, as
 *                                        comparisons make it
 *   size_t compress(float *to, vec v, uint32_t bits)   lanes whose bits are
 *        set, side by side; may write LANES floats in all cases, returns how
 *        many count
 *   size_t compress_u32(uint32_t *to, ivec v, uint32_t bits)   the same
 *   unpack_low, unpack_high, pair_low, pair_high(vec a, vec b)   shuffles of
 *        two vectors within each 128 bits
 *   quad fold(vec v)                     the sum of its 128-bit parts
 *   store_quads(float *to, size_t step, vec v)   its 128-bit parts, step floats
 *        apart; both where LANES > 4
 *   ivec load_bytes(const uint8_t *from), store_bytes(uint8_t *to, ivec v)
 *        LANES bytes; values below 256
 *   #define HAS_PARTS, load_part, store_part   where there are instructions for
 *        a part of a vector
 *   vec widen(const uint16_t *h)         LANES values of IEEE binary16, finite
 *   ivec dot4(ivec sum, ivec x, ivec w)  sum + the four products of the bytes
 *        in each lane, all in -127..127
 *   dot4_positive                        the same for x without negative bytes;
 *        a macro where that is no faster
 */
typedef float quad __attribute__((vector_size(16)));

#include PF_ISA_HEADER

ALWAYS_INLINE vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* x in all lanes; - 0.0f keeps the sign of a zero */
ALWAYS_INLINE vec splat(float x)
{
    return x - (vec){0};
}

/* Lanes of a where mask is all ones, else of b. */
ALWAYS_INLINE vec choose(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

/* NaN stays NaN. */
ALWAYS_INLINE vec activate(enum pf_act act, vec slope, vec z)
{
    ivec low = (ivec)(z < (vec){0});

    if (act == PF_ACT_RELU)
        return (vec)((ivec)z & ~low);
    return act == PF_ACT_LEAKY ? choose(low, z * slope, z) : z;
}

#if LANES == 4
#define fold(v) (v)

ALWAYS_INLINE void store_quads(float *to, size_t step, vec v)
{
    (void)step;
    store(to, v);
}
#endif

#ifndef HAS_PARTS
/* The first n < LANES floats, the other lanes zero; reads nothing past them. */
ALWAYS_INLINE vec load_part(const float *p, size_t n)
{
    vec v = {0};
    memcpy(&v, p, n * sizeof *p);
    return v;
}

ALWAYS_INLINE void store_part(float *p, vec v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}
#endif

/* The same for bytes. */
ALWAYS_INLINE ivec load_some_bytes(const uint8_t *p, size_t n)
{
    uint8_t b[LANES] = {0};
    memcpy(b, p, n);
    return load_bytes(b);
}

ALWAYS_INLINE void store_some_bytes(uint8_t *p, ivec v, size_t n)
{
    uint8_t b[LANES];
    store_bytes(b, v);
    memcpy(p, b, n);
}

#endif
