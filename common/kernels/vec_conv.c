/* Convolutions forward: rows of sums in a buffer that stays in the first-level
 * cache, then bias, activation and pool from there. */
#include "vec_conv.h"

#if REGISTERS > 16
#define VECTORS 4 /* of output channels at once */
#define PIXELS  6
#else
#define VECTORS 2
#define PIXELS  6
#endif

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

size_t PF_NAME(conv_ready_size)(const struct pf_conv *s)
{
    if (PF_NAME(winograd_fits)(s))
        return PF_NAME(winograd_ready_size)(s);
    return WHOLE(s->o) * s->k * s->k * s->c;
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

/* T neighbouring pixels of V vectors of channels. */
ALWAYS_INLINE void tile(const int T, const int V, const struct pf_conv *s,
                        const struct conv_plan *p, const float *x,
                        const float *w, float *to)
{
    size_t step = s->stride * s->c, run = s->k * s->c;
    vec sum[PIXELS][VECTORS];

    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            sum[t][v] = (vec){0};
    for (size_t ky = 0; ky < s->k; ky++, x += p->row)
        for (size_t j = 0; j < run; j++, w += V * LANES) {
            vec wv[VECTORS];

            for (int v = 0; v < V; v++)
                wv[v] = load(w + v * LANES);
            for (int t = 0; t < T; t++) {
                vec xv = splat(x[(size_t)t * step + j]);
                for (int v = 0; v < V; v++)
                    sum[t][v] = fma_(xv, wv[v], sum[t][v]);
            }
        }
    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++)
            store(to + (size_t)t * p->wide + v * LANES, sum[t][v]);
}

/* Pixels [ox, end) of one row, V vectors of channels. */
ALWAYS_INLINE void span(const int V, const struct pf_conv *s,
                        const struct conv_plan *p, const float *x,
                        const float *w, size_t ox, size_t end, float *to)
{
    size_t step = s->stride * s->c;

    for (; ox + PIXELS <= end; ox += PIXELS)
        tile(PIXELS, V, s, p, x + ox * step, w, to + ox * p->wide);
    for (; ox + 2 <= end; ox += 2)
        tile(2, V, s, p, x + ox * step, w, to + ox * p->wide);
    if (ox < end)
        tile(1, V, s, p, x + ox * step, w, to + ox * p->wide);
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

/* The sums of output row oy: [column][wide]. */
static void direct_row(const struct pf_conv *s, const struct conv_plan *p,
                       const float *image, const struct conv_span *spans,
                       const float *ready, size_t oy, float *line)
{
    const float *x = image + oy * s->stride * p->row;
    size_t from, end, width, taps = s->k * s->k * s->c;

    busy_columns(s, p, spans, oy, &from, &end);
    memset(line, 0, from * p->wide * sizeof *line);
    memset(line + end * p->wide, 0, (s->ow - end) * p->wide * sizeof *line);
    for (size_t o = 0; o < p->wide; o += width) {
        const float *w = ready + o * taps;

        width = block_width(p->wide, o);
        switch (width / LANES) {
        case 1:
            span(1, s, p, x, w, from, end, line + o);
            break;
        case 2:
            span(2, s, p, x, w, from, end, line + o);
            break;
#if VECTORS > 2
        case 3:
            span(3, s, p, x, w, from, end, line + o);
            break;
        default:
            span(4, s, p, x, w, from, end, line + o);
            break;
#endif
        }
    }
}

typedef uint8_t bytes __attribute__((vector_size(LANES)));

/* The first n bytes of the lanes. */
ALWAYS_INLINE void store_bytes(uint8_t *to, ivec v, size_t n)
{
    bytes b = __builtin_convertvector(v, bytes);

    memcpy(to, &b, n);
}

ALWAYS_INLINE vec choose(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

ALWAYS_INLINE vec activate(const enum pf_act act, vec slope, vec z)
{
    ivec low = (ivec)(z < (vec){0});

    if (act == PF_ACT_RELU)
        return (vec)((ivec)z & ~low);
    return act == PF_ACT_LEAKY ? choose(low, z * slope, z) : z;
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
    vec slope = splat(s->slope), z[4], out;
    ivec mark;

    for (size_t px = 0; px < s->pw; px++, y += s->o, side += s->o, left -= s->o)
        for (o = 0; o < p->wide; o += LANES) {
            size_t at = px * step * p->wide + o;
            vec b = load(bias + o);

            z[0] = load(line[0] + at) + b;
            if (pool != PF_POOL_NONE) {
                z[1] = load(line[0] + at + p->wide) + b;
                z[2] = load(line[1] + at) + b;
                z[3] = load(line[1] + at + p->wide) + b;
            }
            out = output(act, pool, slope, z, &mark);
            /* Lanes past the last channel are overwritten by what follows. */
            if (o + LANES <= left) {
                store(y + o, out);
                store_bytes(side + o, mark, LANES);
            } else {
                store_part(y + o, out, s->o - o);
                store_bytes(side + o, mark, s->o - o);
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

/* One example, the image being filled. */
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
    size_t out = s->ph * s->pw * s->o;
    struct conv_plan p;

    conv_plan(s, &p);
    line[0] = image + p.image;
    line[1] = line[0] + p.line;
    more = line[1] + p.line;
    memset(image, 0, p.image * sizeof *image);
    for (size_t i = 0; i < n; i++) {
        conv_fill_image(s, &p, x + i * s->h * s->w * s->c, image);
        forward_one(s, &p, image, ready, bias, line, more, y + i * out,
                    side + i * out);
    }
}
