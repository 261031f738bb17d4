/* f32: four bytes a coordinate, little-endian IEEE single. Exact. */
#include "codec.h"

#include <math.h>
#include "bytes.h"

static size_t max_bytes(size_t dim)
{
    size_t n;

    return pf_mul_size(dim, 4, &n) ? n : SIZE_MAX;
}

static enum pocketfed_status encode(const float *x, size_t dim, uint64_t seed,
                                    struct pf_buf *out)
{
    size_t len = max_bytes(dim);
    uint8_t *p;

    (void)seed;
    if (len == SIZE_MAX)
        return POCKETFED_LIMIT;
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(x[i]))
            return POCKETFED_NON_FINITE;
    if (len == 0)
        return out->status;
    p = pf_buf_extend(out, len);
    if (!p)
        return out->status;
    for (size_t i = 0; i < dim; i++)
        pf_putf(p + 4 * i, x[i]);
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
        out[i] = pf_getf(in + 4 * (first + i));
    return POCKETFED_OK;
}

const struct pf_codec pf_codec_f32 = {
    .name = "f32",
    .id = 1,
    .block = 1,
    .plain = 1,
    .max_bytes = max_bytes,
    .encode = encode,
    .decode = decode,
};
