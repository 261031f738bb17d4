#include "sum.h"

#include <stdlib.h>
#include <string.h>
#include "admit.h"
#include "bytes.h"
#include "codec.h"
#include "coords.h"

/* |x| a coordinate may have after scaling: 2^(bits-1) - 1. */
static double limit(const struct pf_plan_update *u)
{
    return (double)((INT64_C(1) << (u->bits - 1)) - 1);
}

static double scale(const struct pf_plan_update *u)
{
    return (double)(UINT64_C(1) << pf_plan_shift(u));
}

enum pocketfed_status pf_sum_init(struct pf_sum *s, size_t n)
{
    int64_t *value;
    size_t bytes;

    if (n == 0 || !pf_mul_size(n, sizeof *value, &bytes))
        return POCKETFED_INVALID;
    value = calloc(n, sizeof *value);
    if (!value)
        return POCKETFED_NO_MEMORY;
    memset(s, 0, sizeof *s);
    s->n = n;
    s->value = value;
    return POCKETFED_OK;
}

void pf_sum_clear(struct pf_sum *s)
{
    memset(s->value, 0, s->n * sizeof *s->value);
    s->updates = s->weight = s->saturated = 0;
    s->divisor = 0;
}

void pf_sum_free(struct pf_sum *s)
{
    if (!s)
        return;
    free(s->value);
    memset(s, 0, sizeof *s);
}

/* The largest float that is not clamped: limit / scale rounded down, so that
 * floats can be compared as they are. */
static float clamp_at(const struct pf_plan_update *u)
{
    const double exact = limit(u) / scale(u);
    float f = (float)exact;
    uint32_t bits;

    if ((double)f <= exact)
        return f;
    memcpy(&bits, &f, sizeof bits);
    bits--;
    memcpy(&f, &bits, sizeof f);
    return f;
}

size_t pf_sum_saturated(const struct pf_plan_update *u, const float *x,
                        size_t n)
{
    return pf_coords()->outside(x, n, clamp_at(u));
}

void pf_sum_add(struct pf_sum *s, const struct pf_plan_update *u, size_t first,
                const float *x, size_t n, uint64_t weight, double factor)
{
    const struct pf_quantiser q = {scale(u), limit(u), factor};
    const struct pf_coords *coords = pf_coords();
    int64_t *value = s->value + first;

    if (q.lim * (double)weight < PF_COORDS_LIGHT)
        coords->add_light(value, x, n, &q, (double)weight);
    else
        coords->add_heavy(value, x, n, &q, (int64_t)weight);
    s->saturated += pf_sum_saturated(u, x, n);
}

enum pocketfed_status pf_sum_fold(struct pf_sum *s, const struct pf_plan *plan,
                                  const uint8_t *frame, size_t len,
                                  uint64_t weight, double factor,
                                  float *scratch)
{
    const struct pf_codec *codec = pf_codec_find(plan->update.codec);
    struct pf_update u;
    const struct pf_section *sec;
    size_t first, n;
    const float *x;

    if (!codec || pf_update_parse(frame, len, &u, NULL))
        return POCKETFED_MALFORMED;
    sec = &u.sections[0];
    if (u.n_sections != 1 || sec->kind != PF_SECTION_DELTA ||
        sec->codec != codec->id || sec->count != s->n)
        return POCKETFED_MALFORMED;
    for (first = 0; first < s->n; first += n) {
        n = s->n - first < PF_ADMIT_BLOCK ? s->n - first : PF_ADMIT_BLOCK;
        x = pf_codec_read(codec, sec->bytes, sec->len, s->n, first, n, scratch);
        if (!x)
            return POCKETFED_MALFORMED;
        pf_sum_add(s, &plan->update, first, x, n, weight, factor);
    }
    s->updates++;
    s->weight += weight;
    return POCKETFED_OK;
}

void pf_sum_merge(struct pf_sum *into, const struct pf_sum *from)
{
    size_t i;

    for (i = 0; i < into->n; i++)
        into->value[i] += from->value[i];
    into->updates += from->updates;
    into->weight += from->weight;
    into->saturated += from->saturated;
}

double pf_sum_mean(const struct pf_sum *s, const struct pf_plan_update *u,
                   size_t i)
{
    double divisor = s->divisor > 0 ? s->divisor : (double)s->weight;

    return (double)s->value[i] / divisor / scale(u);
}
