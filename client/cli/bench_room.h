/* bench_room.h - a kernel's arguments and a call of it, for `bench kernels`.
 *
 * A room holds one layer's arrays for n examples, filled as in training: an
 * input that came out of a ReLU is half zeros, weights are packed the family's
 * way, and updates are steps of length zero, which cost what any other does.
 */
#ifndef PF_BENCH_ROOM_H
#define PF_BENCH_ROOM_H

#include "kernels.h"

struct room {
    const struct pf_kernels *k;
    size_t n;
    struct pf_conv conv;
    struct pf_dense dense;
    struct pf_pool pool;
    struct pf_update update;
    pf_real *packed, *ready, *x, *y, *dy, *dx, *grad, *turned, *m, *v;
    uint8_t *side;
    uint32_t *where;
    void *scratch;
};

/* Arrays of r->n examples of r->conv, r->dense or r->pool; 0: no memory. */
int room_conv(struct room *r, int wants_dx);
int room_dense(struct room *r, int wants_dx);
int room_simple(struct room *r);
/* Of r->n parameters. */
int room_update(struct room *r, enum pf_rule rule);
void room_free(struct room *r);

/* A call of the kernel of that name; forward before backward. */
void room_call_conv_prepare(struct room *r);
void room_call_conv_forward(struct room *r);
void room_call_conv_backward(struct room *r);
void room_call_dense_forward(struct room *r);
void room_call_dense_turn(struct room *r);
void room_call_dense_backward(struct room *r);
void room_call_pool_forward(struct room *r);
void room_call_pool_backward(struct room *r);
void room_call_relu_forward(struct room *r);
void room_call_relu_backward(struct room *r);
void room_call_channels_first(struct room *r);
void room_call_channels_last(struct room *r);
void room_call_update(struct room *r);

#endif
