#include "rng.h"

#include <math.h>

#include "fmath.h"

/* Philox4x32-10 (SC 2011, section 3.3): the multipliers and Weyl constants of
 * the paper. */
static void philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                   uint32_t k0, uint32_t k1, uint32_t out[4])
{
    uint64_t a, b;
    uint32_t n0, n2;
    int i;

    for (i = 0; i < 10; i++) {
        a = (uint64_t)0xd2511f53u * c0;
        b = (uint64_t)0xcd9e8d57u * c2;
        n0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)b;
        c2 = n2;
        c3 = (uint32_t)a;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct pf_rng pf_rng_make(uint64_t seed, uint64_t stream, uint32_t round,
                          enum pf_rng_purpose purpose)
{
    struct pf_rng r;
    uint32_t w[4];

    philox((uint32_t)stream, (uint32_t)(stream >> 32), round, (uint32_t)purpose,
           (uint32_t)seed, (uint32_t)(seed >> 32), w);
    r.key[0] = w[0];
    r.key[1] = w[1];
    return r;
}

/* The last counter word keeps the plain sequence apart from the attempts of
 * pf_rng_below. */
void pf_rng_block(const struct pf_rng *r, uint64_t block, uint32_t out[4])
{
    philox((uint32_t)block, (uint32_t)(block >> 32), 0, 0, r->key[0], r->key[1],
           out);
}

uint32_t pf_rng_u32(const struct pf_rng *r, uint64_t index)
{
    uint32_t w[4];

    pf_rng_block(r, index / 4, w);
    return w[index % 4];
}

uint64_t pf_rng_u64(const struct pf_rng *r, uint64_t index)
{
    uint32_t w[4];
    unsigned i = (unsigned)(index % 2) * 2;

    pf_rng_block(r, index / 2, w);
    return (uint64_t)w[i] | (uint64_t)w[i + 1] << 32;
}

float pf_rng_float(const struct pf_rng *r, uint64_t index)
{
    return (float)(pf_rng_u32(r, index) >> 8) * 0x1p-24f;
}

double pf_rng_double(const struct pf_rng *r, uint64_t index)
{
    return (double)(pf_rng_u64(r, index) >> 11) * 0x1p-53;
}

static double ratio(const double a[8], const double b[8], double x)
{
    double p = a[7], q = b[7];
    int i;

    for (i = 6; i >= 0; i--) {
        p = p * x + a[i];
        q = q * x + b[i];
    }
    return p / q;
}

/* Inverse of the normal distribution function, relative error about 1e-16:
 * M. J. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND16.
 * 0 < p < 1. */
static double normal_quantile(double p)
{
    static const double a[8] = {
        3.3871328727963666080e0, 1.3314166789178437745e2,
        1.9715909503065514427e3, 1.3731693765509461125e4,
        4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double b[8] = {1.0,
                                4.2313330701600911252e1,
                                6.8718700749205790830e2,
                                5.3941960214247511077e3,
                                2.1213794301586595867e4,
                                3.9307895800092710610e4,
                                2.8729085735721942674e4,
                                5.2264952788528545610e3};
    static const double c[8] = {
        1.42343711074968357734e0,  4.63033784615654529590e0,
        5.76949722146069140550e0,  3.64784832476320460504e0,
        1.27045825245236838258e0,  2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0,
                                2.05319162663775882187e0,
                                1.67638483018380384940e0,
                                6.89767334985100004550e-1,
                                1.48103976427480074590e-1,
                                1.51986665636164571966e-2,
                                5.47593808499534494600e-4,
                                1.05075007164441684324e-9};
    static const double e[8] = {
        6.65790464350110377720e0,  5.46378491116411436990e0,
        1.78482653991729133580e0,  2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    double q = p - 0.5, t;

    if (q >= -0.425 && q <= 0.425)
        return q * ratio(a, b, 0.180625 - q * q);
    t = sqrt(-pf_ln(q < 0 ? p : 1 - p));
    t = t <= 5 ? ratio(c, d, t - 1.6) : ratio(e, f, t - 5);
    return q < 0 ? -t : t;
}

double pf_rng_normal(const struct pf_rng *r, uint64_t index)
{
    /* The middle of one of 2^52 cells: never 0 or 1, and symmetric. */
    uint64_t cell = pf_rng_u64(r, index) >> 12;

    return normal_quantile(((double)cell + 0.5) * 0x1p-52);
}

uint64_t pf_rng_below(const struct pf_rng *r, uint64_t index, uint64_t n)
{
    uint64_t over = (UINT64_MAX % n + 1) % n; /* 2^64 mod n */
    uint32_t w[4], attempt;
    uint64_t v = 0;

    /* Each attempt fails with less than even odds; the bound is for show. */
    for (attempt = 0; attempt < UINT32_MAX; attempt++) {
        philox((uint32_t)index, (uint32_t)(index >> 32), attempt, 1, r->key[0],
               r->key[1], w);
        v = (uint64_t)w[0] | (uint64_t)w[1] << 32;
        if (v <= UINT64_MAX - over)
            break;
    }
    return v % n;
}

void pf_rng_permutation(const struct pf_rng *r, uint32_t n, uint32_t *out)
{
    uint32_t i, j, t;

    for (i = 0; i < n; i++)
        out[i] = i;
    for (i = n; i > 1; i--) {
        j = (uint32_t)pf_rng_below(r, i, i);
        t = out[i - 1];
        out[i - 1] = out[j];
        out[j] = t;
    }
}
