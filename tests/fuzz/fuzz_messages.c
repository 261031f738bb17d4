/* First byte: which table of tables.h. The rest: JSON. What is read must be
 * written, and what was written must be read as the same text again. */
#include <stdlib.h>
#include <string.h>
#include "tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union message {
    char bytes[20000];
    uint64_t align;
    double align_too;
};

/* The spec of a plan is the only member that owns memory. */
static void drop(const struct pf_table *t, union message *m)
{
    const struct pf_json_field *f;

    for (f = t->fields; f->key; f++)
        if (f->type == PF_JSON_RAW)
            pf_buf_free((struct pf_buf *)(void *)(m->bytes + f->offset));
}

/* Zeros, or the least that a number may be: what an absent member leaves must
 * be a value that can be written. */
static void set_defaults(const struct pf_table *t, union message *m)
{
    const struct pf_json_field *f;

    memset(m, 0, sizeof *m);
    for (f = t->fields; f->key; f++) {
        void *at = m->bytes + f->offset;

        if (f->min > 0 && f->type == PF_JSON_U64)
            *(uint64_t *)at = (uint64_t)f->min;
        if (f->min > 0 && f->type == PF_JSON_I64)
            *(int64_t *)at = (int64_t)f->min;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pf_table *t;
    union message m, back;
    struct pf_buf a, b;
    struct pf_error err;

    if (size < 1 || data[0] >= pf_n_tables)
        return 0;
    t = &pf_tables[data[0]];
    set_defaults(t, &m);
    set_defaults(t, &back);
    pf_buf_init(&a, 8 << 20);
    pf_buf_init(&b, 8 << 20);
    if (!pf_json_decode(t->fields, PF_JSON_IGNORE, (const char *)data + 1,
                        size - 1, &m, &err)) {
        if (pf_json_encode(t->fields, &m, &a) ||
            pf_json_decode(t->fields, PF_JSON_REFUSE, pf_buf_str(&a), a.len,
                           &back, &err) ||
            pf_json_encode(t->fields, &back, &b) || a.len != b.len ||
            memcmp(a.data, b.data, a.len))
            abort();
    }
    drop(t, &m);
    drop(t, &back);
    pf_buf_free(&a);
    pf_buf_free(&b);
    return 0;
}
