/* exec.h - runs a model's steps forward and backward over a chunk of examples.
 *
 * A mini-batch goes through in chunks of at most e->chunk examples, which is a
 * function of the model and the batch alone.  Parameters are the packed block
 * of e->n_packed pf_reals; pf_exec_pack and pf_exec_unpack translate from and
 * to the canonical order of files.  The caller lends the memory; nothing here
 * allocates or fails.  One exec serves one caller, who may lend it threads.
 */
#ifndef PF_EXEC_H
#define PF_EXEC_H

#include "kernels.h"
#include "model.h"
#include "precision.h"
#include "step.h"

struct pf_exec_options {
    size_t batch; /* examples that belong together, at least 1 */
    int training;
    const struct pf_parallel *threads; /* NULL: none */
    enum pf_precision precision;       /* PF_F32 when training */
};

/* What the step's two passes took by the caller's clock, since init. */
struct pf_step_ticks {
    uint64_t forward, backward;
};

struct pf_exec {
    const struct pf_model *m;
    const struct pf_kernels *k;
    const struct pf_parallel *threads;
    int training;
    size_t chunk;    /* examples that go through at once */
    size_t n_packed; /* of all parameters, gaps included */
    size_t n_steps;
    struct pf_step steps[PF_MODEL_MAX_LAYERS];
    /* By value; NULL where a value lives inside a step or nobody wants it. */
    pf_real *act[PF_MODEL_MAX_LAYERS + 1];
    pf_real *grad[PF_MODEL_MAX_LAYERS + 1]; /* only when training */
    pf_real *more[2];        /* gradients that are added to others */
    pf_real *work;           /* of the step whose backward pass runs */
    char *scratch;           /* of all workers */
    size_t scratch_bytes;    /* of one */
    uint64_t (*clock)(void); /* NULL: times are not taken */
    struct pf_step_ticks ticks[PF_MODEL_MAX_LAYERS];
};

/* Plans everything but memory; returns the bytes that pf_exec_place wants,
 * SIZE_MAX on overflow. m, k and the threads outlive e. */
size_t pf_exec_plan(struct pf_exec *e, const struct pf_model *m,
                    const struct pf_kernels *k,
                    const struct pf_exec_options *o);
/* mem is aligned to 64, lives as long as e, and belongs to e. */
void pf_exec_place(struct pf_exec *e, void *mem);

/* Between the model's flat block and e->n_packed pf_reals; packing writes every
 * one of them. */
void pf_exec_pack(const struct pf_exec *e, const pf_real *canonical,
                  pf_real *packed);
void pf_exec_unpack(const struct pf_exec *e, const pf_real *packed,
                    pf_real *canonical);
/* After any change of the packed parameters that backward did not make. */
void pf_exec_prepare(const struct pf_exec *e, const pf_real *packed);

/* Where the values of example i < chunk go, [c][h][w], before each forward. */
pf_real *pf_exec_input(const struct pf_exec *e, size_t i);
/* Runs r->n <= chunk examples that were put in, with r->w, r->first and
 * r->seed; r->e is set here. Returns the outputs [n][classes], valid until the
 * next forward. */
const pf_real *pf_exec_forward(struct pf_exec *e, struct pf_run *r);
/* Where the loss puts its gradient by the outputs, [n][classes]. */
pf_real *pf_exec_output_gradient(const struct pf_exec *e);
/* After forward with the same r: r->grads += all gradients, or, with r->update,
 * each step's parameters take the optimiser's step as soon as nothing reads the
 * old ones. */
void pf_exec_backward(struct pf_exec *e, struct pf_run *r);
/* The optimiser's step on everything at once, by gathered gradients. */
void pf_exec_update(const struct pf_exec *e, const struct pf_update *u,
                    const pf_real *grads);

/* One line per step for people: layers, how it is computed, packed floats,
 * multiplications of one example; and its times when a clock was lent. */
enum pocketfed_status pf_exec_explain(const struct pf_exec *e,
                                      struct pf_buf *out);

/* Outputs of one example. */
static inline size_t pf_exec_outputs(const struct pf_exec *e)
{
    return e->m->layers[e->m->n_layers - 1].out.c;
}

/* For steps. */
static inline void *pf_exec_scratch(const struct pf_exec *e, unsigned worker)
{
    return e->scratch + worker * e->scratch_bytes;
}

/* A pass that treats each example by itself: task once per share of r's, cut
 * for the threads. */
typedef void pf_exec_task(const struct pf_step *s, const struct pf_run *r,
                          size_t first, size_t n, void *scratch);
void pf_exec_by_example(const struct pf_step *s, const struct pf_run *r,
                        pf_exec_task *task);

/* Bytes, up to where the next array may begin. */
static inline size_t pf_exec_whole(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

void pf_exec_zero(pf_real *x, size_t n);
void pf_exec_add(pf_real *to, const pf_real *x, size_t n);

#endif
