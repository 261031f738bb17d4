/* bytes.h - little-endian words, zeros and checked size arithmetic, inline.
 *
 * Everything pocketfed writes to disk or wire is little-endian and goes
 * through these, so no code depends on the host's byte order or alignment.
 */
#ifndef PF_BYTES_H
#define PF_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t pf_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t pf_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t pf_get64(const uint8_t *p)
{
    return (uint64_t)pf_get32(p) | (uint64_t)pf_get32(p + 4) << 32;
}

static inline void pf_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void pf_put32(uint8_t *p, uint32_t v)
{
    pf_put16(p, (uint16_t)v);
    pf_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void pf_put64(uint8_t *p, uint64_t v)
{
    pf_put32(p, (uint32_t)v);
    pf_put32(p + 4, (uint32_t)(v >> 32));
}

static inline float pf_getf(const uint8_t *p)
{
    uint32_t u = pf_get32(p);
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline void pf_putf(uint8_t *p, float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    pf_put32(p, u);
}

static inline double pf_getd(const uint8_t *p)
{
    uint64_t u = pf_get64(p);
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static inline void pf_putd(uint8_t *p, double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    pf_put64(p, u);
}

/* Are all n bytes 0? A digest of zeros stands for none. */
static inline int pf_is_zero(const void *p, size_t n)
{
    const uint8_t *b = (const uint8_t *)p;

    while (n > 0 && b[n - 1] == 0)
        n--;
    return n == 0;
}

/* *out = a + b or a * b; 0 and *out untouched when it would overflow. */
static inline int pf_add_size(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return 0;
    *out = a + b;
    return 1;
}

static inline int pf_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return 0;
    *out = a * b;
    return 1;
}

#endif
