#include "layer.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

const char *const pf_init_names[] = {"he_uniform", "he_normal",
                                     "glorot_uniform", "glorot_normal", NULL};

/* Refuses members that nobody will read. `known` ends with NULL. */
static enum pocketfed_status check_members(const struct pf_json_node *object,
                                           const char *where,
                                           const char *const *known,
                                           struct pf_error *err)
{
    const struct pf_json_node *n;
    const char *key, *near;
    size_t i;

    for (n = pf_json_first(object); n; n = pf_json_next(n)) {
        key = pf_json_key(n);
        for (i = 0; known[i] && strcmp(known[i], key) != 0;)
            i++;
        if (known[i])
            continue;
        pf_fail(err, POCKETFED_MALFORMED, "%s/%.40s is not a member known here",
                where, key);
        near = pf_nearest(key, known);
        if (near)
            pf_hint(err, "did you mean \"%s\"?", near);
        return POCKETFED_MALFORMED;
    }
    return POCKETFED_OK;
}

/* The whole number at object[key] into *out; leaves *out when absent. */
static enum pocketfed_status get_u32(const struct pf_json_node *object,
                                     const char *where, const char *key,
                                     uint32_t min, uint32_t max, uint32_t *out,
                                     struct pf_error *err)
{
    const struct pf_json_node *n = pf_json_get(object, key);
    int64_t v;

    if (!n)
        return POCKETFED_OK;
    if (!pf_json_integer(n, min, INT64_C(1) << 52, &v))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/%s must be a whole number from %u to %u", where, key,
                       min, max);
    if (v > max)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s/%s is %lld, more than the limit of %u", where, key,
                       (long long)v, max);
    *out = (uint32_t)v;
    return POCKETFED_OK;
}

/* The number at object[r->name] into *out; the preset when absent. */
static enum pocketfed_status get_real(const struct pf_json_node *object,
                                      const char *where,
                                      const struct pf_layer_real *r,
                                      double *out, struct pf_error *err)
{
    const struct pf_json_node *n = pf_json_get(object, r->name);

    *out = r->preset;
    if (!n)
        return POCKETFED_OK;
    if (!pf_json_number(n, out) || !(*out >= r->min && *out <= r->max))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/%s must be a number from %g to %g", where, r->name,
                       r->min, r->max);
    return POCKETFED_OK;
}

static enum pocketfed_status get_type(const struct pf_json_node *node,
                                      const char *where, struct pf_layer *l,
                                      struct pf_error *err)
{
    const char *names[PF_LAYER_MAX_TYPES + 1] = {0}, *near;
    const char *name = pf_json_text(pf_json_get(node, "type"));
    char list[sizeof err->hint - 24] = "";
    size_t i;

    if (!name)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/type is missing or no string", where);
    for (i = 0; pf_layer_types[i]; i++) {
        size_t len = strlen(list);

        names[i] = pf_layer_types[i]->name;
        if (strcmp(names[i], name) == 0) {
            l->type = pf_layer_types[i];
            return POCKETFED_OK;
        }
        snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "",
                 names[i]);
    }
    pf_fail(err, POCKETFED_UNSUPPORTED,
            "%s/type: there is no layer type \"%.40s\" in this version", where,
            name);
    near = pf_nearest(name, names);
    if (near)
        pf_hint(err, "did you mean \"%s\"?", near);
    else
        pf_hint(err, "there are %s", list);
    return POCKETFED_UNSUPPORTED;
}

static enum pocketfed_status get_name(const struct pf_json_node *node,
                                      const char *where,
                                      const struct pf_model *m,
                                      struct pf_layer *l, struct pf_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *name = pf_json_text(pf_json_get(node, "name"));
    size_t len;

    if (!name)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/name is missing or no string", where);
    len = strlen(name);
    if (len == 0 || len >= sizeof l->name || strspn(name, allowed) != len ||
        strcmp(name, "input") == 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/name must be 1 to %zu letters, digits, _ or -, and "
                       "not \"input\"",
                       where, sizeof l->name - 1);
    for (size_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].name, name) == 0)
            return pf_fail(err, POCKETFED_MALFORMED,
                           "%s/name: \"%s\" is the name of layer %zu already",
                           where, name, i);
    memcpy(l->name, name, len + 1);
    return POCKETFED_OK;
}

/* The value of that name among those made so far. */
static int find_value(const struct pf_model *m, const char *name,
                      unsigned *value)
{
    if (strcmp(name, "input") == 0) {
        *value = 0;
        return 1;
    }
    for (unsigned i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].name, name) == 0) {
            *value = i + 1;
            return 1;
        }
    return 0;
}

static enum pocketfed_status get_input(const struct pf_json_node *n,
                                       const char *where, unsigned i,
                                       const struct pf_model *m,
                                       struct pf_layer *l, struct pf_error *err)
{
    const char *names[PF_MODEL_MAX_LAYERS + 2] = {"input"}, *near;
    const char *name = pf_json_text(n);

    if (!name)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/inputs must be a list of layer names", where);
    if (find_value(m, name, &l->input[i]))
        return POCKETFED_OK;
    pf_fail(err, POCKETFED_MALFORMED,
            "%s/inputs/%u: no earlier layer has the name \"%.40s\"", where, i,
            name);
    for (size_t k = 0; k < m->n_layers; k++)
        names[k + 1] = m->layers[k].name;
    near = pf_nearest(name, names);
    if (near)
        pf_hint(err, "did you mean \"%s\"?", near);
    else
        pf_hint(err, "a layer takes \"input\" or layers that stand before it");
    return POCKETFED_MALFORMED;
}

static const struct pf_shape *shape_of(const struct pf_model *m, unsigned value)
{
    return value ? &m->layers[value - 1].out : &m->input;
}

/* Sets n_inputs, input and in. */
static enum pocketfed_status
get_inputs(const struct pf_json_node *node, const char *where,
           const struct pf_model *m, struct pf_layer *l, struct pf_error *err)
{
    const struct pf_json_node *list = pf_json_get(node, "inputs"), *n;
    const struct pf_shape *a, *b;
    enum pocketfed_status st;
    unsigned i = 0;

    l->n_inputs = l->type->n_inputs ? l->type->n_inputs : 1;
    l->input[0] = (unsigned)m->n_layers;
    if (!list && l->n_inputs > 1)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/inputs is missing; an %s layer takes %u", where,
                       l->type->name, l->n_inputs);
    if (list && pf_json_kind(list) != PF_JSON_KIND_ARRAY)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/inputs must be a list of layer names", where);
    if (list && pf_json_size(list) != l->n_inputs)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/inputs has %zu entries; a layer of type %s takes %u",
                       where, pf_json_size(list), l->type->name, l->n_inputs);
    for (n = pf_json_first(list); n; n = pf_json_next(n), i++) {
        st = get_input(n, where, i, m, l, err);
        if (st != POCKETFED_OK)
            return st;
    }
    a = shape_of(m, l->input[0]);
    b = shape_of(m, l->input[l->n_inputs - 1]);
    if (a->c != b->c || a->h != b->h || a->w != b->w)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s/inputs: their shapes differ, %ux%ux%u and %ux%ux%u",
                       where, a->c, a->h, a->w, b->c, b->h, b->w);
    l->in = *a;
    return POCKETFED_OK;
}

static enum pocketfed_status get_init(const struct pf_json_node *node,
                                      const char *where, struct pf_layer *l,
                                      struct pf_error *err)
{
    const struct pf_json_node *n = pf_json_get(node, "init");
    const char *name = pf_json_text(n);

    l->init = PF_HE_UNIFORM;
    if (!n)
        return POCKETFED_OK;
    for (unsigned i = 0; name && pf_init_names[i]; i++)
        if (strcmp(pf_init_names[i], name) == 0) {
            l->init = (enum pf_init)i;
            return POCKETFED_OK;
        }
    return pf_fail(err, POCKETFED_MALFORMED,
                   "%s/init must be he_uniform, he_normal, glorot_uniform or "
                   "glorot_normal",
                   where);
}

static enum pocketfed_status get_attributes(const struct pf_json_node *node,
                                            const char *where,
                                            struct pf_layer *l,
                                            struct pf_error *err)
{
    const char *known[PF_LAYER_MAX_ATTRS + PF_LAYER_MAX_REALS + 5] = {
        "name", "type", "inputs"};
    const struct pf_layer_attr *a;
    enum pocketfed_status st;
    size_t n = 3, i;

    for (i = 0; l->type->attrs[i].name; i++)
        known[n++] = l->type->attrs[i].name;
    for (i = 0; l->type->reals[i].name; i++)
        known[n++] = l->type->reals[i].name;
    if (l->type->has_params)
        known[n] = "init";
    st = check_members(node, where, known, err);
    for (i = 0; st == POCKETFED_OK && l->type->attrs[i].name; i++) {
        a = &l->type->attrs[i];
        l->attr[i] = a->preset;
        st = get_u32(node, where, a->name, a->min, a->max, &l->attr[i], err);
        if (st == POCKETFED_OK && l->attr[i] == PF_ATTR_REQUIRED)
            st = pf_fail(err, POCKETFED_MALFORMED,
                         "%s/%s is missing; a %s layer needs it", where,
                         a->name, l->type->name);
    }
    for (i = 0; st == POCKETFED_OK && l->type->reals[i].name; i++)
        st = get_real(node, where, &l->type->reals[i], &l->real[i], err);
    if (st == POCKETFED_OK)
        st = get_init(node, where, l, err);
    return st;
}

/* Counts what the layer takes against the limits of the model; nothing here
 * can overflow, since every factor was checked and sums are 64 bits wide. */
static enum pocketfed_status count_layer(struct pf_model *m, struct pf_layer *l,
                                         const char *where, uint64_t *macs,
                                         struct pf_error *err)
{
    uint64_t out = (uint64_t)l->out.c * l->out.h * l->out.w;
    uint64_t weights = l->n_dims ? (uint64_t)l->fan_in * l->out.c : 0;
    uint64_t params =
        m->n_params + weights + (l->n_dims ? l->out.c : 0) + l->n_stats;

    *macs += weights * l->out.h * l->out.w;
    if (m->activations + out > PF_MODEL_MAX_ACTIVATIONS)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s makes the values of one example more than %u", where,
                       PF_MODEL_MAX_ACTIVATIONS);
    if (params > PF_MODEL_MAX_PARAMS)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s makes the parameters %llu, more than the limit of "
                       "%u",
                       where, (unsigned long long)params, PF_MODEL_MAX_PARAMS);
    if (*macs > PF_MODEL_MAX_MACS)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s makes the multiplications for one example more "
                       "than %llu",
                       where, (unsigned long long)PF_MODEL_MAX_MACS);
    m->activations += (size_t)out;
    l->weight = m->n_params;
    l->bias = m->n_params + (size_t)weights;
    l->n_params = (size_t)params - m->n_params;
    m->n_params = (size_t)params;
    return POCKETFED_OK;
}

static enum pocketfed_status parse_layer(const struct pf_json_node *node,
                                         struct pf_model *m, uint64_t *macs,
                                         struct pf_error *err)
{
    struct pf_layer *l = &m->layers[m->n_layers];
    enum pocketfed_status st;
    char where[32];

    snprintf(where, sizeof where, "/layers/%zu", m->n_layers);
    if (pf_json_kind(node) != PF_JSON_KIND_OBJECT)
        return pf_fail(err, POCKETFED_MALFORMED, "%s must be an object", where);
    st = get_type(node, where, l, err);
    if (st == POCKETFED_OK)
        st = get_name(node, where, m, l, err);
    if (st == POCKETFED_OK)
        st = get_inputs(node, where, m, l, err);
    if (st == POCKETFED_OK)
        st = get_attributes(node, where, l, err);
    if (st != POCKETFED_OK)
        return st;
    st = l->type->infer(l, where, err);
    if (st != POCKETFED_OK)
        return st;
    st = count_layer(m, l, where, macs, err);
    if (st == POCKETFED_OK)
        m->n_layers++;
    return st;
}

static enum pocketfed_status parse_input(const struct pf_json_node *root,
                                         struct pf_model *m,
                                         struct pf_error *err)
{
    const struct pf_json_node *n = pf_json_get(root, "input"), *e;
    uint32_t *dims[] = {&m->input.c, &m->input.h, &m->input.w};
    int64_t v;
    size_t i = 0;

    if (pf_json_kind(n) != PF_JSON_KIND_ARRAY || pf_json_size(n) != 3)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "/input must be [channels, height, width]");
    for (e = pf_json_first(n); e; e = pf_json_next(e), i++) {
        if (!pf_json_integer(e, 1, INT64_C(1) << 52, &v))
            return pf_fail(err, POCKETFED_MALFORMED,
                           "/input/%zu must be a whole number from 1 to %d", i,
                           PF_MODEL_MAX_DIM);
        if (v > PF_MODEL_MAX_DIM)
            return pf_fail(err, POCKETFED_LIMIT,
                           "/input/%zu is %lld, more than the limit of %d", i,
                           (long long)v, PF_MODEL_MAX_DIM);
        *dims[i] = (uint32_t)v;
    }
    if ((uint64_t)m->input.c * m->input.h * m->input.w >
        PF_MODEL_MAX_ACTIVATIONS)
        return pf_fail(err, POCKETFED_LIMIT,
                       "/input makes the values of one example more than %u",
                       PF_MODEL_MAX_ACTIVATIONS);
    m->activations = pf_shape_size(&m->input);
    return POCKETFED_OK;
}

static enum pocketfed_status parse_loss(const char *name, struct pf_model *m,
                                        struct pf_error *err)
{
    static const char known[] =
        "softmax_cross_entropy, mse or binary_cross_entropy";

    if (!name)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "/loss is missing or no string; it can be %s", known);
    for (size_t i = 0; pf_loss_types[i]; i++)
        if (strcmp(pf_loss_types[i]->name, name) == 0) {
            m->loss = pf_loss_types[i];
            return POCKETFED_OK;
        }
    return pf_fail(err, POCKETFED_UNSUPPORTED,
                   "/loss: there is no loss \"%.40s\" in this version; it can "
                   "be %s",
                   name, known);
}

static enum pocketfed_status parse_root(const struct pf_json_node *root,
                                        struct pf_model *m,
                                        struct pf_error *err)
{
    static const char *const known[] = {"version", "input", "layers", "loss",
                                        NULL};
    const char *loss = pf_json_text(pf_json_get(root, "loss"));
    enum pocketfed_status st;
    int64_t version;

    if (!root || pf_json_kind(root) != PF_JSON_KIND_OBJECT)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "a model spec must be a JSON object");
    if (!pf_json_integer(pf_json_get(root, "version"), 1, INT64_C(1) << 52,
                         &version))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "/version must be 1, the version of the spec language");
    if (version != 1)
        return pf_fail(err, POCKETFED_UNSUPPORTED,
                       "/version is %lld; this build knows version 1",
                       (long long)version);
    st = check_members(root, "", known, err);
    if (st != POCKETFED_OK)
        return st;
    st = parse_loss(loss, m, err);
    if (st != POCKETFED_OK)
        return st;
    return parse_input(root, m, err);
}

/* What only the finished list of layers shows. */
static enum pocketfed_status check_whole(const struct pf_model *m,
                                         struct pf_error *err)
{
    const struct pf_shape *out = &m->layers[m->n_layers - 1].out;
    unsigned char used[PF_MODEL_MAX_LAYERS + 1] = {0};
    size_t i;

    for (i = 0; i < m->n_layers; i++)
        for (unsigned j = 0; j < m->layers[i].n_inputs; j++)
            used[m->layers[i].input[j]] = 1;
    for (i = 0; i + 1 < m->n_layers; i++)
        if (!used[i + 1]) {
            pf_fail(err, POCKETFED_MALFORMED,
                    "/layers/%zu: nothing takes the output of \"%s\"", i,
                    m->layers[i].name);
            pf_hint(err, "name it in the inputs of a later layer, or leave it "
                         "out");
            return POCKETFED_MALFORMED;
        }
    if (out->h != 1 || out->w != 1 || out->c < m->loss->min_outputs ||
        out->c > PF_MODEL_MAX_CLASSES)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "/layers: the last layer makes %ux%ux%u values, but "
                       "the loss needs %zu to %d classes",
                       out->c, out->h, out->w, m->loss->min_outputs,
                       PF_MODEL_MAX_CLASSES);
    if (m->n_params == 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "/layers: no layer has parameters, so there is nothing "
                       "to train");
    return POCKETFED_OK;
}

static enum pocketfed_status parse_layers(const struct pf_json_node *root,
                                          struct pf_model *m,
                                          struct pf_error *err)
{
    const struct pf_json_node *layers = pf_json_get(root, "layers"), *n;
    enum pocketfed_status st;
    uint64_t macs = 0;

    if (pf_json_kind(layers) != PF_JSON_KIND_ARRAY || pf_json_size(layers) == 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "/layers must be a list of at least one layer");
    if (pf_json_size(layers) > PF_MODEL_MAX_LAYERS)
        return pf_fail(err, POCKETFED_LIMIT,
                       "/layers has %zu layers, more than the limit of %d",
                       pf_json_size(layers), PF_MODEL_MAX_LAYERS);
    for (n = pf_json_first(layers); n; n = pf_json_next(n)) {
        st = parse_layer(n, m, &macs, err);
        if (st != POCKETFED_OK)
            return st;
    }
    return check_whole(m, err);
}

enum pocketfed_status pf_spec_parse(const char *json, size_t len,
                                    struct pf_model *m, struct pf_error *err)
{
    struct pf_json_doc *doc = NULL;
    enum pocketfed_status st;

    if (len > PF_MODEL_MAX_SPEC)
        return pf_fail(err, POCKETFED_LIMIT,
                       "the model spec has %zu bytes, more than the limit of "
                       "%u",
                       len, PF_MODEL_MAX_SPEC);
    st = pf_json_parse(json, len, &doc, err);
    if (st != POCKETFED_OK)
        return st;
    st = parse_root(pf_json_root(doc), m, err);
    if (st == POCKETFED_OK)
        st = parse_layers(pf_json_root(doc), m, err);
    pf_json_free(doc);
    return st;
}
