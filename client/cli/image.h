/* image.h - a picture file becomes one example of a model.
 *
 * Reads PNG (any depth and colour type) and PGM (P2, P5), told apart by their
 * first bytes.  Colours become grey, transparent parts become background (0),
 * and the picture is averaged over boxes to the size that the model wants,
 * without keeping proportions.  Sizes are checked before memory is taken.
 */
#ifndef PF_IMAGE_H
#define PF_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

#define PF_IMAGE_MAX_SIDE 4096u
#define PF_IMAGE_MAX_FILE ((size_t)64 << 20)

/* x = want_h rows of want_w values, 0 (black) to 1 (white). MNIST is white on
 * black: `invert` turns a scan of dark ink on paper into that. x is written
 * only on success. NOT_FOUND, IO, MALFORMED, LIMIT, UNSUPPORTED (neither PNG
 * nor PGM), INVALID (a wanted side is 0 or over PF_IMAGE_MAX_SIDE). */
enum pocketfed_status pf_image_load(const char *path, uint32_t want_h,
                                    uint32_t want_w, int invert, float *x,
                                    struct pf_error *err);

/* The same from the file's bytes; name is for error texts. */
enum pocketfed_status pf_image_parse(const uint8_t *p, size_t len,
                                     const char *name, uint32_t want_h,
                                     uint32_t want_w, int invert, float *x,
                                     struct pf_error *err);

#endif
