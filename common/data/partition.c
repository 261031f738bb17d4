#include "partition.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "fmath.h"
#include "rng.h"
#include "text.h"

#define N_LABELS 256u

/* Streams of PF_RNG_PARTITION; a client's own proportions come from
 * STREAM_CLIENT + its number. */
enum { STREAM_EXAMPLES = 0, STREAM_SHARDS = 1, STREAM_PICKS = 2 };
#define STREAM_CLIENT ((uint64_t)1 << 32)

struct job {
    const uint8_t *labels;
    uint32_t n, n_clients;
    uint64_t seed;
    double parameter;
    uint32_t *index, *start; /* to fill; start is cut evenly beforehand */
};

static struct pf_rng stream(const struct job *j, uint64_t s)
{
    return pf_rng_make(j->seed, s, 0, PF_RNG_PARTITION);
}

/* Where part k of `parts` nearly equal ones of 0..n begins. */
static uint32_t cut(uint32_t n, uint32_t parts, uint32_t k)
{
    return (uint32_t)((uint64_t)n * k / parts);
}

static enum pocketfed_status make_iid(const struct job *j, struct pf_error *err)
{
    struct pf_rng r = stream(j, STREAM_EXAMPLES);

    (void)err;
    pf_rng_permutation(&r, j->n, j->index);
    return POCKETFED_OK;
}

/* out = the examples in random order, sorted by label (stable); begin[c] is
 * where label c begins, begin[N_LABELS] = n. */
static enum pocketfed_status sort_by_label(const struct job *j, uint32_t *out,
                                           uint32_t begin[N_LABELS + 1])
{
    struct pf_rng r = stream(j, STREAM_EXAMPLES);
    uint32_t at[N_LABELS];
    uint32_t *shuffled = malloc(j->n * sizeof *shuffled);

    if (!shuffled)
        return POCKETFED_NO_MEMORY;
    pf_rng_permutation(&r, j->n, shuffled);
    memset(begin, 0, (N_LABELS + 1) * sizeof *begin);
    for (uint32_t i = 0; i < j->n; i++)
        begin[j->labels[i] + 1u]++;
    for (uint32_t c = 0; c < N_LABELS; c++)
        begin[c + 1] += begin[c];
    memcpy(at, begin, sizeof at);
    for (uint32_t i = 0; i < j->n; i++)
        out[at[j->labels[shuffled[i]]]++] = shuffled[i];
    free(shuffled);
    return POCKETFED_OK;
}

/* McMahan et al., "Communication-Efficient Learning of Deep Networks from
 * Decentralized Data", AISTATS 2017, section 3: sort by label, cut into shards
 * of equal size, deal K of them to each client. */
static enum pocketfed_status make_shards(const struct job *j,
                                         struct pf_error *err)
{
    uint32_t each = (uint32_t)j->parameter, n_shards, filled = 0;
    uint32_t begin[N_LABELS + 1];
    uint32_t *sorted = NULL, *deal = NULL;
    struct pf_rng r = stream(j, STREAM_SHARDS);
    enum pocketfed_status st = POCKETFED_NO_MEMORY;

    if (each > j->n / j->n_clients)
        return pf_fail(err, POCKETFED_CONFIG,
                       "%" PRIu32 " clients with %" PRIu32 " shards each need "
                       "more than the %" PRIu32 " examples there are",
                       j->n_clients, each, j->n);
    n_shards = each * j->n_clients;
    sorted = malloc(j->n * sizeof *sorted);
    deal = malloc(n_shards * sizeof *deal);
    if (!sorted || !deal)
        goto out;
    st = sort_by_label(j, sorted, begin);
    if (st != POCKETFED_OK)
        goto out;
    pf_rng_permutation(&r, n_shards, deal);
    for (uint32_t k = 0; k < j->n_clients; k++) {
        j->start[k] = filled;
        for (uint32_t s = 0; s < each; s++) {
            uint32_t shard = deal[k * each + s];
            uint32_t from = cut(j->n, n_shards, shard);
            uint32_t count = cut(j->n, n_shards, shard + 1) - from;

            memcpy(j->index + filled, sorted + from, count * sizeof *sorted);
            filled += count;
        }
    }
    j->start[j->n_clients] = filled;
out:
    free(sorted);
    free(deal);
    return st;
}

/* The logarithm of a Gamma(a, 1) number, which for small a is often below the
 * smallest double.  Marsaglia & Tsang, "A simple method for generating gamma
 * variables", ACM TOMS 26(3), 2000, for a + 1; then Gamma(a) = Gamma(a + 1)
 * U^(1/a), their section 6. */
static double log_gamma_number(const struct pf_rng *r, uint64_t *at, double a)
{
    double d = a + 1.0 - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);

    for (;;) {
        double x = pf_rng_normal(r, (*at)++);
        double u = 1.0 - pf_rng_double(r, (*at)++); /* (0, 1] */
        double v = 1.0 + c * x;

        if (v <= 0.0)
            continue;
        v = v * v * v;
        if (pf_ln(u) < 0.5 * x * x + d - d * v + d * pf_ln(v)) {
            u = 1.0 - pf_rng_double(r, (*at)++);
            return pf_ln(d * v) + pf_ln(u) / a;
        }
    }
}

/* p[0..n) ~ Dirichlet(a, ..., a), scaled so that the largest is 1. */
static void dirichlet(const struct job *j, uint32_t client, uint32_t n,
                      double *p)
{
    struct pf_rng r = stream(j, STREAM_CLIENT + client);
    double largest = -HUGE_VAL;
    uint64_t at = 0;

    for (uint32_t c = 0; c < n; c++) {
        p[c] = log_gamma_number(&r, &at, j->parameter);
        if (p[c] > largest)
            largest = p[c];
    }
    for (uint32_t c = 0; c < n; c++)
        p[c] = pf_exp(p[c] - largest);
}

/* A class drawn by the client's proportions among those with examples left;
 * when it wants none of these, by what is left. u is uniform in [0, 1). */
static uint32_t pick_class(const double *p, const uint32_t *left, uint32_t n,
                           double u)
{
    double sum = 0.0, count = 0.0, total;
    uint32_t last = 0;

    for (uint32_t c = 0; c < n; c++) {
        sum += left[c] ? p[c] : 0.0;
        count += left[c];
    }
    total = u * (sum > 0.0 ? sum : count);
    for (uint32_t c = 0; c < n; c++) {
        double w = sum > 0.0 ? p[c] : (double)left[c];

        if (left[c] == 0 || w <= 0.0)
            continue;
        last = c;
        total -= w;
        if (total < 0.0)
            break;
    }
    return last;
}

/* Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution
 * for Federated Visual Classification", 2019: each client has its own label
 * proportions, drawn from a symmetric Dirichlet distribution, and equally many
 * examples, drawn by them without replacement.  Clients take turns, one
 * example each, so that no client is left with what the others did not want. */
static enum pocketfed_status make_dirichlet(const struct job *j,
                                            struct pf_error *err)
{
    uint32_t begin[N_LABELS + 1], next[N_LABELS], left[N_LABELS];
    uint32_t n_classes = 0, most;
    uint32_t *sorted = malloc(j->n * sizeof *sorted);
    struct pf_rng picks = stream(j, STREAM_PICKS);
    enum pocketfed_status st = POCKETFED_NO_MEMORY;
    double *p = NULL;
    uint64_t at = 0;
    size_t size;

    (void)err;
    if (!sorted)
        goto out;
    st = sort_by_label(j, sorted, begin);
    if (st != POCKETFED_OK)
        goto out;
    for (uint32_t c = 0; c < N_LABELS; c++) { /* only labels that occur */
        if (begin[c + 1] == begin[c])
            continue;
        next[n_classes] = begin[c];
        left[n_classes++] = begin[c + 1] - begin[c];
    }
    st = POCKETFED_NO_MEMORY;
    if (!pf_mul_size(j->n_clients, n_classes * sizeof *p, &size))
        goto out;
    p = malloc(size);
    if (!p)
        goto out;
    for (uint32_t k = 0; k < j->n_clients; k++)
        dirichlet(j, k, n_classes, p + (size_t)k * n_classes);

    most = j->n / j->n_clients + (j->n % j->n_clients != 0);
    for (uint32_t turn = 0; turn < most; turn++) {
        for (uint32_t k = 0; k < j->n_clients; k++) {
            uint32_t c;

            if (turn >= j->start[k + 1] - j->start[k])
                continue;
            c = pick_class(p + (size_t)k * n_classes, left, n_classes,
                           pf_rng_double(&picks, at++));
            j->index[j->start[k] + turn] = sorted[next[c]++];
            left[c]--;
        }
    }
    st = POCKETFED_OK;
out:
    free(p);
    free(sorted);
    return st;
}

/* To add a scheme: one function above, one row here, one form below. */
static const struct scheme {
    const char *name;
    int has_parameter, whole;
    double min, max; /* of the parameter */
    enum pocketfed_status (*make)(const struct job *j, struct pf_error *err);
} schemes[] = {
    {"iid", 0, 0, 0, 0, make_iid},
    {"shards", 1, 1, 1, 1000, make_shards},
    {"dirichlet", 1, 0, 1e-3, 1e6, make_dirichlet},
};

const char *pf_partition_forms(void)
{
    return "iid|shards:K|dirichlet:A";
}

static const struct scheme *find_scheme(const char *text, double *parameter,
                                        struct pf_error *err)
{
    const char *colon = strchr(text, ':');
    size_t name_len = colon ? (size_t)(colon - text) : strlen(text);
    const struct scheme *s = NULL;
    uint64_t whole;
    int ok;

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strlen(schemes[i].name) == name_len &&
            memcmp(schemes[i].name, text, name_len) == 0)
            s = &schemes[i];
    if (!s || s->has_parameter != (colon != NULL)) {
        (void)pf_fail(err, POCKETFED_CONFIG,
                      "\"%.64s\" is no way to partition examples", text);
        pf_hint(err, "use one of %s, e.g. shards:2 or dirichlet:0.5",
                pf_partition_forms());
        return NULL;
    }
    if (!colon)
        return s;
    ok = pf_parse_double(colon + 1, strlen(colon + 1), parameter) &&
         *parameter >= s->min && *parameter <= s->max;
    if (ok && s->whole)
        ok = pf_parse_u64(colon + 1, strlen(colon + 1), (uint64_t)s->min,
                          (uint64_t)s->max, &whole);
    if (ok)
        return s;
    (void)pf_fail(err, POCKETFED_CONFIG,
                  "\"%.64s\": %s takes a %s from %g to %g", text, s->name,
                  s->whole ? "whole number" : "number", s->min, s->max);
    pf_hint(err, "use one of %s, e.g. shards:2 or dirichlet:0.5",
            pf_partition_forms());
    return NULL;
}

enum pocketfed_status pf_partition_make(const char *text, const uint8_t *labels,
                                        uint32_t n, uint32_t n_clients,
                                        uint64_t seed, struct pf_partition *out,
                                        struct pf_error *err)
{
    enum pocketfed_status st;
    struct job j = {labels, n, n_clients, seed, 0.0, NULL, NULL};
    const struct scheme *s = find_scheme(text, &j.parameter, err);

    if (!s)
        return POCKETFED_CONFIG;
    if (n_clients == 0 || n_clients > n)
        return pf_fail(err, POCKETFED_CONFIG,
                       "%" PRIu32 " examples cannot be shared among %" PRIu32
                       " clients: each needs at least one",
                       n, n_clients);
    if (!labels && s->make != make_iid)
        return pf_fail(err, POCKETFED_INVALID, "%s needs labels", s->name);

    j.index = malloc(n * sizeof *j.index);
    j.start = malloc(((size_t)n_clients + 1) * sizeof *j.start);
    if (!j.index || !j.start) {
        st = POCKETFED_NO_MEMORY;
    } else {
        for (uint32_t k = 0; k < n_clients; k++)
            j.start[k] = cut(n, n_clients, k);
        j.start[n_clients] = n;
        st = s->make(&j, err);
    }
    if (st == POCKETFED_OK) {
        out->n_clients = n_clients;
        out->n_examples = n;
        out->index = j.index;
        out->start = j.start;
        return POCKETFED_OK;
    }
    free(j.index);
    free(j.start);
    if (st == POCKETFED_NO_MEMORY)
        (void)pf_fail(err, st,
                      "no memory to share %" PRIu32 " examples among %" PRIu32
                      " clients",
                      n, n_clients);
    return st;
}

void pf_partition_free(struct pf_partition *p)
{
    free(p->index);
    free(p->start);
    memset(p, 0, sizeof *p);
}
