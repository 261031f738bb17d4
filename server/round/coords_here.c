#include "coords.h"

extern const struct pf_coords pf_coords_portable;

#ifdef __x86_64__
extern const struct pf_coords pf_coords_avx2, pf_coords_avx512;

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

const struct pf_coords *const *pf_coords_here(void)
{
    static const struct pf_coords *const all[] = {
        &pf_coords_avx512, &pf_coords_avx2, &pf_coords_portable, NULL};

    if (has_avx512())
        return all;
    return __builtin_cpu_supports("avx2") ? all + 1 : all + 2;
}
#else
const struct pf_coords *const *pf_coords_here(void)
{
    static const struct pf_coords *const all[] = {&pf_coords_portable, NULL};

    return all;
}
#endif

const struct pf_coords *pf_coords(void)
{
    return pf_coords_here()[0];
}
