/* blob.h - a round's exact sum and a strategy's state as bytes, and back: what
 * the daemon keeps beside a model, and an audit takes the same step from.
 */
#ifndef PF_BLOB_H
#define PF_BLOB_H

#include "buf.h"
#include "sum.h"

/* The sums blob of record.h, appended. */
enum pocketfed_status pf_sum_write(const struct pf_sum *s, struct pf_buf *out);
/* Into a sum of n coordinates that pf_sum_init made. MALFORMED when the bytes
 * are no sums of n coordinates; *s is then unspecified. */
enum pocketfed_status pf_sum_read(const void *p, size_t len, struct pf_sum *s);

/* A strategy's state: n floats, little-endian. */
enum pocketfed_status pf_strategy_state_write(const float *state, size_t n,
                                              struct pf_buf *out);
/* MALFORMED when the bytes are not n floats. */
enum pocketfed_status pf_strategy_state_read(const void *p, size_t len,
                                             float *state, size_t n);

#endif
