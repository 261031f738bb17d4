/* text.h - the few encodings in which bytes travel as text: hexadecimal,
 * base64 (RFC 4648, padded) and base64url (unpadded), and strict numbers.
 */
#ifndef PF_TEXT_H
#define PF_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"

/* out gets 2*n digits and a NUL. */
void pf_hex(const uint8_t *p, size_t n, char *out);
/* Exactly n bytes from exactly 2*n lower-case digits; 1 or 0. */
int pf_unhex(const char *s, size_t len, uint8_t *out, size_t n);

#define PF_BASE64_LEN(n) (((n) + 2) / 3 * 4)
/* out gets PF_BASE64_LEN(n) characters at most and a NUL; returns how many. */
size_t pf_base64(const uint8_t *p, size_t n, char *out);
size_t pf_base64url(const uint8_t *p, size_t n, char *out);
/* Strict (canonical padding or none, no blanks). *out_len is the capacity on
 * entry and the length on success. MALFORMED or LIMIT otherwise. */
enum pocketfed_status pf_unbase64(const char *s, size_t len, uint8_t *out,
                                  size_t *out_len);
enum pocketfed_status pf_unbase64url(const char *s, size_t len, uint8_t *out,
                                     size_t *out_len);

/* The whole of s (len bytes) is one decimal number in [min, max]; 1 or 0. */
int pf_parse_u64(const char *s, size_t len, uint64_t min, uint64_t max,
                 uint64_t *out);
int pf_parse_i64(const char *s, size_t len, int64_t min, int64_t max,
                 int64_t *out);
/* Finite, decimal, locale-independent; 1 or 0. */
int pf_parse_double(const char *s, size_t len, double *out);

#endif
