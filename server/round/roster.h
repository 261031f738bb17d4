/* roster.h - who was assigned to a round and what came of it, by device id.
 *
 * A fixed table of entries in the order of assignment and an open-addressed
 * index of 32-bit slots over them.  All memory is taken by pf_roster_init; the
 * pages of entries that are never used are never touched.  Device ids are
 * already hashes, so their first bytes are the hash.
 */
#ifndef PF_ROSTER_H
#define PF_ROSTER_H

#include "round.h"

enum pf_entry_state {
    PF_ENTRY_ASSIGNED, /* training, or lost */
    PF_ENTRY_ACCEPTED, /* its update counts */
    PF_ENTRY_FAILED,   /* it gave the assignment back */
};

struct pf_entry {
    struct pf_device_ref device;
    enum pf_entry_state state;
    int64_t at_ms;               /* assigned */
    struct pf_accepted accepted; /* ACCEPTED */
};

struct pf_roster {
    uint64_t round;   /* 0: none yet */
    uint8_t base[32]; /* the model that round started from */
    struct pf_entry *entry;
    uint32_t n, cap;
    uint32_t n_accepted, n_failed;
    /* private */
    uint32_t *slot; /* 1 + number of an entry; 0: empty */
    uint32_t mask;
};

/* Room for cap devices, 1 .. PF_ROSTER_MAX. */
#define PF_ROSTER_MAX 2000000
enum pocketfed_status pf_roster_init(struct pf_roster *r, uint32_t cap);
void pf_roster_free(struct pf_roster *r); /* zeroed is fine */
/* Forgets everybody; the roster is of this round and base now. */
void pf_roster_open(struct pf_roster *r, uint64_t round,
                    const uint8_t base[32]);
/* NULL when the device is not in it. */
struct pf_entry *pf_roster_find(const struct pf_roster *r,
                                const uint8_t id[PF_DEVICE_LEN]);
/* The new entry, ASSIGNED. NULL when it is there already or there is no room.
 */
struct pf_entry *pf_roster_add(struct pf_roster *r,
                               const struct pf_device_ref *device,
                               int64_t at_ms);
/* Devices that may still contribute or have done so. */
static inline uint32_t pf_roster_live(const struct pf_roster *r)
{
    return r->n - r->n_failed;
}

#endif
