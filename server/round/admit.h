/* admit.h - is this frame an update that may be counted?
 *
 * Looks at every number once, by blocks, in a scratch of fixed size; the
 * decision is a pure function of (plan, assignment, frame).
 */
#ifndef PF_ADMIT_H
#define PF_ADMIT_H

#include "round.h"
#include "update.h"

/* What the frame must say of itself. */
struct pf_expected {
    const struct pf_plan *plan;
    uint8_t plan_digest[32], base[32], layout[32];
    uint64_t round;
    size_t n_params;
};

#define PF_ADMIT_BLOCK 4096 /* floats of scratch */

/* OK with *out, or REFUSED with *why (malformed, layout, codec-unknown,
 * section-unknown, non-finite, norm, examples, not-assigned for a wrong round
 * or task). scratch: PF_ADMIT_BLOCK floats. */
enum pocketfed_status pf_admit(const struct pf_expected *want,
                               const uint8_t *frame, size_t len, float *scratch,
                               struct pf_admitted *out, struct pf_problem *why);

#endif
