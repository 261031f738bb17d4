/* exact.h - sums of products without any rounding, and what an update's
 * coordinate should become: the judge of the round's sum.
 *
 * A Kulisch accumulator: one fixed-point number of 1024 bits, wide enough for
 * every product of a float, a factor in (0, 1] and a 64-bit weight, and for
 * 2^64 of them. Nothing of it is shared with server/round/sum.c.
 */
#ifndef EXACT_H
#define EXACT_H

#include <stdint.h>

#define EXACT_WORDS 16

struct exact {
    uint64_t word[EXACT_WORDS]; /* two's complement, lowest first */
};

void exact_zero(struct exact *e);
/* e += a * b * n. Aborts when a product has bits outside 2^-512 .. 2^447. */
void exact_add(struct exact *e, double a, double b, uint64_t n);
/* |e| <= |most| */
int exact_within(const struct exact *e, const struct exact *most);

/* x bounded to [-most, most], the most that `bits` bits hold in a range: range
 * - range * 2^(1-bits). Exact for up to 48 bits. */
double exact_clamp(double x, double range, unsigned bits);
/* x * 2^shift to the nearest integer, ties to even, in integers alone. |x| *
 * 2^shift < 2^62. */
int64_t exact_round(double x, int shift);
/* From |x| to the next larger float. */
double exact_ulp(float x);

#endif
