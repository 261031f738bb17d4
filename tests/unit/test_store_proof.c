/* The contract of server/store/store_proof.h, with a restart after each write,
 * and of prover.h, which proves what was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "prover.h"
#include "store_bench.h"

static void leaf_of(int device, uint64_t round, struct pf_leaf *out)
{
    memset(out, 0, sizeof *out);
    out->round = round;
    memset(out->pseudonym, device, 32);
    memset(out->digest, 255 - device, 32);
    out->weight = UINT64_MAX - (uint64_t)device;
    out->staleness = UINT32_MAX - (uint32_t)device;
    out->status = device % 2 ? PF_LEAF_COUNTED : PF_LEAF_ABANDONED;
}

/* A round with leaves of devices 1..n and a record that says `text`. */
static void seal(struct bench *b, int64_t task, uint64_t round,
                 const char *text, int n)
{
    struct pf_leaf leaves[200];
    uint8_t sig[PF_SIGNATURE_LEN];
    struct pf_seal s = {round, text,   strlen(text), sig,
                        NULL,  leaves, (size_t)n};

    memset(sig, (int)round, sizeof sig);
    for (int i = 0; i < n; i++)
        leaf_of(i + 1, round, &leaves[i]);
    bench_begin(b);
    assert_int_equal(pf_store_seal(b->s, task, &s, &b->err), POCKETFED_OK);
    bench_commit(b);
}

static void a_sealed_round_is_there_after_a_restart(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    struct pf_leaf want, leaf;
    struct pf_sealed got;
    uint64_t place;

    seal(b, task, 1, "first", 3);
    bench_restart(b);
    seal(b, task, 4, "second", 0); /* a round whose number jumped */
    bench_restart(b);
    assert_int_equal(pf_reader_sealed(b->r, task, 1, &got), 0);
    assert_int_equal(got.seq, 0);
    assert_int_equal(got.len, 5);
    assert_memory_equal(got.body, "first", 5);
    assert_int_equal(got.signature[63], 1);
    assert_int_equal(pf_reader_sealed(b->r, task, 4, &got), 0);
    assert_int_equal(got.seq, 1);
    assert_int_equal(pf_reader_sealed(b->r, task, 2, &got),
                     POCKETFED_NOT_FOUND);
    leaf_of(2, 1, &want);
    assert_int_equal(
        pf_reader_leaf(b->r, task, 1, want.pseudonym, NULL, &leaf, &place), 0);
    assert_int_equal(place, 1);
    assert_memory_equal(&leaf, &want, sizeof leaf);
    assert_int_equal(
        pf_reader_leaf(b->r, task, 4, want.pseudonym, NULL, &leaf, &place),
        POCKETFED_NOT_FOUND);
}

static void two_updates_of_one_device_are_told_apart_by_digest(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    struct pf_leaf leaves[2], leaf;
    uint8_t sig[PF_SIGNATURE_LEN] = {0}, other[32] = {0};
    struct pf_seal s = {1, "x", 1, sig, NULL, leaves, 2};
    uint64_t place;

    leaf_of(7, 1, &leaves[0]);
    leaf_of(7, 1, &leaves[1]);
    leaves[1].digest[0]++;
    assert_true(pf_leaf_compare(&leaves[0], &leaves[1]) < 0);
    bench_begin(b);
    assert_int_equal(pf_store_seal(b->s, task, &s, &b->err), POCKETFED_OK);
    bench_commit(b);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(pf_reader_leaf(b->r, task, 1, leaves[i].pseudonym,
                                        leaves[i].digest, &leaf, &place),
                         0);
        assert_int_equal(place, i);
    }
    assert_int_equal(
        pf_reader_leaf(b->r, task, 1, leaves[0].pseudonym, NULL, &leaf, &place),
        0);
    assert_int_equal(place, 0);
    assert_int_equal(pf_reader_leaf(b->r, task, 1, leaves[0].pseudonym, other,
                                    &leaf, &place),
                     POCKETFED_NOT_FOUND);
}

static void what_is_not_committed_is_not_sealed(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    uint8_t sig[PF_SIGNATURE_LEN] = {0}, last[32];
    struct pf_seal s = {1, "x", 1, sig, NULL, NULL, 0};
    struct pf_sealed got;
    uint64_t size;

    bench_begin(b);
    assert_int_equal(pf_store_seal(b->s, task, &s, &b->err), POCKETFED_OK);
    assert_int_equal(pf_reader_sealed(b->r, task, 1, &got),
                     POCKETFED_NOT_FOUND);
    bench_restart(b);
    assert_int_equal(pf_reader_sealed(b->r, task, 1, &got),
                     POCKETFED_NOT_FOUND);
    assert_int_equal(pf_store_log_end(b->s, task, &size, last, &b->err), 0);
    assert_int_equal(size, 0);
}

static void a_round_is_sealed_once(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    uint8_t sig[PF_SIGNATURE_LEN] = {0};
    struct pf_seal s = {1, "other", 5, sig, NULL, NULL, 0};

    seal(b, task, 1, "first", 1);
    bench_begin(b);
    assert_int_equal(pf_store_seal(b->s, task, &s, &b->err),
                     POCKETFED_INTERNAL);
}

static void the_log_ends_with_the_newest_record_of_its_task(void **state)
{
    struct bench *b = *state;
    int64_t one = bench_add_task(b, "a", 1), two = bench_add_task(b, "b", 2);
    uint8_t last[32], want[32], none[32] = {0};
    uint64_t size;

    assert_int_equal(pf_store_log_end(b->s, one, &size, last, &b->err), 0);
    assert_int_equal(size, 0);
    assert_memory_equal(last, none, 32);
    seal(b, one, 1, "first", 1);
    seal(b, two, 1, "other", 1);
    seal(b, one, 2, "second", 1);
    bench_restart(b);
    assert_int_equal(pf_store_log_end(b->s, one, &size, last, &b->err), 0);
    assert_int_equal(size, 2);
    pf_sha256("second", 6, want);
    assert_memory_equal(last, want, 32);
    assert_int_equal(pf_store_log_end(b->s, two, &size, last, &b->err), 0);
    assert_int_equal(size, 1);
}

static void a_new_record_key_is_found_by_the_old_one(void **state)
{
    struct bench *b = *state;
    uint8_t sig[PF_SIGNATURE_LEN], got[PF_SIGNATURE_LEN];
    struct pf_buf body;

    memset(sig, 9, sizeof sig);
    pf_buf_init(&body, PF_ROTATION_MAX);
    assert_int_equal(pf_reader_rotation(b->r, bench_digest(1), &body, got),
                     POCKETFED_NOT_FOUND);
    assert_int_equal(
        pf_store_rotate(b->s, bench_digest(1), "said", 4, sig, &b->err), 0);
    bench_restart(b);
    /* Again, as after a crash: the first one stays. */
    assert_int_equal(
        pf_store_rotate(b->s, bench_digest(1), "else", 4, sig, &b->err), 0);
    assert_int_equal(pf_reader_rotation(b->r, bench_digest(1), &body, got), 0);
    assert_string_equal(pf_buf_str(&body), "said");
    assert_memory_equal(got, sig, sizeof sig);
    assert_int_equal(pf_reader_rotation(b->r, bench_digest(2), &body, got),
                     POCKETFED_NOT_FOUND);
    pf_buf_free(&body);
}

/* ---- proving ----------------------------------------------------------- */

static void check_leaves(struct bench *b, struct pf_prover *p, int64_t task,
                         uint64_t round, int n)
{
    struct pf_leaf_path path;
    struct pf_merkle_sum sum;
    uint8_t bytes[PF_LEAF_LEN], hash[200][32], root[32];
    struct pf_leaf leaf;

    pf_merkle_begin(&sum);
    for (int i = 0; i < n; i++) {
        leaf_of(i + 1, round, &leaf);
        pf_leaf_write(&leaf, bytes);
        pf_merkle_leaf(bytes, sizeof bytes, hash[i]);
        pf_merkle_add(&sum, hash[i]);
    }
    pf_merkle_root(&sum, root);
    for (int i = 0; i < n; i++) {
        assert_int_equal(
            pf_prover_leaf(p, b->r, task, round, (uint64_t)i, &path), 0);
        assert_int_equal(pf_merkle_check_path(hash[i], (uint64_t)i, (uint64_t)n,
                                              (const uint8_t(*)[32])path.hash,
                                              path.n, root),
                         0);
    }
    assert_int_equal(pf_prover_leaf(p, b->r, task, round, (uint64_t)n, &path),
                     POCKETFED_PROOF);
}

static void every_leaf_of_every_round_is_proved(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    struct pf_prover *p = NULL;
    char text[32];

    assert_int_equal(pf_prover_create(&p), 0);
    for (int round = 1; round <= PF_PROVER_ROUNDS + 3; round++) {
        snprintf(text, sizeof text, "record %d", round);
        seal(b, task, (uint64_t)round, text, round % 7 + 1);
        check_leaves(b, p, task, (uint64_t)round, round % 7 + 1);
    }
    check_leaves(b, p, task, 1, 2); /* forgotten meanwhile */
    pf_prover_free(p);
}

static void the_log_proves_its_records_and_its_growth_as_it_grows(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    struct pf_prover *p = NULL;
    struct pf_log_proof proof;
    uint8_t hash[20][32], root[21][32];
    struct pf_merkle_sum sum;
    char text[32];

    assert_int_equal(pf_prover_create(&p), 0);
    assert_int_equal(pf_prover_log(p, b->r, task, 0, 0, &proof),
                     POCKETFED_PROOF);
    pf_merkle_begin(&sum);
    pf_merkle_root(&sum, root[0]);
    for (uint64_t n = 1; n <= 20; n++) {
        int len = snprintf(text, sizeof text, "record %d", (int)n);

        seal(b, task, n, text, 1);
        pf_merkle_leaf(text, (size_t)len, hash[n - 1]);
        pf_merkle_add(&sum, hash[n - 1]);
        pf_merkle_root(&sum, root[n]);
        for (uint64_t i = 0; i < n; i++) {
            assert_int_equal(pf_prover_log(p, b->r, task, i, i, &proof), 0);
            assert_int_equal(proof.size, n);
            assert_memory_equal(proof.root, root[n], 32);
            assert_int_equal(
                pf_merkle_check_path(hash[i], i, n,
                                     (const uint8_t(*)[32])proof.path,
                                     proof.n_path, root[n]),
                0);
            assert_int_equal(
                pf_merkle_check_growth(i, root[i], n, root[n],
                                       (const uint8_t(*)[32])proof.growth,
                                       proof.n_growth),
                0);
        }
        assert_int_equal(pf_prover_log(p, b->r, task, 0, n + 1, &proof), 0);
        assert_int_equal(proof.n_growth, 0);
    }
    pf_prover_free(p);
}

static void a_gap_in_what_was_sealed_is_no_proof(void **state)
{
    struct bench *b = *state;
    int64_t task = bench_add_task(b, "a", 1);
    struct pf_leaf_path path;
    struct pf_log_proof proof;
    struct pf_prover *p = NULL;

    seal(b, task, 1, "one", 3);
    seal(b, task, 2, "two", 3);
    seal(b, task, 3, "three", 3);
    bench_close(b);
    bench_query(b, "DELETE FROM leaves WHERE round = 1 AND place = 1");
    bench_query(b, "DELETE FROM round_records WHERE seq = 1");
    bench_open(b);
    assert_int_equal(pf_prover_create(&p), 0);
    assert_int_equal(pf_prover_leaf(p, b->r, task, 1, 0, &path),
                     POCKETFED_PROOF);
    assert_int_equal(pf_prover_log(p, b->r, task, 0, 0, &proof),
                     POCKETFED_PROOF);
    pf_prover_free(p);
}

#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sealed_round_is_there_after_a_restart),
        TEST(two_updates_of_one_device_are_told_apart_by_digest),
        TEST(what_is_not_committed_is_not_sealed),
        TEST(a_round_is_sealed_once),
        TEST(the_log_ends_with_the_newest_record_of_its_task),
        TEST(a_new_record_key_is_found_by_the_old_one),
        TEST(every_leaf_of_every_round_is_proved),
        TEST(the_log_proves_its_records_and_its_growth_as_it_grows),
        TEST(a_gap_in_what_was_sealed_is_no_proof),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
