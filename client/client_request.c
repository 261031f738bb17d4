/* One request on its way: begun, polled, failed, given up. */
#include "client_core.h"

#include <string.h>

#define IDLE_MS 20 /* before an app's transport is asked again */

enum pocketfed_status pf_client_send(struct pocketfed_client *c,
                                     const struct pf_want_request *want)
{
    int64_t created_ms = pf_client_now(c) + c->offset_ms;
    enum pocketfed_status st;

    st = pf_request_build(&c->built, want, &c->identity, &c->peer,
                          created_ms / 1000, &c->error);
    if (st)
        return st;
    st = c->transport.begin(c->transport.ctx, &c->built.r);
    if (st == POCKETFED_OK) {
        c->in_flight = 1;
        return POCKETFED_OK;
    }
    pf_fail(&c->error, st, "a request cannot be sent: %s",
            pocketfed_status_text(st));
    if (st == POCKETFED_PROOF)
        return pf_client_stop(c, st);
    pf_client_retry(c, 0);
    return POCKETFED_OK;
}

static void count(struct pocketfed_client *c, const struct pocketfed_reply *r)
{
    c->bytes_up += r->bytes_sent;
    c->bytes_down += r->bytes_received;
    c->counters.bytes_up += r->bytes_sent;
    c->counters.bytes_down += r->bytes_received;
}

/* Asks the transport; *out says how far it has come, whatever it answers. */
static enum pocketfed_status ask(struct pocketfed_client *c, int budget,
                                 struct pocketfed_reply *out, char *why,
                                 size_t why_len)
{
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    return c->transport.poll(c->transport.ctx, budget, out, why, why_len);
}

/* The reply is only what had come by then. */
static enum pocketfed_status failed(struct pocketfed_client *c,
                                    enum pocketfed_status st, const char *why,
                                    const struct pocketfed_reply *so_far)
{
    struct pf_want_reply r;
    int64_t wait_ms = 0;

    pf_fail(&c->error, st, "%s", why[0] ? why : pocketfed_status_text(st));
    if (st == POCKETFED_PROOF) {
        pf_hint(&c->error, "if the server has a new TLS key, ask its operator "
                           "for a new join link");
        return pf_client_stop(c, st);
    }
    if (c->joined && !c->leaving) {
        pf_request_reply(so_far, &r);
        if (st == POCKETFED_LIMIT) /* too long: no beginning of anything */
            memset(&r, 0, sizeof r);
        wait_ms = pf_participation_failed(c->part, &r);
    }
    pf_client_retry(c, wait_ms);
    return POCKETFED_AGAIN;
}

enum pocketfed_status pf_client_poll(struct pocketfed_client *c, int budget_ms,
                                     struct pf_want_reply *out)
{
    struct pocketfed_reply reply;
    char why[256] = "";
    enum pocketfed_status st;

    st = ask(c, budget_ms, &reply, why, sizeof why);
    if (st == POCKETFED_AGAIN) {
        c->idle_ms = IDLE_MS;
        return st;
    }
    c->in_flight = 0;
    count(c, &reply);
    if (st) {
        st = failed(c, st, why, &reply);
        c->transport.cancel(c->transport.ctx);
        return st;
    }
    pf_request_reply(&reply, out);
    return POCKETFED_OK;
}

void pf_client_give_up_request(struct pocketfed_client *c)
{
    struct pocketfed_reply reply;
    struct pf_want_reply r;
    char why[256];

    if (!c->in_flight)
        return;
    c->in_flight = 0;
    if (c->joined && !c->leaving) {
        ask(c, 0, &reply, why, sizeof why);
        count(c, &reply);
        pf_request_reply(&reply, &r);
        pf_participation_cut(c->part, &r);
    }
    c->transport.cancel(c->transport.ctx);
}
