/* A claim about a tree: u64 index or old size, u64 size, one root of 32 bytes,
 * then hashes. Nothing of it may be believed, unless the tree of a single leaf
 * is told whole. */
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "merkle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t leaf[32] = {1}, root[32] = {2};
    uint8_t(*hash)[32];
    uint64_t a, b;
    size_t n;

    if (size < 48 || size > 1u << 16)
        return 0;
    a = pf_get64(data);
    b = pf_get64(data + 8);
    n = (size - 48) / 32;
    hash = malloc(n * 32 + 1); /* exact, for the sanitizer */
    if (!hash)
        return 0;
    memcpy(hash, data + 48, n * 32);
    /* No list of hashes can lead from this leaf to this root. */
    if (pf_merkle_check_path(leaf, a, b, (const uint8_t(*)[32])hash, n, root) ==
        POCKETFED_OK)
        abort();
    if (pf_merkle_check_path(data + 16, a, b, (const uint8_t(*)[32])hash, n,
                             data + 16) == POCKETFED_OK &&
        (a != 0 || b != 1 || n != 0))
        abort();
    if (pf_merkle_check_growth(a, data + 16, b, root,
                               (const uint8_t(*)[32])hash, n) == POCKETFED_OK &&
        (n != 0 || (a != 0 && (a != b || memcmp(data + 16, root, 32) != 0))))
        abort();
    free(hash);
    return 0;
}
