/* Whatever the scheme, the sizes and the labels: every example goes to exactly
 * one client, every client gets one, and the same seed gives the same lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "partition.h"
#include "rng.h"

#define MAX_N 600u

struct trial {
    char text[32];
    uint32_t n, n_clients;
    uint64_t seed;
    uint8_t labels[MAX_N];
};

static void draw(uint64_t number, struct trial *t)
{
    struct pf_rng r = pf_rng_make(number, 0, 0, PF_RNG_TEST);
    static const double alphas[] = {0.001, 0.05, 0.5, 1, 20, 1e6};
    uint32_t kinds = 1 + (uint32_t)pf_rng_below(&r, 0, 12);

    memset(t, 0, sizeof *t);
    t->n = 1 + (uint32_t)pf_rng_below(&r, 1, MAX_N);
    t->n_clients = 1 + (uint32_t)pf_rng_below(&r, 2, t->n);
    if (pf_rng_below(&r, 3, 2)) /* few clients are the usual case */
        t->n_clients = 1 + (uint32_t)pf_rng_below(&r, 4, t->n < 12 ? t->n : 12);
    t->seed = pf_rng_u64(&r, 5);
    for (uint32_t i = 0; i < t->n; i++)
        t->labels[i] =
            (uint8_t)(pf_rng_below(&r, 100 + i, kinds) * (255 / kinds));
    switch (pf_rng_below(&r, 6, 3)) {
    case 0:
        snprintf(t->text, sizeof t->text, "iid");
        break;
    case 1:
        snprintf(t->text, sizeof t->text, "shards:%u",
                 1 + (unsigned)pf_rng_below(&r, 7, t->n / t->n_clients));
        break;
    default:
        snprintf(t->text, sizeof t->text, "dirichlet:%g",
                 alphas[pf_rng_below(&r, 7, 6)]);
    }
}

/* NULL, or what is wrong. */
static const char *fault_of(const struct trial *t, const struct pf_partition *p,
                            const struct pf_partition *q)
{
    uint8_t seen[MAX_N] = {0};

    if (p->n_examples != t->n || p->n_clients != t->n_clients ||
        p->start[0] != 0 || p->start[t->n_clients] != t->n)
        return "the lists do not cover the examples";
    for (uint32_t k = 0; k < t->n_clients; k++)
        if (p->start[k] >= p->start[k + 1])
            return "a client has nothing";
    for (uint32_t i = 0; i < t->n; i++) {
        if (p->index[i] >= t->n)
            return "an example that does not exist";
        if (seen[p->index[i]]++)
            return "an example given twice";
    }
    if (memcmp(p->index, q->index, t->n * sizeof *p->index) != 0 ||
        memcmp(p->start, q->start, (t->n_clients + 1) * sizeof *p->start) != 0)
        return "not the same the second time";
    return NULL;
}

static void every_example_goes_to_exactly_one_client(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 2000; number++) {
        struct trial t;
        struct pf_partition p = {0}, q = {0};
        const char *fault = "refused";

        draw(number, &t);
        if (pf_partition_make(t.text, t.labels, t.n, t.n_clients, t.seed, &p,
                              NULL) == POCKETFED_OK &&
            pf_partition_make(t.text, t.labels, t.n, t.n_clients, t.seed, &q,
                              NULL) == POCKETFED_OK)
            fault = fault_of(&t, &p, &q);
        pf_partition_free(&p);
        pf_partition_free(&q);
        if (fault)
            fail_msg("trial %u (%s, %u examples, %u clients): %s",
                     (unsigned)number, t.text, t.n, t.n_clients, fault);
    }
}

static void another_seed_gives_other_lists(void **state)
{
    const char *const all[] = {"iid", "shards:2", "dirichlet:0.5"};
    uint8_t labels[MAX_N];

    (void)state;
    for (uint32_t i = 0; i < MAX_N; i++)
        labels[i] = (uint8_t)(i % 10);
    for (size_t i = 0; i < 3; i++) {
        struct pf_partition p = {0}, q = {0};

        assert_int_equal(
            pf_partition_make(all[i], labels, MAX_N, 10, 1, &p, NULL),
            POCKETFED_OK);
        assert_int_equal(
            pf_partition_make(all[i], labels, MAX_N, 10, 2, &q, NULL),
            POCKETFED_OK);
        assert_memory_not_equal(p.index, q.index, MAX_N * sizeof *p.index);
        pf_partition_free(&p);
        pf_partition_free(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_goes_to_exactly_one_client),
        cmocka_unit_test(another_seed_gives_other_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
