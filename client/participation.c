/* The machine's skeleton: its life, what it asks for next, its views. */
#include "participation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "participation_core.h"
#include "rng.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LEAST_MS 50
#define BACKOFF_MOST_MS  (10 * 60 * 1000)
#define MODEL_FILE_EXTRA (256u << 10) /* header of a model file, at most */

int64_t pf_backoff_ms(uint64_t seed, uint64_t index, unsigned attempt)
{
    struct pf_rng rng = pf_rng_make(seed, 0, 0, PF_RNG_JITTER);
    uint64_t most = BACKOFF_MOST_MS;

    if (attempt < 10)
        most = (uint64_t)BACKOFF_FIRST_MS << attempt;
    if (most > BACKOFF_MOST_MS)
        most = BACKOFF_MOST_MS;
    return BACKOFF_LEAST_MS +
           (int64_t)pf_rng_below(&rng, index, most - BACKOFF_LEAST_MS + 1);
}

/* The device id is a hash, so devices draw unrelated numbers. */
static uint64_t jitter_seed(const struct pf_participation *p)
{
    return pf_get64(p->member->device);
}

int64_t pf_part_between(struct pf_participation *p, int64_t min_ms,
                        int64_t max_ms)
{
    struct pf_rng rng = pf_rng_make(jitter_seed(p), 1, 0, PF_RNG_JITTER);

    if (min_ms < BACKOFF_LEAST_MS)
        min_ms = BACKOFF_LEAST_MS;
    if (min_ms > PF_WAIT_MOST_MS)
        min_ms = PF_WAIT_MOST_MS;
    if (max_ms > PF_WAIT_MOST_MS)
        max_ms = PF_WAIT_MOST_MS;
    if (max_ms < min_ms)
        max_ms = min_ms;
    return min_ms + (int64_t)pf_rng_below(&rng, p->draws++,
                                          (uint64_t)(max_ms - min_ms) + 1);
}

void pf_part_retry(struct pf_participation *p, int64_t retry_after_ms)
{
    if (retry_after_ms > 0)
        p->wait_ms = pf_part_between(p, retry_after_ms, retry_after_ms);
    else
        p->wait_ms = pf_backoff_ms(jitter_seed(p), p->draws++, p->attempts);
    p->attempts++;
}

static void release_training(struct pf_participation *p)
{
    pf_trainer_free(p->trainer);
    p->trainer = NULL;
    free(p->base);
    p->base = NULL;
}

void pf_part_end(struct pf_participation *p, enum pf_outcome outcome)
{
    release_training(p);
    p->phase = PF_PHASE_ENDED;
    p->outcome = outcome;
    p->attempts = 0;
}

void pf_part_drop(struct pf_participation *p)
{
    pf_part_remove(p, PF_SAVED_UPDATE);
    pf_part_remove(p, PF_SAVED_TRAIN);
    pf_part_end(p, PF_OUTCOME_DROPPED);
    p->wait_ms = pf_backoff_ms(jitter_seed(p), p->draws++, p->drops++);
}

enum pocketfed_status pf_part_refuse(struct pf_participation *p)
{
    pf_part_end(p, PF_OUTCOME_REFUSED);
    return p->why.status;
}

void pf_part_fail(struct pf_participation *p, enum pf_failure_code code)
{
    struct pf_failure_report report = {.code = (int)code};
    size_t n = strlen(p->why.text);

    if (n >= sizeof report.detail)
        n = sizeof report.detail - 1;
    memcpy(report.detail, p->why.text, n);
    release_training(p);
    p->failure = (int)code;
    p->attempts = 0;
    pf_buf_clear(&p->body);
    if (pf_json_encode(pf_failure_report_fields, &report, &p->body)) {
        pf_part_drop(p); /* untold: the lease will run out */
        return;
    }
    pf_sha256(p->body.data, p->body.len, p->digest);
    p->phase = PF_PHASE_FAILURE;
}

enum pocketfed_status pf_part_load(struct pf_participation *p, const char *name,
                                   struct pf_buf *out)
{
    return p->io.load ? p->io.load(p->io.ctx, name, out) : POCKETFED_NOT_FOUND;
}

/* A full disk costs repeated work after a kill, not this contribution. */
void pf_part_save(struct pf_participation *p, const char *name,
                  const void *data, size_t len)
{
    if (p->io.save)
        p->io.save(p->io.ctx, name, data, len);
}

void pf_part_remove(struct pf_participation *p, const char *name)
{
    if (p->io.remove)
        p->io.remove(p->io.ctx, name);
}

enum pocketfed_status pf_participation_create(
    const struct pf_member *member, const struct pf_examples *examples,
    const struct pf_participation_io *io, struct pf_participation **out)
{
    struct pf_participation *p;

    if (!member || !member->record_key || !member->client_version || !examples)
        return POCKETFED_INVALID;
    p = calloc(1, sizeof *p);
    if (!p)
        return POCKETFED_NO_MEMORY;
    p->member = member;
    p->examples = examples;
    if (io)
        p->io = *io;
    pf_plan_init(&p->plan);
    pf_buf_init(&p->body, PF_MAX_UPDATE);
    pf_buf_init(&p->part, PF_MAX_MODEL_FILE + 32);
    *out = p;
    return POCKETFED_OK;
}

void pf_participation_free(struct pf_participation *p)
{
    if (!p)
        return;
    release_training(p);
    pf_model_free(p->model);
    pf_plan_free(&p->plan);
    pf_buf_free(&p->body);
    free(p->history);
    pf_buf_free(&p->part);
    free(p);
}

void pf_participation_reset(struct pf_participation *p)
{
    if (p->outcome == PF_OUTCOME_ACCEPTED)
        pf_part_remove(p, PF_SAVED_UPDATE);
    release_training(p);
    memset(&p->work, 0, sizeof p->work);
    memset(&p->why, 0, sizeof p->why);
    p->outcome = PF_OUTCOME_RUNNING;
    p->phase = PF_PHASE_START;
    p->attempts = p->clocks = 0;
}

/* Appends the check-in's JSON. */
static enum pocketfed_status make_checkin(struct pf_participation *p)
{
    struct pf_checkin_request ask;
    const char *const *names = pf_codec_names();
    const char *class = p->member->device_class;

    memset(&ask, 0, sizeof ask);
    memcpy(ask.held_model, p->held_model, sizeof ask.held_model);
    if (p->has_plan)
        memcpy(ask.held_plan, p->plan_digest, sizeof ask.held_plan);
    for (; names[ask.n_codecs] && ask.n_codecs < PF_MAX_CODECS; ask.n_codecs++)
        memcpy(ask.codecs[ask.n_codecs], names[ask.n_codecs],
               strlen(names[ask.n_codecs]) + 1);
    if (strlen(p->member->client_version) < sizeof ask.client_version)
        memcpy(ask.client_version, p->member->client_version,
               strlen(p->member->client_version) + 1);
    if (class && strlen(class) < sizeof ask.device_class)
        memcpy(ask.device_class, class, strlen(class) + 1);
    ask.memory = p->member->memory;
    pf_buf_clear(&p->body);
    return pf_json_encode(pf_checkin_request_fields, &ask, &p->body);
}

size_t pf_part_model_file_max(const struct pf_participation *p)
{
    size_t n = p->model ? pf_model_n_params(p->model) : 0;

    return n ? n * sizeof(float) + MODEL_FILE_EXTRA : PF_MAX_MODEL_FILE;
}

static enum pf_want ask(struct pf_participation *p, enum pf_call_id call,
                        size_t max_reply, struct pf_want_request *r)
{
    memset(r, 0, sizeof *r);
    r->call = call;
    memcpy(r->args.task, p->member->task, sizeof r->args.task);
    r->args.round = p->work.round;
    r->max_reply = max_reply;
    return PF_WANT_REQUEST;
}

static enum pf_want ask_with_body(struct pf_participation *p,
                                  enum pf_call_id call,
                                  struct pf_want_request *r)
{
    ask(p, call, PF_MAX_CONTROL_BODY, r);
    r->body = p->body.data;
    r->body_len = p->body.len;
    memcpy(r->digest, p->digest, sizeof r->digest);
    return PF_WANT_REQUEST;
}

static enum pf_want ask_for_object(struct pf_participation *p,
                                   enum pf_call_id call, const uint8_t *digest,
                                   size_t max_reply, struct pf_want_request *r)
{
    ask(p, call, max_reply, r);
    memcpy(r->args.digest, digest, sizeof r->args.digest);
    return PF_WANT_REQUEST;
}

/* The whole, or what is missing of it. */
static enum pf_want ask_for_model(struct pf_participation *p,
                                  const uint8_t digest[32],
                                  struct pf_want_request *r)
{
    pf_part_begin_download(p, digest);
    ask_for_object(p, PF_CALL_MODEL, digest, pf_part_model_file_max(p), r);
    r->offset = pf_part_downloaded(p);
    return PF_WANT_REQUEST;
}

static enum pf_want ask_to_upload(struct pf_participation *p,
                                  struct pf_want_request *r)
{
    switch (p->sending) {
    case PF_SEND_ASK:
        return ask(p, PF_CALL_UPDATE_OFFSET, PF_MAX_CONTROL_BODY, r);
    case PF_SEND_REST:
        ask_with_body(p, PF_CALL_UPDATE_APPEND, r);
        r->offset = p->offset;
        r->body += p->offset;
        r->body_len -= p->offset;
        return PF_WANT_REQUEST;
    case PF_SEND_WHOLE:
        break;
    }
    return ask_with_body(p, PF_CALL_UPDATE, r);
}

enum pf_want pf_participation_next(struct pf_participation *p,
                                   struct pf_want_request *request,
                                   int64_t *wait_ms)
{
    uint8_t pinned[32];

    if (p->phase == PF_PHASE_ENDED)
        return PF_WANT_ENDED;
    if (p->wait_ms > 0) {
        *wait_ms = p->wait_ms;
        p->wait_ms = 0;
        return PF_WANT_WAIT;
    }
    pf_part_recall(p);
    if (p->phase == PF_PHASE_START && !pf_part_resume_upload(p))
        p->phase = PF_PHASE_CHECKIN;
    switch (p->phase) {
    case PF_PHASE_CHECKIN:
        if (make_checkin(p)) {
            pf_fail(&p->why, POCKETFED_NO_MEMORY, "no memory for a check-in");
            pf_part_drop(p);
            return PF_WANT_ENDED;
        }
        pf_sha256(p->body.data, p->body.len, p->digest);
        return ask_with_body(p, PF_CALL_CHECKIN, request);
    case PF_PHASE_PROOF:
        ask(p, PF_CALL_PROOF, PF_MAX_CONTROL_BODY, request);
        request->args.round = p->receipt.counted;
        pf_part_proof_query(p, request->query, sizeof request->query);
        return PF_WANT_REQUEST;
    case PF_PHASE_KEY:
        pf_key_fingerprint(p->member->record_key, pinned);
        return ask_for_object(p, PF_CALL_KEY, pinned, PF_MAX_CONTROL_BODY,
                              request);
    case PF_PHASE_PLAN:
        return ask_for_object(p, PF_CALL_PLAN, p->work.plan, PF_MAX_PLAN,
                              request);
    case PF_PHASE_MODEL:
        return ask_for_model(p, p->work.base, request);
    case PF_PHASE_FINAL_MODEL:
        return ask_for_model(p, p->work.final_model, request);
    case PF_PHASE_UPLOAD:
        return ask_to_upload(p, request);
    case PF_PHASE_FAILURE:
        return ask_with_body(p, PF_CALL_FAILURE, request);
    case PF_PHASE_TRAIN:
        return PF_WANT_TRAIN;
    case PF_PHASE_START:
    case PF_PHASE_ENDED:
        break;
    }
    return PF_WANT_ENDED;
}

enum pf_outcome pf_participation_outcome(const struct pf_participation *p)
{
    return p->outcome;
}

uint64_t pf_participation_round(const struct pf_participation *p)
{
    return p->work.round;
}

const struct pf_ack *pf_participation_ack(const struct pf_participation *p)
{
    return &p->ack;
}

const char *pf_participation_phase(const struct pf_participation *p)
{
    static const char *const names[] = {
        [PF_PHASE_START] = "checkin", [PF_PHASE_CHECKIN] = "checkin",
        [PF_PHASE_PROOF] = "proof",   [PF_PHASE_PLAN] = "plan",
        [PF_PHASE_MODEL] = "model",   [PF_PHASE_TRAIN] = "train",
        [PF_PHASE_UPLOAD] = "upload", [PF_PHASE_FAILURE] = "failure",
        [PF_PHASE_KEY] = "key",       [PF_PHASE_FINAL_MODEL] = "model",
        [PF_PHASE_ENDED] = "ended",
    };

    return names[p->phase];
}

void pf_participation_progress(const struct pf_participation *p, uint64_t *done,
                               uint64_t *total, double *loss)
{
    const struct pf_train_position *at;

    *done = *total = 0;
    *loss = (double)NAN;
    if (p->phase == PF_PHASE_UPLOAD || p->outcome == PF_OUTCOME_ACCEPTED) {
        *done = *total = p->frame_examples * p->plan.train.epochs;
        *loss = p->loss;
    } else if (p->trainer) {
        at = pf_trainer_position(p->trainer);
        *done = at->examples;
        *total = (uint64_t)p->capped.n * p->plan.train.epochs;
        *loss = pf_trainer_loss(p->trainer);
    }
}

size_t pf_participation_input(const struct pf_participation *p)
{
    struct pf_shape in;

    if (!p->model)
        return 0;
    in = pf_model_input(p->model);
    return (size_t)in.c * in.h * in.w;
}

const struct pf_error *pf_participation_error(const struct pf_participation *p)
{
    return &p->why;
}

uint64_t pf_participation_proved(const struct pf_participation *p)
{
    return p->history ? p->history->record.round : 0;
}

int64_t pf_participation_server_time(const struct pf_participation *p)
{
    return p->server_time_ms;
}
