#include "layer.h"

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

static enum pocketfed_status conv_infer(struct pf_layer *l, const char *where,
                                        struct pf_error *err)
{
    uint32_t k = l->attr[CONV_KERNEL], pad = l->attr[CONV_PADDING];
    uint32_t stride = l->attr[CONV_STRIDE];
    uint32_t h = l->in.h + 2 * pad, w = l->in.w + 2 * pad;

    if (pad >= k)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/padding is %u; it must be less than the kernel, "
                       "which is %u",
                       where, pad, k);
    if (h < k || w < k)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/kernel is %u, but its padded input is only %ux%u",
                       where, k, h, w);
    l->out.c = l->attr[CONV_OUT];
    l->out.h = (h - k) / stride + 1;
    l->out.w = (w - k) / stride + 1;
    l->n_dims = 4;
    l->dims[0] = l->out.c;
    l->dims[1] = l->in.c;
    l->dims[2] = l->dims[3] = k;
    l->fan_in = (size_t)l->in.c * k * k;
    l->fan_out = (size_t)l->out.c * k * k;
    return POCKETFED_OK;
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

enum { POOL_SIZE, POOL_STRIDE };

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

static enum pocketfed_status pool_infer(struct pf_layer *l, const char *where,
                                        struct pf_error *err)
{
    uint32_t size = l->attr[POOL_SIZE];

    if (l->in.h < size || l->in.w < size)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/size is %u, but its input is only %ux%u", where,
                       size, l->in.h, l->in.w);
    if (l->attr[POOL_STRIDE] == 0)
        l->attr[POOL_STRIDE] = size;
    l->out.c = l->in.c;
    l->out.h = (l->in.h - size) / l->attr[POOL_STRIDE] + 1;
    l->out.w = (l->in.w - size) / l->attr[POOL_STRIDE] + 1;
    return POCKETFED_OK;
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
    .infer = pool_infer,
    .side = pool_side,
    .forward = pool_forward,
    .backward = pool_backward,
    .as_pool2 = max_pool2,
};

/* relu */

static enum pocketfed_status same_shape(struct pf_layer *l, const char *where,
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
    .infer = same_shape,
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

/* The table: to add a layer, add its row to both lists. */
const struct pf_layer_type *const pf_layer_types[] = {
    &conv2d, &maxpool2d, &relu, &flatten, &dense, NULL};
const char *const pf_layer_names[] = {"conv2d",  "maxpool2d", "relu",
                                      "flatten", "dense",     NULL};
