/* Dense layers forward: per example and slab of rows a list of the inputs that
 * are not zero, then sums of scaled rows, one panel of outputs at a time in
 * registers.  A slab of a panel fits into the first-level cache and serves all
 * examples; the next one is fetched meanwhile. */
#include "vec_dense.h"

#define SLAB 64 /* rows */

size_t PF_NAME(dense_bias)(const struct pf_dense *s)
{
    return s->in * dense_wide(s);
}

size_t PF_NAME(dense_size)(const struct pf_dense *s)
{
    return (s->in + 1) * dense_wide(s);
}

const char *PF_NAME(dense_method)(const struct pf_dense *s)
{
    return s->zero_is_dead ? "panels, skips zero inputs" : "panels";
}

/* Where the file has the weights of row j of the image: C, H, W. */
static size_t column(const struct pf_dense *s, size_t j)
{
    return j % s->c * s->hw + j / s->c;
}

void PF_NAME(dense_pack)(const struct pf_dense *s, const float *w,
                         const float *b, float *packed)
{
    size_t wide = dense_wide(s), width;

    for (size_t o = 0; o < wide; o += width) {
        width = dense_width(wide, o);
        for (size_t j = 0; j < s->in; j++) {
            size_t from = column(s, j);
            for (size_t l = 0; l < width; l++)
                *packed++ = o + l < s->out ? w[(o + l) * s->in + from] : 0;
        }
    }
    memset(packed, 0, wide * sizeof *packed);
    memcpy(packed, b, s->out * sizeof *b);
}

void PF_NAME(dense_unpack)(const struct pf_dense *s, const float *packed,
                           float *w, float *b)
{
    size_t wide = dense_wide(s), width;

    for (size_t o = 0; o < wide; o += width) {
        width = dense_width(wide, o);
        for (size_t j = 0; j < s->in; j++, packed += width) {
            size_t to = column(s, j);
            for (size_t l = 0; l < width && o + l < s->out; l++)
                w[(o + l) * s->in + to] = packed[l];
        }
    }
    memcpy(b, packed, s->out * sizeof *b);
}

/* The inputs of one example in a slab that are not zero. */
struct list {
    uint32_t n;
    uint32_t row[SLAB + LANES];
    float x[SLAB + LANES];
};

/* Scratch: a list and the sums of each example. */
static size_t sums_at(size_t n)
{
    return (n * sizeof(struct list) + 63) / 64 * 64;
}

static size_t forward_scratch(const struct pf_dense *s, size_t n)
{
    return sums_at(n) + n * dense_wide(s) * sizeof(float);
}

static void fill_list(const float *x, size_t rows, struct list *list)
{
    uint32_t at = 0;
    ivec lane;
    size_t j = 0;

    for (uint32_t l = 0; l < LANES; l++)
        lane[l] = l;
    for (; j < rows; j += LANES) {
        vec v = j + LANES <= rows ? load(x + j) : load_part(x + j, rows - j);
        uint32_t bits = bits_of((ivec)(v != (vec){0}));

        compress_u32(list->row + at, lane + (uint32_t)j, bits);
        at += (uint32_t)compress(list->x + at, v, bits);
    }
    list->n = at;
}

/* sums[V vectors] += the listed rows of the slab, scaled. `next` is fetched. */
ALWAYS_INLINE void add_rows(const int V, const struct list *list,
                            const float *slab, float *sums)
{
    vec acc[PANEL];

    for (int v = 0; v < V; v++)
        acc[v] = load(sums + v * LANES);
    for (uint32_t e = 0; e < list->n; e++) {
        const float *w = slab + list->row[e] * (size_t)(V * LANES);
        vec x = splat(list->x[e]);

        for (int v = 0; v < V; v++)
            acc[v] = fma_(load(w + v * LANES), x, acc[v]);
    }
    for (int v = 0; v < V; v++)
        store(sums + v * LANES, acc[v]);
}

static void add_list(size_t width, const struct list *list, const float *slab,
                     float *sums)
{
    switch (width / LANES) {
    case 1:
        add_rows(1, list, slab, sums);
        break;
    case 2:
        add_rows(2, list, slab, sums);
        break;
    case 3:
        add_rows(3, list, slab, sums);
        break;
    case 4:
        add_rows(4, list, slab, sums);
        break;
    case 5:
        add_rows(5, list, slab, sums);
        break;
    case 6:
        add_rows(6, list, slab, sums);
        break;
    case 7:
        add_rows(7, list, slab, sums);
        break;
    default:
        add_rows(PANEL, list, slab, sums);
        break;
    }
}

/* One slab of one panel for all examples. */
static void add_slab(size_t n, size_t width, size_t rows, const float *slab,
                     const struct list *lists, float *sums, size_t next)
{
    /* What follows in this panel is fetched while we compute, an equal part
     * with each example. */
    size_t lines = next * width * sizeof(float) / 64, done = 0, due;
    const char *ahead = (const char *)(slab + rows * width);

    for (size_t i = 0; i < n; i++) {
        for (due = lines * (i + 1) / n; done < due; done++)
            __builtin_prefetch(ahead + done * 64, 0, 2);
        add_list(width, &lists[i], slab, sums + i * width);
    }
}

static void finish(const struct pf_dense *s, size_t width, size_t o,
                   const float *sums, const float *bias, float *y)
{
    for (size_t l = 0; l < width; l += LANES) {
        vec z = activate(s->act, splat(s->slope),
                         load(sums + l) + load(bias + o + l));

        if (o + l + LANES <= s->out)
            store(y + o + l, z);
        else
            store_part(y + o + l, z, s->out - o - l);
    }
}

void PF_NAME(dense_forward)(const struct pf_dense *s, size_t n, const float *x,
                            const float *packed, float *y, void *scratch)
{
    struct list *lists = scratch;
    float *sums = (float *)(void *)((char *)scratch + sums_at(n));
    size_t wide = dense_wide(s), rows, left, width, o;

    memset(sums, 0, n * wide * sizeof *sums);
    for (size_t j = 0; j < s->in; j += rows) {
        rows = s->in - j < SLAB ? s->in - j : SLAB;
        left = s->in - j - rows;
        for (size_t i = 0; i < n; i++)
            fill_list(x + i * s->in + j, rows, &lists[i]);
        for (o = 0; o < wide; o += width) {
            width = dense_width(wide, o);
            add_slab(n, width, rows, packed + o * s->in + j * width, lists,
                     sums + n * o, left < SLAB ? left : SLAB);
        }
    }
    for (o = 0; o < wide; o += width) {
        width = dense_width(wide, o);
        for (size_t i = 0; i < n; i++)
            finish(s, width, o, sums + n * o + i * width, packed + s->in * wide,
                   y + i * s->out);
    }
}

size_t PF_NAME(dense_scratch)(const struct pf_dense *s, size_t n)
{
    size_t forward = forward_scratch(s, n);
    size_t backward = PF_NAME(dense_backward_scratch)(n);

    return forward > backward ? forward : backward;
}
