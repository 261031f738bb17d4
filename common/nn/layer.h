/* layer.h - one row per layer type, and what a model is made of inside.
 *
 * A layer type is a row of pf_layer_types: its attributes with their limits,
 * how it infers its output shape and weights, and its two passes, which call
 * kernels.  To add a layer, write its functions, add its row and an example in
 * the gradient test, which walks this table.
 */
#ifndef PF_LAYER_H
#define PF_LAYER_H

#include "kernels.h"
#include "model.h"

#define PF_LAYER_MAX_ATTRS 4

enum pf_init {
    PF_HE_UNIFORM,
    PF_HE_NORMAL,
    PF_GLOROT_UNIFORM,
    PF_GLOROT_NORMAL
};
extern const char *const pf_init_names[]; /* NULL-terminated */

struct pf_layer_type;

struct pf_layer {
    const struct pf_layer_type *type;
    char name[48];
    uint32_t attr[PF_LAYER_MAX_ATTRS]; /* as type->attrs names them */
    enum pf_init init;
    struct pf_shape in, out;
    int in_place; /* its output overwrites its input */
    /* Of layers with parameters: */
    unsigned n_dims; /* of the weight tensor; 0: no parameters */
    uint32_t dims[4];
    size_t fan_in, fan_out;
    size_t weight, bias; /* offsets in the flat block */
};

/* What one pass over n examples works on. */
struct pf_pass {
    const struct pf_kernels *k;
    size_t n;
    const pf_real *w, *b; /* of this layer */
    pf_real *dw, *db;     /* added to */
    pf_real *x, *y;       /* input and output; only written: forward, y */
    pf_real *dy, *dx; /* dx NULL: nobody needs it; dy itself when in place */
    uint32_t *side;   /* what forward leaves for backward */
    void *scratch;
};

struct pf_layer_attr {
    const char *name; /* NULL ends the list */
    uint32_t min, max;
    uint32_t preset; /* when absent; PF_ATTR_REQUIRED */
};
#define PF_ATTR_REQUIRED UINT32_MAX

struct pf_layer_type {
    const char *name;
    struct pf_layer_attr attrs[PF_LAYER_MAX_ATTRS + 1];
    int has_params;   /* takes "init" */
    int keeps_output; /* backward reads y: the next layer may not overwrite */
    /* Sets out and, with parameters, n_dims, dims and fans from in and attr;
     * fills attributes that depend on others. `where` is the layer's JSON
     * pointer. No arithmetic here can overflow: shapes are within limits. */
    enum pocketfed_status (*infer)(struct pf_layer *l, const char *where,
                                   struct pf_error *err);
    /* 1 when the output may overwrite the input; NULL: never. */
    int (*in_place)(const struct pf_layer *l);
    /* Bytes of scratch, and uint32s of side memory per example; NULL: none. */
    size_t (*scratch)(const struct pf_layer *l, const struct pf_kernels *k);
    size_t (*side)(const struct pf_layer *l);
    void (*forward)(const struct pf_layer *l, const struct pf_pass *p);
    void (*backward)(const struct pf_layer *l, const struct pf_pass *p);
};

extern const struct pf_layer_type *const pf_layer_types[]; /* ends with NULL */
extern const char *const pf_layer_names[];                 /* the same order */

struct pf_model {
    struct pf_shape input;
    size_t n_layers, n_tensors, n_params;
    size_t activations; /* values of one example, input included */
    size_t largest;     /* of one layer's input or output */
    struct pf_layer layers[PF_MODEL_MAX_LAYERS];
    struct pf_tensor tensors[2 * PF_MODEL_MAX_LAYERS];
    uint8_t layout[32];
    char *spec; /* canonical */
};

static inline size_t pf_shape_size(const struct pf_shape *s)
{
    return (size_t)s->c * s->h * s->w;
}

/* Fills everything but tensors, layout and spec of m. */
enum pocketfed_status pf_spec_parse(const char *json, size_t len,
                                    struct pf_model *m, struct pf_error *err);
/* The canonical text. */
enum pocketfed_status pf_spec_write(const struct pf_model *m,
                                    struct pf_buf *out);

#endif
