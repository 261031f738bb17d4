#include "step.h"

#include <string.h>

static const struct pf_step_kind *const kinds[] = {
    &pf_conv_step,
    &pf_dense_step,
    &pf_layer_step,
};

const struct pf_layer *pf_step_follower(const struct pf_model *m,
                                        const unsigned *uses, unsigned v)
{
    if (uses[v] != 1)
        return NULL;
    for (size_t i = 0; i < m->n_layers; i++)
        if (m->layers[i].n_inputs == 1 && m->layers[i].input[0] == v)
            return &m->layers[i];
    return NULL;
}

void pf_step_absorb(const struct pf_model *m, struct pf_step *s,
                    const struct pf_layer *l)
{
    unsigned i = (unsigned)(l - m->layers);

    if (s->n_layers == 0) {
        s->n_in = l->n_inputs;
        memcpy(s->in, l->input, sizeof s->in);
        s->in_size = pf_shape_size(&l->in);
    }
    s->layers[s->n_layers++] = i;
    s->out = i + 1;
    s->out_size = pf_shape_size(&l->out);
}

int pf_step_take_act(const struct pf_model *m, const unsigned *uses,
                     struct pf_step *s, pf_real *slope)
{
    const struct pf_layer *l = pf_step_follower(m, uses, s->out);

    if (!l || !l->type->as_act)
        return 0;
    s->act = l->type->as_act(l, slope);
    if (s->act == PF_ACT_NONE)
        return 0;
    pf_step_absorb(m, s, l);
    return 1;
}

/* Which gradients are wanted, and where zeros are dead. */
static void connect(const unsigned *uses, size_t n, struct pf_step *steps)
{
    unsigned char learns[PF_MODEL_MAX_LAYERS + 1] = {0};
    unsigned char dead[PF_MODEL_MAX_LAYERS + 1] = {0};
    unsigned char set[PF_MODEL_MAX_LAYERS + 1] = {0};

    for (size_t i = 0; i < n; i++) {
        struct pf_step *s = &steps[i];

        s->learns = s->l->n_params > 0;
        for (unsigned j = 0; j < s->n_in; j++) {
            s->wants_dx[j] = learns[s->in[j]];
            s->learns |= s->wants_dx[j];
        }
        s->learns &= uses[s->out] > 0;
        learns[s->out] = (unsigned char)s->learns;
        dead[s->out] = s->act == PF_ACT_RELU;
        s->conv.zero_is_dead = s->dense.zero_is_dead = dead[s->in[0]];
    }
    for (size_t i = n; i-- > 0;)
        for (unsigned j = 0; steps[i].learns && j < steps[i].n_in; j++) {
            steps[i].adds_dx[j] = set[steps[i].in[j]];
            set[steps[i].in[j]] |= steps[i].wants_dx[j] != 0;
        }
}

size_t pf_steps_make(const struct pf_model *m,
                     struct pf_step steps[PF_MODEL_MAX_LAYERS])
{
    unsigned uses[PF_MODEL_MAX_LAYERS + 1] = {0};
    unsigned char taken[PF_MODEL_MAX_LAYERS] = {0};
    size_t n = 0;

    for (size_t i = 0; i < m->n_layers; i++)
        for (unsigned j = 0; j < m->layers[i].n_inputs; j++)
            uses[m->layers[i].input[j]]++;
    uses[m->n_layers]++; /* by the loss */
    for (unsigned i = 0; i < m->n_layers; i++) {
        struct pf_step *s = &steps[n];

        if (taken[i])
            continue;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            memset(s, 0, sizeof *s);
            s->kind = kinds[k];
            if (kinds[k]->match(m, uses, i, s))
                break;
        }
        for (unsigned j = 0; j < s->n_layers; j++)
            taken[s->layers[j]] = 1;
        n++;
    }
    connect(uses, n, steps);
    return n;
}
