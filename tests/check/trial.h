/* trial.h - one comparison of a family's kernel with the reference: where its
 * random numbers come from, its buffers, and a hash of what came out.
 *
 * Every buffer ends at an unreadable page and begins after bytes that must not
 * change. The same trial with another shift moves the beginning of every
 * buffer; its hash must not change.
 */
#ifndef PF_TRIAL_H
#define PF_TRIAL_H

#include "kernels.h"
#include "rng.h"

enum { TRIAL_MOST_BLOCKS = 64 };

struct trial {
    const struct pf_kernels *k; /* what is tried */
    struct pf_rng rng;
    uint64_t drawn;
    int odd;      /* a NaN or an infinity is planted where the check can */
    size_t shift; /* pf_reals that every buffer is moved by */
    uint64_t hash;
    size_t n_blocks;
    struct {
        unsigned char *p;
        size_t bytes;
    } blocks[TRIAL_MOST_BLOCKS];
};

void *trial_block(struct trial *t, size_t bytes);   /* zeroed, shifted */
void *trial_scratch(struct trial *t, size_t bytes); /* aligned to 64 */
void trial_end(struct trial *t); /* frees; fails if a beginning was written */

size_t trial_between(struct trial *t, size_t min, size_t max);
pf_real *trial_empty(struct trial *t, size_t n);
/* [-1, 1), a third of them zero, a few of them denormal. */
pf_real *trial_noise(struct trial *t, size_t n);
/* No zero, and in odd trials one value that is not finite. */
pf_real *trial_solid(struct trial *t, size_t n);
pf_real *trial_copy(struct trial *t, const pf_real *p, size_t n);
/* a is what the tried family says and joins the hash; both are sums of that
 * many products of size about 1, or as large as the reference's value. */
void trial_close(struct trial *t, const pf_real *a, const pf_real *b, size_t n,
                 size_t terms);
void trial_hash(struct trial *t, const void *p, size_t bytes);

#define TRIAL_CHECK(name, type, args) void check_##name(struct trial *t);
PF_KERNELS(TRIAL_CHECK)
#undef TRIAL_CHECK

#endif
