/* Kernels of models that are used: weights of 16 or 8 bits, per-channel scales.
 *
 * Half: weights are widened as they come; at one example the time is that of
 * reading them, at more a block of them is widened once for all examples.
 *
 * Bytes: sums of integers are exact, and what turns them into floats and back
 * is one multiplication and one addition, each rounded by itself (never by
 * fma_()), so every family computes the same bits.
 */
#include <math.h>

#include "vec.h"

#define BLOCK     64 /* inputs of which the non-zero ones are listed at once */
#define HALF_VECS (PF_HALF_OUTS / LANES)
#define INT8_VECS (PF_INT8_OUTS / LANES)

/* What runs once per many products is compiled once. */
#define OUT_OF_LINE static __attribute__((noinline))

/* The first `width` floats at p, LANES at a time. */
OUT_OF_LINE void load_row(const float *p, size_t width, vec *v, int n)
{
    for (int i = 0; i < n; i++, p += LANES) {
        size_t at = (size_t)i * LANES;

        if (at + LANES <= width)
            v[i] = load(p);
        else
            v[i] = at < width ? load_part(p, width - at) : (vec){0};
    }
}

OUT_OF_LINE void store_row(float *p, size_t width, const vec *v, int n)
{
    for (int i = 0; i < n; i++, p += LANES) {
        size_t at = (size_t)i * LANES;

        if (at + LANES <= width)
            store(p, v[i]);
        else if (at < width)
            store_part(p, v[i], width - at);
    }
}

void PF_NAME(half_widen)(size_t n, const uint16_t *h, float *y)
{
    uint16_t last[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        store(y + i, widen(h + i));
    if (i < n) {
        memcpy(last, h + i, (n - i) * sizeof *h);
        store_part(y + i, widen(last), n - i);
    }
}

/* The inputs that are not zero, and where they are. */
OUT_OF_LINE size_t list(const float *x, size_t n, float *value, uint32_t *where)
{
    ivec place;
    size_t count = 0;

    for (uint32_t l = 0; l < LANES; l++)
        place[l] = l;
    for (size_t i = 0; i < n; i += LANES, place += LANES) {
        vec v = n - i < LANES ? load_part(x + i, n - i) : load(x + i);
        uint32_t bits = bits_of((ivec)(v != (vec){0}));

        compress_u32(where + count, place, bits);
        count += compress(value + count, v, bits);
    }
    return count;
}

/* acc += rows of a block of weights, times the inputs that are not zero. */
ALWAYS_INLINE void add_block(const float *x, size_t n, const uint16_t *w,
                             const float *wide, vec *acc)
{
    float value[BLOCK + LANES];
    uint32_t where[BLOCK + LANES];
    size_t count = list(x, n, value, where);

    for (size_t j = 0; j < count; j++) {
        size_t at = (size_t)where[j] * PF_HALF_OUTS;

        for (int v = 0; v < HALF_VECS; v++, at += LANES)
            acc[v] = fma_(splat(value[j]),
                          wide ? load(wide + at) : widen(w + at), acc[v]);
    }
}

/* One panel of outputs; partial sums wait in y between blocks. */
ALWAYS_INLINE void half_panel(const struct pf_dense *s, size_t n,
                              const float *x, const uint16_t *w,
                              const float *bias, size_t width, float *y,
                              int many)
{
    float wide[BLOCK * PF_HALF_OUTS];
    vec acc[HALF_VECS];

    for (size_t i = 0; i < s->in; i += BLOCK, w += BLOCK * PF_HALF_OUTS) {
        size_t rows = s->in - i < BLOCK ? s->in - i : BLOCK;

        for (size_t j = 0; many && j < rows * PF_HALF_OUTS; j += LANES)
            store(wide + j, widen(w + j));
        for (size_t e = 0; e < n; e++) {
            float *out = y + e * s->out;

            load_row(i ? out : bias, width, acc, HALF_VECS);
            add_block(x + e * s->in + i, rows, w, many ? wide : NULL, acc);
            for (int v = 0; i + rows == s->in && v < HALF_VECS; v++)
                acc[v] = activate(s->act, splat(s->slope), acc[v]);
            store_row(out, width, acc, HALF_VECS);
        }
    }
}

void PF_NAME(half_dense)(const struct pf_dense *s, size_t n, const float *x,
                         const uint16_t *w, const float *bias, float *y)
{
    for (size_t o = 0; o < s->out; o += PF_HALF_OUTS) {
        size_t width = s->out - o < PF_HALF_OUTS ? s->out - o : PF_HALF_OUTS;

        if (n > 1)
            half_panel(s, n, x, w, bias + o, width, y + o, 1);
        else
            half_panel(s, n, x, w, bias + o, width, y + o, 0);
        w += s->in * PF_HALF_OUTS;
    }
}

/* As integers without their sign, floats are in order, and what is not finite
 * comes last. */
float PF_NAME(int8_scale)(size_t n, const float *x)
{
    ivec most = {0};
    uint32_t top = 0;
    float value;

    for (size_t i = 0; i < n; i += LANES) {
        vec v = n - i < LANES ? load_part(x + i, n - i) : load(x + i);
        ivec a = (ivec)v & 0x7fffffff, more = (ivec)(a > most);

        most = (a & more) | (most & ~more);
    }
    for (int l = 0; l < LANES; l++)
        top = most[l] > top ? most[l] : top;
    if (top >= 0x7f800000)
        return NAN;
    memcpy(&value, &top, sizeof value);
    return value < 1e-30f ? 0 : value / 127;
}

void PF_NAME(int8_round)(size_t n, const float *x, float scale, int8_t *q)
{
    const vec inverse = splat(1 / scale);

    if (!(scale > 0)) {
        memset(q, 0, n);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        size_t some = n - i < LANES ? n - i : LANES;
        vec v = some < LANES ? load_part(x + i, some) : load(x + i);
        /* 1.5 2^23: its last bit is worth 1, so that the sum is rounded and
         * its lowest byte is the result. */
        vec big = v * inverse + 12582912.0f;
        ivec low = (ivec)big & 0xff;

        if (some < LANES)
            store_some_bytes((uint8_t *)q + i, low, some);
        else
            store_bytes((uint8_t *)q + i, low);
    }
}

#ifdef dot4_positive /* there is one loop less to compile */
#define POSITIVE(s) 0
#else
#define POSITIVE(s) (s)->positive
#endif

/* Sums that share the weights while they are in registers. */
#if LANES == 16
#define TOGETHER 8
#elif LANES == 8 || REGISTERS == 32
#define TOGETHER 4
#else
#define TOGETHER 2
#endif

/* `count` sums of one panel. */
ALWAYS_INLINE void sums(const struct pf_int8 *s, size_t count, int positive,
                        const int8_t *x, const int8_t *w,
                        ivec acc[TOGETHER][INT8_VECS])
{
    for (size_t i = 0; i < count; i++)
        for (int v = 0; v < INT8_VECS; v++)
            acc[i][v] = (ivec){0};
    for (size_t r = 0; r < s->rows; r++) {
        const int8_t *at = x + r * s->row_step;

        for (size_t q = 0; q < s->quads; q++, at += 4, w += 4 * PF_INT8_OUTS)
            for (size_t i = 0; i < count; i++) {
                uint32_t four;

                memcpy(&four, at + i * s->step, sizeof four);
                for (int v = 0; v < INT8_VECS; v++) {
                    ivec wv;

                    memcpy(&wv, w + (size_t)v * 4 * LANES, sizeof wv);
                    acc[i][v] =
                        positive
                            ? dot4_positive(acc[i][v], four - (ivec){0}, wv)
                            : dot4(acc[i][v], four - (ivec){0}, wv);
                }
            }
    }
}

/* Sums to floats: y = act(sum scale + bias). */
ALWAYS_INLINE void finish(const struct pf_int8 *s, size_t o, float x_scale,
                          const ivec *acc, float *y)
{
    typedef int32_t words __attribute__((vector_size(4 * LANES)));
    size_t width = s->out - o < PF_INT8_OUTS ? s->out - o : PF_INT8_OUTS;
    vec out[INT8_VECS];

    for (int v = 0; v < INT8_VECS; v++) {
        size_t at = o + (size_t)v * LANES;
        vec scale = x_scale * load(s->scale + at);

        out[v] = __builtin_convertvector((words)acc[v], vec) * scale +
                 load(s->bias + at);
        out[v] = activate(s->act, splat(s->slope), out[v]);
    }
    if (width < PF_INT8_OUTS)
        store_row(y + o, width, out, INT8_VECS);
    else
        for (int v = 0; v < INT8_VECS; v++)
            store(y + o + (size_t)v * LANES, out[v]);
}

ALWAYS_INLINE void some_sums(const struct pf_int8 *s, size_t o, size_t i,
                             size_t count, const int8_t *x, const int8_t *w,
                             const float *x_scale, size_t x_scale_step,
                             float *y)
{
    ivec acc[TOGETHER][INT8_VECS];

    if (POSITIVE(s))
        sums(s, count, 1, x + i * s->step, w, acc);
    else
        sums(s, count, 0, x + i * s->step, w, acc);
    for (size_t j = 0; j < count; j++)
        finish(s, o, x_scale[(i + j) * x_scale_step], acc[j],
               y + (i + j) * s->out);
}

void PF_NAME(int8_sums)(const struct pf_int8 *s, const int8_t *x,
                        const float *x_scale, size_t x_scale_step, float *y)
{
    const int8_t *w = s->w;

    for (size_t o = 0; o < s->out; o += PF_INT8_OUTS) {
        size_t i = 0;

        for (; i + TOGETHER <= s->n; i += TOGETHER)
            some_sums(s, o, i, TOGETHER, x, w, x_scale, x_scale_step, y);
        for (; i < s->n; i++)
            some_sums(s, o, i, 1, x, w, x_scale, x_scale_step, y);
        w += s->rows * s->quads * PF_INT8_OUTS * 4;
    }
}
