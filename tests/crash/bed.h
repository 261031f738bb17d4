/* bed.h - a daemon with devices at work, to which something is done: the
 * fixture of faults.c and damage.c, and what must be true before and
 * afterwards.
 */
#ifndef CRASH_BED_H
#define CRASH_BED_H

#include "fleet.h"
#include "verify.h"

#define BED_DIES_MS (15000 * PF_SLOW)

extern struct bed {
    struct victim v;
    struct fleet f;
} bed;

/* Fixtures of cmocka. With options: the disk is a tmpfs of its own with them.
 */
int bed_set_up(void **state);
int bed_tear_down(void **state);
void bed_set_up_on(const char *options);

/* More updates are acknowledged. */
void bed_goes_on(void);
/* The daemon is gone: all that was acknowledged is counted once. out may be
 * NULL. */
void bed_holds(struct verified *out);
/* Devices stop, the daemon is stopped, and it holds. */
void bed_stops_in_order(void);
/* It ends by itself with 1, saying so, and it holds. */
void bed_dies_saying(const char *sentence);
/* The same for a start. */
void bed_does_not_start_saying(const char *sentence);
/* No request is under way, and it is killed. */
void bed_crash(void);
void bed_start_again(void);

#endif
