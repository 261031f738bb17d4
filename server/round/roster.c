#include "roster.h"

#include <stdlib.h>
#include <string.h>
#include "bytes.h"

enum pocketfed_status pf_roster_init(struct pf_roster *r, uint32_t cap)
{
    uint32_t n_slots = 8;

    memset(r, 0, sizeof *r);
    if (cap == 0 || cap > PF_ROSTER_MAX)
        return POCKETFED_INVALID;
    while (n_slots < 2 * cap) /* at most half full: short probes */
        n_slots *= 2;
    r->entry = malloc(cap * sizeof *r->entry);
    r->slot = calloc(n_slots, sizeof *r->slot);
    if (!r->entry || !r->slot) {
        pf_roster_free(r);
        return POCKETFED_NO_MEMORY;
    }
    r->cap = cap;
    r->mask = n_slots - 1;
    return POCKETFED_OK;
}

void pf_roster_free(struct pf_roster *r)
{
    free(r->entry);
    free(r->slot);
    memset(r, 0, sizeof *r);
}

void pf_roster_open(struct pf_roster *r, uint64_t round, const uint8_t base[32])
{
    if (r->n > 0)
        memset(r->slot, 0, ((size_t)r->mask + 1) * sizeof *r->slot);
    r->n = r->n_accepted = r->n_failed = 0;
    r->round = round;
    memcpy(r->base, base, sizeof r->base);
}

/* The slot that holds the device, or the empty one where it belongs. */
static uint32_t *locate(const struct pf_roster *r,
                        const uint8_t id[PF_DEVICE_LEN])
{
    uint32_t i = pf_get32(id) & r->mask;

    while (r->slot[i] != 0 &&
           memcmp(r->entry[r->slot[i] - 1].device.id, id, PF_DEVICE_LEN) != 0)
        i = (i + 1) & r->mask;
    return &r->slot[i];
}

struct pf_entry *pf_roster_find(const struct pf_roster *r,
                                const uint8_t id[PF_DEVICE_LEN])
{
    uint32_t slot = *locate(r, id);

    return slot ? &r->entry[slot - 1] : NULL;
}

struct pf_entry *pf_roster_add(struct pf_roster *r,
                               const struct pf_device_ref *device,
                               int64_t at_ms)
{
    uint32_t *slot = locate(r, device->id);
    struct pf_entry *e;

    if (*slot != 0 || r->n == r->cap)
        return NULL;
    e = &r->entry[r->n++];
    *slot = r->n;
    memset(e, 0, sizeof *e);
    e->device = *device;
    e->at_ms = at_ms;
    e->state = PF_ENTRY_ASSIGNED;
    return e;
}
