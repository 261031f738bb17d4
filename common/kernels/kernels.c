#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef PF_REAL_DOUBLE
#define PF_FAMILIES(X) /* vectors are of floats */
#else
#include "families.h"
#endif

/* NULL when what is linked leaves the family out: client/CMakeLists.txt. */
#define X(isa)                                                                 \
    extern const struct pf_kernels pf_kernels_##isa __attribute__((weak));
PF_FAMILIES(X)
#undef X

/* Best first. */
#define X(isa) &pf_kernels_##isa,
static const struct pf_kernels *const families[] = {PF_FAMILIES(X) &
                                                    pf_kernels_reference};
#undef X
#define X(isa) #isa,
static const char *const family_names[] = {PF_FAMILIES(X) "reference", NULL};
#undef X
enum { N_FAMILIES = sizeof families / sizeof *families };

/* Where one family runs all that follow do: see CMakeLists.txt. */
static size_t best_here(void)
{
    size_t i = 0;

    while (!families[i] || !families[i]->runs_here())
        i++;
    return i;
}

const char *const *pf_kernels_names(void)
{
    return family_names + best_here();
}

const struct pf_kernels *pf_kernels_find(const char *name)
{
    for (size_t i = best_here(); i < N_FAMILIES; i++)
        if (families[i] && strcmp(families[i]->name, name) == 0)
            return families[i];
    return NULL;
}

/* Says which names would do. */
static enum pocketfed_status refuse(const char *name, struct pf_error *err)
{
    char list[64] = "";

    for (size_t i = best_here(); i < N_FAMILIES; i++) {
        if (!families[i])
            continue;
        strncat(list, family_names[i], sizeof list - strlen(list) - 1);
        if (i + 1 < N_FAMILIES)
            strncat(list, i + 2 < N_FAMILIES ? ", " : " or ",
                    sizeof list - strlen(list) - 1);
    }
    pf_fail(err, POCKETFED_CONFIG,
            "POCKETFED_KERNELS names no kernel family that runs here: %.40s",
            name);
    pf_hint(err, "unset it, or set it to %s", list);
    return POCKETFED_CONFIG;
}

enum pocketfed_status pf_kernels_get(const struct pf_kernels **out,
                                     struct pf_error *err)
{
    /* Written with one of a few constant tables and always the same one, so
     * that two first calls at once do no harm. */
    static const struct pf_kernels *_Atomic chosen;
    const struct pf_kernels *k = atomic_load(&chosen);
    const char *name;

    if (!k) {
        name = getenv("POCKETFED_KERNELS");
        k = name && *name ? pf_kernels_find(name) : families[best_here()];
        if (!k)
            return refuse(name, err);
        atomic_store(&chosen, k);
    }
    *out = k;
    return POCKETFED_OK;
}
