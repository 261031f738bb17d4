#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/crypto.h>

#include "crypto.h"
#include "text.h"

/* Set before OpenSSL takes its first byte, see main. */
static int no_memory;

static void *take(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return no_memory ? NULL : malloc(n);
}

static void *retake(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return no_memory ? NULL : realloc(p, n);
}

static void give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void assert_digest(const uint8_t *digest, const char *hex)
{
    char text[2 * PF_DIGEST_LEN + 1];

    pf_hex(digest, PF_DIGEST_LEN, text);
    assert_string_equal(text, hex);
}

static const char EMPTY[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char ABC[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/* FIPS 180-2, B.2: two blocks */
static const char LONG_TEXT[] =
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
static const char LONG_HEX[] =
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";

static void hashes_the_published_vectors(void **state)
{
    uint8_t d[PF_DIGEST_LEN];

    (void)state;
    pf_sha256(NULL, 0, d);
    assert_digest(d, EMPTY);
    pf_sha256("abc", 3, d);
    assert_digest(d, ABC);
    pf_sha256(LONG_TEXT, strlen(LONG_TEXT), d);
    assert_digest(d, LONG_HEX);
}

static void a_running_hash_is_the_same_and_can_be_used_again(void **state)
{
    struct pf_hash *h = pf_hash_new();
    uint8_t d[PF_DIGEST_LEN];
    size_t i;

    (void)state;
    assert_non_null(h);
    for (i = 0; i < strlen(LONG_TEXT); i++)
        pf_hash_add(h, LONG_TEXT + i, 1);
    pf_hash_end(h, d);
    assert_digest(d, LONG_HEX);
    pf_hash_add(h, "abc", 3);
    pf_hash_end(h, d);
    assert_digest(d, ABC);
    pf_hash_end(h, d);
    assert_digest(d, EMPTY);
    pf_hash_free(h);
    pf_hash_free(NULL);
}

static void a_digest_comes_out_right_even_without_memory(void **state)
{
    uint8_t text[300], with[PF_DIGEST_LEN], without[PF_DIGEST_LEN];
    size_t n;

    (void)state;
    for (n = 0; n < sizeof text; n++)
        text[n] = (uint8_t)(n * 7);
    for (n = 0; n <= sizeof text; n++) {
        pf_sha256(text, n, with);
        no_memory = 1;
        pf_sha256(text, n, without);
        no_memory = 0;
        assert_memory_equal(with, without, PF_DIGEST_LEN);
    }
}

static void two_pieces_hash_as_one(void **state)
{
    uint8_t text[200], one[PF_DIGEST_LEN], two[PF_DIGEST_LEN];
    size_t cut;

    (void)state;
    for (cut = 0; cut < sizeof text; cut++)
        text[cut] = (uint8_t)(cut * 11);
    pf_sha256(text, sizeof text, one);
    for (cut = 0; cut <= sizeof text; cut++) {
        no_memory = (int)(cut & 1);
        pf_sha256_two(text, cut, text + cut, sizeof text - cut, two);
        no_memory = 0;
        assert_memory_equal(one, two, PF_DIGEST_LEN);
    }
}

/* RFC 4231, 4.2 to 4.4 and 4.7. */
static void hmac_is_that_of_rfc_4231(void **state)
{
    uint8_t key[131], data[50], mac[PF_DIGEST_LEN];

    (void)state;
    memset(key, 0x0b, 20);
    pf_hmac_sha256(key, 20, "Hi There", 8, mac);
    assert_digest(mac, "b0344c61d8db38535ca8afceaf0bf12b"
                       "881dc200c9833da726e9376c2e32cff7");
    pf_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    assert_digest(mac, "5bdcc146bf60754e6a042426089575c7"
                       "5a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    memset(data, 0xdd, sizeof data);
    pf_hmac_sha256(key, 20, data, 50, mac);
    assert_digest(mac, "773ea91e36800e46854db8ebd09181a7"
                       "2959098b3ef8c122d9635514ced565fe");
    no_memory = 1;
    pf_hmac_sha256(key, sizeof key,
                   "Test Using Larger Than Block-Size Key - Hash Key First", 54,
                   mac);
    no_memory = 0;
    assert_digest(mac, "60e431591ee0b67f0d8a26aacbf5b77f"
                       "8e0bc6213728c5140546040f0ee37f54");
}

static void a_running_hash_says_that_there_is_no_memory(void **state)
{
    (void)state;
    no_memory = 1;
    assert_null(pf_hash_new());
    no_memory = 0;
}

static void random_bytes_differ(void **state)
{
    uint8_t a[64] = {0}, b[64] = {0};

    (void)state;
    assert_int_equal(pf_random(a, sizeof a), POCKETFED_OK);
    assert_int_equal(pf_random(b, sizeof b), POCKETFED_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(pf_random(NULL, 0), POCKETFED_OK);
}

static void secrets_are_equal_only_when_every_byte_is(void **state)
{
    uint8_t a[32] = {1}, b[32] = {1};
    size_t i;

    (void)state;
    assert_true(pf_equal_secret(a, b, sizeof a));
    for (i = 0; i < sizeof a; i++) {
        b[i] ^= 0x80;
        assert_false(pf_equal_secret(a, b, sizeof a));
        b[i] ^= 0x80;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_the_published_vectors),
        cmocka_unit_test(a_running_hash_is_the_same_and_can_be_used_again),
        cmocka_unit_test(a_digest_comes_out_right_even_without_memory),
        cmocka_unit_test(two_pieces_hash_as_one),
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(a_running_hash_says_that_there_is_no_memory),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(secrets_are_equal_only_when_every_byte_is),
    };

    if (!CRYPTO_set_mem_functions(take, retake, give))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
