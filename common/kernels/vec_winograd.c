/* F(2x2, kxk), k = 2, 3, 5 (Winograd 1980; Lavin & Gray 2016): the 2x2 outputs
 * of a tile from (k + 1)^2 products per channel instead of 4 k^2.
 *
 * Of a row of tiles: the input patches are transformed, vectors over channels
 * (B' d B); then one product of matrices [tiles][c] x [c][o] per place of the
 * transformed patch; then the outputs are transformed back, vectors over output
 * channels (A' m A).  Places are the points 0, 1, -1, 2, -2 and infinity, as
 * many as it takes; for k = 2 0, 1 and infinity, signs as below.
 */
#include "vec_conv.h"

#define MOST 6 /* places in one direction */

#if REGISTERS > 16
#define VECTORS 4
#define TILES   7
#else
#define VECTORS 2
#define TILES   6
#endif

int PF_NAME(winograd_fits)(const struct pf_conv *s)
{
    return s->stride == 1 && (s->k == 2 || s->k == 3 || s->k == 5) &&
           s->c >= 8 && s->c % LANES == 0 && s->o >= LANES && s->ow >= 2 &&
           s->oh >= 2;
}

ALWAYS_INLINE size_t block_width(size_t wide, size_t o)
{
    return wide - o < VECTORS * LANES ? wide - o : VECTORS * LANES;
}

static const float input2[3][3] = {{1, -1, 0}, {0, 1, 0}, {0, 1, -1}};
static const float input3[4][4] = {
    {1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
static const float input5[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0},
                                   {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0},
                                   {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};

static const float weight2[3][2] = {{1, 0}, {1, 1}, {0, 1}};
static const float weight3[4][3] = {
    {1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
#define SIXTH (-1.0f / 6)
#define PART  (1.0f / 24)
static const float weight5[6][5] = {
    {0.25f, 0, 0, 0, 0},
    {SIXTH, SIXTH, SIXTH, SIXTH, SIXTH},
    {SIXTH, -SIXTH, SIXTH, -SIXTH, SIXTH},
    {PART, 2 * PART, 4 * PART, 8 * PART, 16 * PART},
    {PART, -2 * PART, 4 * PART, -8 * PART, 16 * PART},
    {0, 0, 0, 0, 1}};

static const float output2[2][3] = {{1, 1, 0}, {0, 1, -1}};
static const float output3[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
static const float output5[2][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 1}};

/* sum + factor v, for a factor that is known when this is compiled. */
ALWAYS_INLINE vec add_times(vec sum, float factor, vec v)
{
    if (factor == 0)
        return sum;
    if (factor == 1)
        return sum + v;
    if (factor == -1)
        return sum - v;
    return fma_(splat(factor), v, sum);
}

/* to = M from M', M [rows][n] with rows of `of` floats, from [n][n], to
 * [rows][rows]. */
ALWAYS_INLINE void sandwich(const int rows, const int n, const float *matrix,
                            const vec *from, vec *to)
{
    vec half[MOST][MOST];

#pragma GCC unroll 6
    for (int j = 0; j < n; j++)
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            half[i][j] = (vec){0};
#pragma GCC unroll 6
            for (int l = 0; l < n; l++)
                half[i][j] =
                    add_times(half[i][j], matrix[i * n + l], from[l * n + j]);
        }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 6
        for (int j = 0; j < rows; j++) {
            vec sum = {0};
#pragma GCC unroll 6
            for (int l = 0; l < n; l++)
                sum = add_times(sum, matrix[j * n + l], half[i][l]);
            to[i * rows + j] = sum;
        }
}

/* Blocks of output channels, each [place][c][width]. */
size_t PF_NAME(winograd_ready_size)(const struct pf_conv *s)
{
    return (s->k + 1) * (s->k + 1) * s->c * WHOLE(s->o);
}

/* LANES channels of one output channel's kernel. */
ALWAYS_INLINE void weight_one(const int k, const float *matrix,
                              const float *packed, size_t c, size_t run,
                              vec u[MOST * MOST])
{
    vec g[25];

#pragma GCC unroll 5
    for (int ky = 0; ky < k; ky++)
#pragma GCC unroll 5
        for (int kx = 0; kx < k; kx++)
            g[ky * k + kx] = load(packed + (size_t)ky * run + (size_t)kx * c);
    sandwich(k + 1, k, matrix, g, u);
}

void PF_NAME(winograd_prepare)(const struct pf_conv *s, const float *packed,
                               float *ready)
{
    size_t wide = WHOLE(s->o), run = WHOLE(s->k * s->c), width;
    size_t places = (s->k + 1) * (s->k + 1);
    vec u[MOST * MOST];

    memset(ready, 0, PF_NAME(winograd_ready_size)(s) * sizeof *ready);
    for (size_t o = 0; o < s->o; o++) {
        size_t block = o / (VECTORS * LANES) * (VECTORS * LANES);
        float *to = ready + block * places * s->c + (o - block);

        width = block_width(wide, block);
        for (size_t c = 0; c < s->c; c += LANES) {
            const float *from = packed + o * s->k * run + c;

            if (s->k == 2)
                weight_one(2, weight2[0], from, s->c, run, u);
            else if (s->k == 3)
                weight_one(3, weight3[0], from, s->c, run, u);
            else
                weight_one(5, weight5[0], from, s->c, run, u);
            for (size_t place = 0; place < places; place++)
                for (size_t l = 0; l < LANES; l++)
                    to[(place * s->c + c + l) * width] = u[place][l];
        }
    }
}

/* Of a row of tiles: patches [place][tiles][c], products [place][tiles][wide].
 */
size_t PF_NAME(winograd_scratch)(const struct pf_conv *s)
{
    size_t tiles = (s->ow + 1) / 2, places = (s->k + 1) * (s->k + 1);

    return places * tiles * (s->c + WHOLE(s->o));
}

ALWAYS_INLINE void input_row(const int k, const float *matrix,
                             const struct pf_conv *s, const struct conv_plan *p,
                             const float *image, size_t tiles, float *patch)
{
    const int n = k + 1;
    vec d[MOST * MOST], t[MOST * MOST];

    for (size_t i = 0; i < tiles; i++)
        for (size_t c = 0; c < s->c; c += LANES) {
            const float *x = image + 2 * i * s->c + c;

#pragma GCC unroll 6
            for (int y = 0; y < n; y++)
#pragma GCC unroll 6
                for (int q = 0; q < n; q++)
                    d[y * n + q] =
                        load(x + (size_t)y * p->row + (size_t)q * s->c);
            sandwich(n, n, matrix, d, t);
#pragma GCC unroll 36
            for (int place = 0; place < n * n; place++)
                store(patch + ((size_t)place * tiles + i) * s->c + c, t[place]);
        }
}

/* T tiles of V vectors of output channels at one place. */
ALWAYS_INLINE void multiply(const int T, const int V, size_t channels,
                            const float *patch, const float *u, size_t wide,
                            float *to)
{
    vec sum[TILES][VECTORS];

    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            sum[t][v] = (vec){0};
    for (size_t c = 0; c < channels; c++, u += V * LANES) {
        vec uv[VECTORS];

        for (int v = 0; v < V; v++)
            uv[v] = load(u + v * LANES);
        for (int t = 0; t < T; t++) {
            vec x = splat(patch[(size_t)t * channels + c]);
            for (int v = 0; v < V; v++)
                sum[t][v] = fma_(x, uv[v], sum[t][v]);
        }
    }
    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            store(to + (size_t)t * wide + v * LANES, sum[t][v]);
}

ALWAYS_INLINE void multiply_row(const int V, size_t tiles, size_t channels,
                                const float *patch, const float *u, size_t wide,
                                float *to)
{
    size_t i = 0;

    for (; i + TILES <= tiles; i += TILES)
        multiply(TILES, V, channels, patch + i * channels, u, wide,
                 to + i * wide);
#if TILES > 6
    for (; i + 6 <= tiles; i += 6)
        multiply(6, V, channels, patch + i * channels, u, wide, to + i * wide);
#endif
    for (; i + 4 <= tiles; i += 4)
        multiply(4, V, channels, patch + i * channels, u, wide, to + i * wide);
    for (; i + 2 <= tiles; i += 2)
        multiply(2, V, channels, patch + i * channels, u, wide, to + i * wide);
    if (i < tiles)
        multiply(1, V, channels, patch + i * channels, u, wide, to + i * wide);
}

static void products(const struct pf_conv *s, size_t tiles, const float *patch,
                     const float *ready, float *to)
{
    size_t wide = WHOLE(s->o), places = (s->k + 1) * (s->k + 1), width;

    for (size_t place = 0; place < places; place++)
        for (size_t o = 0; o < wide; o += width) {
            const float *u, *from = patch + place * tiles * s->c;
            float *m = to + place * tiles * wide + o;

            width = block_width(wide, o);
            u = ready + o * places * s->c + place * s->c * width;
            switch (width / LANES) {
            case 1:
                multiply_row(1, tiles, s->c, from, u, wide, m);
                break;
            case 2:
                multiply_row(2, tiles, s->c, from, u, wide, m);
                break;
#if VECTORS > 2
            case 3:
                multiply_row(3, tiles, s->c, from, u, wide, m);
                break;
            default:
                multiply_row(4, tiles, s->c, from, u, wide, m);
                break;
#endif
            }
        }
}

ALWAYS_INLINE void output_row(const int n, const float *matrix, size_t tiles,
                              size_t wide, const float *m, float *const line[2],
                              size_t columns)
{
    vec d[MOST * MOST], y[4];

    for (size_t i = 0; i < tiles; i++)
        for (size_t o = 0; o < wide; o += LANES) {
            size_t at = 2 * i * wide + o;

#pragma GCC unroll 36
            for (int place = 0; place < n * n; place++)
                d[place] = load(m + ((size_t)place * tiles + i) * wide + o);
            sandwich(2, n, matrix, d, y);
            store(line[0] + at, y[0]);
            store(line[1] + at, y[2]);
            if (2 * i + 1 < columns) {
                store(line[0] + at + wide, y[1]);
                store(line[1] + at + wide, y[3]);
            }
        }
}

void PF_NAME(winograd_rows)(const struct pf_conv *s, const struct conv_plan *p,
                            const float *image, const float *ready, size_t tile,
                            float *const line[2], float *scratch)
{
    size_t tiles = (s->ow + 1) / 2, places = (s->k + 1) * (s->k + 1);
    const float *x = image + 2 * tile * p->row;
    float *patch = scratch, *m = scratch + places * tiles * s->c;

    if (s->k == 2)
        input_row(2, input2[0], s, p, x, tiles, patch);
    else if (s->k == 3)
        input_row(3, input3[0], s, p, x, tiles, patch);
    else
        input_row(5, input5[0], s, p, x, tiles, patch);
    products(s, tiles, patch, ready, m);
    if (s->k == 2)
        output_row(3, output2[0], tiles, p->wide, m, line, s->ow);
    else if (s->k == 3)
        output_row(4, output3[0], tiles, p->wide, m, line, s->ow);
    else
        output_row(6, output5[0], tiles, p->wide, m, line, s->ow);
}
