#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "fakelog.h"
#include "statement.h"

static struct pf_key *key, *other;
static struct fakelog l; /* rounds 1..6, of five devices each */
static struct pf_proof proof;
static struct pf_history before, after;
static enum pf_proof_fault fault;
static struct pf_error err;

static struct pf_ack ack_of(int device, uint64_t round)
{
    struct pf_ack a = {.task = "mnist",
                       .round = round,
                       .counted = round,
                       .weight = 100,
                       .examples = 100};

    memset(a.device, device, sizeof a.device);
    memset(a.base, (int)round - 1, 32); /* the model of the round before */
    memset(a.plan, 0x99, 32);
    memset(a.digest, 16 * device + (int)round, 32);
    return a;
}

static void seal_round(struct fakelog *log, uint64_t round)
{
    struct pf_ack acks[5];
    uint8_t model[32];

    for (int i = 0; i < 5; i++)
        acks[i] = ack_of(i + 1, round);
    memset(model, (int)round, 32);
    fakelog_seal(log, acks, 5, model);
}

static int set_up(void **state)
{
    (void)state;
    if (pf_key_generate(PF_KEY_ED25519, &key) ||
        pf_key_generate(PF_KEY_ED25519, &other))
        return 1;
    fakelog_init(&l, key);
    for (uint64_t round = 1; round <= 6; round++)
        seal_round(&l, round);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_key_free(key);
    pf_key_free(other);
    return 0;
}

/* Forgets what was known. */
static int forget(void **state)
{
    (void)state;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    memset(&err, 0, sizeof err);
    return 0;
}

static enum pocketfed_status check(const struct pf_ack *ack)
{
    const struct pf_key *const pinned[] = {key};
    const struct pf_record_keys keys = {pinned, 1};

    return pf_proof_check(&proof, ack, &keys, &before, &after, &fault, &err);
}

/* What a device knows after round 3, when there were three records. */
static void know_round_3(void)
{
    struct pf_ack ack = ack_of(2, 3);

    l.n = 3;
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    l.n = 6;
    assert_int_equal(check(&ack), 0);
    before = after;
}

static void every_update_is_proved_and_its_history_kept(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 6; round++)
        for (int device = 1; device <= 5; device++) {
            struct pf_ack ack = ack_of(device, round);

            assert_true(fakelog_prove(&l, &ack, 0, &proof));
            assert_int_equal(check(&ack), 0);
            assert_int_equal(fault, PF_FAULT_NONE);
            assert_int_equal(after.known, 1);
            assert_int_equal(after.record.round, round);
            assert_int_equal(after.head.size, 6);
        }
}

/* Each byte of a member, each turned. */
#define EACH_BYTE_OF(member, call)                                             \
    for (size_t at = 0; at < sizeof(member); at++) {                           \
        uint8_t *byte = (uint8_t *)&(member) + at;                             \
        uint8_t was = *byte;                                                   \
        *byte ^= 1;                                                            \
        if ((call) == POCKETFED_OK)                                            \
            fail_msg(#member ": byte %zu does not matter", at);                \
        *byte = was;                                                           \
    }

static void a_byte_changed_anywhere_in_a_proof_is_noticed(void **state)
{
    struct pf_ack ack = ack_of(4, 5);

    (void)state;
    know_round_3();
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    assert_int_equal(check(&ack), 0);
    assert_true(proof.n_path > 0 && proof.n_log_path > 0 && proof.n_growth > 0);
    for (size_t i = 0; i < proof.n_path; i++)
        EACH_BYTE_OF(proof.path[i], check(&ack));
    for (size_t i = 0; i < proof.n_log_path; i++)
        EACH_BYTE_OF(proof.log_path[i], check(&ack));
    for (size_t i = 0; i < proof.n_growth; i++)
        EACH_BYTE_OF(proof.growth[i], check(&ack));
    EACH_BYTE_OF(proof.leaf.data, check(&ack));
    EACH_BYTE_OF(proof.record_signature, check(&ack));
    EACH_BYTE_OF(proof.head_signature, check(&ack));
    EACH_BYTE_OF(proof.index, check(&ack));
    EACH_BYTE_OF(proof.log_index, check(&ack));
    EACH_BYTE_OF(proof.since, check(&ack));
    EACH_BYTE_OF(proof.leaf.len, check(&ack));
    EACH_BYTE_OF(proof.n_path, check(&ack));
    for (size_t i = 0; i < proof.record.len; i++) {
        proof.record.data[i] ^= 1;
        assert_int_not_equal(check(&ack), 0);
        proof.record.data[i] ^= 1;
    }
    for (size_t i = 0; i < proof.head.len; i++) {
        proof.head.data[i] ^= 1;
        assert_int_not_equal(check(&ack), 0);
        proof.head.data[i] ^= 1;
    }
    assert_int_equal(check(&ack), 0);
}

static void a_byte_changed_in_the_acknowledgement_is_noticed(void **state)
{
    struct pf_ack ack = ack_of(4, 5);

    (void)state;
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    EACH_BYTE_OF(ack.device, check(&ack));
    EACH_BYTE_OF(ack.counted, check(&ack));
    EACH_BYTE_OF(ack.base, check(&ack));
    EACH_BYTE_OF(ack.plan, check(&ack));
    EACH_BYTE_OF(ack.digest, check(&ack));
    EACH_BYTE_OF(ack.weight, check(&ack));
    ack.task[0]++;
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    ack.task[0]--;
    assert_int_equal(check(&ack), 0);
}

static void another_key_s_record_or_head_is_refused(void **state)
{
    struct pf_ack ack = ack_of(1, 7);

    (void)state;
    l.key = other;
    seal_round(&l, 7);
    l.key = key;
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "record is not signed"));
    fakelog_resign(&l, 6);
    l.key = other;
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "head of the log is not signed"));
    l.key = key;
    l.n = 6;
}

static void a_key_that_was_replaced_still_proves_what_it_signed(void **state)
{
    const struct pf_key *const both[] = {other, key};
    const struct pf_record_keys keys = {both, 2};
    struct pf_ack ack = ack_of(1, 6);

    (void)state;
    l.key = other; /* the head is said today */
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    l.key = key;
    assert_int_equal(
        pf_proof_check(&proof, &ack, &keys, &before, &after, &fault, &err), 0);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
}

static void an_abandoned_round_is_proved_as_one(void **state)
{
    struct pf_ack acks[2] = {ack_of(1, 7), ack_of(2, 7)};

    (void)state;
    fakelog_seal(&l, acks, 2, NULL);
    assert_true(fakelog_prove(&l, &acks[1], 0, &proof));
    assert_int_equal(check(&acks[1]), 0);
    assert_int_equal(after.record.outcome, PF_RECORD_ABANDONED);
    /* The leaf may not say that it counted. */
    l.round[6].record.outcome = PF_RECORD_PUBLISHED;
    fakelog_resign(&l, 6);
    assert_true(fakelog_prove(&l, &acks[1], 0, &proof));
    assert_int_equal(check(&acks[1]), POCKETFED_PROOF);
    assert_int_equal(fault, PF_FAULT_WRONG);
    l.n = 6;
}

/* All of it signed and in the log, but the record says that it is of round 9.
 */
static void a_record_of_another_round_is_none(void **state)
{
    struct pf_ack ack = ack_of(2, 5), next = ack_of(2, 6);
    struct fakelog_round *r = &l.round[4];
    struct pf_proof log; /* as it is with that record */
    uint8_t sibling[32];

    (void)state;
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    r->record.round = 9;
    fakelog_resign(&l, 4);
    assert_true(fakelog_prove(&l, &next, 0, &log));
    proof.record.len = r->len;
    memcpy(proof.record.data, r->body, r->len);
    memcpy(proof.record_signature, r->signature, PF_SIGNATURE_LEN);
    memcpy(&proof.head, &log.head, sizeof proof.head);
    memcpy(proof.head_signature, log.head_signature, PF_SIGNATURE_LEN);
    /* Records 4 and 5 are siblings: their paths differ in the first hash. */
    memcpy(proof.log_path, log.log_path, sizeof proof.log_path);
    pf_merkle_leaf(l.round[5].body, l.round[5].len, sibling);
    pf_path_write((const uint8_t(*)[32]) & sibling, 1, proof.log_path);
    r->record.round = 5;
    fakelog_resign(&l, 4);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "another round or task"));
}

static void the_head_of_another_task_s_log_is_none(void **state)
{
    struct pf_ack ack = ack_of(2, 5);

    (void)state;
    l.head_task = "other";
    assert_true(fakelog_prove(&l, &ack, 0, &proof));
    l.head_task = NULL;
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "two tasks"));
}

static void two_records_for_one_round_are_equivocation(void **state)
{
    struct pf_ack ack = ack_of(2, 3);

    (void)state;
    know_round_3();
    l.round[2].record.model[5] ^= 1;
    fakelog_resign(&l, 2);
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    l.round[2].record.model[5] ^= 1;
    fakelog_resign(&l, 2);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_int_equal(fault, PF_FAULT_EQUIVOCAL);
    assert_non_null(strstr(err.text, "equivocation"));
    assert_non_null(strstr(err.text, "round 3"));
    assert_memory_equal(&after, &before, sizeof after); /* as it was */
}

static void a_history_that_was_rewritten_is_noticed(void **state)
{
    struct pf_ack ack = ack_of(2, 5);

    (void)state;
    know_round_3();
    l.round[0].record.saturated ^= 1; /* a record that nobody here holds */
    fakelog_resign(&l, 0);
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    l.round[0].record.saturated ^= 1;
    fakelog_resign(&l, 0);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_int_equal(fault, PF_FAULT_REWRITTEN);
    assert_non_null(strstr(err.text, "rewritten"));
}

static void a_log_that_became_shorter_is_noticed(void **state)
{
    struct pf_ack ack = ack_of(2, 2);

    (void)state;
    know_round_3();
    l.n = 2;
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    l.n = 6;
    assert_int_equal(proof.since, 0);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_int_equal(fault, PF_FAULT_REWRITTEN);
    assert_non_null(strstr(err.text, "shorter"));
}

static void two_logs_of_one_size_are_equivocation(void **state)
{
    struct pf_ack ack = ack_of(2, 3);

    (void)state;
    know_round_3();
    l.round[0].record.saturated ^= 1;
    fakelog_resign(&l, 0);
    l.n = 3;
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    l.n = 6;
    l.round[0].record.saturated ^= 1;
    fakelog_resign(&l, 0);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_int_equal(fault, PF_FAULT_EQUIVOCAL);
    assert_non_null(strstr(err.text, "two different logs"));
}

static void growth_from_another_size_is_none(void **state)
{
    struct pf_ack ack = ack_of(2, 5);

    (void)state;
    know_round_3();
    assert_true(fakelog_prove(&l, &ack, 2, &proof));
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    assert_int_equal(check(&ack), 0);
    before = after; /* the same log again */
    assert_true(fakelog_prove(&l, &ack, 6, &proof));
    assert_int_equal(check(&ack), 0);
}

static void the_next_record_names_the_one_before(void **state)
{
    struct pf_ack ack = ack_of(2, 4);

    (void)state;
    know_round_3();
    l.round[3].record.previous[0] ^= 1;
    fakelog_resign(&l, 3);
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    l.round[3].record.previous[0] ^= 1;
    fakelog_resign(&l, 3);
    assert_int_equal(check(&ack), POCKETFED_PROOF);
    assert_int_equal(fault, PF_FAULT_EQUIVOCAL);
    assert_non_null(strstr(err.text, "equivocation"));
    assert_true(fakelog_prove(&l, &ack, 3, &proof));
    assert_int_equal(check(&ack), 0);
}

/* ---- rotation ---------------------------------------------------------- */

static size_t rotation(const struct pf_key *from, const struct pf_key *to,
                       uint8_t out[PF_ROTATION_MAX],
                       uint8_t sig[PF_SIGNATURE_LEN])
{
    struct pf_rotation r = {.time_ms = 5};
    uint8_t raw[PF_PUBLIC_MAX];
    struct pf_buf b;
    size_t len;

    pf_key_public(from, raw);
    memcpy(r.old_key, raw, 32);
    pf_key_public(to, raw);
    memcpy(r.new_key, raw, 32);
    pf_buf_init(&b, PF_ROTATION_MAX);
    assert_int_equal(pf_json_encode(pf_rotation_fields, &r, &b), 0);
    assert_int_equal(
        pf_statement_sign(from, PF_SAY_ROTATION, b.data, b.len, sig), 0);
    memcpy(out, b.data, b.len);
    len = b.len;
    pf_buf_free(&b);
    return len;
}

static void a_new_key_follows_only_from_the_pinned_one(void **state)
{
    uint8_t body[PF_ROTATION_MAX], sig[PF_SIGNATURE_LEN], raw[PF_PUBLIC_MAX];
    struct pf_rotation got;
    size_t len;

    (void)state;
    len = rotation(key, other, body, sig);
    assert_int_equal(pf_rotation_check(key, body, len, sig, &got, &err), 0);
    pf_key_public(other, raw);
    assert_memory_equal(got.new_key, raw, 32);
    assert_int_equal(pf_rotation_check(other, body, len, sig, &got, &err),
                     POCKETFED_PROOF);
    for (size_t i = 0; i < len; i++) {
        body[i] ^= 1;
        assert_int_equal(pf_rotation_check(key, body, len, sig, &got, &err),
                         POCKETFED_PROOF);
        body[i] ^= 1;
    }
    /* Signed, but about another old key, or leading nowhere. */
    len = rotation(other, key, body, sig);
    assert_int_equal(pf_statement_sign(key, PF_SAY_ROTATION, body, len, sig),
                     0);
    assert_int_equal(pf_rotation_check(key, body, len, sig, &got, &err),
                     POCKETFED_PROOF);
    len = rotation(key, key, body, sig);
    assert_int_equal(pf_rotation_check(key, body, len, sig, &got, &err),
                     POCKETFED_PROOF);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, forget)
    const struct CMUnitTest tests[] = {
        TEST(every_update_is_proved_and_its_history_kept),
        TEST(a_byte_changed_anywhere_in_a_proof_is_noticed),
        TEST(a_byte_changed_in_the_acknowledgement_is_noticed),
        TEST(another_key_s_record_or_head_is_refused),
        TEST(a_key_that_was_replaced_still_proves_what_it_signed),
        TEST(an_abandoned_round_is_proved_as_one),
        TEST(a_record_of_another_round_is_none),
        TEST(the_head_of_another_task_s_log_is_none),
        TEST(two_records_for_one_round_are_equivocation),
        TEST(a_history_that_was_rewritten_is_noticed),
        TEST(a_log_that_became_shorter_is_noticed),
        TEST(two_logs_of_one_size_are_equivocation),
        TEST(growth_from_another_size_is_none),
        TEST(the_next_record_names_the_one_before),
        TEST(a_new_key_follows_only_from_the_pinned_one),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
