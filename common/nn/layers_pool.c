/* Pools that average, and pools over the whole image. Values are channels last,
 * so the innermost loops run over channels. */
#include "layers_inside.h"

#include <string.h>

/* avgpool2d: attributes size, stride (the size when absent) */

/* One example; each window is summed row by row. */
static void avg_one(const struct pf_layer *l, const pf_real *x, pf_real *y)
{
    size_t c = l->in.c, size = l->attr[POOL_SIZE];
    size_t stride = l->attr[POOL_STRIDE];
    const pf_real share = (pf_real)1 / (pf_real)(size * size);

    for (size_t oy = 0; oy < l->out.h; oy++)
        for (size_t ox = 0; ox < l->out.w; ox++, y += c) {
            const pf_real *at = x + (oy * l->in.w + ox) * stride * c;

            memset(y, 0, c * sizeof *y);
            for (size_t ky = 0; ky < size; ky++)
                for (size_t kx = 0; kx < size; kx++)
                    for (size_t j = 0; j < c; j++)
                        y[j] += at[(ky * l->in.w + kx) * c + j];
            for (size_t j = 0; j < c; j++)
                y[j] *= share;
        }
}

static void avg_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    for (size_t i = 0; i < p->n; i++)
        avg_one(l, p->x + i * pf_shape_size(&l->in),
                p->y + i * pf_shape_size(&l->out));
}

static void avg_one_back(const struct pf_layer *l, const pf_real *dy,
                         pf_real *dx)
{
    size_t c = l->in.c, size = l->attr[POOL_SIZE];
    size_t stride = l->attr[POOL_STRIDE];
    const pf_real share = (pf_real)1 / (pf_real)(size * size);

    for (size_t oy = 0; oy < l->out.h; oy++)
        for (size_t ox = 0; ox < l->out.w; ox++, dy += c) {
            pf_real *at = dx + (oy * l->in.w + ox) * stride * c;

            for (size_t ky = 0; ky < size; ky++)
                for (size_t kx = 0; kx < size; kx++)
                    for (size_t j = 0; j < c; j++)
                        at[(ky * l->in.w + kx) * c + j] += share * dy[j];
        }
}

static void avg_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t in = pf_shape_size(&l->in), out = pf_shape_size(&l->out);

    if (!p->dx)
        return;
    memset(p->dx, 0, p->n * in * sizeof *p->dx);
    for (size_t i = 0; i < p->n; i++)
        avg_one_back(l, p->dy + i * out, p->dx + i * in);
}

static enum pf_pool2 avg_pool2(const struct pf_layer *l)
{
    int fits = l->attr[POOL_SIZE] == 2 && l->attr[POOL_STRIDE] == 2;

    return fits ? PF_POOL_AVG2 : PF_POOL_NONE;
}

const struct pf_layer_type pf_layer_avgpool = {
    .name = "avgpool2d",
    .attrs = {{"size", 1, 31, PF_ATTR_REQUIRED}, {"stride", 1, 31, 0}},
    .infer = pf_pool_infer,
    .forward = avg_forward,
    .backward = avg_backward,
    .as_pool2 = avg_pool2,
};

/* globalavgpool, globalmaxpool: one value per channel */

static enum pocketfed_status global_infer(struct pf_layer *l, const char *where,
                                          struct pf_error *err)
{
    (void)where;
    (void)err;
    l->out = (struct pf_shape){l->in.c, 1, 1};
    return POCKETFED_OK;
}

static void mean_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, hw = pf_pixels(&l->in);
    const pf_real share = (pf_real)1 / (pf_real)hw, *x = p->x;
    pf_real *y = p->y;

    memset(y, 0, p->n * c * sizeof *y);
    for (size_t i = 0; i < p->n; i++, y += c) {
        for (size_t k = 0; k < hw; k++, x += c)
            for (size_t j = 0; j < c; j++)
                y[j] += x[j];
        for (size_t j = 0; j < c; j++)
            y[j] *= share;
    }
}

static void mean_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, hw = pf_pixels(&l->in);
    const pf_real share = (pf_real)1 / (pf_real)hw, *dy = p->dy;
    pf_real *dx = p->dx;

    for (size_t i = 0; dx && i < p->n; i++, dy += c)
        for (size_t k = 0; k < hw; k++, dx += c)
            for (size_t j = 0; j < c; j++)
                dx[j] = share * dy[j];
}

const struct pf_layer_type pf_layer_globalavg = {
    .name = "globalavgpool",
    .infer = global_infer,
    .forward = mean_forward,
    .backward = mean_backward,
};

static size_t max_side(const struct pf_layer *l)
{
    return l->in.c;
}

/* The first of equals wins, and NaN wins, as in the pool kernel. */
static void max_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, hw = pf_pixels(&l->in);
    const pf_real *x = p->x;
    uint32_t *where = p->side;
    pf_real *y = p->y;

    for (size_t i = 0; i < p->n; i++, y += c, where += c) {
        memcpy(y, x, c * sizeof *y);
        memset(where, 0, c * sizeof *where);
        for (size_t k = 0; k < hw; k++, x += c)
            for (size_t j = 0; j < c; j++)
                if (x[j] > y[j] || x[j] != x[j]) {
                    y[j] = x[j];
                    where[j] = (uint32_t)k;
                }
    }
}

static void max_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, in = pf_shape_size(&l->in);

    if (!p->dx)
        return;
    memset(p->dx, 0, p->n * in * sizeof *p->dx);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < c; j++)
            p->dx[i * in + p->side[i * c + j] * c + j] = p->dy[i * c + j];
}

const struct pf_layer_type pf_layer_globalmax = {
    .name = "globalmaxpool",
    .infer = global_infer,
    .side = max_side,
    .forward = max_forward,
    .backward = max_backward,
};
