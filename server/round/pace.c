#include "pace.h"

/* Some of those who come are asleep again, not eligible, or lose their way. */
#define SPARE 3

void pf_pace(const struct pf_pace *p, int64_t *min_ms, int64_t *max_ms)
{
    double least = p->least_ms > 0 ? (double)p->least_ms : 1;
    double most = (double)p->most_ms > least ? (double)p->most_ms : least;
    double middle = (least + most) / 2, mean = middle, wide;
    double n = (double)p->population;
    uint32_t load = p->load < 1000 ? p->load : 1000;

    if (p->goal != 0 && p->round_ms > 0) {
        wide = n * (double)p->round_ms / (SPARE * (double)p->goal);
        mean = wide > mean ? wide : mean;
    }
    if (p->per_s != 0) {
        wide = n * 1000 / (double)p->per_s;
        mean = wide > mean ? wide : mean;
    }
    mean *= 1 + 3 * (double)load / 1000;
    least *= mean / middle;
    most *= mean / middle;
    if (most > (double)PF_PACE_MOST_MS) {
        least *= (double)PF_PACE_MOST_MS / most;
        most = (double)PF_PACE_MOST_MS;
    }
    *min_ms = least < 1 ? 1 : (int64_t)least;
    *max_ms = (int64_t)most > *min_ms ? (int64_t)most : *min_ms;
}
