/* bench_steps.h - what each step of a model costs: time, and arithmetic.
 *
 * Arithmetic is counted in multiply-adds of one example.  "Dense" is what the
 * layers' formulas say: a forward pass, the gradient by the weights and, where
 * something before the layer learns, the gradient by the input.  "Executed" are
 * those of them that have no zero factor where the kernels look for zeros:
 *   dense layers    by their input: forward, and backward too when nobody
 *                   wants the input's gradient where the input is zero;
 *   convolutions    by the gradient that comes back through the activation and
 *                   the pool, in both gradients.
 * The shares of zeros are those found in the values of the last chunk of every
 * few steps.  Forward, a convolution by Winograd executes the products in its
 * transformed domain; skipped empty windows of an image count as executed.
 * On bytes nothing is skipped. Layers without kernels of their own count as
 * nothing.
 */
#ifndef PF_BENCH_STEPS_H
#define PF_BENCH_STEPS_H

#include "exec.h"

struct bench_step {
    char name[3 * 48 + 4];
    const char *method;
    double forward_us, backward_us; /* of one example */
    double dense, executed;         /* multiply-adds of one example */
    double density;                 /* share of its input that is not zero */
};

struct bench_steps {
    size_t n;
    struct bench_step step[PF_MODEL_MAX_LAYERS];
    unsigned looks; /* how often zeros were counted */
};

/* Names, methods and dense counts. */
void bench_steps_begin(struct bench_steps *b, const struct pf_exec *e);
/* After a training step: looks at n <= e->chunk examples that are still there.
 */
void bench_steps_look(struct bench_steps *b, const struct pf_exec *e, size_t n);
/* Turns what was looked at into means, and e's ticks, of a clock in
 * nanoseconds, into times. */
void bench_steps_end(struct bench_steps *b, const struct pf_exec *e,
                     uint64_t examples);
/* Nanoseconds, for e->clock: on the wall, and of this thread's processor. */
uint64_t bench_clock_wall(void);
uint64_t bench_clock_cpu(void);
/* The table for people, and "steps":[...] for programs. */
void bench_steps_print(const struct bench_steps *b, double rest_us);
void bench_steps_json(const struct bench_steps *b, struct pf_buf *out);

#endif
