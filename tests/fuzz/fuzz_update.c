/* An update frame. What parses must be made again by the writer, byte by byte;
 * and every beginning of it must be incomplete. */
#include <stdlib.h>
#include <string.h>
#include "update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct pf_update *u, const uint8_t *data,
                       size_t size)
{
    struct pf_buf out;
    unsigned i;

    pf_buf_init(&out, size + 64);
    if (pf_update_begin(&out, u))
        abort();
    for (i = 0; i < u->n_sections; i++) {
        size_t began = out.len;

        if (u->sections[i].bytes != data + began)
            abort();
        pf_buf_add(&out, u->sections[i].bytes, u->sections[i].len);
        if (pf_update_section_end(&out, u, i, began))
            abort();
    }
    /* The writer's version is the newest; one before it has the same layout. */
    if (out.len != size || memcmp(out.data, data, 4) ||
        memcmp(out.data + 6, data + 6, size - 6))
        abort();
    pf_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_update u, part;
    size_t n;

    if (pf_update_parse(data, size, &u, NULL) != POCKETFED_OK)
        return 0;
    check_same(&u, data, size);
    for (n = size; n-- > 0;)
        if (pf_update_parse(data, n, &part, NULL) != POCKETFED_INCOMPLETE)
            abort();
    return 0;
}
