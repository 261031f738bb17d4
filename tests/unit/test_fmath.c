#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fmath.h"
#include "rng.h"

#define N 200000

static struct pf_rng rng; /* the arguments; seeded below */

/* Distance of got from want in units of want's last place. The C library's
 * long double is the judge: 11 more bits. */
static double ulps(double got, long double want)
{
    double near = (double)want, unit;
    int e;

    if (!isfinite(got) || !isfinite(near))
        return got == near ? 0 : 1e9;
    frexp(near, &e);
    unit = ldexp(1, e - 53 < -1074 ? -1074 : e - 53);
    return (double)(fabsl((long double)got - want) / (long double)unit);
}

static double between(uint64_t i, double low, double high)
{
    return low + (high - low) * pf_rng_double(&rng, i);
}

static void check(const char *name, double (*ours)(double),
                  long double (*theirs)(long double), double low, double high)
{
    double x, d, worst = 0, at = 0;
    uint64_t i;

    for (i = 0; i < N; i++) {
        x = between(i, low, high);
        d = ulps(ours(x), theirs((long double)x));
        if (!(d <= worst)) {
            worst = d;
            at = x;
        }
    }
    if (!(worst < 2))
        fail_msg("%s(%.17g) is %g ulp off", name, at, worst);
}

static void exp_is_within_two_ulp(void **state)
{
    (void)state;
    check("exp", pf_exp, expl, -745.5, 710);
    check("exp", pf_exp, expl, -2, 2);
    check("exp", pf_exp, expl, -1e-5, 1e-5);
}

static void ln_is_within_two_ulp(void **state)
{
    double x, d;
    uint64_t i;

    (void)state;
    check("ln", pf_ln, logl, 0, 4);
    check("ln", pf_ln, logl, 0.999, 1.001);
    for (i = 0; i < N; i++) {
        x = exp(between(i, -744, 709));
        d = ulps(pf_ln(x), logl((long double)x));
        if (!(d < 2))
            fail_msg("ln(%.17g) is %g ulp off", x, d);
    }
}

static void tanh_is_within_two_ulp(void **state)
{
    (void)state;
    check("tanh", pf_tanh, tanhl, -25, 25);
    check("tanh", pf_tanh, tanhl, -1, 1);
    check("tanh", pf_tanh, tanhl, -1e-4, 1e-4);
    check("tanh", pf_tanh, tanhl, 0.5, 0.6);
}

static void cos_is_within_two_ulp(void **state)
{
    double x, d;
    int k;

    (void)state;
    check("cos", pf_cos, cosl, -1e6, 1e6);
    check("cos", pf_cos, cosl, -7, 7);
    /* Nearest to its zeros the relative error shows most. */
    for (k = -300000; k < 300000; k += 7) {
        x = (k + 0.5) * 3.14159265358979323846;
        d = ulps(pf_cos(x), cosl((long double)x));
        if (!(d < 2))
            fail_msg("cos(%.17g) is %g ulp off", x, d);
    }
}

/* Values by arithmetic of 200 bits, for machines whose long double is no
 * wider than a double or whose C library is not as careful. */
static void agrees_with_values_known_to_many_digits(void **state)
{
    (void)state;
    assert_true(ulps(pf_exp(1), 2.71828182845904523536L) < 1);
    assert_true(ulps(pf_exp(-20), 2.06115362243855782796e-9L) < 1);
    assert_true(ulps(pf_ln(10), 2.30258509299404568402L) < 1);
    assert_true(ulps(pf_ln(2), 0.693147180559945309417L) < 1);
    assert_true(ulps(pf_tanh(0.5), 0.462117157260009758502L) < 2);
    assert_true(ulps(pf_tanh(1), 0.761594155955764888119L) < 2);
    assert_true(ulps(pf_cos(1), 0.540302305868139717401L) < 1);
    assert_true(ulps(pf_cos(1e6), 0.936752127533144786939L) < 1);
    assert_true(ulps(pf_pow(2, 0.5), 1.41421356237309504880L) < 2);
}

static void the_ends_are_as_stated(void **state)
{
    (void)state;
    assert_true(pf_exp(0) == 1);
    assert_true(pf_exp(1000) == (double)INFINITY);
    assert_true(pf_exp((double)INFINITY) == (double)INFINITY);
    assert_true(pf_exp(-1000) == 0);
    assert_true(pf_exp(-(double)INFINITY) == 0);
    assert_true(isnan(pf_exp((double)NAN)));
    assert_true(pf_ln(1) == 0);
    assert_true(pf_ln(0) == -(double)INFINITY);
    assert_true(pf_ln((double)INFINITY) == (double)INFINITY);
    assert_true(isnan(pf_ln(-1)));
    assert_true(isnan(pf_ln((double)NAN)));
    assert_true(pf_tanh((double)INFINITY) == 1);
    assert_true(pf_tanh(-1e300) == -1);
    assert_true(pf_tanh(0) == 0 && signbit(pf_tanh(-0.0)));
    assert_true(isnan(pf_tanh((double)NAN)));
    assert_true(pf_cos(0) == 1);
    assert_true(isnan(pf_cos(1e7)));
    assert_true(isnan(pf_cos((double)NAN)));
    assert_true(pf_pow(3, 0) == 1);
    assert_true(pf_pow(1, 1e300) == 1);
    assert_true(pf_pow(0, 2) == 0);
}

static void pow_is_as_good_as_its_logarithm(void **state)
{
    double x, y, d;
    uint64_t i;

    (void)state;
    for (i = 0; i < N; i++) {
        x = between(2 * i, 1e-3, 10);
        y = between(2 * i + 1, -30, 30);
        d = ulps(pf_pow(x, y), powl((long double)x, (long double)y));
        if (!(d < 2 + 3 * fabs(y * log(x))))
            fail_msg("pow(%.17g, %.17g) is %g ulp off", x, y, d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_ulp),
        cmocka_unit_test(ln_is_within_two_ulp),
        cmocka_unit_test(tanh_is_within_two_ulp),
        cmocka_unit_test(cos_is_within_two_ulp),
        cmocka_unit_test(agrees_with_values_known_to_many_digits),
        cmocka_unit_test(the_ends_are_as_stated),
        cmocka_unit_test(pow_is_as_good_as_its_logarithm),
    };

    rng = pf_rng_make(2024, 0, 0, PF_RNG_TEST);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
