/* guard.h - a buffer that ends where the readable memory ends, so that a read
 * or write of one byte too many stops the test at once, sanitizer or not.
 */
#ifndef PF_GUARD_H
#define PF_GUARD_H

#include <stddef.h>

/* n bytes, zeroed; the byte after them is on an unreadable page. n may be 0.
 * Aligned only as far as n is. Stops the program when there is no memory. */
void *pf_guard_alloc(size_t n);
/* The same filled with a copy of p. */
void *pf_guard_copy(const void *p, size_t n);
void pf_guard_free(void *p, size_t n); /* n as given; NULL is fine */

#endif
