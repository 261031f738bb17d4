/* loss.h - a table of losses over a model's outputs, with our own exp and log.
 *
 * Sums run in double in the order of examples and outputs.  NaN or infinite
 * outputs make the loss NaN or infinite.  To add a loss, write its two
 * functions and add its row; the gradient test walks this table.
 */
#ifndef PF_LOSS_H
#define PF_LOSS_H

#include <stddef.h>
#include <stdint.h>
#include "real.h"

/* Over `outputs` [n][size]; labels < pf_loss_classes(size). Returns the sum of
 * the examples' losses; gradient (NULL: not wanted) [n][size] = the gradient of
 * scale times that sum; *correct (NULL allowed) += how many examples the
 * outputs tell rightly. */
typedef double pf_loss_fn(const pf_real *outputs, const uint32_t *labels,
                          size_t n, size_t size, double scale,
                          pf_real *gradient, uint64_t *correct);

struct pf_loss_type {
    const char *name;
    size_t min_outputs;
    pf_loss_fn *run;
    /* What predict says of one example: pf_loss_classes(size) numbers. */
    void (*predict)(const pf_real *outputs, size_t size, pf_real *p);
};
extern const struct pf_loss_type *const pf_loss_types[]; /* ends with NULL */

/* Labels that so many outputs tell apart: a single one says yes or no. */
static inline size_t pf_loss_classes(size_t outputs)
{
    return outputs == 1 ? 2 : outputs;
}

/* softmax_cross_entropy: -log softmax(outputs)[label]; right when the largest
 * output (the first of equals) is at the label. */
pf_loss_fn pf_softmax_cross_entropy;
/* One example's probabilities. */
void pf_softmax(const pf_real *logits, size_t classes, pf_real *out);

#endif
