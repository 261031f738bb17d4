#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "json_scan.h"

struct pf_json_doc {
    cJSON *root;
};

/* A node is a cJSON item under another name. */
static const cJSON *item(const struct pf_json_node *n)
{
    return (const cJSON *)(const void *)n;
}

static const struct pf_json_node *node(const cJSON *c)
{
    return (const struct pf_json_node *)(const void *)c;
}

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x, *y);
}

/* Members of the same name in one object: the readers of the world disagree
 * on which of them counts, so none does. */
static enum pocketfed_status check_names(const cJSON *object,
                                         struct pf_json_path *path,
                                         struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    size_t n = pf_json_size(node(object)), i = 0, mark;
    const char **names;
    const cJSON *c;

    if (n < 2)
        return POCKETFED_OK;
    names = malloc(n * sizeof *names);
    if (!names)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for JSON");
    for (c = object->child; c; c = c->next)
        names[i++] = c->string;
    qsort(names, n, sizeof *names, by_name);
    for (i = 1; i < n && st == POCKETFED_OK; i++) {
        if (strcmp(names[i - 1], names[i]) != 0)
            continue;
        mark = pf_json_push(path, names[i]);
        st = pf_fail(err, POCKETFED_MALFORMED, "%s: there more than once",
                     path->text);
        pf_json_pop(path, mark);
    }
    free(names);
    return st;
}

/* Recursion is as deep as the scan allowed. */
static enum pocketfed_status
check_tree(const cJSON *c, struct pf_json_path *path, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    size_t mark, i = 0;
    const cJSON *child;
    char index[24];

    if (cJSON_IsObject(c))
        st = check_names(c, path, err);
    for (child = c->child; child && st == POCKETFED_OK; child = child->next) {
        snprintf(index, sizeof index, "%zu", i++);
        if (!child->child) /* a scalar, or empty */
            continue;
        mark = pf_json_push(path, child->string ? child->string : index);
        st = check_tree(child, path, err);
        pf_json_pop(path, mark);
    }
    return st;
}

enum pocketfed_status pf_json_parse(const char *text, size_t len,
                                    struct pf_json_doc **out,
                                    struct pf_error *err)
{
    struct pf_json_path path = {.len = 0};
    enum pocketfed_status st;
    struct pf_json_doc *doc;

    st = pf_json_scan(text, len, err);
    if (st != POCKETFED_OK)
        return st;
    doc = malloc(sizeof *doc);
    if (!doc)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for JSON");
    /* The scan found the text to be JSON, so this can only lack memory. */
    doc->root = cJSON_ParseWithLengthOpts(text, len, NULL, 0);
    if (!doc->root) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for JSON");
        goto out;
    }
    st = check_tree(doc->root, &path, err);
    if (st != POCKETFED_OK)
        goto out;
    *out = doc;
    doc = NULL;
out:
    pf_json_free(doc);
    return st;
}

void pf_json_free(struct pf_json_doc *doc)
{
    if (!doc)
        return;
    cJSON_Delete(doc->root);
    free(doc);
}

const struct pf_json_node *pf_json_root(const struct pf_json_doc *doc)
{
    return node(doc->root);
}

enum pf_json_kind pf_json_kind(const struct pf_json_node *n)
{
    const cJSON *c = item(n);

    if (cJSON_IsBool(c))
        return PF_JSON_KIND_BOOL;
    if (cJSON_IsNumber(c))
        return PF_JSON_KIND_NUMBER;
    if (cJSON_IsString(c))
        return PF_JSON_KIND_STRING;
    if (cJSON_IsArray(c))
        return PF_JSON_KIND_ARRAY;
    return cJSON_IsObject(c) ? PF_JSON_KIND_OBJECT : PF_JSON_KIND_NULL;
}

size_t pf_json_size(const struct pf_json_node *n)
{
    const struct pf_json_node *child;
    size_t size = 0;

    for (child = pf_json_first(n); child; child = pf_json_next(child))
        size++;
    return size;
}

const struct pf_json_node *pf_json_get(const struct pf_json_node *n,
                                       const char *key)
{
    if (!n || !cJSON_IsObject(item(n)))
        return NULL;
    return node(cJSON_GetObjectItemCaseSensitive(item(n), key));
}

const struct pf_json_node *pf_json_first(const struct pf_json_node *n)
{
    return n ? node(item(n)->child) : NULL;
}

const struct pf_json_node *pf_json_next(const struct pf_json_node *n)
{
    return n ? node(item(n)->next) : NULL;
}

const char *pf_json_key(const struct pf_json_node *n)
{
    return n ? item(n)->string : NULL;
}

const char *pf_json_text(const struct pf_json_node *n)
{
    return n && cJSON_IsString(item(n)) ? item(n)->valuestring : NULL;
}

int pf_json_number(const struct pf_json_node *n, double *out)
{
    double d;

    if (!n || !cJSON_IsNumber(item(n)))
        return 0;
    d = item(n)->valuedouble;
    if (!(d - d == 0)) /* 1e999 reads as infinity */
        return 0;
    *out = d;
    return 1;
}

int pf_json_integer(const struct pf_json_node *n, int64_t min, int64_t max,
                    int64_t *out)
{
    int64_t v;
    double d;

    /* Beyond 2^53 neighbours share a double: not known which was meant. */
    if (!pf_json_number(n, &d) || d < -0x1p53 || d > 0x1p53)
        return 0;
    v = (int64_t)d;
    if ((double)v != d || v < min || v > max)
        return 0;
    *out = v;
    return 1;
}

int pf_json_is_true(const struct pf_json_node *n)
{
    return n && cJSON_IsTrue(item(n));
}

static void write_children(const cJSON *c, struct pf_buf *out)
{
    const cJSON *child;

    for (child = c->child; child; child = child->next) {
        if (child != c->child)
            pf_buf_adds(out, ",");
        if (cJSON_IsObject(c)) {
            pf_json_string(out, child->string);
            pf_buf_adds(out, ":");
        }
        pf_json_write(node(child), out);
    }
}

enum pocketfed_status pf_json_write(const struct pf_json_node *n,
                                    struct pf_buf *out)
{
    const cJSON *c = item(n);

    switch (pf_json_kind(n)) {
    case PF_JSON_KIND_NULL:
        return pf_buf_adds(out, "null");
    case PF_JSON_KIND_BOOL:
        return pf_buf_adds(out, cJSON_IsTrue(c) ? "true" : "false");
    case PF_JSON_KIND_NUMBER:
        return pf_json_double(out, c->valuedouble);
    case PF_JSON_KIND_STRING:
        return pf_json_string(out, c->valuestring);
    case PF_JSON_KIND_ARRAY:
        pf_buf_adds(out, "[");
        write_children(c, out);
        return pf_buf_adds(out, "]");
    case PF_JSON_KIND_OBJECT:
        pf_buf_adds(out, "{");
        write_children(c, out);
        return pf_buf_adds(out, "}");
    }
    return POCKETFED_INTERNAL;
}
