#include "ingest.h"

#include <inttypes.h>
#include <string.h>

#include "admit.h"
#include "codec.h"
#include "hold.h"
#include "statement.h"
#include "update.h"

static void drop_extent(struct pf_exchange *ex)
{
    if (ex->ingest.has_extent)
        pf_segment_release(ex->ingest.segment, &ex->ingest.extent);
    ex->ingest.has_extent = 0;
}

static enum pf_next taken_over(struct pf_exchange *ex)
{
    pf_reply_refuse(ex, PF_PROBLEM_BUSY,
                    "a newer request of this device took the upload over");
    ex->reply.close = 1;
    return PF_NEXT_REPLY;
}

void pf_ingest_free(struct pf_exchange *ex)
{
    struct pf_ingest *in = &ex->ingest;

    pf_hold_let_go(ex, 1);
    pf_hold_lost(ex);
    pf_hold_drop_place(ex);
    drop_extent(ex);
    pf_inflight_leave(ex->edge->inflight, &in->entry);
    pf_pen_free(&in->pen);
    pf_segment_unref(in->segment);
    in->segment = NULL;
    pf_hash_free(in->hash);
    in->hash = NULL;
}

/* A refusal of this upload: counted for the round, everything given back. What
 * came before is kept when the refusal is for the moment only. */
static enum pf_next refuse(struct pf_exchange *ex, const struct pf_problem *p)
{
    int status = pf_problem_rows[p->id].status;

    if (p->id == PF_PROBLEM_ROUND_CLOSED || p->id == PF_PROBLEM_TASK_FINISHED)
        atomic_fetch_add(&ex->task->late, 1);
    else if (status != 503)
        atomic_fetch_add(&ex->task->refused, 1);
    pf_hold_let_go(ex, status == 503 || status == 429);
    ex->ingest.reading = 0;
    pf_hold_drop_place(ex);
    drop_extent(ex);
    return pf_reply_problem(ex, p);
}

static enum pf_next acknowledge(struct pf_exchange *ex,
                                const struct pf_ack *ack, int again)
{
    pf_count(ex->edge->metrics, PF_COUNT_UPLOADS_ACKNOWLEDGED, 1);
    return pf_reply_json(ex, again ? 200 : 201, pf_ack_fields, ack, PF_SAY_ACK);
}

/* Bytes of the longest frame that this round can use; 0: on overflow. */
static size_t longest(const struct pf_live_task *t)
{
    const struct pf_codec *codec = pf_codec_find(t->plan.update.codec);
    /* the head with everything optional in it, and the last padding */
    size_t head = PF_UPDATE_FIXED + 32 * PF_MAX_METRICS + 24 + 2 * 16;
    size_t body;

    if (!codec)
        return 0;
    body = codec->max_bytes(pf_model_n_params(t->model));
    return body > PF_MAX_UPDATE - head ? 0 : body + head;
}

/* The answer from the store alone: 1 when there was one (in the reply). */
static int answered_before(struct pf_exchange *ex)
{
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    enum pocketfed_status st;
    struct pf_ack ack;

    reader = pf_readers_take(ex->edge->readers, &err);
    if (!reader) {
        pf_reply_internal(ex, &err);
        return 1;
    }
    st = pf_reader_ack(reader, ex->task->stored.id, ex->args.round,
                       ex->device.id, &ack);
    pf_readers_give(ex->edge->readers, reader);
    if (st != POCKETFED_OK)
        return 0;
    if (memcmp(ack.digest, ex->digest, sizeof ack.digest) == 0)
        acknowledge(ex, &ack, 1);
    else
        pf_reply_refuse(ex, PF_PROBLEM_ALREADY_DIFFERENT,
                        "round %" PRIu64 " has another update of this device",
                        ex->args.round);
    return 1;
}

static void fill_event(const struct pf_exchange *ex, enum pf_event_kind kind,
                       struct pf_event *ev)
{
    memset(ev, 0, sizeof *ev);
    ev->kind = kind;
    ev->device = ex->device;
    ev->round = ex->args.round;
    memcpy(ev->u.update.digest, ex->digest, sizeof ev->u.update.digest);
    ev->u.update.extent.length = ex->ingest.length;
    ev->u.update.segment = ex->ingest.segment_round;
}

/* Room for the whole, unless there is some from before. */
static int make_room(struct pf_exchange *ex, struct pf_problem *why)
{
    struct pf_ingest *in = &ex->ingest;
    struct pf_error err = {0};

    if (in->has_extent) {
        pf_count(ex->edge->metrics, PF_COUNT_UPLOADS_RESUMED, 1);
        return 1;
    }
    in->segment_round = ex->answer.u.go.round;
    in->segment = pf_coordinator_segment(ex->edge->coordinator, ex->task,
                                         in->segment_round);
    if (!in->segment) {
        pf_problem_set(why, PF_PROBLEM_ROUND_CLOSED,
                       "round %" PRIu64 " closed just now", in->segment_round);
        return 0;
    }
    in->hash = pf_hash_new();
    if (!in->hash || pf_segment_reserve(in->segment, in->length, &in->extent,
                                        &err) != POCKETFED_OK) {
        pf_log(ex->edge->log, PF_LOG_ERROR,
               "no room for an update task=%s \"%s\"", ex->args.task, err.text);
        pf_problem_set(why, PF_PROBLEM_BUSY, "no room for the update");
        why->retry_after_ms = 30000;
        return 0;
    }
    in->has_extent = 1;
    pf_count(ex->edge->metrics, PF_COUNT_UPLOADS_STARTED, 1);
    return 1;
}

/* The engine wants it: room in the segment, then the body. */
static enum pf_next let_in(struct pf_exchange *ex)
{
    struct pf_problem why = {0};

    pf_live_expected(ex->task, ex->args.round, ex->answer.u.go.base,
                     &ex->ingest.expected);
    if (!make_room(ex, &why))
        return refuse(ex, &why);
    ex->ingest.reading = 1;
    pf_partials_end(ex->edge->partials, &ex->ingest.hold);
    return PF_NEXT_READ;
}

static enum pf_next offered(struct pf_exchange *ex)
{
    if (!pf_partials_begin(ex->edge->partials, &ex->ingest.hold))
        return taken_over(ex);
    switch (ex->answer.kind) {
    case PF_ANSWER_GO:
        return let_in(ex);
    case PF_ANSWER_ACK:
        pf_hold_let_go(ex, 0);
        pf_hold_drop_place(ex);
        return acknowledge(ex, &ex->answer.u.ack, 1);
    default:
        return refuse(ex, &ex->answer.u.problem);
    }
}

static enum pf_next nothing_kept(struct pf_exchange *ex)
{
    switch (ex->answer.kind) {
    case PF_ANSWER_GO:
        return pf_reply_refuse(ex, PF_PROBLEM_UPLOAD_UNKNOWN,
                               "send the update whole");
    case PF_ANSWER_ACK:
        return acknowledge(ex, &ex->answer.u.ack, 1);
    default:
        return refuse(ex, &ex->answer.u.problem);
    }
}

/* A PATCH to what is not here: what the engine has against it says more. */
static enum pf_next ask_engine(struct pf_exchange *ex)
{
    struct pf_event ev;

    fill_event(ex, PF_EV_OFFER, &ev);
    return pf_exchange_submit(ex, &ev, 0, nothing_kept);
}

/* Sizes that no update has. */
static int check_size(struct pf_exchange *ex, struct pf_problem *why)
{
    uint64_t length = ex->ingest.length;
    size_t most = longest(ex->task);

    if (length > most) {
        pf_problem_set(why, PF_PROBLEM_TOO_LARGE,
                       "%" PRIu64
                       " bytes; an update of this task has at most %zu",
                       length, most);
        return 0;
    }
    if (length < PF_UPDATE_FIXED) {
        pf_problem_set(why, PF_PROBLEM_LENGTH,
                       "%" PRIu64 " bytes; an update's head alone has %d",
                       length, PF_UPDATE_FIXED);
        return 0;
    }
    return 1;
}

enum pf_next pf_ingest_begin(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_ingest *in = &ex->ingest;
    uint64_t offset = UINT64_MAX;
    struct pf_problem why = {0};
    struct pf_event ev;

    if (answered_before(ex))
        return PF_NEXT_REPLY;
    in->length = in->offset + ex->content_length;
    if (!check_size(ex, &why))
        return refuse(ex, &why);
    if (!pf_hold_take(ex, &why, &offset)) {
        if (why.id == PF_PROBLEM_UPLOAD_UNKNOWN)
            return ask_engine(ex);
        pf_reply_problem(ex, &why);
        if (offset != UINT64_MAX)
            pf_reply_header(ex, "Upload-Offset", "%" PRIu64, offset);
        return PF_NEXT_REPLY;
    }
    if (!pf_limits_upload(ex, &why))
        return refuse(ex, &why);
    if (pf_coordinator_reserve(e->coordinator) != POCKETFED_OK) {
        pf_problem_set(&why, PF_PROBLEM_BUSY, "too many uploads at once");
        return refuse(ex, &why);
    }
    in->has_place = 1;
    fill_event(ex, PF_EV_OFFER, &ev);
    pf_partials_end(e->partials, &in->hold);
    return pf_exchange_submit(ex, &ev, 0, offered);
}

void pf_ingest_data(struct pf_exchange *ex, const void *p, size_t n)
{
    struct pf_ingest *in = &ex->ingest;

    if (!pf_partials_begin(ex->edge->partials, &in->hold))
        return; /* a newer request has the upload */
    in->received += n;
    in->came += n;
    /* After a failure, or past the announced end, the rest is only drained. */
    if (in->failed.status == POCKETFED_OK && in->received <= in->length) {
        pf_hash_add(in->hash, p, n);
        pf_pen_write(&in->pen, in->segment,
                     in->extent.offset + in->received - n, p, n, &in->failed);
    }
    pf_partials_end(ex->edge->partials, &in->hold);
}

static enum pf_next move(struct pf_exchange *ex);

static enum pf_next updated(struct pf_exchange *ex)
{
    if (ex->answer.kind == PF_ANSWER_MOVE)
        return move(ex);
    if (ex->answer.kind != PF_ANSWER_ACK)
        return refuse(ex, &ex->answer.u.problem);
    /* Counted now: the extent is the round's already. Counted before, by an
     * upload that ran beside this one: these bytes are dead. */
    drop_extent(ex);
    return acknowledge(ex, &ex->answer.u.ack, ex->answer.again);
}

/* The bytes into another segment: what a round counts lies in its own. */
static enum pocketfed_status carry(struct pf_ingest *in, struct pf_segment *to,
                                   struct pf_error *err)
{
    struct pf_extent there;
    enum pocketfed_status st;
    const uint8_t *bytes;

    st = pf_segment_map(in->segment, &in->extent, &bytes, err);
    if (st != POCKETFED_OK)
        return st;
    st = pf_segment_reserve(to, (size_t)in->extent.length, &there, err);
    if (st == POCKETFED_OK) {
        st = pf_segment_write(to, there.offset, bytes,
                              (size_t)in->extent.length, err);
        if (st != POCKETFED_OK)
            pf_segment_release(to, &there);
    }
    pf_segment_unmap(in->segment, bytes, &in->extent);
    if (st != POCKETFED_OK)
        return st;
    pf_segment_release(in->segment, &in->extent);
    in->extent = there;
    return POCKETFED_OK;
}

static enum pf_next submit_update(struct pf_exchange *ex)
{
    struct pf_event ev;

    fill_event(ex, PF_EV_UPDATE, &ev);
    ev.u.update.extent = ex->ingest.extent;
    ev.u.update.admitted = ex->ingest.admitted;
    /* pf_exchange_submit uses the place up or gives it back. */
    ex->ingest.has_place = 0;
    return pf_exchange_submit(ex, &ev, 1, updated);
}

/* Asynchronous rounds: the buffer that was open when the body began is full;
 * the update goes to the one that is open now. */
static enum pf_next move(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_ingest *in = &ex->ingest;
    struct pf_problem why = {0};
    struct pf_error err = {0};
    struct pf_segment *to;

    to =
        pf_coordinator_segment(e->coordinator, ex->task, ex->answer.u.go.round);
    if (!to || carry(in, to, &err) != POCKETFED_OK ||
        pf_coordinator_reserve(e->coordinator) != POCKETFED_OK) {
        if (err.status != POCKETFED_OK)
            pf_log(e->log, PF_LOG_ERROR, "cannot move an update task=%s \"%s\"",
                   ex->args.task, err.text);
        pf_segment_unref(to);
        pf_problem_set(&why, PF_PROBLEM_BUSY,
                       "the next round was not ready for the update");
        why.retry_after_ms = 1000;
        return refuse(ex, &why);
    }
    in->has_place = 1;
    pf_segment_unref(in->segment);
    in->segment = to;
    in->segment_round = ex->answer.u.go.round;
    return submit_update(ex);
}

/* 1 when the frame may be counted. */
static int admit(struct pf_exchange *ex, struct pf_admitted *out,
                 struct pf_problem *why)
{
    struct pf_ingest *in = &ex->ingest;
    struct pf_error err = {0};
    float scratch[PF_ADMIT_BLOCK];
    const uint8_t *frame;
    int ok;

    if (pf_segment_map(in->segment, &in->extent, &frame, &err) !=
        POCKETFED_OK) {
        pf_log(ex->edge->log, PF_LOG_ERROR, "cannot map an update \"%s\"",
               err.text);
        pf_problem_set(why, PF_PROBLEM_BUSY, "the update could not be read");
        return 0;
    }
    ok = pf_admit(&in->expected, frame, (size_t)in->extent.length, scratch, out,
                  why) == POCKETFED_OK;
    pf_segment_unmap(in->segment, frame, &in->extent);
    return ok;
}

enum pf_next pf_ingest_end(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_ingest *in = &ex->ingest;
    struct pf_problem why = {0};
    uint8_t digest[PF_DIGEST_LEN];

    if (!pf_partials_begin(e->partials, &in->hold))
        return taken_over(ex);
    pf_partials_leave(e->partials, &in->hold, NULL, 0); /* ours for good */
    in->reading = 0;
    pf_hold_count(ex);
    pf_hash_end(in->hash, digest);
    if (in->failed.status == POCKETFED_OK)
        pf_pen_flush(&in->pen, in->segment, &in->failed);
    if (in->failed.status != POCKETFED_OK) {
        pf_log(e->log, PF_LOG_ERROR, "cannot write an update task=%s \"%s\"",
               ex->args.task, in->failed.text);
        pf_problem_set(&why, PF_PROBLEM_BUSY, "the update could not be kept");
        why.retry_after_ms = 30000;
        return refuse(ex, &why);
    }
    if (in->received != in->length) {
        pf_problem_set(&why, PF_PROBLEM_LENGTH,
                       "%" PRIu64 " bytes came, %" PRIu64 " were announced",
                       in->received, in->length);
        return refuse(ex, &why);
    }
    if (memcmp(digest, ex->digest, sizeof digest) != 0) {
        pf_problem_set(&why, PF_PROBLEM_DIGEST,
                       "the body's SHA-256 is not the one that was signed");
        return refuse(ex, &why);
    }
    if (!admit(ex, &in->admitted, &why))
        return refuse(ex, &why);
    return submit_update(ex);
}
