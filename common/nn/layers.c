#include "layers_inside.h"

/* conv2d: attributes out_channels, kernel, padding, stride */

enum { CONV_OUT, CONV_KERNEL, CONV_PADDING, CONV_STRIDE };

static void conv_shape(const struct pf_layer *l, struct pf_conv *s)
{
    s->c = l->in.c;
    s->h = l->in.h;
    s->w = l->in.w;
    s->o = l->attr[CONV_OUT];
    s->k = l->attr[CONV_KERNEL];
    s->pad = l->attr[CONV_PADDING];
    s->stride = l->attr[CONV_STRIDE];
    s->oh = l->out.h;
    s->ow = l->out.w;
}

enum pocketfed_status pf_window_infer(struct pf_layer *l, const char *where,
                                      const char *size_name, uint32_t size,
                                      uint32_t pad, uint32_t stride,
                                      struct pf_error *err)
{
    uint32_t h = l->in.h + 2 * pad, w = l->in.w + 2 * pad;

    if (pad >= size)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/padding is %u; it must be less than the %s, "
                       "which is %u",
                       where, pad, size_name, size);
    if (h < size || w < size)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/%s is %u, but its %sinput is only %ux%u", where,
                       size_name, size, pad ? "padded " : "", h, w);
    l->out.h = (h - size) / stride + 1;
    l->out.w = (w - size) / stride + 1;
    return POCKETFED_OK;
}

static enum pocketfed_status conv_infer(struct pf_layer *l, const char *where,
                                        struct pf_error *err)
{
    uint32_t k = l->attr[CONV_KERNEL];

    l->out.c = l->attr[CONV_OUT];
    l->n_dims = 4;
    l->dims[0] = l->out.c;
    l->dims[1] = l->in.c;
    l->dims[2] = l->dims[3] = k;
    l->fan_in = (size_t)l->in.c * k * k;
    l->fan_out = (size_t)l->out.c * k * k;
    return pf_window_infer(l, where, "kernel", k, l->attr[CONV_PADDING],
                           l->attr[CONV_STRIDE], err);
}

static const struct pf_layer_type conv2d = {
    .name = "conv2d",
    .attrs = {{"out_channels", 1, PF_MODEL_MAX_DIM, PF_ATTR_REQUIRED},
              {"kernel", 1, 31, PF_ATTR_REQUIRED},
              {"padding", 0, 30, 0},
              {"stride", 1, 31, 1}},
    .has_params = 1,
    .infer = conv_infer,
    .as_conv = conv_shape,
};

/* maxpool2d: attributes size, stride (the size when absent) */

static void pool_shape(const struct pf_layer *l, struct pf_pool *s)
{
    s->c = l->in.c;
    s->h = l->in.h;
    s->w = l->in.w;
    s->size = l->attr[POOL_SIZE];
    s->stride = l->attr[POOL_STRIDE];
    s->oh = l->out.h;
    s->ow = l->out.w;
}

enum pocketfed_status pf_pool_infer(struct pf_layer *l, const char *where,
                                    struct pf_error *err)
{
    if (l->attr[POOL_STRIDE] == 0)
        l->attr[POOL_STRIDE] = l->attr[POOL_SIZE];
    l->out.c = l->in.c;
    return pf_window_infer(l, where, "size", l->attr[POOL_SIZE], 0,
                           l->attr[POOL_STRIDE], err);
}

static size_t pool_side(const struct pf_layer *l)
{
    return pf_shape_size(&l->out);
}

static void pool_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    struct pf_pool s;

    pool_shape(l, &s);
    p->k->pool_forward(&s, p->n, p->x, p->y, p->side);
}

static void pool_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    struct pf_pool s;

    pool_shape(l, &s);
    if (p->dx)
        p->k->pool_backward(&s, p->n, p->dy, p->side, p->dx);
}

static enum pf_pool2 max_pool2(const struct pf_layer *l)
{
    int fits = l->attr[POOL_SIZE] == 2 && l->attr[POOL_STRIDE] == 2;

    return fits ? PF_POOL_MAX2 : PF_POOL_NONE;
}

static const struct pf_layer_type maxpool2d = {
    .name = "maxpool2d",
    .attrs = {{"size", 1, 31, PF_ATTR_REQUIRED}, {"stride", 1, 31, 0}},
    .infer = pf_pool_infer,
    .side = pool_side,
    .forward = pool_forward,
    .backward = pool_backward,
    .as_pool2 = max_pool2,
};

/* relu */

enum pocketfed_status pf_same_shape(struct pf_layer *l, const char *where,
                                    struct pf_error *err)
{
    (void)where;
    (void)err;
    l->out = l->in;
    return POCKETFED_OK;
}

static void relu_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    p->k->relu_forward(p->n * pf_shape_size(&l->in), p->x, p->y);
}

static void relu_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    if (p->dx)
        p->k->relu_backward(p->n * pf_shape_size(&l->in), p->y, p->dy, p->dx);
}

static enum pf_act relu_act(const struct pf_layer *l, pf_real *slope)
{
    (void)l;
    *slope = 0;
    return PF_ACT_RELU;
}

static const struct pf_layer_type relu = {
    .name = "relu",
    .infer = pf_same_shape,
    .forward = relu_forward,
    .backward = relu_backward,
    .as_act = relu_act,
};

/* flatten: to c*h*w channels of one pixel, in the order C, H, W. Activations
 * are channels last, so it is a transposition unless one side has length 1. */

static enum pocketfed_status
flatten_infer(struct pf_layer *l, const char *where, struct pf_error *err)
{
    (void)where;
    (void)err;
    l->out.c = l->in.c * l->in.h * l->in.w;
    l->out.h = l->out.w = 1;
    return POCKETFED_OK;
}

static void flatten_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    p->k->channels_first(p->n, l->in.c, (size_t)l->in.h * l->in.w, p->x, p->y);
}

static void flatten_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    if (p->dx)
        p->k->channels_last(p->n, l->in.c, (size_t)l->in.h * l->in.w, p->dy,
                            p->dx);
}

static const struct pf_layer_type flatten = {
    .name = "flatten",
    .infer = flatten_infer,
    .forward = flatten_forward,
    .backward = flatten_backward,
    .flattens = 1,
};

/* dense: attribute units */

static enum pocketfed_status dense_infer(struct pf_layer *l, const char *where,
                                         struct pf_error *err)
{
    if (l->in.h != 1 || l->in.w != 1) {
        pf_fail(err, POCKETFED_MALFORMED,
                "%s is dense, but its input is %ux%ux%u and not flat", where,
                l->in.c, l->in.h, l->in.w);
        pf_hint(err, "put a layer of type \"flatten\" before it");
        return POCKETFED_MALFORMED;
    }
    l->out.c = l->attr[0];
    l->out.h = l->out.w = 1;
    l->n_dims = 2;
    l->dims[0] = l->out.c;
    l->dims[1] = l->in.c;
    l->fan_in = l->in.c;
    l->fan_out = l->out.c;
    return POCKETFED_OK;
}

static void dense_shape(const struct pf_layer *l, struct pf_dense *s)
{
    s->in = s->c = l->in.c;
    s->out = l->out.c;
    s->hw = 1;
}

static const struct pf_layer_type dense = {
    .name = "dense",
    .attrs = {{"units", 1, PF_MODEL_MAX_DIM, PF_ATTR_REQUIRED}},
    .has_params = 1,
    .infer = dense_infer,
    .as_dense = dense_shape,
};

/* The table: to add a layer, add its row. */
const struct pf_layer_type *const pf_layer_types[] = {
    &conv2d,
    &pf_layer_depthwise,
    &maxpool2d,
    &pf_layer_avgpool,
    &pf_layer_globalavg,
    &pf_layer_globalmax,
    &dense,
    &relu,
    &pf_layer_leaky,
    &pf_layer_tanh,
    &pf_layer_sigmoid,
    &flatten,
    &pf_layer_dropout,
    &pf_layer_batchnorm,
    &pf_layer_groupnorm,
    &pf_layer_add,
    NULL,
};
