/* exec.h - runs a model forward and backward over a chunk of examples.
 *
 * A mini-batch of any size goes through in chunks of pf_exec_chunk(model)
 * examples, so that memory is bounded and stays in the cache; gradients add up
 * over chunks.  The chunk is a function of the model alone, so bits do not
 * depend on where a batch runs.  The caller lends the memory; nothing here
 * allocates or fails.  One exec serves one thread.
 */
#ifndef PF_EXEC_H
#define PF_EXEC_H

#include "kernels.h"
#include "model.h"

struct pf_exec {
    const struct pf_model *m;
    const struct pf_kernels *k;
    size_t chunk;
    size_t first; /* the first layer with parameters: backward ends there */
    pf_real *act[PF_MODEL_MAX_LAYERS + 1]; /* act[i]: input of layer i */
    uint32_t *side[PF_MODEL_MAX_LAYERS];
    pf_real *grad[2]; /* only when training */
    void *scratch;
};

/* Examples that go through at once. */
size_t pf_exec_chunk(const struct pf_model *m);
/* Bytes of memory; SIZE_MAX on overflow. */
size_t pf_exec_bytes(const struct pf_model *m, const struct pf_kernels *k,
                     int training);
/* mem is aligned for any type, lives as long as e, and belongs to e. */
void pf_exec_init(struct pf_exec *e, const struct pf_model *m,
                  const struct pf_kernels *k, int training, void *mem);
/* Where the values of example i < chunk go, [c][h][w], before each forward. */
pf_real *pf_exec_input(const struct pf_exec *e, size_t i);
/* The logits [n][classes] of the n <= chunk examples that were put in. They
 * are valid until the next forward. */
const pf_real *pf_exec_forward(struct pf_exec *e, const pf_real *params,
                               size_t n);
/* Where the loss puts its gradient by the logits, [n][classes]. */
pf_real *pf_exec_output_gradient(const struct pf_exec *e);
/* After forward with the same params and n: grads += all n_params of them. */
void pf_exec_backward(struct pf_exec *e, const pf_real *params, size_t n,
                      pf_real *grads);

#endif
