#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "crypto.h"
#include "file.h"
#include "text.h"
#include "tmpdir.h"

static const enum pf_key_alg ALGS[] = {PF_KEY_ED25519, PF_KEY_P256};

static void unhex(const char *hex, uint8_t *out, size_t n)
{
    assert_true(pf_unhex(hex, strlen(hex), out, n));
}

static struct pf_key *generate(enum pf_key_alg alg)
{
    struct pf_key *key = NULL;

    assert_int_equal(pf_key_generate(alg, &key), POCKETFED_OK);
    assert_non_null(key);
    return key;
}

/* The PKCS#8 PEM of a raw Ed25519 secret (RFC 8410, section 7). */
static void write_ed25519(const char *path, const char *secret_hex)
{
    uint8_t der[48];
    char text[PF_BASE64_LEN(sizeof der) + 1], pem[256];
    int n;

    unhex("302e020100300506032b657004220420", der, 16);
    unhex(secret_hex, der + 16, 32);
    pf_base64(der, sizeof der, text);
    n = snprintf(pem, sizeof pem,
                 "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n",
                 text);
    assert_int_equal(pf_file_replace(path, pem, (size_t)n, 0600, NULL),
                     POCKETFED_OK);
}

static void signs_as_rfc_8032_says(void **state)
{
    /* RFC 8032, section 7.1, tests 1 and 2 */
    static const struct {
        const char *secret, *public, *message, *signature;
        size_t len;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
         "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
         0},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
         "\x72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
         1},
    };
    char dir[256], path[300], hex[2 * PF_SIGNATURE_LEN + 1];
    uint8_t sig[PF_SIGNATURE_LEN], pub[PF_PUBLIC_MAX];
    size_t i;

    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    pf_path_join(dir, "key.pem", path, sizeof path, NULL);
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pf_key *key = NULL;

        write_ed25519(path, rows[i].secret);
        assert_int_equal(pf_key_load(path, &key, NULL), POCKETFED_OK);
        assert_int_equal(pf_key_public(key, pub), 32);
        pf_hex(pub, 32, hex);
        assert_string_equal(hex, rows[i].public);
        assert_int_equal(pf_key_sign(key, rows[i].message, rows[i].len, sig),
                         POCKETFED_OK);
        pf_hex(sig, sizeof sig, hex);
        assert_string_equal(hex, rows[i].signature);
        pf_key_free(key);
    }
    pf_tmpdir_remove(dir);
}

static void verifies_the_p256_vector_of_rfc_6979(void **state)
{
    /* RFC 6979, A.2.5, SHA-256, message "sample" */
    uint8_t pub[65], sig[64];
    struct pf_key *key = NULL;

    (void)state;
    unhex("0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
          "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
          pub, sizeof pub);
    unhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
          "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
          sig, sizeof sig);
    assert_int_equal(pf_key_from_public(PF_KEY_P256, pub, sizeof pub, &key),
                     POCKETFED_OK);
    assert_int_equal(pf_key_verify(key, "sample", 6, sig), POCKETFED_OK);
    assert_int_equal(pf_key_verify(key, "Sample", 6, sig), POCKETFED_PROOF);
    pf_key_free(key);
}

static void a_signature_holds_for_its_message_and_key_only(void **state)
{
    static const char message[] = "round 7";
    size_t i, k;

    (void)state;
    for (k = 0; k < 2; k++) {
        struct pf_key *key = generate(ALGS[k]), *other = generate(ALGS[k]);
        struct pf_key *seen = NULL;
        uint8_t sig[PF_SIGNATURE_LEN], pub[PF_PUBLIC_MAX];
        size_t len = pf_key_public(key, pub);

        assert_int_equal(pf_key_from_public(ALGS[k], pub, len, &seen),
                         POCKETFED_OK);
        assert_int_equal(pf_key_sign(key, message, 7, sig), POCKETFED_OK);
        assert_int_equal(pf_key_verify(seen, message, 7, sig), POCKETFED_OK);
        assert_int_equal(pf_key_verify(seen, message, 6, sig), POCKETFED_PROOF);
        assert_int_equal(pf_key_verify(other, message, 7, sig),
                         POCKETFED_PROOF);
        for (i = 0; i < sizeof sig; i++) {
            sig[i] ^= 1;
            assert_int_equal(pf_key_verify(seen, message, 7, sig),
                             POCKETFED_PROOF);
            sig[i] ^= 1;
        }
        memset(sig, 0, sizeof sig);
        assert_int_equal(pf_key_verify(seen, message, 7, sig), POCKETFED_PROOF);
        assert_int_equal(pf_key_sign(seen, message, 7, sig), POCKETFED_INVALID);
        pf_key_free(seen);
        pf_key_free(other);
        pf_key_free(key);
    }
}

/* r or s that begins with a zero byte is where conversions go wrong; one of
 * 128 signatures has one. */
static void many_p256_signatures_survive_the_fixed_width(void **state)
{
    struct pf_key *key = generate(PF_KEY_P256);
    uint8_t sig[PF_SIGNATURE_LEN];
    int i;

    (void)state;
    for (i = 0; i < 600; i++) {
        assert_int_equal(pf_key_sign(key, &i, sizeof i, sig), POCKETFED_OK);
        assert_int_equal(pf_key_verify(key, &i, sizeof i, sig), POCKETFED_OK);
    }
    pf_key_free(key);
}

static void a_saved_key_loads_as_the_same_key(void **state)
{
    char dir[256], path[300];
    size_t k;

    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    pf_path_join(dir, "key.pem", path, sizeof path, NULL);
    for (k = 0; k < 2; k++) {
        struct pf_key *key = generate(ALGS[k]), *back = NULL;
        uint8_t a[PF_DIGEST_LEN], b[PF_DIGEST_LEN], sig[PF_SIGNATURE_LEN];
        struct stat info;

        assert_int_equal(pf_key_save(key, path, NULL), POCKETFED_OK);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
        assert_int_equal(pf_key_load(path, &back, NULL), POCKETFED_OK);
        assert_int_equal(pf_key_algorithm(back), ALGS[k]);
        pf_key_fingerprint(key, a);
        pf_key_fingerprint(back, b);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(pf_key_sign(back, "x", 1, sig), POCKETFED_OK);
        assert_int_equal(pf_key_verify(key, "x", 1, sig), POCKETFED_OK);
        pf_key_free(back);
        pf_key_free(key);
    }
    pf_tmpdir_remove(dir);
}

static void refuses_a_file_that_holds_no_key_of_ours(void **state)
{
    static const char text[] = "not a key\n";
    char dir[256], path[300];
    struct pf_key *key = NULL;
    struct pf_error err;

    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    pf_path_join(dir, "key.pem", path, sizeof path, NULL);
    assert_int_equal(pf_key_load(path, &key, &err), POCKETFED_NOT_FOUND);
    assert_int_equal(pf_file_replace(path, text, strlen(text), 0600, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_key_load(path, &key, &err), POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(pf_file_replace(path, "", 0, 0600, NULL), POCKETFED_OK);
    assert_int_equal(pf_key_load(path, &key, &err), POCKETFED_MALFORMED);
    assert_null(key);
    pf_tmpdir_remove(dir);
}

static void refuses_a_public_key_that_is_none(void **state)
{
    struct pf_key *key = NULL;
    uint8_t pub[PF_PUBLIC_MAX] = {4, 1};

    (void)state;
    assert_int_equal(pf_key_from_public(PF_KEY_P256, pub, 65, &key),
                     POCKETFED_MALFORMED); /* not on the curve */
    assert_int_equal(pf_key_from_public(PF_KEY_P256, pub, 64, &key),
                     POCKETFED_MALFORMED);
    assert_int_equal(pf_key_from_public(PF_KEY_ED25519, pub, 31, &key),
                     POCKETFED_MALFORMED);
    assert_int_equal(pf_key_from_public((enum pf_key_alg)9, pub, 32, &key),
                     POCKETFED_MALFORMED);
    assert_int_equal(pf_key_generate((enum pf_key_alg)9, &key),
                     POCKETFED_INVALID);
    assert_null(key);
}

static void a_public_key_cannot_be_saved(void **state)
{
    struct pf_key *key = generate(PF_KEY_ED25519), *seen = NULL;
    uint8_t pub[PF_PUBLIC_MAX];
    struct pf_error err;
    struct pf_buf pem;

    (void)state;
    pf_buf_init(&pem, 4096);
    assert_int_equal(
        pf_key_from_public(PF_KEY_ED25519, pub, pf_key_public(key, pub), &seen),
        POCKETFED_OK);
    assert_int_equal(pf_key_pem(seen, &pem), POCKETFED_INVALID);
    assert_int_equal(pf_key_save(seen, "/nonexistent/x", &err),
                     POCKETFED_INVALID);
    assert_int_equal(pem.len, 0);
    pf_buf_free(&pem);
    pf_key_free(seen);
    pf_key_free(key);
    pf_key_free(NULL);
}

static void algorithms_have_the_names_of_rfc_9421(void **state)
{
    enum pf_key_alg alg;

    (void)state;
    assert_string_equal(pf_key_alg_name(PF_KEY_ED25519), "ed25519");
    assert_string_equal(pf_key_alg_name(PF_KEY_P256), "ecdsa-p256-sha256");
    assert_true(pf_key_alg_find("ecdsa-p256-sha256", &alg));
    assert_int_equal(alg, PF_KEY_P256);
    assert_true(pf_key_alg_find("ed25519", &alg));
    assert_int_equal(alg, PF_KEY_ED25519);
    assert_false(pf_key_alg_find("rsa-pss-sha512", &alg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_rfc_8032_says),
        cmocka_unit_test(verifies_the_p256_vector_of_rfc_6979),
        cmocka_unit_test(a_signature_holds_for_its_message_and_key_only),
        cmocka_unit_test(many_p256_signatures_survive_the_fixed_width),
        cmocka_unit_test(a_saved_key_loads_as_the_same_key),
        cmocka_unit_test(refuses_a_file_that_holds_no_key_of_ours),
        cmocka_unit_test(refuses_a_public_key_that_is_none),
        cmocka_unit_test(a_public_key_cannot_be_saved),
        cmocka_unit_test(algorithms_have_the_names_of_rfc_9421),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
