/* pace.h - when a device that is not wanted now comes back.
 *
 * A window is a pure function of how many devices there are, how many a round
 * wants, how long rounds last, how busy the server is, and one random number,
 * so that a million sleeping devices arrive evenly and no more of them than are
 * of use (pace steering: Bonawitz et al., "Towards federated learning at
 * scale", 2019, section 2.3).
 *
 * Few devices, up to three times the goal, get the window [least_ms, most_ms].
 * For n of them, the mean wait is the greatest of
 *
 *     (least_ms + most_ms) / 2,  (n / (3 goal) - 1) round_ms,  n / (0.8 per_s),
 *
 * times 1 + 3 load, and the window moves back by an exponentially distributed
 * time of what that mean m is more than the first. Exponential, because such
 * waits have no memory: whatever moment all devices come at first, and whatever
 * delays their phones add, from then on they come as a Poisson process of rate
 * n / m (Feller, "An introduction to probability theory", vol. II, chapters I
 * and XI). A uniform wait of the same mean would be a long silence and then
 * waves. 0.8 leaves room for chance, 3 for those who are asleep again, not
 * eligible, or lose their way.
 */
#ifndef PF_PACE_H
#define PF_PACE_H

#include <stdint.h>

struct pf_pace {
    uint64_t population; /* devices that may come; 0: unknown, as few */
    uint32_t goal;       /* devices that a round wants; 0: nothing is known */
    int64_t round_ms;    /* how long a round lasts; 0: unknown */
    uint32_t load;       /* of the server, per mille: 1000 is all it bears */
    int64_t least_ms, most_ms; /* the window of a small population */
    uint32_t per_s;            /* check-ins a second that it bears; 0: any */
    double draw;               /* [0, 1), another one for each answer */
};

/* No window ends later; the exponential is cut off there, not heaped up. */
#define PF_PACE_MOST_MS ((int64_t)24 * 3600 * 1000)

/* 0 < *min_ms <= *max_ms <= PF_PACE_MOST_MS, of the width of [least_ms,
 * most_ms] and never before it. The device draws its moment from the window. */
void pf_pace(const struct pf_pace *p, int64_t *min_ms, int64_t *max_ms);

#endif
