/* arena.h - several arrays in one block of memory.
 *
 * The same code first measures (base NULL) and then lays out, so the two can
 * not disagree.  Each array begins at a multiple of 64 from the base.
 */
#ifndef PF_ARENA_H
#define PF_ARENA_H

#include "bytes.h"

struct pf_arena {
    char *base;
    size_t used; /* SIZE_MAX once it overflowed */
};

static inline void *pf_arena_take(struct pf_arena *a, size_t count, size_t size)
{
    size_t bytes, at = a->used;

    if (!pf_mul_size(count, size, &bytes) || !pf_add_size(bytes, at, &bytes) ||
        bytes > SIZE_MAX - 63) {
        a->used = SIZE_MAX;
        return NULL;
    }
    a->used = (bytes + 63) / 64 * 64;
    return a->base ? a->base + at : NULL;
}

#endif
