/* The sum of a round: the same bits in any order and any partition, as close to
 * the exact mean as the plan says.
 *
 * POCKETFED_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "admit.h"
#include "awkward.h"
#include "crypto.h"
#include "exact.h"
#include "frame.h"
#include "publish.h"
#include "rng.h"

#define N_DIM     130 /* parameters of the model below */
#define N_UPDATES 72
#define PARTS     64
#define ORDERS    1000
#define TRIALS    300

/* One dense layer, 64 -> 2. */
static const char task_text[] =
    "{\"name\":\"bench\",\"model\":{\"version\":1,\"input\":[1,8,8],"
    "\"layers\":[{\"name\":\"flat\",\"type\":\"flatten\","
    "\"inputs\":[\"input\"]},{\"name\":\"out\",\"type\":\"dense\","
    "\"inputs\":[\"flat\"],\"units\":2}],\"loss\":\"softmax_cross_entropy\"}}";

struct update {
    float x[N_DIM];
    uint64_t weight;
    uint32_t staleness;
    struct frame frame; /* of x */
};

static uint64_t seed = 20240611;
static struct pf_task task;
static struct pf_model *model;
static struct pf_buf base, file; /* model files */
static uint8_t base_digest[32], plan_digest[32];
static struct update update[N_UPDATES];
static float scratch[PF_ADMIT_BLOCK];

/* ---- updates to try with ---- */

/* All of staleness below `stale`: 1 for synchronous rounds. */
static void draw_updates(const struct pf_plan_update *u, size_t n,
                         uint32_t stale, const struct pf_rng *rng)
{
    size_t k, i;

    for (k = 0; k < n; k++) {
        struct update *p = &update[k];

        for (i = 0; i < N_DIM; i++)
            p->x[i] = awkward(u, rng, k * N_DIM + i);
        p->weight = pf_rng_below(rng, 1000000 + k, u->max_examples);
        p->weight >>= pf_rng_below(rng, 3000000 + k, 20); /* light ones too */
        p->weight++;
        p->staleness = (uint32_t)pf_rng_below(rng, 2000000 + k, stale);
        p->frame.plan.update = *u;
        frame_make(&p->frame, u->codec, p->x, N_DIM);
    }
}

static double factor_of(const struct update *p)
{
    return pf_staleness_factor(p->staleness);
}

/* The sum of the discounted weights of n updates: what a mean may be divided
 * by instead of by the weight. */
static double discounted(size_t n)
{
    double sum = 0;
    size_t k;

    for (k = 0; k < n; k++)
        sum += (double)update[k].weight * factor_of(&update[k]);
    return sum;
}

/* Whole, as the daemon does, or in pieces. */
static void add_update(struct pf_sum *s, const struct update *p, size_t cut)
{
    const struct pf_plan *plan = &p->frame.plan;
    size_t first;

    if (cut == 0) {
        assert_int_equal(pf_sum_fold(s, plan, p->frame.bytes.data,
                                     p->frame.bytes.len, p->weight,
                                     factor_of(p), scratch),
                         POCKETFED_OK);
        return;
    }
    for (first = 0; first < N_DIM; first += cut)
        pf_sum_add(s, &plan->update, first, p->x + first,
                   N_DIM - first < cut ? N_DIM - first : cut, p->weight,
                   factor_of(p));
    s->updates++;
    s->weight += p->weight;
}

static int set_up(void **state)
{
    const char *given = getenv("POCKETFED_SEED");
    struct pf_error err = {0};
    size_t k;

    (void)state;
    if (given)
        seed = strtoull(given, NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    pf_buf_init(&base, PF_MAX_MODEL_FILE);
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    if (pf_task_parse(task_text, strlen(task_text), &task, &err) ||
        pf_model_create(pf_buf_str(&task.spec), task.spec.len, &model, &err) ||
        pf_model_n_params(model) != N_DIM) {
        print_error("%s\n", err.text);
        return 1;
    }
    for (k = 0; k < N_UPDATES; k++)
        frame_init(&update[k].frame, N_DIM);
    return 0;
}

static int tear_down(void **state)
{
    size_t k;

    (void)state;
    for (k = 0; k < N_UPDATES; k++)
        frame_free(&update[k].frame);
    pf_buf_free(&base);
    pf_buf_free(&file);
    pf_model_free(model);
    pf_task_free(&task);
    return 0;
}

static void begin_from(const float *params)
{
    assert_int_equal(pf_publish_initial(&task, model, plan_digest, params,
                                        &base, base_digest),
                     POCKETFED_OK);
}

static void publish(const struct pf_sum *s, const struct pf_plan_update *u,
                    uint8_t digest[32])
{
    struct pf_error err = {0};

    task.update = *u;
    if (pf_publish(&task, model, 1, plan_digest, base.data, base.len,
                   base_digest, s, NULL, &file, digest, &err))
        fail_msg("%s", err.text);
}

/* ---- the same bits ---- */

/* Everything that a sum says and the model that it makes, in one number. */
static void digest_of(const struct pf_sum *s, const struct pf_plan_update *u,
                      uint8_t out[32])
{
    uint8_t all[N_DIM * sizeof *s->value + 3 * sizeof s->weight + 32];
    size_t n = N_DIM * sizeof *s->value;

    memcpy(all, s->value, n);
    memcpy(all + n, &s->updates, sizeof s->updates);
    memcpy(all + n + 8, &s->weight, sizeof s->weight);
    memcpy(all + n + 16, &s->saturated, sizeof s->saturated);
    publish(s, u, all + n + 24);
    pf_sha256(all, sizeof all, out);
}

/* Merges parts in any tree into part[0]. */
static void merge_all(struct pf_sum *part, size_t n, const struct pf_rng *rng,
                      uint64_t *draw)
{
    while (n > 1) {
        size_t from = pf_rng_below(rng, (*draw)++, n);
        size_t into = pf_rng_below(rng, (*draw)++, n - 1);
        struct pf_sum last;

        into += into >= from;
        pf_sum_merge(&part[into], &part[from]);
        last = part[n - 1];
        part[n - 1] = part[from];
        part[from] = last;
        n--;
    }
}

static void try_an_order(const struct pf_plan_update *u, struct pf_sum *part,
                         size_t parts, const struct pf_rng *rng,
                         uint8_t digest[32])
{
    uint32_t order[N_UPDATES];
    uint64_t draw = 0;
    size_t p, k;

    pf_rng_permutation(rng, N_UPDATES, order);
    for (p = 0; p < parts; p++)
        pf_sum_clear(&part[p]);
    for (k = 0; k < N_UPDATES; k++) {
        size_t to = pf_rng_below(rng, 100000 + draw++, parts);
        size_t cut = pf_rng_below(rng, 100000 + draw++, 2 * N_DIM);

        add_update(&part[to], &update[order[k]], cut < N_DIM ? cut : 0);
    }
    merge_all(part, parts, rng, &draw);
    digest_of(&part[0], u, digest);
}

static void any_order_and_any_partial_sums_publish_the_same_bytes(void **state)
{
    static const size_t parts_of[] = {1, 2, 7, PARTS};
    static const struct pf_plan_update plans[] = {
        {.codec = "f32", .range = 4, .bits = 32, .max_examples = 1000000},
        {.codec = "f32", .range = 1.0 / 32768, .bits = 48, .max_examples = 900},
        {.codec = "f32", .range = 1, .bits = 40, .max_examples = 200000},
    };
    static const uint32_t stale[] = {1, 1, 20};
    struct pf_sum part[PARTS];
    float start[N_DIM];
    size_t i, j, n;

    (void)state;
    for (i = 0; i < N_DIM; i++)
        start[i] = (float)i / 7 - 9;
    begin_from(start);
    for (i = 0; i < PARTS; i++)
        assert_int_equal(pf_sum_init(&part[i], N_DIM), POCKETFED_OK);
    for (n = 0; n < sizeof plans / sizeof plans[0]; n++) {
        struct pf_rng rng = pf_rng_make(seed, n, 0, PF_RNG_TEST);
        uint8_t want[32], got[32];

        draw_updates(&plans[n], N_UPDATES, stale[n], &rng);
        for (uint32_t order = 0; order < ORDERS; order++)
            for (j = 0; j < 4; j++) {
                rng = pf_rng_make(seed, 1000 + n, 4 * order + (uint32_t)j,
                                  PF_RNG_TEST);
                try_an_order(&plans[n], part, parts_of[j], &rng, got);
                if (order == 0 && j == 0)
                    memcpy(want, got, sizeof want);
                else if (memcmp(got, want, sizeof want) != 0)
                    fail_msg("plan %zu, order %u, %zu partial sums: other bits",
                             n, order, parts_of[j]);
            }
        assert_true(part[0].saturated > 0);
    }
    for (i = 0; i < PARTS; i++)
        pf_sum_free(&part[i]);
}

/* ---- the exact mean ---- */

/* NULL, or what is wrong with coordinate i of the sum, and of the model that
 * was made of it from start. Errors are multiplied out by the divisor d, so
 * that nothing is divided: |mean * d - sum| <= quantum / 2 * weight + ulp * d.
 * A discount is multiplied in double before the rounding to a quantum, which
 * adds 2^-53 of what it gives. */
static const char *fault_of(const struct pf_sum *s,
                            const struct pf_plan_update *u, size_t n_updates,
                            size_t i, float start, float published)
{
    double d = s->divisor > 0 ? s->divisor : (double)s->weight;
    int shift = pf_plan_shift(u);
    struct exact off, most;
    __int128 want = 0;

    exact_zero(&off);
    exact_zero(&most);
    exact_add(&off, (double)published, d, 1);
    exact_add(&off, -(double)start, d, 1);
    exact_add(&most, exact_ulp(published), d, 1);
    for (size_t k = 0; k < n_updates; k++) {
        const struct update *p = &update[k];
        double x = exact_clamp((double)p->x[i], u->range, u->bits);
        double f = factor_of(p);

        want += (__int128)exact_round(x * f, shift) * p->weight;
        exact_add(&off, -x, f, p->weight);
        exact_add(&most, quantum_of(u), 0.5, p->weight);
        if (f < 1)
            exact_add(&most, (x < 0 ? -x : x) / (1LL << 53), f, p->weight);
    }
    if (want != s->value[i])
        return "another integer than by integers alone";
    return exact_within(&off, &most) ? NULL : "too far from the exact mean";
}

static void
a_published_mean_is_within_half_a_quantum_and_an_ulp_of_the_exact(void **state)
{
    struct pf_error err = {0};
    struct pf_sum s;
    float start[N_DIM], got[N_DIM];
    uint8_t digest[32];

    (void)state;
    assert_int_equal(pf_sum_init(&s, N_DIM), POCKETFED_OK);
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        struct pf_rng rng = pf_rng_make(seed, 5, trial, PF_RNG_TEST);
        struct pf_plan_update u = plan_at_the_limit(N_UPDATES, &rng);
        size_t n = 1 + pf_rng_below(&rng, 3, N_UPDATES), i;
        uint64_t saturated = 0;
        const char *fault;

        for (i = 0; i < N_DIM; i++) /* a third start from nothing at all */
            start[i] = trial % 3 ? (float)pf_rng_normal(&rng, 100 + i) : 0;
        begin_from(start);
        rng = pf_rng_make(seed, 6, trial, PF_RNG_TEST);
        draw_updates(&u, n, trial % 2 ? 1 : 20, &rng);
        pf_sum_clear(&s);
        s.divisor = trial % 4 == 2 ? discounted(n) : 0;
        for (i = 0; i < n; i++) {
            add_update(&s, &update[i], 0);
            saturated += clamped_of(&u, update[i].x, N_DIM);
        }
        publish(&s, &u, digest);
        assert_int_equal(
            pf_safetensors_params(file.data, file.len, model, got, &err),
            POCKETFED_OK);
        assert_int_equal(s.saturated, saturated);
        for (i = 0; i < N_DIM; i++) {
            fault = fault_of(&s, &u, n, i, start[i], got[i]);
            if (fault)
                fail_msg("trial %u, %zu updates, range %g, %u bits, "
                         "coordinate %zu: %s",
                         trial, n, u.range, u.bits, i, fault);
        }
    }
    pf_sum_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_any_partial_sums_publish_the_same_bytes),
        cmocka_unit_test(
            a_published_mean_is_within_half_a_quantum_and_an_ulp_of_the_exact),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
