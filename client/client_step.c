/* One bounded piece of work after another: send, receive, train, wait. */
#include "client_core.h"

#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "device_clock.h"
#include "text.h"

#define DEFAULT_BUDGET_MS 50

static int64_t training_clock(void *ctx)
{
    (void)ctx;
    return pf_device_monotonic_ms();
}

void pf_client_wait(struct pocketfed_client *c, int64_t ms)
{
    c->wait_from_ms = pf_client_now(c);
    c->wait_ms = ms > 0 ? ms : 0;
}

/* What is left of the wait. A clock that was set back does not prolong it. */
static int64_t wait_left(struct pocketfed_client *c)
{
    int64_t now, left;

    if (c->wait_ms <= 0)
        return 0;
    now = pf_client_now(c);
    if (now < c->wait_from_ms)
        c->wait_from_ms = now;
    left = c->wait_from_ms + c->wait_ms - now;
    if (left <= 0) {
        c->wait_ms = 0;
        left = 0;
    }
    return left;
}

enum pocketfed_status pf_client_stop(struct pocketfed_client *c,
                                     enum pocketfed_status status)
{
    c->stopped = status;
    if (c->joining && !c->leaving) /* its token is of no use any more */
        pf_client_forget_link(c);
    pf_log(&c->log, status == POCKETFED_FINISHED ? PF_LOG_INFO : PF_LOG_ERROR,
           "stopped status=%s why=\"%s\"", pocketfed_status_name(status),
           c->error.text);
    return status;
}

void pf_client_retry(struct pocketfed_client *c, int64_t retry_after_ms)
{
    c->event = POCKETFED_EVENT_RETRY;
    if (retry_after_ms <= 0)
        retry_after_ms = pf_backoff_ms(pf_get64(c->identity.device), c->draws++,
                                       c->attempts);
    if (retry_after_ms > PF_WAIT_MOST_MS)
        retry_after_ms = PF_WAIT_MOST_MS;
    c->attempts++;
    pf_client_wait(c, retry_after_ms);
    pf_log(&c->log, PF_LOG_WARN, "retry in_ms=%" PRId64 " why=\"%s\"",
           c->wait_ms, c->error.text);
}

/* The receipt's line: the exact bytes that were signed, as a JSON string. */
static enum pocketfed_status make_receipt(struct pocketfed_client *c,
                                          const struct pf_want_reply *r)
{
    pf_buf_clear(&c->receipt);
    pf_buf_adds(&c->receipt, "{\"ack\":");
    pf_json_string_n(&c->receipt, (const char *)r->body, r->body_len);
    pf_buf_adds(&c->receipt, ",\"signature\":");
    pf_json_string(&c->receipt, r->statement);
    c->receipt_key = c->receipt.len;
    return pf_buf_addf(&c->receipt, ",\"received_ms\":%" PRId64 "}",
                       pf_client_now(c));
}

/* How far the present participation is. */
static void look(const struct pocketfed_client *c, struct pocketfed_progress *p)
{
    memset(p, 0, sizeof *p);
    p->loss = (double)NAN;
    if (!c->part)
        return;
    p->round = pf_participation_round(c->part);
    pf_participation_progress(c->part, &p->examples_done, &p->examples_total,
                              &p->loss);
}

/* The receipt is stored before the frame is forgotten. */
static enum pocketfed_status accepted(struct pocketfed_client *c)
{
    const struct pf_ack *ack = pf_participation_ack(c->part);
    enum pocketfed_status st;
    char hex[65];

    st = pf_storage_append(&c->storage, PF_FILE_RECEIPTS,
                           pf_buf_str(&c->receipt), c->receipt_key, &c->error);
    if (st)
        return st;
    pf_hex(ack->digest, 32, hex);
    memcpy(c->counters.last_update, hex, sizeof hex);
    c->counters.last_round = ack->round;
    c->counters.last_accepted_ms = pf_client_now(c);
    c->counters.participations++;
    st = pf_storage_set_counters(&c->storage, &c->counters, &c->error);
    if (st)
        return st;
    c->member.last_round = ack->round;
    c->participations++;
    c->event = POCKETFED_EVENT_ACCEPTED;
    pf_log(&c->log, PF_LOG_INFO, "accepted round=%" PRIu64 " update=%.16s",
           ack->round, hex);
    look(c, &c->at_event);
    pf_participation_reset(c->part);
    if (c->max_participations && c->participations >= c->max_participations) {
        pf_fail(&c->error, POCKETFED_FINISHED,
                "%" PRIu64 " updates accepted, as many as asked for",
                c->participations);
        pf_client_stop(c, POCKETFED_FINISHED);
    }
    return POCKETFED_OK;
}

static enum pocketfed_status ended(struct pocketfed_client *c)
{
    switch (pf_participation_outcome(c->part)) {
    case PF_OUTCOME_ACCEPTED:
        return accepted(c);
    case PF_OUTCOME_FINISHED:
        pf_fail(&c->error, POCKETFED_FINISHED, "the task is finished");
        return pf_client_stop(c, POCKETFED_FINISHED);
    case PF_OUTCOME_REFUSED:
        c->error = *pf_participation_error(c->part);
        return pf_client_stop(c, c->error.status);
    case PF_OUTCOME_DROPPED:
    case PF_OUTCOME_RUNNING:
        break;
    }
    c->error = *pf_participation_error(c->part);
    c->event = POCKETFED_EVENT_DROPPED;
    pf_log(&c->log, PF_LOG_WARN, "dropped round=%" PRIu64 " why=\"%s\"",
           pf_participation_round(c->part), c->error.text);
    look(c, &c->at_event);
    pf_participation_reset(c->part);
    return POCKETFED_OK;
}

static int is_phase(const struct pocketfed_client *c, const char *name)
{
    return strcmp(pf_participation_phase(c->part), name) == 0;
}

/* The app's examples are counted anew until the training begins. */
static enum pocketfed_status count_examples(struct pocketfed_client *c)
{
    uint64_t n = 0;
    enum pocketfed_status st;

    if (is_phase(c, "upload") || is_phase(c, "failure"))
        return POCKETFED_OK;
    st = c->env.examples(c->env.ctx, &n);
    if (st)
        return pf_fail(&c->error, st, "the app cannot count its examples");
    c->examples.n = n > SIZE_MAX ? SIZE_MAX : (size_t)n;
    return POCKETFED_OK;
}

static enum pocketfed_status replied(struct pocketfed_client *c,
                                     const struct pf_want_reply *r)
{
    const char *before = pf_participation_phase(c->part), *after;
    uint64_t proved = pf_participation_proved(c->part);
    enum pocketfed_status st;

    st = count_examples(c);
    if (st)
        return st;
    st = pf_participation_reply(c->part, r, &c->error);
    if (pf_participation_server_time(c->part))
        c->offset_ms = pf_participation_server_time(c->part) - pf_client_now(c);
    if (st)
        return pf_client_stop(c, st);
    if (pf_participation_proved(c->part) != proved)
        pf_log(&c->log, PF_LOG_INFO, "proved round=%" PRIu64,
               pf_participation_proved(c->part));
    if (pf_participation_outcome(c->part) == PF_OUTCOME_ACCEPTED)
        return make_receipt(c, r);
    after = pf_participation_phase(c->part);
    if (before == after && pf_participation_error(c->part)->status) {
        c->error = *pf_participation_error(c->part);
        c->event = POCKETFED_EVENT_RETRY;
        pf_log(&c->log, PF_LOG_WARN, "retry why=\"%s\"", c->error.text);
    } else if (strcmp(before, "checkin") == 0 && before != after &&
               !is_phase(c, "ended") && pf_participation_round(c->part) > 0) {
        c->event = POCKETFED_EVENT_ASSIGNED;
        pf_log(&c->log, PF_LOG_INFO, "assigned round=%" PRIu64,
               pf_participation_round(c->part));
    }
    if (is_phase(c, "train")) {
        c->saved_ms = pf_device_monotonic_ms();
        c->unsaved = 0;
    }
    return POCKETFED_OK;
}

static enum pocketfed_status poll_reply(struct pocketfed_client *c, int budget)
{
    struct pf_want_reply r;
    enum pocketfed_status st;

    st = pf_client_poll(c, budget, &r);
    if (st == POCKETFED_AGAIN)
        return POCKETFED_OK;
    if (st)
        return st;
    c->attempts = c->joined && !c->leaving ? 0 : c->attempts;
    st = c->leaving  ? pf_client_left(c, &r)
         : c->joined ? replied(c, &r)
                     : pf_client_enrolled(c, &r);
    c->transport.cancel(c->transport.ctx); /* gives the reply's memory back */
    return st;
}

static enum pocketfed_status train(struct pocketfed_client *c, int budget)
{
    enum pocketfed_status st;

    st = pf_participation_train(c->part, budget, training_clock, NULL,
                                &c->error);
    if (st)
        return st;
    c->unsaved = 1;
    if (!is_phase(c, "train")) {
        c->unsaved = 0;
        if (is_phase(c, "upload"))
            c->event = POCKETFED_EVENT_TRAINED;
        return POCKETFED_OK;
    }
    if (pf_device_monotonic_ms() - c->saved_ms >=
        (int64_t)c->checkpoint_s * 1000) {
        c->saved_ms = pf_device_monotonic_ms();
        c->unsaved = 0;
        pf_participation_checkpoint(c->part, NULL); /* logged by save */
    }
    return POCKETFED_OK;
}

/* One piece of work, of about budget_ms at most. */
static enum pocketfed_status piece(struct pocketfed_client *c, int budget)
{
    struct pf_want_request want;
    int64_t wait_ms = 0;

    if (c->in_flight)
        return poll_reply(c, budget);
    if (c->leaving)
        return pf_client_ask_to_leave(c);
    if (!c->joined)
        return pf_client_enrol(c);
    if (!c->env.example) {
        pf_fail(&c->error, POCKETFED_INVALID,
                "env.examples and env.example are needed to train");
        return POCKETFED_INVALID;
    }
    switch (pf_participation_next(c->part, &want, &wait_ms)) {
    case PF_WANT_REQUEST:
        return pf_client_send(c, &want);
    case PF_WANT_TRAIN:
        return train(c, budget);
    case PF_WANT_WAIT:
        pf_client_wait(c, wait_ms);
        return POCKETFED_OK;
    case PF_WANT_ENDED:
        break;
    }
    return ended(c);
}

/* Not now: nothing goes on, and nothing would be lost. */
static enum pocketfed_status pause(struct pocketfed_client *c)
{
    pf_client_give_up_request(c);
    if (c->part && c->unsaved)
        pf_participation_checkpoint(c->part, NULL);
    c->unsaved = 0;
    pf_fail(&c->error, POCKETFED_INELIGIBLE, "the app says: not now");
    return POCKETFED_INELIGIBLE;
}

static enum pocketfed_status run(struct pocketfed_client *c, int budget_ms)
{
    int64_t end = pf_device_monotonic_ms() + budget_ms, left = budget_ms;
    enum pocketfed_status st;

    if (c->stopped)
        return c->stopped;
    if (!c->joined && !c->joining) {
        pf_fail(&c->error, POCKETFED_INVALID,
                "this folder has not joined a task yet");
        pf_hint(&c->error, "pocketfed_client_join with a join link");
        return POCKETFED_INVALID;
    }
    if (c->env.may_run && !c->env.may_run(c->env.ctx))
        return pause(c);
    if (wait_left(c) > 0)
        return POCKETFED_OK;
    do {
        st = piece(c, (int)left);
        left = end - pf_device_monotonic_ms();
    } while (st == POCKETFED_OK && !c->stopped && !c->event && !c->idle_ms &&
             c->wait_ms == 0 && left > 0);
    return st;
}

static enum pocketfed_state state_of(const struct pocketfed_client *c)
{
    if (c->stopped)
        return c->stopped == POCKETFED_FINISHED ? POCKETFED_STATE_FINISHED
                                                : POCKETFED_STATE_STOPPED;
    if (!c->joined && !c->joining)
        return POCKETFED_STATE_NEW;
    if (c->wait_ms > 0)
        return POCKETFED_STATE_WAITING;
    if (c->leaving)
        return POCKETFED_STATE_LEAVING;
    if (!c->joined)
        return POCKETFED_STATE_JOINING;
    if (is_phase(c, "train"))
        return POCKETFED_STATE_TRAINING;
    if (is_phase(c, "plan") || is_phase(c, "model"))
        return POCKETFED_STATE_FETCHING;
    if (is_phase(c, "upload") || is_phase(c, "failure"))
        return POCKETFED_STATE_UPLOADING;
    return POCKETFED_STATE_CHECKING_IN;
}

/* Copies at most as much as the app's struct has. */
static void give(void *to, size_t to_size, const void *from, size_t from_size)
{
    memcpy(to, from, to_size < from_size ? to_size : from_size);
    memcpy(to, &to_size, sizeof to_size);
}

static void report(struct pocketfed_client *c, struct pocketfed_progress *out)
{
    struct pocketfed_progress p;
    size_t size = out->size;

    if (c->event == POCKETFED_EVENT_ACCEPTED ||
        c->event == POCKETFED_EVENT_DROPPED)
        p = c->at_event; /* the machine has gone on to the next already */
    else
        look(c, &p);
    p.state = state_of(c);
    p.event = c->event;
    p.wait_ms = wait_left(c);
    if (p.wait_ms == 0)
        p.wait_ms = c->idle_ms;
    p.bytes_up = c->bytes_up;
    p.bytes_down = c->bytes_down;
    p.participations = c->participations;
    give(out, size, &p, sizeof p);
}

enum pocketfed_status pocketfed_client_step(struct pocketfed_client *c,
                                            int budget_ms,
                                            struct pocketfed_progress *progress)
{
    int64_t end;
    enum pocketfed_status st;
    fenv_t app;

    if (!c || (progress && progress->size < sizeof progress->size))
        return POCKETFED_INVALID;
    if (budget_ms <= 0)
        budget_ms = DEFAULT_BUDGET_MS;
    end = pf_device_monotonic_ms() + budget_ms;
    c->event = POCKETFED_EVENT_NONE;
    c->idle_ms = 0;
    /* The app's rounding mode or flushing of denormals must not reach the
     * training, nor ours the app. */
    fegetenv(&app);
    fesetenv(FE_DFL_ENV);
    st = run(c, budget_ms);
    fesetenv(&app);
    /* A transport that used its whole budget may be asked again at once. */
    if (pf_device_monotonic_ms() >= end)
        c->idle_ms = 0;
    if (progress)
        report(c, progress);
    return st;
}

enum pocketfed_status
pocketfed_client_status(const struct pocketfed_client *c,
                        struct pocketfed_status_report *out)
{
    struct pocketfed_status_report r;
    const struct pf_counters *n;

    if (!c || !out || out->size < sizeof out->size)
        return POCKETFED_INVALID;
    n = &c->counters;
    memset(&r, 0, sizeof r);
    r.state = state_of(c);
    if (c->joined || c->joining) {
        const char *host = c->joined ? c->home.host : c->link.host;
        int v6 = strchr(host, ':') != NULL;

        memcpy(r.task, c->joined ? c->home.task : c->link.task, sizeof r.task);
        snprintf(r.server, sizeof r.server, v6 ? "[%s]:%u" : "%s:%u", host,
                 c->joined ? (unsigned)c->home.port : (unsigned)c->link.port);
        pf_hex(c->joined ? c->peer.record_key : c->link.id, 32, r.record_key);
    }
    if (c->joined) {
        pf_hex(c->home.device, PF_DEVICE_LEN, r.device);
        r.ordinal = c->home.ordinal;
    }
    r.last_round = n->last_round;
    memcpy(r.last_update, n->last_update, sizeof r.last_update);
    r.last_accepted_ms = n->last_accepted_ms;
    r.participations = n->participations;
    r.bytes_up = n->bytes_up;
    r.bytes_down = n->bytes_down;
    if (n->n_models > 0)
        memcpy(r.model, n->models[0], sizeof r.model);
    give(out, out->size, &r, sizeof r);
    return POCKETFED_OK;
}
