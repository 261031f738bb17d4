/* What this family's multiply-adds could do if there were nothing else: the
 * yardstick of every timing. */
#include "vec.h"

/* As many chains as it takes to keep two multiply-add units with a latency of
 * four busy, or two multipliers and two adders of three; what fits into the
 * registers beside the two factors. */
#if REGISTERS > 16
#define CHAINS 16
#else
#define CHAINS 12
#endif

uint64_t PF_NAME(peak)(uint64_t rounds, pf_real *x)
{
    vec a = splat(*x), sum = {0}, acc[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        acc[i] = splat((float)i);
    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = fma_(acc[i], a, a);
    for (int i = 0; i < CHAINS; i++)
        sum += acc[i];
    for (int l = 0; l < LANES; l++)
        *x += sum[l];
    return rounds * CHAINS * LANES * 2;
}
