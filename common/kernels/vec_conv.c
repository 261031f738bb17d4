/* Convolutions forward: rows of sums in a buffer that stays in the first-level
 * cache, then bias, activation and pool from there. */
#include "vec_conv.h"

/* Vectors of output channels at once, and sums in registers: enough to hide
 * how long an addition takes. */
#if REGISTERS > 16
#define VECTORS 4
#define SUMS    24
#else
#define VECTORS 2
#define SUMS    12
#endif
#define PIXELS 14 /* neighbours at once, at most */

size_t PF_NAME(conv_size)(const struct pf_conv *s)
{
    return conv_weights(s) + WHOLE(s->o);
}

/* Where the file has the weight at (ky, j), j = kx * c + channel. */
ALWAYS_INLINE size_t canonical(const struct pf_conv *s, size_t o, size_t ky,
                               size_t j)
{
    return ((o * s->c + j % s->c) * s->k + ky) * s->k + j / s->c;
}

void PF_NAME(conv_pack)(const struct pf_conv *s, const float *w, const float *b,
                        float *packed)
{
    size_t run = s->k * s->c;

    memset(packed, 0, PF_NAME(conv_size)(s) * sizeof *packed);
    for (size_t o = 0; o < s->o; o++)
        for (size_t ky = 0; ky < s->k; ky++, packed += WHOLE(run))
            for (size_t j = 0; j < run; j++)
                packed[j] = w[canonical(s, o, ky, j)];
    memcpy(packed, b, s->o * sizeof *b);
}

void PF_NAME(conv_unpack)(const struct pf_conv *s, const float *packed,
                          float *w, float *b)
{
    size_t run = s->k * s->c;

    for (size_t o = 0; o < s->o; o++)
        for (size_t ky = 0; ky < s->k; ky++, packed += WHOLE(run))
            for (size_t j = 0; j < run; j++)
                w[canonical(s, o, ky, j)] = packed[j];
    memcpy(b, packed, s->o * sizeof *b);
}

const char *PF_NAME(conv_method)(const struct pf_conv *s)
{
    if (PF_NAME(winograd_fits)(s))
        return "winograd 2x2";
    return s->c == 1 ? "direct, skips zero windows" : "direct";
}

/* Channels of the block that begins at channel o. */
ALWAYS_INLINE size_t block_width(size_t wide, size_t o)
{
    return wide - o < VECTORS * LANES ? wide - o : VECTORS * LANES;
}

/* When the channels fill half a vector at most, it computes two neighbouring
 * pixels: both look at a window that is as much wider as the second begins
 * later, with weights of zero where it is not theirs. */
static size_t pixels(const struct pf_conv *s)
{
    return 2 * s->o <= LANES && s->stride < s->k ? 2 : 1;
}

/* Floats of one row of what a vector's pixels look at. */
static size_t row_taps(const struct pf_conv *s)
{
    return (s->k + (pixels(s) - 1) * s->stride) * s->c;
}

size_t PF_NAME(conv_ready_size)(const struct pf_conv *s)
{
    if (PF_NAME(winograd_fits)(s))
        return PF_NAME(winograd_ready_size)(s);
    return WHOLE(s->o) * s->k * row_taps(s);
}

static void prepare_pairs(const struct pf_conv *s, const float *packed,
                          float *ready)
{
    size_t run = s->k * s->c, taps = row_taps(s), second = s->stride * s->c;

    memset(ready, 0, s->k * taps * LANES * sizeof *ready);
    for (size_t o = 0; o < s->o; o++)
        for (size_t ky = 0; ky < s->k; ky++, packed += WHOLE(run))
            for (size_t j = 0; j < run; j++) {
                float *to = ready + (ky * taps + j) * LANES + o;

                to[0] = packed[j];
                to[second * LANES + LANES / 2] = packed[j];
            }
}

/* Blocks of output channels, each [ky][j][width]. */
void PF_NAME(conv_prepare)(const struct pf_conv *s, const float *packed,
                           float *ready)
{
    size_t wide = WHOLE(s->o), run = s->k * s->c, width;

    if (PF_NAME(winograd_fits)(s)) {
        PF_NAME(winograd_prepare)(s, packed, ready);
        return;
    }
    if (pixels(s) == 2) {
        prepare_pairs(s, packed, ready);
        return;
    }
    for (size_t o = 0; o < wide; o += width) {
        width = block_width(wide, o);
        for (size_t ky = 0; ky < s->k; ky++)
            for (size_t j = 0; j < run; j++)
                for (size_t l = 0; l < width; l++)
                    *ready++ =
                        o + l < s->o
                            ? packed[((o + l) * s->k + ky) * WHOLE(run) + j]
                            : 0;
    }
}

/* Scratch: the image, two lines of sums, what Winograd takes. */
static size_t forward_floats(const struct pf_conv *s)
{
    struct conv_plan p;
    size_t more = 0;

    conv_plan(s, &p);
    if (PF_NAME(winograd_fits)(s))
        more = PF_NAME(winograd_scratch)(s);
    return p.image + 2 * p.line + more;
}

size_t PF_NAME(conv_scratch)(const struct pf_conv *s)
{
    size_t forward = forward_floats(s) * sizeof(float);
    size_t backward = PF_NAME(conv_backward_scratch)(s);

    return forward > backward ? forward : backward;
}

size_t PF_NAME(conv_side)(const struct pf_conv *s)
{
    return s->ph * s->pw * s->o;
}

/* The sums of a row: vectors of V times LANES, one a pixel or, in pairs, one
 * for two. */
struct sums {
    const float *x, *w; /* the image, the block's weights */
    float *to;
    size_t k, taps;          /* rows and floats of what a vector looks at */
    size_t row, step, apart; /* floats between rows of the image, and between
                                neighbours there and in the line */
};

/* T neighbouring vectors, or V of each where the channels are many. */
ALWAYS_INLINE void tile(const int T, const int V, const struct sums *q,
                        size_t first)
{
    const float *x = q->x + first * q->step, *w = q->w;
    float *to = q->to + first * q->apart;
    vec sum[PIXELS][VECTORS];

    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            sum[t][v] = (vec){0};
    for (size_t ky = 0; ky < q->k; ky++, x += q->row)
        for (size_t j = 0; j < q->taps; j++, w += V * LANES) {
            vec wv[VECTORS];

            for (int v = 0; v < V; v++)
                wv[v] = load(w + v * LANES);
            for (int t = 0; t < T; t++) {
                vec xv = splat(x[(size_t)t * q->step + j]);
                for (int v = 0; v < V; v++)
                    sum[t][v] = fma_(xv, wv[v], sum[t][v]);
            }
        }
    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            store(to + (size_t)t * q->apart + v * LANES, sum[t][v]);
}

/* Even numbers of them; impossible ones are cut off by the compiler. */
ALWAYS_INLINE void some(const int V, size_t t, const struct sums *q,
                        size_t first)
{
    switch (t) {
#define CASE(T)                                                                \
    case T:                                                                    \
        if ((T)*V <= SUMS)                                                     \
            tile(T, V, q, first);                                              \
        break
        CASE(2);
        CASE(4);
        CASE(6);
        CASE(8);
        CASE(10);
        CASE(12);
        CASE(14);
#undef CASE
    default:
        break;
    }
}

/* The first n, in as few tiles of one even width as there can be. The last
 * begins within the one before it; when n is odd, one more is computed, for
 * which the line and the image have room. */
ALWAYS_INLINE void span(const int V, const struct sums *q, size_t n)
{
    const size_t most = (size_t)(SUMS / V < PIXELS ? SUMS / V / 2 * 2 : PIXELS);
    size_t tiles, t;

    n = (n + 1) / 2 * 2;
    if (n == 0)
        return;
    tiles = (n + most - 1) / most;
    t = ((n + tiles - 1) / tiles + 1) / 2 * 2;
    for (size_t i = 0; i < tiles; i++)
        some(V, t, q, i + 1 < tiles ? i * t : n - t);
}

/* Columns of output row oy whose window is not all zero; spans are the image's
 * rows, NULL: not known. */
static void busy_columns(const struct pf_conv *s, const struct conv_plan *p,
                         const struct conv_span *spans, size_t oy, size_t *from,
                         size_t *end)
{
    size_t first = p->row, last = 0;

    *from = 0;
    *end = s->ow;
    if (!spans)
        return;
    for (size_t ky = 0; ky < s->k; ky++) {
        const struct conv_span *row = &spans[oy * s->stride + ky];
        first = row->first < first ? row->first : first;
        last = row->last > last ? row->last : last;
    }
    if (first == p->row) {
        *end = 0;
        return;
    }
    if (first >= s->k)
        *from = (first - s->k) / s->stride + 1;
    if (last / s->stride + 1 < s->ow)
        *end = last / s->stride + 1;
    if (*from > *end)
        *from = *end;
}

/* The sums of output row oy: [column][channel]. */
static void direct_row(const struct pf_conv *s, const struct conv_plan *p,
                       const float *image, const struct conv_span *spans,
                       const float *ready, size_t oy, float *line)
{
    size_t from, end, width, both = pixels(s);
    size_t column = p->wide / both; /* floats of one */
    struct sums q = {.k = s->k,
                     .taps = row_taps(s),
                     .row = p->row,
                     .step = both * s->stride * s->c,
                     .apart = p->wide};

    busy_columns(s, p, spans, oy, &from, &end);
    memset(line, 0, from * column * sizeof *line);
    memset(line + end * column, 0, (s->ow - end) * column * sizeof *line);
    q.x = image + oy * s->stride * p->row + from * s->stride * s->c;
    for (size_t o = 0; o < p->wide; o += width) {
        q.w = ready + o * q.k * q.taps;
        q.to = line + from * column + o;
        width = block_width(p->wide, o);
        switch (width / LANES) {
        case 1:
            span(1, &q, (end - from + both - 1) / both);
            break;
        case 2:
            span(2, &q, end - from);
            break;
#if VECTORS > 2
        case 3:
            span(3, &q, end - from);
            break;
        default:
            span(4, &q, end - from);
            break;
#endif
        }
    }
}

/* One vector of channels of one output: z are the sums at its places. */
ALWAYS_INLINE vec output(const enum pf_act act, const enum pf_pool2 pool,
                         vec slope, const vec z[4], ivec *side)
{
    vec best = z[0], sum;
    ivec place = {0}, wins;

    if (pool == PF_POOL_NONE) {
        *side = (ivec)(z[0] <= (vec){0}) & 1u;
        return activate(act, slope, z[0]);
    }
    if (pool == PF_POOL_AVG2) {
        *side = (ivec){0};
        sum = (vec){0};
        for (uint32_t i = 0; i < 4; i++) {
            *side |= (ivec)(z[i] <= (vec){0}) & 1u << i;
            sum += activate(act, slope, z[i]);
        }
        return sum * splat(0.25f);
    }
    /* The activation does not change the order, but makes dead ones equal:
     * then no place gets a gradient. */
    for (uint32_t i = 1; i < 4; i++) {
        wins = (ivec)(z[i] > best) | (ivec)(z[i] != z[i]);
        best = choose(wins, z[i], best);
        place = (place & ~wins) | (wins & i);
    }
    *side = place | ((ivec)(best <= (vec){0}) & SIDE_LOW);
    return activate(act, slope, best);
}

ALWAYS_INLINE void finish(const enum pf_act act, const enum pf_pool2 pool,
                          const struct pf_conv *s, const struct conv_plan *p,
                          float *const line[2], const float *bias, float *y,
                          uint8_t *side, size_t left)
{
    size_t step = pool == PF_POOL_NONE ? 1 : 2, o;
    size_t column = p->wide / pixels(s);
    vec slope = splat(s->slope), z[4], out;
    ivec mark;

    for (size_t px = 0; px < s->pw; px++, y += s->o, side += s->o, left -= s->o)
        for (o = 0; o < p->wide; o += LANES) {
            size_t at = px * step * column + o;
            vec b = load(bias + o);

            z[0] = load(line[0] + at) + b;
            if (pool != PF_POOL_NONE) {
                z[1] = load(line[0] + at + column) + b;
                z[2] = load(line[1] + at) + b;
                z[3] = load(line[1] + at + column) + b;
            }
            out = output(act, pool, slope, z, &mark);
            /* Lanes past the last channel are overwritten by what follows. */
            if (o + LANES <= left) {
                store(y + o, out);
                store_bytes(side + o, mark);
            } else {
                store_part(y + o, out, s->o - o);
                store_some_bytes(side + o, mark, s->o - o);
            }
        }
}

/* left: values of this example from y on. */
static void finish_row(const struct pf_conv *s, const struct conv_plan *p,
                       float *const line[2], const float *bias, float *y,
                       uint8_t *side, size_t left)
{
#define CASE(act, pool)                                                        \
    case (act)*3 + (pool):                                                     \
        finish(act, pool, s, p, line, bias, y, side, left);                    \
        break
    switch (s->act * 3 + s->pool) {
        CASE(PF_ACT_NONE, PF_POOL_NONE);
        CASE(PF_ACT_NONE, PF_POOL_MAX2);
        CASE(PF_ACT_NONE, PF_POOL_AVG2);
        CASE(PF_ACT_RELU, PF_POOL_NONE);
        CASE(PF_ACT_RELU, PF_POOL_MAX2);
        CASE(PF_ACT_RELU, PF_POOL_AVG2);
        CASE(PF_ACT_LEAKY, PF_POOL_NONE);
        CASE(PF_ACT_LEAKY, PF_POOL_MAX2);
        CASE(PF_ACT_LEAKY, PF_POOL_AVG2);
    }
#undef CASE
}

/* One example. */
static void forward_one(const struct pf_conv *s, const struct conv_plan *p,
                        const float *image, const float *ready,
                        const float *bias, float *const line[2], float *more,
                        float *y, uint8_t *side)
{
    struct conv_span rows_of[CONV_SPANS], *spans = NULL;
    int winograd = PF_NAME(winograd_fits)(s);

    if (conv_spans(s, p, image, rows_of))
        spans = rows_of;
    for (size_t py = 0; py < s->ph; py++) {
        size_t oy = py * p->high, at = py * s->pw * s->o;
        float *const rows[2] = {line[winograd && p->high == 1 ? py % 2 : 0],
                                line[1]};

        if (winograd && (p->high == 2 || py % 2 == 0))
            PF_NAME(winograd_rows)(s, p, image, ready, oy / 2, line, more);
        for (size_t r = 0; !winograd && r < p->high; r++)
            direct_row(s, p, image, spans, ready, oy + r, line[r]);
        finish_row(s, p, rows, bias, y + at, side + at,
                   s->ph * s->pw * s->o - at);
    }
}

void PF_NAME(conv_forward)(const struct pf_conv *s, size_t n, const float *x,
                           const float *packed, const float *ready, float *y,
                           uint8_t *side, void *scratch)
{
    const float *bias = packed + conv_weights(s);
    float *image = scratch, *line[2], *more;
    size_t in = s->h * s->w * s->c, out = s->ph * s->pw * s->o;
    struct conv_plan p;
    int in_place;

    conv_plan(s, &p);
    /* With one channel any part of a row may be computed, odd ones as well. */
    in_place = conv_in_place(s, &p) && s->c > 1 && pixels(s) == 1 &&
               s->oh % 2 == 0 && s->ow % 2 == 0;
    line[0] = image + p.image;
    line[1] = line[0] + p.line;
    more = line[1] + p.line;
    if (!in_place)
        memset(image, 0, p.image * sizeof *image);
    for (size_t i = 0; i < n; i++) {
        if (!in_place)
            conv_fill_image(s, &p, x + i * in, image);
        forward_one(s, &p, in_place ? x + i * in : image, ready, bias, line,
                    more, y + i * out, side + i * out);
    }
}
