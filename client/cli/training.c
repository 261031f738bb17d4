#include "training.h"

#include <string.h>

#include "file.h"
#include "json.h"

enum pocketfed_status training_model(const char *name, struct pf_model **out,
                                     struct pf_error *err)
{
    const char *spec;
    enum pocketfed_status st;
    struct pf_buf file;

    if (!cli_is_file(name)) {
        spec = pf_zoo_spec(name);
        return spec ? pf_model_create(spec, strlen(spec), out, err)
                    : pf_fail(err, POCKETFED_NOT_FOUND,
                              "there is no model \"%s\"", name);
    }
    pf_buf_init(&file, PF_MODEL_MAX_SPEC);
    st = pf_file_read(name, &file, err);
    if (!st)
        st = pf_model_create(pf_buf_str(&file), file.len, out, err);
    pf_buf_free(&file);
    return st;
}

const char *const training_optimizers[] = {"sgd",  "momentum", "nesterov",
                                           "adam", "adamw",    NULL};

static int index_of(const char *const *names, const char *name)
{
    int i = 0;

    while (names[i] && strcmp(names[i], name))
        i++;
    return i;
}

int training_config(const struct cli *c, uint32_t epochs,
                    struct pf_train_config *out)
{
    const char *rule = cli_text(c, "optimizer");
    int adam = !strncmp(rule, "adam", 4);
    struct pf_error err = {0};

    pf_train_config_default(out);
    out->optimizer = adam ? index_of(pf_optimizer_names, rule) : PF_SGD;
    if (!strcmp(rule, "momentum") || !strcmp(rule, "nesterov"))
        out->momentum = 0.9;
    if (cli_text(c, "momentum"))
        out->momentum = cli_real(c, "momentum");
    out->nesterov = !strcmp(rule, "nesterov");
    out->lr = cli_text(c, "lr") ? cli_real(c, "lr") : adam ? 0.001 : 0.05;
    out->schedule = index_of(pf_schedule_names, cli_text(c, "schedule"));
    out->warmup = (uint32_t)cli_int(c, "warmup");
    out->decay_epochs = (uint32_t)cli_int(c, "lr-step");
    out->gamma = cli_real(c, "gamma");
    out->lr_min = cli_real(c, "lr-min");
    out->weight_decay = cli_real(c, "weight-decay");
    out->clip_norm = cli_real(c, "clip");
    out->epochs = epochs;
    out->batch = (uint32_t)cli_int(c, "batch");
    if (pf_train_config_check(out, &err))
        return cli_usage(c, "%s", err.text);
    return CLI_OK;
}

void training_json(const struct cli *c, const struct pf_train_config *config,
                   struct pf_buf *out)
{
    pf_buf_adds(out, "\"model\":");
    pf_json_string(out, cli_text(c, "model"));
    pf_buf_addf(out,
                ",\"optimizer\":\"%s\",\"lr\":%g,\"schedule\":\"%s\","
                "\"warmup\":%u,\"momentum\":%g,\"weight_decay\":%g,"
                "\"clip\":%g,\"batch\":%u,\"epochs\":%u,\"threads\":%d,"
                "\"seed\":%lld",
                cli_text(c, "optimizer"), config->lr,
                pf_schedule_names[config->schedule], config->warmup,
                config->momentum, config->weight_decay, config->clip_norm,
                config->batch, config->epochs, (int)cli_int(c, "threads"),
                (long long)cli_int(c, "seed"));
}
