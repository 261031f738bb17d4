#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "statement.h"
#include "text.h"

static struct pf_key *key;

static int make_key(void **state)
{
    (void)state;
    return pf_key_generate(PF_KEY_ED25519, &key) != POCKETFED_OK;
}

static int free_key(void **state)
{
    (void)state;
    pf_key_free(key);
    return 0;
}

static enum pocketfed_status verify(const char *label, const char *body,
                                    const char *field)
{
    return pf_statement_verify_field(key, label, body, strlen(body), field);
}

static void say(const char *label, const char *body, char field[96])
{
    uint8_t sig[PF_SIGNATURE_LEN];

    assert_int_equal(pf_statement_sign(key, label, body, strlen(body), sig), 0);
    pf_statement_field(sig, field);
}

static void signs_label_and_body_as_documented(void **state)
{
    static const char message[] = "pocketfed-1 plan\n{\"version\":1}";
    uint8_t sig[PF_SIGNATURE_LEN];

    (void)state;
    assert_int_equal(
        pf_statement_sign(key, PF_SAY_PLAN, "{\"version\":1}", 13, sig), 0);
    assert_int_equal(pf_key_verify(key, message, strlen(message), sig), 0);
    assert_int_equal(
        pf_statement_verify(key, PF_SAY_PLAN, "{\"version\":1}", 13, sig), 0);
}

static void every_changed_byte_is_noticed(void **state)
{
    char label[] = PF_SAY_ASSIGNMENT, body[] = "{\"kind\":\"train\"}";
    char field[96];
    char *const parts[] = {label, body, field};

    (void)state;
    say(label, body, field);
    assert_int_equal(strlen(field), 88);
    assert_int_equal(verify(label, body, field), POCKETFED_OK);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; parts[k][i]; i++)
            for (int bit = 0; bit < 8; bit++) {
                char was = parts[k][i];

                parts[k][i] = (char)(was ^ 1 << bit);
                if (verify(label, body, field) != POCKETFED_PROOF)
                    fail_msg("part %zu, byte %zu, bit %d", k, i, bit);
                parts[k][i] = was;
            }
}

static void one_kind_of_statement_is_not_another(void **state)
{
    char field[96];

    (void)state;
    say(PF_SAY_ENROLMENT, "{}", field);
    assert_int_equal(verify(PF_SAY_ENROLMENT, "{}", field), POCKETFED_OK);
    assert_int_equal(verify(PF_SAY_ASSIGNMENT, "{}", field), POCKETFED_PROOF);
}

static void another_key_does_not_verify(void **state)
{
    struct pf_key *other;
    char field[96];

    (void)state;
    say(PF_SAY_ACK, "{}", field);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &other), 0);
    assert_int_equal(
        pf_statement_verify_field(other, PF_SAY_ACK, "{}", 2, field),
        POCKETFED_PROOF);
    pf_key_free(other);
}

static void a_record_key_is_ed25519(void **state)
{
    uint8_t sig[PF_SIGNATURE_LEN] = {0};
    struct pf_key *p256;

    (void)state;
    assert_int_equal(pf_key_generate(PF_KEY_P256, &p256), 0);
    assert_int_equal(pf_statement_sign(p256, PF_SAY_TIME, "", 0, sig),
                     POCKETFED_INVALID);
    assert_int_equal(pf_statement_verify(p256, PF_SAY_TIME, "", 0, sig),
                     POCKETFED_PROOF);
    pf_key_free(p256);
}

static void an_absent_or_odd_field_is_no_proof(void **state)
{
    char field[96], longer[128];

    (void)state;
    say(PF_SAY_TIME, "", field);
    assert_int_equal(verify(PF_SAY_TIME, "", field), POCKETFED_OK);
    assert_int_equal(verify(PF_SAY_TIME, "", NULL), POCKETFED_PROOF);
    assert_int_equal(verify(PF_SAY_TIME, "", ""), POCKETFED_PROOF);
    snprintf(longer, sizeof longer, "%sAAAA", field);
    assert_int_equal(verify(PF_SAY_TIME, "", longer), POCKETFED_PROOF);
    snprintf(longer, sizeof longer, " %s", field);
    assert_int_equal(verify(PF_SAY_TIME, "", longer), POCKETFED_PROOF);
    field[86] = '\0'; /* without padding */
    assert_int_equal(verify(PF_SAY_TIME, "", field), POCKETFED_PROOF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_label_and_body_as_documented),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(one_kind_of_statement_is_not_another),
        cmocka_unit_test(another_key_does_not_verify),
        cmocka_unit_test(a_record_key_is_ed25519),
        cmocka_unit_test(an_absent_or_odd_field_is_no_proof),
    };

    return cmocka_run_group_tests(tests, make_key, free_key);
}
