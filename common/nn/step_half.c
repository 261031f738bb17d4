/* Convolutions and dense layers whose parameters are kept as IEEE binary16, for
 * models that are used. A convolution uses each weight many times: it widens
 * them all and runs the kernel for floats. A dense layer at one example is as
 * fast as its weights are read, so its kernel widens them in registers; its
 * bias stays in floats. */
#include <string.h>

#include "exec.h"
#include "half.h"

static size_t conv_floats(const struct pf_step *s, const struct pf_kernels *k)
{
    return pf_exec_whole(k->conv_size(&s->conv) * sizeof(pf_real));
}

static void conv_measure(struct pf_step *s, const struct pf_kernels *k,
                         size_t chunk)
{
    pf_conv_step.measure(s, k, chunk);
    s->scratch = pf_exec_whole(s->scratch) + conv_floats(s, k) +
                 s->n_ready * sizeof(pf_real);
    s->n_packed = (s->n_packed * sizeof(uint16_t) + sizeof(pf_real) - 1) /
                  sizeof(pf_real);
    s->n_trained = s->n_ready = s->work = 0;
}

static void conv_pack(const struct pf_step *s, const struct pf_kernels *k,
                      const pf_real *canonical, pf_real *packed)
{
    uint16_t *half = (uint16_t *)packed;
    const pf_real *from = s->spare;

    pf_conv_step.pack(s, k, canonical, s->spare);
    for (size_t i = 0; i < k->conv_size(&s->conv); i++)
        half[i] = pf_half_of((float)from[i]);
}

static void conv_share(const struct pf_step *s, const struct pf_run *r,
                       size_t first, size_t n, void *scratch)
{
    const struct pf_exec *e = r->e;
    pf_real *w =
        (void *)((char *)scratch + pf_exec_whole(e->k->conv_scratch(&s->conv)));
    pf_real *ready = (void *)((char *)w + conv_floats(s, e->k));
    uint8_t *side = s->side_mem;

    e->k->half_widen(e->k->conv_size(&s->conv),
                     (const uint16_t *)(r->w + s->at), w);
    if (e->k->conv_ready_size(&s->conv) > 0)
        e->k->conv_prepare(&s->conv, w, ready);
    e->k->conv_forward(&s->conv, n, e->act[s->in[0]] + first * s->in_size, w,
                       ready, e->act[s->out] + first * s->out_size,
                       side + first * s->side, scratch);
}

static void conv_run(const struct pf_step *s, const struct pf_run *r)
{
    pf_exec_by_example(s, r, conv_share);
}

static const char *conv_method(const struct pf_step *s,
                               const struct pf_kernels *k)
{
    return k->conv_method(&s->conv);
}

/* Bias, then weights. */
static size_t bias_floats(const struct pf_step *s)
{
    return (s->dense.out + 15) / 16 * 16;
}

static size_t dense_halves(const struct pf_step *s)
{
    size_t panels = (s->dense.out + PF_HALF_OUTS - 1) / PF_HALF_OUTS;

    return panels * s->dense.in * PF_HALF_OUTS;
}

static void dense_measure(struct pf_step *s, const struct pf_kernels *k,
                          size_t chunk)
{
    (void)k, (void)chunk;
    s->n_packed = bias_floats(s) +
                  (dense_halves(s) * sizeof(uint16_t) + sizeof(pf_real) - 1) /
                      sizeof(pf_real);
    s->macs = (uint64_t)s->dense.in * s->dense.out;
}

static void dense_pack(const struct pf_step *s, const struct pf_kernels *k,
                       const pf_real *canonical, pf_real *packed)
{
    const struct pf_dense *d = &s->dense;
    uint16_t *half = (uint16_t *)(packed + bias_floats(s));

    (void)k;
    memcpy(packed, canonical + (s->l->bias - s->l->weight),
           d->out * sizeof *packed);
    for (size_t o = 0; o < d->out; o++)
        for (size_t i = 0; i < d->in; i++)
            half[(o / PF_HALF_OUTS * d->in + i % d->hw * d->c + i / d->hw) *
                     PF_HALF_OUTS +
                 o % PF_HALF_OUTS] =
                pf_half_of((float)canonical[o * d->in + i]);
}

static void dense_share(const struct pf_step *s, const struct pf_run *r,
                        size_t first, size_t n, void *scratch)
{
    const struct pf_exec *e = r->e;
    const pf_real *w = r->w + s->at;

    (void)scratch;
    e->k->half_dense(&s->dense, n, e->act[s->in[0]] + first * s->in_size,
                     (const uint16_t *)(w + bias_floats(s)), w,
                     e->act[s->out] + first * s->out_size);
}

static void dense_run(const struct pf_step *s, const struct pf_run *r)
{
    pf_exec_by_example(s, r, dense_share);
}

static const char *dense_method(const struct pf_step *s,
                                const struct pf_kernels *k)
{
    (void)s, (void)k;
    return "halves, skips zero inputs";
}

const struct pf_step_kind pf_conv_half_step = {.name = "conv f16",
                                               .measure = conv_measure,
                                               .pack = conv_pack,
                                               .forward = conv_run,
                                               .method = conv_method};
const struct pf_step_kind pf_dense_half_step = {.name = "dense f16",
                                                .measure = dense_measure,
                                                .pack = dense_pack,
                                                .forward = dense_run,
                                                .method = dense_method};
