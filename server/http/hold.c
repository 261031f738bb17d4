#include "hold.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"

#define EXCHANGE_OF(holder)                                                    \
    ((struct pf_exchange *)(void *)((char *)(holder)-offsetof(                 \
        struct pf_exchange, ingest.hold)))

void pf_hold_drop_place(struct pf_exchange *ex)
{
    if (atomic_exchange(&ex->ingest.has_place, 0))
        pf_coordinator_unreserve(ex->edge->coordinator);
}

void pf_hold_key(const struct pf_exchange *ex, struct pf_partial_key *out)
{
    out->task = ex->task;
    out->round = ex->args.round;
    memcpy(out->device, ex->device.id, sizeof out->device);
}

/* What has come so far, if a PATCH can use it. */
static void give_up_bytes(struct pf_exchange *ex, struct pf_kept *out)
{
    struct pf_ingest *in = &ex->ingest;

    if (!in->has_extent || in->failed.status != POCKETFED_OK ||
        in->received >= in->length ||
        pf_pen_flush(&in->pen, in->segment, &in->failed) != POCKETFED_OK)
        return;
    out->segment = in->segment;
    out->extent = in->extent;
    out->segment_round = in->segment_round;
    out->hash = in->hash;
    out->received = in->received;
    memcpy(out->digest, ex->digest, sizeof out->digest);
    in->segment = NULL;
    in->hash = NULL;
    in->has_extent = 0;
}

static void take_bytes(struct pf_exchange *ex, struct pf_kept *kept)
{
    struct pf_ingest *in = &ex->ingest;

    in->segment = kept->segment;
    in->extent = kept->extent;
    in->segment_round = kept->segment_round;
    in->hash = kept->hash;
    in->received = kept->received;
    in->has_extent = 1;
    memset(kept, 0, sizeof *kept);
}

void pf_hold_count(struct pf_exchange *ex)
{
    struct pf_ingest *in = &ex->ingest;

    if (in->came == 0)
        return;
    atomic_fetch_add(&ex->task->bytes_up, in->came);
    pf_count(ex->edge->metrics, PF_COUNT_UPLOAD_BYTES, in->came);
    in->came = 0;
}

void pf_hold_lost(struct pf_exchange *ex)
{
    if (ex->ingest.reading)
        pf_count(ex->edge->metrics, PF_COUNT_UPLOADS_LOST, 1);
    ex->ingest.reading = 0;
    pf_hold_count(ex);
}

/* A newer request has the upload now. */
static void yield(struct pf_holder *self, struct pf_kept *out)
{
    struct pf_exchange *ex = EXCHANGE_OF(self);

    give_up_bytes(ex, out);
    pf_hold_lost(ex);
    pf_hold_drop_place(ex);
    pf_inflight_leave(ex->edge->inflight, &ex->ingest.entry);
    if (ex->hang_up)
        ex->hang_up(ex);
}

void pf_hold_let_go(struct pf_exchange *ex, int keep)
{
    struct pf_partials *t = ex->edge->partials;
    struct pf_kept kept = {0};

    if (!ex->ingest.hold.yield || /* never took one */
        !pf_partials_begin(t, &ex->ingest.hold))
        return;
    if (keep)
        give_up_bytes(ex, &kept);
    pf_partials_leave(t, &ex->ingest.hold, &kept, pf_monotonic_s());
}

/* Do the kept bytes end where the PATCH begins? *offset: where they do, when
 * they are of this frame. */
static void check_fit(const struct pf_exchange *ex, const struct pf_kept *kept,
                      struct pf_problem *why, uint64_t *offset)
{
    const struct pf_ingest *in = &ex->ingest;

    if (!kept->segment) {
        pf_problem_set(why, PF_PROBLEM_UPLOAD_UNKNOWN, "send the update whole");
    } else if (memcmp(kept->digest, ex->digest, sizeof kept->digest) != 0) {
        pf_problem_set(why, PF_PROBLEM_UPLOAD_MISMATCH,
                       "the beginning of another update is kept here");
    } else if (kept->received != in->offset ||
               kept->extent.length != in->length) {
        pf_problem_set(why, PF_PROBLEM_UPLOAD_MISMATCH,
                       "the first %" PRIu64 " of %" PRIu64
                       " bytes are kept here; the request goes on at %" PRIu64
                       " of %" PRIu64,
                       kept->received, kept->extent.length, in->offset,
                       in->length);
        *offset = kept->received;
    }
}

int pf_hold_take(struct pf_exchange *ex, struct pf_problem *why,
                 uint64_t *offset)
{
    struct pf_partials *t = ex->edge->partials;
    struct pf_holder *me = &ex->ingest.hold;
    struct pf_partial_key key;
    struct pf_kept kept;

    pf_hold_key(ex, &key);
    me->yield = yield;
    if (pf_partials_take(t, &key, me, &kept) != POCKETFED_OK) {
        pf_problem_set(why, PF_PROBLEM_BUSY, "no memory for an upload");
        return 0;
    }
    if (ex->call->id == PF_CALL_UPDATE) { /* anew */
        pf_kept_free(&kept);
        return 1;
    }
    check_fit(ex, &kept, why, offset);
    if (why->id != PF_PROBLEM_NONE) {
        pf_partials_leave(t, me, &kept, pf_monotonic_s());
        return 0;
    }
    take_bytes(ex, &kept);
    return 1;
}
