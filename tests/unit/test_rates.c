#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bytes.h"
#include "inflight.h"
#include "rates.h"

static const struct pf_rate rate = {10, 3}; /* 10 a second, 3 at once */

static uint8_t name_at[PF_RATE_NAME];

static const uint8_t *name(uint64_t n)
{
    memset(name_at, 0, sizeof name_at);
    pf_put64(name_at, n);
    return name_at;
}

static struct pf_rates *table(size_t entries)
{
    struct pf_rates *r = NULL;

    assert_int_equal(pf_rates_create(entries, &r), POCKETFED_OK);
    return r;
}

static void lets_a_burst_through_and_then_so_many_a_second(void **state)
{
    struct pf_rates *r = table(64);
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        assert_int_equal(pf_rates_wait(r, name(1), rate, 1000), 0);
        pf_rates_take(r, name(1), rate, 1000);
    }
    assert_int_equal(pf_rates_wait(r, name(1), rate, 1000), 100);
    assert_int_equal(pf_rates_wait(r, name(1), rate, 1040), 60);
    assert_int_equal(pf_rates_wait(r, name(1), rate, 1100), 0);
    pf_rates_take(r, name(1), rate, 1100);
    assert_int_equal(pf_rates_wait(r, name(1), rate, 1100), 100);
    /* After a rest the whole burst is there again, and not more. */
    for (i = 0; i < 3; i++) {
        assert_int_equal(pf_rates_wait(r, name(1), rate, 900000), 0);
        pf_rates_take(r, name(1), rate, 900000);
    }
    assert_int_equal(pf_rates_wait(r, name(1), rate, 900000), 100);
    pf_rates_free(r);
}

static void one_name_pays_for_itself_alone(void **state)
{
    struct pf_rates *r = table(64);
    int i;

    (void)state;
    for (i = 0; i < 50; i++)
        pf_rates_take(r, name(1), rate, 0);
    assert_int_equal(pf_rates_wait(r, name(1), rate, 0), 4800);
    assert_int_equal(pf_rates_wait(r, name(2), rate, 0), 0);
    assert_true(pf_rates_knows(r, name(1)));
    assert_false(pf_rates_knows(r, name(2)));
    pf_rates_free(r);
}

static void a_clock_that_stands_or_goes_back_gives_nothing_away(void **state)
{
    struct pf_rates *r = table(64);
    int i;

    (void)state;
    for (i = 0; i < 3; i++)
        pf_rates_take(r, name(1), rate, 5000);
    assert_int_equal(pf_rates_wait(r, name(1), rate, 0), 100);
    pf_rates_free(r);
}

static void a_rate_of_0_is_no_limit(void **state)
{
    static const struct pf_rate none = {0, 1};
    struct pf_rates *r = table(64);
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        assert_int_equal(pf_rates_wait(r, name(1), none, 0), 0);
        pf_rates_take(r, name(1), none, 0);
    }
    assert_false(pf_rates_knows(r, name(1)));
    pf_rates_free(r);
}

static void
a_flood_of_names_takes_no_more_memory_and_frees_no_sinner(void **state)
{
    struct pf_rates *r = table(64);
    uint64_t i;

    (void)state;
    for (i = 0; i < 50; i++)
        pf_rates_take(r, name(1), rate, 0);
    for (i = 2; i < 100000; i++) /* each once: less than the first one */
        pf_rates_take(r, name(i), rate, 0);
    assert_true(pf_rates_forgotten(r) > 99000);
    assert_int_equal(pf_rates_wait(r, name(1), rate, 0), 4800);
    /* Names that have everything back are replaced without a loss. */
    i = pf_rates_forgotten(r);
    pf_rates_take(r, name(200000), rate, 1000000);
    assert_int_equal(pf_rates_forgotten(r), i);
    pf_rates_free(r);
}

/* ---- uploads ---- */

static const uint8_t ann[PF_DEVICE_LEN] = {1}, bob[PF_DEVICE_LEN] = {2};

static void uploads_are_bounded_in_all_of_a_device_and_by_bytes(void **state)
{
    static const struct pf_inflight_bounds most = {4, 2, 1000};
    struct pf_inflight_entry e[6] = {{0}};
    struct pf_inflight *f = NULL;

    (void)state;
    assert_int_equal(pf_inflight_create(&f), POCKETFED_OK);
#define ENTER(i, round, who, bytes)                                            \
    pf_inflight_enter(f, &e[i], &most, 1, round, who, bytes)
    assert_int_equal(ENTER(0, 1, ann, 400), PF_INFLIGHT_IN);
    assert_int_equal(ENTER(1, 1, ann, 400), PF_INFLIGHT_IN);
    assert_int_equal(ENTER(2, 1, ann, 1), PF_INFLIGHT_DEVICE);
    assert_int_equal(ENTER(2, 1, bob, 201), PF_INFLIGHT_BYTES);
    assert_int_equal(ENTER(2, 1, bob, 200), PF_INFLIGHT_IN);
    /* Another round has bytes of its own; its first may be of any size. */
    assert_int_equal(ENTER(3, 2, bob, 5000), PF_INFLIGHT_IN);
    assert_int_equal(ENTER(4, 3, ann, 1), PF_INFLIGHT_ALL);
    pf_inflight_leave(f, &e[0]);
    assert_int_equal(ENTER(4, 2, ann, 1), PF_INFLIGHT_BYTES);
    assert_int_equal(ENTER(4, 1, ann, 400), PF_INFLIGHT_IN);
    pf_inflight_leave(f, &e[5]); /* that is not in */
#undef ENTER
    pf_inflight_leave(f, &e[1]);
    pf_inflight_leave(f, &e[2]);
    pf_inflight_leave(f, &e[3]);
    pf_inflight_leave(f, &e[4]);
    pf_inflight_free(f);
}

static void many_rounds_at_once_still_count_their_bytes(void **state)
{
    static const struct pf_inflight_bounds most = {1000, 1000, 100};
    static struct pf_inflight_entry e[200];
    struct pf_inflight *f = NULL;
    unsigned i;

    (void)state;
    assert_int_equal(pf_inflight_create(&f), POCKETFED_OK);
    for (i = 0; i < 63; i++)
        assert_int_equal(pf_inflight_enter(f, &e[i], &most, 1, i, ann, 60),
                         PF_INFLIGHT_IN);
    for (i = 0; i < 63; i++)
        assert_int_equal(pf_inflight_enter(f, &e[100], &most, 1, i, bob, 60),
                         PF_INFLIGHT_BYTES);
    /* From here on rounds share a sum: stricter, never laxer. */
    assert_int_equal(pf_inflight_enter(f, &e[63], &most, 1, 63, ann, 60),
                     PF_INFLIGHT_IN);
    assert_int_equal(pf_inflight_enter(f, &e[64], &most, 1, 64, ann, 60),
                     PF_INFLIGHT_BYTES);
    for (i = 0; i < 64; i++)
        pf_inflight_leave(f, &e[i]);
    assert_int_equal(pf_inflight_enter(f, &e[64], &most, 1, 64, ann, 60),
                     PF_INFLIGHT_IN);
    pf_inflight_leave(f, &e[64]);
    pf_inflight_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_a_burst_through_and_then_so_many_a_second),
        cmocka_unit_test(one_name_pays_for_itself_alone),
        cmocka_unit_test(a_clock_that_stands_or_goes_back_gives_nothing_away),
        cmocka_unit_test(a_rate_of_0_is_no_limit),
        cmocka_unit_test(
            a_flood_of_names_takes_no_more_memory_and_frees_no_sinner),
        cmocka_unit_test(uploads_are_bounded_in_all_of_a_device_and_by_bytes),
        cmocka_unit_test(many_rounds_at_once_still_count_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
