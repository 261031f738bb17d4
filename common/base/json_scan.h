/* json_scan.h - what json.c, json_decode.c and json_encode.c share: a check of
 * the whole text before cJSON sees it, and UTF-8.
 *
 * cJSON says neither why it refused a text nor that it ran out of memory, and
 * it is lenient (leading zeros, control characters, "\u0000" that ends a
 * string early).  The scan holds a text to RFC 8259 and to our limits first;
 * what cJSON refuses after that is a lack of memory.
 */
#ifndef PF_JSON_SCAN_H
#define PF_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

/* OK, LIMIT (size, depth or count of values) or MALFORMED with line and
 * column. */
enum pocketfed_status pf_json_scan(const char *text, size_t len,
                                   struct pf_error *err);
/* Length 1..4 of the UTF-8 character at p (at most left bytes), 0 when it is
 * none: overlong, a surrogate, above U+10FFFF or cut. */
size_t pf_utf8_len(const uint8_t *p, size_t left);

/* A JSON pointer (RFC 6901) under construction, for error texts. Too long a
 * one ends in "..."; control characters become '?'. */
struct pf_json_path {
    char text[160];
    size_t len;
};

/* Appends "/key"; returns the length to give to pf_json_pop. */
size_t pf_json_push(struct pf_json_path *path, const char *key);
void pf_json_pop(struct pf_json_path *path, size_t len);

#endif
