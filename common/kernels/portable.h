/* portable.h - what the files of the portable family share: vectors of four
 * lanes as GCC vector extensions, which gcc and clang turn into whatever
 * vectors the target has, and the sum of scaled rows.
 *
 * Every sum is added in an order that is fixed by the shapes and by which
 * gradients are zero, so the bits are the same for any compiler and flags.
 */
#ifndef PF_PORTABLE_H
#define PF_PORTABLE_H

#include <string.h>
#include "kernels.h"

#define LANES 4

typedef pf_real vec __attribute__((vector_size(LANES * sizeof(pf_real))));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vec load(const pf_real *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void store(pf_real *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

ALWAYS_INLINE vec splat(pf_real x)
{
    return (vec){x, x, x, x};
}

/* A row that takes part in a sum: where it begins and its factor. */
struct term {
    uint32_t at;
    pf_real g;
};

/* y[0..len) += sum of terms[0..N).g * x[terms[].at + 0..len), in this order */
ALWAYS_INLINE void add_rows(const int N, const struct term *terms, size_t len,
                            const pf_real *x, pf_real *y)
{
    const pf_real *row[4];
    vec g[4];
    size_t j = 0;

    for (int t = 0; t < N; t++) {
        row[t] = x + terms[t].at;
        g[t] = splat(terms[t].g);
    }
    for (; j + LANES <= len; j += LANES) {
        vec sum = load(y + j);
        for (int t = 0; t < N; t++)
            sum += g[t] * load(row[t] + j);
        store(y + j, sum);
    }
    for (; j < len; j++)
        for (int t = 0; t < N; t++)
            y[j] += terms[t].g * row[t][j];
}

#define PF_PORTABLE_KERNEL(name, type, args) type pf_portable_##name args;
PF_KERNELS(PF_PORTABLE_KERNEL)
#undef PF_PORTABLE_KERNEL

#endif
