/* model.h - a model specification becomes layers over ONE flat float block.
 *
 * JSON text -> struct pf_model (immutable, shared by threads).  Parameters are
 * one array of pf_model_n_params floats: tensors follow each other in layer
 * order, weight before bias, without padding; convolutions are OIHW, dense
 * layers [out][in], flatten is C,H,W, so files interchange with PyTorch.
 * Everything is checked against limits before memory is taken.
 */
#ifndef PF_MODEL_H
#define PF_MODEL_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"
#include "real.h"

#define PF_MODEL_MAX_LAYERS      64
#define PF_MODEL_MAX_DIM         4096
#define PF_MODEL_MAX_PARAMS      (64u << 20) /* 256 MB of floats */
#define PF_MODEL_MAX_ACTIVATIONS (16u << 20) /* values, of one example */
#define PF_MODEL_MAX_MACS        (16ull << 30) /* multiplications, of one example */
#define PF_MODEL_MAX_CLASSES     4096
#define PF_MODEL_MAX_SPEC        (64u << 10) /* bytes of JSON */

/* One named parameter tensor: "<layer name>.weight", ".bias", ".running_mean"
 * or
 * ".running_var", the names that torch.nn modules give. */
struct pf_tensor {
    char name[64];
    unsigned n_dims;
    uint32_t dims[4];
    size_t offset, count; /* floats, in the flat block */
    int trainable; /* 0: a running statistic, which no optimiser touches */
};

struct pf_shape { /* of one example: channels, height, width */
    uint32_t c, h, w;
};

struct pf_model;

/* `json` is a spec (see docs/MODELS.md): {"version":1, "input":[c,h,w],
 * "layers":[{"name":..., "type":..., "inputs":[...], ...}], "loss":...}.
 * MALFORMED with a JSON pointer, LIMIT, UNSUPPORTED (a layer type by name),
 * NO_MEMORY. */
enum pocketfed_status pf_model_create(const char *json, size_t len,
                                      struct pf_model **out,
                                      struct pf_error *err);
/* The spec text of a zoo model, or NULL; names end with NULL. */
const char *pf_zoo_spec(const char *name);
const char *const *pf_zoo_names(void);
void pf_model_free(struct pf_model *m); /* NULL is fine */

size_t pf_model_n_params(const struct pf_model *m);
/* How many labels there are: the outputs, or 2 when there is one output. */
size_t pf_model_n_classes(const struct pf_model *m);
struct pf_shape pf_model_input(const struct pf_model *m);
const struct pf_tensor *pf_model_tensors(const struct pf_model *m, size_t *n);
/* The spec in canonical form (equal models, equal bytes): what plans and
 * model files carry. Borrowed, NUL-terminated. */
const char *pf_model_spec(const struct pf_model *m);
/* SHA-256 over names, dims and offsets: the layout digest of update frames. */
void pf_model_layout_digest(const struct pf_model *m, uint8_t out[32]);
/* Fills params by the spec's initialisers, from the seed alone. */
void pf_model_init(const struct pf_model *m, uint64_t seed, pf_real *params);
/* One line per layer for people: name, type, output shape, parameters. */
enum pocketfed_status pf_model_describe(const struct pf_model *m,
                                        struct pf_buf *out);

#endif
