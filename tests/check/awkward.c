#include "awkward.h"

#include <string.h>
#include "exact.h"

double quantum_of(const struct pf_plan_update *u)
{
    return u->range / (double)(UINT64_C(1) << (u->bits - 1));
}

static float neighbour(float x, int step)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    bits += (uint32_t)step;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float awkward(const struct pf_plan_update *u, const struct pf_rng *rng,
              uint64_t i)
{
    const float range = (float)u->range;
    const float clamp = (float)exact_clamp(1e300, u->range, u->bits);
    const float special[] = {range,
                             neighbour(range, -1),
                             neighbour(range, 1),
                             clamp,
                             neighbour(clamp, -1),
                             neighbour(clamp, 1),
                             1e-45f,
                             neighbour(1.17549435e-38f, -1), /* subnormal */
                             1.17549435e-38f,
                             0,
                             3.40282347e38f};
    const uint64_t n = sizeof special / sizeof special[0];
    uint64_t pick = pf_rng_below(rng, 3 * i, 2 * n + 4);
    float x;

    if (pick < n)
        x = special[pick];
    else if (pick < n + 4) /* half a quantum over a multiple of one */
        x = (float)(((double)pf_rng_below(rng, 3 * i + 1, 1 << 14) + 0.5) *
                    quantum_of(u));
    else
        x = (float)(pf_rng_normal(rng, 3 * i + 1) * u->range / 3);
    return pf_rng_below(rng, 3 * i + 2, 2) ? x : -x;
}

uint64_t clamped_of(const struct pf_plan_update *u, const float *x, size_t n)
{
    uint64_t count = 0;
    size_t i;

    for (i = 0; i < n; i++)
        count += exact_clamp((double)x[i], u->range, u->bits) != (double)x[i];
    return count;
}

struct pf_plan_update plan_at_the_limit(uint32_t cohort,
                                        const struct pf_rng *rng)
{
    struct pf_plan_update u = {
        .codec = "f32", .max_norm = 1, .min_examples = 1};

    u.bits = 16 + (uint32_t)pf_rng_below(rng, 1, 33);
    u.range = (double)(1u << pf_rng_below(rng, 2, 31)) / 32768;
    u.cohort_max = cohort;
    u.max_examples = ((UINT64_C(1) << (64 - u.bits)) - 1) / u.cohort_max;
    return u;
}
