#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bytes.h"
#include "record.h"
#include "statement.h"
#include "text.h"

static void assert_digest(const uint8_t digest[32], const char *hex)
{
    char text[65];

    pf_hex(digest, 32, text);
    assert_string_equal(text, hex);
}

static struct pf_leaf a_leaf(void)
{
    struct pf_leaf leaf = {
        .round = 7, .weight = 600, .staleness = 2, .status = PF_LEAF_COUNTED};
    uint8_t device[PF_DEVICE_LEN];

    for (size_t i = 0; i < sizeof device; i++)
        device[i] = (uint8_t)i;
    pf_pseudonym(device, "mnist", 7, leaf.pseudonym);
    memset(leaf.digest, 0xd1, sizeof leaf.digest);
    return leaf;
}

/* The numbers below were computed by Python's hashlib and hmac from the
 * definition in docs/PROTOCOL.md. */
static void pseudonym_and_leaf_have_the_documented_bytes(void **state)
{
    struct pf_leaf leaf = a_leaf();
    uint8_t bytes[PF_LEAF_LEN], hash[32];

    (void)state;
    assert_digest(
        leaf.pseudonym,
        "411fea22f88fd7e12e2d953b3a6d3e92544f18787634b70986545bc3b41d26f4");
    pf_leaf_write(&leaf, bytes);
    pf_merkle_leaf(bytes, sizeof bytes, hash);
    assert_digest(
        hash,
        "9f8241ad91b7bf4008bfee00a829e97d2ddb90ac1ff306210eeeebe89fac71c9");
}

static void a_pseudonym_is_of_one_device_task_and_round(void **state)
{
    uint8_t device[PF_DEVICE_LEN] = {1}, base[32], other[32];

    (void)state;
    pf_pseudonym(device, "ab", 1, base);
    pf_pseudonym(device, "ab", 2, other);
    assert_memory_not_equal(base, other, 32);
    pf_pseudonym(device, "a", 1, other);
    assert_memory_not_equal(base, other, 32);
    device[0] = 2;
    pf_pseudonym(device, "ab", 1, other);
    assert_memory_not_equal(base, other, 32);
}

static void a_leaf_reads_back_and_nothing_else_is_one(void **state)
{
    struct pf_leaf leaf = a_leaf(), back, before;
    uint8_t bytes[PF_LEAF_LEN + 1] = {0};

    (void)state;
    memset(&back, 0, sizeof back);
    pf_leaf_write(&leaf, bytes);
    assert_int_equal(pf_leaf_read(bytes, PF_LEAF_LEN, &back), 0);
    assert_int_equal(back.round, 7);
    assert_memory_equal(back.pseudonym, leaf.pseudonym, 32);
    assert_memory_equal(back.digest, leaf.digest, 32);
    assert_int_equal(back.weight, 600);
    assert_int_equal(back.staleness, 2);
    assert_int_equal(back.status, PF_LEAF_COUNTED);
    before = back;
    assert_int_equal(pf_leaf_read(bytes, PF_LEAF_LEN - 1, &back),
                     POCKETFED_MALFORMED);
    assert_int_equal(pf_leaf_read(bytes, PF_LEAF_LEN + 1, &back),
                     POCKETFED_MALFORMED);
    bytes[7] = '2';
    assert_int_equal(pf_leaf_read(bytes, PF_LEAF_LEN, &back),
                     POCKETFED_MALFORMED);
    bytes[7] = '1';
    for (int status = 0; status < 256; status++) {
        bytes[92] = (uint8_t)status;
        if (status != PF_LEAF_COUNTED && status != PF_LEAF_ABANDONED)
            assert_int_equal(pf_leaf_read(bytes, PF_LEAF_LEN, &back),
                             POCKETFED_MALFORMED);
    }
    assert_memory_equal(&back, &before, sizeof back);
}

static void leaves_sort_by_pseudonym_and_never_by_arrival(void **state)
{
    struct pf_leaf one = a_leaf(), two = one;

    (void)state;
    assert_int_equal(pf_leaf_compare(&one, &two), 0);
    two.pseudonym[0]++;
    one.digest[0] = 0xff;
    one.weight = 1u << 20;
    assert_true(pf_leaf_compare(&one, &two) < 0);
    assert_true(pf_leaf_compare(&two, &one) > 0);
    two.pseudonym[0]--;
    assert_true(pf_leaf_compare(&one, &two) > 0); /* then by digest */
}

static void state_digest_binds_model_strategy_and_scale(void **state)
{
    uint8_t model[32], strategy[32], none[32] = {0}, digest[32];

    (void)state;
    memset(model, 1, sizeof model);
    memset(strategy, 2, sizeof strategy);
    pf_state_digest(model, strategy, 20, digest);
    assert_digest(
        digest,
        "c1ed17e897cb585544a7724df6af8405a4297ae05f5520ca80630a5edb25a86c");
    pf_state_digest(model, none, 20, digest);
    assert_digest(
        digest,
        "178b32d61343dc241909ee98dce9e2bd4b4768122621d41ab72f1d8e52360b0e");
    pf_state_digest(model, none, 21, none);
    assert_memory_not_equal(digest, none, 32);
}

static void a_sums_blob_is_its_head_and_exactly_its_sums(void **state)
{
    struct pf_sums_head head = {2, 3, 1800, 1800, 1}, back;
    uint8_t blob[PF_SUMS_HEAD + 24] = {0}, digest[32];

    (void)state;
    pf_sums_head_write(&head, blob);
    pf_put64(blob + PF_SUMS_HEAD, (uint64_t)INT64_C(-5));
    pf_put64(blob + PF_SUMS_HEAD + 8, UINT64_C(1) << 40);
    pf_sha256(blob, PF_SUMS_HEAD + 16, digest);
    assert_digest(
        digest,
        "122ee1740234fac4df0f366229ce3ad819350dc385b30c88a68c3248173a0ec4");
    assert_int_equal(pf_sums_head_read(blob, PF_SUMS_HEAD + 16, &back), 0);
    assert_memory_equal(&head, &back, sizeof head);
    for (size_t n = 0; n <= sizeof blob; n++)
        if (n != PF_SUMS_HEAD + 16)
            assert_int_equal(pf_sums_head_read(blob, n, &back),
                             POCKETFED_MALFORMED);
    blob[12] = 1; /* padding */
    assert_int_equal(pf_sums_head_read(blob, PF_SUMS_HEAD + 16, &back),
                     POCKETFED_MALFORMED);
    blob[12] = 0;
    head.n = (UINT64_C(1) << 61) + 2; /* its bytes overflow */
    pf_sums_head_write(&head, blob);
    assert_int_equal(pf_sums_head_read(blob, PF_SUMS_HEAD + 16, &back),
                     POCKETFED_MALFORMED);
}

static struct pf_round_record a_record(void)
{
    struct pf_round_record r = {.version = PF_RECORD_VERSION,
                                .task = "mnist",
                                .round = 7,
                                .outcome = PF_RECORD_PUBLISHED,
                                .updates = 3,
                                .weight = 1800,
                                .saturated = 1,
                                .time_ms = 1700000000000};

    memset(r.plan, 0x11, 32);
    memset(r.base, 0x22, 32);
    memset(r.base_state, 0x33, 32);
    memset(r.model, 0x44, 32);
    memset(r.state, 0x55, 32);
    memset(r.sums, 0x66, 32);
    memset(r.root, 0x77, 32);
    memset(r.previous, 0x88, 32);
    return r;
}

static void a_record_is_written_as_these_bytes(void **state)
{
#define X8(c)  c c c c c c c c
#define X64(c) X8(X8(c))
    static const char want[] =
        "{\"version\":1,\"task\":\"mnist\",\"round\":\"7\","
        "\"outcome\":\"published\",\"plan\":\"" X64(
            "1") "\","
                 "\"base\":\"" X64("2") "\",\"base_state\":\"" X64(
                     "3") "\","
                          "\"model\":\"" X64("4") "\",\"state\":\"" X64(
                              "5") "\","
                                   "\"sums\":\"" X64(
                                       "6") "\",\"updates\":\"3\",\"weight\":"
                                            "\"1800\","
                                            "\"saturated\":\"1\",\"root\":"
                                            "\"" X64(
                                                "7") "\","
                                                     "\"previous\":\"" X64(
                                                         "8") "\",\"source\":"
                                                              "\"0\","
                                                              "\"time_ms\":"
                                                              "1700000000000}";
    struct pf_round_record r = a_record(), back;
    struct pf_buf out;

    (void)state;
    pf_buf_init(&out, PF_RECORD_MAX);
    assert_int_equal(pf_json_encode(pf_round_record_fields, &r, &out), 0);
    assert_string_equal(pf_buf_str(&out), want);
    assert_int_equal(pf_round_record_read(out.data, out.len, &back, NULL), 0);
    assert_memory_equal(&r, &back, sizeof r);
    pf_buf_free(&out);
}

static void a_newer_record_says_that_it_is_newer(void **state)
{
    struct pf_round_record r = a_record(), back;
    struct pf_error err = {0};
    struct pf_buf out;

    (void)state;
    r.version = PF_RECORD_VERSION + 1;
    pf_buf_init(&out, PF_RECORD_MAX);
    assert_int_equal(pf_json_encode(pf_round_record_fields, &r, &out), 0);
    assert_int_equal(pf_round_record_read(out.data, out.len, &back, &err),
                     POCKETFED_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version 2"));
    assert_int_equal(pf_round_record_read(out.data, out.len - 1, &back, &err),
                     POCKETFED_MALFORMED);
    pf_buf_free(&out);
}

/* The widest of each fits the room that others give it. */
static void records_heads_and_rotations_have_room(void **state)
{
    struct pf_round_record r = a_record();
    struct pf_log_head h = {.size = UINT64_MAX, .time_ms = INT64_C(1) << 53};
    struct pf_rotation k = {.time_ms = INT64_C(1) << 53};
    struct pf_buf out;

    (void)state;
    memset(r.task, 'x', PF_TASK_NAME_MAX);
    memset(h.task, 'x', PF_TASK_NAME_MAX);
    r.version = UINT32_MAX;
    r.round = r.updates = r.weight = r.saturated = r.source = UINT64_MAX;
    r.outcome = PF_RECORD_ROLLED_BACK;
    r.time_ms = INT64_C(1) << 53;
    pf_buf_init(&out, PF_RECORD_MAX);
    assert_int_equal(pf_json_encode(pf_round_record_fields, &r, &out), 0);
    pf_buf_free(&out);
    pf_buf_init(&out, PF_LOG_HEAD_MAX);
    assert_int_equal(pf_json_encode(pf_log_head_fields, &h, &out), 0);
    pf_buf_free(&out);
    pf_buf_init(&out, PF_ROTATION_MAX);
    assert_int_equal(pf_json_encode(pf_rotation_fields, &k, &out), 0);
    pf_buf_free(&out);
}

static void a_signature_for_one_kind_is_none_for_another(void **state)
{
    static const char *const labels[] = {
        PF_SAY_RECORD, PF_SAY_LOG, PF_SAY_ROTATION, PF_SAY_PLAN, PF_SAY_ACK};
    const size_t n = sizeof labels / sizeof labels[0];
    uint8_t sig[PF_SIGNATURE_LEN];
    struct pf_key *key = NULL;

    (void)state;
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pf_statement_sign(key, labels[i], "{}", 2, sig), 0);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(pf_statement_verify(key, labels[k], "{}", 2, sig),
                             i == k ? POCKETFED_OK : POCKETFED_PROOF);
    }
    pf_key_free(key);
}

static void a_path_survives_its_hex_and_other_text_is_none(void **state)
{
    uint8_t hash[2][32], back[2][32];
    char hex[2][65];

    (void)state;
    memset(hash[0], 0xa5, 32);
    memset(hash[1], 0x5a, 32);
    pf_path_write((const uint8_t(*)[32])hash, 2, hex);
    assert_int_equal(pf_path_read((const char(*)[65])hex, 2, 2, back), 0);
    assert_memory_equal(hash, back, sizeof hash);
    assert_int_equal(pf_path_read((const char(*)[65])hex, 2, 1, back),
                     POCKETFED_PROOF);
    hex[1][63] = '\0';
    assert_int_equal(pf_path_read((const char(*)[65])hex, 2, 2, back),
                     POCKETFED_PROOF);
    hex[1][63] = 'g';
    assert_int_equal(pf_path_read((const char(*)[65])hex, 2, 2, back),
                     POCKETFED_PROOF);
    memset(hex[1], 'a', sizeof hex[1]); /* without an end */
    assert_int_equal(pf_path_read((const char(*)[65])hex, 2, 2, back),
                     POCKETFED_PROOF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pseudonym_and_leaf_have_the_documented_bytes),
        cmocka_unit_test(a_pseudonym_is_of_one_device_task_and_round),
        cmocka_unit_test(a_leaf_reads_back_and_nothing_else_is_one),
        cmocka_unit_test(leaves_sort_by_pseudonym_and_never_by_arrival),
        cmocka_unit_test(state_digest_binds_model_strategy_and_scale),
        cmocka_unit_test(a_sums_blob_is_its_head_and_exactly_its_sums),
        cmocka_unit_test(a_record_is_written_as_these_bytes),
        cmocka_unit_test(a_newer_record_says_that_it_is_newer),
        cmocka_unit_test(records_heads_and_rotations_have_room),
        cmocka_unit_test(a_signature_for_one_kind_is_none_for_another),
        cmocka_unit_test(a_path_survives_its_hex_and_other_text_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
