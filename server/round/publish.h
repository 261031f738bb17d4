/* publish.h - base model + sum -> the next model file and its digest.
 *
 * The bytes are a pure function of the base file, the plan and the set of
 * accepted updates: made twice (after a crash), they are the same file.
 */
#ifndef PF_PUBLISH_H
#define PF_PUBLISH_H

#include "safetensors.h"
#include "strategy.h"

/* Round 0: the task's initial model (its seed, or the parameters given). */
enum pocketfed_status
pf_publish_initial(const struct pf_task *t, const struct pf_model *m,
                   const uint8_t plan[32], const float *params_or_null,
                   struct pf_buf *file, uint8_t digest[32]);
/* base_file/base_digest: the model the round started from. state (n_state
 * floats of the strategy, or NULL when it has none) is changed in place. */
enum pocketfed_status
pf_publish(const struct pf_task *t, const struct pf_model *m, uint64_t round,
           const uint8_t plan[32], const uint8_t *base_file, size_t base_len,
           const uint8_t base_digest[32], const struct pf_sum *sum,
           float *state, struct pf_buf *file, uint8_t digest[32],
           struct pf_error *err);

#endif
