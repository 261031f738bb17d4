/* update.h - the update frame, wire version 0: a fixed head, metrics, a table
 * of sections, then the sections' bytes.
 *
 *   offset  size
 *        0     4  "PFUP"
 *        4     2  version = 0
 *        6     2  n_metrics   <= PF_MAX_METRICS
 *        8     2  n_sections  1 .. PF_MAX_SECTIONS
 *       10     2  0
 *       12     4  head length: where the first section's bytes begin
 *       16    64  task name, NUL-padded
 *       80     8  round
 *       88    32  plan digest
 *      120    32  base model digest
 *      152    32  layout digest (pf_model_layout_digest)
 *      184     8  examples
 *      192        n_metrics  x { name[24] NUL-padded, f64 }
 *                 n_sections x { u8 kind, u8 codec, u16 tensor set, u32 0,
 *                                u64 count, u64 length }
 *                 zeros to a multiple of 16 = head length
 *                 sections' bytes, each followed by zeros to a multiple of 16
 *
 * All little-endian; padding must be zero; nothing may follow.  There is no
 * digest inside: the frame's digest is the SHA-256 of all its bytes, which the
 * request signs as Repr-Digest.
 */
#ifndef PF_UPDATE_H
#define PF_UPDATE_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"
#include "wire.h"

#define PF_UPDATE_VERSION 1 /* written; 0 has the same layout and is read */
#define PF_UPDATE_FIXED   192

enum pf_section_kind { PF_SECTION_DELTA = 1 }; /* others come as numbers */

struct pf_metric {
    char name[PF_METRIC_NAME_MAX + 1];
    double value; /* finite */
};

struct pf_section {
    uint8_t kind, codec;
    uint16_t tensor_set;  /* 0: all trainable tensors of the plan */
    uint64_t count;       /* elements */
    const uint8_t *bytes; /* borrowed from the frame, 16-byte aligned in it */
    size_t len;
};

struct pf_update {
    char task[PF_TASK_NAME_MAX + 1];
    uint64_t round;
    uint8_t plan[32], base[32], layout[32];
    uint64_t examples;
    unsigned n_metrics, n_sections;
    struct pf_metric metrics[PF_MAX_METRICS];
    struct pf_section sections[PF_MAX_SECTIONS];
};

/* INCOMPLETE: a valid beginning that needs more bytes. MALFORMED: can never
 * become valid. LIMIT: longer than PF_MAX_UPDATE says. Reads nothing past
 * in+len. Unknown kinds and codecs parse; whoever uses them refuses. */
enum pocketfed_status pf_update_parse(const uint8_t *in, size_t len,
                                      struct pf_update *out,
                                      struct pf_error *err);

/* Writing: head, then for each section begin, bytes appended by a codec, end.
 *   pf_update_begin(buf, &u) writes head with u's metrics and the section
 *   table (kind, codec, tensor_set, count; lengths still open);
 *   pf_update_section_end(buf, &u, i) is called after section i's bytes were
 *   appended to buf: it patches the length and pads.
 * Appending straight into buf spares a copy of the payload. */
enum pocketfed_status pf_update_begin(struct pf_buf *out,
                                      const struct pf_update *u);
enum pocketfed_status pf_update_section_end(struct pf_buf *out,
                                            const struct pf_update *u,
                                            unsigned i, size_t began_at);
/* Value of a metric, or `absent`. */
double pf_update_metric(const struct pf_update *u, const char *name,
                        double absent);

#endif
