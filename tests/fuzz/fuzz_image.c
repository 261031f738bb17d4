/* Any bytes as a picture: refused with a sentence, or every value is a number
 * from 0 to 1. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "image.h"

#define SIDE 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    float x[SIDE * SIDE];
    struct pf_error err = {0};

    for (int invert = 0; invert < 2; invert++) {
        if (pf_image_parse(data, size, "it", SIDE, SIDE, invert, x, &err) !=
            POCKETFED_OK) {
            if (err.text[0] == '\0')
                abort();
            continue;
        }
        for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
            if (!(x[i] >= -1e-6f && x[i] <= 1.0f + 1e-6f))
                abort();
    }
    return 0;
}
