/* First byte: which codec. The rest: an encoding of as many coordinates as a
 * second and third byte say. What decodes to finite numbers must encode to
 * the same bytes again, and a block must equal its part of the whole. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct pf_codec *c, const uint8_t *in, size_t len,
                       size_t dim, float *all, float *part)
{
    struct pf_buf again;
    size_t half = dim / 2;
    int finite = 1;

    if (c->decode(in, len, dim, 1, 0, dim, all) != POCKETFED_OK)
        return;
    if (c->decode(in, len, dim, 1, half, dim - half, part) != POCKETFED_OK ||
        memcmp(all + half, part, (dim - half) * sizeof *part) != 0)
        abort();
    for (size_t i = 0; i < dim; i++)
        finite = finite && isfinite(all[i]);
    pf_buf_init(&again, 1u << 20);
    if ((c->encode(all, dim, 1, &again) == POCKETFED_OK) != finite)
        abort();
    if (finite && (again.len != len || memcmp(again.data, in, len) != 0))
        abort();
    pf_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pf_codec *c;
    float *all, *part;
    size_t dim;

    if (size < 3)
        return 0;
    c = pf_codec_by_id(data[0]);
    dim = data[1] | (size_t)data[2] << 8;
    if (!c || dim == 0)
        return 0;
    all = malloc(dim * sizeof *all);
    part = malloc(dim * sizeof *part);
    if (all && part)
        check_same(c, data + 3, size - 3, dim, all, part);
    free(all);
    free(part);
    return 0;
}
