#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "httpsig.h"
#include "text.h"

#define RECORD_KEY                                                             \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define DIGEST "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"

static struct pf_signed_request request(void)
{
    struct pf_signed_request r = {
        .method = "POST",
        .path = "/v1/tasks/mnist/checkin",
        .query = "?",
        .content_digest = DIGEST,
        .record_key = RECORD_KEY,
    };

    return r;
}

struct signer {
    struct pf_key *key;
    struct pf_signature_params params;
};

static void start(struct signer *s, enum pf_key_alg alg)
{
    uint8_t id[PF_DIGEST_LEN];

    memset(s, 0, sizeof *s);
    assert_int_equal(pf_key_generate(alg, &s->key), POCKETFED_OK);
    pf_key_fingerprint(s->key, id);
    pf_hex(id, PF_DEVICE_LEN, s->params.keyid);
    s->params.created = 1700000000;
    memcpy(s->params.nonce, "bm9uY2U", 8);
    s->params.alg = alg;
}

static void sign(const struct signer *s, const struct pf_signed_request *r,
                 struct pf_buf *input, struct pf_buf *value)
{
    pf_buf_init(input, 2048);
    pf_buf_init(value, 2048);
    assert_int_equal(
        pf_httpsig_make(r, &s->params, s->key, NULL, NULL, input, value),
        POCKETFED_OK);
}

/* Parsed and verified. */
static enum pocketfed_status check(const struct signer *s,
                                   const struct pf_signed_request *r,
                                   const char *input, const char *value)
{
    struct pf_signature sig;
    enum pocketfed_status st = pf_httpsig_parse(input, value, r, &sig, NULL);

    return st ? st : pf_httpsig_verify(&sig, r, s->key);
}

/* A signer that shows what it is asked to sign. */
static enum pocketfed_status show(void *ctx, const void *msg, size_t len,
                                  uint8_t sig[PF_SIGNATURE_LEN])
{
    memset(sig, 0, PF_SIGNATURE_LEN);
    return pf_buf_add(ctx, msg, len);
}

static void the_base_is_the_documented_one_letter_by_letter(void **state)
{
    static const char want[] =
        "\"@method\": POST\n"
        "\"@path\": /v1/tasks/mnist/checkin\n"
        "\"@query\": ?\n"
        "\"content-digest\": " DIGEST "\n"
        "\"pocketfed-record-key\": " RECORD_KEY "\n"
        "\"@signature-params\": (\"@method\" \"@path\" \"@query\" "
        "\"content-digest\" \"pocketfed-record-key\");created=1700000000;"
        "nonce=\"bm9uY2U\";keyid=\"00112233445566778899aabbccddeeff\";"
        "alg=\"ed25519\";tag=\"pocketfed-1\"";
    struct pf_signed_request r = request();
    struct pf_signature_params p = {1700000000, "bm9uY2U",
                                    "00112233445566778899aabbccddeeff",
                                    PF_KEY_ED25519};
    struct pf_buf base, input, value;

    (void)state;
    pf_buf_init(&base, 2048);
    pf_buf_init(&input, 2048);
    pf_buf_init(&value, 2048);
    assert_int_equal(pf_httpsig_make(&r, &p, NULL, show, &base, &input, &value),
                     POCKETFED_OK);
    assert_string_equal(pf_buf_str(&base), want);
    assert_memory_equal(pf_buf_str(&input), "sig1=(\"@method\" ", 16);
    assert_string_equal(pf_buf_str(&input) + 5, strstr(want, "(\"@method\""));
    assert_string_equal(
        pf_buf_str(&value),
        "sig1=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAA==:");
    pf_buf_free(&base);
    pf_buf_free(&input);
    pf_buf_free(&value);
}

/* RFC 9421, B.1.4: test-key-ed25519 */
static struct pf_key *rfc_key(void)
{
    uint8_t raw[32];
    size_t n = sizeof raw;
    struct pf_key *key = NULL;

    assert_int_equal(
        pf_unbase64url("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs", 43, raw,
                       &n),
        POCKETFED_OK);
    assert_int_equal(pf_key_from_public(PF_KEY_ED25519, raw, n, &key),
                     POCKETFED_OK);
    return key;
}

/* RFC 9421, B.2.6: what our signatures are made with is what the RFC means. */
static void verifies_the_ed25519_example_of_rfc_9421(void **state)
{
    static const char base[] =
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
        "\"@method\": POST\n"
        "\"@path\": /foo\n"
        "\"@authority\": example.com\n"
        "\"content-type\": application/json\n"
        "\"content-length\": 18\n"
        "\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" "
        "\"content-type\" \"content-length\");created=1618884473;"
        "keyid=\"test-key-ed25519\"";
    static const char sig_text[] =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6v"
        "uQv5lIp5WPpBKRCw==";
    uint8_t sig[64];
    size_t n = sizeof sig;
    struct pf_key *key = rfc_key();

    (void)state;
    assert_int_equal(pf_unbase64(sig_text, strlen(sig_text), sig, &n), 0);
    assert_int_equal(pf_key_verify(key, base, strlen(base), sig), 0);
    pf_key_free(key);
}

/* The worked example of docs/PROTOCOL.md, made with openssl and the key of
 * RFC 9421, B.1.4. */
static void verifies_the_worked_example(void **state)
{
    static const char input[] =
        "sig1=(\"@method\" \"@path\" \"@query\" \"content-digest\" "
        "\"pocketfed-record-key\");created=1700000000;nonce=\"bm9uY2U\";"
        "keyid=\"b16c2d1bead1262639764fdb0ee4d377\";alg=\"ed25519\";"
        "tag=\"pocketfed-1\"";
    static const char value[] =
        "sig1=:Tk56ZC7VM7OHIPtgDsmC9kZAhbSEs4ChFik6yfh1zftUM/IayNPTei5ruI/"
        "1mNcjSokJOYi3YcN4hSaJySRRDA==:";
    struct pf_signed_request r = request();
    uint8_t digest[PF_DIGEST_LEN];
    char field[PF_DIGEST_FIELD_LEN];
    struct signer s;

    (void)state;
    pf_sha256("{\"client_version\":\"0.1.0\",\"codecs\":[\"f32\"]}", 43,
              digest);
    pf_digest_field(digest, field);
    assert_string_equal(
        field, "sha-256=:SROfBCRB3Nppeo7L3ELDbpMJeUuhGBcPfgpoElCZhcI=:");
    r.content_digest = field;
    s.key = rfc_key();
    assert_int_equal(check(&s, &r, input, value), POCKETFED_OK);
    r.method = "PUT";
    assert_int_equal(check(&s, &r, input, value), POCKETFED_PROOF);
    pf_key_free(s.key);
}

static void both_algorithms_verify(void **state)
{
    static const enum pf_key_alg algs[] = {PF_KEY_ED25519, PF_KEY_P256};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pf_signed_request r = request();
        struct pf_buf input, value;
        struct pf_signature sig;
        struct signer s;

        start(&s, algs[i]);
        sign(&s, &r, &input, &value);
        assert_int_equal(pf_httpsig_parse(pf_buf_str(&input),
                                          pf_buf_str(&value), &r, &sig, NULL),
                         POCKETFED_OK);
        assert_string_equal(sig.label, "sig1");
        assert_int_equal(sig.params.created, 1700000000);
        assert_string_equal(sig.params.nonce, "bm9uY2U");
        assert_string_equal(sig.params.keyid, s.params.keyid);
        assert_int_equal(sig.params.alg, algs[i]);
        assert_int_equal(pf_httpsig_verify(&sig, &r, s.key), POCKETFED_OK);
        pf_buf_free(&input);
        pf_buf_free(&value);
        pf_key_free(s.key);
    }
}

static void bodies_are_covered_by_the_digest_that_they_have(void **state)
{
    struct pf_signed_request with = request(), update = request(),
                             none = request(), r;
    struct pf_buf input, value;
    struct signer s;

    (void)state;
    update.content_digest = NULL;
    update.repr_digest = DIGEST;
    update.method = "PUT";
    none.content_digest = NULL;
    none.method = "GET";
    start(&s, PF_KEY_ED25519);
    sign(&s, &update, &input, &value);
    assert_non_null(strstr(pf_buf_str(&input), "\"repr-digest\""));
    assert_null(strstr(pf_buf_str(&input), "content-digest"));
    assert_int_equal(check(&s, &update, pf_buf_str(&input), pf_buf_str(&value)),
                     0);
    /* Neither added nor taken away afterwards. */
    r = update;
    r.content_digest = DIGEST;
    assert_int_equal(check(&s, &r, pf_buf_str(&input), pf_buf_str(&value)),
                     POCKETFED_PROOF);
    r.content_digest = r.repr_digest = NULL;
    assert_int_equal(check(&s, &r, pf_buf_str(&input), pf_buf_str(&value)),
                     POCKETFED_PROOF);
    pf_buf_free(&input);
    pf_buf_free(&value);
    sign(&s, &none, &input, &value);
    assert_null(strstr(pf_buf_str(&input), "digest"));
    assert_int_equal(check(&s, &none, pf_buf_str(&input), pf_buf_str(&value)),
                     0);
    none.content_digest = with.content_digest;
    assert_int_equal(check(&s, &none, pf_buf_str(&input), pf_buf_str(&value)),
                     POCKETFED_PROOF);
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_key_free(s.key);
}

static void every_changed_byte_is_noticed(void **state)
{
    char method[8] = "POST", path[32] = "/v1/tasks/mnist/checkin";
    char query[8] = "?a=b", digest[80] = DIGEST, record_key[80] = RECORD_KEY;
    struct pf_signed_request r = {method, path, query,
                                  digest, NULL, record_key};
    char in[600], val[200];
    char *const parts[] = {method, path, query, digest, record_key, in, val};
    struct pf_buf input, value;
    struct signer s;

    (void)state;
    start(&s, PF_KEY_ED25519);
    sign(&s, &r, &input, &value);
    snprintf(in, sizeof in, "%s", pf_buf_str(&input));
    snprintf(val, sizeof val, "%s", pf_buf_str(&value));
    assert_int_equal(check(&s, &r, in, val), POCKETFED_OK);
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        for (size_t i = 0; parts[k][i]; i++)
            for (int bit = 0; bit < 7; bit++) {
                char was = parts[k][i];

                parts[k][i] = (char)(was ^ 1 << bit);
                if (check(&s, &r, in, val) == POCKETFED_OK)
                    fail_msg("part %zu, byte %zu, bit %d", k, i, bit);
                parts[k][i] = was;
            }
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_key_free(s.key);
}

static void another_key_or_algorithm_does_not_verify(void **state)
{
    struct pf_signed_request r = request();
    struct signer s, other, p256;
    struct pf_buf input, value;

    (void)state;
    start(&s, PF_KEY_ED25519);
    start(&other, PF_KEY_ED25519);
    start(&p256, PF_KEY_P256);
    sign(&s, &r, &input, &value);
    assert_int_equal(check(&other, &r, pf_buf_str(&input), pf_buf_str(&value)),
                     POCKETFED_PROOF);
    assert_int_equal(check(&p256, &r, pf_buf_str(&input), pf_buf_str(&value)),
                     POCKETFED_PROOF);
    pf_buf_free(&input);
    pf_buf_free(&value);
    /* A key's signature under another device's name is none either. */
    memcpy(s.params.keyid, other.params.keyid, sizeof s.params.keyid);
    sign(&s, &r, &input, &value);
    assert_int_equal(check(&s, &r, pf_buf_str(&input), pf_buf_str(&value)),
                     POCKETFED_PROOF);
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_key_free(s.key);
    pf_key_free(other.key);
    pf_key_free(p256.key);
}

/* Signs a base that the test wrote itself, as another implementation would. */
static void sign_by_hand(const struct signer *s, const char *lines,
                         const char *covered, struct pf_buf *value)
{
    uint8_t sig[PF_SIGNATURE_LEN];
    char text[PF_BASE64_LEN(PF_SIGNATURE_LEN) + 1];
    struct pf_buf base;

    pf_buf_init(&base, 4096);
    pf_buf_init(value, 4096);
    pf_buf_addf(&base, "%s\"@signature-params\": %s", lines, covered);
    assert_int_equal(pf_key_sign(s->key, base.data, base.len, sig), 0);
    pf_base64(sig, sizeof sig, text);
    pf_buf_addf(value, "other=:AAAA:, mine=:%s:", text);
    pf_buf_free(&base);
}

static void any_order_and_other_signatures_are_fine(void **state)
{
    struct pf_signed_request r = request();
    struct pf_buf value, input;
    char covered[400];
    struct signer s;

    (void)state;
    start(&s, PF_KEY_P256);
    r.content_digest = NULL;
    snprintf(covered, sizeof covered,
             "(\"pocketfed-record-key\" \"@query\" \"@path\" \"@method\");"
             "tag=\"pocketfed-1\";alg=\"ecdsa-p256-sha256\";new=?0;"
             "keyid=\"%s\";nonce=\"x\";created=5",
             s.params.keyid);
    sign_by_hand(&s,
                 "\"pocketfed-record-key\": " RECORD_KEY "\n\"@query\": ?\n"
                 "\"@path\": /v1/tasks/mnist/checkin\n\"@method\": POST\n",
                 covered, &value);
    pf_buf_init(&input, 1000);
    pf_buf_addf(&input, "other=(\"@method\");tag=\"x\", mine=%s", covered);
    assert_int_equal(check(&s, &r, pf_buf_str(&input), pf_buf_str(&value)), 0);
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_key_free(s.key);
}

/* The algorithm is the key's, whatever the request says. */
static void a_signature_under_another_algorithms_name_is_none(void **state)
{
    struct pf_signed_request r = request();
    struct pf_buf value, input;
    char covered[400];
    struct signer s;

    (void)state;
    start(&s, PF_KEY_ED25519);
    r.content_digest = NULL;
    for (int right = 0; right < 2; right++) {
        snprintf(covered, sizeof covered,
                 "(\"@method\" \"@path\" \"@query\" "
                 "\"pocketfed-record-key\");created=5;nonce=\"x\";"
                 "keyid=\"%s\";alg=\"%s\";tag=\"pocketfed-1\"",
                 s.params.keyid, right ? "ed25519" : "ecdsa-p256-sha256");
        sign_by_hand(&s,
                     "\"@method\": POST\n"
                     "\"@path\": /v1/tasks/mnist/checkin\n\"@query\": ?\n"
                     "\"pocketfed-record-key\": " RECORD_KEY "\n",
                     covered, &value);
        pf_buf_init(&input, 1000);
        pf_buf_addf(&input, "mine=%s", covered);
        assert_int_equal(check(&s, &r, pf_buf_str(&input), pf_buf_str(&value)),
                         right ? POCKETFED_OK : POCKETFED_PROOF);
        pf_buf_free(&input);
        pf_buf_free(&value);
    }
    pf_key_free(s.key);
}

static void blanks_around_a_field_value_do_not_count(void **state)
{
    struct pf_signed_request r = request();
    struct pf_buf input, value;
    struct signer s;

    (void)state;
    start(&s, PF_KEY_ED25519);
    sign(&s, &r, &input, &value);
    r.record_key = " \t" RECORD_KEY " ";
    assert_int_equal(check(&s, &r, pf_buf_str(&input), pf_buf_str(&value)), 0);
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_key_free(s.key);
}

static void refuses_to_sign_what_could_be_read_in_two_ways(void **state)
{
    struct pf_signed_request r;
    struct pf_buf input, value;
    struct signer s;

    (void)state;
    start(&s, PF_KEY_ED25519);
    pf_buf_init(&input, 2048);
    pf_buf_init(&value, 2048);
    pf_buf_adds(&input, "before");
#define REFUSED(change, undo)                                                  \
    r = request();                                                             \
    change;                                                                    \
    assert_int_equal(                                                          \
        pf_httpsig_make(&r, &s.params, s.key, NULL, NULL, &input, &value),     \
        POCKETFED_INVALID);                                                    \
    undo
    REFUSED(r.path = "/a\n\"@query\": ?", (void)0);
    REFUSED(r.record_key = NULL, (void)0);
    REFUSED(r.query = NULL, (void)0);
    REFUSED(s.params.nonce[1] = '"', s.params.nonce[1] = 'm');
    REFUSED(s.params.nonce[0] = '\0', s.params.nonce[0] = 'b');
    REFUSED(s.params.keyid[0] = 'G', s.params.keyid[0] = '0');
    REFUSED(s.params.created = -1, s.params.created = 1);
    REFUSED(s.params.alg = PF_KEY_P256, s.params.alg = PF_KEY_ED25519);
#undef REFUSED
    /* No room for the second field: the first is taken back. */
    value.max = 20;
    r = request();
    assert_int_equal(
        pf_httpsig_make(&r, &s.params, s.key, NULL, NULL, &input, &value),
        POCKETFED_LIMIT);
    assert_string_equal(pf_buf_str(&input), "before");
    assert_int_equal(value.len, 0);
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_key_free(s.key);
}

static void digest_fields_go_both_ways(void **state)
{
    uint8_t digest[32], back[32];
    char field[PF_DIGEST_FIELD_LEN];

    (void)state;
    pf_sha256("{\"hello\": \"world\"}", 18, digest);
    pf_digest_field(digest, field);
    assert_string_equal(field, DIGEST); /* RFC 9530, appendix B */
    assert_int_equal(pf_digest_field_parse(field, back), 1);
    assert_memory_equal(back, digest, 32);
    assert_int_equal(pf_digest_field_parse("md5=:AAAA:, " DIGEST, back), 1);
    assert_int_equal(pf_digest_field_parse(NULL, back), 0);
    assert_int_equal(pf_digest_field_parse("", back), 0);
    assert_int_equal(pf_digest_field_parse("md5=:AAAA:", back), 0);
    assert_int_equal(pf_digest_field_parse("sha-256=:AAAA:", back), 0);
    assert_int_equal(pf_digest_field_parse(DIGEST "," DIGEST, back), 0);
    assert_int_equal(pf_digest_field_parse(DIGEST ",", back), 0);
    assert_int_equal(pf_digest_field_parse("sha-256=\"x\"", back), 0);
    assert_int_equal(pf_digest_field_parse("SHA-256=:AAAA:", back), 0);
    assert_memory_equal(back, digest, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_base_is_the_documented_one_letter_by_letter),
        cmocka_unit_test(verifies_the_ed25519_example_of_rfc_9421),
        cmocka_unit_test(verifies_the_worked_example),
        cmocka_unit_test(both_algorithms_verify),
        cmocka_unit_test(bodies_are_covered_by_the_digest_that_they_have),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(another_key_or_algorithm_does_not_verify),
        cmocka_unit_test(any_order_and_other_signatures_are_fine),
        cmocka_unit_test(a_signature_under_another_algorithms_name_is_none),
        cmocka_unit_test(blanks_around_a_field_value_do_not_count),
        cmocka_unit_test(refuses_to_sign_what_could_be_read_in_two_ways),
        cmocka_unit_test(digest_fields_go_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
