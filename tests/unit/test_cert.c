#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "crypto.h"

static const char *const HOSTS[] = {"localhost", "127.0.0.1", "::1"};

static struct pf_key *p256(void)
{
    struct pf_key *key = NULL;

    assert_int_equal(pf_key_generate(PF_KEY_P256, &key), POCKETFED_OK);
    return key;
}

static void make(const struct pf_key *key, struct pf_buf *pem)
{
    struct pf_error err;

    pf_buf_init(pem, 8192);
    if (pf_cert_make(key, HOSTS, 3, 30, pem, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
}

static X509 *parse(const struct pf_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static void a_certificate_is_its_own_root_for_its_hosts(void **state)
{
    struct pf_key *key = p256();
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    struct pf_buf pem;
    X509 *cert;

    (void)state;
    make(key, &pem);
    cert = parse(&pem);
    assert_true(X509_STORE_add_cert(store, cert));
    assert_true(X509_STORE_CTX_init(ctx, store, cert, NULL));
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    if (X509_verify_cert(ctx) != 1)
        fail_msg("%s",
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "10.0.0.1", 0), 0);
    assert_int_equal(X509_get_pathlen(cert), 0);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
    X509_free(cert);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    pf_buf_free(&pem);
    pf_key_free(key);
}

static void the_dates_are_backdated_and_as_asked(void **state)
{
    struct pf_key *key = p256();
    time_t now = time(NULL), then = now - 240;
    int64_t end = 0;
    struct pf_buf pem;
    X509 *cert;

    (void)state;
    make(key, &pem);
    cert = parse(&pem);
    assert_true(X509_cmp_time(X509_get0_notBefore(cert), &then) < 0);
    assert_int_equal(pf_cert_info((char *)pem.data, pem.len, NULL, &end, NULL),
                     POCKETFED_OK);
    assert_in_range(end, (uintmax_t)now + 30 * 86400 - 1,
                    (uintmax_t)now + 30 * 86400 + 60);
    X509_free(cert);
    pf_buf_free(&pem);
    pf_key_free(key);
}

static void the_pin_is_that_of_the_key(void **state)
{
    struct pf_key *key = p256(), *other = p256();
    struct pf_buf a, b, c;
    uint8_t pin_a[PF_DIGEST_LEN], pin_b[PF_DIGEST_LEN], pin_c[PF_DIGEST_LEN];

    (void)state;
    make(key, &a);
    make(key, &b);
    make(other, &c);
    assert_memory_not_equal(a.data, b.data, a.len); /* serials */
    pf_cert_info((char *)a.data, a.len, pin_a, NULL, NULL);
    pf_cert_info((char *)b.data, b.len, pin_b, NULL, NULL);
    pf_cert_info((char *)c.data, c.len, pin_c, NULL, NULL);
    assert_memory_equal(pin_a, pin_b, sizeof pin_a);
    assert_memory_not_equal(pin_a, pin_c, sizeof pin_a);
    pf_buf_free(&a);
    pf_buf_free(&b);
    pf_buf_free(&c);
    pf_key_free(key);
    pf_key_free(other);
}

static void refuses_what_cannot_be_certified(void **state)
{
    static const char *const bad[] = {"a,DNS:evil.example", "", "x y", "a..b",
                                      "host\n"};
    struct pf_key *key = p256(), *wrong = NULL;
    struct pf_error err;
    struct pf_buf pem;
    size_t i;

    (void)state;
    pf_buf_init(&pem, 8192);
    for (i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pf_cert_make(key, &bad[i], 1, 30, &pem, &err),
                         POCKETFED_INVALID);
    assert_int_equal(pf_cert_make(key, HOSTS, 0, 30, &pem, &err),
                     POCKETFED_INVALID);
    assert_int_equal(pf_cert_make(key, HOSTS, 1, 0, &pem, &err),
                     POCKETFED_INVALID);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &wrong), POCKETFED_OK);
    assert_int_equal(pf_cert_make(wrong, HOSTS, 1, 30, &pem, &err),
                     POCKETFED_INVALID);
    assert_int_equal(pem.len, 0);
    pem.max = 100;
    assert_int_equal(pf_cert_make(key, HOSTS, 1, 30, &pem, &err),
                     POCKETFED_LIMIT);
    assert_int_equal(pem.len, 0);
    assert_int_equal(pf_cert_info("nothing", 7, NULL, NULL, &err),
                     POCKETFED_MALFORMED);
    assert_int_equal(pf_cert_info(NULL, 0, NULL, NULL, &err),
                     POCKETFED_MALFORMED);
    pf_buf_free(&pem);
    pf_key_free(wrong);
    pf_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_its_own_root_for_its_hosts),
        cmocka_unit_test(the_dates_are_backdated_and_as_asked),
        cmocka_unit_test(the_pin_is_that_of_the_key),
        cmocka_unit_test(refuses_what_cannot_be_certified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
