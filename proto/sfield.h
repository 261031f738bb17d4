/* sfield.h - structured fields (RFC 8941) as far as signatures and digests
 * need them: a dictionary whose members are items or inner lists, with
 * parameters; items are integers, strings, tokens, byte sequences, booleans.
 *
 * Nothing is allocated; slices point into the field.  Strict and bounded: only
 * the canonical form (as section 4.1 serialises) is read within a member, at
 * most PF_SF_MAX_FIELD characters, PF_SF_MAX_LIST items and parameters.
 */
#ifndef PF_SFIELD_H
#define PF_SFIELD_H

#include <stddef.h>
#include <stdint.h>

#define PF_SF_MAX_FIELD 4096
#define PF_SF_MAX_LIST  16

struct pf_sf_slice {
    const char *p;
    size_t len;
};

enum pf_sf_type {
    PF_SF_INTEGER,
    PF_SF_STRING,
    PF_SF_TOKEN,
    PF_SF_BYTES,
    PF_SF_BOOLEAN,
    PF_SF_LIST, /* only as a member's value */
};

struct pf_sf_item {
    enum pf_sf_type type;
    int64_t integer;         /* INTEGER, BOOLEAN */
    struct pf_sf_slice text; /* STRING: between the quotes, escapes as sent;
                                TOKEN; BYTES: the base64 between the colons */
};

struct pf_sf_param {
    struct pf_sf_slice key;
    struct pf_sf_item value;
};

struct pf_sf_member {
    struct pf_sf_slice key;
    struct pf_sf_slice raw; /* value and parameters exactly as sent */
    struct pf_sf_item value;
    struct pf_sf_item items[PF_SF_MAX_LIST]; /* LIST; without parameters */
    size_t n_items;
    struct pf_sf_param params[PF_SF_MAX_LIST];
    size_t n_params;
};

struct pf_sf { /* a place in a dictionary field */
    const char *p, *end;
    int begun;
};

/* 1, or 0 when the field is too long. */
int pf_sf_open(struct pf_sf *f, const char *field);
/* The next member: 1, 0 at the end, -1 when malformed (then stop). A key given
 * twice is for the caller to see. */
int pf_sf_next(struct pf_sf *f, struct pf_sf_member *out);
/* The parameter of that key, or NULL. */
const struct pf_sf_item *pf_sf_param(const struct pf_sf_member *m,
                                     const char *key);
int pf_sf_is(struct pf_sf_slice s, const char *text); /* 1 when equal */
/* A BYTES item of exactly n bytes; 1 or 0. */
int pf_sf_bytes(const struct pf_sf_item *item, uint8_t *out, size_t n);
/* A STRING item without escapes as a C string; 1, or 0 when it is another type
 * or does not fit in cap with its NUL. */
int pf_sf_string(const struct pf_sf_item *item, char *out, size_t cap);

#endif
