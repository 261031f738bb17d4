/* window.h - stretches of a file that stay mapped while updates in them are
 * read: once to be admitted and once to be added.
 *
 * Mapping and unmapping each update by itself costs more than reading it, since
 * every unmapping interrupts the other processors.  Windows are few and short,
 * so that memory does not depend on how much a round brings.  No lock: the
 * caller holds one.
 */
#ifndef PF_WINDOW_H
#define PF_WINDOW_H

#include <stdint.h>

#define PF_WINDOW  ((uint64_t)8 << 20)
#define PF_WINDOWS 4

struct pf_windows { /* zeroed: none */
    struct pf_pane {
        uint8_t *p; /* NULL: none */
        uint64_t offset;
        unsigned users;
    } pane[PF_WINDOWS];
    unsigned next; /* gives way to another, when nobody uses it */
};

/* The bytes from offset on, n of them, read-only; NULL when they lie in two
 * windows, all are in use or there is no memory: then map them otherwise. */
const uint8_t *pf_windows_take(struct pf_windows *w, int fd, uint64_t offset,
                               uint64_t n);
/* What take gave: 1. Anything else: 0. */
int pf_windows_give(struct pf_windows *w, const uint8_t *p);
/* Nobody may use one any more. */
void pf_windows_close(struct pf_windows *w);

#endif
