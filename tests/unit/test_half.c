/* half.h against arithmetic in double: which of binary16's values is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "half.h"
#include "rng.h"

#define LAST 0x7bff /* 65504 */

/* What the bits mean. */
static double value(uint16_t h)
{
    int exponent = h >> 10 & 31;

    return ldexp((h & 0x3ff) + (exponent ? 1024 : 0),
                 (exponent ? exponent : 1) - 25);
}

/* The nearest value, of two the one whose last bit is 0. */
static double nearest(double x)
{
    double unit;
    int exponent;

    frexp(x, &exponent);
    unit = ldexp(1, (exponent < -13 ? -13 : exponent) - 11);
    return nearbyint(x / unit) * unit;
}

static void check(float x)
{
    for (int sign = 0; sign < 2; sign++, x = -x) {
        uint16_t h = pf_half_of(x);

        assert_int_equal(h >> 15, sign);
        if (value(h) != nearest(fabs((double)x)))
            fail_msg("%.9g becomes %.9g instead of %.9g", (double)x, value(h),
                     nearest(fabs((double)x)));
        assert_true((double)pf_half_value(h) == (sign ? -value(h) : value(h)));
        assert_int_equal(signbit(pf_half_value(h)) != 0, sign);
    }
}

static void every_finite_value_is_kept(void **state)
{
    (void)state;
    for (uint16_t h = 0; h <= LAST; h++) {
        check((float)value(h));
        assert_int_equal(pf_half_of((float)value(h)), h);
    }
}

/* Between neighbours: 2^-25 and all subnormals, each carry into the next
 * exponent. */
static void
a_tie_goes_to_the_even_one_and_its_neighbours_to_their_side(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < LAST; h++) {
        uint16_t next = (uint16_t)(h + 1);
        float tie = (float)((value(h) + value(next)) / 2);

        check(tie);
        check(nextafterf(tie, 0));
        check(nextafterf(tie, 1e9f));
        assert_int_equal(pf_half_of(tie), h & 1 ? next : h);
        assert_int_equal(pf_half_of(nextafterf(tie, 0)), h);
        assert_int_equal(pf_half_of(nextafterf(tie, 1e9f)), next);
    }
}

/* From denormal floats to the greatest. */
static void any_float_goes_to_the_nearest(void **state)
{
    struct pf_rng rng;

    (void)state;
    rng = pf_rng_make(1, 0, 0, PF_RNG_TEST);
    for (uint64_t i = 0; i < 200000; i++) {
        uint32_t bits = pf_rng_u32(&rng, i) & 0x7fffffff;
        float x;

        if (i % 4) /* the exponents that matter: 2^-28 .. 2^15 */
            bits = (99 + bits % 44) << 23 | bits >> 8;
        memcpy(&x, &bits, sizeof x);
        if (x <= PF_HALF_MAX)
            check(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_finite_value_is_kept),
        cmocka_unit_test(
            a_tie_goes_to_the_even_one_and_its_neighbours_to_their_side),
        cmocka_unit_test(any_float_goes_to_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
