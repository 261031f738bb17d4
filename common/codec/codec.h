/* codec.h - how a vector of floats is written into an update section: a table.
 *
 * Any block of coordinates can be read by itself, so folding and column-wise
 * strategies never hold a whole vector.  Decoding never reads past `len`,
 * which is checked against `dim` first.  Encoders refuse non-finite input.
 */
#ifndef PF_CODEC_H
#define PF_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"

struct pf_codec {
    const char *name;
    uint8_t id;   /* on the wire; never reused */
    size_t block; /* decode's `first` must be a multiple of it */
    int plain;    /* the encoding is the floats themselves, little-endian */
    /* Bytes that encode makes at most; SIZE_MAX on overflow. */
    size_t (*max_bytes)(size_t dim);
    /* Appends the encoding of x[0..dim). NON_FINITE, LIMIT (a value too large
     * for the format), NO_MEMORY. `seed` drives stochastic rounding. */
    enum pocketfed_status (*encode)(const float *x, size_t dim, uint64_t seed,
                                    struct pf_buf *out);
    /* out[0..n) = coordinates first..first+n. MALFORMED when len is not what
     * dim needs or the range is outside. Values may be non-finite: admission
     * checks them. */
    enum pocketfed_status (*decode)(const uint8_t *in, size_t len, size_t dim,
                                    uint64_t seed, size_t first, size_t n,
                                    float *out);
};

/* Coordinates first..first+n: where they lie in `in` when they lie there as
 * this machine reads floats, else decoded into scratch (n floats). NULL when
 * decode would say MALFORMED. */
const float *pf_codec_read(const struct pf_codec *c, const uint8_t *in,
                           size_t len, size_t dim, size_t first, size_t n,
                           float *scratch);

/* The rows, each in the file of its name. */
extern const struct pf_codec pf_codec_f32, pf_codec_f16;

const struct pf_codec *pf_codec_find(const char *name); /* NULL: none */
const struct pf_codec *pf_codec_by_id(uint8_t id);      /* NULL: none */
const char *const *pf_codec_names(void); /* NULL-terminated, table order */

#endif
