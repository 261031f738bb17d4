#include "layer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crypto.h"
#include "rng.h"

static struct pf_tensor *add_tensor(struct pf_model *m,
                                    const struct pf_layer *l, const char *part,
                                    unsigned n_dims, size_t offset)
{
    struct pf_tensor *t = &m->tensors[m->n_tensors++];

    snprintf(t->name, sizeof t->name, "%s.%s", l->name, part);
    t->n_dims = n_dims;
    t->offset = offset;
    t->count = 1;
    for (unsigned d = 0; d < n_dims; d++) {
        t->dims[d] = l->dims[d];
        t->count *= l->dims[d];
    }
    return t;
}

static void list_tensors(struct pf_model *m)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct pf_layer *l = &m->layers[i];
        if (l->n_dims == 0)
            continue;
        add_tensor(m, l, "weight", l->n_dims, l->weight)->trainable = 1;
        add_tensor(m, l, "bias", 1, l->bias)->trainable = 1;
        if (l->n_stats == 0)
            continue;
        add_tensor(m, l, "running_mean", 1, l->bias + l->out.c);
        add_tensor(m, l, "running_var", 1, l->bias + 2 * l->out.c);
    }
}

/* Per tensor: length of the name and the name, number of dimensions and the
 * dimensions, offset. */
static enum pocketfed_status digest_layout(struct pf_model *m)
{
    struct pf_buf b;
    uint8_t word[8];
    enum pocketfed_status st;

    pf_buf_init(&b, sizeof m->tensors / sizeof *m->tensors * 128);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct pf_tensor *t = &m->tensors[i];

        pf_put32(word, (uint32_t)strlen(t->name));
        pf_buf_add(&b, word, 4);
        pf_buf_adds(&b, t->name);
        pf_put32(word, t->n_dims);
        pf_buf_add(&b, word, 4);
        for (unsigned d = 0; d < t->n_dims; d++) {
            pf_put32(word, t->dims[d]);
            pf_buf_add(&b, word, 4);
        }
        pf_put64(word, t->offset);
        pf_buf_add(&b, word, 8);
    }
    st = pf_buf_status(&b);
    if (st == POCKETFED_OK)
        pf_sha256(b.data, b.len, m->layout);
    pf_buf_free(&b);
    return st;
}

static enum pocketfed_status keep_spec(struct pf_model *m)
{
    struct pf_buf b;
    enum pocketfed_status st;

    pf_buf_init(&b, 4 * PF_MODEL_MAX_SPEC);
    st = pf_spec_write(m, &b);
    if (st == POCKETFED_OK) {
        m->spec = malloc(b.len + 1);
        if (m->spec)
            memcpy(m->spec, pf_buf_str(&b), b.len + 1);
        else
            st = POCKETFED_NO_MEMORY;
    }
    pf_buf_free(&b);
    return st;
}

enum pocketfed_status pf_model_create(const char *json, size_t len,
                                      struct pf_model **out,
                                      struct pf_error *err)
{
    struct pf_model *m = calloc(1, sizeof *m);
    enum pocketfed_status st;

    if (!m)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a model");
    st = pf_spec_parse(json, len, m, err);
    if (st != POCKETFED_OK)
        goto out;
    list_tensors(m);
    st = digest_layout(m);
    if (st == POCKETFED_OK)
        st = keep_spec(m);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "no memory for a model");
        goto out;
    }
    *out = m;
    m = NULL;
out:
    pf_model_free(m);
    return st;
}

void pf_model_free(struct pf_model *m)
{
    if (!m)
        return;
    free(m->spec);
    free(m);
}

size_t pf_model_n_params(const struct pf_model *m)
{
    return m->n_params;
}

size_t pf_model_n_classes(const struct pf_model *m)
{
    return pf_loss_classes(m->layers[m->n_layers - 1].out.c);
}

struct pf_shape pf_model_input(const struct pf_model *m)
{
    return m->input;
}

const struct pf_tensor *pf_model_tensors(const struct pf_model *m, size_t *n)
{
    *n = m->n_tensors;
    return m->tensors;
}

const char *pf_model_spec(const struct pf_model *m)
{
    return m->spec;
}

void pf_model_layout_digest(const struct pf_model *m, uint8_t out[32])
{
    memcpy(out, m->layout, 32);
}

/* He et al. 2015 and Glorot & Bengio 2010: the standard deviation is
 * sqrt(2 / fan_in), or sqrt(2 / (fan_in + fan_out)); a uniform distribution of
 * that deviation reaches sqrt(3) times as far. */
static void init_weights(const struct pf_layer *l, const struct pf_rng *rng,
                         size_t count, pf_real *w)
{
    int glorot = l->init == PF_GLOROT_UNIFORM || l->init == PF_GLOROT_NORMAL;
    size_t fan = glorot ? l->fan_in + l->fan_out : l->fan_in;
    double deviation = sqrt(2.0 / (double)fan);
    double reach = sqrt(6.0 / (double)fan);

    for (size_t i = 0; i < count; i++)
        if (l->init == PF_HE_NORMAL || l->init == PF_GLOROT_NORMAL)
            w[i] = (pf_real)(deviation * pf_rng_normal(rng, i));
        else
            w[i] = (pf_real)(reach * (2 * pf_rng_double(rng, i) - 1));
}

static void fill(pf_real *x, size_t n, pf_real value)
{
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

void pf_model_init(const struct pf_model *m, uint64_t seed, pf_real *params)
{
    uint64_t tensor = 0;

    for (size_t i = 0; i < m->n_layers; i++) {
        const struct pf_layer *l = &m->layers[i];
        struct pf_rng rng;

        if (l->n_dims == 0)
            continue;
        rng = pf_rng_make(seed, tensor, 0, PF_RNG_INIT);
        if (l->type->has_params)
            init_weights(l, &rng, l->bias - l->weight, params + l->weight);
        else
            fill(params + l->weight, l->out.c, 1);
        fill(params + l->bias, l->out.c, 0);
        if (l->n_stats > 0) {
            fill(params + l->bias + l->out.c, l->out.c, 0);
            fill(params + l->bias + 2 * l->out.c, l->out.c, 1);
        }
        tensor += 2;
    }
}

enum pocketfed_status pf_model_describe(const struct pf_model *m,
                                        struct pf_buf *out)
{
    char shape[40];

    for (size_t i = 0; i < m->n_layers; i++) {
        const struct pf_layer *l = &m->layers[i];

        if (l->out.h == 1 && l->out.w == 1)
            snprintf(shape, sizeof shape, "%u", l->out.c);
        else
            snprintf(shape, sizeof shape, "%ux%ux%u", l->out.c, l->out.h,
                     l->out.w);
        pf_buf_addf(out, "%-12s %-16s %-14s %10zu\n", l->name, l->type->name,
                    shape, l->n_params);
    }
    return pf_buf_status(out);
}
