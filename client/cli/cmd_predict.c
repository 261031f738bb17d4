/* predict: what a model says of one image. */
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "evaluate.h"
#include "file.h"
#include "image.h"
#include "safetensors.h"
#include "storage.h"
#include "train.h"
#include "wire.h"

struct guess {
    struct pf_model *model;
    float *params, *x, *p;
    struct pf_shape in;
    size_t classes;
    int64_t label; /* -1: not known */
};

/* --model FILE, else the newest model in the device's folder. */
static enum pocketfed_status load_model(const struct cli *c, struct guess *g,
                                        struct pf_error *err)
{
    const char *path = cli_text(c, "model");
    enum pocketfed_status st;
    struct pf_counters counters;
    struct pf_storage s;
    char newest[700];
    struct pf_buf b;

    if (!path) {
        s.lock_fd = -1;
        st = device_dir(c, s.dir, sizeof s.dir, err);
        if (st)
            return st;
        pf_storage_counters(&s, &counters);
        if (!counters.n_models) {
            pf_fail(err, POCKETFED_NOT_FOUND, "%s holds no model yet", s.dir);
            pf_hint(err, "pocketfed train fetches one; or say --model FILE");
            return POCKETFED_NOT_FOUND;
        }
        snprintf(newest, sizeof newest, "%.500s/objects/%s", s.dir,
                 counters.models[0]);
        path = newest;
    }
    pf_buf_init(&b, PF_MAX_MODEL_FILE);
    st = pf_file_read(path, &b, err);
    if (!st)
        st = pf_safetensors_read(b.data, b.len, &g->model, &g->params, NULL,
                                 err);
    pf_buf_free(&b);
    if (st)
        return st;
    g->in = pf_model_input(g->model);
    g->classes = pf_model_n_classes(g->model);
    g->x = calloc((size_t)g->in.c * g->in.h * g->in.w, sizeof *g->x);
    g->p = calloc(g->classes, sizeof *g->p);
    if (!g->x || !g->p)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    if (g->in.c != 1)
        return pf_fail(err, POCKETFED_CONFIG,
                       "the model takes %u channels, images here have one",
                       g->in.c);
    return POCKETFED_OK;
}

/* The labels that stand beside an images file, when they do. */
static void find_label(const char *path, uint32_t index, struct guess *g)
{
    char labels[1024];
    struct pf_idx set = {0};
    char *at;

    g->label = -1;
    if (snprintf(labels, sizeof labels, "%s", path) >= (int)sizeof labels)
        return;
    at = strstr(labels, "images-idx3");
    if (!at)
        return;
    memcpy(at, "labels-idx1", 11);
    if (pf_idx_load_labels(labels, &set, NULL) == POCKETFED_OK && index < set.n)
        g->label = set.labels[index];
    pf_idx_free(&set);
}

static enum pocketfed_status load_idx(const struct cli *c, struct guess *g,
                                      struct pf_error *err)
{
    uint32_t index = (uint32_t)cli_int(c, "index");
    enum pocketfed_status st;
    struct pf_idx set = {0};

    st = pf_idx_load_images(c->arg[0], &set, err);
    if (st)
        return st;
    if (set.h != g->in.h || set.w != g->in.w)
        st = pf_fail(err, POCKETFED_CONFIG,
                     "the model takes %ux%u, the images are %ux%u", g->in.h,
                     g->in.w, set.h, set.w);
    else if (index >= set.n)
        st = pf_fail(err, POCKETFED_NOT_FOUND,
                     "there is no image %u: the file has %u, from 0", index,
                     set.n);
    else
        for (size_t i = 0; i < (size_t)set.h * set.w; i++)
            g->x[i] =
                (float)set.images[(size_t)index * set.h * set.w + i] / 255.0f;
    pf_idx_free(&set);
    if (!st)
        find_label(c->arg[0], index, g);
    return st;
}

/* IDX files (plain or gzip) begin with 00 00 08 or 1f 8b. */
static int looks_like_idx(const char *path)
{
    unsigned char head[3] = {1, 1, 1};
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;

    if (f)
        fclose(f);
    return n == sizeof head &&
           ((head[0] == 0 && head[1] == 0 && head[2] == 8) ||
            (head[0] == 0x1f && head[1] == 0x8b));
}

static void print_guess(const struct cli *c, const struct guess *g)
{
    size_t order[3] = {0}, n = g->classes < 3 ? g->classes : 3, best = 0;

    for (size_t k = 0; k < n; k++) {
        size_t top = SIZE_MAX;

        for (size_t i = 0; i < g->classes; i++) {
            int taken = 0;

            for (size_t j = 0; j < k; j++)
                taken |= order[j] == i;
            if (!taken && (top == SIZE_MAX || g->p[i] > g->p[top]))
                top = i;
        }
        order[k] = top;
    }
    best = order[0];
    if (c->json) {
        cli_out("{\"class\":%zu,\"probability\":%.6f,\"label\":", best,
                (double)g->p[best]);
        if (g->label >= 0)
            cli_out("%lld", (long long)g->label);
        else
            cli_out("null");
        cli_out(",\"probabilities\":[");
        for (size_t i = 0; i < g->classes; i++)
            cli_out("%s%.6f", i ? "," : "", (double)g->p[i]);
        cli_out("]}\n");
        return;
    }
    cli_out("%zu (%.1f %%)", best, 100 * (double)g->p[best]);
    for (size_t k = 1; k < n; k++)
        cli_out("%s %zu (%.1f %%)", k == 1 ? "; then" : ",", order[k],
                100 * (double)g->p[order[k]]);
    cli_out("\n");
    if (g->label >= 0)
        cli_out("the file's label is %lld: %s\n", (long long)g->label,
                (size_t)g->label == best ? "right" : "wrong");
}

/* The commonest mistake: a photo of ink on paper is the negative of what the
 * model knows. */
static void warn_of_paper(const struct cli *c, const struct guess *g)
{
    size_t n = (size_t)g->in.h * g->in.w;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)g->x[i];
    if (!cli_flag(c, "invert") && sum > 0.5 * (double)n)
        cli_say(c, "the image is mostly light; is it dark ink on light paper? "
                   "then --invert");
}

static int predict(struct cli *c)
{
    struct pf_error err = {0};
    enum pocketfed_status st;
    struct guess g;
    int code = CLI_OK;

    memset(&g, 0, sizeof g);
    g.label = -1;
    st = load_model(c, &g, &err);
    if (!st && looks_like_idx(c->arg[0])) {
        st = load_idx(c, &g, &err);
    } else if (!st) {
        st = pf_image_load(c->arg[0], g.in.h, g.in.w, cli_flag(c, "invert"),
                           g.x, &err);
        if (!st)
            warn_of_paper(c, &g);
    }
    if (!st)
        st = pf_predict(g.model, g.params,
                        precision_of(cli_text(c, "precision")), g.x, g.p, &err);
    if (st)
        code = cli_fail(c, &err, "nothing was predicted of %s", c->arg[0]);
    else
        print_guess(c, &g);
    pf_model_free(g.model);
    free(g.params);
    free(g.x);
    free(g.p);
    return code;
}

static const struct cli_option options[] = {
    {"model", 'm', CLI_TEXT, "FILE", NULL, 0, 0, NULL,
     "a .safetensors file (default: the newest this device has)"},
    {"index", 'i', CLI_INT, "N", "0", 0, 10485760, NULL,
     "which image of an IDX file"},
    {"invert", 0, CLI_FLAG, NULL, NULL, 0, 0, NULL,
     "dark ink on light paper (MNIST is light on dark)"},
    {"precision", 'p', CLI_TEXT, "NAME", "f32", 0, 0, precision_names,
     "numbers of its weights"},
    CLI_DEVICE_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_predict;
const struct cli_command cmd_predict = {
    "predict",
    "Take part (on a device)",
    "FILE",
    1,
    1,
    "say what an image shows (IDX, PNG or PGM)",
    "  pocketfed predict digit.png --invert\n"
    "  pocketfed predict mnist/t10k-images-idx3-ubyte --index 7 --model "
    "m.safetensors\n",
    options,
    predict};
