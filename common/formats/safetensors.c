/* The file: 8 bytes, the length of a JSON header, little-endian; the header,
 * padded with blanks to a multiple of 8; the tensors' bytes.
 * https://github.com/huggingface/safetensors#format */
#include "safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "json.h"
#include "text.h"

#define FORMAT "pocketfed-model-0"
#define PREFIX 8u /* bytes of the header's length */

/* ---- writing ---- */

static void add_member(struct pf_buf *b, const char *key, const char *value)
{
    (void)pf_json_string(b, key);
    (void)pf_buf_adds(b, ":");
    (void)pf_json_string(b, value);
}

static enum pocketfed_status write_header(const struct pf_model *m,
                                          const struct pf_model_meta *meta,
                                          struct pf_buf *b)
{
    size_t n;
    const struct pf_tensor *t = pf_model_tensors(m, &n);
    char number[24], hex[65];

    (void)pf_buf_adds(b, "{\"__metadata__\":{");
    add_member(b, "format", FORMAT);
    (void)pf_buf_adds(b, ",");
    add_member(b, "spec", pf_model_spec(m));
    (void)pf_buf_adds(b, ",");
    add_member(b, "task", meta->task);
    (void)pf_buf_adds(b, ",");
    (void)snprintf(number, sizeof number, "%" PRIu64, meta->round);
    add_member(b, "round", number);
    (void)pf_buf_adds(b, ",");
    pf_hex(meta->plan, sizeof meta->plan, hex);
    add_member(b, "plan", hex);
    (void)pf_buf_adds(b, ",");
    pf_hex(meta->previous, sizeof meta->previous, hex);
    add_member(b, "previous", hex);
    (void)pf_buf_adds(b, "}");
    for (size_t i = 0; i < n; i++) {
        (void)pf_buf_adds(b, ",");
        (void)pf_json_string(b, t[i].name);
        (void)pf_buf_adds(b, ":{\"dtype\":\"F32\",\"shape\":[");
        for (unsigned d = 0; d < t[i].n_dims; d++)
            (void)pf_buf_addf(b, "%s%" PRIu32, d ? "," : "", t[i].dims[d]);
        (void)pf_buf_addf(b, "],\"data_offsets\":[%zu,%zu]}", 4 * t[i].offset,
                          4 * (t[i].offset + t[i].count));
    }
    (void)pf_buf_adds(b, "}");
    while (b->status == POCKETFED_OK && b->len % 8 != 0)
        (void)pf_buf_adds(b, " ");
    return b->status;
}

enum pocketfed_status pf_safetensors_write(const struct pf_model *m,
                                           const float *params,
                                           const struct pf_model_meta *meta,
                                           struct pf_buf *out)
{
    enum pocketfed_status st;
    struct pf_buf header;
    size_t n = pf_model_n_params(m);
    uint8_t *p;

    pf_buf_init(&header, PF_JSON_MAX_TEXT);
    st = write_header(m, meta, &header);
    if (st != POCKETFED_OK)
        goto out;
    /* In one piece, so that out is whole or as it was. */
    p = pf_buf_extend(out, PREFIX + header.len + 4 * n);
    if (!p) {
        st = out->status;
        goto out;
    }
    pf_put64(p, header.len);
    memcpy(p + PREFIX, header.data, header.len);
    p += PREFIX + header.len;
    for (size_t i = 0; i < n; i++)
        pf_putf(p + 4 * i, params[i]);
out:
    pf_buf_free(&header);
    return st;
}

/* ---- reading ---- */

/* A file taken apart: its header and the bytes behind it. */
struct parsed {
    struct pf_json_doc *doc; /* owned */
    const struct pf_json_node *root;
    const uint8_t *data; /* borrowed */
    size_t data_bytes;
};

static enum pocketfed_status parse(const uint8_t *p, size_t len,
                                   struct parsed *f, struct pf_error *err)
{
    enum pocketfed_status st;
    uint64_t header;
    size_t text;

    memset(f, 0, sizeof *f);
    if (len < PREFIX)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "no safetensors file: it has %zu bytes", len);
    header = pf_get64(p);
    if (header > PF_JSON_MAX_TEXT)
        return pf_fail(err, POCKETFED_LIMIT,
                       "no safetensors file, or its header of %" PRIu64
                       " bytes is over the limit of %u",
                       header, PF_JSON_MAX_TEXT);
    if (header > len - PREFIX)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "the file is cut short inside its header of %" PRIu64
                       " bytes",
                       header);
    text = (size_t)header;
    if (text == 0 || p[PREFIX] != '{')
        return pf_fail(err, POCKETFED_MALFORMED,
                       "no safetensors file: its header is not a JSON object");
    f->data = p + PREFIX + text;
    f->data_bytes = len - PREFIX - text;
    while (p[PREFIX + text - 1] == ' ') /* the padding; ends at the '{' */
        text--;
    st = pf_json_parse((const char *)p + PREFIX, text, &f->doc, err);
    if (st == POCKETFED_OK)
        f->root = pf_json_root(f->doc);
    return st;
}

static const struct pf_json_node *metadata(const struct parsed *f)
{
    return pf_json_get(f->root, "__metadata__");
}

/* "[6,1,5,5]" into out, for error texts. */
static const char *shape_text(const struct pf_tensor *t, char out[64])
{
    size_t at = 0;

    for (unsigned d = 0; d < t->n_dims; d++)
        at += (size_t)snprintf(out + at, 64 - at, "%c%" PRIu32, d ? ',' : '[',
                               t->dims[d]);
    (void)snprintf(out + at, 64 - at, "]");
    return out;
}

static int same_shape(const struct pf_tensor *t,
                      const struct pf_json_node *shape)
{
    const struct pf_json_node *n = pf_json_first(shape);
    int64_t dim;

    if (!shape || pf_json_kind(shape) != PF_JSON_KIND_ARRAY ||
        pf_json_size(shape) != t->n_dims)
        return 0;
    for (unsigned d = 0; d < t->n_dims; d++, n = pf_json_next(n))
        if (!pf_json_integer(n, t->dims[d], t->dims[d], &dim))
            return 0;
    return 1;
}

/* Where the tensor's bytes begin, once dtype, shape and length are right. */
static enum pocketfed_status check_tensor(const struct parsed *f,
                                          const struct pf_tensor *t,
                                          size_t *begin, struct pf_error *err)
{
    const struct pf_json_node *n = pf_json_get(f->root, t->name);
    const struct pf_json_node *offsets = pf_json_get(n, "data_offsets");
    const char *dtype = pf_json_text(pf_json_get(n, "dtype"));
    int64_t from, to, most = (int64_t)4 * PF_MODEL_MAX_PARAMS;
    char shape[64];

    if (!n)
        return pf_fail(err, POCKETFED_MALFORMED, "there is no tensor %s",
                       t->name);
    if (!dtype)
        return pf_fail(err, POCKETFED_MALFORMED, "tensor %s has no dtype",
                       t->name);
    if (strcmp(dtype, "F32") != 0)
        return pf_fail(err, POCKETFED_UNSUPPORTED,
                       "tensor %s is of dtype %.16s; only F32 is read", t->name,
                       dtype);
    if (!same_shape(t, pf_json_get(n, "shape")))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "tensor %s has not the shape %s that the model needs",
                       t->name, shape_text(t, shape));
    if (!offsets || pf_json_kind(offsets) != PF_JSON_KIND_ARRAY ||
        pf_json_size(offsets) != 2 ||
        !pf_json_integer(pf_json_first(offsets), 0, most, &from) ||
        !pf_json_integer(pf_json_next(pf_json_first(offsets)), 0, most, &to))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "tensor %s has no pair of data_offsets in range",
                       t->name);
    if (to < from || (uint64_t)(to - from) != 4 * (uint64_t)t->count)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "tensor %s has %" PRId64 " bytes instead of %zu",
                       t->name, to - from, 4 * t->count);
    *begin = (size_t)from;
    return POCKETFED_OK;
}

/* The n ranges [begin[i], begin[i] + 4 count) tile [0, len): step from end to
 * next beginning; as every range is longer than 0, none serves twice. */
static int tiles(const struct pf_tensor *t, const size_t *begin, size_t n,
                 size_t len)
{
    size_t at = 0;

    for (size_t steps = 0; steps < n; steps++) {
        size_t i = 0;

        while (i < n && begin[i] != at)
            i++;
        if (i == n)
            return 0;
        at += 4 * t[i].count;
    }
    return at == len;
}

/* begin[i] for each tensor of the model; the file holds these and no others,
 * back to back. */
static enum pocketfed_status check_tensors(const struct parsed *f,
                                           const struct pf_model *m,
                                           size_t *begin, struct pf_error *err)
{
    enum pocketfed_status st;
    size_t n, members = pf_json_size(f->root);
    const struct pf_tensor *t = pf_model_tensors(m, &n);

    for (size_t i = 0; i < n; i++) {
        st = check_tensor(f, &t[i], &begin[i], err);
        if (st != POCKETFED_OK)
            return st;
    }
    /* All names of the model are there, so any more is unknown or double. */
    if (members != n + (metadata(f) != NULL))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "the file names %zu tensors, the model has %zu",
                       members - (metadata(f) != NULL), n);
    if (!tiles(t, begin, n, f->data_bytes))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "the tensors overlap, leave gaps or do not fill the "
                       "%zu bytes of data",
                       f->data_bytes);
    return POCKETFED_OK;
}

static enum pocketfed_status load(const struct parsed *f,
                                  const struct pf_model *m, float *params,
                                  struct pf_error *err)
{
    enum pocketfed_status st;
    size_t n;
    const struct pf_tensor *t = pf_model_tensors(m, &n);
    size_t *begin = malloc(n * sizeof *begin);

    if (!begin)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %zu tensors",
                       n);
    st = check_tensors(f, m, begin, err);
    for (size_t i = 0; st == POCKETFED_OK && i < n; i++)
        for (size_t k = 0; k < t[i].count; k++)
            params[t[i].offset + k] = pf_getf(f->data + begin[i] + 4 * k);
    free(begin);
    return st;
}

enum pocketfed_status pf_safetensors_params(const uint8_t *p, size_t len,
                                            const struct pf_model *m,
                                            float *params, struct pf_error *err)
{
    enum pocketfed_status st;
    struct parsed f;

    st = parse(p, len, &f, err);
    if (st == POCKETFED_OK)
        st = load(&f, m, params, err);
    pf_json_free(f.doc);
    return st;
}

static enum pocketfed_status read_meta(const struct pf_json_node *n,
                                       struct pf_model_meta *meta,
                                       struct pf_error *err)
{
    const char *task = pf_json_text(pf_json_get(n, "task"));
    const char *round = pf_json_text(pf_json_get(n, "round"));
    const char *plan = pf_json_text(pf_json_get(n, "plan"));
    const char *previous = pf_json_text(pf_json_get(n, "previous"));

    if (!task || strlen(task) >= sizeof meta->task)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "metadata without \"task\" of at most %zu characters",
                       sizeof meta->task - 1);
    if (!round ||
        !pf_parse_u64(round, strlen(round), 0, UINT64_MAX, &meta->round))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "metadata without \"round\", a decimal number");
    if (!plan || !pf_unhex(plan, strlen(plan), meta->plan, sizeof meta->plan))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "metadata without \"plan\", 64 hexadecimal digits");
    if (!previous || !pf_unhex(previous, strlen(previous), meta->previous,
                               sizeof meta->previous))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "metadata without \"previous\", 64 hexadecimal digits");
    memcpy(meta->task, task, strlen(task) + 1);
    return POCKETFED_OK;
}

enum pocketfed_status pf_safetensors_read(const uint8_t *p, size_t len,
                                          struct pf_model **m, float **params,
                                          struct pf_model_meta *meta,
                                          struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_model *model = NULL;
    struct pf_model_meta found = {0};
    struct parsed f;
    const char *format, *spec;
    float *values = NULL;
    size_t n;

    st = parse(p, len, &f, err);
    if (st != POCKETFED_OK)
        goto out;
    format = pf_json_text(pf_json_get(metadata(&f), "format"));
    spec = pf_json_text(pf_json_get(metadata(&f), "spec"));
    if (!format || !spec) {
        st = pf_fail(err, POCKETFED_MALFORMED,
                     "the file does not say which model it is of: no \"%s\" "
                     "in its metadata",
                     format ? "spec" : "format");
        pf_hint(err, "give a model file that pocketfed wrote");
        goto out;
    }
    if (strcmp(format, FORMAT) != 0) {
        st = pf_fail(err, POCKETFED_UNSUPPORTED,
                     "the file's format is \"%.64s\"; this version reads %s",
                     format, FORMAT);
        goto out;
    }
    st = read_meta(metadata(&f), &found, err);
    if (st == POCKETFED_OK)
        st = pf_model_create(spec, strlen(spec), &model, err);
    if (st != POCKETFED_OK)
        goto out;

    n = pf_model_n_params(model);
    if (f.data_bytes != 4 * n) { /* before taking memory for n floats */
        st = pf_fail(err, POCKETFED_MALFORMED,
                     "the file has %zu bytes of parameters, its model needs "
                     "%zu",
                     f.data_bytes, 4 * n);
        goto out;
    }
    values = malloc(n ? n * sizeof *values : 1);
    if (!values) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %zu parameters",
                     n);
        goto out;
    }
    st = load(&f, model, values, err);
    if (st != POCKETFED_OK)
        goto out;
    *m = model;
    *params = values;
    if (meta)
        *meta = found;
    model = NULL;
    values = NULL;
out:
    free(values);
    pf_model_free(model);
    pf_json_free(f.doc);
    return st;
}
