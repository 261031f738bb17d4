/* inflight.h - the uploads that are under way: how many, of whom, and how many
 * bytes of each round's segment they were given.
 *
 * A device needs one; a second is let in because a phone may notice before we
 * do that its connection has died.  Without the bounds one device could hold
 * every place in the coordinator's queue, and many could fill the disk with
 * updates that are never finished.  Entries lie in their uploads, so entering
 * takes no memory and cannot fail for want of it.  Thread-safe.
 */
#ifndef PF_INFLIGHT_H
#define PF_INFLIGHT_H

#include <stdint.h>
#include <pocketfed/status.h>
#include "messages.h"

struct pf_inflight;

/* Zeroed before it is entered; private. */
struct pf_inflight_entry {
    struct pf_inflight_entry *next;
    int64_t task;
    uint64_t round, bytes;
    uint8_t device[PF_DEVICE_LEN];
    unsigned tally;
    int in;
};

struct pf_inflight_bounds {
    uint64_t all;         /* in the daemon */
    uint64_t device;      /* per task, round and device */
    uint64_t round_bytes; /* per task and round */
};

/* Which bound it would break. */
enum pf_inflight_result {
    PF_INFLIGHT_IN,
    PF_INFLIGHT_ALL,
    PF_INFLIGHT_DEVICE,
    PF_INFLIGHT_BYTES,
};

enum pocketfed_status pf_inflight_create(struct pf_inflight **out);
void pf_inflight_free(struct pf_inflight *f); /* NULL is fine */
/* An entry that is in stays where it is in memory until it leaves. The first
 * upload of a round is let in whatever its size: a round that takes larger
 * updates than the bound must be possible. */
enum pf_inflight_result pf_inflight_enter(struct pf_inflight *f,
                                          struct pf_inflight_entry *e,
                                          const struct pf_inflight_bounds *most,
                                          int64_t task, uint64_t round,
                                          const uint8_t device[PF_DEVICE_LEN],
                                          uint64_t bytes);
/* Fine for an entry that is not in. */
void pf_inflight_leave(struct pf_inflight *f, struct pf_inflight_entry *e);

#endif
