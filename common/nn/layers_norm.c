/* batchnorm2d (Ioffe & Szegedy 2015) and groupnorm (Wu & He 2018):
 * y = (x - mean) / sqrt(var + eps) weight + bias, per channel.
 *
 * Moments are summed in double, the variance around the mean.  With x' = (x -
 * mean) r, r = 1 / sqrt(var + eps), over the m values that share moments:
 * dx = r (weight dy - sum(weight dy) / m - x' sum(weight dy x') / m). */
#include "layers_inside.h"

#include <math.h>
#include <string.h>

enum { EPS, MOMENTUM }; /* reals; groupnorm has only the first */

static void set_params(struct pf_layer *l)
{
    l->out = l->in;
    l->n_dims = 1;
    l->dims[0] = l->in.c;
    l->fan_in = l->fan_out = 1;
}

/* sum[j] = the sum of x[row][j] */
static void sum_rows(const pf_real *x, size_t rows, size_t c, double *sum)
{
    memset(sum, 0, c * sizeof *sum);
    for (size_t i = 0; i < rows; i++, x += c)
        for (size_t j = 0; j < c; j++)
            sum[j] += (double)x[j];
}

/* square[j] = the sum of (x - mean[j])^2 */
static void sum_squares(const pf_real *x, size_t rows, size_t c,
                        const double *mean, double *square)
{
    memset(square, 0, c * sizeof *square);
    for (size_t i = 0; i < rows; i++, x += c)
        for (size_t j = 0; j < c; j++) {
            double d = (double)x[j] - mean[j];
            square[j] += d * d;
        }
}

/* dot[j] = sum of dy, dot[c + j] = sum of dy (x - mean) */
static void sum_dots(const pf_real *x, const pf_real *dy, size_t rows, size_t c,
                     const double *mean, double *dot)
{
    memset(dot, 0, 2 * c * sizeof *dot);
    for (size_t i = 0; i < rows; i++, x += c, dy += c)
        for (size_t j = 0; j < c; j++) {
            dot[j] += (double)dy[j];
            dot[c + j] += (double)dy[j] * ((double)x[j] - mean[j]);
        }
}

/* y = x scale + shift. */
static void affine(const pf_real *x, size_t rows, size_t c,
                   const pf_real *scale, const pf_real *shift, pf_real *y)
{
    for (size_t i = 0; i < rows; i++, x += c, y += c)
        for (size_t j = 0; j < c; j++)
            y[j] = x[j] * scale[j] + shift[j];
}

/* dx = dy a + (x - mean) b + d, rows of a, b, mean, d in t[4][c]. */
static void affine_back(const pf_real *x, const pf_real *dy, size_t rows,
                        size_t c, const pf_real *t, pf_real *dx)
{
    const pf_real *b = t + c, *mean = t + 2 * c, *d = t + 3 * c;

    for (size_t i = 0; i < rows; i++, x += c, dy += c, dx += c)
        for (size_t j = 0; j < c; j++)
            dx[j] = dy[j] * t[j] + ((x[j] - mean[j]) * b[j] + d[j]);
}

/* Two rows of doubles per channel, then four rows of pf_reals. */
static size_t norm_scratch(const struct pf_layer *l, const struct pf_kernels *k)
{
    (void)k;
    return (size_t)l->in.c * (2 * sizeof(double) + 4 * sizeof(pf_real));
}

/* batchnorm2d; behind a dense layer it is PyTorch's BatchNorm1d. Forward
 * leaves mean and variance of the batch, two doubles per channel, at the
 * beginning of the side memory. The running moments follow weight and bias. */

static enum pocketfed_status batch_infer(struct pf_layer *l, const char *where,
                                         struct pf_error *err)
{
    (void)where;
    (void)err;
    set_params(l);
    l->n_stats = 2 * (size_t)l->in.c;
    return POCKETFED_OK;
}

static size_t batch_side(const struct pf_layer *l)
{
    return 2 * (size_t)l->in.c * sizeof(double) / sizeof(uint32_t);
}

static void batch_moments(const struct pf_layer *l, const struct pf_pass *p,
                          double *mean, double *var)
{
    size_t c = l->in.c, rows = p->n * pf_pixels(&l->in);
    const pf_real *running = p->w + 2 * c;

    if (!p->training) {
        for (size_t j = 0; j < c; j++) {
            mean[j] = (double)running[j];
            var[j] = (double)running[c + j];
        }
        return;
    }
    sum_rows(p->x, rows, c, mean);
    for (size_t j = 0; j < c; j++)
        mean[j] /= (double)rows;
    sum_squares(p->x, rows, c, mean, var);
    for (size_t j = 0; j < c; j++)
        var[j] /= (double)rows;
}

static void batch_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, rows = p->n * pf_pixels(&l->in);
    double *mean = p->scratch, *var = mean + c;
    pf_real *scale = (pf_real *)(void *)(var + c), *shift = scale + c;

    batch_moments(l, p, mean, var);
    if (p->training)
        memcpy(p->side, mean, 2 * c * sizeof *mean);
    for (size_t j = 0; j < c; j++) {
        double s = (double)p->w[j] / sqrt(var[j] + l->real[EPS]);

        scale[j] = (pf_real)s;
        shift[j] = (pf_real)((double)p->w[c + j] - mean[j] * s);
    }
    affine(p->x, rows, c, scale, shift, p->y);
}

/* The variance of a single value says nothing; it is left out. */
static void batch_track(const struct pf_layer *l, size_t rows,
                        const double *mean, const double *var, pf_real *stats)
{
    size_t c = l->in.c;
    double share = l->real[MOMENTUM], m = (double)rows;

    for (size_t j = 0; j < c; j++) {
        stats[j] = (pf_real)((1 - share) * (double)stats[j] + share * mean[j]);
        if (rows > 1)
            stats[c + j] = (pf_real)((1 - share) * (double)stats[c + j] +
                                     share * var[j] * (m / (m - 1)));
    }
}

static void batch_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t c = l->in.c, rows = p->n * pf_pixels(&l->in);
    const double *mean = (const double *)(const void *)p->side;
    const double *var = mean + c;
    double *dot = p->scratch, m = (double)rows;
    pf_real *t = (pf_real *)(void *)(dot + 2 * c);

    if (p->stats)
        batch_track(l, rows, mean, var, p->stats);
    sum_dots(p->x, p->dy, rows, c, mean, dot);
    for (size_t j = 0; j < c; j++) {
        double r = 1 / sqrt(var[j] + l->real[EPS]);
        double wr = (double)p->w[j] * r;

        p->dw[j] += (pf_real)(dot[c + j] * r);
        p->dw[c + j] += (pf_real)dot[j];
        t[j] = (pf_real)wr;
        t[c + j] = (pf_real)(-wr * r * r * dot[c + j] / m);
        t[2 * c + j] = (pf_real)mean[j];
        t[3 * c + j] = (pf_real)(-wr * dot[j] / m);
    }
    if (p->dx)
        affine_back(p->x, p->dy, rows, c, t, p->dx);
}

const struct pf_layer_type pf_layer_batchnorm = {
    .name = "batchnorm2d",
    .reals = {{"eps", 1e-8, 1, 1e-5}, {"momentum", 0, 1, 0.1}},
    .whole_batch = 1,
    .infer = batch_infer,
    .scratch = norm_scratch,
    .side = batch_side,
    .forward = batch_forward,
    .backward = batch_backward,
};

/* groupnorm: attribute groups. Moments of one example over the channels of a
 * group; forward leaves mean and r, two doubles per group. */

static enum pocketfed_status group_infer(struct pf_layer *l, const char *where,
                                         struct pf_error *err)
{
    if (l->in.c % l->attr[0] != 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/groups is %u, which does not divide the %u channels "
                       "of its input",
                       where, l->attr[0], l->in.c);
    set_params(l);
    return POCKETFED_OK;
}

static size_t group_side(const struct pf_layer *l)
{
    return 2 * (size_t)l->attr[0] * sizeof(double) / sizeof(uint32_t);
}

static double sum_of(const double *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

static void group_one(const struct pf_layer *l, const struct pf_pass *p,
                      const pf_real *x, double *moments, pf_real *y)
{
    size_t c = l->in.c, hw = pf_pixels(&l->in), size = c / l->attr[0];
    double *mean = p->scratch, *square = mean + c, m = (double)(size * hw);
    pf_real *scale = (pf_real *)(void *)(square + c), *shift = scale + c;

    sum_rows(x, hw, c, mean);
    for (size_t j = 0; j < c; j += size) {
        double sum = sum_of(mean + j, size);
        for (size_t i = 0; i < size; i++)
            mean[j + i] = sum / m;
    }
    sum_squares(x, hw, c, mean, square);
    for (size_t j = 0; j < c; j += size) {
        double r = 1 / sqrt(sum_of(square + j, size) / m + l->real[EPS]);

        for (size_t i = j; i < j + size; i++) {
            scale[i] = (pf_real)((double)p->w[i] * r);
            shift[i] = (pf_real)((double)p->w[c + i] -
                                 mean[i] * ((double)p->w[i] * r));
        }
        *moments++ = mean[j];
        *moments++ = r;
    }
    affine(x, hw, c, scale, shift, y);
}

static double *group_moments(const struct pf_layer *l, const struct pf_pass *p,
                             size_t i)
{
    return (double *)(void *)p->side + i * 2 * l->attr[0];
}

static void group_forward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t size = pf_shape_size(&l->in);

    for (size_t i = 0; i < p->n; i++)
        group_one(l, p, p->x + i * size, group_moments(l, p, i),
                  p->y + i * size);
}

static void group_one_back(const struct pf_layer *l, const struct pf_pass *p,
                           const pf_real *x, const pf_real *dy,
                           const double *moments, pf_real *dx)
{
    size_t c = l->in.c, hw = pf_pixels(&l->in), size = c / l->attr[0];
    double *dot = p->scratch, m = (double)(size * hw);
    double *mean =
        (double *)(void *)((char *)p->scratch + norm_scratch(l, NULL));
    pf_real *t = (pf_real *)(void *)(dot + 2 * c);

    for (size_t j = 0; j < c; j++)
        mean[j] = moments[j / size * 2];
    sum_dots(x, dy, hw, c, mean, dot);
    for (size_t j = 0; j < c; j += size, moments += 2) {
        double sum = 0, dots = 0, r = moments[1];

        for (size_t i = j; i < j + size; i++) {
            p->dw[i] += (pf_real)(dot[c + i] * r);
            p->dw[c + i] += (pf_real)dot[i];
            sum += (double)p->w[i] * dot[i];
            dots += (double)p->w[i] * dot[c + i];
        }
        for (size_t i = j; i < j + size; i++) {
            t[i] = (pf_real)((double)p->w[i] * r);
            t[c + i] = (pf_real)(-r * r * r * dots / m);
            t[2 * c + i] = (pf_real)moments[0];
            t[3 * c + i] = (pf_real)(-r * sum / m);
        }
    }
    if (dx)
        affine_back(x, dy, hw, c, t, dx);
}

static void group_backward(const struct pf_layer *l, const struct pf_pass *p)
{
    size_t size = pf_shape_size(&l->in);

    for (size_t i = 0; i < p->n; i++)
        group_one_back(l, p, p->x + i * size, p->dy + i * size,
                       group_moments(l, p, i), p->dx ? p->dx + i * size : NULL);
}

static size_t group_scratch(const struct pf_layer *l,
                            const struct pf_kernels *k)
{
    return norm_scratch(l, k) + l->in.c * sizeof(double); /* and the means */
}

const struct pf_layer_type pf_layer_groupnorm = {
    .name = "groupnorm",
    .attrs = {{"groups", 1, PF_MODEL_MAX_DIM, PF_ATTR_REQUIRED}},
    .reals = {{"eps", 1e-8, 1, 1e-5}},
    .infer = group_infer,
    .scratch = group_scratch,
    .side = group_side,
    .forward = group_forward,
    .backward = group_backward,
};
