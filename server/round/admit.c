#include "admit.h"

#include <math.h>
#include <string.h>
#include "codec.h"
#include "coords.h"
#include "sum.h"

#define NORM_SLACK 1e-3 /* clients clip in float */
#define MAX_LOSS   1e9  /* a report beyond it is none: it would spoil means */

/* What costs no look at the numbers. */
static enum pocketfed_status check_head(const struct pf_expected *want,
                                        const struct pf_update *u,
                                        struct pf_problem *why)
{
    const struct pf_plan_update *p = &want->plan->update;

    if (strcmp(u->task, want->plan->task) != 0) {
        pf_problem_set(why, PF_PROBLEM_NOT_ASSIGNED,
                       "the update is for task %s, not %s", u->task,
                       want->plan->task);
        return POCKETFED_REFUSED;
    }
    if (u->round != want->round) {
        pf_problem_set(why, PF_PROBLEM_NOT_ASSIGNED,
                       "the update is for round %llu, not %llu",
                       (unsigned long long)u->round,
                       (unsigned long long)want->round);
        return POCKETFED_REFUSED;
    }
    if (memcmp(u->plan, want->plan_digest, sizeof u->plan) != 0) {
        pf_problem_set(why, PF_PROBLEM_LAYOUT,
                       "the update was made by another plan");
        return POCKETFED_REFUSED;
    }
    if (memcmp(u->base, want->base, sizeof u->base) != 0) {
        pf_problem_set(why, PF_PROBLEM_LAYOUT,
                       "the update started from another model");
        return POCKETFED_REFUSED;
    }
    if (memcmp(u->layout, want->layout, sizeof u->layout) != 0) {
        pf_problem_set(why, PF_PROBLEM_LAYOUT,
                       "the update's tensors are not the model's");
        return POCKETFED_REFUSED;
    }
    if (u->examples < p->min_examples || u->examples > p->max_examples) {
        pf_problem_set(why, PF_PROBLEM_EXAMPLES,
                       "%llu examples; the plan wants %llu to %llu",
                       (unsigned long long)u->examples,
                       (unsigned long long)p->min_examples,
                       (unsigned long long)p->max_examples);
        return POCKETFED_REFUSED;
    }
    return POCKETFED_OK;
}

static enum pocketfed_status check_section(const struct pf_expected *want,
                                           const struct pf_update *u,
                                           const struct pf_codec *codec,
                                           struct pf_problem *why)
{
    const struct pf_section *sec = &u->sections[0];
    unsigned i;

    for (i = 0; i < u->n_sections; i++)
        if (i > 0 || u->sections[i].kind != PF_SECTION_DELTA ||
            u->sections[i].tensor_set != 0) {
            pf_problem_set(why, PF_PROBLEM_SECTION_UNKNOWN,
                           "section %u of kind %u, tensor set %u; this task "
                           "uses one delta of all tensors",
                           i, u->sections[i].kind, u->sections[i].tensor_set);
            return POCKETFED_REFUSED;
        }
    if (!codec || sec->codec != codec->id) {
        pf_problem_set(why, PF_PROBLEM_CODEC_UNKNOWN,
                       "codec number %u; the plan's is %s", sec->codec,
                       want->plan->update.codec);
        return POCKETFED_REFUSED;
    }
    if (sec->count != want->n_params) {
        pf_problem_set(why, PF_PROBLEM_LAYOUT,
                       "%llu coordinates; the model has %zu",
                       (unsigned long long)sec->count, want->n_params);
        return POCKETFED_REFUSED;
    }
    return POCKETFED_OK;
}

static enum pocketfed_status
check_numbers(const struct pf_expected *want, const struct pf_section *sec,
              const struct pf_codec *codec, float *scratch,
              struct pf_admitted *a, struct pf_problem *why)
{
    const struct pf_plan_update *p = &want->plan->update;
    size_t dim = want->n_params, first, n;
    double sum = 0, part;
    const float *x;

    for (first = 0; first < dim; first += n) {
        n = dim - first < PF_ADMIT_BLOCK ? dim - first : PF_ADMIT_BLOCK;
        x = pf_codec_read(codec, sec->bytes, sec->len, dim, first, n, scratch);
        if (!x) {
            pf_problem_set(why, PF_PROBLEM_MALFORMED,
                           "%zu bytes are no %s of %zu coordinates", sec->len,
                           codec->name, dim);
            return POCKETFED_REFUSED;
        }
        part = pf_coords()->squares(x, n);
        if (!isfinite(part)) {
            pf_problem_set(why, PF_PROBLEM_NON_FINITE,
                           "a NaN or an infinity among coordinates %zu to %zu",
                           first, first + n - 1);
            return POCKETFED_REFUSED;
        }
        sum += part;
        a->saturated += pf_sum_saturated(p, x, n);
    }
    a->norm = sqrt(sum);
    if (a->norm > p->max_norm * (1 + NORM_SLACK)) {
        pf_problem_set(why, PF_PROBLEM_NORM,
                       "the update's norm is %g; the plan allows %g", a->norm,
                       p->max_norm);
        return POCKETFED_REFUSED;
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_admit(const struct pf_expected *want,
                               const uint8_t *frame, size_t len, float *scratch,
                               struct pf_admitted *out, struct pf_problem *why)
{
    const struct pf_codec *codec = pf_codec_find(want->plan->update.codec);
    enum pocketfed_status st;
    struct pf_admitted a;
    struct pf_update u;
    struct pf_error err;

    st = pf_update_parse(frame, len, &u, &err);
    if (st) {
        pf_problem_set(why,
                       st == POCKETFED_LIMIT ? PF_PROBLEM_TOO_LARGE
                                             : PF_PROBLEM_MALFORMED,
                       "%s", err.text);
        return POCKETFED_REFUSED;
    }
    memset(&a, 0, sizeof a);
    st = check_head(want, &u, why);
    if (!st)
        st = check_section(want, &u, codec, why);
    if (!st)
        st = check_numbers(want, &u.sections[0], codec, scratch, &a, why);
    if (st)
        return st;
    a.examples = u.examples;
    a.weight = want->plan->update.weight == PF_WEIGHT_UNIFORM ? 1 : u.examples;
    a.train_loss = pf_update_metric(&u, "train_loss", -1);
    if (!(a.train_loss >= 0 && a.train_loss <= MAX_LOSS))
        a.train_loss = -1;
    *out = a;
    return POCKETFED_OK;
}
