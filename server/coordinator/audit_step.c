#include "audit_int.h"

#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "blob.h"
#include "bytes.h"
#include "publish.h"

/* ---- the sum, from the updates ------------------------------------------- */

/* One update: the acknowledged bytes, admitted as they were, added. */
static enum pocketfed_status
add_update(struct pf_auditing *d, const struct pf_audit_update *u,
           struct pf_segment *segment, struct pf_sum *sum, struct pf_error *err)
{
    const struct pf_accepted *a = &u->accepted;
    struct pf_admitted again = {0};
    struct pf_problem why = {0};
    struct pf_expected want;
    struct pf_error inner = {0};
    enum pocketfed_status st;
    const uint8_t *frame;
    uint8_t digest[32];

    if (pf_segment_map(segment, &a->extent, &frame, &inner) != POCKETFED_OK) {
        pf_audit_differs(d, u->round, "a kept update cannot be read: %s",
                         inner.text);
        return POCKETFED_OK;
    }
    pf_sha256(frame, (size_t)a->extent.length, digest);
    pf_live_expected(d->t, a->assigned, a->base, &want);
    st = POCKETFED_OK;
    if (memcmp(digest, a->digest, 32) != 0)
        pf_audit_differs(d, u->round,
                         "the update of device %llu does not have the digest "
                         "that was acknowledged",
                         (unsigned long long)u->device.ordinal);
    else if (pf_admit(&want, frame, (size_t)a->extent.length, d->scratch,
                      &again, &why) != POCKETFED_OK ||
             again.weight != a->admitted.weight ||
             again.saturated != a->admitted.saturated)
        pf_audit_differs(d, u->round,
                         "the update of device %llu is not admitted as it was",
                         (unsigned long long)u->device.ordinal);
    else
        st = pf_sum_fold(sum, &d->t->plan, frame, (size_t)a->extent.length,
                         a->admitted.weight, pf_staleness_factor(a->staleness),
                         d->scratch);
    if (st != POCKETFED_OK)
        pf_fail(err, st, "an update cannot be added");
    pf_segment_unmap(segment, frame, &a->extent);
    return st;
}

static enum pocketfed_status sum_updates(struct pf_auditing *d, uint64_t round,
                                         struct pf_sum *sum,
                                         struct pf_error *err)
{
    struct pf_segment *segment = NULL;
    enum pocketfed_status st;
    size_t i;

    st =
        pf_segment_open(d->a->state_dir, d->t->stored.id, round, &segment, err);
    for (i = 0; i < d->n_updates && st == POCKETFED_OK && !d->said.differs; i++)
        if (d->update[i].round == round)
            st = add_update(d, &d->update[i], segment, sum, err);
    pf_segment_unref(segment);
    return st;
}

/* Do the updates give the sums that the record names? */
static enum pocketfed_status check_sums(struct pf_auditing *d, uint64_t round,
                                        const struct pf_sum *sum,
                                        const uint8_t want[32],
                                        struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf bytes;
    uint8_t digest[32];

    pf_buf_init(&bytes, SIZE_MAX / 2);
    st = pf_sum_write(sum, &bytes);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "no memory for the sums");
    } else {
        pf_sha256(bytes.data, bytes.len, digest);
        if (memcmp(digest, want, 32) != 0)
            pf_audit_differs(d, round,
                             "its sums are not what its updates give");
    }
    pf_buf_free(&bytes);
    return st;
}

/* ---- the sum, from the object ---------------------------------------------
 */

/* 1 with the kept sums; 0 when they are gone, or with the difference said. */
static int load_sums(struct pf_auditing *d, uint64_t round,
                     const uint8_t digest[32], struct pf_sum *sum)
{
    struct pf_object *obj = NULL;
    struct pf_error why = {0};
    enum pocketfed_status st;
    int ok = 0;

    st = pf_objects_get(d->objects, digest, &obj, &why);
    if (st == POCKETFED_OK &&
        pf_sum_read(obj->bytes, obj->len, sum) == POCKETFED_OK)
        ok = 1;
    else if (st != POCKETFED_NOT_FOUND)
        pf_audit_differs(d, round, "its kept sums are damaged: %s", why.text);
    pf_object_release(obj);
    return ok;
}

/* ---- the step ---------------------------------------------------------------
 */

static int load_state(struct pf_auditing *d, uint64_t round, float *state,
                      size_t n)
{
    struct pf_object *obj = NULL;
    struct pf_error why = {0};
    int ok = 1;

    if (n == 0 || pf_is_zero(d->state, 32))
        return 1;
    if (pf_objects_get(d->objects, d->state, &obj, &why) != POCKETFED_OK ||
        pf_strategy_state_read(obj->bytes, obj->len, state, n) !=
            POCKETFED_OK) {
        if (why.status != POCKETFED_NOT_FOUND)
            pf_audit_differs(d, round, "the strategy's state is damaged: %s",
                             why.text);
        ok = 0;
    }
    pf_object_release(obj);
    return ok;
}

static enum pocketfed_status compare(struct pf_auditing *d,
                                     const struct pf_record *rec,
                                     const uint8_t model[32],
                                     const float *state, size_t n_state,
                                     struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    uint8_t digest[32] = {0};
    struct pf_buf bytes;

    if (memcmp(model, rec->u.published.model, 32) != 0) {
        pf_audit_differs(d, rec->round,
                         "its model is not what its updates give");
        return POCKETFED_OK;
    }
    pf_buf_init(&bytes, SIZE_MAX / 2);
    if (n_state > 0) {
        st = pf_strategy_state_write(state, n_state, &bytes);
        if (st == POCKETFED_OK)
            pf_sha256(bytes.data, bytes.len, digest);
        else
            pf_fail(err, st, "no memory for a strategy's state");
    }
    pf_buf_free(&bytes);
    if (st == POCKETFED_OK && memcmp(digest, rec->u.published.state, 32) != 0)
        pf_audit_differs(d, rec->round,
                         "its strategy's state is not what its updates give");
    return st;
}

/* base + sum -> the model that should have been published. 0 in *done when
 * base or state are no longer there. */
static enum pocketfed_status take_step(struct pf_auditing *d,
                                       const struct pf_record *rec,
                                       const struct pf_sum *sum, int *done,
                                       struct pf_error *err)
{
    const struct pf_strategy *strategy =
        pf_strategy_find(d->t->task.strategy.name);
    size_t n_state =
        strategy ? strategy->n_state(pf_model_n_params(d->t->model)) : 0;
    float *state = calloc(n_state ? n_state : 1, sizeof *state);
    struct pf_object *base = NULL;
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_buf file;
    uint8_t model[32];

    *done = 0;
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    if (!state) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a state");
        goto out;
    }
    st = pf_objects_get(d->objects, d->model, &base, err);
    if (st == POCKETFED_PROOF)
        pf_audit_differs(d, rec->round, "the model before it is damaged");
    if (st != POCKETFED_OK || !load_state(d, rec->round, state, n_state)) {
        st = POCKETFED_OK;
        goto out;
    }
    st = pf_publish(&d->t->task, d->t->model, rec->round, d->t->stored.plan,
                    base->bytes, base->len, d->model, sum, state, &file, model,
                    err);
    if (st == POCKETFED_OK)
        st = compare(d, rec, model, state, n_state, err);
    *done = 1;
out:
    pf_object_release(base);
    free(state);
    pf_buf_free(&file);
    return st;
}

enum pocketfed_status pf_audit_step(struct pf_auditing *d,
                                    const struct pf_record *rec,
                                    const uint8_t sums[32],
                                    struct pf_error *err)
{
    enum pf_audit_depth depth = PF_AUDIT_RECORD;
    enum pocketfed_status st;
    struct pf_sum sum = {0};
    int done = 0;

    st = pf_sum_init(&sum, pf_model_n_params(d->t->model));
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "no memory for a sum");
    if (pf_segment_there(d->a->state_dir, d->t->stored.id, rec->round)) {
        depth = PF_AUDIT_UPDATES;
        st = sum_updates(d, rec->round, &sum, err);
        sum.divisor = rec->u.published.divisor;
        if (st == POCKETFED_OK && !d->said.differs)
            st = check_sums(d, rec->round, &sum, sums, err);
    } else if (load_sums(d, rec->round, sums, &sum)) {
        depth = PF_AUDIT_SUMS;
    }
    if (st == POCKETFED_OK && !d->said.differs && depth != PF_AUDIT_RECORD)
        st = take_step(d, rec, &sum, &done, err);
    if (st == POCKETFED_OK && !d->said.differs)
        d->said.rounds[done ? depth : PF_AUDIT_RECORD]++;
    pf_sum_free(&sum);
    return st;
}
