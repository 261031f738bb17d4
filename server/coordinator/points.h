/* points.h - the coordinator's turns, one row each: where a crash must not
 * hurt.  See store/points.h for what the rows are for and how they are read.
 */
#ifndef PF_COORDINATOR_POINTS_H
#define PF_COORDINATOR_POINTS_H

#include "coordinator_int.h"

/* clang-format off */
#define PF_COORDINATOR_POINTS(STATUS, VOID)                                    \
    VOID(pf_coordinator_drain,                                                 \
         (struct pf_coordinator *c, int64_t wait_ms, int *ended),              \
         (c, wait_ms, ended))                                                  \
    STATUS(pf_coordinator_perform,                                             \
           (struct pf_coordinator *c, struct pf_task_step *s,                  \
            struct pf_error *err),                                             \
           (c, s, err))                                                        \
    VOID(pf_coordinator_answer,                                                \
         (struct pf_coordinator *c, const struct pf_effect *e), (c, e))        \
    VOID(pf_coordinator_announce,                                              \
         (struct pf_coordinator *c, const char *line), (c, line))              \
    VOID(pf_coordinator_deliver,                                               \
         (void *coordinator, struct pf_live_task *t,                           \
          const struct pf_event *ev),                                          \
         (coordinator, t, ev))
/* clang-format on */

#endif
