/* Leaving: the server is told, then the folder forgets everything but its
 * receipts. The wish is a file of its own, so that a kill changes nothing: the
 * next open goes on with it.
 */
#include "client_core.h"

#include <string.h>

#include "refusal.h"
#include "statement.h"

#define MAX_CLOCKS 3

/* Who we are is still known: the server can be told. */
static int can_tell(const struct pocketfed_client *c)
{
    return c->joined || (c->joining && c->public_len > 0);
}

int pf_client_is_leaving(struct pocketfed_client *c)
{
    struct pf_buf mark;

    pf_buf_init(&mark, 64);
    c->leaving = pf_storage_load(&c->storage, PF_FILE_LEAVING, &mark, NULL) ==
                 POCKETFED_OK;
    pf_buf_free(&mark);
    return c->leaving;
}

enum pocketfed_status pocketfed_client_leave(struct pocketfed_client *c)
{
    enum pocketfed_status st;

    if (!c)
        return POCKETFED_INVALID;
    if (!can_tell(c))
        return POCKETFED_OK; /* it is in no task */
    st = pf_storage_save(&c->storage, PF_FILE_LEAVING, "", 0, &c->error);
    if (st)
        return st;
    if (c->in_flight)
        c->transport.cancel(c->transport.ctx);
    c->in_flight = 0;
    c->leaving = 1;
    c->asks_key = 0;
    c->unsaved = 0;
    c->stopped = POCKETFED_OK; /* a device that was refused may leave, too */
    c->wait_ms = 0;
    c->attempts = c->clocks = 0;
    memset(&c->error, 0, sizeof c->error);
    return POCKETFED_OK;
}

enum pocketfed_status pf_client_forget(struct pocketfed_client *c)
{
    enum pocketfed_status st;

    pf_participation_free(c->part);
    c->part = NULL;
    st = pf_storage_clear(&c->storage, &c->error);
    if (st)
        return st;
    pf_storage_remove(&c->storage, PF_FILE_LEAVING);
    pf_infer_close(c->infer);
    pf_model_free(c->model);
    pf_keyring_free(&c->keyring);
    pf_key_free(c->key);
    c->infer = NULL;
    c->model = NULL;
    c->key = NULL;
    c->asks_key = 0;
    c->model_digest[0] = '\0';
    if (!c->env.sign) {
        memset(&c->identity, 0, sizeof c->identity);
        c->public_len = 0;
    }
    pf_client_wipe(&c->link, sizeof c->link);
    memset(&c->home, 0, sizeof c->home);
    memset(&c->counters, 0, sizeof c->counters);
    memset(&c->error, 0, sizeof c->error);
    c->joined = c->joining = c->leaving = 0;
    c->attempts = c->clocks = 0;
    c->offset_ms = 0;
    return POCKETFED_OK;
}

static enum pocketfed_status gone(struct pocketfed_client *c)
{
    enum pocketfed_status st = pf_client_forget(c);

    if (st)
        return st;
    c->event = POCKETFED_EVENT_LEFT;
    pf_log(&c->log, PF_LOG_INFO, "left");
    return POCKETFED_OK;
}

enum pocketfed_status pf_client_ask_to_leave(struct pocketfed_client *c)
{
    struct pf_want_request want;

    if (!can_tell(c))
        return gone(c);
    if (!c->joined) /* the enrolment's answer may have been lost */
        pf_client_link_peer(c);
    if (c->asks_key)
        return pf_client_ask_for_key(c);
    memset(&want, 0, sizeof want);
    want.call = PF_CALL_LEAVE;
    memcpy(want.args.task, c->joined ? c->home.task : c->link.task,
           sizeof want.args.task);
    want.max_reply = PF_MAX_CONTROL_BODY;
    return pf_client_send(c, &want);
}

/* The server's clock, when it is vouched for. Before an enrolment nothing but
 * TLS can do that, as there. */
static int take_time(struct pocketfed_client *c, const struct pf_want_reply *r,
                     const struct pf_problem *problem)
{
    if (problem->server_time_ms <= 0 || c->clocks++ >= MAX_CLOCKS ||
        (c->joined &&
         pf_statement_verify_field(pf_keyring_now(&c->keyring), PF_SAY_TIME,
                                   r->body, r->body_len, r->statement)))
        return 0;
    c->offset_ms = problem->server_time_ms - pf_client_now(c);
    return 1;
}

enum pocketfed_status pf_client_left(struct pocketfed_client *c,
                                     const struct pf_want_reply *r)
{
    enum pf_problem_action action;
    struct pf_problem problem;

    if (c->asks_key)
        return pf_client_told_key(c, r);
    if (r->status >= 200 && r->status < 300)
        return gone(c);
    action = pf_refusal_read(r, "leaving", &problem, &c->error);
    switch (problem.id) {
    case PF_PROBLEM_DEVICE_UNKNOWN:
    case PF_PROBLEM_DEVICE_REVOKED:
    case PF_PROBLEM_TASK_UNKNOWN:
        return gone(c); /* nothing is left to leave */
    default:
        break;
    }
    if (action == PF_DO_STOP || action == PF_DO_DROP) {
        if (!c->error.hint[0])
            pf_hint(&c->error, "to forget the task without the server's word, "
                               "remove the folder");
        if (problem.id != PF_PROBLEM_RECORD_KEY ||
            c->keyring.n == PF_KEYRING_MAX)
            return pf_client_stop(c, c->error.status);
        c->asks_key = 1;
        return POCKETFED_OK;
    }
    if (action != PF_DO_CLOCK || !take_time(c, r, &problem))
        pf_client_retry(c, problem.retry_after_ms);
    return POCKETFED_OK;
}
