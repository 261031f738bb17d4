/* Compiled once per row of pf_coords_for() in CMakeLists.txt, named PF_ISA. */
#include "coords.h"

#include <string.h>

/* 1.5 * 2^52: for |v| < 2^51 the doubles v + MAGIC are one apart, so the
 * addition itself rounds v half to even, and the difference of the two bit
 * patterns is the rounded integer. No conversion, no branch: the loops below
 * become vector code. */
#define MAGIC      6755399441055744.0
#define MAGIC_BITS INT64_C(0x4338000000000000)
#define LANES      8

static inline double quanta(const struct pf_quantiser *q, float x)
{
    double v = (double)x * q->mul; /* exact: a power of two */

    v = v < q->lim ? v : q->lim;
    v = v > -q->lim ? v : -q->lim;
    return v * q->factor;
}

static void add_heavy(int64_t *restrict value, const float *restrict x,
                      size_t n, const struct pf_quantiser *by, int64_t weight)
{
    const struct pf_quantiser q = *by;

    for (size_t i = 0; i < n; i++) {
        double v = quanta(&q, x[i]) + MAGIC;
        int64_t bits;

        memcpy(&bits, &v, sizeof bits);
        value[i] += (bits - MAGIC_BITS) * weight;
    }
}

/* Every product is below 2^51 and so exact in double: vector units of x86-64
 * before AVX-512 multiply no integers of 64 bits. */
static void add_light(int64_t *restrict value, const float *restrict x,
                      size_t n, const struct pf_quantiser *by, double weight)
{
    const struct pf_quantiser q = *by;

    for (size_t i = 0; i < n; i++) {
        double v = (quanta(&q, x[i]) + MAGIC) - MAGIC;
        int64_t bits;

        v = v * weight + MAGIC;
        memcpy(&bits, &v, sizeof bits);
        value[i] += bits - MAGIC_BITS;
    }
}

static size_t outside(const float *x, size_t n, float most)
{
    uint32_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += (x[i] > most) | (x[i] < -most);
    return count;
}

/* In eight fixed lanes: the same bits everywhere and vector code. Squares of
 * floats cannot overflow a double, so the sum is finite when every x is. */
static double squares(const float *x, size_t n)
{
    double lane[LANES] = {0}, total = 0;
    size_t i, k;

    for (i = 0; i + LANES <= n; i += LANES)
        for (k = 0; k < LANES; k++)
            lane[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++)
        lane[i % LANES] += (double)x[i] * (double)x[i];
    for (k = 0; k < LANES; k++)
        total += lane[k];
    return total;
}

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define TEXT_(a)    #a
#define TEXT(a)     TEXT_(a)

extern const struct pf_coords JOIN(pf_coords_, PF_ISA);
const struct pf_coords JOIN(pf_coords_, PF_ISA) = {TEXT(PF_ISA), add_heavy,
                                                   add_light, outside, squares};
