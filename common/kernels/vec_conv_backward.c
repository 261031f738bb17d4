/* Convolutions backward, over lists of the gradients that are not zero: behind
 * a 2x2 maximum at most one in four places, behind a ReLU about half of those.
 *
 * Weights: per output channel a list of (where the window begins, gradient);
 * the windows are added up in registers over the list.  Input: per place a list
 * of (output channel, gradient); the window gets the scaled weights, added up
 * in registers over the list.  Without a maximum the lists are simply long. */
#include "vec_conv.h"

/* Vectors of a window added up in registers. */
#if REGISTERS > 16
#define SUMS 20
#else
#define SUMS 12
#endif

/* Floats from the beginning of what is added, and the factor. */
struct list {
    uint32_t *at;
    float *g;
};

/* Scratch, in the order of its parts. */
struct room {
    float *image;    /* [h][w][c] with its border */
    float *dx;       /* the same */
    struct list one; /* a list per output channel, [wide][one_most] */
    uint32_t *n_one; /* [wide] */
    struct list two; /* a list per place, [oh * ow][two_most]: a vector more
                        than it can hold, which compress() may write */
    uint32_t *n_two; /* [oh * ow] */
    size_t one_most, two_most;
};

static void *place_at(char *mem, size_t *at, size_t bytes)
{
    void *p = mem ? mem + *at : NULL;

    *at += (bytes + 63) / 64 * 64;
    return p;
}

static size_t lay_out(const struct pf_conv *s, char *mem, struct room *r)
{
    size_t at = 0, places = s->oh * s->ow;
    struct conv_plan p;

    conv_plan(s, &p);
    r->image = place_at(mem, &at, p.image * sizeof(float));
    r->dx = place_at(mem, &at, p.image * sizeof(float));
    r->one_most = places;
    r->two_most = p.wide + LANES;
    r->one.at = place_at(mem, &at, p.wide * r->one_most * sizeof(uint32_t));
    r->one.g = place_at(mem, &at, p.wide * r->one_most * sizeof(float));
    r->n_one = place_at(mem, &at, p.wide * sizeof(uint32_t));
    r->two.at = place_at(mem, &at, places * r->two_most * sizeof(uint32_t));
    r->two.g = place_at(mem, &at, places * r->two_most * sizeof(float));
    r->n_two = place_at(mem, &at, places * sizeof(uint32_t));
    return at;
}

size_t PF_NAME(conv_backward_scratch)(const struct pf_conv *s)
{
    struct room r;
    size_t first = 0, lists = lay_out(s, NULL, &r);

    if (PF_NAME(conv_first_fits)(s))
        first = PF_NAME(conv_first_scratch)(s) * sizeof(float);
    return first > lists ? first : lists;
}

/* Appends g, from o on, to the lists of its channels. A zero is written, too,
 * and overwritten by what follows: no branch depends on a gradient. */
ALWAYS_INLINE void append_one(vec g, uint32_t bits, ivec window, size_t o,
                              size_t part, const struct room *r)
{
    uint32_t at[LANES];
    float value[LANES];

    memcpy(at, &window, sizeof at);
    store(value, g);
    for (size_t l = 0; l < part; l++) {
        size_t one = (o + l) * r->one_most + r->n_one[o + l];

        r->one.at[one] = at[l];
        r->one.g[one] = value[l];
        r->n_one[o + l] += bits >> l & 1;
    }
}

/* Appends the lanes of g that bits names to the list of their place. */
ALWAYS_INLINE void append_two(vec g, uint32_t bits, ivec weights, size_t place,
                              const struct room *r)
{
    size_t two = place * r->two_most + r->n_two[place];

    compress_u32(r->two.at + two, weights, bits);
    r->n_two[place] += (uint32_t)compress(r->two.g + two, g, bits);
}

/* One window of the pool, or one place: where its places are in the output,
 * and where their windows begin in the image. */
struct spot {
    uint32_t places, at[4], window[4];
};

/* The lists, and the bias's sums, of LANES channels from o on: of the gradients
 * g behind the activation. Under a maximum each channel has one place, else a
 * value for each. */
ALWAYS_INLINE void fill_spot(const enum pf_pool2 pool, const struct pf_conv *s,
                             const struct spot *q, ivec mark, vec g, size_t o,
                             ivec weights, int want_dx, const struct room *r,
                             float *bias)
{
    size_t part = s->o - o < LANES ? s->o - o : LANES;
    ivec place = mark & SIDE_PLACE;
    ivec across = (ivec)((place & 1u) != (ivec){0});
    ivec below = (ivec)((place & 2u) != (ivec){0});
    uint32_t bits;

    if (pool == PF_POOL_MAX2) {
        g = conv_through(s, g, (ivec)((mark & SIDE_LOW) != (ivec){0}));
        bits = bits_of((ivec)(g != (vec){0}));
        store(bias + o, load(bias + o) + g);
        append_one(g, bits,
                   q->window[0] + (across & (q->window[1] - q->window[0])) +
                       (below & (q->window[2] - q->window[0])),
                   o, part, r);
        for (uint32_t i = 0; want_dx && i < 4; i++)
            append_two(g, bits & bits_of((ivec)(place == i)), weights, q->at[i],
                       r);
        return;
    }
    if (pool == PF_POOL_AVG2)
        g *= splat(0.25f);
    for (uint32_t i = 0; i < q->places; i++) {
        vec at = conv_through(s, g, (ivec)((mark >> i & 1u) != (ivec){0}));

        bits = bits_of((ivec)(at != (vec){0}));
        store(bias + o, load(bias + o) + at);
        append_one(at, bits, (ivec){0} + q->window[i], o, part, r);
        if (want_dx)
            append_two(at, bits, weights, q->at[i], r);
    }
}

/* All channels of one spot; left: values of this example from dy on. */
ALWAYS_INLINE void fill_channels(const enum pf_pool2 pool,
                                 const struct pf_conv *s, const struct spot *q,
                                 const uint8_t *side, const float *dy,
                                 size_t left, ivec lane, int want_dx,
                                 const struct room *r, float *bias)
{
    const uint32_t window = (uint32_t)(s->k * WHOLE(s->k * s->c));

    for (size_t o = 0; o < s->o; o += LANES) {
        size_t part = s->o - o;
        ivec mine = (ivec)(lane < (ivec){0} + (uint32_t)part), mark;
        vec g;

        /* A whole vector, of which lanes past the last channel are another
         * place's, is read much faster than a part. */
        if (o + LANES <= left) {
            g = load(dy + o);
            mark = load_bytes(side + o);
        } else {
            g = load_part(dy + o, part);
            mark = load_some_bytes(side + o, part);
        }
        g = (vec)((ivec)g & mine);
        fill_spot(pool, s, q, mark, g, o, (lane + (uint32_t)o) * window,
                  want_dx, r, bias);
    }
}

/* Both lists of one example; the bias's gradient is added up on the way. */
ALWAYS_INLINE void fill(const enum pf_pool2 pool, const struct pf_conv *s,
                        const struct conv_plan *p, const uint8_t *side,
                        const float *dy, const struct room *r, int want_dx,
                        float *bias)
{
    size_t step = pool == PF_POOL_NONE ? 1 : 2, left = s->ph * s->pw * s->o;
    struct spot q = {.places = pool == PF_POOL_NONE ? 1 : 4};
    ivec lane;

    for (uint32_t l = 0; l < LANES; l++)
        lane[l] = l;
    memset(r->n_one, 0, s->o * sizeof *r->n_one);
    if (want_dx)
        memset(r->n_two, 0, s->oh * s->ow * sizeof *r->n_two);
    for (size_t py = 0; py < s->ph; py++)
        for (size_t px = 0; px < s->pw; px++) {
            for (uint32_t i = 0; i < q.places; i++) {
                size_t y = py * step + i / 2, x = px * step + i % 2;

                q.at[i] = (uint32_t)(y * s->ow + x);
                q.window[i] = (uint32_t)((y * p->row + x * s->c) * s->stride);
            }
            fill_channels(pool, s, &q, side, dy, left, lane, want_dx, r, bias);
            dy += s->o;
            side += s->o;
            left -= s->o;
        }
}

static void fill_lists(const struct pf_conv *s, const struct conv_plan *p,
                       const uint8_t *side, const float *dy,
                       const struct room *r, int want_dx, float *bias)
{
    switch (s->pool) {
    case PF_POOL_NONE:
        fill(PF_POOL_NONE, s, p, side, dy, r, want_dx, bias);
        break;
    case PF_POOL_MAX2:
        fill(PF_POOL_MAX2, s, p, side, dy, r, want_dx, bias);
        break;
    case PF_POOL_AVG2:
        fill(PF_POOL_AVG2, s, p, side, dy, r, want_dx, bias);
        break;
    }
}

/* Lists over windows, and what each is added up to: list i * list_i + j *
 * list_j goes to `to` + i * to_i + j * to_j. */
struct lists {
    const uint32_t *at, *n;
    const float *g;
    size_t most; /* entries of a list */
    size_t i, j, list_i, list_j, to_i, to_j;
    const float *x; /* the windows' rows are x_row apart, sums' to_row */
    float *to;
    size_t x_row, to_row;
};

/* K rows of V vectors of all windows, each list added up in registers. All
 * lists before the next block: what they choose from stays in the cache. */
ALWAYS_INLINE void add_block(const size_t K, const size_t V,
                             const struct lists *q, size_t row, size_t vector)
{
    const float *x = q->x + row * q->x_row + vector * LANES;
    const size_t x_row = q->x_row, to_row = q->to_row;
    vec sum[SUMS];

    for (size_t i = 0; i < q->i; i++) {
        float *to = q->to + i * q->to_i + row * to_row + vector * LANES;

        for (size_t j = 0; j < q->j; j++, to += q->to_j) {
            size_t list = i * q->list_i + j * q->list_j;
            const uint32_t *at = q->at + list * q->most, n = q->n[list];
            const float *g = q->g + list * q->most;

            if (n == 0)
                continue;
            for (size_t b = 0; b < K * V; b++)
                sum[b] = load(to + b / V * to_row + b % V * LANES);
            for (uint32_t e = 0; e < n; e++) {
                const float *from = x + at[e];
                vec factor = splat(g[e]);

                for (size_t b = 0; b < K * V; b++)
                    sum[b] = fma_(load(from + b / V * x_row + b % V * LANES),
                                  factor, sum[b]);
            }
            for (size_t b = 0; b < K * V; b++)
                store(to + b / V * to_row + b % V * LANES, sum[b]);
        }
    }
}

/* All k rows, as many at once as there are registers for. */
ALWAYS_INLINE void add_rows(const size_t V, const struct lists *q, size_t k,
                            size_t vector)
{
    for (size_t row = 0; row < k;) {
        if (5 * V <= SUMS && k - row >= 5) {
            add_block(5 * V <= SUMS ? 5 : 1, V, q, row, vector);
            row += 5;
        } else if (3 * V <= SUMS && k - row >= 3) {
            add_block(3 * V <= SUMS ? 3 : 1, V, q, row, vector);
            row += 3;
        } else if (2 * V <= SUMS && k - row >= 2) {
            add_block(2 * V <= SUMS ? 2 : 1, V, q, row, vector);
            row += 2;
        } else {
            add_block(1, V, q, row, vector);
            row += 1;
        }
    }
}

/* k rows of a window, each of so many vectors. */
static void add_lists(const struct lists *q, size_t k, size_t vectors)
{
    for (size_t v = 0; v < vectors;) {
        if (vectors - v >= 8) {
            add_rows(8, q, k, v);
            v += 8;
        } else if (vectors - v >= 4) {
            add_rows(4, q, k, v);
            v += 4;
        } else if (vectors - v >= 2) {
            add_rows(2, q, k, v);
            v += 2;
        } else {
            add_rows(1, q, k, v);
            v += 1;
        }
    }
}

static void weights_one(const struct pf_conv *s, const struct conv_plan *p,
                        const struct room *r, const float *image, float *grad)
{
    const struct lists q = {.at = r->one.at,
                            .n = r->n_one,
                            .g = r->one.g,
                            .most = r->one_most,
                            .i = 1,
                            .j = s->o,
                            .list_j = 1,
                            .to_j = s->k * p->run,
                            .x = image,
                            .to = grad,
                            .x_row = p->row,
                            .to_row = p->run};

    add_lists(&q, s->k, p->run / LANES);
}

/* Into an image with its border, zeros so far. Down each column, since a window
 * that lies straight below another stores and loads the same vectors; beside it
 * they would overlap in part, and wait. */
static void input_one(const struct pf_conv *s, const struct conv_plan *p,
                      const float *packed, const struct room *r, float *image)
{
    const struct lists q = {.at = r->two.at,
                            .n = r->n_two,
                            .g = r->two.g,
                            .most = r->two_most,
                            .i = s->ow,
                            .j = s->oh,
                            .list_i = 1,
                            .list_j = s->ow,
                            .to_i = s->stride * s->c,
                            .to_j = s->stride * p->row,
                            .x = packed,
                            .to = image,
                            .x_row = p->run,
                            .to_row = p->row};

    add_lists(&q, s->k, p->run / LANES);
}

static void cut_border(const struct pf_conv *s, const struct conv_plan *p,
                       const float *image, float *dx)
{
    size_t len = s->w * s->c;

    for (size_t y = 0; y < s->h; y++)
        memcpy(dx + y * len, image + (y + s->pad) * p->row + s->pad * s->c,
               len * sizeof *dx);
}

/* What the vectors added past the end of each row of the window. */
static void clear_padding(const struct pf_conv *s, const struct conv_plan *p,
                          float *grad)
{
    size_t used = s->k * s->c;

    if (used < p->run)
        for (size_t i = 0; i < s->o * s->k; i++, grad += p->run)
            memset(grad + used, 0, (p->run - used) * sizeof *grad);
}

void PF_NAME(conv_backward)(const struct pf_conv *s, size_t n, const float *x,
                            const float *packed, const float *ready,
                            const float *y, const uint8_t *side,
                            const float *dy, float *dx, float *grad,
                            void *scratch)
{
    size_t in = s->h * s->w * s->c, out = s->ph * s->pw * s->o;
    struct conv_plan p;
    struct room r;
    int in_place;
    float *to;

    (void)ready;
    (void)y;
    if (!dx && PF_NAME(conv_first_fits)(s)) {
        PF_NAME(conv_first_backward)(s, n, x, side, dy, grad, scratch);
        return;
    }
    conv_plan(s, &p);
    lay_out(s, scratch, &r);
    in_place = conv_in_place(s, &p);
    if (!in_place)
        memset(r.image, 0, p.image * sizeof *r.image);
    for (size_t i = 0; i < n; i++) {
        if (!in_place)
            conv_fill_image(s, &p, x + i * in, r.image);
        fill_lists(s, &p, side + i * out, dy + i * out, &r, dx != NULL,
                   grad + conv_weights(s));
        weights_one(s, &p, &r, in_place ? x + i * in : r.image, grad);
        if (!dx)
            continue;
        to = in_place ? dx + i * in : r.dx;
        memset(to, 0, (in_place ? in : p.image) * sizeof *to);
        input_one(s, &p, packed, &r, to);
        if (!in_place)
            cut_border(s, &p, to, dx + i * in);
    }
    clear_padding(s, &p, grad);
}
