/* A join link. What parses must be written and parse to the same again. */
#include <stdlib.h>
#include <string.h>
#include "joinlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), again[PF_JOIN_LINK_MAX];
    struct pf_join_link a, b;
    struct pf_error err;

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (!pf_join_link_parse(text, &a, &err)) {
        if (pf_join_link_write(&a, again, sizeof again) ||
            pf_join_link_parse(again, &b, NULL) || memcmp(&a, &b, sizeof a))
            abort();
    }
    free(text);
    return 0;
}
