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

struct entry {
    uint32_t at; /* floats from the beginning of what is added */
    float g;
};

/* Scratch, in the order of its parts. */
struct room {
    float *image;      /* [h][w][c] with its border */
    float *dx;         /* the same */
    struct entry *one; /* a list per output channel, [o][places] */
    uint32_t *n_one;   /* [o] */
    struct entry *two; /* a list per place, [oh * ow][o], whole vectors */
    uint32_t *n_two;   /* [oh * ow] */
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
    r->one = place_at(mem, &at, s->o * (places + 1) * sizeof(struct entry));
    r->n_one = place_at(mem, &at, s->o * sizeof(uint32_t));
    r->two = place_at(mem, &at, places * (s->o + 1) * sizeof(struct entry));
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

/* The gradient by the sum at place i of a window, from that by the output. */
ALWAYS_INLINE float through(const struct pf_conv *s, unsigned side, unsigned i,
                            float g)
{
    unsigned low = side >> i & 1;

    if (s->pool == PF_POOL_MAX2) {
        if ((side & SIDE_PLACE) != i)
            return 0;
        low = side & SIDE_LOW;
    } else if (s->pool == PF_POOL_AVG2) {
        g *= 0.25f;
    }
    if (low && s->act != PF_ACT_NONE)
        g = s->act == PF_ACT_RELU ? 0 : g * s->slope;
    return g;
}

/* Both lists of one example. No branch depends on a gradient: half of them
 * would be mispredicted. */
static void fill_lists(const struct pf_conv *s, const struct conv_plan *p,
                       const uint8_t *side, const float *dy, struct room *r,
                       int want_dx)
{
    unsigned places = s->pool == PF_POOL_AVG2 ? 4 : 1;
    size_t step = s->pool == PF_POOL_NONE ? 1 : 2, size = s->oh * s->ow;
    size_t weights = s->k * p->run;

    memset(r->n_one, 0, s->o * sizeof *r->n_one);
    memset(r->n_two, 0, size * sizeof *r->n_two);
    for (size_t q = 0; q < s->ph * s->pw; q++, dy += s->o, side += s->o) {
        size_t oy = q / s->pw * step, ox = q % s->pw * step;

        for (size_t o = 0; o < s->o; o++)
            for (unsigned j = 0; j < places; j++) {
                unsigned i = s->pool == PF_POOL_MAX2 ? side[o] & SIDE_PLACE : j;
                size_t y = oy + i / 2, x = ox + i % 2, at = y * s->ow + x;
                float g = through(s, side[o], i, dy[o]);
                struct entry *one = r->one + o * (size + 1) + r->n_one[o];

                one->at =
                    (uint32_t)(y * s->stride * p->row + x * s->stride * s->c);
                one->g = g;
                r->n_one[o] += g != 0;
                if (want_dx) {
                    struct entry *two = r->two + at * (s->o + 1) + r->n_two[at];
                    two->at = (uint32_t)(o * weights);
                    two->g = g;
                    r->n_two[at] += g != 0;
                }
            }
    }
}

/* to[V vectors] += the listed rows of x, scaled. */
ALWAYS_INLINE void add_rows(const int V, const struct entry *list, uint32_t n,
                            const float *x, float *to)
{
    vec sum[PART];

    for (int v = 0; v < V; v++)
        sum[v] = load(to + v * LANES);
    for (uint32_t e = 0; e < n; e++) {
        const float *row = x + list[e].at;
        vec g = splat(list[e].g);

        for (int v = 0; v < V; v++)
            sum[v] = fma_(load(row + v * LANES), g, sum[v]);
    }
    for (int v = 0; v < V; v++)
        store(to + v * LANES, sum[v]);
}

static void add_list(size_t floats, const struct entry *list, uint32_t n,
                     const float *x, float *to)
{
    for (; floats >= PART * LANES; floats -= PART * LANES) {
        add_rows(PART, list, n, x, to);
        x += PART * LANES;
        to += PART * LANES;
    }
    switch (floats / LANES) {
    case 1:
        add_rows(1, list, n, x, to);
        break;
    case 2:
        add_rows(2, list, n, x, to);
        break;
    case 3:
        add_rows(3, list, n, x, to);
        break;
    case 4:
        add_rows(4, list, n, x, to);
        break;
    case 5:
        add_rows(5, list, n, x, to);
        break;
    case 6:
        add_rows(6, list, n, x, to);
        break;
    case 7:
        add_rows(7, list, n, x, to);
        break;
    default:
        break;
    }
}

static void weights_one(const struct pf_conv *s, const struct conv_plan *p,
                        const struct room *r, float *grad)
{
    size_t places = s->oh * s->ow;
    float *bias = grad + conv_weights(s);

    for (size_t o = 0; o < s->o; o++) {
        const struct entry *list = r->one + o * (places + 1);
        float sum = 0;

        for (uint32_t e = 0; e < r->n_one[o]; e++)
            sum += list[e].g;
        bias[o] += sum;
        for (size_t ky = 0; ky < s->k; ky++, grad += p->run)
            add_list(p->run, list, r->n_one[o], r->image + ky * p->row, grad);
    }
}

static void input_one(const struct pf_conv *s, const struct conv_plan *p,
                      const float *packed, const struct room *r, float *dx)
{
    size_t len = s->w * s->c;

    memset(r->dx, 0, p->image * sizeof *r->dx);
    for (size_t ky = 0; ky < s->k; ky++)
        for (size_t at = 0; at < s->oh * s->ow; at++) {
            float *to = r->dx + (at / s->ow * s->stride + ky) * p->row +
                        at % s->ow * s->stride * s->c;

            if (r->n_two[at] > 0)
                add_list(p->run, r->two + at * (s->o + 1), r->n_two[at],
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
