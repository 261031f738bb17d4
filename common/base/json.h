/* json.h - a table of fields turns JSON text into a struct and back.
 *
 * The only file that includes cJSON is json.c.  One row describes one member:
 * its key, its type, where it lies in the struct, its bounds and whether it
 * must be there.  The same table serves both directions, so what is written is
 * what can be read.  Decoding checks the size and depth of the text before
 * cJSON sees it, refuses duplicate keys, and fills the struct only as far as
 * it gets: on failure the struct's content is unspecified, err names the
 * member by JSON pointer.
 */
#ifndef PF_JSON_H
#define PF_JSON_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"

enum pf_json_type {
    PF_JSON_STRING,    /* char[size], NUL-terminated, UTF-8, no control chars */
    PF_JSON_HEX,       /* uint8_t[size] <-> 2*size lower-case digits */
    PF_JSON_BASE64URL, /* struct pf_json_bytes {len, data[size]} */
    PF_JSON_U32,       /* uint32_t <-> number */
    PF_JSON_U64,    /* uint64_t <-> decimal string (a number <= 2^53 is read) */
    PF_JSON_I64,    /* int64_t  <-> number, |x| <= 2^53 */
    PF_JSON_DOUBLE, /* double   <-> number, finite; written to round-trip */
    PF_JSON_BOOL,   /* int 0/1 */
    PF_JSON_ENUM,   /* int index into names[] <-> string */
    PF_JSON_OBJECT, /* nested struct described by `fields` */
    PF_JSON_STRINGS, /* char[count][size], number of entries at count_offset */
    PF_JSON_RAW,     /* struct pf_buf: any JSON value, kept as compact text of
                        at most its max bytes (PF_JSON_MAX_TEXT when that is 0);
                        the owner of the struct frees it; empty: not written */
};

/* Storage of PF_JSON_BASE64URL: declare as struct { size_t len; uint8_t
 * data[N]; } with N = row's size; this is its common beginning. */
struct pf_json_bytes {
    size_t len;
    uint8_t data[];
};

enum pf_json_flag {
    PF_JSON_REQUIRED = 1,   /* missing is an error */
    PF_JSON_OMIT_EMPTY = 2, /* zero / empty / false is not written */
};

struct pf_json_field {
    const char *key;
    enum pf_json_type type;
    size_t offset, size; /* in the struct; size as the type says */
    unsigned flags;
    double min, max;          /* numbers: inclusive, not checked when both 0 */
    const char *const *names; /* ENUM: NULL-terminated */
    const struct pf_json_field *fields; /* OBJECT; ends with key == NULL */
    size_t count, count_offset;         /* STRINGS */
    const char *help; /* one sentence, for generated documentation */
};

enum pf_json_unknown {
    PF_JSON_IGNORE, /* members of messages: newer peers may add some */
    PF_JSON_REFUSE, /* members of files people write: name the nearest key */
};

#define PF_JSON_MAX_DEPTH 32

/* Members absent from the text keep the value the struct had before: set the
 * defaults first. MALFORMED (not JSON, wrong type, bad value), LIMIT (text
 * longer than PF_JSON_MAX_TEXT or too deep), NO_MEMORY. */
#define PF_JSON_MAX_TEXT   (4u << 20)
#define PF_JSON_MAX_VALUES (1u << 18) /* a value takes 64 bytes of tree */
enum pocketfed_status pf_json_decode(const struct pf_json_field *fields,
                                     enum pf_json_unknown unknown,
                                     const char *text, size_t len, void *out,
                                     struct pf_error *err);
/* Appends compact JSON, members in the table's order: equal structs give equal
 * bytes. */
enum pocketfed_status pf_json_encode(const struct pf_json_field *fields,
                                     const void *in, struct pf_buf *out);
/* The same with two-space indentation, for people. */
enum pocketfed_status pf_json_encode_pretty(const struct pf_json_field *fields,
                                            const void *in, struct pf_buf *out);
/* Appends s as a JSON string with its quotes; _n takes exactly n bytes, which
 * need no NUL after them. */
enum pocketfed_status pf_json_string(struct pf_buf *out, const char *s);
enum pocketfed_status pf_json_string_n(struct pf_buf *out, const char *s,
                                       size_t n);
/* Appends a double so that it reads back equal; null when not finite. */
enum pocketfed_status pf_json_double(struct pf_buf *out, double d);

/* A parsed tree, for the few texts that are not one flat struct (layer lists,
 * safetensors headers). Read-only; borrowed strings live as long as the doc. */
struct pf_json_doc;  /* owns everything */
struct pf_json_node; /* borrowed */
enum pocketfed_status pf_json_parse(const char *text, size_t len,
                                    struct pf_json_doc **out,
                                    struct pf_error *err);
void pf_json_free(struct pf_json_doc *doc); /* NULL is fine */
const struct pf_json_node *pf_json_root(const struct pf_json_doc *doc);
enum pf_json_kind {
    PF_JSON_KIND_NULL,
    PF_JSON_KIND_BOOL,
    PF_JSON_KIND_NUMBER,
    PF_JSON_KIND_STRING,
    PF_JSON_KIND_ARRAY,
    PF_JSON_KIND_OBJECT,
};
enum pf_json_kind pf_json_kind(const struct pf_json_node *n);
size_t pf_json_size(const struct pf_json_node *n); /* of array or object */
/* NULL when absent or n (NULL allowed) is not of that kind. O(size). */
const struct pf_json_node *pf_json_get(const struct pf_json_node *n,
                                       const char *key);
/* Iteration over arrays and objects: first child, then next, NULL last. */
const struct pf_json_node *pf_json_first(const struct pf_json_node *n);
const struct pf_json_node *pf_json_next(const struct pf_json_node *n);
const char *pf_json_key(const struct pf_json_node *n);  /* in an object */
const char *pf_json_text(const struct pf_json_node *n); /* STRING or NULL */
int pf_json_number(const struct pf_json_node *n, double *out); /* 1 or 0 */
int pf_json_integer(const struct pf_json_node *n, int64_t min, int64_t max,
                    int64_t *out); /* 1 when a whole number in range */
int pf_json_is_true(const struct pf_json_node *n);
/* Decodes one node by a table (as pf_json_decode does the root). `where` is
 * its JSON pointer for error texts, "" for the root. */
enum pocketfed_status pf_json_decode_node(const struct pf_json_field *fields,
                                          enum pf_json_unknown unknown,
                                          const struct pf_json_node *n,
                                          const char *where, void *out,
                                          struct pf_error *err);
/* Appends the node as compact JSON. */
enum pocketfed_status pf_json_write(const struct pf_json_node *n,
                                    struct pf_buf *out);

#endif
