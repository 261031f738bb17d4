/* step.h - what a model is computed as: layers that belong together are one
 * step, so that a convolution, its activation and its pool go through memory
 * once.
 *
 * A kind of steps is a row of pf_step_kinds; the first row that matches takes
 * the layer and those behind it that it can absorb.  The last row takes any
 * single layer.  A layer is absorbed only when the value in between has no
 * other consumer.
 *
 * Parameters of a step are one packed array, as its kernels want it; the arrays
 * of all steps follow each other in the packed block of the model.
 */
#ifndef PF_STEP_H
#define PF_STEP_H

#include "kernels.h"
#include "layer.h"
#include "parallel.h"

#define PF_STEP_MAX_LAYERS 3

struct pf_exec;
struct pf_step_kind;

struct pf_step {
    const struct pf_step_kind *kind;
    unsigned n_layers, layers[PF_STEP_MAX_LAYERS];
    const struct pf_layer *l; /* the one with the parameters, or the only one */
    unsigned n_in, in[2], out; /* values */
    size_t in_size, out_size;  /* of one example */
    struct pf_conv conv;       /* of the kinds that use them */
    struct pf_dense dense;
    enum pf_act act; /* the last thing that was done to its output, or in front
                        of its pool: RELU means that zeros are dead */
    /* What it takes; set by measure. */
    size_t n_packed;  /* pf_reals of parameters */
    size_t n_trained; /* the first ones of them, which the optimiser moves */
    size_t n_ready;   /* pf_reals derived from them after each update */
    size_t side;      /* bytes per example, from forward to backward */
    size_t scratch;   /* bytes per worker */
    size_t work;      /* pf_reals, while its backward pass runs */
    uint64_t macs;    /* multiplications of one example, forward */
    /* Where it is. */
    size_t at; /* in the packed block */
    pf_real *ready;
    void *side_mem;
    void *spare;     /* s->scratch bytes, for pack */
    int wants_dx[2]; /* something before it learns */
    int adds_dx[2];  /* a later step has set that gradient already */
    int learns;      /* it or something before it has parameters */
};

/* One pass of a chunk. */
struct pf_run {
    const struct pf_exec *e;
    size_t n;
    size_t first;  /* index of the chunk's first example in the batch */
    uint64_t seed; /* of this optimiser step */
    pf_real *w;    /* the packed block; forward only reads it */
    /* Backward: one of the two. */
    pf_real *grads;                 /* packed block, added to */
    const struct pf_update *update; /* applied at once */
    pf_real *dx[2];                 /* of the present step; NULL: not wanted */
};

struct pf_step_kind {
    const char *name;
    /* Sets layers, l, in, out, sizes, shape and act when the layer `at` and
     * perhaps followers are of this kind, else returns 0. uses[v]: how many
     * take value v. */
    int (*match)(const struct pf_model *m, const unsigned *uses, unsigned at,
                 struct pf_step *s);
    void (*measure)(struct pf_step *s, const struct pf_kernels *k,
                    size_t chunk);
    /* Between the canonical parameters of layer s->l and the packed ones;
     * prepare: what is derived from them. NULL: the two are the same, and
     * nothing is derived. */
    void (*pack)(const struct pf_step *s, const struct pf_kernels *k,
                 const pf_real *canonical, pf_real *packed);
    void (*unpack)(const struct pf_step *s, const struct pf_kernels *k,
                   const pf_real *packed, pf_real *canonical);
    void (*prepare)(const struct pf_step *s, const struct pf_kernels *k,
                    const pf_real *packed, pf_real *ready);
    void (*forward)(const struct pf_step *s, const struct pf_run *r);
    void (*backward)(const struct pf_step *s, const struct pf_run *r);
    const char *(*method)(const struct pf_step *s, const struct pf_kernels *k);
};

extern const struct pf_step_kind pf_conv_step, pf_dense_step, pf_layer_step;
/* Put in place of the first two when a model is only used: no match, no
 * backward, and their packed parameters are not pf_reals. */
extern const struct pf_step_kind pf_conv_half_step, pf_dense_half_step;
extern const struct pf_step_kind pf_conv_int8_step, pf_dense_int8_step;
/* The sums of a convolution or a dense layer cannot overflow 32 bits. */
int pf_step_fits_int8(const struct pf_step *s);

/* Lowers m; returns the number of steps, in the order in which they run. */
size_t pf_steps_make(const struct pf_model *m,
                     struct pf_step steps[PF_MODEL_MAX_LAYERS]);
/* The only layer that takes the value v, when it takes nothing else; else
 * NULL. */
const struct pf_layer *pf_step_follower(const struct pf_model *m,
                                        const unsigned *uses, unsigned v);
/* Makes l the next layer of s. */
void pf_step_absorb(const struct pf_model *m, struct pf_step *s,
                    const struct pf_layer *l);
/* The activation behind s, when one follows that steps know. */
int pf_step_take_act(const struct pf_model *m, const unsigned *uses,
                     struct pf_step *s, pf_real *slope);

#endif
