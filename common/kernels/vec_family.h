/* vec_family.h - the kernels of the family that is being compiled, for the
 * vector sources that call each other. */
#ifndef PF_VEC_FAMILY_H
#define PF_VEC_FAMILY_H

#include "vec.h"

#define PF_FAMILY_KERNEL(name, type, args) type PF_NAME(name) args;
PF_KERNELS(PF_FAMILY_KERNEL)
#undef PF_FAMILY_KERNEL

#endif
