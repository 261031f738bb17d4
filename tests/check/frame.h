/* frame.h - update frames and the plan they belong to, for tests of admission,
 * sums and publication.
 */
#ifndef FRAME_H
#define FRAME_H

#include "admit.h"

struct frame {
    struct pf_plan plan;     /* task "bench", f32, range 4, 32 bits, norm 100 */
    struct pf_expected want; /* round 3 */
    struct pf_update head;   /* what the next frame says of itself */
    struct pf_buf bytes;     /* the frame that was made last */
};

void frame_init(struct frame *f, size_t n_params);
void frame_free(struct frame *f);
/* Writes f->bytes: head as it is, one section of x by the named codec. */
void frame_make(struct frame *f, const char *codec, const float *x, size_t n);

#endif
