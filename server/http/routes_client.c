#include "routes.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "joinlink.h"
#include "quota.h"
#include "statement.h"
#include "text.h"

/* ---- enrol ---- */

static enum pf_next enrolled(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    const struct pf_device *d = &ex->job.u.enrol.device;
    enum pf_problem_id why = ex->job.problem.id;
    uint8_t raw[PF_PUBLIC_MAX];
    struct pf_enrol_reply reply;
    enum pf_log_level level;
    unsigned n;

    if (why != PF_PROBLEM_NONE) {
        level = pf_edge_loudness(&e->bad_joins, &n);
        pf_log(e->log, level,
               "join refused task=%s device=%s reason=%s so_far=%u",
               ex->args.task, ex->signature.params.keyid,
               pf_problem_rows[why].slug, n);
        return pf_reply_problem(ex, &ex->job.problem);
    }
    memset(&reply, 0, sizeof reply);
    memcpy(reply.task, ex->args.task, sizeof reply.task);
    memcpy(reply.device, d->id, sizeof reply.device);
    reply.ordinal = d->ordinal;
    pf_key_public(e->record_key, raw); /* Ed25519: 32 bytes */
    memcpy(reply.record_key, raw, sizeof reply.record_key);
    reply.server_time_ms = e->now_ms();
    if (!ex->job.u.enrol.again) {
        pf_quota_keep_device(ex);
        pf_count(e->metrics, PF_COUNT_ENROLMENTS, 1);
    }
    return pf_reply_json(ex, ex->job.u.enrol.again ? 200 : 201,
                         pf_enrol_reply_fields, &reply, PF_SAY_ENROLMENT);
}

/* The new key proves itself by the request's signature. */
static int check_new_key(struct pf_exchange *ex,
                         const struct pf_enrol_request *rq, struct pf_device *d,
                         struct pf_problem *why)
{
    struct pf_key *key = NULL;
    uint8_t print[PF_DIGEST_LEN];
    char id[2 * PF_DEVICE_LEN + 1];
    int ok = 0;

    if (!pf_key_alg_find(rq->alg, &d->alg)) {
        pf_problem_set(why, PF_PROBLEM_BAD_REQUEST,
                       "key algorithm %s is unknown; use ed25519 or "
                       "ecdsa-p256-sha256",
                       rq->alg);
        return 0;
    }
    if (pf_key_from_public(d->alg, rq->key.data, rq->key.len, &key) !=
        POCKETFED_OK) {
        pf_problem_set(why, PF_PROBLEM_BAD_REQUEST,
                       "the key is no %s public key", rq->alg);
        return 0;
    }
    pf_key_fingerprint(key, print);
    pf_hex(print, PF_DEVICE_LEN, id);
    if (strcmp(id, ex->signature.params.keyid) != 0) {
        pf_problem_set(why, PF_PROBLEM_SIGNATURE_WRONG,
                       "keyid is not the id of the key in the body");
        goto out;
    }
    /* (token, key) is idempotent: a replay changes nothing. */
    if (!pf_auth_check_idempotent(&ex->edge->verifier, &ex->signature,
                                  &ex->signed_request, key, ex->edge->now_ms(),
                                  why))
        goto out;
    memcpy(d->id, print, sizeof d->id);
    memcpy(d->key, rq->key.data, rq->key.len);
    d->key_len = rq->key.len;
    memcpy(d->label, rq->label, sizeof d->label);
    ok = 1;
out:
    pf_key_free(key);
    return ok;
}

enum pf_next pf_route_enrol(struct pf_exchange *ex)
{
    struct pf_enrol_request rq;
    struct pf_problem why = {0};

    memset(&rq, 0, sizeof rq);
    if (!pf_route_decode(ex, pf_enrol_request_fields, PF_JSON_IGNORE, &rq))
        return PF_NEXT_REPLY;
    memset(&ex->job, 0, sizeof ex->job);
    if (!check_new_key(ex, &rq, &ex->job.u.enrol.device, &why))
        return pf_reply_problem(ex, &why);
    if (!pf_token_ok(rq.token))
        return pf_reply_refuse(ex, PF_PROBLEM_TOKEN_UNKNOWN,
                               "the token is mistyped: its checksum is wrong");
    if (!pf_quota_device(ex, ex->job.u.enrol.device.id))
        return PF_NEXT_REPLY;
    pf_token_hash(rq.token, ex->job.u.enrol.token_hash);
    ex->job.kind = PF_JOB_ENROL;
    ex->job.task = ex->task;
    return pf_exchange_run(ex, enrolled);
}

/* ---- check-in ---- */

static enum pf_next checked_in(struct pf_exchange *ex)
{
    const struct pf_checkin_reply *r = &ex->answer.u.checkin;
    struct pf_metrics *m = ex->edge->metrics;

    if (ex->answer.kind != PF_ANSWER_CHECKIN)
        return pf_reply_problem(ex, &ex->answer.u.problem);
    pf_count(m, PF_COUNT_CHECKINS, 1);
    if (r->kind == PF_CHECKIN_TRAIN) {
        pf_count(m, PF_COUNT_ASSIGNMENTS, 1);
        pf_downlink_note(ex->edge->downlink, r->base, ex->task);
        return pf_reply_json(ex, 200, pf_checkin_reply_fields, r,
                             PF_SAY_ASSIGNMENT);
    }
    /* The last word names the final model, so it is vouched for as well. */
    pf_reply_json(ex, 200, pf_checkin_reply_fields, r,
                  r->reason == PF_WAIT_FINISHED ? PF_SAY_ASSIGNMENT : NULL);
    if (r->min_ms > 0)
        pf_reply_header(ex, "Retry-After", "%" PRId64,
                        (r->min_ms + 999) / 1000);
    return PF_NEXT_REPLY;
}

/* Can this client do what the plan asks? Said before anything is assigned. */
static int suits(const struct pf_plan *plan,
                 const struct pf_checkin_request *rq, struct pf_problem *why)
{
    size_t i;

    for (i = 0; i < rq->n_codecs; i++)
        if (strcmp(rq->codecs[i], plan->update.codec) == 0)
            break;
    if (i == rq->n_codecs) {
        pf_problem_set(why, PF_PROBLEM_NO_COMMON_CODEC,
                       "the plan's codec is %s, which the client does not name",
                       plan->update.codec);
        return 0;
    }
    if (rq->memory != 0 && plan->memory > rq->memory) {
        pf_problem_set(why, PF_PROBLEM_PLAN_TOO_BIG,
                       "the plan needs %" PRIu64 " bytes, the device gives "
                       "%" PRIu64,
                       plan->memory, rq->memory);
        return 0;
    }
    if (plan->min_version[0] &&
        !pf_version_at_least(rq->client_version, plan->min_version)) {
        pf_problem_set(why, PF_PROBLEM_CLIENT_TOO_OLD,
                       "the plan needs version %s, the client is %s",
                       plan->min_version,
                       rq->client_version[0] ? rq->client_version : "unknown");
        return 0;
    }
    return 1;
}

enum pf_next pf_route_checkin(struct pf_exchange *ex)
{
    struct pf_checkin_request rq;
    struct pf_problem why = {0};
    struct pf_event ev;

    memset(&rq, 0, sizeof rq);
    if (!pf_route_decode(ex, pf_checkin_request_fields, PF_JSON_IGNORE, &rq))
        return PF_NEXT_REPLY;
    if (!suits(&ex->task->plan, &rq, &why))
        return pf_reply_problem(ex, &why);
    memset(&ev, 0, sizeof ev);
    ev.kind = PF_EV_CHECKIN;
    ev.device = ex->device;
    memcpy(ev.u.checkin.device_class, rq.device_class,
           sizeof ev.u.checkin.device_class);
    ev.u.checkin.updates = ex->updates;
    ev.u.checkin.last_round = ex->last_round;
    return pf_exchange_submit(ex, &ev, 0, checked_in);
}

/* ---- plans and models ---- */

static enum pf_next count_down(struct pf_exchange *ex, struct pf_live_task *t)
{
    if (ex->reply.object && strcmp(ex->method, "HEAD") != 0) {
        if (t)
            atomic_fetch_add(&t->bytes_down, ex->reply.len);
        if (ex->listener == PF_LISTEN_CLIENT)
            pf_count(ex->edge->metrics, PF_COUNT_DOWNLOAD_BYTES, ex->reply.len);
    }
    return PF_NEXT_REPLY;
}

/* The object of the path's digest, or NULL with the refusal in the reply. */
static struct pf_object *object(struct pf_exchange *ex)
{
    struct pf_object *obj = NULL;
    struct pf_error err = {0};
    enum pocketfed_status st;
    char hex[65];

    st = pf_objects_get(ex->edge->objects, ex->args.digest, &obj, &err);
    if (st == POCKETFED_OK)
        return obj;
    if (st == POCKETFED_NOT_FOUND) {
        pf_hex(ex->args.digest, 32, hex);
        pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND, "nothing has digest %s", hex);
    } else {
        pf_reply_internal(ex, &err);
    }
    return NULL;
}

enum pf_next pf_route_plan(struct pf_exchange *ex)
{
    struct pf_coordinator *c = ex->edge->coordinator;
    struct pf_live_task *t = NULL;
    struct pf_object *obj;
    char field[96];

    while ((t = pf_coordinator_next_task(c, t)) != NULL)
        if (memcmp(t->stored.plan, ex->args.digest, 32) == 0)
            break;
    if (!t)
        return pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND,
                               "no task has such a plan");
    obj = object(ex);
    if (!obj)
        return PF_NEXT_REPLY;
    pf_reply_object(ex, obj, PF_TYPE_JSON);
    if (ex->reply.problem == PF_PROBLEM_NONE) {
        pf_statement_field(t->stored.plan_signature, field);
        pf_reply_header(ex, PF_HEADER_STATEMENT, "%s", field);
    }
    return count_down(ex, t);
}

enum pf_next pf_route_model(struct pf_exchange *ex)
{
    struct pf_object *obj = object(ex);

    if (!obj)
        return PF_NEXT_REPLY;
    pf_reply_object(ex, obj, PF_TYPE_MODEL);
    return count_down(
        ex, ex->listener == PF_LISTEN_CLIENT
                ? pf_downlink_task(ex->edge->downlink, ex->args.digest)
                : NULL);
}

/* The last few bases that were assigned. A plain ring: with more tasks than
 * places some bytes are counted for the daemon and for no task. */
#define DOWNLINKS 64

struct pf_downlink {
    pthread_mutex_t lock;
    unsigned next;
    struct {
        uint8_t digest[32];
        struct pf_live_task *task;
    } entry[DOWNLINKS];
};

enum pocketfed_status pf_downlink_create(struct pf_downlink **out)
{
    struct pf_downlink *d = calloc(1, sizeof *d);

    if (!d)
        return POCKETFED_NO_MEMORY;
    pthread_mutex_init(&d->lock, NULL);
    *out = d;
    return POCKETFED_OK;
}

void pf_downlink_free(struct pf_downlink *d)
{
    if (!d)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static struct pf_live_task *downlink_find(const struct pf_downlink *d,
                                          const uint8_t digest[32])
{
    unsigned i;

    for (i = 0; i < DOWNLINKS; i++)
        if (d->entry[i].task && memcmp(d->entry[i].digest, digest, 32) == 0)
            return d->entry[i].task;
    return NULL;
}

void pf_downlink_note(struct pf_downlink *d, const uint8_t digest[32],
                      struct pf_live_task *t)
{
    pthread_mutex_lock(&d->lock);
    if (!downlink_find(d, digest)) {
        memcpy(d->entry[d->next].digest, digest, 32);
        d->entry[d->next].task = t;
        d->next = (d->next + 1) % DOWNLINKS;
    }
    pthread_mutex_unlock(&d->lock);
}

struct pf_live_task *pf_downlink_task(struct pf_downlink *d,
                                      const uint8_t digest[32])
{
    struct pf_live_task *t;

    pthread_mutex_lock(&d->lock);
    t = downlink_find(d, digest);
    pthread_mutex_unlock(&d->lock);
    return t;
}

/* ---- failure and status ---- */

static enum pf_next noted(struct pf_exchange *ex)
{
    if (ex->answer.kind == PF_ANSWER_PROBLEM)
        return pf_reply_problem(ex, &ex->answer.u.problem);
    return pf_reply_empty(ex, 204);
}

enum pf_next pf_route_failure(struct pf_exchange *ex)
{
    struct pf_failure_report rq;
    enum pf_log_level level;
    struct pf_event ev;
    unsigned n;

    memset(&rq, 0, sizeof rq);
    if (!pf_route_decode(ex, pf_failure_report_fields, PF_JSON_IGNORE, &rq))
        return PF_NEXT_REPLY;
    memset(&ev, 0, sizeof ev);
    ev.kind = PF_EV_FAILURE;
    ev.device = ex->device;
    ev.round = ex->args.round;
    ev.u.failure = rq.code;
    level = pf_edge_loudness(&ex->edge->failures, &n);
    pf_log(ex->edge->log, level,
           "device failed task=%s round=%" PRIu64 " ordinal=%" PRIu64
           " code=%s so_far=%u",
           ex->args.task, ex->args.round, ex->device.ordinal,
           pf_failure_codes[rq.code], n);
    return pf_exchange_submit(ex, &ev, 0, noted);
}

static enum pf_next status_known(struct pf_exchange *ex)
{
    struct pf_task_status s;

    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    pf_route_status(ex, &s);
    return pf_reply_json(ex, 200, pf_task_status_fields, &s, NULL);
}

enum pf_next pf_route_task_status(struct pf_exchange *ex)
{
    return pf_route_view(ex, ex->task, status_known);
}
