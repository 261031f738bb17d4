#include "coordinator_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "seal.h"
#include "text.h"

/* The start: records through the same apply, then everything that no record
 * names is swept, then what was under way goes on. */

/* ---- replay ------------------------------------------------------------ */

static enum pocketfed_status
load_task(void *ctx, const struct pf_store_task *stored, struct pf_error *err)
{
    struct pf_coordinator *c = ctx;
    struct pf_live_task *t = NULL;
    struct pf_error inner = {0};
    enum pocketfed_status st;
    uint64_t n = 0;

    st = pf_live_task_load(c->config.objects, stored, &t, &inner);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "task %s cannot be loaded: %s", stored->name,
                inner.text);
        pf_hint(err, "%s", inner.hint);
        return st;
    }
    if (c->last_task)
        c->last_task->next = t;
    else
        c->tasks = t;
    c->last_task = t;
    st = pf_store_n_devices(c->config.store, t->stored.id, &n, err);
    atomic_store(&t->devices, n);
    return st;
}

static enum pocketfed_status load_record(void *ctx, int64_t task,
                                         const struct pf_record *rec,
                                         struct pf_error *err)
{
    struct pf_coordinator *c = ctx;
    struct pf_live_task *t = c->last_task; /* they follow their task */
    struct pf_open_round *o;

    (void)task;
    pf_round_apply(t->round, rec);
    if (rec->kind == PF_REC_ASSIGNED)
        t->seen_device = 1;
    else if (rec->kind == PF_REC_ACCEPTED)
        t->seen_update = 1;
    if (rec->kind == PF_REC_PUBLISHED || rec->kind == PF_REC_ABANDONED) {
        o = pf_open_find(c, t, rec->round);
        if (o)
            pf_open_drop(c, o);
    }
    return pf_open_note(c, t, rec, err);
}

/* ---- sweep ------------------------------------------------------------- */

struct digests {
    uint8_t (*list)[32];
    size_t n, room;
    int failed;
};

static void collect(void *ctx, const uint8_t digest[32])
{
    struct digests *d = ctx;
    size_t room;
    void *p;

    if (d->n == d->room && !d->failed) {
        room = d->room ? 2 * d->room : 64;
        p = realloc(d->list, room * sizeof *d->list);
        if (p) {
            d->list = p;
            d->room = room;
        } else {
            d->failed = 1;
        }
    }
    if (!d->failed)
        memcpy(d->list[d->n++], digest, 32);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static int is_needed(void *ctx, const uint8_t digest[32])
{
    const struct digests *d = ctx;

    return d->n > 0 && bsearch(digest, d->list, d->n, 32, compare) != NULL;
}

/* Open, closing, or ended and kept for a while. */
static int is_wanted(void *ctx, int64_t task, uint64_t round)
{
    const struct pf_coordinator *c = ctx;
    const struct pf_open_round *o;
    const struct pf_live_task *t;

    for (o = c->open; o; o = o->next)
        if (o->task->stored.id == task && o->round == round)
            return 1;
    for (t = c->tasks; t; t = t->next)
        if (t->stored.id == task)
            return pf_keeps_updates(t, round);
    return 0;
}

static enum pocketfed_status sweep(struct pf_coordinator *c,
                                   struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_live_task *t;
    struct digests d = {0};

    for (t = c->tasks; t && st == POCKETFED_OK; t = t->next)
        st = pf_store_needed(c->config.store, t->stored.id, pf_live_keep(t),
                             collect, &d, err);
    if (st == POCKETFED_OK && d.failed)
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory to list objects");
    if (st == POCKETFED_OK && d.n > 0)
        qsort(d.list, d.n, 32, compare);
    if (st == POCKETFED_OK)
        st = pf_objects_sweep(c->config.objects, is_needed, &d, err);
    if (st == POCKETFED_OK)
        st = pf_segment_sweep(c->config.state_dir, is_wanted, c, err);
    free(d.list);
    return st;
}

/* ---- going on ---------------------------------------------------------- */

struct again {
    const struct pf_open_round *o;
    enum pocketfed_status status; /* of the first that is not there */
    struct pf_error *err;
};

/* Are the bytes those that were acknowledged? */
static enum pocketfed_status check_bytes(const struct pf_open_round *o,
                                         const struct pf_effect *fold,
                                         struct pf_error *err)
{
    char id[2 * PF_DEVICE_LEN + 1];
    struct pf_error inner = {0};
    enum pocketfed_status st;
    const uint8_t *bytes;
    uint8_t digest[32];

    st = pf_segment_map(o->segment, &fold->u.fold.extent, &bytes, &inner);
    if (st == POCKETFED_OK) {
        pf_sha256(bytes, (size_t)fold->u.fold.extent.length, digest);
        pf_segment_unmap(o->segment, bytes, &fold->u.fold.extent);
        if (memcmp(digest, fold->u.fold.digest, sizeof digest) == 0)
            return POCKETFED_OK;
        st = pf_fail(&inner, POCKETFED_PROOF, "its bytes have changed");
    }
    pf_hex(fold->u.fold.device.id, PF_DEVICE_LEN, id);
    pf_fail(err, st,
            "task %s round %" PRIu64 ": the acknowledged update of device %s "
            "is lost: %s",
            o->task->stored.name, o->round, id, inner.text);
    pf_hint(err, "put the files under journal/ back as they were when "
                 "pocketfedd stopped");
    return st;
}

static void fold_again(void *ctx, uint64_t round, const struct pf_effect *fold)
{
    struct again *a = ctx;

    if (a->o->round != round || a->status != POCKETFED_OK)
        return;
    pf_segment_keep(a->o->segment, &fold->u.fold.extent);
    a->status = check_bytes(a->o, fold, a->err);
    if (a->status == POCKETFED_OK)
        pf_fold_add(a->o->fold, &fold->u.fold.extent, fold->u.fold.weight,
                    fold->u.fold.factor);
}

/* Without its base the round would never end, and its devices ask for ever. */
static enum pocketfed_status check_base(struct pf_coordinator *c,
                                        const struct pf_open_round *o,
                                        struct pf_error *err)
{
    struct pf_object *base = NULL;
    struct pf_error inner = {0};
    enum pocketfed_status st;

    st = pf_objects_get(c->config.objects, o->base, &base, &inner);
    pf_object_release(base);
    if (st == POCKETFED_OK)
        return POCKETFED_OK;
    pf_fail(err, st, "task %s round %" PRIu64 " has lost its base model: %s",
            o->task->stored.name, o->round, inner.text);
    pf_hint(err, "restore this file from a backup");
    return st;
}

/* Every update that was acknowledged must be there before anything else. */
static enum pocketfed_status reopen(struct pf_coordinator *c,
                                    struct pf_error *err)
{
    struct again a = {NULL, POCKETFED_OK, err};
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_open_round *o;

    for (o = c->open; o && st == POCKETFED_OK; o = o->next) {
        st = pf_open_start(c, o, err);
        if (st == POCKETFED_OK)
            st = check_base(c, o, err);
        if (st != POCKETFED_OK)
            break;
        a.o = o;
        pf_round_folds(o->task->round, fold_again, &a);
        if (a.status != POCKETFED_OK)
            return a.status;
        pf_log(c->config.log, PF_LOG_INFO,
               "round resumed task=%s round=%" PRIu64, o->task->stored.name,
               o->round);
    }
    return st;
}

enum pocketfed_status pf_coordinator_load(struct pf_coordinator *c,
                                          struct pf_error *err)
{
    const struct pf_store_visitor visitor = {c, load_task, load_record};
    struct pf_event resume = {0};
    enum pocketfed_status st;
    struct pf_live_task *t;

    st = pf_store_load(c->config.store, &visitor, err);
    if (st == POCKETFED_OK)
        st = sweep(c, err);
    if (st == POCKETFED_OK)
        st = pf_store_clock(c->config.store, &c->clock_base, err);
    c->clock_start = pf_monotonic_ms();
    c->clock_kept = c->clock_base - PF_CLOCK_MS;
    if (st == POCKETFED_OK)
        st = reopen(c, err);
    for (t = c->tasks; t && st == POCKETFED_OK; t = t->next)
        st = pf_seal_plan(c->config.store, c->config.record_key, t, err);
    resume.kind = PF_EV_RESUME;
    for (t = c->tasks; t && st == POCKETFED_OK; t = t->next)
        pf_coordinator_deliver(c, t, &resume);
    return st;
}
