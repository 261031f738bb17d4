/* drawn.h - images that can be learnt, for timings on a machine without data.
 *
 * Ten made-up glyphs of three brush strokes, each image one of them moved by
 * up to three pixels with uneven ink: 28 x 28 grey bytes of which about a fifth
 * is not zero, as in handwritten digits.  A network learns them, so that its
 * units live and a step costs what a step costs.  The same on every machine.
 */
#ifndef PF_CLI_DRAWN_H
#define PF_CLI_DRAWN_H

#include "idx.h"

/* Images first .. first + n of an endless row, ten classes in turn. The
 * caller's to pf_idx_free. NO_MEMORY. */
enum pocketfed_status drawn_images(uint32_t first, uint32_t n,
                                   struct pf_idx *out, struct pf_error *err);

#endif
