/* say.h - how a benchmark talks: results to stdout, one JSON object a line;
 * everything for people to stderr; what cannot go on ends the program.
 */
#ifndef PF_BENCH_SAY_H
#define PF_BENCH_SAY_H

#include "fail.h"

void say(const char *fmt, ...) PF_PRINTF(1, 2);
void die(const char *fmt, ...) PF_PRINTF(1, 2) __attribute__((noreturn));
/* A gate: says which one was missed and remembers that one was. */
void gate(int ok, const char *fmt, ...) PF_PRINTF(2, 3);
int gates_missed(void);

double seconds_now(void);             /* monotonic */
double median(double *x, unsigned n); /* sorts x */
/* The q-th quantile, 0 .. 1; sorts x. */
double quantile(double *x, unsigned n, double q);

#endif
