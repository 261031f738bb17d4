/* buf.h - growable bytes with a mandatory maximum, and a reader that cannot
 * pass its end.
 *
 * A pf_buf never holds more than `max` bytes: what would exceed it fails with
 * POCKETFED_LIMIT and leaves the content as it was.  Once an append has failed
 * every later append fails with the same status, so a chain of appends needs
 * one check at its end (pf_buf_status).
 */
#ifndef PF_BUF_H
#define PF_BUF_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

struct pf_buf {
    uint8_t *data; /* len bytes, then one NUL that is not counted */
    size_t len, cap, max;
    enum pocketfed_status status; /* first failure, or OK */
};

void pf_buf_init(struct pf_buf *b, size_t max);
void pf_buf_free(struct pf_buf *b);  /* NULL and zeroed are fine; reusable */
void pf_buf_clear(struct pf_buf *b); /* keeps memory and max, forgets failure */
enum pocketfed_status pf_buf_add(struct pf_buf *b, const void *p, size_t n);
enum pocketfed_status pf_buf_adds(struct pf_buf *b, const char *s);
enum pocketfed_status pf_buf_addf(struct pf_buf *b, const char *fmt, ...)
    PF_PRINTF(2, 3);
/* Room for n more bytes, already counted in len, contents undefined; NULL on
 * failure. Valid until the next append. */
uint8_t *pf_buf_extend(struct pf_buf *b, size_t n);
/* Zero bytes up to the next multiple of `align` (a power of two) of len. */
enum pocketfed_status pf_buf_pad(struct pf_buf *b, size_t align);
/* The first failure of a chain of appends, or OK. */
static inline enum pocketfed_status pf_buf_status(const struct pf_buf *b)
{
    return b->status;
}
/* The content as a string; borrowed until the next append. */
static inline const char *pf_buf_str(const struct pf_buf *b)
{
    return b->data ? (const char *)b->data : "";
}

/* A reader over borrowed bytes. Reading past the end sets `short_by` and
 * returns zeros / NULL; check pf_reader_ok once after a run of reads. */
struct pf_reader {
    const uint8_t *p;
    size_t len, pos;
    size_t short_by; /* bytes missing at the first failed read, 0 = fine */
};

void pf_reader_init(struct pf_reader *r, const void *p, size_t len);
static inline int pf_reader_ok(const struct pf_reader *r)
{
    return r->short_by == 0;
}
static inline size_t pf_reader_left(const struct pf_reader *r)
{
    return r->len - r->pos;
}
const uint8_t *pf_read_bytes(struct pf_reader *r, size_t n); /* NULL: short */
uint8_t pf_read8(struct pf_reader *r);
uint16_t pf_read16(struct pf_reader *r);
uint32_t pf_read32(struct pf_reader *r);
uint64_t pf_read64(struct pf_reader *r);
double pf_readd(struct pf_reader *r);
void pf_read_pad(struct pf_reader *r, size_t align); /* relative to p */

#endif
