#include "verify_inside.h"

#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "bytes.h"

static struct tally *find(struct history *h, uint64_t round)
{
    int i;

    for (i = 0; i < 2; i++)
        if (round != 0 && h->tally[i].round == round)
            return &h->tally[i];
    return NULL;
}

static enum pocketfed_status opened(struct history *h,
                                    const struct pf_record *r)
{
    struct tally *t = h->tally[0].round ? &h->tally[1] : &h->tally[0];

    if (r->round != h->round + 1)
        return verify_wrong(h, "round %llu was opened after it",
                            (unsigned long long)r->round);
    if (h->round != 0 && find(h, h->round) &&
        (h->task.round.policy == PF_POLICY_SYNC || t->round ||
         !find(h, h->round)->closed))
        return verify_wrong(h, "the next round was opened before its end");
    h->round = r->round;
    h->out->rounds++;
    t->round = r->round;
    t->closed = 0;
    t->n = 0;
    pf_sum_clear(&t->sum);
    if (memcmp(r->u.opened.base, verify_newest(h), 32) != 0)
        return verify_wrong(h, "it does not start from the newest model");
    return POCKETFED_OK;
}

/* ---- updates ----------------------------------------------------------- */

static enum pocketfed_status tick_off(struct history *h,
                                      const struct pf_record *r)
{
    const struct pf_accepted *is = &r->u.accepted;
    const struct pf_ack *a;
    size_t i;

    for (i = 0; i < h->book->n_acks; i++) {
        a = &h->book->acks[i];
        if (a->round != is->assigned || strcmp(a->task, h->task.name) != 0 ||
            memcmp(a->device, r->device.id, PF_DEVICE_LEN) != 0)
            continue;
        if (h->seen[i]++)
            return verify_wrong(h, "an acknowledged update is counted twice");
        if (memcmp(a->digest, is->digest, 32) != 0 ||
            memcmp(a->base, is->base, 32) != 0 ||
            memcmp(a->plan, h->plan_digest, 32) != 0 ||
            a->counted != r->round || a->examples != is->admitted.examples ||
            a->weight != is->admitted.weight)
            return verify_wrong(h, "a record is not what was acknowledged");
    }
    return POCKETFED_OK;
}

/* Models between the one it was trained from and the one its round makes; of
 * all that a record says of an update this is what its frame does not say. */
static int has_right_base(const struct history *h, const struct pf_accepted *a)
{
    size_t made = h->n_models + (h->tally[0].round && h->tally[1].round);
    size_t i;

    for (i = h->n_models; i > 0; i--)
        if (memcmp(h->models[i - 1], a->base, 32) == 0)
            return a->staleness == made - i;
    return 0;
}

static enum pocketfed_status accepted(struct history *h,
                                      const struct pf_record *r)
{
    const struct pf_accepted *a = &r->u.accepted;
    const struct book_frame *f = book_find(h->book, a->digest);
    struct tally *t = find(h, r->round);
    float scratch[PF_ADMIT_BLOCK];
    struct one *one;
    size_t i;

    if (!t || t->closed)
        return verify_wrong(h, "an update was counted in a round not open");
    if (!f)
        return verify_wrong(h, "an update is counted that nobody made");
    for (i = 0; i < t->n; i++)
        if (memcmp(t->ones[i].device, r->device.id, PF_DEVICE_LEN) == 0 &&
            t->ones[i].assigned == a->assigned)
            return verify_wrong(h, "a device is counted twice");
    for (i = 0; i < h->n_counted; i++)
        if (memcmp(h->counted[i], f->digest, 32) == 0)
            return verify_wrong(h, "an update is counted twice");
    if (!has_right_base(h, a))
        return verify_wrong(h, "an update is older than its record says");
    t->ones = verify_grown(t->ones, &t->room, t->n, sizeof *t->ones);
    one = &t->ones[t->n++];
    memcpy(one->device, r->device.id, PF_DEVICE_LEN);
    memcpy(one->digest, f->digest, 32);
    one->assigned = a->assigned;
    one->weight = a->admitted.weight;
    one->staleness = a->staleness;
    one->extent = a->extent;
    h->counted = verify_grown(h->counted, &h->counted_room, h->n_counted,
                              sizeof *h->counted);
    memcpy(h->counted[h->n_counted++], f->digest, 32);
    h->out->accepted++;
    if (pf_sum_fold(&t->sum, &h->plan, f->bytes, f->len, a->admitted.weight,
                    pf_staleness_factor(a->staleness), scratch))
        return verify_wrong(h, "an update is counted that cannot be added");
    return tick_off(h, r);
}

/* ---- models ------------------------------------------------------------ */

/* The digest of the strategy's state as an object: little-endian floats. */
static void digest_state(const struct history *h, uint8_t out[32])
{
    uint8_t *bytes = malloc(4 * h->n_strategy_state + 1);
    size_t i;

    if (!bytes)
        abort();
    memset(out, 0, 32);
    for (i = 0; i < h->n_strategy_state; i++)
        pf_putf(bytes + 4 * i, h->strategy_state[i]);
    if (h->n_strategy_state > 0)
        pf_sha256(bytes, 4 * h->n_strategy_state, out);
    free(bytes);
}

/* What the mean is divided by: the weights, or what is left of them after the
 * discount, the least stale first. */
static double divisor(const struct history *h, const struct tally *t)
{
    double sum = 0;
    uint64_t weight;
    uint32_t s;
    size_t i;

    if (h->task.round.policy == PF_POLICY_SYNC || !h->task.round.discounted)
        return 0;
    for (s = 0; s <= h->task.round.max_staleness; s++) {
        for (i = 0, weight = 0; i < t->n; i++)
            if (t->ones[i].staleness == s)
                weight += t->ones[i].weight;
        sum += (double)weight * pf_staleness_factor(s);
    }
    return sum;
}

static enum pocketfed_status published(struct history *h,
                                       const struct pf_record *r)
{
    struct tally *t = find(h, r->round);
    struct pf_error err = {0};
    uint8_t digest[32], state[32];
    struct pf_buf next;
    enum pocketfed_status st;

    if (!t || !t->closed)
        return verify_wrong(h, "it was published without having been closed");
    if (r->u.published.accepted != t->n ||
        r->u.published.weight != t->sum.weight)
        return verify_wrong(h, "%llu updates were published, %zu are recorded",
                            (unsigned long long)r->u.published.accepted, t->n);
    t->sum.divisor = divisor(h, t);
    pf_buf_init(&next, PF_MAX_MODEL_FILE);
    st = pf_publish(&h->task, h->model, t->round, h->plan_digest,
                    h->newest.data, h->newest.len, verify_newest(h), &t->sum,
                    h->n_strategy_state ? h->strategy_state : NULL, &next,
                    digest, &err);
    if (st != POCKETFED_OK)
        return verify_wrong(h, "no model: %s", err.text);
    digest_state(h, state);
    if (memcmp(digest, r->u.published.model, 32) != 0 ||
        memcmp(state, r->u.published.state, 32) != 0) {
        pf_buf_free(&next);
        return verify_wrong(h,
                            "the model is not what an undisturbed run makes");
    }
    pf_buf_free(&h->newest);
    h->newest = next;
    verify_add_model(h, digest);
    t->round = 0;
    h->out->published++;
    return POCKETFED_OK;
}

enum pocketfed_status verify_record(void *history, int64_t task,
                                    const struct pf_record *r,
                                    struct pf_error *err)
{
    struct history *h = history;
    struct tally *t = find(h, r->round);

    (void)task;
    (void)err;
    switch (r->kind) {
    case PF_REC_OPENED:
        return opened(h, r);
    case PF_REC_ACCEPTED:
        return accepted(h, r);
    case PF_REC_CLOSED:
        if (!t)
            return verify_wrong(h, "it was closed without having been open");
        t->closed = 1;
        return POCKETFED_OK;
    case PF_REC_PUBLISHED:
        return published(h, r);
    case PF_REC_ABANDONED:
        return verify_wrong(h, "it was abandoned: %s", r->u.abandoned.reason);
    default:
        return POCKETFED_OK;
    }
}
