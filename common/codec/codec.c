#include "codec.h"

#include <string.h>

/* One row per codec, one file per row. Ids are for ever. */
static const struct pf_codec *const table[] = {
    &pf_codec_f32, /* 1 */
    &pf_codec_f16, /* 2 */
};

#define N_CODECS (sizeof table / sizeof table[0])

const struct pf_codec *pf_codec_find(const char *name)
{
    for (size_t i = 0; i < N_CODECS; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

const struct pf_codec *pf_codec_by_id(uint8_t id)
{
    for (size_t i = 0; i < N_CODECS; i++)
        if (table[i]->id == id)
            return table[i];
    return NULL;
}

const float *pf_codec_read(const struct pf_codec *c, const uint8_t *in,
                           size_t len, size_t dim, size_t first, size_t n,
                           float *scratch)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (c->plain && (uintptr_t)in % _Alignof(float) == 0 && len != SIZE_MAX &&
        len == c->max_bytes(dim) && first <= dim && n <= dim - first)
        return (const float *)(const void *)in + first;
#endif
    return c->decode(in, len, dim, 0, first, n, scratch) ? NULL : scratch;
}

const char *const *pf_codec_names(void)
{
    /* Static data cannot read table[i]->name; a test holds the two equal. */
    static const char *const names[N_CODECS + 1] = {"f32", "f16", NULL};

    return names;
}
