/* pace.h - when a device that is not wanted now comes back.
 *
 * A window is a pure function of how many devices there are, how many a round
 * wants and how long rounds last, so that a million sleeping devices arrive
 * evenly and no more of them than are of use (pace steering, Bonawitz et al.
 * 2019, section 2.3).  A device draws its moment from the window by itself.
 */
#ifndef PF_PACE_H
#define PF_PACE_H

#include <stdint.h>

struct pf_pace {
    uint64_t population; /* devices that may come; 0: unknown, as few */
    uint32_t goal;       /* devices that a round wants */
    int64_t round_ms;    /* how long a round lasts; 0: unknown */
    uint32_t load;       /* of the server, per mille: 1000 is all it bears */
    int64_t least_ms, most_ms; /* the window of a small population */
    uint32_t per_s;            /* check-ins a second that are never exceeded */
};

#define PF_PACE_MOST_MS ((int64_t)24 * 3600 * 1000)

/* 0 < *min_ms <= *max_ms <= PF_PACE_MOST_MS. The mean wait is such that about
 * three times `goal` devices come in a round's time, at most per_s a second,
 * and four times longer at full load; it never lies below the middle of
 * [least_ms, most_ms], whose shape the window keeps. */
void pf_pace(const struct pf_pace *p, int64_t *min_ms, int64_t *max_ms);

#endif
