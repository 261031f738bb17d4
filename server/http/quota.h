/* quota.h - how many tasks, usable tokens of a task and devices of a task there
 * may be.
 *
 * What is on its way to the coordinator counts as if it were there, so the
 * bounds hold however many ask at once; near a bound somebody may be refused
 * beside one who is refused later for another reason.  Devices that left or
 * were revoked keep their rows, and so their places.
 */
#ifndef PF_QUOTA_H
#define PF_QUOTA_H

#include "exchange.h"

/* 1, with a place held by the exchange; 0 with the refusal in the reply. A
 * device that is enrolled already holds none and is let through. */
int pf_quota_task(struct pf_exchange *ex);
int pf_quota_token(struct pf_exchange *ex);
int pf_quota_device(struct pf_exchange *ex, const uint8_t id[PF_DEVICE_LEN]);
/* The device is new and committed: its place is used up. */
void pf_quota_keep_device(struct pf_exchange *ex);
/* Gives back what the exchange holds; fine when that is nothing. */
void pf_quota_free(struct pf_exchange *ex);

#endif
