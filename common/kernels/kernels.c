#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Best first; pf_kernels_names must list them in the same order. */
static const struct pf_kernels *const families[] = {
    &pf_kernels_reference,
};
static const char *const family_names[] = {"reference", NULL};

const char *const *pf_kernels_names(void)
{
    return family_names;
}

const struct pf_kernels *pf_kernels_find(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i]->name, name) == 0)
            return families[i];
    return NULL;
}

enum pocketfed_status pf_kernels_get(const struct pf_kernels **out,
                                     struct pf_error *err)
{
    /* Written with one of a few constant tables and always the same one, so
     * that two first calls at once do no harm. */
    static const struct pf_kernels *_Atomic chosen;
    const struct pf_kernels *k = atomic_load(&chosen);
    const char *name, *near;

    if (!k) {
        name = getenv("POCKETFED_KERNELS");
        k = name && *name ? pf_kernels_find(name) : families[0];
        if (!k) {
            pf_fail(err, POCKETFED_CONFIG,
                    "POCKETFED_KERNELS names no kernel family: %.40s", name);
            near = pf_nearest(name, family_names);
            pf_hint(err, "unset it, or set it to %s",
                    near ? near : "reference");
            return POCKETFED_CONFIG;
        }
        atomic_store(&chosen, k);
    }
    *out = k;
    return POCKETFED_OK;
}
