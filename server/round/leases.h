/* leases.h - who trains for an asynchronous task, by device id.
 *
 * A device has at most one lease: it is TRAINING until its update is accepted,
 * it gives the work back, or its time is over (LAPSED: its place is free, its
 * update still welcome).  Leases end in the order in which they were given, so
 * a list in that order is all that time needs.  All memory is taken by init.
 */
#ifndef PF_LEASES_H
#define PF_LEASES_H

#include "round.h"

enum pf_lease_state {
    PF_LEASE_TRAINING,
    PF_LEASE_LAPSED,
    PF_LEASE_ACCEPTED,
    PF_LEASE_FAILED,
};

struct pf_lease {
    struct pf_device_ref device;
    enum pf_lease_state state;
    int64_t at_ms;
    uint64_t round;     /* the buffer that was open: names the update */
    uint64_t version;   /* models published before it began */
    uint8_t base[32];   /* the newest of them */
    uint64_t counted;   /* ACCEPTED: the buffer it went to, */
    uint8_t digest[32]; /* and what was acknowledged */
    uint64_t examples, weight;
    /* private */
    uint32_t next, previous; /* in its list; 1 + index, 0: none */
};

struct pf_lease_list {
    uint32_t first, last;
};

struct pf_leases {
    struct pf_lease *lease;
    uint32_t cap, n_training;
    struct pf_lease_list training, ended; /* both in the order of coming */
    /* private */
    uint32_t *slot, mask, n, free;
};

/* Room for that many training at once, and as many ended ones. */
enum pocketfed_status pf_leases_init(struct pf_leases *l, uint32_t training);
void pf_leases_free(struct pf_leases *l); /* zeroed is fine */
void pf_leases_clear(struct pf_leases *l);
/* NULL when the device has none. */
struct pf_lease *pf_leases_find(const struct pf_leases *l,
                                const uint8_t id[PF_DEVICE_LEN]);
/* How many train at now_ms when a lease lasts that long. */
uint32_t pf_leases_live(const struct pf_leases *l, int64_t now_ms,
                        int64_t lasts_ms);
/* 1 when another lease of that round finds a place. */
int pf_leases_room(const struct pf_leases *l, uint64_t round, int64_t now_ms,
                   int64_t lasts_ms);
/* Gives a lease, instead of the device's own or, when all places are taken, of
 * the one that ended longest ago: of another round if there is one, never one
 * that counted in this round. NULL when there is no room. Those whose time is
 * over become LAPSED first. */
struct pf_lease *pf_leases_give(struct pf_leases *l,
                                const struct pf_device_ref *device,
                                uint64_t round, int64_t now_ms,
                                int64_t lasts_ms);
/* TRAINING or LAPSED -> ACCEPTED or FAILED. */
void pf_leases_end(struct pf_leases *l, struct pf_lease *lease,
                   enum pf_lease_state state);

#endif
