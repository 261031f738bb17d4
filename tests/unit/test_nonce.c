#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "nonce.h"

#define KEY "00112233445566778899aabbccddeeff"

static struct pf_nonces *make(size_t max)
{
    struct pf_nonces *n = NULL;

    assert_int_equal(pf_nonces_create(max, &n), POCKETFED_OK);
    return n;
}

static void knows_a_nonce_that_was_added(void **state)
{
    struct pf_nonces *n = make(100);

    (void)state;
    assert_false(pf_nonces_seen(n, KEY, "a", 1000));
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1100, 1000), POCKETFED_OK);
    assert_true(pf_nonces_seen(n, KEY, "a", 1000));
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1100, 1000), POCKETFED_EXISTS);
    pf_nonces_free(n);
}

static void tells_keys_apart(void **state)
{
    struct pf_nonces *n = make(100);

    (void)state;
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1100, 1000), POCKETFED_OK);
    assert_false(pf_nonces_seen(n, "ff" KEY, "a", 1000));
    /* "x y" + "z" must not be "x" + "y z" glued together. */
    assert_int_equal(pf_nonces_add(n, "ab", "c", 1100, 1000), POCKETFED_OK);
    assert_false(pf_nonces_seen(n, "a", "bc", 1000));
    pf_nonces_free(n);
}

static void forgets_a_nonce_when_the_clock_would_refuse_it(void **state)
{
    struct pf_nonces *n = make(100);

    (void)state;
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1100, 1000), POCKETFED_OK);
    assert_true(pf_nonces_seen(n, KEY, "a", 1099));
    assert_false(pf_nonces_seen(n, KEY, "a", 1100));
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1300, 1200), POCKETFED_OK);
    assert_true(pf_nonces_seen(n, KEY, "a", 1200));
    pf_nonces_free(n);
}

static void keeps_every_live_nonce_while_it_grows(void **state)
{
    struct pf_nonces *n = make(20000);
    char nonce[32];
    int i;

    (void)state;
    for (i = 0; i < 20000; i++) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        assert_int_equal(pf_nonces_add(n, KEY, nonce, 1100, 1000),
                         POCKETFED_OK);
    }
    for (i = 0; i < 20000; i++) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        assert_true(pf_nonces_seen(n, KEY, nonce, 1050));
    }
    pf_nonces_free(n);
}

static void says_busy_when_full_and_recovers_when_time_passes(void **state)
{
    struct pf_nonces *n = make(600);
    enum pocketfed_status st = POCKETFED_OK;
    char nonce[32];
    int i;

    (void)state;
    for (i = 0; i < 100000 && st == POCKETFED_OK; i++) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        st = pf_nonces_add(n, KEY, nonce, 1100, 1000);
    }
    assert_int_equal(st, POCKETFED_BUSY);
    assert_true(i > 600); /* at least what was asked for */
    assert_true(i < 5000);
    assert_int_equal(pf_nonces_add(n, KEY, "later", 1300, 1200), POCKETFED_OK);
    assert_true(pf_nonces_seen(n, KEY, "later", 1200));
    pf_nonces_free(n);
}

static void a_full_window_opens_with_the_first_that_expires(void **state)
{
    struct pf_nonces *n = make(600);
    enum pocketfed_status st = POCKETFED_OK;
    char nonce[32];
    int i;

    (void)state;
    /* The first expires at 1100, all others after 1200. */
    for (i = 0; i < 100000 && st == POCKETFED_OK; i++) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        st = pf_nonces_add(n, KEY, nonce, i ? 1201 + i % 7 : 1100, 1000);
    }
    assert_int_equal(st, POCKETFED_BUSY);
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1399, 1099), POCKETFED_BUSY);
    assert_true(pf_nonces_seen(n, KEY, "n1", 1099));
    assert_int_equal(pf_nonces_add(n, KEY, "n1", 1399, 1099), POCKETFED_EXISTS);
    assert_int_equal(pf_nonces_add(n, KEY, "a", 1400, 1100), POCKETFED_OK);
    assert_int_equal(pf_nonces_add(n, KEY, "b", 1400, 1100), POCKETFED_BUSY);
    assert_int_equal(pf_nonces_add(n, KEY, "b", 1500, 1201), POCKETFED_OK);
    pf_nonces_free(n);
}

static void a_clock_that_is_set_back_makes_no_replay_new(void **state)
{
    const int64_t day = 86400, now = 1800000000;
    struct pf_nonces *n = make(100);
    char nonce[32];
    int i;

    (void)state;
    assert_int_equal(pf_nonces_add(n, KEY, "a", now + 120, now), POCKETFED_OK);
    /* Set back by a day; then the window is looked through many times. */
    for (i = 0; i < 5000; i++) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        assert_int_equal(
            pf_nonces_add(n, KEY, nonce, now - day + i + 1, now - day + i),
            POCKETFED_OK);
    }
    assert_true(pf_nonces_seen(n, KEY, "a", now + 119));
    assert_int_equal(pf_nonces_add(n, KEY, "a", now + 230, now + 110),
                     POCKETFED_EXISTS);
    pf_nonces_free(n);
}

static void knows_nonces_for_as_long_as_a_process_lives(void **state)
{
    const int64_t week = 7 * 86400;
    struct pf_nonces *n = make(100);
    int64_t now;

    (void)state;
    for (now = 1800000000; now < 1800000000 + 60 * week; now += week) {
        assert_int_equal(pf_nonces_add(n, KEY, "a", now + 120, now),
                         POCKETFED_OK);
        assert_true(pf_nonces_seen(n, KEY, "a", now + 119));
        assert_false(pf_nonces_seen(n, KEY, "a", now + 120));
    }
    pf_nonces_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_a_nonce_that_was_added),
        cmocka_unit_test(tells_keys_apart),
        cmocka_unit_test(forgets_a_nonce_when_the_clock_would_refuse_it),
        cmocka_unit_test(keeps_every_live_nonce_while_it_grows),
        cmocka_unit_test(says_busy_when_full_and_recovers_when_time_passes),
        cmocka_unit_test(a_full_window_opens_with_the_first_that_expires),
        cmocka_unit_test(a_clock_that_is_set_back_makes_no_replay_new),
        cmocka_unit_test(knows_nonces_for_as_long_as_a_process_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
