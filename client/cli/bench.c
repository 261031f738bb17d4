#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct bench_spread bench_spread(double *v, size_t n)
{
    struct bench_spread s = {0, 0, 0, n};

    if (n == 0)
        return s;
    qsort(v, n, sizeof *v, by_size);
    s.median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    s.min = v[0];
    s.max = v[n - 1];
    return s;
}

void bench_spread_json(struct pf_buf *b, const char *name,
                       const struct bench_spread *s)
{
    pf_buf_addf(b, "\"%s\":{\"median\":%.6g,\"min\":%.6g,\"max\":%.6g}", name,
                s->median, s->min, s->max);
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double bench_thread_cpu(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

double bench_cpu(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

double bench_peak(const struct pf_kernels *k)
{
    double best = 0;

    /* The best of three: what comes between only makes it slower. */
    for (int i = 0; i < 3; i++) {
        double began = bench_thread_cpu(), took;
        uint64_t operations = 0;
        pf_real x = 0.5f; /* sums end at 1: no denormals, no overflow */

        do {
            operations += k->peak(2000, &x);
            x = 0.5f;
            took = bench_thread_cpu() - began;
        } while (took < 0.001);
        if ((double)operations / took > best)
            best = (double)operations / took;
    }
    return best * 1e-9;
}

static uint64_t status_kb(const char *key)
{
    unsigned long long kb = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");

    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)))
            kb = strtoull(line + strlen(key), NULL, 10);
    fclose(f);
    return kb;
}

uint64_t bench_resident(void)
{
    return status_kb("VmRSS:") * 1024;
}

uint64_t bench_resident_peak(void)
{
    return status_kb("VmHWM:") * 1024;
}

void bench_forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    if (f) {
        fputs("5\n", f);
        fclose(f);
    }
}
