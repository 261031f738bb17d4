/* crew.h - threads of a test, lent as struct pf_parallel; started for each
 * run. */
#ifndef PF_CREW_H
#define PF_CREW_H

#include <stdatomic.h>

#include "parallel.h"

struct crew {
    unsigned workers; /* at most 8 */
    unsigned n_tasks, runs;
    _Atomic unsigned next;
    void (*task)(void *arg, unsigned i, unsigned worker);
    void *arg;
};

/* c outlives what is returned. */
struct pf_parallel crew_lend(struct crew *c);

#endif
