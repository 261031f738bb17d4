/* kernels.h - the list of compute kernels and the table that a model runs on.
 *
 * One X-macro list declares every kernel; each family (plain loops, blocked C,
 * later an instruction set) fills one struct pf_kernels and is one row in
 * kernels.c.  pf_kernels_get() chooses once, by POCKETFED_KERNELS or by
 * what is best here.  Every family is compared with `reference` by a test that
 * walks this list.
 *
 * Activations of n examples are [n][h][w][c], channels last; weights are in
 * the canonical order of files (conv OIHW, dense [out][in]).  A family may
 * rearrange weights in the scratch it asks for.  Pointers need only the
 * alignment of pf_real, buffers are never read or written past their ends, and
 * the bits of a result depend on the family and the values alone, not on
 * alignment.  Inputs and outputs do not overlap unless a kernel says so.
 *
 * Terms whose upstream gradient is exactly zero may be left out of sums: after
 * a max pool or a ReLU that is most of them.  With finite values this changes
 * nothing; NaN and infinities otherwise spread as the formula says, with
 * padding as zeros that take part.
 *
 * A fused step (say conv + ReLU + pool) becomes one more row of this list.
 */
#ifndef PF_KERNELS_H
#define PF_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "real.h"

/* A convolution (cross-correlation, as everywhere in the field) of one
 * example: x [h][w][c] -> y [oh][ow][o], square kernel k, zero padding. */
struct pf_conv {
    size_t c, h, w; /* input */
    size_t o, k, pad, stride;
    size_t oh, ow; /* (h + 2 pad - k) / stride + 1 */
};

/* Max pooling of one example: [h][w][c] -> [oh][ow][c], windows inside. */
struct pf_pool {
    size_t c, h, w;
    size_t size, stride;
    size_t oh, ow; /* (h - size) / stride + 1 */
};

/* One optimiser step over count parameters w with gradients g. */
struct pf_sgd_step {
    pf_real lr, momentum, weight_decay;
};
struct pf_adam_step {
    pf_real rate; /* lr / (1 - beta1^t) */
    pf_real beta1, beta2, epsilon, weight_decay;
    pf_real correction; /* 1 / sqrt(1 - beta2^t) */
};

/* X(name, return type, arguments):
 *
 * conv_scratch           bytes of scratch the conv kernels need.
 * conv_forward           y = w * x + b.
 * conv_backward_weights  dw += ..., db += ...
 * conv_backward_input    dx = ...
 * pool_forward           y, and where[] = index in its own example of the x
 *                        that won: the first of equals; NaN wins.
 * pool_backward          dx = dy scattered to where[].
 * dense_forward          y [n][out] = x [n][in] w^T + b.
 * dense_backward_weights dw += dy^T x, db += column sums of dy.
 * dense_backward_input   dx = dy w.
 * relu_forward           y = max(x, 0), NaN stays; y == x is allowed.
 * relu_backward          dx = dy where y > 0 (or NaN), else 0; dx == dy is
 *                        allowed.
 * channels_first         y [n][c][hw] = x [n][hw][c].
 * channels_last          y [n][hw][c] = x [n][c][hw].
 * sgd                    g' = g + weight_decay w; w -= lr g'; with v (not
 *                        NULL): v = momentum v + g'; w -= lr v.
 * adam                   Kingma & Ba 2015, algorithm 1: m, v, then w -= rate m
 *                        / (sqrt(v) correction + epsilon).
 */
#define PF_KERNELS(X)                                                          \
    X(conv_scratch, size_t, (const struct pf_conv *s))                         \
    X(conv_forward, void,                                                      \
      (const struct pf_conv *s, size_t n, const pf_real *x, const pf_real *w,  \
       const pf_real *b, pf_real *y, void *scratch))                           \
    X(conv_backward_weights, void,                                             \
      (const struct pf_conv *s, size_t n, const pf_real *x, const pf_real *dy, \
       pf_real *dw, pf_real *db, void *scratch))                               \
    X(conv_backward_input, void,                                               \
      (const struct pf_conv *s, size_t n, const pf_real *w, const pf_real *dy, \
       pf_real *dx, void *scratch))                                            \
    X(pool_forward, void,                                                      \
      (const struct pf_pool *s, size_t n, const pf_real *x, pf_real *y,        \
       uint32_t *where))                                                       \
    X(pool_backward, void,                                                     \
      (const struct pf_pool *s, size_t n, const pf_real *dy,                   \
       const uint32_t *where, pf_real *dx))                                    \
    X(dense_forward, void,                                                     \
      (size_t n, size_t in, size_t out, const pf_real *x, const pf_real *w,    \
       const pf_real *b, pf_real *y))                                          \
    X(dense_backward_weights, void,                                            \
      (size_t n, size_t in, size_t out, const pf_real *x, const pf_real *dy,   \
       pf_real *dw, pf_real *db))                                              \
    X(dense_backward_input, void,                                              \
      (size_t n, size_t in, size_t out, const pf_real *w, const pf_real *dy,   \
       pf_real *dx))                                                           \
    X(relu_forward, void, (size_t count, const pf_real *x, pf_real *y))        \
    X(relu_backward, void,                                                     \
      (size_t count, const pf_real *y, const pf_real *dy, pf_real *dx))        \
    X(channels_first, void,                                                    \
      (size_t n, size_t c, size_t hw, const pf_real *x, pf_real *y))           \
    X(channels_last, void,                                                     \
      (size_t n, size_t c, size_t hw, const pf_real *x, pf_real *y))           \
    X(sgd, void,                                                               \
      (const struct pf_sgd_step *s, size_t count, const pf_real *g,            \
       pf_real *w, pf_real *v))                                                \
    X(adam, void,                                                              \
      (const struct pf_adam_step *s, size_t count, const pf_real *g,           \
       pf_real *w, pf_real *m, pf_real *v))

struct pf_kernels {
    const char *name;
#define PF_KERNEL_MEMBER(name, type, args) type(*name) args;
    PF_KERNELS(PF_KERNEL_MEMBER)
#undef PF_KERNEL_MEMBER
};

/* The families. */
extern const struct pf_kernels pf_kernels_reference;
extern const struct pf_kernels pf_kernels_portable;

/* The family of this process: the one POCKETFED_KERNELS names, else the best
 * that runs here; chosen at the first call, the same ever after. CONFIG when
 * the name is unknown. Any thread. */
enum pocketfed_status pf_kernels_get(const struct pf_kernels **out,
                                     struct pf_error *err);
/* NULL when there is no such family. */
const struct pf_kernels *pf_kernels_find(const char *name);
/* All families, best first; ends with NULL. */
const char *const *pf_kernels_names(void);

#endif
