/* Any bytes: refused, or read, written, read again and written equal. */
#include <stdlib.h>
#include <string.h>

#include "json_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int ok)
{
    if (!ok)
        abort();
}

static void as_tree(const char *text, size_t size)
{
    struct pf_json_doc *doc = NULL, *back = NULL;
    struct pf_buf one, two;

    pf_buf_init(&one, 8u << 20);
    pf_buf_init(&two, 8u << 20);
    if (pf_json_parse(text, size, &doc, NULL) == POCKETFED_OK) {
        demand(pf_json_write(pf_json_root(doc), &one) == POCKETFED_OK);
        if (one.len <= PF_JSON_MAX_TEXT) { /* escapes may lengthen it */
            demand(pf_json_parse(pf_buf_str(&one), one.len, &back, NULL) ==
                   POCKETFED_OK);
            demand(pf_json_write(pf_json_root(back), &two) == POCKETFED_OK);
            demand(one.len == two.len &&
                   memcmp(one.data, two.data, one.len) == 0);
        }
    }
    pf_json_free(doc);
    pf_json_free(back);
    pf_buf_free(&one);
    pf_buf_free(&two);
}

static void as_struct(const char *text, size_t size,
                      enum pf_json_unknown unknown)
{
    struct sample s = {.name = ""}, back = {.name = ""};
    struct pf_error err = {.text = ""};
    struct pf_buf out;

    pf_buf_init(&out, 8u << 20);
    if (pf_json_decode(sample_fields, unknown, text, size, &s, &err) ==
        POCKETFED_OK) {
        demand(pf_json_encode(sample_fields, &s, &out) == POCKETFED_OK);
        demand(out.len > PF_JSON_MAX_TEXT ||
               pf_json_decode(sample_fields, PF_JSON_REFUSE, pf_buf_str(&out),
                              out.len, &back, &err) == POCKETFED_OK);
    } else {
        demand(err.text[0] != '\0');
    }
    pf_buf_free(&s.extra);
    pf_buf_free(&back.extra);
    pf_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    as_tree(text, size);
    as_struct(text, size, PF_JSON_IGNORE);
    as_struct(text, size, PF_JSON_REFUSE);
    return 0;
}
