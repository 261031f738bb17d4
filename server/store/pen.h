/* pen.h - the bytes of an update on their way into its extent.
 *
 * They come from the network in pieces of at most 16 KiB, and a file system
 * takes 64 KiB at little more than the cost of one such piece: so they are
 * gathered, up to the next multiple of PF_PEN_BYTES in the file.  What is
 * still held is not in the file: flush before anybody reads or syncs it.
 */
#ifndef PF_PEN_H
#define PF_PEN_H

#include "segment.h"

#define PF_PEN_BYTES 65536u

/* Zeroed: holds nothing. One thread. */
struct pf_pen {
    uint8_t *piece;  /* PF_PEN_BYTES; NULL until it is needed */
    size_t n;        /* held */
    uint64_t offset; /* in the segment, of the first byte held */
};

/* n bytes at `offset` of the segment; those of one pen follow each other. After
 * a failure nothing is held. */
enum pocketfed_status pf_pen_write(struct pf_pen *pen, struct pf_segment *s,
                                   uint64_t offset, const void *p, size_t n,
                                   struct pf_error *err);
enum pocketfed_status pf_pen_flush(struct pf_pen *pen, struct pf_segment *s,
                                   struct pf_error *err);
/* Forgets what is held. */
void pf_pen_free(struct pf_pen *pen);

#endif
