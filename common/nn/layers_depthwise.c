/* depthwise_conv2d: attributes kernel, padding, stride.  One kernel per channel
 * and no sum over channels: weight [c][1][k][k], as PyTorch's groups = c.
 * Innermost loops run over channels, so the weights are turned to [k][k][c]
 * first; they are few. */
#include "layers_inside.h"

#include <string.h>

enum { KERNEL, PADDING, STRIDE };

static enum pocketfed_status infer(struct pf_layer *l, const char *where,
                                   struct pf_error *err)
{
    uint32_t k = l->attr[KERNEL];

    l->out.c = l->in.c;
    l->n_dims = 4;
    l->dims[0] = l->in.c;
    l->dims[1] = 1;
    l->dims[2] = l->dims[3] = k;
    l->fan_in = l->fan_out = (size_t)k * k;
    return pf_window_infer(l, where, "kernel", k, l->attr[PADDING],
                           l->attr[STRIDE], err);
}

static size_t n_weights(const struct pf_layer *l)
{
    return l->bias - l->weight;
}

/* Weights and their gradient, turned. */
static size_t scratch(const struct pf_layer *l, const struct pf_kernels *k)
{
    (void)k;
    return 2 * (size_t)l->in.c * l->attr[KERNEL] * l->attr[KERNEL] *
           sizeof(pf_real);
}

static void turn(const struct pf_layer *l, const pf_real *w, pf_real *turned)
{
    size_t c = l->in.c, kk = (size_t)l->attr[KERNEL] * l->attr[KERNEL];

    for (size_t i = 0; i < kk; i++)
        for (size_t j = 0; j < c; j++)
            turned[i * c + j] = w[j * kk + i];
}

/* Where place (ky, kx) of the window of output (oy, ox) lies; 0: outside. */
static int inside(const struct pf_layer *l, size_t oy, size_t ox, size_t ky,
                  size_t kx, size_t *at)
{
    /* Above or left of the image wraps to a huge number. */
    size_t iy = oy * l->attr[STRIDE] + ky - l->attr[PADDING];
    size_t ix = ox * l->attr[STRIDE] + kx - l->attr[PADDING];

    *at = (iy * l->in.w + ix) * l->in.c;
    return iy < l->in.h && ix < l->in.w;
}

static void pixel(const struct pf_layer *l, size_t oy, size_t ox,
                  const pf_real *x, const pf_real *w, pf_real *y)
{
    size_t c = l->in.c, k = l->attr[KERNEL], at;

    for (size_t ky = 0; ky < k; ky++)
        for (size_t kx = 0; kx < k; kx++, w += c)
            if (inside(l, oy, ox, ky, kx, &at))
                for (size_t j = 0; j < c; j++)
                    y[j] += x[at + j] * w[j];
}

static void forward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, in = pf_shape_size(&l->in);
    const pf_real *bias = p->w + n_weights(l);
    pf_real *w = p->scratch, *y = p->y;

    turn(l, p->w, w);
    for (size_t i = 0; i < p->n; i++)
        for (size_t oy = 0; oy < l->out.h; oy++)
            for (size_t ox = 0; ox < l->out.w; ox++, y += c) {
                memcpy(y, bias, c * sizeof *y);
                pixel(l, oy, ox, p->x + i * in, w, y);
            }
}

/* dx NULL: not wanted. */
static void pixel_back(const struct pf_layer *l, size_t oy, size_t ox,
                       const pf_real *x, const pf_real *w, const pf_real *dy,
                       pf_real *dw, pf_real *dx)
{
    size_t c = l->in.c, k = l->attr[KERNEL], at;

    for (size_t ky = 0; ky < k; ky++)
        for (size_t kx = 0; kx < k; kx++, w += c, dw += c) {
            if (!inside(l, oy, ox, ky, kx, &at))
                continue;
            for (size_t j = 0; j < c; j++)
                dw[j] += dy[j] * x[at + j];
            for (size_t j = 0; dx && j < c; j++)
                dx[at + j] += dy[j] * w[j];
        }
}

static void backward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, in = pf_shape_size(&l->in), weights = n_weights(l);
    pf_real *w = p->scratch, *dw = w + weights, *db = p->dw + weights;
    const pf_real *dy = p->dy;
    size_t kk = weights / c;

    turn(l, p->w, w);
    memset(dw, 0, weights * sizeof *dw);
    if (p->dx)
        memset(p->dx, 0, p->n * in * sizeof *p->dx);
    for (size_t i = 0; i < p->n; i++)
        for (size_t oy = 0; oy < l->out.h; oy++)
            for (size_t ox = 0; ox < l->out.w; ox++, dy += c) {
                for (size_t j = 0; j < c; j++)
                    db[j] += dy[j];
                pixel_back(l, oy, ox, p->x + i * in, w, dy, dw,
                           p->dx ? p->dx + i * in : NULL);
            }
    for (size_t j = 0; j < c; j++)
        for (size_t i = 0; i < kk; i++)
            p->dw[j * kk + i] += dw[i * c + j];
}

const struct pf_layer_type pf_layer_depthwise = {
    .name = "depthwise_conv2d",
    .attrs = {{"kernel", 1, 31, PF_ATTR_REQUIRED},
              {"padding", 0, 30, 0},
              {"stride", 1, 31, 1}},
    .has_params = 1,
    .infer = infer,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};
