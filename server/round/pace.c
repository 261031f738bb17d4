#include "pace.h"

#include "fmath.h"

#define SPARE  3   /* devices that come for each that is wanted */
#define FILLED 0.8 /* of per_s */

static double mean_wait(const struct pf_pace *p, double least)
{
    double n = (double)p->population, mean = least, wide;
    uint32_t load = p->load < 1000 ? p->load : 1000;

    if (p->goal != 0 && p->round_ms > 0) {
        wide = (n / (SPARE * (double)p->goal) - 1) * (double)p->round_ms;
        mean = wide > mean ? wide : mean;
    }
    if (p->per_s != 0) {
        wide = n * 1000 / (FILLED * (double)p->per_s);
        mean = wide > mean ? wide : mean;
    }
    return mean * (1 + 3 * (double)load / 1000);
}

/* A draw from the exponential distribution of that mean, as far as it lies
 * below `most`: far above, that is the uniform one. */
static double exponential(double mean, double most, double draw)
{
    if (mean <= 0)
        return 0;
    if (mean > 1000 * most)
        return draw * most;
    return -mean * pf_ln(1 - draw * (1 - pf_exp(-most / mean)));
}

void pf_pace(const struct pf_pace *p, int64_t *min_ms, int64_t *max_ms)
{
    const double end = (double)PF_PACE_MOST_MS;
    double least = p->least_ms > 0 ? (double)p->least_ms : 1;
    double most = (double)p->most_ms > least ? (double)p->most_ms : least;
    double middle, later;

    if (most > end)
        most = end;
    if (least > most)
        least = most;
    middle = (least + most) / 2;
    later = exponential(mean_wait(p, middle) - middle, end - most, p->draw);
    *min_ms = (int64_t)(least + later);
    *max_ms = (int64_t)(most + later);
}
