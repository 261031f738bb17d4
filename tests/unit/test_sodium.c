#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"
#include "sodium_ed25519.h"

enum { LONGEST = 300 };

/* The two that must agree. */
static const struct pf_ed25519 *const BY[] = {NULL, &pf_sodium_ed25519};

static int back_to_openssl(void **state)
{
    (void)state;
    pf_ed25519_by(NULL);
    return 0;
}

/* For somebody who has only the public part of the key. */
static int holds(const struct pf_ed25519 *by, const struct pf_key *key,
                 const void *msg, size_t len, const uint8_t *sig)
{
    uint8_t pub[PF_PUBLIC_MAX];
    struct pf_key *seen = NULL;
    enum pocketfed_status st;

    pf_ed25519_by(by);
    assert_int_equal(pf_key_from_public(pf_key_algorithm(key), pub,
                                        pf_key_public(key, pub), &seen),
                     POCKETFED_OK);
    st = pf_key_verify(seen, msg, len, sig);
    assert_true(st == POCKETFED_OK || st == POCKETFED_PROOF);
    assert_int_equal(pf_key_sign(seen, msg, len, pub), POCKETFED_INVALID);
    pf_key_free(seen);
    return st == POCKETFED_OK;
}

static void both_make_the_same_signatures_and_take_the_others(void **state)
{
    uint8_t msg[LONGEST], sig[2][PF_SIGNATURE_LEN];

    (void)state;
    for (size_t len = 0; len < LONGEST; len++) {
        struct pf_key *key = NULL;

        assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
        assert_int_equal(pf_random(msg, len + 1), POCKETFED_OK);
        for (int i = 0; i < 2; i++) {
            pf_ed25519_by(BY[i]);
            assert_int_equal(pf_key_sign(key, msg, len, sig[i]), POCKETFED_OK);
        }
        assert_memory_equal(sig[0], sig[1], PF_SIGNATURE_LEN);
        sig[1][len % PF_SIGNATURE_LEN] ^= 1;
        for (int i = 0; i < 2; i++) {
            assert_true(holds(BY[i], key, msg, len, sig[0]));
            assert_false(holds(BY[i], key, msg, len, sig[1]));
            assert_false(holds(BY[i], key, msg, len + 1, sig[0]));
        }
        pf_key_free(key);
    }
}

/* RFC 8032, 5.1.7: S is below the order of the group, so that nobody makes a
 * second signature of one he has seen. */
static void both_refuse_a_signature_whose_s_has_the_order_added(void **state)
{
    static const uint8_t order[] = {
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
        0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
    struct pf_key *key = NULL;
    uint8_t sig[PF_SIGNATURE_LEN];
    unsigned carry = 0;

    (void)state;
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
    assert_int_equal(pf_key_sign(key, "round 7", 7, sig), POCKETFED_OK);
    for (int i = 0; i < 32; i++) {
        carry += (unsigned)sig[32 + i] + order[i];
        sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    for (int i = 0; i < 2; i++)
        assert_false(holds(BY[i], key, "round 7", 7, sig));
    pf_key_free(key);
}

/* The point of order one: such a key would hold every message to be signed. */
static void libsodium_refuses_a_public_key_of_small_order(void **state)
{
    const uint8_t one[32] = {1};
    uint8_t sig[PF_SIGNATURE_LEN] = {1};
    struct pf_key *key = NULL;

    (void)state;
    assert_int_equal(pf_key_from_public(PF_KEY_ED25519, one, sizeof one, &key),
                     POCKETFED_OK);
    assert_false(holds(&pf_sodium_ed25519, key, "round 7", 7, sig));
    pf_key_free(key);
}

static void p256_is_left_to_openssl(void **state)
{
    struct pf_key *key = NULL;
    uint8_t sig[PF_SIGNATURE_LEN];

    (void)state;
    pf_ed25519_by(&pf_sodium_ed25519);
    assert_int_equal(pf_key_generate(PF_KEY_P256, &key), POCKETFED_OK);
    assert_int_equal(pf_key_sign(key, "round 7", 7, sig), POCKETFED_OK);
    assert_true(holds(NULL, key, "round 7", 7, sig));
    assert_true(holds(&pf_sodium_ed25519, key, "round 7", 7, sig));
    pf_key_free(key);
}

#define TEST(f) cmocka_unit_test_teardown(f, back_to_openssl)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_make_the_same_signatures_and_take_the_others),
        TEST(both_refuse_a_signature_whose_s_has_the_order_added),
        TEST(libsodium_refuses_a_public_key_of_small_order),
        TEST(p256_is_left_to_openssl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
