/* Dense layers backward.  Eight rows of weights at a time: per row a list of
 * the examples whose input is not zero; each of their output gradients is read
 * once and used twice, for the gradient of the row's weights (added up over
 * examples) and for that input's gradient (added up over outputs).  Then the
 * optimiser's step on these weights, which are in the cache. */
#include "vec_dense.h"

#define TILE 32 /* examples whose gradients stay in the first-level cache */
#if REGISTERS > 16
#define PART PANEL /* vectors of a panel at once: weights and sums */
#else
#define PART 4
#endif
#define GROUP 4 /* examples at once */

size_t PF_NAME(dense_turn_size)(const struct pf_dense *s, size_t n)
{
    return n * dense_wide(s);
}

/* The gradient by the sums of one example's panel. */
static void turn_one(const struct pf_dense *s, size_t width, size_t o,
                     const float *y, const float *dy, float *to)
{
    vec slope = splat(s->slope);

    for (size_t l = 0; l < width; l += LANES) {
        int whole = o + l + LANES <= s->out;
        size_t part = s->out - o - l;
        vec g = whole ? load(dy + o + l) : load_part(dy + o + l, part);

        if (s->act != PF_ACT_NONE) {
            vec v = whole ? load(y + o + l) : load_part(y + o + l, part);
            ivec dead = (ivec)(v <= (vec){0});
            ivec less = (ivec)(g * slope) & dead;
            /* Not 0 * g behind a ReLU: g may be infinite. */
            if (s->act == PF_ACT_RELU)
                less = (ivec){0};
            g = (vec)(((ivec)g & ~dead) | less);
        }
        store(to + l, g);
    }
}

void PF_NAME(dense_turn)(const struct pf_dense *s, size_t n, const float *y,
                         const float *dy, float *turned, float *grad_b)
{
    size_t wide = dense_wide(s), width;
    vec sum;

    for (size_t o = 0; o < wide; o += width) {
        float *panel = turned + n * o;

        width = dense_width(wide, o);
        for (size_t i = 0; i < n; i++)
            turn_one(s, width, o, y + i * s->out, dy + i * s->out,
                     panel + i * width);
        for (size_t l = 0; l < width; l += LANES) {
            sum = (vec){0};
            for (size_t i = 0; i < n; i++)
                sum += load(panel + i * width + l);
            if (o + l + LANES <= s->out)
                store(grad_b + o + l, sum);
            else
                store_part(grad_b + o + l, sum, s->out - o - l);
        }
    }
}

/* Of one row: the examples that count, in their order, each tile's list filled
 * up to whole groups with examples of weight zero. */
struct rows {
    size_t tiles;
    float *gradient;   /* [row][PANEL * LANES] */
    float *dx;         /* [row][entries / GROUP][LANES]: sums still in lanes */
    uint32_t *begin;   /* [row][tiles + 1] in entries */
    uint32_t *count;   /* [row][tiles] of them that are no filling */
    uint32_t *example; /* [row][entries] */
    float *x;
    size_t entries; /* room per row */
};

static void *place_at(char *mem, size_t at)
{
    return mem ? mem + at : NULL;
}

static size_t lay_out(size_t n, char *mem, struct rows *r)
{
    size_t rows = PF_DENSE_ROWS, at = 0;

    r->tiles = (n + TILE - 1) / TILE;
    r->entries = r->tiles * TILE + GROUP;
    r->gradient = place_at(mem, at);
    at += rows * PANEL * LANES * sizeof(float);
    r->dx = place_at(mem, at);
    at += rows * (r->entries / GROUP) * LANES * sizeof(float);
    r->begin = place_at(mem, at);
    at += rows * (r->tiles + 1) * sizeof(uint32_t);
    r->count = place_at(mem, at);
    at += rows * r->tiles * sizeof(uint32_t);
    r->example = place_at(mem, at);
    at += rows * r->entries * sizeof(uint32_t);
    r->x = place_at(mem, at);
    return at + rows * r->entries * sizeof(float);
}

size_t PF_NAME(dense_backward_scratch)(size_t n)
{
    struct rows r;

    return lay_out(n, NULL, &r);
}

/* The lists of `count` rows from input j on. */
static void fill_rows(const struct pf_dense *s, size_t n, size_t j,
                      size_t count, const float *x, int all, struct rows *r)
{
    uint32_t at[PF_DENSE_ROWS] = {0};

    for (size_t tile = 0; tile < r->tiles; tile++) {
        size_t end = (tile + 1) * TILE < n ? (tile + 1) * TILE : n;

        for (size_t k = 0; k < count; k++)
            r->begin[k * (r->tiles + 1) + tile] = at[k];
        for (size_t i = tile * TILE; i < end; i++)
            for (size_t k = 0; k < count; k++) {
                float v = x[i * s->in + j + k];

                /* No branch: half of them would be mispredicted. */
                r->example[k * r->entries + at[k]] = (uint32_t)i;
                r->x[k * r->entries + at[k]] = v;
                at[k] += v != 0 || all;
            }
        for (size_t k = 0; k < count; k++)
            r->count[k * r->tiles + tile] =
                at[k] - r->begin[k * (r->tiles + 1) + tile];
        for (size_t k = 0; k < count; k++)
            for (; at[k] % GROUP != 0; at[k]++) {
                r->example[k * r->entries + at[k]] = (uint32_t)(tile * TILE);
                r->x[k * r->entries + at[k]] = 0;
            }
    }
    for (size_t k = 0; k < count; k++)
        r->begin[k * (r->tiles + 1) + r->tiles] = at[k];
}

/* In each 128 bits of the result: lane g sums those of a[g]. */
ALWAYS_INLINE vec add_lanes(const vec a[GROUP])
{
    vec ab = unpack_low(a[0], a[1]) + unpack_high(a[0], a[1]);
    vec cd = unpack_low(a[2], a[3]) + unpack_high(a[2], a[3]);

    return pair_low(ab, cd) + pair_high(ab, cd);
}

/* V vectors of one row's weights against a tile of examples. */
ALWAYS_INLINE void row_tile(const int V, const int want_dx, size_t entries,
                            const uint32_t *example, const float *x,
                            const float *turned, size_t width, const float *w,
                            float *gradient, float *dx)
{
    vec sum[PART], weight[PART];

    for (int v = 0; v < V; v++) {
        sum[v] = load(gradient + v * LANES);
        weight[v] = load(w + v * LANES);
    }
    for (size_t e = 0; e < entries; e += GROUP, dx += LANES) {
        vec d[GROUP];

        for (int g = 0; g < GROUP; g++) {
            const float *t = turned + example[e + (size_t)g] * width;
            vec xv = splat(x[e + (size_t)g]);

            d[g] = (vec){0};
            for (int v = 0; v < V; v++) {
                vec tv = load(t + v * LANES);
                sum[v] = fma_(tv, xv, sum[v]);
                if (want_dx)
                    d[g] = fma_(tv, weight[v], d[g]);
            }
        }
        if (want_dx)
            store(dx, load(dx) + add_lanes(d));
    }
    for (int v = 0; v < V; v++)
        store(gradient + v * LANES, sum[v]);
}

static void row_part(size_t vectors, int want_dx, size_t entries,
                     const uint32_t *example, const float *x,
                     const float *turned, size_t width, const float *w,
                     float *gradient, float *dx)
{
#define CASE(V)                                                                \
    case V:                                                                    \
        if (want_dx)                                                           \
            row_tile(V, 1, entries, example, x, turned, width, w, gradient,    \
                     dx);                                                      \
        else                                                                   \
            row_tile(V, 0, entries, example, x, turned, width, w, gradient,    \
                     dx);                                                      \
        break
    switch (vectors) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
#if PART > 4
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
#endif
    default:
        break;
    }
#undef CASE
}

/* The arrays that the next block of rows will read, at its place. */
struct ahead {
    const float *array[3];
    size_t arrays, rows;
};

static struct ahead look_ahead(const float *packed, size_t place, size_t rows,
                               const struct pf_update *u, size_t at)
{
    struct ahead a = {{packed + place}, 1, rows};

    if (u && u->m)
        a.array[a.arrays++] = u->m + at + place;
    if (u && u->v)
        a.array[a.arrays++] = u->v + at + place;
    return a;
}

static void fetch_row(const struct ahead *a, size_t k, size_t width)
{
    if (k < a->rows)
        for (size_t i = 0; i < a->arrays; i++)
            for (size_t l = 0; l < width; l += 64 / sizeof(float))
                __builtin_prefetch(a->array[i] + k * width + l, 1, 2);
}

/* One panel of `count` rows; turned and w are the panel's. */
static void panel_rows(const struct rows *r, size_t count, size_t width,
                       const float *turned, const float *w, int want_dx,
                       const struct ahead *ahead)
{
    size_t tile, k, l, part;

    memset(r->gradient, 0, count * width * sizeof *r->gradient);
    for (l = 0; l < width; l += part) {
        part = width - l < PART * LANES ? width - l : PART * LANES;
        for (tile = 0; tile < r->tiles; tile++)
            for (k = 0; k < count; k++) {
                const uint32_t *begin = r->begin + k * (r->tiles + 1) + tile;
                size_t at = k * r->entries + begin[0];

                if (l == 0 && tile == 0)
                    fetch_row(ahead, k, width);
                row_part(part / LANES, want_dx, begin[1] - begin[0],
                         r->example + at, r->x + at, turned + l, width,
                         w + k * width + l, r->gradient + k * width + l,
                         r->dx + at / GROUP * LANES);
            }
    }
}

/* Adds up the lanes of `count` rows' input gradients; other examples have none.
 * They are put together first and written once per example: the examples are
 * often a multiple of many cache lines apart, and then only a few of them can
 * be in the cache together. */
static void write_dx(const struct pf_dense *s, size_t n, size_t count,
                     const struct rows *r, float *dx)
{
    float sums[TILE][PF_DENSE_ROWS];

    for (size_t tile = 0; tile < r->tiles; tile++) {
        size_t first = tile * TILE, left = n - first;

        memset(sums, 0, sizeof sums);
        for (size_t k = 0; k < count; k++) {
            const float *lanes = r->dx + k * (r->entries / GROUP) * LANES;
            const uint32_t *example = r->example + k * r->entries;
            size_t e = r->begin[k * (r->tiles + 1) + tile];
            size_t end = e + r->count[k * r->tiles + tile];

            for (; e < end; e++) {
                const float *p = lanes + e / GROUP * LANES + e % GROUP;
                float sum = p[0];

                for (size_t l = GROUP; l < LANES; l += GROUP)
                    sum += p[l];
                sums[example[e] - first][k] = sum;
            }
        }
        for (size_t i = 0; i < left && i < TILE; i++)
            if (count == PF_DENSE_ROWS)
                memcpy(dx + (first + i) * s->in, sums[i], sizeof sums[i]);
            else
                memcpy(dx + (first + i) * s->in, sums[i],
                       count * sizeof(float));
    }
}

void PF_NAME(dense_backward)(const struct pf_dense *s, size_t n, size_t first,
                             size_t end, const float *x, const float *turned,
                             const float *packed,
                             const struct pf_update *update, size_t at,
                             float *grad, float *dx, void *scratch)
{
    size_t wide = dense_wide(s), width, count, left, next, k;
    int all = dx && !s->zero_is_dead;
    struct rows r;

    lay_out(n, scratch, &r);
    for (size_t j = first; j < end; j += count) {
        count = end - j < PF_DENSE_ROWS ? end - j : PF_DENSE_ROWS;
        left = end - j - count;
        next = left < PF_DENSE_ROWS ? left : PF_DENSE_ROWS;
        fill_rows(s, n, j, count, x, all, &r);
        memset(r.dx, 0, count * (r.entries / GROUP) * LANES * sizeof *r.dx);
        for (size_t o = 0; o < wide; o += width) {
            size_t place = o * s->in + j * (width = dense_width(wide, o));
            struct ahead ahead =
                look_ahead(packed, place + count * width, next, update, at);

            panel_rows(&r, count, width, turned + n * o, packed + place,
                       dx != NULL, &ahead);
            if (update)
                PF_NAME(update)(update, at + place, count * width, r.gradient);
            else
                for (k = 0; k < count * width; k++)
                    grad[place + k] += r.gradient[k];
        }
        if (dx)
            write_dx(s, n, count, &r, dx + j);
    }
}
