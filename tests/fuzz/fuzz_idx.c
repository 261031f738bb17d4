/* Any bytes as an IDX file: parsed or refused, and every example that was
 * promised can be read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_idx d = {0};
    struct pf_error err = {0};

    if (pf_idx_parse(data, size, &d, &err) != POCKETFED_OK) {
        if (err.status == POCKETFED_OK || err.text[0] == '\0' || d.images ||
            d.labels)
            abort();
        return 0;
    }
    if (d.images) {
        size_t width = (size_t)d.h * d.w;
        float *x = malloc(width * sizeof *x);
        uint32_t label;

        d.labels = calloc(d.n, 1);
        if (x && d.labels &&
            (pf_idx_get(&d, d.n - 1, x, &label) != POCKETFED_OK ||
             !(x[width - 1] >= 0.0f && x[width - 1] <= 1.0f)))
            abort();
        free(x);
    }
    pf_idx_free(&d);
    return 0;
}
