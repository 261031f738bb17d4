#include "routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "joinlink.h"
#include "quota.h"
#include "statement.h"

#define DEFAULT_ROUNDS 100
#define MAX_ROUNDS     1000

/* ---- views, also for the client's status call ---- */

enum pf_next pf_route_view(struct pf_exchange *ex, struct pf_live_task *t,
                           pf_then_fn then)
{
    memset(&ex->job, 0, sizeof ex->job);
    ex->job.kind = PF_JOB_VIEW;
    ex->job.task = t;
    return pf_exchange_run(ex, then);
}

void pf_route_status(struct pf_exchange *ex, struct pf_task_status *out)
{
    struct pf_store_reader *reader;

    *out = ex->job.u.view.status;
    reader = pf_readers_take(ex->edge->readers, NULL);
    if (!reader)
        return;
    out->devices = pf_reader_n_devices(reader, ex->job.task->stored.id);
    pf_readers_give(ex->edge->readers, reader);
}

/* The job's answer, or its refusal. */
static enum pf_next answer_status(struct pf_exchange *ex, int status)
{
    struct pf_task_status s;

    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    pf_route_status(ex, &s);
    return pf_reply_json(ex, status, pf_task_status_fields, &s, NULL);
}

static enum pf_next show(struct pf_exchange *ex)
{
    return answer_status(ex, 200);
}

enum pf_next pf_route_admin_task(struct pf_exchange *ex)
{
    return pf_route_view(ex, ex->task, show);
}

/* ---- info ---- */

enum pf_next pf_route_admin_info(struct pf_exchange *ex)
{
    const struct pf_edge *e = ex->edge;
    const char *brackets = strchr(e->link_host, ':') ? "[]" : NULL;
    struct pf_store_reader *reader;
    struct pf_live_task *t = NULL;
    struct pf_error err = {0};
    struct pf_admin_info info;

    memset(&info, 0, sizeof info);
    snprintf(info.version, sizeof info.version, "%s", POCKETFED_VERSION);
    snprintf(info.state_dir, sizeof info.state_dir, "%s", e->state_dir);
    snprintf(info.client_address, sizeof info.client_address, "%s%.110s%s:%u",
             brackets ? "[" : "", e->link_host, brackets ? "]" : "",
             e->link_port);
    pf_key_fingerprint(e->record_key, info.record_key);
    info.uptime_ms = e->now_ms() - e->started_ms;
    reader = pf_readers_take(e->readers, &err);
    if (!reader)
        return pf_reply_internal(ex, &err);
    while ((t = pf_coordinator_next_task(e->coordinator, t)) != NULL) {
        info.tasks++;
        info.devices += pf_reader_n_devices(reader, t->stored.id);
    }
    pf_readers_give(e->readers, reader);
    return pf_reply_json(ex, 200, pf_admin_info_fields, &info, NULL);
}

/* ---- tasks ---- */

static enum pf_next listed(struct pf_exchange *ex);

/* Asks for the next task's status, or ends the list. */
static enum pf_next list_next(struct pf_exchange *ex)
{
    ex->cursor = pf_coordinator_next_task(ex->edge->coordinator, ex->cursor);
    if (ex->cursor)
        return pf_route_view(ex, ex->cursor, listed);
    pf_buf_adds(&ex->reply.body, "]}");
    pf_reply_header(ex, "Cache-Control", "no-store");
    return pf_reply_body(ex, 200, PF_TYPE_JSON);
}

static enum pf_next listed(struct pf_exchange *ex)
{
    enum pocketfed_status st;
    struct pf_task_status s;
    struct pf_error err = {0};

    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    pf_route_status(ex, &s);
    if (ex->listed++ > 0)
        pf_buf_adds(&ex->reply.body, ",");
    st = pf_json_encode(pf_task_status_fields, &s, &ex->reply.body);
    if (st == POCKETFED_OK)
        return list_next(ex);
    pf_fail(&err, st, "the status of task %s is no JSON", s.task);
    return pf_reply_internal(ex, &err);
}

enum pf_next pf_route_admin_tasks(struct pf_exchange *ex)
{
    pf_reply_clear(ex);
    pf_buf_adds(&ex->reply.body, "{\"tasks\":[");
    return list_next(ex);
}

static enum pf_next created_status(struct pf_exchange *ex)
{
    enum pf_next next = answer_status(ex, 201);

    if (ex->reply.status == 201)
        pf_reply_header(ex, "Location", "/admin/v1/tasks/%s",
                        ex->job.task->stored.name);
    return next;
}

static enum pf_next created(struct pf_exchange *ex)
{
    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    return pf_route_view(ex, ex->job.u.add, created_status);
}

enum pf_next pf_route_admin_task_create(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_problem why = {0};
    struct pf_error err = {0};
    enum pocketfed_status st;

    if (!pf_quota_task(ex))
        return PF_NEXT_REPLY;
    st = pf_live_task_make(e->objects, e->record_key, pf_buf_str(&ex->body),
                           ex->body.len, &ex->made, &err);
    if (st == POCKETFED_IO || st == POCKETFED_NO_MEMORY ||
        st == POCKETFED_INTERNAL)
        return pf_reply_internal(ex, &err);
    if (st != POCKETFED_OK) {
        pf_problem_set(&why, PF_PROBLEM_TASK_INVALID, "%s", err.text);
        snprintf(why.hint, sizeof why.hint, "%.150s", err.hint);
        return pf_reply_problem(ex, &why);
    }
    memset(&ex->job, 0, sizeof ex->job);
    ex->job.kind = PF_JOB_TASK;
    ex->job.u.add = ex->made;
    return pf_exchange_run(ex, created);
}

static enum pf_next was_set(struct pf_exchange *ex)
{
    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    return pf_route_view(ex, ex->task, show);
}

enum pf_next pf_route_admin_task_set(struct pf_exchange *ex)
{
    static const enum pf_command commands[] = {
        [PF_ORDER_RUNNING] = PF_CMD_RESUME,
        [PF_ORDER_PAUSED] = PF_CMD_PAUSE,
        [PF_ORDER_FINISHED] = PF_CMD_FINISH,
    };
    struct pf_task_set rq = {0};

    if (!pf_route_decode(ex, pf_task_set_fields, PF_JSON_REFUSE, &rq))
        return PF_NEXT_REPLY;
    if ((rq.state != PF_ORDER_NONE) + (rq.abort_round != 0) +
            (rq.rollback != 0) !=
        1)
        return pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                               "give one of state, abort_round and rollback");
    memset(&ex->job, 0, sizeof ex->job);
    ex->job.kind = PF_JOB_TASK_SET;
    ex->job.task = ex->task;
    ex->job.u.set.command = rq.state != PF_ORDER_NONE ? commands[rq.state]
                            : rq.abort_round          ? PF_CMD_ABORT
                                                      : PF_CMD_ROLLBACK;
    ex->job.u.set.source = rq.rollback;
    return pf_exchange_run(ex, was_set);
}

/* ---- tokens ---- */

/* The token is in no struct that outlives this: it goes out in the reply,
 * which waits in the exchange until its hash is durable. */
static enum pf_next token_made(struct pf_exchange *ex)
{
    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    return pf_reply_body(ex, 201, PF_TYPE_JSON);
}

static enum pocketfed_status write_link(const struct pf_exchange *ex,
                                        const char *token, char *out,
                                        size_t cap)
{
    const struct pf_edge *e = ex->edge;
    struct pf_join_link l;

    memset(&l, 0, sizeof l);
    snprintf(l.host, sizeof l.host, "%s", e->link_host);
    l.port = e->link_port;
    memcpy(l.task, ex->args.task, sizeof l.task);
    pf_key_fingerprint(e->record_key, l.id);
    if (e->has_pin) {
        memcpy(l.pins[0], e->pin, sizeof l.pins[0]);
        l.n_pins = 1;
    }
    memcpy(l.token, token, PF_TOKEN_LEN + 1);
    return pf_join_link_write(&l, out, cap);
}

enum pf_next pf_route_admin_token_create(struct pf_exchange *ex)
{
    struct pf_token_request rq;
    struct pf_token_reply reply;
    struct pf_error err = {0};
    char token[PF_TOKEN_LEN + 1];
    enum pocketfed_status st;

    memset(&rq, 0, sizeof rq);
    memset(&reply, 0, sizeof reply);
    rq.uses = 1;
    rq.expires_s = 3600;
    if (!pf_route_decode(ex, pf_token_request_fields, PF_JSON_REFUSE, &rq))
        return PF_NEXT_REPLY;
    if (rq.uses == 0 || rq.uses > 1000000)
        return pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                               "uses must be 1 to 1000000");
    if (rq.expires_s < 1 || rq.expires_s > 10LL * 366 * 86400)
        return pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                               "expires_s must be 1 to 316224000 (10 years)");
    if (rq.has_ordinal && rq.uses != 1)
        return pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                               "a token with an ordinal has one use");
    if (!pf_quota_token(ex))
        return PF_NEXT_REPLY;
    reply.expires_ms = ex->edge->now_ms() + rq.expires_s * 1000;
    reply.uses = rq.uses;
    st = pf_token_make(token);
    if (st == POCKETFED_OK)
        st = write_link(ex, token, reply.link, sizeof reply.link);
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "cannot write a join link for host %s",
                ex->edge->link_host);
        return pf_reply_internal(ex, &err);
    }
    memset(&ex->job, 0, sizeof ex->job);
    ex->job.kind = PF_JOB_TOKEN;
    ex->job.task = ex->task;
    pf_token_hash(token, ex->job.u.token.hash);
    ex->job.u.token.uses = rq.uses;
    ex->job.u.token.ordinal = rq.ordinal;
    ex->job.u.token.has_ordinal = rq.has_ordinal;
    ex->job.u.token.expires_ms = reply.expires_ms;
    memcpy(ex->job.u.token.label, rq.label, sizeof rq.label);
    pf_reply_json(ex, 201, pf_token_reply_fields, &reply, NULL);
    if (ex->reply.status != 201)
        return PF_NEXT_REPLY;
    return pf_exchange_run(ex, token_made);
}

/* ---- rounds ---- */

struct round_list {
    struct pf_exchange *ex;
    int alone;                    /* one round instead of a list */
    enum pocketfed_status status; /* of the first that is no JSON */
};

static void add_round(void *ctx, const struct pf_round_status *stored)
{
    struct round_list *list = ctx;
    struct pf_exchange *ex = list->ex;
    struct pf_round_status rs = *stored;

    if (list->status != POCKETFED_OK ||
        (list->alone && rs.round != ex->args.round))
        return;
    if (ex->job.u.view.has_open && ex->job.u.view.open.round == rs.round)
        rs = ex->job.u.view.open; /* newer than what is stored */
    rs.needed = ex->task->task.round.collect.min;
    if (ex->listed++ > 0)
        pf_buf_adds(&ex->reply.body, ",");
    list->status = pf_json_encode(pf_round_status_fields, &rs, &ex->reply.body);
}

/* 1 with the rounds in the reply's body. */
static int write_rounds(struct pf_exchange *ex, uint64_t since, size_t max,
                        int alone)
{
    struct round_list list = {ex, alone, POCKETFED_OK};
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    enum pocketfed_status st;

    reader = pf_readers_take(ex->edge->readers, &err);
    if (!reader) {
        pf_reply_internal(ex, &err);
        return 0;
    }
    pf_reply_clear(ex);
    if (!alone)
        pf_buf_adds(&ex->reply.body, "{\"rounds\":[");
    st = pf_reader_rounds(reader, ex->task->stored.id, since, max, add_round,
                          &list);
    pf_readers_give(ex->edge->readers, reader);
    if (st == POCKETFED_OK)
        st = list.status;
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "cannot read the rounds of %s", ex->args.task);
        pf_reply_internal(ex, &err);
        return 0;
    }
    if (!alone)
        pf_buf_adds(&ex->reply.body, "]}");
    pf_reply_header(ex, "Cache-Control", "no-store");
    return 1;
}

static enum pf_next rounds_seen(struct pf_exchange *ex)
{
    uint64_t since, limit;

    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    if (!pf_route_query(ex, "since", INT64_MAX, 0, &since) ||
        !pf_route_query(ex, "limit", MAX_ROUNDS, DEFAULT_ROUNDS, &limit) ||
        !write_rounds(ex, since, (size_t)limit, 0))
        return PF_NEXT_REPLY;
    return pf_reply_body(ex, 200, PF_TYPE_JSON);
}

enum pf_next pf_route_admin_rounds(struct pf_exchange *ex)
{
    return pf_route_view(ex, ex->task, rounds_seen);
}

static enum pf_next round_seen(struct pf_exchange *ex)
{
    uint64_t round = ex->args.round;

    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    if (round > 0 && round <= INT64_MAX && !write_rounds(ex, round - 1, 1, 1))
        return PF_NEXT_REPLY;
    if (ex->listed == 0)
        return pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND,
                               "task %s has no round %" PRIu64, ex->args.task,
                               round);
    return pf_reply_body(ex, 200, PF_TYPE_JSON);
}

enum pf_next pf_route_admin_round(struct pf_exchange *ex)
{
    return pf_route_view(ex, ex->task, round_seen);
}

/* ---- device classes ---- */

static void add_class(void *ctx, const struct pf_class_status *cs)
{
    struct round_list *list = ctx;
    struct pf_exchange *ex = list->ex;

    if (list->status != POCKETFED_OK)
        return;
    if (ex->listed++ > 0)
        pf_buf_adds(&ex->reply.body, ",");
    list->status = pf_json_encode(pf_class_status_fields, cs, &ex->reply.body);
}

enum pf_next pf_route_admin_classes(struct pf_exchange *ex)
{
    struct round_list list = {ex, 0, POCKETFED_OK};
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    enum pocketfed_status st;
    uint64_t since;

    if (!pf_route_query(ex, "since", INT64_MAX, 0, &since))
        return PF_NEXT_REPLY;
    reader = pf_readers_take(ex->edge->readers, &err);
    if (!reader)
        return pf_reply_internal(ex, &err);
    pf_reply_clear(ex);
    pf_buf_adds(&ex->reply.body, "{\"classes\":[");
    st =
        pf_reader_classes(reader, ex->task->stored.id, since, add_class, &list);
    pf_readers_give(ex->edge->readers, reader);
    if (st == POCKETFED_OK)
        st = list.status;
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "cannot read the classes of %s", ex->args.task);
        return pf_reply_internal(ex, &err);
    }
    pf_buf_adds(&ex->reply.body, "]}");
    pf_reply_header(ex, "Cache-Control", "no-store");
    return pf_reply_body(ex, 200, PF_TYPE_JSON);
}
