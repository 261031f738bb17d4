/* precision.h - the numbers in which the weights of a model that is only used
 * are kept.  Activations between steps stay floats. */
#ifndef PF_PRECISION_H
#define PF_PRECISION_H

enum pf_precision {
    PF_F32,
    PF_F16, /* weights of convolutions and dense layers as IEEE 754 binary16 */
    PF_INT8 /* these weights in -127..127 with a scale per output channel; their
               inputs likewise, with a scale per example, taken as it runs */
};

#define PF_PRECISION_NAMES                                                     \
    {                                                                          \
        "f32", "f16", "int8", NULL                                             \
    }

#endif
