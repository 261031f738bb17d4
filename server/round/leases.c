#include "leases.h"

#include <stdlib.h>
#include <string.h>
#include "bytes.h"

enum pocketfed_status pf_leases_init(struct pf_leases *l, uint32_t training)
{
    uint32_t n_slots = 8, cap = 2 * training;

    memset(l, 0, sizeof *l);
    if (training == 0 || training > UINT32_MAX / 16)
        return POCKETFED_INVALID;
    while (n_slots < 2 * cap) /* at most half full: short probes */
        n_slots *= 2;
    l->lease = malloc(cap * sizeof *l->lease);
    l->slot = calloc(n_slots, sizeof *l->slot);
    if (!l->lease || !l->slot) {
        pf_leases_free(l);
        return POCKETFED_NO_MEMORY;
    }
    l->cap = cap;
    l->mask = n_slots - 1;
    return POCKETFED_OK;
}

void pf_leases_free(struct pf_leases *l)
{
    free(l->lease);
    free(l->slot);
    memset(l, 0, sizeof *l);
}

void pf_leases_clear(struct pf_leases *l)
{
    memset(l->slot, 0, ((size_t)l->mask + 1) * sizeof *l->slot);
    memset(&l->training, 0, sizeof l->training);
    memset(&l->ended, 0, sizeof l->ended);
    l->n = l->n_training = l->free = 0;
}

/* ---- by device: open addressing, ids are hashes already ----------------- */

static uint32_t home(const struct pf_leases *l, const uint8_t *id)
{
    return pf_get32(id) & l->mask;
}

/* The slot that holds the device, or the empty one where it belongs. */
static uint32_t locate(const struct pf_leases *l, const uint8_t *id)
{
    uint32_t i = home(l, id);

    while (l->slot[i] != 0 &&
           memcmp(l->lease[l->slot[i] - 1].device.id, id, PF_DEVICE_LEN) != 0)
        i = (i + 1) & l->mask;
    return i;
}

/* Empties a slot and closes the gap: what was pushed past it moves up. */
static void unslot(struct pf_leases *l, uint32_t gap)
{
    uint32_t i = gap, at;

    for (;;) {
        i = (i + 1) & l->mask;
        if (l->slot[i] == 0)
            break;
        at = home(l, l->lease[l->slot[i] - 1].device.id);
        if (((i - at) & l->mask) < ((i - gap) & l->mask))
            continue; /* it belongs behind the gap */
        l->slot[gap] = l->slot[i];
        gap = i;
    }
    l->slot[gap] = 0;
}

struct pf_lease *pf_leases_find(const struct pf_leases *l,
                                const uint8_t id[PF_DEVICE_LEN])
{
    uint32_t n = l->slot[locate(l, id)];

    return n ? &l->lease[n - 1] : NULL;
}

/* ---- by time: two lists -------------------------------------------------- */

static void append(struct pf_leases *l, struct pf_lease_list *list, uint32_t n)
{
    struct pf_lease *lease = &l->lease[n - 1];

    lease->next = 0;
    lease->previous = list->last;
    if (list->last)
        l->lease[list->last - 1].next = n;
    else
        list->first = n;
    list->last = n;
}

static void take_out(struct pf_leases *l, struct pf_lease_list *list,
                     uint32_t n)
{
    struct pf_lease *lease = &l->lease[n - 1];

    if (lease->previous)
        l->lease[lease->previous - 1].next = lease->next;
    else
        list->first = lease->next;
    if (lease->next)
        l->lease[lease->next - 1].previous = lease->previous;
    else
        list->last = lease->previous;
}

static struct pf_lease_list *list_of(struct pf_leases *l,
                                     const struct pf_lease *lease)
{
    return lease->state == PF_LEASE_TRAINING ? &l->training : &l->ended;
}

static void set_state(struct pf_leases *l, uint32_t n,
                      enum pf_lease_state state)
{
    struct pf_lease *lease = &l->lease[n - 1];

    take_out(l, list_of(l, lease), n);
    l->n_training -= lease->state == PF_LEASE_TRAINING;
    lease->state = state;
    append(l, &l->ended, n);
}

static void lapse(struct pf_leases *l, int64_t now_ms, int64_t lasts_ms)
{
    uint32_t n;

    while ((n = l->training.first) != 0 &&
           l->lease[n - 1].at_ms + lasts_ms <= now_ms)
        set_state(l, n, PF_LEASE_LAPSED);
}

uint32_t pf_leases_live(const struct pf_leases *l, int64_t now_ms,
                        int64_t lasts_ms)
{
    uint32_t n, live = l->n_training;

    for (n = l->training.first;
         n != 0 && l->lease[n - 1].at_ms + lasts_ms <= now_ms;
         n = l->lease[n - 1].next)
        live--;
    return live;
}

/* ---- places -------------------------------------------------------------- */

/* Of the one that may make way; 0: none. Those of the same round come last, so
 * that a device is rarely given it twice. */
static uint32_t oldest(const struct pf_leases *l, uint64_t round)
{
    uint32_t n, same = 0;

    for (n = l->ended.first; n != 0; n = l->lease[n - 1].next) {
        if (l->lease[n - 1].counted == round)
            continue;
        if (l->lease[n - 1].round != round)
            return n;
        if (same == 0)
            same = n;
    }
    return same;
}

int pf_leases_room(const struct pf_leases *l, uint64_t round, int64_t now_ms,
                   int64_t lasts_ms)
{
    return l->n < l->cap || l->free != 0 || oldest(l, round) != 0 ||
           pf_leases_live(l, now_ms, lasts_ms) < l->n_training;
}

static void remove_lease(struct pf_leases *l, uint32_t n)
{
    struct pf_lease *lease = &l->lease[n - 1];

    take_out(l, list_of(l, lease), n);
    l->n_training -= lease->state == PF_LEASE_TRAINING;
    unslot(l, locate(l, lease->device.id));
    lease->next = l->free;
    l->free = n;
}

struct pf_lease *pf_leases_give(struct pf_leases *l,
                                const struct pf_device_ref *device,
                                uint64_t round, int64_t now_ms,
                                int64_t lasts_ms)
{
    struct pf_lease *lease;
    uint32_t n;

    lapse(l, now_ms, lasts_ms);
    n = l->slot[locate(l, device->id)];
    if (n == 0 && l->free == 0 && l->n == l->cap)
        n = oldest(l, round);
    if (n != 0)
        remove_lease(l, n);
    if (l->free == 0 && l->n == l->cap)
        return NULL;
    n = l->free;
    if (n != 0)
        l->free = l->lease[n - 1].next;
    else
        n = ++l->n;
    lease = &l->lease[n - 1];
    memset(lease, 0, sizeof *lease);
    lease->device = *device;
    lease->round = round;
    lease->at_ms = now_ms;
    l->slot[locate(l, device->id)] = n;
    append(l, &l->training, n);
    l->n_training++;
    return lease;
}

void pf_leases_end(struct pf_leases *l, struct pf_lease *lease,
                   enum pf_lease_state state)
{
    set_state(l, (uint32_t)(lease - l->lease) + 1, state);
}
