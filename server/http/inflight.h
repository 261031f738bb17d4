/* inflight.h - how many uploads of one device are under way in a round.
 *
 * A device needs one; a second is let in because a phone may notice before we
 * do that its connection has died.  Without the bound one device could hold
 * every place in the coordinator's queue.  Entries lie in their uploads, so
 * entering takes no memory and cannot fail for want of it.  Thread-safe.
 */
#ifndef PF_INFLIGHT_H
#define PF_INFLIGHT_H

#include <stdint.h>
#include <pocketfed/status.h>
#include "messages.h"

#define PF_INFLIGHT_MAX 2 /* per task, round and device */

struct pf_inflight;

/* Zeroed before it is entered; private. */
struct pf_inflight_entry {
    struct pf_inflight_entry *next;
    int64_t task;
    uint64_t round;
    uint8_t device[PF_DEVICE_LEN];
    int in;
};

enum pocketfed_status pf_inflight_create(struct pf_inflight **out);
void pf_inflight_free(struct pf_inflight *f); /* NULL is fine */
/* 1, or 0 when PF_INFLIGHT_MAX are in. An entry that is in stays where it is
 * in memory until it leaves. */
int pf_inflight_enter(struct pf_inflight *f, struct pf_inflight_entry *e,
                      int64_t task, uint64_t round,
                      const uint8_t device[PF_DEVICE_LEN]);
/* Fine for an entry that is not in. */
void pf_inflight_leave(struct pf_inflight *f, struct pf_inflight_entry *e);

#endif
