/* reference_inside.h - the functions of the reference family, across its
 * files. */
#ifndef PF_REFERENCE_INSIDE_H
#define PF_REFERENCE_INSIDE_H

#include "kernels.h"

#define PF_REFERENCE_KERNEL(name, type, args) type pf_reference_##name args;
PF_KERNELS(PF_REFERENCE_KERNEL)
#undef PF_REFERENCE_KERNEL

static inline pf_real pf_reference_act(enum pf_act act, pf_real slope,
                                       pf_real v)
{
    if (v < 0 && act != PF_ACT_NONE)
        return act == PF_ACT_RELU ? 0 : slope * v;
    return v;
}

#endif
