/* sum.h - the order-independent sum of a round.
 *
 * Each coordinate is quantised once, x = rne(clamp(delta * 2^shift)), times the
 * integer weight, added to an int64.  Integer addition is associative, so any
 * order, any number of threads, any tree of partial sums gives the same bits;
 * pf_plan_check has excluded overflow.  (algorithms: order-independent exact
 * sum; quantum 2^-shift, |x| <= 2^(bits-1) - 1.)
 */
#ifndef PF_SUM_H
#define PF_SUM_H

#include <stddef.h>
#include <stdint.h>
#include "plan.h"
#include "update.h"

struct pf_sum {
    size_t n;
    int64_t *value; /* n */
    uint64_t updates, weight, saturated;
    double divisor; /* of the mean; 0: the weight */
};

enum pocketfed_status pf_sum_init(struct pf_sum *s, size_t n);
void pf_sum_clear(struct pf_sum *s);
void pf_sum_free(struct pf_sum *s);
/* Adds n floats at coordinate `first`: clamped, times the factor (in (0, 1];
 * staleness), rounded to the quantum, times the weight. Counts saturations. All
 * x finite. */
void pf_sum_add(struct pf_sum *s, const struct pf_plan_update *u, size_t first,
                const float *x, size_t n, uint64_t weight, double factor);
/* A whole admitted frame: every section decoded by blocks into scratch
 * (PF_ADMIT_BLOCK floats). Counts one update and its weight. A frame that was
 * admitted cannot fail; MALFORMED otherwise and the sum must be thrown away. */
enum pocketfed_status pf_sum_fold(struct pf_sum *s, const struct pf_plan *plan,
                                  const uint8_t *frame, size_t len,
                                  uint64_t weight, double factor,
                                  float *scratch);
void pf_sum_merge(struct pf_sum *into, const struct pf_sum *from);
/* Weighted mean of coordinate i: value / divisor * 2^-shift, in double. */
double pf_sum_mean(const struct pf_sum *s, const struct pf_plan_update *u,
                   size_t i);
/* How many of x[0..n) would be clamped. */
size_t pf_sum_saturated(const struct pf_plan_update *u, const float *x,
                        size_t n);

#endif
