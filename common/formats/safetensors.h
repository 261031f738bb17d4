/* safetensors.h - our native model file: the safetensors format.
 *
 * The writer orders members in one way (metadata keys and tensors as given,
 * data in tensor order without gaps), so equal models are equal bytes and one
 * digest.  The reader accepts any conforming file (F32 tensors, any order)
 * and refuses overlaps, gaps, wrong sizes and oversized headers.
 */
#ifndef PF_SAFETENSORS_H
#define PF_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"
#include "model.h"

/* Metadata of a pocketfed model file, in this order. Nothing that two
 * computations of one model could write differently: no time, no version. */
struct pf_model_meta {
    char task[65];        /* "" for a model made without a server */
    uint64_t round;       /* 0: initial */
    uint8_t plan[32];     /* digest; zeros without a server */
    uint8_t previous[32]; /* digest of the model before it; zeros at round 0 */
};

/* Appends the file: __metadata__ {format:"pocketfed-model-0", spec, task,
 * round, plan, previous} and the model's tensors. */
enum pocketfed_status pf_safetensors_write(const struct pf_model *m,
                                           const float *params,
                                           const struct pf_model_meta *meta,
                                           struct pf_buf *out);

/* Reads a file written by the above: makes the model from the spec inside and
 * checks that names and shapes are exactly the model's. On success *m (caller
 * frees with pf_model_free) and *params (free()) are set. meta may be NULL.
 * MALFORMED, LIMIT, UNSUPPORTED (a dtype, by name), or model errors. */
enum pocketfed_status pf_safetensors_read(const uint8_t *p, size_t len,
                                          struct pf_model **m, float **params,
                                          struct pf_model_meta *meta,
                                          struct pf_error *err);

/* Parameters for a model that is already known, from any conforming file with
 * the same tensor names and shapes (one saved by PyTorch, for instance). */
enum pocketfed_status pf_safetensors_params(const uint8_t *p, size_t len,
                                            const struct pf_model *m,
                                            float *params,
                                            struct pf_error *err);

#endif
