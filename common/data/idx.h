/* idx.h - IDX files (the MNIST format), plain or gzip, as example sources.
 *
 * A folder holds {train,t10k}-{images-idx3,labels-idx1}-ubyte, with or without
 * ".gz" (also the spelling with dots, images.idx3-ubyte).  Headers, counts and
 * lengths are checked; nothing is allocated before they fit the limits.
 */
#ifndef PF_IDX_H
#define PF_IDX_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

#define PF_IDX_MAX_EXAMPLES (10u << 20)
#define PF_IDX_MAX_SIDE     4096
#define PF_IDX_MAX_BYTES    ((size_t)1 << 31)

/* Images n x h x w bytes and labels n bytes; either may be absent (NULL). */
struct pf_idx {
    uint32_t n, h, w;
    uint8_t *images;
    uint8_t *labels;
};

/* which: "train" or "t10k". NOT_FOUND names the four spellings it looked for.
 */
enum pocketfed_status pf_idx_load(const char *dir, const char *which,
                                  struct pf_idx *out, struct pf_error *err);
/* One images file (idx3) or labels file (idx1) by path. NOT_FOUND, IO,
 * MALFORMED (another magic, cut short, bytes too many), LIMIT. */
enum pocketfed_status pf_idx_load_images(const char *path, struct pf_idx *out,
                                         struct pf_error *err);
enum pocketfed_status pf_idx_load_labels(const char *path, struct pf_idx *out,
                                         struct pf_error *err);
/* From bytes already in memory (plain): the fuzz target's entry. */
enum pocketfed_status pf_idx_parse(const uint8_t *p, size_t len,
                                   struct pf_idx *out, struct pf_error *err);
/* Writes the examples idx[0..n) of src as dir/<which>-images-idx3-ubyte and
 * -labels-idx1-ubyte, mode 0600, durable; dir must exist. */
enum pocketfed_status pf_idx_write(const char *dir, const char *which,
                                   const struct pf_idx *src,
                                   const uint32_t *idx, uint32_t n,
                                   struct pf_error *err);
void pf_idx_free(struct pf_idx *d); /* zeroed is fine; leaves it zeroed */
/* Example i as floats byte/255 (h*w of them) and its label. INVALID when there
 * is none, or no images or no labels at all. */
enum pocketfed_status pf_idx_get(const struct pf_idx *d, size_t i, float *x,
                                 uint32_t *label);

#endif
