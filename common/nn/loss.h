/* loss.h - softmax and cross-entropy over logits, with our own exp and log.
 *
 * Sums run in double in the order of examples and classes.  NaN or infinite
 * logits make the loss NaN or infinite.
 */
#ifndef PF_LOSS_H
#define PF_LOSS_H

#include <stddef.h>
#include <stdint.h>
#include "real.h"

/* Sum over n examples of -log softmax(logits)[label], labels < classes.
 * gradient (NULL: not wanted) [n][classes] = scale (softmax - one-hot), the
 * gradient of scale times the sum. *correct (NULL allowed) += how many have
 * their largest logit (the first of equals) at the label. */
double pf_softmax_cross_entropy(const pf_real *logits, const uint32_t *labels,
                                size_t n, size_t classes, double scale,
                                pf_real *gradient, uint64_t *correct);
/* One example's probabilities. */
void pf_softmax(const pf_real *logits, size_t classes, pf_real *out);

#endif
