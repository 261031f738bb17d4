/* layers_inside.h - the rows of the layer table, across their files. */
#ifndef PF_LAYERS_INSIDE_H
#define PF_LAYERS_INSIDE_H

#include "layer.h"

extern const struct pf_layer_type pf_layer_depthwise, pf_layer_avgpool,
    pf_layer_globalavg, pf_layer_globalmax, pf_layer_leaky, pf_layer_tanh,
    pf_layer_sigmoid, pf_layer_dropout, pf_layer_batchnorm, pf_layer_groupnorm,
    pf_layer_add;

/* infer of layers that leave the shape as it is. */
enum pocketfed_status pf_same_shape(struct pf_layer *l, const char *where,
                                    struct pf_error *err);
/* Output height and width of a square window with zero padding; size_name is
 * the attribute's, for people. */
enum pocketfed_status pf_window_infer(struct pf_layer *l, const char *where,
                                      const char *size_name, uint32_t size,
                                      uint32_t pad, uint32_t stride,
                                      struct pf_error *err);

/* Attributes of pools with windows, and their infer: stride is the size when
 * absent. */
enum { POOL_SIZE, POOL_STRIDE };
enum pocketfed_status pf_pool_infer(struct pf_layer *l, const char *where,
                                    struct pf_error *err);

static inline size_t pf_pixels(const struct pf_shape *s)
{
    return (size_t)s->h * s->w;
}

#endif
