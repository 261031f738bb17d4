#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "partition.h"

/* 1000 examples, 100 of each of ten labels, in no order. */
#define N 1000u
static uint8_t labels[N];

static int make_labels(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N; i++)
        labels[i] = (uint8_t)((i * 7 + i / 10) % 10);
    return 0;
}

static struct pf_partition make(const char *text, uint32_t n, uint32_t clients,
                                uint64_t seed)
{
    struct pf_partition p = {0};
    struct pf_error err = {0};

    assert_int_equal(
        pf_partition_make(text, labels, n, clients, seed, &p, &err),
        POCKETFED_OK);
    assert_int_equal(p.n_clients, clients);
    assert_int_equal(p.n_examples, n);
    assert_int_equal(p.start[0], 0);
    assert_int_equal(p.start[clients], n);
    return p;
}

/* How many examples of `label` client k has. */
static unsigned count(const struct pf_partition *p, uint32_t k, unsigned label)
{
    unsigned n = 0;

    for (uint32_t i = p->start[k]; i < p->start[k + 1]; i++)
        n += labels[p->index[i]] == label;
    return n;
}

static void iid_cuts_a_permutation_evenly(void **state)
{
    struct pf_partition p = make("iid", N, 7, 1);
    unsigned moved = 0;

    (void)state;
    for (uint32_t k = 0; k < 7; k++) {
        uint32_t size = p.start[k + 1] - p.start[k];

        assert_true(size == N / 7 || size == N / 7 + 1);
    }
    for (uint32_t i = 0; i < N; i++)
        moved += p.index[i] != i;
    assert_true(moved > N / 2);
    pf_partition_free(&p);
}

static void iid_gives_every_client_every_label(void **state)
{
    struct pf_partition p = make("iid", N, 5, 3);

    (void)state;
    for (uint32_t k = 0; k < 5; k++)
        for (unsigned c = 0; c < 10; c++)
            assert_in_range(count(&p, k, c), 8, 35); /* 20 expected */
    pf_partition_free(&p);
}

static void iid_needs_no_labels(void **state)
{
    struct pf_partition p = {0};

    (void)state;
    assert_int_equal(pf_partition_make("iid", NULL, 10, 2, 1, &p, NULL),
                     POCKETFED_OK);
    pf_partition_free(&p);
    assert_int_equal(pf_partition_make("shards:1", NULL, 10, 2, 1, &p, NULL),
                     POCKETFED_INVALID);
}

static void
two_shards_hold_at_most_two_labels_when_cuts_fall_on_labels(void **state)
{
    struct pf_partition p = make("shards:2", N, 10, 1); /* 20 shards of 50 */
    unsigned pairs = 0;

    (void)state;
    for (uint32_t k = 0; k < 10; k++) {
        unsigned kinds = 0;

        assert_int_equal(p.start[k + 1] - p.start[k], 100);
        for (unsigned c = 0; c < 10; c++)
            kinds += count(&p, k, c) != 0;
        assert_in_range(kinds, 1, 2);
        pairs += kinds == 2;
    }
    assert_true(pairs >= 5); /* the deal is shuffled */
    pf_partition_free(&p);
}

static void more_shards_than_examples_are_refused(void **state)
{
    struct pf_partition p = {0};
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(
        pf_partition_make("shards:11", labels, 100, 10, 1, &p, &err),
        POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "11 shards"));
    assert_null(p.index);
}

/* The share of a client's commonest label, over all clients. */
static double skew(const char *text, uint64_t seed)
{
    struct pf_partition p = make(text, N, 10, seed);
    double sum = 0;

    for (uint32_t k = 0; k < 10; k++) {
        unsigned most = 0;

        assert_int_equal(p.start[k + 1] - p.start[k], 100);
        for (unsigned c = 0; c < 10; c++) {
            unsigned n = count(&p, k, c);

            most = n > most ? n : most;
        }
        sum += most / 100.0;
    }
    pf_partition_free(&p);
    return sum / 10;
}

static void
a_small_dirichlet_parameter_skews_and_a_large_one_does_not(void **state)
{
    double even = 0, half = 0, sharp = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        even += skew("dirichlet:1e6", seed) / 8;
        half += skew("dirichlet:0.5", seed) / 8;
        sharp += skew("dirichlet:0.001", seed) / 8;
    }
    assert_true(even < 0.20);
    assert_true(half > 0.25 && half < 0.55);
    assert_true(sharp > 0.6);
}

static void one_client_gets_everything(void **state)
{
    const char *const all[] = {"iid", "shards:3", "dirichlet:0.1"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct pf_partition p = make(all[i], N, 1, 9);

        pf_partition_free(&p);
    }
}

static void names_the_accepted_forms_when_it_refuses(void **state)
{
    const char *const bad[] = {"",           "IID",           "iid:3",
                               "shards",     "shards:",       "shards:0",
                               "shards:1.5", "shards:2x",     "dirichlet",
                               "dirichlet:", "dirichlet:0",   "dirichlet:-1",
                               "shards: 2",  "dirichlet:nan", "dirichlet:1e9",
                               "sharks:2",   "shards:1001"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pf_partition p = {0};
        struct pf_error err = {0};

        assert_int_equal(pf_partition_make(bad[i], labels, N, 10, 1, &p, &err),
                         POCKETFED_CONFIG);
        assert_int_equal(err.status, POCKETFED_CONFIG);
        assert_non_null(strstr(err.text, bad[i]));
        assert_non_null(strstr(err.hint, pf_partition_forms()));
        assert_null(p.index);
    }
}

static void says_the_range_of_a_parameter(void **state)
{
    struct pf_partition p = {0};
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(pf_partition_make("shards:0", labels, N, 10, 1, &p, &err),
                     POCKETFED_CONFIG);
    assert_string_equal(err.text,
                        "\"shards:0\": shards takes a whole number from 1 to "
                        "1000");
}

static void refuses_more_clients_than_examples_and_none(void **state)
{
    struct pf_partition p = {0};
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(pf_partition_make("iid", labels, 3, 4, 1, &p, &err),
                     POCKETFED_CONFIG);
    assert_string_equal(err.text,
                        "3 examples cannot be shared among 4 clients: each "
                        "needs at least one");
    assert_int_equal(pf_partition_make("iid", labels, 3, 0, 1, &p, NULL),
                     POCKETFED_CONFIG);
    assert_int_equal(pf_partition_make("iid", labels, 0, 0, 1, &p, NULL),
                     POCKETFED_CONFIG);
    assert_null(p.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iid_cuts_a_permutation_evenly),
        cmocka_unit_test(iid_gives_every_client_every_label),
        cmocka_unit_test(iid_needs_no_labels),
        cmocka_unit_test(
            two_shards_hold_at_most_two_labels_when_cuts_fall_on_labels),
        cmocka_unit_test(more_shards_than_examples_are_refused),
        cmocka_unit_test(
            a_small_dirichlet_parameter_skews_and_a_large_one_does_not),
        cmocka_unit_test(one_client_gets_everything),
        cmocka_unit_test(names_the_accepted_forms_when_it_refuses),
        cmocka_unit_test(says_the_range_of_a_parameter),
        cmocka_unit_test(refuses_more_clients_than_examples_and_none),
    };

    return cmocka_run_group_tests(tests, make_labels, NULL);
}
