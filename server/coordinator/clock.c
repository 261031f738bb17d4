#include "clock.h"

#include <time.h>

static int64_t read_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t pf_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t pf_monotonic_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t pf_monotonic_s(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000000;
}

int64_t pf_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}
