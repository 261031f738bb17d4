/* Activations, dropout and the residual sum: layers that work value by value.
 */
#include "layers_inside.h"

#include "expneg.h"
#include "rng.h"

static size_t count(const struct pf_layer *l, const struct pf_pass *p)
{
    return p->n * pf_shape_size(&l->in);
}

/* leaky_relu: x, or slope x below zero. The slope is not negative, so the sign
 * of the output tells the side. */

static void leaky_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    const pf_real slope = (pf_real)l->real[0];

    for (size_t i = 0, n = count(l, p); i < n; i++)
        p->y[i] = p->x[i] < 0 ? slope * p->x[i] : p->x[i];
}

static void leaky_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    const pf_real slope = (pf_real)l->real[0];

    for (size_t i = 0, n = p->dx ? count(l, p) : 0; i < n; i++)
        p->dx[i] = p->y[i] <= 0 ? slope * p->dy[i] : p->dy[i];
}

static enum pf_act leaky_act(const struct pf_layer *l, pf_real *slope)
{
    *slope = (pf_real)l->real[0];
    return PF_ACT_LEAKY;
}

const struct pf_layer_type pf_layer_leaky = {
    .name = "leaky_relu",
    .reals = {{"slope", 0, 1, 0.01}},
    .infer = pf_same_shape,
    .forward = leaky_forward,
    .backward = leaky_backward,
    .as_act = leaky_act,
};

/* tanh, sigmoid: their derivatives follow from the output */

static void tanh_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    for (size_t i = 0, n = count(l, p); i < n; i++)
        p->y[i] = pf_real_tanh(p->x[i]);
}

static void tanh_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    for (size_t i = 0, n = p->dx ? count(l, p) : 0; i < n; i++)
        p->dx[i] = p->dy[i] * (1 - p->y[i] * p->y[i]);
}

const struct pf_layer_type pf_layer_tanh = {
    .name = "tanh",
    .infer = pf_same_shape,
    .forward = tanh_forward,
    .backward = tanh_backward,
};

static void sigmoid_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    for (size_t i = 0, n = count(l, p); i < n; i++)
        p->y[i] = pf_real_sigmoid(p->x[i]);
}

static void sigmoid_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    for (size_t i = 0, n = p->dx ? count(l, p) : 0; i < n; i++)
        p->dx[i] = p->dy[i] * (p->y[i] * (1 - p->y[i]));
}

const struct pf_layer_type pf_layer_sigmoid = {
    .name = "sigmoid",
    .infer = pf_same_shape,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};

/* dropout (Srivastava et al. 2014): while training each value is dropped with
 * probability `rate`, the others grow by 1 / (1 - rate). A value's fate follows
 * from the layer's seed in this step, the example's index in the batch and the
 * value's index alone. `side` keeps one bit per value: it stays. */

static size_t dropout_side(const struct pf_layer *l)
{
    return (pf_shape_size(&l->in) + 31) / 32;
}

/* Bits for up to 32 values from `at` on. */
static uint32_t draw(const struct pf_rng *r, size_t at, size_t n,
                     uint32_t threshold)
{
    uint32_t bits = 0, word[4];

    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            pf_rng_block(r, (at + i) / 4, word);
        bits |= (uint32_t)(word[i % 4] >= threshold) << i;
    }
    return bits;
}

static void apply(const struct pf_layer *l, const struct pf_pass *p,
                  const pf_real *from, pf_real *to)
{
    size_t size = pf_shape_size(&l->in), words = dropout_side(l);
    const pf_real scale[2] = {0, (pf_real)(1 / (1 - l->real[0]))};

    for (size_t i = 0; i < p->n; i++, from += size, to += size)
        for (size_t j = 0; j < size; j++)
            to[j] =
                from[j] * scale[p->side[i * words + j / 32] >> (j % 32) & 1];
}

static void dropout_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t size = pf_shape_size(&l->in), words = dropout_side(l);
    uint32_t threshold = (uint32_t)(l->real[0] * 0x1p32);

    if (!p->training) {
        for (size_t i = 0; i < p->n * size; i++)
            p->y[i] = p->x[i];
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct pf_rng r = pf_rng_make(p->seed, p->first + i, 0, PF_RNG_DROPOUT);
        for (size_t w = 0; w < words; w++) {
            size_t left = size - w * 32;
            p->side[i * words + w] =
                draw(&r, w * 32, left < 32 ? left : 32, threshold);
        }
    }
    apply(l, p, p->x, p->y);
}

static void dropout_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    if (p->dx)
        apply(l, p, p->dy, p->dx);
}

const struct pf_layer_type pf_layer_dropout = {
    .name = "dropout",
    .reals = {{"rate", 0, 0.99, 0.5}},
    .infer = pf_same_shape,
    .side = dropout_side,
    .forward = dropout_forward,
    .backward = dropout_backward,
};

/* add: the sum of two inputs of one shape */

static void add_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    for (size_t i = 0, n = count(l, p); i < n; i++)
        p->y[i] = p->x[i] + p->x2[i];
}

static void copy(size_t n, const pf_real *from, pf_real *to)
{
    for (size_t i = 0; to && i < n; i++)
        to[i] = from[i];
}

static void add_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    copy(count(l, p), p->dy, p->dx);
    copy(count(l, p), p->dy, p->dx2);
}

const struct pf_layer_type pf_layer_add = {
    .name = "add",
    .n_inputs = 2,
    .infer = pf_same_shape,
    .forward = add_forward,
    .backward = add_backward,
};
