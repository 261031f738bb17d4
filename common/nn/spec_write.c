#include "layer.h"

#include "json.h"

static const char *value_name(const struct pf_model *m, unsigned value)
{
    return value ? m->layers[value - 1].name : "input";
}

static void write_layer(const struct pf_model *m, const struct pf_layer *l,
                        struct pf_buf *out)
{
    const struct pf_layer_type *t = l->type;

    pf_buf_addf(out, "{\"name\":\"%s\",\"type\":\"%s\",\"inputs\":[\"%s\"",
                l->name, t->name, value_name(m, l->input[0]));
    if (l->n_inputs > 1)
        pf_buf_addf(out, ",\"%s\"", value_name(m, l->input[1]));
    pf_buf_adds(out, "]");
    for (size_t a = 0; t->attrs[a].name; a++)
        pf_buf_addf(out, ",\"%s\":%u", t->attrs[a].name, l->attr[a]);
    for (size_t a = 0; t->reals[a].name; a++) {
        pf_buf_addf(out, ",\"%s\":", t->reals[a].name);
        pf_json_double(out, l->real[a]);
    }
    if (t->has_params)
        pf_buf_addf(out, ",\"init\":\"%s\"", pf_init_names[l->init]);
    pf_buf_adds(out, "}");
}

enum pocketfed_status pf_spec_write(const struct pf_model *m,
                                    struct pf_buf *out)
{
    pf_buf_addf(out,
                "{\"version\":1,\"input\":[%u,%u,%u],\"loss\":\"%s\","
                "\"layers\":[",
                m->input.c, m->input.h, m->input.w, m->loss->name);
    for (size_t i = 0; i < m->n_layers; i++) {
        if (i > 0)
            pf_buf_adds(out, ",");
        write_layer(m, &m->layers[i], out);
    }
    return pf_buf_adds(out, "]}");
}
