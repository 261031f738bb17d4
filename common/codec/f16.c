/* f16: two bytes a coordinate, little-endian IEEE 754 binary16, rounded to
 * nearest, ties to even; a finite value that would round to infinity is
 * refused.  In integers only, so the bits are the same on every machine. */
#include "codec.h"

#include <math.h>
#include <string.h>
#include "bytes.h"

#define HALF_INFINITY 0x7c00u

static uint16_t half_from_float(float f)
{
    uint32_t u, a, sign, m, shift, h, rest, tie;

    memcpy(&u, &f, sizeof u);
    sign = u >> 16 & 0x8000;
    a = u & 0x7fffffff;
    if (a >= 0x477ff000) /* 65520, half way from the largest half to 2^16 */
        return (uint16_t)(sign | HALF_INFINITY);
    if (a < 0x33000000) /* 2^-25, half of the smallest half */
        return (uint16_t)sign;
    if (a >= 0x38800000) { /* 2^-14: a normal half */
        a += 0xfff + (a >> 13 & 1);
        return (uint16_t)(sign | (a - 0x38000000) >> 13);
    }
    m = (a & 0x7fffff) | 0x800000;
    shift = 126 - (a >> 23); /* 14..24: m counts 2^-24 / 2^shift */
    h = m >> shift;
    rest = m & ((1u << shift) - 1);
    tie = 1u << (shift - 1);
    h += rest > tie || (rest == tie && (h & 1));
    return (uint16_t)(sign | h); /* a carry makes the smallest normal */
}

static float float_from_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t e = h >> 10 & 31, m = h & 0x3ff, u;
    float f;

    if (e == 31) {
        u = 0x7f800000 | m << 13;
    } else if (e != 0) {
        u = (e + 112) << 23 | m << 13;
    } else if (m == 0) {
        u = 0;
    } else { /* subnormal half, normal float: shift until the 1 is hidden */
        e = 113;
        while (!(m & 0x400)) {
            m <<= 1;
            e--;
        }
        u = e << 23 | (m & 0x3ff) << 13;
    }
    u |= sign;
    memcpy(&f, &u, sizeof f);
    return f;
}

static size_t max_bytes(size_t dim)
{
    size_t n;

    return pf_mul_size(dim, 2, &n) ? n : SIZE_MAX;
}

static enum pocketfed_status encode(const float *x, size_t dim, uint64_t seed,
                                    struct pf_buf *out)
{
    size_t len = max_bytes(dim);
    uint8_t *p;

    (void)seed;
    if (len == SIZE_MAX)
        return POCKETFED_LIMIT;
    for (size_t i = 0; i < dim; i++) {
        if (!isfinite(x[i]))
            return POCKETFED_NON_FINITE;
        if ((half_from_float(x[i]) & HALF_INFINITY) == HALF_INFINITY)
            return POCKETFED_LIMIT;
    }
    if (len == 0)
        return out->status;
    p = pf_buf_extend(out, len);
    if (!p)
        return out->status;
    for (size_t i = 0; i < dim; i++)
        pf_put16(p + 2 * i, half_from_float(x[i]));
    return POCKETFED_OK;
}

static enum pocketfed_status decode(const uint8_t *in, size_t len, size_t dim,
                                    uint64_t seed, size_t first, size_t n,
                                    float *out)
{
    (void)seed;
    if (len == SIZE_MAX || len != max_bytes(dim) || first > dim ||
        n > dim - first)
        return POCKETFED_MALFORMED;
    for (size_t i = 0; i < n; i++)
        out[i] = float_from_half(pf_get16(in + 2 * (first + i)));
    return POCKETFED_OK;
}

const struct pf_codec pf_codec_f16 = {
    .name = "f16",
    .id = 2,
    .block = 1,
    .max_bytes = max_bytes,
    .encode = encode,
    .decode = decode,
};
