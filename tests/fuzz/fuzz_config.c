/* An INI file is read or refused with a sentence, and what was read prints to
 * something that reads back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_config first, again;
    struct pf_error err = {0};
    struct pf_buf out;

    pf_config_init(&first);
    if (pf_config_ini(&first, "input", (const char *)data, size, &err) !=
        POCKETFED_OK) {
        if (err.text[0] == '\0')
            abort();
        return 0;
    }
    pf_buf_init(&out, 1u << 20);
    pf_config_init(&again);
    if (pf_config_print(&first, &out) != POCKETFED_OK)
        abort();
    /* Printing puts blanks around "=": a line of just the longest length may
     * become too long, nothing else may go wrong. */
    if (pf_config_ini(&again, "printed", (const char *)out.data, out.len,
                      &err) != POCKETFED_OK &&
        !strstr(err.text, "longer than"))
        abort();
    pf_buf_free(&out);
    return 0;
}
