/* rates.h - token buckets for many names in a fixed amount of memory.
 *
 * A name (a device's id, an address) may do `burst` things at once and then
 * `per_s` a second.  Only names that have used something up take a place; when
 * the places that a name may have are taken, the one that has the most left is
 * forgotten, which forgives it the little that it had used.  Where names go is
 * keyed by random bytes, so that nobody can choose a neighbour.  Thread-safe;
 * time is an argument.
 */
#ifndef PF_RATES_H
#define PF_RATES_H

#include <stddef.h>
#include <stdint.h>
#include <pocketfed/status.h>

#define PF_RATE_NAME 16 /* bytes */

struct pf_rate {
    uint32_t per_s; /* 0: no limit */
    uint32_t burst; /* at least 1 is taken */
};

struct pf_rates;

/* Places for `entries` names, rounded up to a power of two. */
enum pocketfed_status pf_rates_create(size_t entries, struct pf_rates **out);
void pf_rates_free(struct pf_rates *r); /* NULL is fine */
/* Milliseconds until the name may do one more thing; 0: now. */
int64_t pf_rates_wait(struct pf_rates *r, const uint8_t name[PF_RATE_NAME],
                      struct pf_rate rate, int64_t now_ms);
/* It did one. Not refused here: what is under way at once may go a little over
 * the burst, and is paid back. */
void pf_rates_take(struct pf_rates *r, const uint8_t name[PF_RATE_NAME],
                   struct pf_rate rate, int64_t now_ms);
/* 1 when the name has a place: it took something not long ago. */
int pf_rates_knows(struct pf_rates *r, const uint8_t name[PF_RATE_NAME]);
/* Names forgotten before they had everything back, so far. */
uint64_t pf_rates_forgotten(struct pf_rates *r);

#endif
