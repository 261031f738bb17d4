/* layer.h - one row per layer type, and what a model is made of inside.
 *
 * A layer type is a row of pf_layer_types: its attributes with their limits,
 * how it infers its output shape and weights, and its two passes, which call
 * kernels.  Types that a fused step (step.h) always covers say what they are by
 * the as_* functions and need no passes.  To add a layer, write its functions,
 * add its row and an example in the gradient test, which walks this table.
 *
 * Values are numbered: 0 is the model's input, i + 1 the output of layer i.
 */
#ifndef PF_LAYER_H
#define PF_LAYER_H

#include "kernels.h"
#include "loss.h"
#include "model.h"

#define PF_LAYER_MAX_ATTRS 4
#define PF_LAYER_MAX_REALS 2
#define PF_LAYER_MAX_TYPES 32

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
    double real[PF_LAYER_MAX_REALS];   /* as type->reals names them */
    enum pf_init init;
    unsigned n_inputs;  /* 1 or 2 */
    unsigned input[2];  /* values */
    struct pf_shape in; /* of the first input; a second one has the same */
    struct pf_shape out;
    /* Of layers with parameters: */
    unsigned n_dims; /* of the weight tensor; 0: no parameters */
    uint32_t dims[4];
    size_t fan_in, fan_out;
    size_t weight, bias; /* offsets in the flat block */
    size_t n_params;     /* all its floats, at weight; 0: none */
    size_t n_stats;      /* the last ones of them, which no optimiser touches */
};

/* What one pass over n examples works on. */
struct pf_pass {
    const struct pf_kernels *k;
    size_t n;
    const pf_real *w; /* of this layer, n_params, in the canonical order */
    pf_real *stats;   /* the last n_stats of w; only in a training's backward
                         pass, else NULL: a forward pass changes nothing, since
                         its loss may turn out not to be finite */
    pf_real *dw;      /* n_params, added to */
    const pf_real *x, *x2; /* inputs */
    pf_real *y;            /* output; only forward writes it */
    const pf_real *dy;
    pf_real *dx, *dx2; /* set, not added to; NULL: nobody needs it */
    uint32_t *side;    /* what forward leaves for backward */
    void *scratch;
    int training;  /* dropout drops, batch norm takes the batch's moments */
    uint64_t seed; /* of this layer and optimiser step */
    size_t first;  /* index in the batch of the first of the n examples */
};

struct pf_layer_attr {
    const char *name; /* NULL ends the list */
    uint32_t min, max;
    uint32_t preset; /* when absent; PF_ATTR_REQUIRED */
};
#define PF_ATTR_REQUIRED UINT32_MAX

struct pf_layer_real {
    const char *name; /* NULL ends the list */
    double min, max;
    double preset; /* when absent */
};

struct pf_layer_type {
    const char *name;
    struct pf_layer_attr attrs[PF_LAYER_MAX_ATTRS + 1];
    struct pf_layer_real reals[PF_LAYER_MAX_REALS + 1];
    unsigned n_inputs; /* 2: must name them; 0 is 1: the layer before it */
    int has_params;    /* takes "init"; weights of others begin at 1 */
    int whole_batch;   /* a batch must go through in one piece */
    /* Sets out and, with parameters, n_dims, dims, fans and n_stats (running
     * mean and variance, out.c each, or 0) from in and attr; all parameters but
     * the statistics are fan_in * out.c weights and out.c biases;
     * fills attributes that depend on others. `where` is the layer's JSON
     * pointer. No arithmetic here can overflow: shapes are within limits. */
    enum pocketfed_status (*infer)(struct pf_layer *l, const char *where,
                                   struct pf_error *err);
    /* Bytes of scratch, and uint32s of side memory per example; NULL: none. */
    size_t (*scratch)(const struct pf_layer *l, const struct pf_kernels *k);
    size_t (*side)(const struct pf_layer *l);
    void (*forward)(const struct pf_layer *l, const struct pf_pass *p);
    void (*backward)(const struct pf_layer *l, const struct pf_pass *p);
    /* What fused steps make of it; NULL: nothing. as_conv and as_dense set the
     * layer's own part of s, without activation and pool. */
    void (*as_conv)(const struct pf_layer *l, struct pf_conv *s);
    void (*as_dense)(const struct pf_layer *l, struct pf_dense *s);
    enum pf_act (*as_act)(const struct pf_layer *l, pf_real *slope);
    enum pf_pool2 (*as_pool2)(const struct pf_layer *l);
    int flattens; /* only renames [c][h][w] to [c h w] */
};

extern const struct pf_layer_type *const pf_layer_types[]; /* ends with NULL */

struct pf_model {
    struct pf_shape input;
    size_t n_layers, n_tensors, n_params;
    size_t activations; /* values of one example, input included */
    const struct pf_loss_type *loss;
    struct pf_layer layers[PF_MODEL_MAX_LAYERS];
    struct pf_tensor tensors[4 * PF_MODEL_MAX_LAYERS];
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
