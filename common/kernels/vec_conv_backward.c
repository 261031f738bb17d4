/* Convolutions backward, over lists of the gradients that are not zero: behind
 * a 2x2 maximum at most one in four places, behind a ReLU about half of those.
 *
 * Weights: per output channel a list of (where the window begins, gradient);
 * the rows of the window are added up in registers over the list.  Input: per
 * place a list of (output channel, gradient); the window's rows get the scaled
 * weights, added up in registers over the list.  Without a maximum the lists
 * are simply long. */
#include "vec_conv.h"

#define PART 8 /* vectors of a window's row at once */

/* Floats from the beginning of what is added, and the factor. */
struct list {
    uint32_t *at;
    float *g;
};

/* Scratch, in the order of its parts. Lists have room for a whole vector more
 * than they can hold. */
struct room {
    float *image;    /* [h][w][c] with its border */
    float *dx;       /* the same */
    struct list one; /* a list per output channel, [wide][one_most] */
    uint32_t *n_one; /* [wide] */
    struct list two; /* a list per place, [oh * ow][two_most] */
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
    r->one_most = places + 1;
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

/* LANES channels at a time: what a window's places get, from the gradient by
 * the output and what forward left. */
ALWAYS_INLINE vec through(const struct pf_conv *s, vec g, ivec side, uint32_t i)
{
    ivec low = (ivec)((side >> i & 1u) != (ivec){0}), keep = ~(ivec){0};
    vec less = {0};

    if (s->pool == PF_POOL_MAX2) {
        low = (ivec)((side & SIDE_LOW) != (ivec){0});
        keep = (ivec)((side & SIDE_PLACE) == i);
    } else if (s->pool == PF_POOL_AVG2) {
        g *= splat(0.25f);
    }
    if (s->act == PF_ACT_NONE)
        less = g;
    else if (s->act == PF_ACT_LEAKY)
        less = g * splat(s->slope);
    return (vec)((((ivec)g & ~low) | ((ivec)less & low)) & keep);
}

/* Appends the gradients of LANES channels at one place to its list, and each to
 * that of its channel; no branch depends on a gradient. */
ALWAYS_INLINE void append(vec g, size_t o, size_t place, uint32_t window,
                          ivec weights, int want_dx, const struct room *r)
{
    uint32_t bits = bits_of((ivec)(g != (vec){0}));
    size_t two = place * r->two_most + r->n_two[place];

    if (bits == 0)
        return;
    if (want_dx) {
        compress_u32(r->two.at + two, weights, bits);
        r->n_two[place] += (uint32_t)compress(r->two.g + two, g, bits);
    }
    for (; bits; bits &= bits - 1) {
        uint32_t l = (uint32_t)__builtin_ctz(bits);
        size_t one = (o + l) * r->one_most + r->n_one[o + l]++;

        r->one.at[one] = window;
        r->one.g[one] = g[l];
    }
}

/* The lists of one window's LANES channels from o on; at[i], window[i]: its
 * places in the output and in the image. */
ALWAYS_INLINE void fill_window(const struct pf_conv *s, uint32_t places,
                               const size_t at[4], const uint32_t window[4],
                               const uint8_t *side, const float *dy, size_t o,
                               ivec weights, int want_dx, const struct room *r)
{
    size_t part = s->o - o < LANES ? s->o - o : LANES;
    vec g = part == LANES ? load(dy + o) : load_part(dy + o, part);
    ivec mark = load_bytes(side + o, part);

    for (uint32_t i = 0; i < places; i++)
        append(through(s, g, mark, i), o, at[i], window[i], weights, want_dx,
               r);
}

/* Both lists of one example. */
static void fill_lists(const struct pf_conv *s, const struct conv_plan *p,
                       const uint8_t *side, const float *dy,
                       const struct room *r, int want_dx)
{
    uint32_t places = s->pool == PF_POOL_NONE ? 1 : 4, window[4];
    uint32_t weights = (uint32_t)(s->k * p->run);
    size_t step = s->pool == PF_POOL_NONE ? 1 : 2, at[4];
    ivec lane;

    for (uint32_t l = 0; l < LANES; l++)
        lane[l] = l * weights;
    memset(r->n_one, 0, s->o * sizeof *r->n_one);
    memset(r->n_two, 0, s->oh * s->ow * sizeof *r->n_two);
    for (size_t py = 0; py < s->ph; py++)
        for (size_t px = 0; px < s->pw; px++, dy += s->o, side += s->o) {
            for (uint32_t i = 0; i < places; i++) {
                size_t y = py * step + i / 2, x = px * step + i % 2;

                at[i] = y * s->ow + x;
                window[i] = (uint32_t)((y * p->row + x * s->c) * s->stride);
            }
            for (size_t o = 0; o < s->o; o += LANES)
                fill_window(s, places, at, window, side, dy, o,
                            lane + (uint32_t)o * weights, want_dx, r);
        }
}

/* to[V vectors] += the listed rows of x, scaled. */
ALWAYS_INLINE void add_rows(const int V, const uint32_t *at, const float *g,
                            uint32_t n, const float *x, float *to)
{
    vec sum[PART];

    for (int v = 0; v < V; v++)
        sum[v] = load(to + v * LANES);
    for (uint32_t e = 0; e < n; e++) {
        const float *row = x + at[e];
        vec factor = splat(g[e]);

        for (int v = 0; v < V; v++)
            sum[v] = fma_(load(row + v * LANES), factor, sum[v]);
    }
    for (int v = 0; v < V; v++)
        store(to + v * LANES, sum[v]);
}

static void add_list(size_t floats, const uint32_t *at, const float *g,
                     uint32_t n, const float *x, float *to)
{
    for (; floats >= PART * LANES; floats -= PART * LANES) {
        add_rows(PART, at, g, n, x, to);
        x += PART * LANES;
        to += PART * LANES;
    }
    switch (floats / LANES) {
    case 1:
        add_rows(1, at, g, n, x, to);
        break;
    case 2:
        add_rows(2, at, g, n, x, to);
        break;
    case 3:
        add_rows(3, at, g, n, x, to);
        break;
    case 4:
        add_rows(4, at, g, n, x, to);
        break;
    case 5:
        add_rows(5, at, g, n, x, to);
        break;
    case 6:
        add_rows(6, at, g, n, x, to);
        break;
    case 7:
        add_rows(7, at, g, n, x, to);
        break;
    default:
        break;
    }
}

static void weights_one(const struct pf_conv *s, const struct conv_plan *p,
                        const struct room *r, float *grad)
{
    float *bias = grad + conv_weights(s);

    for (size_t o = 0; o < s->o; o++) {
        const uint32_t *at = r->one.at + o * r->one_most;
        const float *g = r->one.g + o * r->one_most;
        float sum = 0;

        for (uint32_t e = 0; e < r->n_one[o]; e++)
            sum += g[e];
        bias[o] += sum;
        for (size_t ky = 0; ky < s->k; ky++, grad += p->run)
            add_list(p->run, at, g, r->n_one[o], r->image + ky * p->row, grad);
    }
}

static void input_one(const struct pf_conv *s, const struct conv_plan *p,
                      const float *packed, const struct room *r, float *dx)
{
    size_t len = s->w * s->c;

    memset(r->dx, 0, p->image * sizeof *r->dx);
    for (size_t ky = 0; ky < s->k; ky++)
        for (size_t oy = 0, at = 0; oy < s->oh; oy++) {
            float *to = r->dx + (oy * s->stride + ky) * p->row;

            for (size_t ox = 0; ox < s->ow; ox++, at++, to += s->stride * s->c)
                if (r->n_two[at] > 0)
                    add_list(p->run, r->two.at + at * r->two_most,
                             r->two.g + at * r->two_most, r->n_two[at],
                             packed + ky * p->run, to);
        }
    for (size_t y = 0; y < s->h; y++)
        memcpy(dx + y * len, r->dx + (y + s->pad) * p->row + s->pad * s->c,
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

    (void)ready;
    (void)y;
    if (!dx && PF_NAME(conv_first_fits)(s)) {
        PF_NAME(conv_first_backward)(s, n, x, side, dy, grad, scratch);
        return;
    }
    conv_plan(s, &p);
    lay_out(s, scratch, &r);
    memset(r.image, 0, p.image * sizeof *r.image);
    for (size_t i = 0; i < n; i++) {
        conv_fill_image(s, &p, x + i * in, r.image);
        fill_lists(s, &p, side + i * out, dy + i * out, &r, dx != NULL);
        weights_one(s, &p, &r, grad);
        if (dx)
            input_one(s, &p, packed, &r, dx + i * in);
    }
    clear_padding(s, &p, grad);
}
