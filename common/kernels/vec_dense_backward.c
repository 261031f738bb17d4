/* Dense layers backward.  Some rows of weights at a time: per row a list of
 * the examples whose input is not zero; each of their output gradients is read
 * once and used twice, for the gradient of the row's weights (added up over
 * examples) and for that input's gradient (added up over outputs).  Then the
 * optimiser's step on these weights, which are in the cache. */
#include "vec_dense.h"

/* Examples whose gradients of one panel take 24 KB: they stay in the first-level
 * cache, of which there are 32 KB at least. */
#define TILE (768 / LANES)
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
    float *gradient;   /* [row][the panel's width] */
    float *dx;         /* [row][entries] */
    uint32_t *begin;   /* [row][tiles + 1] in entries */
    uint32_t *count;   /* [row][tiles] of them that are no filling */
    uint32_t *example; /* [row][entries] */
    float *x;
    size_t entries; /* room per row; compress() writes past the last */
};

static void *place_at(char *mem, size_t at)
{
    return mem ? mem + at : NULL;
}

static size_t lay_out(size_t n, char *mem, struct rows *r)
{
    size_t rows = PF_DENSE_ROWS, at = 0;

    r->tiles = (n + TILE - 1) / TILE;
    r->entries = r->tiles * TILE + GROUP + LANES;
    r->gradient = place_at(mem, at);
    at += rows * PANEL * LANES * sizeof(float);
    r->dx = place_at(mem, at);
    at += rows * r->entries * sizeof(float);
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

/* to[row][TILE] = the inputs of `count` rows, n <= TILE examples. */
static void turn_inputs(const struct pf_dense *s, size_t n, size_t count,
                        const float *x, float *to)
{
    for (size_t i = 0; i < n; i += 4)
        for (size_t k = 0; k < count; k += LANES) {
            vec a[4], low[2], high[2];
            float *at = to + k * TILE + i;

            for (size_t e = 0; e < 4; e++) {
                a[e] = (vec){0};
                if (i + e < n) {
                    const float *from = x + (i + e) * s->in + k;

                    a[e] = k + LANES <= count ? load(from)
                                              : load_part(from, count - k);
                }
            }
            for (size_t h = 0; h < 2; h++) {
                low[h] = unpack_low(a[2 * h], a[2 * h + 1]);
                high[h] = unpack_high(a[2 * h], a[2 * h + 1]);
            }
            store_quads(at, 4 * TILE, pair_low(low[0], low[1]));
            store_quads(at + TILE, 4 * TILE, pair_high(low[0], low[1]));
            store_quads(at + 2 * TILE, 4 * TILE, pair_low(high[0], high[1]));
            store_quads(at + 3 * TILE, 4 * TILE, pair_high(high[0], high[1]));
        }
}

/* Appends the n examples of a tile that begins with `first` to one row's list,
 * which has `at` entries; returns how many it has then. */
static uint32_t append(size_t n, uint32_t first, const float *x, int all,
                       uint32_t *example, float *value, uint32_t at)
{
    const uint32_t any = all ? ~0u : 0;
    ivec lane;

    for (uint32_t l = 0; l < LANES; l++)
        lane[l] = first + l;
    for (size_t i = 0; i < n; i += LANES, lane += LANES) {
        uint32_t inside =
            n - i < LANES ? (1u << (n - i)) - 1 : ~0u >> (32 - LANES);
        vec v = load(x + i);
        uint32_t bits = (bits_of((ivec)(v != (vec){0})) | any) & inside;

        compress_u32(example + at, lane, bits);
        at += (uint32_t)compress(value + at, v, bits);
    }
    return at;
}

/* The lists of `count` rows from input j on. */
static void fill_rows(const struct pf_dense *s, size_t n, size_t j,
                      size_t count, const float *x, int all, struct rows *r)
{
    float turned[PF_DENSE_ROWS * TILE];
    uint32_t at[PF_DENSE_ROWS] = {0};

    for (size_t tile = 0; tile < r->tiles; tile++) {
        size_t first = tile * TILE, left = n - first;

        left = left < TILE ? left : TILE;
        turn_inputs(s, left, count, x + first * s->in + j, turned);
        for (size_t k = 0; k < count; k++) {
            uint32_t *example = r->example + k * r->entries;
            float *value = r->x + k * r->entries;

            r->begin[k * (r->tiles + 1) + tile] = at[k];
            at[k] = append(left, (uint32_t)first, turned + k * TILE, all,
                           example, value, at[k]);
            r->count[k * r->tiles + tile] =
                at[k] - r->begin[k * (r->tiles + 1) + tile];
            /* Whole vectors, whatever is missing: no branch. */
            store(value + at[k], (vec){0});
            for (size_t g = 0; g < GROUP; g++)
                example[at[k] + g] = (uint32_t)first;
            at[k] = (at[k] + GROUP - 1) / GROUP * GROUP;
        }
    }
    for (size_t k = 0; k < count; k++)
        r->begin[k * (r->tiles + 1) + r->tiles] = at[k];
}

/* The sums of the lanes of each. */
ALWAYS_INLINE quad add_lanes(const vec a[GROUP])
{
    vec ab = unpack_low(a[0], a[1]) + unpack_high(a[0], a[1]);
    vec cd = unpack_low(a[2], a[3]) + unpack_high(a[2], a[3]);

    return fold(pair_low(ab, cd) + pair_high(ab, cd));
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
    for (size_t e = 0; e < entries; e += GROUP) {
        vec d[GROUP];
        quad before, after;

        for (int g = 0; g < GROUP; g++) {
            const float *t = turned + example[e + (size_t)g] * width;
            vec xv = splat(x[e + (size_t)g]);

            d[g] = (vec){0};
            for (int v = 0; v < V; v++) {
                vec tv = load(t + v * LANES);
                KEEP(tv);
                sum[v] = fma_(tv, xv, sum[v]);
                if (want_dx)
                    d[g] = fma_(tv, weight[v], d[g]);
            }
        }
        if (want_dx) {
            memcpy(&before, dx + e, sizeof before);
            after = before + add_lanes(d);
            memcpy(dx + e, &after, sizeof after);
        }
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
                         r->dx + at);
            }
    }
}

/* The input gradients of `count` rows; examples in no list have none. They are
 * put together first and written once per example: the examples are often a
 * multiple of many cache lines apart, and then only a few of them can be in the
 * cache together. */
static void write_dx(const struct pf_dense *s, size_t n, size_t count,
                     const struct rows *r, float *dx)
{
    float sums[TILE][PF_DENSE_ROWS];

    for (size_t tile = 0; tile < r->tiles; tile++) {
        size_t first = tile * TILE, left = n - first;

        left = left < TILE ? left : TILE;
        memset(sums, 0, left * sizeof *sums);
        for (size_t k = 0; k < count; k++) {
            const uint32_t *example = r->example + k * r->entries;
            size_t e = r->begin[k * (r->tiles + 1) + tile];
            size_t end = e + r->count[k * r->tiles + tile];

            for (; e < end; e++)
                sums[example[e] - first][k] = r->dx[k * r->entries + e];
        }
        for (size_t i = 0; i < left; i++)
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
        memset(r.dx, 0, count * r.entries * sizeof *r.dx);
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
