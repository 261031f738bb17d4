/* rng.h - counter-based random numbers: Philox4x32-10.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011.  There is no state: a number is a pure function of who asks
 * (seed, stream, round, purpose) and of its index, so any thread can draw any
 * number in any order, and a run repeats on any machine.  Not for secrets.
 */
#ifndef PF_RNG_H
#define PF_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a sequence is for; appended to, never renumbered. */
enum pf_rng_purpose {
    PF_RNG_INIT = 1,      /* initial parameters; stream = tensor index */
    PF_RNG_SHUFFLE = 2,   /* order of examples; stream = ordinal, index epoch */
    PF_RNG_PARTITION = 3, /* which client gets which example */
    PF_RNG_ASSIGNMENT = 4, /* a client's seed: task seed, round, ordinal */
    PF_RNG_DROPOUT = 5,
    PF_RNG_CODEC = 6,  /* stochastic rounding, rotations */
    PF_RNG_JITTER = 7, /* retry and pace; never affects a model */
    PF_RNG_TEST = 8,
};

struct pf_rng {
    uint32_t key[2];
};

/* One sequence. Different arguments give unrelated sequences. */
struct pf_rng pf_rng_make(uint64_t seed, uint64_t stream, uint32_t round,
                          enum pf_rng_purpose purpose);
/* Numbers 4*block .. 4*block+3 of the sequence. */
void pf_rng_block(const struct pf_rng *r, uint64_t block, uint32_t out[4]);
uint32_t pf_rng_u32(const struct pf_rng *r, uint64_t index);
uint64_t pf_rng_u64(const struct pf_rng *r, uint64_t index);
/* Uniform in [0,1), a multiple of 2^-24 / 2^-53. */
float pf_rng_float(const struct pf_rng *r, uint64_t index);
double pf_rng_double(const struct pf_rng *r, uint64_t index);
/* Standard normal, by the inverse distribution function (Wichura, AS 241). */
double pf_rng_normal(const struct pf_rng *r, uint64_t index);
/* Uniform in [0, n), unbiased (n > 0). Uses an unspecified count of numbers
 * derived from `index` alone, so neighbours do not disturb each other. */
uint64_t pf_rng_below(const struct pf_rng *r, uint64_t index, uint64_t n);
/* out = a uniformly random permutation of 0..n-1 (Fisher-Yates). */
void pf_rng_permutation(const struct pf_rng *r, uint32_t n, uint32_t *out);

#endif
