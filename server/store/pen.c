#include "pen.h"

#include <stdlib.h>
#include <string.h>

enum pocketfed_status pf_pen_flush(struct pf_pen *pen, struct pf_segment *s,
                                   struct pf_error *err)
{
    size_t n = pen->n;

    pen->n = 0;
    return n ? pf_segment_write(s, pen->offset, pen->piece, n, err)
             : POCKETFED_OK;
}

/* How many bytes from here on belong to one piece. */
static size_t room_at(uint64_t offset)
{
    return PF_PEN_BYTES - (size_t)(offset % PF_PEN_BYTES);
}

enum pocketfed_status pf_pen_write(struct pf_pen *pen, struct pf_segment *s,
                                   uint64_t offset, const void *p, size_t n,
                                   struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    const uint8_t *from = p;
    size_t k;

    if (!pen->piece)
        pen->piece = malloc(PF_PEN_BYTES);
    if (!pen->piece) /* no memory to gather them: as they come */
        return pf_segment_write(s, offset, p, n, err);
    while (n > 0 && st == POCKETFED_OK) {
        if (pen->n == 0)
            pen->offset = offset;
        k = room_at(offset) < n ? room_at(offset) : n;
        memcpy(pen->piece + pen->n, from, k);
        pen->n += k;
        offset += k;
        from += k;
        n -= k;
        if (offset % PF_PEN_BYTES == 0)
            st = pf_pen_flush(pen, s, err);
    }
    return st;
}

void pf_pen_free(struct pf_pen *pen)
{
    free(pen->piece);
    memset(pen, 0, sizeof *pen);
}
