/* kernels.h - the list of compute kernels and the table that a model runs on.
 *
 * One X-macro list declares every kernel; each family (plain loops, the vector
 * sources compiled for one instruction set) fills one struct pf_kernels and is
 * one row in CMakeLists.txt.  pf_kernels_get() chooses once, by
 * POCKETFED_KERNELS or by what this processor has.  Every family is compared
 * with `reference` by a test that walks this list.
 *
 * Activations of n examples are [n][h][w][c], channels last and without gaps.
 * Weights travel in files in the canonical order (conv OIHW, dense [out][in]);
 * while a model trains they stay in the order that the family's kernels want
 * ("packed"), with what the optimiser keeps per weight in the same order, so
 * that a step never repacks them.  Places that padding adds to a packed array
 * hold zeros and stay zero under every update rule.
 *
 * Pointers need only the alignment of pf_real; buffers are never read or
 * written past their ends; bits of a result depend on the family and the values
 * alone, not on alignment, nor on how a caller cuts a batch into examples or a
 * weight into rows.  Inputs and outputs do not overlap unless a kernel says so.
 *
 * Terms in which one factor is exactly zero may be left out of sums: behind a
 * ReLU or a max pool that is most of them; a convolution may add others, of a
 * neighbour's input times zero.  With finite values this changes nothing; what
 * is not finite then shows in the loss or the delta, which are checked at every
 * step.
 */
#ifndef PF_KERNELS_H
#define PF_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "real.h"

/* What follows a sum in the same step. */
enum pf_act { PF_ACT_NONE, PF_ACT_RELU, PF_ACT_LEAKY };
enum pf_pool2 { PF_POOL_NONE, PF_POOL_MAX2, PF_POOL_AVG2 }; /* 2x2, stride 2 */

/* A convolution (cross-correlation, as everywhere in the field), its bias, its
 * activation and a 2x2 pool of one example: x [h][w][c] -> y [ph][pw][o];
 * square kernel k, zero padding, any stride. */
struct pf_conv {
    size_t c, h, w; /* input */
    size_t o, k, pad, stride;
    size_t oh, ow; /* (h + 2 pad - k) / stride + 1 */
    enum pf_act act;
    pf_real slope; /* of PF_ACT_LEAKY where its input is negative */
    enum pf_pool2 pool;
    size_t ph, pw;    /* oh, ow without a pool, else oh / 2, ow / 2 */
    int zero_is_dead; /* dx is not wanted where x is 0: it came out of a ReLU */
};

/* A dense layer and its activation. Its input may be an image [h][w][c] that
 * the file's weights take flattened as C, H, W; the packed rows then follow the
 * image, so nothing is turned around while training. */
struct pf_dense {
    size_t in, out;
    size_t c, hw; /* in = c hw; c = in, hw = 1 when it was flat already */
    enum pf_act act;
    pf_real slope;
    int zero_is_dead; /* as above */
};

/* Max or average pooling of one example: [h][w][c] -> [oh][ow][c], windows
 * inside. */
struct pf_pool {
    size_t c, h, w;
    size_t size, stride;
    size_t oh, ow; /* (h - size) / stride + 1 */
};

/* Sums of products of bytes, all in -127..127, for inference. One sum runs over
 * `rows` runs of 4 quads bytes that begin row_step bytes apart; n such sums lie
 * step bytes apart. A convolution's rows are those of its window, a dense layer
 * has one. w is [panels of PF_INT8_OUTS][rows][quads][PF_INT8_OUTS][4]; there,
 * what lies beyond the layer's inputs and outputs is zero. scale and bias are
 * padded to whole panels. 4 rows quads <= PF_INT8_DEPTH. */
struct pf_int8 {
    size_t rows, row_step, quads;
    size_t n, step;
    size_t out;
    int positive; /* no byte of x is negative */
    enum pf_act act;
    pf_real slope;
    const int8_t *w;
    const pf_real *scale, *bias;
};
#define PF_INT8_OUTS  16
#define PF_INT8_DEPTH (1u << 17) /* 127 * 127 times this is below 2^31 */

/* The optimiser's step on packed arrays. g' = scale g [+ control] [+ mu (w -
 * anchor)]; then, with decay as L2 added to g' (as in PyTorch's sgd and adam)
 * or, for ADAMW, taken from w first:
 *   SGD       w -= lr g'
 *   MOMENTUM  m = momentum m + g'; w -= lr m
 *   NESTEROV  m = momentum m + g'; w -= lr (g' + momentum m)
 *   ADAM(W)   m, v as in Kingma & Ba 2015, algorithm 1;
 *             w -= rate m / (sqrt(v) correction + epsilon) */
enum pf_rule {
    PF_RULE_SGD,
    PF_RULE_MOMENTUM,
    PF_RULE_NESTEROV,
    PF_RULE_ADAM,
    PF_RULE_ADAMW
};
struct pf_update {
    enum pf_rule rule;
    pf_real lr, momentum, decay;
    pf_real beta1, beta2, epsilon;
    pf_real rate;       /* lr / (1 - beta1^t) */
    pf_real correction; /* 1 / sqrt(1 - beta2^t) */
    pf_real scale;      /* 1, or less when the gradient's norm is clipped */
    pf_real mu;         /* FedProx; 0: anchor is not read */
    /* Packed arrays of the whole model: at the same index, the same weight. */
    pf_real *w, *m, *v;              /* m, v NULL when the rule has none */
    const pf_real *anchor, *control; /* NULL: none */
};

/* clang-format off */
/* X(name, return type, arguments). Sizes named *_size count pf_reals, except
 * scratch, which counts bytes and is aligned to 64 by who lends it.
 *
 * update           the step above on weights [at, at + count), gradient g
 *                  [count].
 *
 * conv_size        of the packed weights and bias of s.
 * conv_pack        canonical w [o][c][k][k], b [o] -> packed; conv_unpack back.
 * conv_ready_size  of what conv_prepare derives from the packed weights, once
 *                  after every update (0: nothing).
 * conv_scratch     bytes for one caller of conv_forward or conv_backward.
 * conv_side        bytes per example that forward leaves for backward.
 * conv_forward     y, side of n examples.
 * conv_backward    of n examples: grad (packed order, conv_size) += the
 *                  gradient; dx (NULL: not wanted) = the input's. dy [ph][pw][o]
 *                  is by the step's output. Threads call it on examples of
 *                  their own with a grad of their own.
 * conv_method      a word for people: how this shape is computed.
 *
 * dense_size, dense_pack, dense_unpack, dense_scratch   likewise.
 * dense_forward    y [n][out] = act(x [n][in] w + b).
 * dense_turn_size  pf_reals for dense_turn.
 * dense_turn       before the backward pass of n examples: turned = the
 *                  gradient by the sum (dy through the activation, by y) in the
 *                  order that dense_backward reads; grad_b [out] = its sums over
 *                  the examples.
 * dense_backward   rows [first, end) of the weights, whole multiples of
 *                  PF_DENSE_ROWS but for the last: dx [n][first..end) (NULL: not
 *                  wanted) and the gradient of these rows, over all n examples.
 *                  With update: applied at once, weights of these rows lie at
 *                  update->w + at + ...; else added to grad (packed order, whole
 *                  layer). `packed` is the layer's packed weights (== update->w
 *                  + at). Threads call it on rows of their own.
 * dense_bias       where the bias begins in the packed array (out values).
 * dense_method     a word for people.
 *
 * pool_forward     max: y, and where[] = index in its own example of the x that
 *                  won: the first of equals; NaN wins.
 * pool_backward    dx = dy scattered to where[].
 * relu_forward     y = max(x, 0), NaN stays; y == x is allowed.
 * relu_backward    dx = dy where y > 0 (or NaN), else 0; dx == dy allowed.
 * half_widen       y = the values of h, IEEE binary16, all finite.
 * half_dense       as dense_forward, with w [panels of PF_HALF_OUTS][in]
 *                  [PF_HALF_OUTS] in binary16, zero beyond out.
 * int8_scale       (greatest |x|) / 127; 0 when that is too small to divide by,
 *                  NaN when some x is not finite.
 * int8_round       q = x (1 / scale) to the nearest, ties to even; 0 when the scale
 *                  is 0 or NaN.
 * int8_sums        y [n][out] = act(sum * (x_scale[i] scale[o]) + bias[o]), for
 *                  sum number i with x_scale[i * x_scale_step].
 *                  The three int8 kernels give the same bits in all families.
 *
 * channels_first   y [n][c][hw] = x [n][hw][c]; channels_last the reverse.
 * peak             the yardstick of timings: that many rounds of independent
 *                  multiply-adds in registers (a = a *x + *x, 0 < *x < 1);
 *                  returns how many operations those were, two per
 *                  multiply-add. *x is added a sum, so that none is left out.
 */
/* clang-format on */
#define PF_DENSE_ROWS 16
#define PF_HALF_OUTS  32

#define PF_CONV_KERNELS(X)                                                     \
    X(conv_size, size_t, (const struct pf_conv *s))                            \
    X(conv_pack, void,                                                         \
      (const struct pf_conv *s, const pf_real *w, const pf_real *b,            \
       pf_real *packed))                                                       \
    X(conv_unpack, void,                                                       \
      (const struct pf_conv *s, const pf_real *packed, pf_real *w,             \
       pf_real *b))                                                            \
    X(conv_ready_size, size_t, (const struct pf_conv *s))                      \
    X(conv_prepare, void,                                                      \
      (const struct pf_conv *s, const pf_real *packed, pf_real *ready))        \
    X(conv_scratch, size_t, (const struct pf_conv *s))                         \
    X(conv_side, size_t, (const struct pf_conv *s))                            \
    X(conv_forward, void,                                                      \
      (const struct pf_conv *s, size_t n, const pf_real *x,                    \
       const pf_real *packed, const pf_real *ready, pf_real *y, uint8_t *side, \
       void *scratch))                                                         \
    X(conv_backward, void,                                                     \
      (const struct pf_conv *s, size_t n, const pf_real *x,                    \
       const pf_real *packed, const pf_real *ready, const pf_real *y,          \
       const uint8_t *side, const pf_real *dy, pf_real *dx, pf_real *grad,     \
       void *scratch))                                                         \
    X(conv_method, const char *, (const struct pf_conv *s))

#define PF_DENSE_KERNELS(X)                                                    \
    X(dense_size, size_t, (const struct pf_dense *s))                          \
    X(dense_bias, size_t, (const struct pf_dense *s))                          \
    X(dense_pack, void,                                                        \
      (const struct pf_dense *s, const pf_real *w, const pf_real *b,           \
       pf_real *packed))                                                       \
    X(dense_unpack, void,                                                      \
      (const struct pf_dense *s, const pf_real *packed, pf_real *w,            \
       pf_real *b))                                                            \
    X(dense_scratch, size_t, (const struct pf_dense *s, size_t n))             \
    X(dense_forward, void,                                                     \
      (const struct pf_dense *s, size_t n, const pf_real *x,                   \
       const pf_real *packed, pf_real *y, void *scratch))                      \
    X(dense_turn_size, size_t, (const struct pf_dense *s, size_t n))           \
    X(dense_turn, void,                                                        \
      (const struct pf_dense *s, size_t n, const pf_real *y,                   \
       const pf_real *dy, pf_real *turned, pf_real *grad_b))                   \
    X(dense_backward, void,                                                    \
      (const struct pf_dense *s, size_t n, size_t first, size_t end,           \
       const pf_real *x, const pf_real *turned, const pf_real *packed,         \
       const struct pf_update *update, size_t at, pf_real *grad, pf_real *dx,  \
       void *scratch))                                                         \
    X(dense_method, const char *, (const struct pf_dense *s))

#define PF_VALUE_KERNELS(X)                                                    \
    X(update, void,                                                            \
      (const struct pf_update *u, size_t at, size_t count, const pf_real *g))  \
    X(pool_forward, void,                                                      \
      (const struct pf_pool *s, size_t n, const pf_real *x, pf_real *y,        \
       uint32_t *where))                                                       \
    X(pool_backward, void,                                                     \
      (const struct pf_pool *s, size_t n, const pf_real *dy,                   \
       const uint32_t *where, pf_real *dx))                                    \
    X(relu_forward, void, (size_t count, const pf_real *x, pf_real *y))        \
    X(relu_backward, void,                                                     \
      (size_t count, const pf_real *y, const pf_real *dy, pf_real *dx))        \
    X(channels_first, void,                                                    \
      (size_t n, size_t c, size_t hw, const pf_real *x, pf_real *y))           \
    X(channels_last, void,                                                     \
      (size_t n, size_t c, size_t hw, const pf_real *x, pf_real *y))           \
    X(peak, uint64_t, (uint64_t rounds, pf_real * x))                          \
    PF_INFER_KERNELS(X)

/* For models that are used, not trained. */
#define PF_INFER_KERNELS(X)                                                    \
    X(half_widen, void, (size_t n, const uint16_t *h, pf_real *y))             \
    X(half_dense, void,                                                        \
      (const struct pf_dense *s, size_t n, const pf_real *x,                   \
       const uint16_t *w, const pf_real *bias, pf_real *y))                    \
    X(int8_scale, pf_real, (size_t n, const pf_real *x))                       \
    X(int8_round, void,                                                        \
      (size_t n, const pf_real *x, pf_real scale, int8_t *q))                  \
    X(int8_sums, void,                                                         \
      (const struct pf_int8 *s, const int8_t *x, const pf_real *x_scale,       \
       size_t x_scale_step, pf_real *y))

#define PF_KERNELS(X) PF_CONV_KERNELS(X) PF_DENSE_KERNELS(X) PF_VALUE_KERNELS(X)

struct pf_kernels {
    const char *name;
    int (*runs_here)(void); /* does this processor have what it needs? */
#define PF_KERNEL_MEMBER(name, type, args) type(*name) args;
    PF_KERNELS(PF_KERNEL_MEMBER)
#undef PF_KERNEL_MEMBER
};

/* The family of this process: the one POCKETFED_KERNELS names, else the best
 * that runs here; chosen at the first call, the same ever after. CONFIG when
 * the name is unknown or this processor cannot run it. Any thread. */
enum pocketfed_status pf_kernels_get(const struct pf_kernels **out,
                                     struct pf_error *err);
/* The oracle, always there. */
extern const struct pf_kernels pf_kernels_reference;

/* NULL when there is no such family or it does not run here. */
const struct pf_kernels *pf_kernels_find(const char *name);
/* The families that run here, best first; ends with NULL. */
const char *const *pf_kernels_names(void);

#endif
