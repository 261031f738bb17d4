#include "routes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "framing.h"
#include "gate.h"
#include "ingest.h"
#include "quota.h"
#include "resume.h"
#include "text.h"

/* clang-format off */
const struct pf_handler pf_handlers[PF_CALL_COUNT] = {
    [PF_CALL_ENROL] = {.end = pf_route_enrol},
    [PF_CALL_CHECKIN] = {.end = pf_route_checkin},
    [PF_CALL_PLAN] = {.end = pf_route_plan},
    [PF_CALL_MODEL] = {.end = pf_route_model},
    [PF_CALL_UPDATE] = {pf_ingest_begin, pf_ingest_data, pf_ingest_end},
    [PF_CALL_UPDATE_OFFSET] = {.end = pf_resume_look},
    [PF_CALL_UPDATE_APPEND] = {pf_resume_begin, pf_ingest_data, pf_ingest_end},
    [PF_CALL_FAILURE] = {.end = pf_route_failure},
    [PF_CALL_PROOF] = {.end = pf_route_proof},
    [PF_CALL_KEY] = {.end = pf_route_key},
    [PF_CALL_TASK_STATUS] = {.end = pf_route_task_status},
    [PF_CALL_LEAVE] = {.end = pf_route_leave},
    [PF_CALL_ADMIN_INFO] = {.end = pf_route_admin_info},
    [PF_CALL_ADMIN_TASKS] = {.end = pf_route_admin_tasks},
    [PF_CALL_ADMIN_TASK_CREATE] = {.end = pf_route_admin_task_create},
    [PF_CALL_ADMIN_TASK] = {.end = pf_route_admin_task},
    [PF_CALL_ADMIN_TASK_SET] = {.end = pf_route_admin_task_set},
    [PF_CALL_ADMIN_TOKEN_CREATE] = {.end = pf_route_admin_token_create},
    [PF_CALL_ADMIN_ROUNDS] = {.end = pf_route_admin_rounds},
    [PF_CALL_ADMIN_ROUND] = {.end = pf_route_admin_round},
    [PF_CALL_ADMIN_CLASSES] = {.end = pf_route_admin_classes},
    [PF_CALL_ADMIN_DEVICES] = {.end = pf_route_admin_devices},
    [PF_CALL_ADMIN_DEVICE] = {.end = pf_route_admin_device},
    [PF_CALL_ADMIN_DEVICE_REVOKE] = {.end = pf_route_admin_device_revoke},
    [PF_CALL_ADMIN_MODEL] = {.end = pf_route_model},
    [PF_CALL_LIVEZ] = {.end = pf_route_livez},
    [PF_CALL_READYZ] = {.end = pf_route_readyz},
    [PF_CALL_METRICS] = {.end = pf_route_metrics},
};
/* clang-format on */

enum pf_log_level pf_edge_loudness(atomic_uint *counter, unsigned *n)
{
    *n = atomic_fetch_add(counter, 1) + 1;
    return (*n & (*n - 1)) == 0 ? PF_LOG_WARN : PF_LOG_INFO;
}

void pf_exchange_init(struct pf_exchange *ex, struct pf_edge *edge)
{
    memset(ex, 0, sizeof *ex);
    ex->edge = edge;
    pf_buf_init(&ex->body, PF_MAX_TASK_FILE);
    pf_reply_clear(ex);
}

void pf_exchange_free(struct pf_exchange *ex)
{
    pf_ingest_free(ex);
    pf_quota_free(ex);
    pf_reply_clear(ex);
    pf_buf_free(&ex->body);
    if (ex->made)
        pf_live_task_free(ex->made);
    ex->made = NULL;
    if (ex->counted)
        atomic_fetch_sub(&ex->edge->active, 1);
    ex->counted = 0;
}

/* Finds the call; 0 with the refusal in the reply. */
static int match(struct pf_exchange *ex)
{
    const char *allow = NULL;
    int known = 0;

    ex->call = pf_call_match(ex->listener, ex->method, ex->path, &ex->args,
                             &known, &allow);
    if (ex->call)
        return 1;
    if (known && allow) {
        pf_reply_refuse(ex, PF_PROBLEM_METHOD, "%.16s is not possible here",
                        ex->method);
        pf_reply_header(ex, "Allow", "%s", allow);
        return 0;
    }
    pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND, "there is no %.128s", ex->path);
    return 0;
}

static int find_task(struct pf_exchange *ex)
{
    if (!ex->args.task[0])
        return 1;
    ex->task = pf_coordinator_task(ex->edge->coordinator, ex->args.task);
    if (ex->task)
        return 1;
    pf_reply_refuse(ex, PF_PROBLEM_TASK_UNKNOWN, "there is no task %s",
                    ex->args.task);
    return 0;
}

/* The device that the signature names, if it may ask now. 0: refused in the
 * reply. */
static int device_key(struct pf_exchange *ex, struct pf_key **key)
{
    struct pf_edge *e = ex->edge;
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    struct pf_device device;
    enum pocketfed_status st;
    uint8_t id[PF_DEVICE_LEN];
    const char *keyid = ex->signature.params.keyid;

    if (!pf_unhex(keyid, strlen(keyid), id, sizeof id)) {
        pf_reply_refuse(ex, PF_PROBLEM_SIGNATURE_WRONG,
                        "keyid is not a device's id");
        return 0;
    }
    if (!pf_limits_signed(ex, id))
        return 0;
    reader = pf_readers_take(e->readers, &err);
    if (!reader) {
        pf_reply_internal(ex, &err);
        return 0;
    }
    st = pf_reader_device(reader, ex->task->stored.id, id, &device);
    pf_readers_give(e->readers, reader);
    if (st == POCKETFED_NOT_FOUND) {
        pf_reply_refuse(ex, PF_PROBLEM_DEVICE_UNKNOWN,
                        "device %s is not enrolled in task %s", keyid,
                        ex->args.task);
        return 0;
    }
    if (st == POCKETFED_OK && device.state == PF_DEVICE_REVOKED) {
        pf_reply_refuse(ex, PF_PROBLEM_DEVICE_REVOKED,
                        "the operator has revoked device %s", keyid);
        return 0;
    }
    /* Leaving again is no mistake: the answer may have been lost. */
    if (st == POCKETFED_OK && device.state == PF_DEVICE_LEFT &&
        ex->call->id != PF_CALL_LEAVE) {
        pf_reply_refuse(ex, PF_PROBLEM_DEVICE_UNKNOWN,
                        "device %s has left task %s", keyid, ex->args.task);
        return 0;
    }
    if (st == POCKETFED_OK)
        st = pf_key_from_public(device.alg, device.key, device.key_len, key);
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "cannot read device %s", keyid);
        pf_reply_internal(ex, &err);
        return 0;
    }
    memcpy(ex->device.id, id, sizeof id);
    ex->device.ordinal = device.ordinal;
    ex->updates = device.updates;
    ex->last_round = device.last_round;
    return 1;
}

/* Who is asking? The key of an enrolment is in its body, so that one is only
 * read here and checked by its handler. 0 with the refusal in the reply. */
static int authenticate(struct pf_exchange *ex)
{
    struct pf_signed_request *rq = &ex->signed_request;
    const struct pf_verifier *a = &ex->edge->verifier;
    struct pf_problem why = {0};
    struct pf_key *key = NULL;
    int ok;

    if (ex->call->auth == PF_AUTH_NONE)
        return 1;
    if (ex->call->auth == PF_AUTH_ADMIN) {
        if (!ex->peer_ok)
            pf_reply_refuse(ex, PF_PROBLEM_FORBIDDEN,
                            "only the daemon's user, its group and root may "
                            "administer it");
        ex->proved = ex->peer_ok;
        return ex->peer_ok;
    }
    rq->method = ex->method;
    rq->path = ex->path;
    rq->query = ex->query;
    rq->content_digest = ex->header(ex, "Content-Digest");
    rq->repr_digest = ex->header(ex, "Repr-Digest");
    rq->record_key = ex->header(ex, PF_HEADER_RECORD_KEY);
    ok = pf_auth_read(a, ex->call->body, rq, ex->header(ex, "Signature-Input"),
                      ex->header(ex, "Signature"), &ex->signature, ex->digest,
                      &why);
    if (ok && ex->call->auth == PF_AUTH_DEVICE) {
        if (!device_key(ex, &key))
            return 0;
        ok =
            pf_auth_check(a, &ex->signature, rq, key, ex->edge->now_ms(), &why);
        pf_key_free(key);
        ex->proved = ok;
        if (ok)
            pf_limits_proved(ex, ex->device.id);
    }
    if (!ok)
        pf_reply_problem(ex, &why);
    return ok;
}

enum pf_next pf_exchange_begin(struct pf_exchange *ex)
{
    const struct pf_handler *h;

    if (!pf_framing_check(ex) || (ex->gate && !pf_gate_open(ex->gate, ex)) ||
        !match(ex) || !pf_framing_length(ex))
        return PF_NEXT_REPLY;
    if (ex->listener == PF_LISTEN_CLIENT) {
        if (atomic_load(&ex->edge->draining)) {
            pf_reply_refuse(ex, PF_PROBLEM_DRAINING, "try again in a moment");
            ex->reply.close = 1;
            return PF_NEXT_REPLY;
        }
        atomic_fetch_add(&ex->edge->active, 1);
        ex->counted = 1;
        if (ex->call->auth != PF_AUTH_DEVICE && !pf_limits_unsigned(ex))
            return PF_NEXT_REPLY;
    }
    /* An admin learns nothing about tasks before it is let in. */
    if (ex->call->auth == PF_AUTH_ADMIN && !authenticate(ex))
        return PF_NEXT_REPLY;
    if (!find_task(ex))
        return PF_NEXT_REPLY;
    if (ex->call->auth != PF_AUTH_ADMIN && !authenticate(ex))
        return PF_NEXT_REPLY;
    h = &pf_handlers[ex->call->id];
    return h->begin ? h->begin(ex) : PF_NEXT_READ;
}

void pf_exchange_data(struct pf_exchange *ex, const void *p, size_t n)
{
    const struct pf_handler *h = &pf_handlers[ex->call->id];

    if (h->data)
        h->data(ex, p, n);
    else
        pf_buf_add(&ex->body, p, n);
}

enum pf_next pf_exchange_end(struct pf_exchange *ex)
{
    const struct pf_handler *h = &pf_handlers[ex->call->id];
    struct pf_problem why = {0};
    struct pf_error err = {0};

    if (!h->data && pf_buf_status(&ex->body) != POCKETFED_OK) {
        pf_fail(&err, pf_buf_status(&ex->body), "no memory for a body");
        return pf_reply_internal(ex, &err);
    }
    if (ex->call->body == PF_BODY_CONTROL && ex->call->auth != PF_AUTH_ADMIN &&
        !pf_auth_body(ex->digest, ex->body.data, ex->body.len, &why))
        return pf_reply_problem(ex, &why);
    return h->end(ex);
}

enum pf_next pf_exchange_continue(struct pf_exchange *ex)
{
    return ex->then(ex);
}

#define OF(type, member, p)                                                    \
    ((struct type *)(void *)((char *)(p)-offsetof(struct type, member)))

static void woken(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;

    ex->wake(ex); /* ex may be gone afterwards */
    atomic_fetch_sub(&e->waiting, 1);
}

/* What the coordinator keeps changes hands here, on its own thread: a woken
 * exchange may be freed before anybody looks at the answer. */
static void event_done(struct pf_waiter *w, const struct pf_answer *answer)
{
    struct pf_exchange *ex = OF(pf_exchange, waiter, w);

    ex->answer = *answer;
    if (answer->kind == PF_ANSWER_ACK && !answer->again)
        ex->ingest.has_extent = 0;
    woken(ex);
}

static void job_done(struct pf_job *job)
{
    struct pf_exchange *ex = OF(pf_exchange, job, job);

    if (job->kind == PF_JOB_TASK && job->problem.id == PF_PROBLEM_NONE)
        ex->made = NULL;
    woken(ex);
}

static enum pf_next refuse_wait(struct pf_exchange *ex)
{
    if (atomic_load(&ex->edge->draining))
        return pf_reply_refuse(ex, PF_PROBLEM_DRAINING,
                               "try again in a moment");
    return pf_reply_refuse(ex, PF_PROBLEM_BUSY, "too many requests wait");
}

enum pf_next pf_exchange_submit(struct pf_exchange *ex,
                                const struct pf_event *ev, int reserved,
                                pf_then_fn then)
{
    struct pf_edge *e = ex->edge;

    atomic_fetch_add(&e->waiting, 1);
    ex->then = then;
    ex->waiter.done = event_done;
    if (atomic_load(&e->draining) < 2 &&
        pf_coordinator_submit(e->coordinator, ex->task, ev, &ex->waiter,
                              reserved) == POCKETFED_OK)
        return PF_NEXT_WAIT; /* ex may be woken already */
    atomic_fetch_sub(&e->waiting, 1);
    if (reserved)
        pf_coordinator_unreserve(e->coordinator);
    return refuse_wait(ex);
}

enum pf_next pf_exchange_run(struct pf_exchange *ex, pf_then_fn then)
{
    struct pf_edge *e = ex->edge;

    atomic_fetch_add(&e->waiting, 1);
    ex->then = then;
    ex->job.done = job_done;
    if (atomic_load(&e->draining) < 2 &&
        pf_coordinator_run(e->coordinator, &ex->job) == POCKETFED_OK)
        return PF_NEXT_WAIT;
    atomic_fetch_sub(&e->waiting, 1);
    return refuse_wait(ex);
}

int pf_route_decode(struct pf_exchange *ex, const struct pf_json_field *fields,
                    enum pf_json_unknown unknown, void *out)
{
    struct pf_error err = {0};

    if (pf_json_decode(fields, unknown, pf_buf_str(&ex->body), ex->body.len,
                       out, &err) == POCKETFED_OK)
        return 1;
    pf_reply_refuse(ex, PF_PROBLEM_MALFORMED, "%s", err.text);
    return 0;
}

const char *pf_route_query_text(const struct pf_exchange *ex, const char *name,
                                size_t *len)
{
    size_t n = strlen(name);
    const char *p = ex->query + 1; /* behind the "?" */

    while (*p) {
        *len = strcspn(p, "&");
        if (*len > n && p[n] == '=' && memcmp(p, name, n) == 0) {
            *len -= n + 1;
            return p + n + 1;
        }
        p += *len + (p[*len] == '&');
    }
    return NULL;
}

int pf_route_query(struct pf_exchange *ex, const char *name, uint64_t max,
                   uint64_t absent, uint64_t *out)
{
    size_t len;
    const char *p = pf_route_query_text(ex, name, &len);

    *out = absent;
    if (!p || pf_parse_u64(p, len, 0, max, out))
        return 1;
    pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                    "%s is not a whole number up to %" PRIu64, name, max);
    return 0;
}
