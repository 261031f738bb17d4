/* What pf_httpsig_parse refuses, and that it says what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "httpsig.h"

/* A request without a body. */
static struct pf_signed_request request(void)
{
    struct pf_signed_request r = {
        .method = "POST",
        .path = "/v1/tasks/mnist",
        .query = "?",
        .record_key = "00",
    };

    return r;
}

#define PARAMS                                                                 \
    ";created=1;nonce=\"n\";keyid=\"00112233445566778899aabbccddeeff\""        \
    ";alg=\"ed25519\";tag=\"pocketfed-1\""
#define ALL "(\"@method\" \"@path\" \"@query\" \"pocketfed-record-key\")"
#define SIG                                                                    \
    "a=:"                                                                      \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"   \
    "AAAAAAAAAAAAAAAA==:"

static void names_what_a_signature_lacks(void **state)
{
    static const struct {
        const char *input, *signature;
        enum pocketfed_status want;
        const char *named;
    } rows[] = {
        {NULL, SIG, POCKETFED_PROOF, "signature-input"},
        {"a=" ALL PARAMS, NULL, POCKETFED_PROOF, "\"signature\""},
        {"", SIG, POCKETFED_PROOF, "tag"},
        {"a=" ALL ";created=1", SIG, POCKETFED_PROOF, "tag"},
        {"a=(\"@path\" \"@query\" \"pocketfed-record-key\")" PARAMS, SIG,
         POCKETFED_PROOF, "@method"},
        {"a=(\"@method\" \"@query\" \"pocketfed-record-key\")" PARAMS, SIG,
         POCKETFED_PROOF, "@path"},
        {"a=(\"@method\" \"@path\" \"pocketfed-record-key\")" PARAMS, SIG,
         POCKETFED_PROOF, "@query"},
        {"a=(\"@method\" \"@path\" \"@query\")" PARAMS, SIG, POCKETFED_PROOF,
         "pocketfed-record-key"},
        {"a=()" PARAMS, SIG, POCKETFED_PROOF, "@method"},
        {"a=(\"@method\" \"date\" \"@path\")" PARAMS, SIG, POCKETFED_PROOF,
         "date"},
        {"a=(\"@method\" \"repr-digest\" \"@path\")" PARAMS, SIG,
         POCKETFED_PROOF, "repr-digest"},
        {"a=(\"@method\" \"@method\" \"@path\")" PARAMS, SIG,
         POCKETFED_MALFORMED, "twice"},
        {"a=(1)" PARAMS, SIG, POCKETFED_MALFORMED, "not a string"},
        {"a=1" PARAMS, SIG, POCKETFED_MALFORMED, "not a list"},
        {"a=" ALL PARAMS ", b=" ALL PARAMS, SIG, POCKETFED_MALFORMED, "two"},
        {"a=" ALL PARAMS ",", SIG, POCKETFED_MALFORMED, "structured field"},
        {"b=" ALL PARAMS, SIG, POCKETFED_MALFORMED, "label"},
        {"a=" ALL PARAMS, SIG "," SIG, POCKETFED_MALFORMED, "once"},
        {"a=" ALL PARAMS, "a=:AAAA:", POCKETFED_MALFORMED, "64 bytes"},
        {"a=" ALL PARAMS, "a=\"AAAA\"", POCKETFED_MALFORMED, "64 bytes"},
        {"a=" ALL PARAMS, "a=:", POCKETFED_MALFORMED, "structured field"},
        {"a=" ALL ";tag=\"pocketfed-1\"", SIG, POCKETFED_PROOF, "created"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=1", SIG, POCKETFED_PROOF,
         "nonce"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=1;nonce=\"n\"", SIG,
         POCKETFED_PROOF, "keyid"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=1;nonce=\"n\";keyid=\"k\"", SIG,
         POCKETFED_PROOF, "alg"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=-1;nonce=\"n\";keyid=\"k\""
         ";alg=\"x\"",
         SIG, POCKETFED_MALFORMED, "created"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=1;nonce=\"\";keyid=\"k\""
         ";alg=\"x\"",
         SIG, POCKETFED_MALFORMED, "nonce"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=1;nonce=\"n\";keyid=\"0011\""
         ";alg=\"ed25519\"",
         SIG, POCKETFED_MALFORMED, "keyid"},
        {"a=" ALL ";tag=\"pocketfed-1\";created=1;nonce=\"n\""
         ";keyid=\"00112233445566778899aabbccddeeff\";alg=\"hmac-sha256\"",
         SIG, POCKETFED_MALFORMED, "alg"},
    };
    struct pf_signed_request r = request();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pf_signature sig;
        struct pf_error err;

        memset(&err, 0, sizeof err);
        memset(&sig, 0x5a, sizeof sig);
        if (pf_httpsig_parse(rows[i].input, rows[i].signature, &r, &sig,
                             &err) != rows[i].want ||
            !strstr(err.text, rows[i].named))
            fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(sig.label[0], 0x5a);
    }
}

static void the_record_key_must_be_sent(void **state)
{
    struct pf_signed_request r = request();
    struct pf_signature sig;
    struct pf_error err;

    (void)state;
    r.record_key = NULL;
    assert_int_equal(pf_httpsig_parse("a=" ALL PARAMS, SIG, &r, &sig, &err),
                     POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "pocketfed-record-key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_a_signature_lacks),
        cmocka_unit_test(the_record_key_must_be_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
