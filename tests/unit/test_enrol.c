/* The contract of server/store/store.h: tokens and devices, with a restart
 * after each enrolment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "store_bench.h"

static void add_token(struct bench *b, int64_t task, int hash, uint64_t uses,
                      int64_t expires_ms, int ordinal)
{
    bench_begin(b);
    assert_int_equal(pf_store_token_add(b->s, task, bench_digest(hash), uses,
                                        expires_ms, ordinal >= 0,
                                        (uint64_t)(ordinal < 0 ? 0 : ordinal),
                                        "a token", &b->err),
                     POCKETFED_OK);
    bench_commit(b);
}

static struct pf_device device(int i)
{
    struct pf_device d = {0};

    memset(d.id, i, sizeof d.id);
    d.alg = PF_KEY_ED25519;
    d.key_len = 32;
    memset(d.key, i + 100, d.key_len);
    snprintf(d.label, sizeof d.label, "phone %d", i);
    d.ordinal = 999;
    return d;
}

/* What an enrolment says: an ordinal, or minus the problem. */
static int enrol(struct bench *b, int64_t task, int hash, int key, int *again)
{
    struct pf_device d = device(key);
    struct pf_problem why = {0};
    enum pocketfed_status st;
    int a = -1;

    bench_begin(b);
    st = pf_store_enrol(b->s, task, bench_digest(hash), 1000, &d, &a, &why,
                        &b->err);
    bench_commit(b);
    bench_restart(b);
    if (again)
        *again = a;
    if (st == POCKETFED_OK)
        return (int)d.ordinal;
    assert_int_equal(st, POCKETFED_REFUSED);
    return -(int)why.id;
}

static void a_token_makes_one_device(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    struct pf_device d, want = device(1);
    int again;

    add_token(b, t, 5, 1, 2000, -1);
    assert_int_equal(enrol(b, t, 5, 1, &again), 0);
    assert_int_equal(again, 0);
    assert_int_equal(pf_reader_device(b->r, t, want.id, &d), POCKETFED_OK);
    assert_int_equal(d.ordinal, 0);
    assert_int_equal(d.alg, PF_KEY_ED25519);
    assert_int_equal(d.key_len, 32);
    assert_memory_equal(d.key, want.key, 32);
    assert_string_equal(d.label, "phone 1");
    assert_int_equal(d.state, PF_DEVICE_ACTIVE);
    assert_int_equal(pf_reader_n_devices(b->r, t), 1);
    want = device(2);
    assert_int_equal(pf_reader_device(b->r, t, want.id, &d),
                     POCKETFED_NOT_FOUND);
}

static void the_same_key_again_is_the_same_device(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    int again;

    add_token(b, t, 5, 2, 2000, -1);
    assert_int_equal(enrol(b, t, 5, 1, NULL), 0);
    assert_int_equal(enrol(b, t, 5, 1, &again), 0);
    assert_int_equal(again, 1);
    assert_int_equal(enrol(b, t, 5, 2, &again), 1); /* the use was not spent */
    assert_int_equal(again, 0);
    assert_int_equal(enrol(b, t, 5, 3, NULL), -PF_PROBLEM_TOKEN_USED);
    assert_int_equal(enrol(b, t, 5, 1, &again), 0);
    assert_int_equal(again, 1);
}

static void refuses_a_token_used_by_a_second_key(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);

    add_token(b, t, 5, 1, 2000, -1);
    assert_int_equal(enrol(b, t, 5, 1, NULL), 0);
    assert_int_equal(enrol(b, t, 5, 2, NULL), -PF_PROBLEM_TOKEN_USED);
    assert_int_equal(pf_reader_n_devices(b->r, t), 1);
}

static void refuses_a_token_that_expired(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);

    add_token(b, t, 5, 1, 1000, -1); /* enrol asks at 1000 */
    assert_int_equal(enrol(b, t, 5, 1, NULL), -PF_PROBLEM_TOKEN_EXPIRED);
    assert_int_equal(pf_reader_n_devices(b->r, t), 0);
    add_token(b, t, 6, 1, 1001, -1);
    assert_int_equal(enrol(b, t, 6, 1, NULL), 0);
    bench_query(b,
                "UPDATE tokens SET expires_ms = 1"); /* spent: good for ever */
    assert_int_equal(enrol(b, t, 6, 1, NULL), 0);
}

static void refuses_an_unknown_token_and_one_of_another_task(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1), other = bench_add_task(b, "b", 11);

    add_token(b, other, 5, 1, 2000, -1);
    assert_int_equal(enrol(b, t, 6, 1, NULL), -PF_PROBLEM_TOKEN_UNKNOWN);
    assert_int_equal(enrol(b, t, 5, 1, NULL), -PF_PROBLEM_TOKEN_UNKNOWN);
    assert_int_equal(enrol(b, other, 5, 1, NULL), 0);
}

static void another_token_needs_no_second_use(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    int again;

    add_token(b, t, 5, 1, 2000, -1);
    add_token(b, t, 6, 1, 2000, -1);
    add_token(b, t, 7, 1, 500, -1);
    assert_int_equal(enrol(b, t, 5, 1, NULL), 0);
    assert_int_equal(enrol(b, t, 6, 1, &again), 0);
    assert_int_equal(again, 1);
    assert_int_equal(enrol(b, t, 7, 1, NULL), -PF_PROBLEM_TOKEN_EXPIRED);
    assert_int_equal(enrol(b, t, 6, 2, &again), 1); /* 6 is still unspent */
    assert_int_equal(again, 0);
}

static void refuses_a_revoked_device(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);

    add_token(b, t, 5, 1, 2000, -1);
    assert_int_equal(enrol(b, t, 5, 1, NULL), 0);
    bench_query(b, "UPDATE devices SET state = 1");
    assert_int_equal(enrol(b, t, 5, 1, NULL), -PF_PROBLEM_DEVICE_REVOKED);
}

static void a_token_can_fix_the_ordinal(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);

    add_token(b, t, 5, 2, 2000, 7);
    assert_int_equal(enrol(b, t, 5, 1, NULL), 7);
    assert_int_equal(enrol(b, t, 5, 2, NULL), -PF_PROBLEM_ORDINAL_TAKEN);
    assert_int_equal(enrol(b, t, 5, 1, NULL), 7);
}

static void gives_the_smallest_free_ordinal(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1), other = bench_add_task(b, "b", 11);

    add_token(b, t, 5, 100, 2000, -1);
    add_token(b, t, 6, 1, 2000, 1);
    add_token(b, t, 7, 1, 2000, 2);
    add_token(b, t, 8, 1, 2000, 4);
    add_token(b, other, 9, 1, 2000, 0);
    assert_int_equal(enrol(b, other, 9, 50, NULL), 0);
    assert_int_equal(enrol(b, t, 6, 1, NULL), 1);
    assert_int_equal(enrol(b, t, 7, 2, NULL), 2);
    assert_int_equal(enrol(b, t, 5, 3, NULL), 0);
    assert_int_equal(enrol(b, t, 8, 4, NULL), 4);
    assert_int_equal(enrol(b, t, 5, 5, NULL), 3);
    assert_int_equal(enrol(b, t, 5, 6, NULL), 5);
    assert_int_equal(enrol(b, t, 5, 7, NULL), 6);
}

#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_makes_one_device),
        TEST(the_same_key_again_is_the_same_device),
        TEST(refuses_a_token_used_by_a_second_key),
        TEST(refuses_a_token_that_expired),
        TEST(refuses_an_unknown_token_and_one_of_another_task),
        TEST(another_token_needs_no_second_use),
        TEST(refuses_a_revoked_device),
        TEST(a_token_can_fix_the_ordinal),
        TEST(gives_the_smallest_free_ordinal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
