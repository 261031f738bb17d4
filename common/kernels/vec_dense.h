/* vec_dense.h - how the vector families lay out a dense layer.
 *
 * Outputs stand in panels of at most PANEL vectors, the last one narrower; a
 * panel is [in][its width], so that a row's weights to the outputs of a panel
 * lie side by side and rows follow each other.  Outputs are padded with zeros
 * to whole vectors.  The bias follows the last panel.  Rows have the order of
 * the image that the input is ([h][w][c]), whatever the file's is.
 */
#ifndef PF_VEC_DENSE_H
#define PF_VEC_DENSE_H

#include "vec.h"

#define PANEL 8 /* vectors: as many sums as fit in 16 registers with room */

/* Bytes that dense_backward needs. */
size_t PF_NAME(dense_backward_scratch)(size_t n);

/* Outputs, padded. */
ALWAYS_INLINE size_t dense_wide(const struct pf_dense *s)
{
    return (s->out + LANES - 1) / LANES * LANES;
}

/* Floats of the panel that begins at output o. */
ALWAYS_INLINE size_t dense_width(size_t wide, size_t o)
{
    return wide - o < PANEL * LANES ? wide - o : PANEL * LANES;
}

#endif
