/* model info, model eval: what is in a model file, and how good it is. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "crypto.h"
#include "evaluate.h"
#include "file.h"
#include "json.h"
#include "pool.h"
#include "safetensors.h"
#include "text.h"
#include "wire.h"

struct model_file {
    struct pf_model *model;
    float *params;
    struct pf_model_meta meta;
    uint8_t digest[32];
    size_t bytes;
};

static enum pocketfed_status load(const char *path, struct model_file *out,
                                  struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf b;

    pf_buf_init(&b, PF_MAX_MODEL_FILE);
    st = pf_file_read(path, &b, err);
    if (!st)
        st = pf_safetensors_read(b.data, b.len, &out->model, &out->params,
                                 &out->meta, err);
    if (!st) {
        pf_sha256(b.data, b.len, out->digest);
        out->bytes = b.len;
    }
    pf_buf_free(&b);
    return st;
}

static void unload(struct model_file *f)
{
    pf_model_free(f->model);
    free(f->params);
}

static void info_json(const struct model_file *f, const char *digest)
{
    const struct pf_tensor *t;
    struct pf_buf b;
    size_t n;

    pf_buf_init(&b, 1u << 20);
    t = pf_model_tensors(f->model, &n);
    pf_buf_addf(&b, "{\"digest\":\"%s\",\"bytes\":%zu,\"task\":", digest,
                f->bytes);
    pf_json_string(&b, f->meta.task);
    pf_buf_addf(&b,
                ",\"round\":\"%llu\",\"parameters\":%zu,\"classes\":%zu,"
                "\"spec\":%s,\"tensors\":[",
                (unsigned long long)f->meta.round, pf_model_n_params(f->model),
                pf_model_n_classes(f->model), pf_model_spec(f->model));
    for (size_t i = 0; i < n; i++) {
        pf_buf_addf(&b, "%s{\"name\":\"%s\",\"shape\":[", i ? "," : "",
                    t[i].name);
        for (unsigned d = 0; d < t[i].n_dims; d++)
            pf_buf_addf(&b, "%s%u", d ? "," : "", t[i].dims[d]);
        pf_buf_adds(&b, "]}");
    }
    pf_buf_adds(&b, "]}");
    cli_out_json(&b);
    pf_buf_free(&b);
}

static int model_info(struct cli *c)
{
    struct model_file f = {0};
    struct pf_error err = {0};
    char digest[65], plan[65], previous[65], size[24];
    struct pf_buf layers;

    if (load(c->arg[0], &f, &err))
        return cli_fail(c, &err, "%s cannot be shown", c->arg[0]);
    pf_hex(f.digest, 32, digest);
    if (c->json) {
        info_json(&f, digest);
    } else {
        pf_hex(f.meta.plan, 32, plan);
        pf_hex(f.meta.previous, 32, previous);
        pf_buf_init(&layers, 1u << 20);
        pf_model_describe(f.model, &layers);
        cli_out("digest      %s\nsize        %s\n", digest,
                cli_bytes(f.bytes, size));
        if (f.meta.task[0])
            cli_out("task        %s, round %llu\nplan        %s\n"
                    "previous    %s\n",
                    f.meta.task, (unsigned long long)f.meta.round, plan,
                    previous);
        cli_out("parameters  %zu\n\n%s", pf_model_n_params(f.model),
                pf_buf_str(&layers));
        pf_buf_free(&layers);
    }
    unload(&f);
    return CLI_OK;
}

static int model_eval(struct cli *c)
{
    struct pf_evaluation e = {0};
    struct model_file f = {0};
    struct pf_idx set = {0};
    struct pf_error err = {0};
    struct pool *pool;
    double accuracy;
    int code = CLI_OK;

    if (!cli_text(c, "data"))
        return cli_usage(c, "model eval needs --data DIR");
    pool = pool_open((unsigned)cli_int(c, "threads"));
    if (!pool)
        pf_fail(&err, POCKETFED_NO_MEMORY, "out of memory");
    if (!pool || load(c->arg[0], &f, &err) ||
        pf_idx_load(cli_text(c, "data"), cli_text(c, "set"), &set, &err) ||
        evaluate(f.model, f.params, &set,
                 precision_of(cli_text(c, "precision")), pool_parallel(pool),
                 &e, &err)) {
        code = cli_fail(c, &err, "%s was not measured", c->arg[0]);
        goto out;
    }
    accuracy = e.n ? (double)e.correct / (double)e.n : 0;
    if (c->json)
        cli_out("{\"accuracy\":%.6f,\"loss\":%.6f,\"n\":%llu,"
                "\"correct\":%llu}\n",
                accuracy, e.loss, (unsigned long long)e.n,
                (unsigned long long)e.correct);
    else
        cli_out("accuracy %.4f (%llu of %llu), loss %.4f\n", accuracy,
                (unsigned long long)e.correct, (unsigned long long)e.n, e.loss);
out:
    pool_close(pool);
    pf_idx_free(&set);
    unload(&f);
    return code;
}

static const struct cli_option info_options[] = {
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};
static const struct cli_option eval_options[] = {
    {"data", 'd', CLI_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder with the IDX files"},
    {"set", 0, CLI_TEXT, "SET", "t10k", 0, 0,
     (const char *const[]){"t10k", "train", NULL}, "which of the two"},
    {"precision", 'p', CLI_TEXT, "NAME", "f32", 0, 0, precision_names,
     "numbers of its weights"},
    {"threads", 't', CLI_INT, "N", "2", 1, 64, NULL, "threads"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_model_info, cmd_model_eval;
const struct cli_command cmd_model_info = {
    "model info",
    "Models and data",
    "FILE",
    1,
    1,
    "show what is in a model file",
    "  pocketfed model info model.safetensors\n",
    info_options,
    model_info};
const struct cli_command cmd_model_eval = {
    "model eval",
    "Models and data",
    "FILE",
    1,
    1,
    "measure a model file on a test set",
    "  pocketfed model eval model.safetensors --data mnist\n",
    eval_options,
    model_eval};
