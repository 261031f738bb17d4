/* When waiting devices are told to come back: the window as numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "pace.h"

#define MANY 10000

/* 15 to 60 s for few; rounds of 60 s that ask 100. */
static struct pf_pace pace;

static int set_up(void **state)
{
    (void)state;
    pace = (struct pf_pace){.goal = 100,
                            .round_ms = 60000,
                            .least_ms = 15000,
                            .most_ms = 60000,
                            .per_s = 1000};
    return 0;
}

static int64_t least(double draw)
{
    int64_t min_ms, max_ms;

    pace.draw = draw;
    pf_pace(&pace, &min_ms, &max_ms);
    assert_in_range(max_ms - min_ms, 44999, 45001); /* as wide as for few */
    assert_true(min_ms >= 15000 && max_ms <= PF_PACE_MOST_MS);
    return min_ms;
}

/* Of evenly placed draws, in ms: the middle of the window. */
static double mean(void)
{
    double sum = 0;
    int i;

    for (i = 0; i < MANY; i++)
        sum += (double)least((i + 0.5) / MANY) + 22500;
    return sum / MANY;
}

static void is_about(double want)
{
    assert_true(fabs(mean() - want) < 0.002 * want);
}

static void few_devices_get_the_window_of_the_task(void **state)
{
    (void)state;
    for (pace.population = 0; pace.population <= 300; pace.population += 100)
        for (double draw = 0; draw < 1; draw += 0.125)
            assert_int_equal(least(draw), 15000);
    pace.population = 600;
    pace.goal = 0; /* nothing is known yet */
    assert_int_equal(least(0.9), 15000);
    pace.goal = 100;
    pace.round_ms = 0;
    assert_int_equal(least(0.9), 15000);
}

static void many_come_three_times_as_often_as_a_round_wants(void **state)
{
    (void)state;
    pace.population = 30000; /* 99 rounds' times */
    is_about(99 * 60000.0);
    pace.round_ms = 30000;
    is_about(99 * 30000.0);
    pace.goal = 200;
    is_about(49 * 30000.0);
}

static void together_they_stay_below_the_check_ins_a_second(void **state)
{
    (void)state;
    pace.round_ms = 0;
    pace.population = 1000000;
    is_about(1250000); /* 800 a second */
    pace.per_s = 10000;
    is_about(125000);
}

static void a_busy_server_is_asked_up_to_four_times_more_seldom(void **state)
{
    (void)state;
    pace.load = 500;
    is_about(2.5 * 37500);
    pace.load = 1000;
    is_about(4 * 37500);
    pace.load = 5000;
    is_about(4 * 37500);
    pace.load = 1000;
    pace.population = 3000;
    is_about(4 * 9 * 60000.0);
}

/* 1 - 1/e of them within the mean of what is added, 1 - 1/e^2 within twice. */
static void the_spread_is_exponential(void **state)
{
    double added = 99 * 60000.0 - 37500;

    (void)state;
    pace.population = 30000;
    assert_int_equal(least(0), 15000);
    assert_true(fabs((double)least(1 - exp(-1)) - 15000 - added) < 20);
    assert_true(fabs((double)least(1 - exp(-2)) - 15000 - 2 * added) < 20);
}

static void no_wait_is_longer_than_a_day_and_none_heap_up_there(void **state)
{
    const double day = (double)PF_PACE_MOST_MS;

    (void)state;
    pace.population = 30000000; /* 69 days */
    assert_true(fabs((double)least(0.5) / day - 0.5) < 0.01);
    assert_true(fabs((double)least(0.9) / day - 0.9) < 0.01);
    pace.population = UINT64_MAX;
    assert_true(fabs((double)least(0.5) / day - 0.5) < 0.01);
    assert_true(least(0.999999999) < PF_PACE_MOST_MS);
}

static void a_window_without_width_or_from_nothing_is_still_one(void **state)
{
    struct pf_pace p = {0};
    int64_t min_ms, max_ms;

    (void)state;
    pf_pace(&p, &min_ms, &max_ms);
    assert_int_equal(min_ms, 1);
    assert_int_equal(max_ms, 1);
    p.least_ms = 5;
    p.most_ms = 3;
    pf_pace(&p, &min_ms, &max_ms);
    assert_int_equal(min_ms, 5);
    assert_int_equal(max_ms, 5);
    p.least_ms = p.most_ms = INT64_MAX;
    pf_pace(&p, &min_ms, &max_ms);
    assert_int_equal(min_ms, PF_PACE_MOST_MS);
    assert_int_equal(max_ms, PF_PACE_MOST_MS);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(few_devices_get_the_window_of_the_task),
        TEST(many_come_three_times_as_often_as_a_round_wants),
        TEST(together_they_stay_below_the_check_ins_a_second),
        TEST(a_busy_server_is_asked_up_to_four_times_more_seldom),
        TEST(the_spread_is_exponential),
        TEST(no_wait_is_longer_than_a_day_and_none_heap_up_there),
        TEST(a_window_without_width_or_from_nothing_is_still_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
