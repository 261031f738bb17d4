/* Who trains for an asynchronous task: leases are given, end, lapse, and make
 * way for others when all places are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"
#include "leases.h"

#define LASTS 100

static struct pf_leases l;
static int64_t now;

static int two_may_train(void **state)
{
    (void)state;
    now = 1000;
    return pf_leases_init(&l, 2);
}

static int all_is_freed(void **state)
{
    (void)state;
    pf_leases_free(&l);
    return 0;
}

static struct pf_lease *give(unsigned device, uint64_t round)
{
    struct pf_device_ref d = engine_device(device);

    return pf_leases_give(&l, &d, round, now, LASTS);
}

static struct pf_lease *find(unsigned device)
{
    struct pf_device_ref d = engine_device(device);

    return pf_leases_find(&l, d.id);
}

static uint32_t live(void)
{
    return pf_leases_live(&l, now, LASTS);
}

static int room(uint64_t round)
{
    return pf_leases_room(&l, round, now, LASTS);
}

/* The device has a lease of that round, in that state. */
static void has(unsigned device, uint64_t round, enum pf_lease_state state)
{
    const struct pf_lease *lease = find(device);

    assert_non_null(lease);
    assert_int_equal(lease->device.ordinal, device);
    assert_int_equal(lease->round, round);
    assert_int_equal(lease->state, state);
}

static void a_lease_is_found_by_its_device(void **state)
{
    (void)state;
    assert_null(find(1));
    assert_non_null(give(1, 7));
    has(1, 7, PF_LEASE_TRAINING);
    assert_int_equal(find(1)->at_ms, 1000);
    assert_null(find(2));
    assert_int_equal(live(), 1);
}

static void a_device_has_one_lease_at_most(void **state)
{
    (void)state;
    give(1, 7);
    now += 10;
    give(1, 8);
    has(1, 8, PF_LEASE_TRAINING);
    assert_int_equal(find(1)->at_ms, 1010);
    assert_int_equal(live(), 1);
}

static void whose_time_is_over_no_longer_counts(void **state)
{
    (void)state;
    give(1, 7);
    now += 60;
    give(2, 7);
    now += 39;
    assert_int_equal(live(), 2);
    now += 1;
    assert_int_equal(live(), 1);
    has(1, 7, PF_LEASE_TRAINING); /* seen to end with the next that is given */
    give(3, 7);
    has(1, 7, PF_LEASE_LAPSED);
    has(2, 7, PF_LEASE_TRAINING);
    assert_int_equal(live(), 2);
}

static void what_was_accepted_or_given_back_frees_its_place(void **state)
{
    (void)state;
    give(1, 7);
    give(2, 7);
    pf_leases_end(&l, find(1), PF_LEASE_ACCEPTED);
    assert_int_equal(live(), 1);
    pf_leases_end(&l, find(2), PF_LEASE_FAILED);
    assert_int_equal(live(), 0);
    has(1, 7, PF_LEASE_ACCEPTED);
    has(2, 7, PF_LEASE_FAILED);
}

static void a_lapsed_lease_can_still_be_accepted(void **state)
{
    (void)state;
    give(1, 7);
    now += LASTS;
    give(2, 7);
    pf_leases_end(&l, find(1), PF_LEASE_ACCEPTED);
    has(1, 7, PF_LEASE_ACCEPTED);
    assert_int_equal(live(), 1);
}

/* Four places: four devices, of which some have ended. */
static void four(uint64_t round, enum pf_lease_state one,
                 enum pf_lease_state two)
{
    give(1, round);
    pf_leases_end(&l, find(1), one);
    give(2, round);
    pf_leases_end(&l, find(2), two);
    give(3, round);
    give(4, round);
    assert_int_equal(live(), 2);
}

static void the_one_that_ended_longest_ago_makes_way(void **state)
{
    (void)state;
    four(7, PF_LEASE_FAILED, PF_LEASE_FAILED);
    assert_true(room(8));
    assert_non_null(give(5, 8));
    assert_null(find(1));
    has(2, 7, PF_LEASE_FAILED);
    assert_non_null(give(6, 8));
    assert_null(find(2));
    has(3, 7, PF_LEASE_TRAINING);
    has(4, 7, PF_LEASE_TRAINING);
}

static void an_older_rounds_makes_way_before_the_same_rounds(void **state)
{
    (void)state;
    give(1, 7);
    give(2, 6);
    pf_leases_end(&l, find(1), PF_LEASE_FAILED);
    pf_leases_end(&l, find(2), PF_LEASE_FAILED); /* later, but of round 6 */
    give(3, 7);
    give(4, 7);
    assert_non_null(give(5, 7));
    assert_null(find(2));
    has(1, 7, PF_LEASE_FAILED);
    assert_non_null(give(6, 7)); /* else a round of failures were the last */
    assert_null(find(1));
}

static void what_counts_in_the_round_never_makes_way(void **state)
{
    (void)state;
    four(7, PF_LEASE_ACCEPTED, PF_LEASE_ACCEPTED);
    find(1)->counted = find(2)->counted = 8; /* assigned in 7 */
    assert_false(room(8));
    assert_null(give(5, 8));
    has(1, 7, PF_LEASE_ACCEPTED);
    has(2, 7, PF_LEASE_ACCEPTED);
    assert_true(room(9));
    assert_non_null(give(5, 9));
    assert_null(find(1));
}

static void who_trains_never_makes_way_but_who_lapsed_does(void **state)
{
    (void)state;
    give(1, 7);
    give(2, 7);
    give(3, 7);
    give(4, 7);
    assert_false(room(7));
    assert_null(give(5, 7));
    now += LASTS;
    assert_true(room(7)); /* though nobody has seen it yet */
    assert_non_null(give(5, 7));
    assert_null(find(1));
    has(2, 7, PF_LEASE_LAPSED);
}

static void a_device_takes_its_own_place_when_there_is_no_other(void **state)
{
    (void)state;
    four(7, PF_LEASE_ACCEPTED, PF_LEASE_ACCEPTED);
    find(1)->counted = find(2)->counted = 8;
    assert_non_null(give(3, 8));
    has(3, 8, PF_LEASE_TRAINING);
    assert_non_null(find(4));
}

/* Ids that begin alike stand in one another's slots (engine_device): whoever
 * goes must not hide the others. */
static void many_come_and_go_and_each_is_found(void **state)
{
    unsigned device, other, known;

    (void)state;
    pf_leases_free(&l);
    assert_int_equal(pf_leases_init(&l, 20), POCKETFED_OK);
    for (device = 0; device < 1000; device++) {
        now += 7; /* 15 train at a time */
        assert_non_null(give(device, device / 4));
        if (device % 3 == 0)
            pf_leases_end(&l, find(device - device % 2), PF_LEASE_FAILED);
        for (known = 0, other = 0; other <= device; other++)
            if (find(other)) {
                assert_int_equal(find(other)->device.ordinal, other);
                known++;
            }
        assert_int_equal(known, device < 40 ? device + 1 : 40);
        assert_true(live() <= 15);
        for (other = device; other + 10 > device && other < 1000; other--)
            assert_non_null(find(other));
    }
    pf_leases_clear(&l);
    assert_null(find(999));
    assert_int_equal(live(), 0);
    assert_non_null(give(999, 1));
}

static void nobody_may_train_is_no_task(void **state)
{
    struct pf_leases none;

    (void)state;
    assert_int_equal(pf_leases_init(&none, 0), POCKETFED_INVALID);
    assert_int_equal(pf_leases_init(&none, UINT32_MAX), POCKETFED_INVALID);
    pf_leases_free(&none);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, two_may_train, all_is_freed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lease_is_found_by_its_device),
        TEST(a_device_has_one_lease_at_most),
        TEST(whose_time_is_over_no_longer_counts),
        TEST(what_was_accepted_or_given_back_frees_its_place),
        TEST(a_lapsed_lease_can_still_be_accepted),
        TEST(the_one_that_ended_longest_ago_makes_way),
        TEST(an_older_rounds_makes_way_before_the_same_rounds),
        TEST(what_counts_in_the_round_never_makes_way),
        TEST(who_trains_never_makes_way_but_who_lapsed_does),
        TEST(a_device_takes_its_own_place_when_there_is_no_other),
        TEST(many_come_and_go_and_each_is_found),
        TEST(nobody_may_train_is_no_task),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
