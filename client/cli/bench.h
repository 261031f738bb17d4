/* bench.h - what the commands that take times share.
 *
 * A figure is the median over chunks of a tenth of a second or so, with the
 * fastest and slowest beside it: on a machine that does other things too, a
 * mean says little, and so does time on the wall: what one thread computes is
 * also given by its processor time.  The processor's clock moves, so its
 * multiply-add peak is measured between the chunks, and shares are taken of its
 * median.
 */
#ifndef PF_CLI_BENCH_H
#define PF_CLI_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "kernels.h"

struct bench_spread {
    double median, min, max;
    size_t n;
};

/* Sorts v. All zero when n is 0. */
struct bench_spread bench_spread(double *v, size_t n);
/* {"median":..,"min":..,"max":..} */
void bench_spread_json(struct pf_buf *b, const char *name,
                       const struct bench_spread *s);
/* Wall time in seconds, never set back. */
double bench_now(void);
/* Processor time of the calling thread, and of all threads, in seconds. */
double bench_thread_cpu(void);
double bench_cpu(void);
/* GFLOP/s of a few milliseconds of independent multiply-adds on this thread, in
 * the family's own width. A multiply-add is two operations. */
double bench_peak(const struct pf_kernels *k);
/* Bytes of this process that are in memory now, and the most there were since
 * bench_forget_peak. 0 where the system does not say. */
uint64_t bench_resident(void);
uint64_t bench_resident_peak(void);
void bench_forget_peak(void);

#endif
