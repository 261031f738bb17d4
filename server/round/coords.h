/* coords.h - the loops over every coordinate of every update.
 *
 * One source, coords.c, compiled for each instruction set that is a row in
 * CMakeLists.txt; the processor decides at run time. Every row gives the same
 * bits: no sum is reordered, no product contracted.
 */
#ifndef PF_COORDS_H
#define PF_COORDS_H

#include <stddef.h>
#include <stdint.h>

/* From a float to whole quanta: times `mul`, a power of two, clamped to +-lim,
 * times `factor`, rounded half to even. */
struct pf_quantiser {
    double mul, lim, factor;
};

struct pf_coords {
    const char *name;
    /* value[i] += quanta of x[i] times weight, for any weight. */
    void (*add_heavy)(int64_t *restrict value, const float *restrict x,
                      size_t n, const struct pf_quantiser *q, int64_t weight);
    /* The same, faster, when q->lim * weight < PF_COORDS_LIGHT. */
    void (*add_light)(int64_t *restrict value, const float *restrict x,
                      size_t n, const struct pf_quantiser *q, double weight);
    /* How many |x[i]| > most; n < 2^32. */
    size_t (*outside)(const float *x, size_t n, float most);
    /* Sum of squares in double; finite exactly when every x[i] is. */
    double (*squares)(const float *x, size_t n);
};
#define PF_COORDS_LIGHT 2251799813685248.0 /* 2^51 */

/* The best that runs on this processor. Any thread. */
const struct pf_coords *pf_coords(void);
/* Those that run here, the portable one last; ends with NULL. */
const struct pf_coords *const *pf_coords_here(void);

#endif
