/* awkward.h - what is hard to sum: plans and floats for tests of the exact sum,
 * and how many of the floats are clamped by the oracle's word (exact.h).
 */
#ifndef AWKWARD_H
#define AWKWARD_H

#include "plan.h"
#include "rng.h"

/* The ends of the range and of the clamp from both sides, ties, the smallest
 * and the largest floats, both zeros; half of them ordinary numbers. */
float awkward(const struct pf_plan_update *u, const struct pf_rng *rng,
              uint64_t i);
double quantum_of(const struct pf_plan_update *u);
uint64_t clamped_of(const struct pf_plan_update *u, const float *x, size_t n);
/* f32, any range and bits, and as many examples as so large a cohort may have
 * at these bits. */
struct pf_plan_update plan_at_the_limit(uint32_t cohort,
                                        const struct pf_rng *rng);

#endif
