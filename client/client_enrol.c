/* Enrolment: the token and the new key go up, who we are comes back under the
 * record key that the join link names.
 */
#include "client_core.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "refusal.h"
#include "statement.h"
#include "text.h"

#define MAX_CLOCKS 3

void pf_client_link_peer(struct pocketfed_client *c)
{
    c->peer = (struct pf_peer){
        .host = c->link.host,
        .port = c->link.port,
        .pins = (const uint8_t(*)[32])c->link.pins,
        .n_pins = c->link.n_pins,
    };
    if (c->keyring.n > 0) /* the link's key was replaced */
        pf_key_fingerprint(pf_keyring_now(&c->keyring), c->peer.record_key);
    else
        memcpy(c->peer.record_key, c->link.id, sizeof c->peer.record_key);
}

enum pocketfed_status pf_client_ask_for_key(struct pocketfed_client *c)
{
    struct pf_want_request want;

    memset(&want, 0, sizeof want);
    want.call = PF_CALL_KEY;
    memcpy(want.args.digest, c->peer.record_key, 32);
    want.max_reply = PF_MAX_CONTROL_BODY;
    return pf_client_send(c, &want);
}

enum pocketfed_status pf_client_enrol(struct pocketfed_client *c)
{
    struct pf_enrol_request ask;
    struct pf_want_request want;
    enum pocketfed_status st;

    memset(&ask, 0, sizeof ask);
    memcpy(ask.token, c->link.token, sizeof ask.token);
    snprintf(ask.alg, sizeof ask.alg, "%s", pf_key_alg_name(c->identity.alg));
    ask.key.len = c->public_len;
    memcpy(ask.key.data, c->public_key, c->public_len);
    memcpy(ask.label, c->label, sizeof ask.label);
    snprintf(ask.client_version, sizeof ask.client_version, "%s",
             POCKETFED_VERSION);
    pf_buf_clear(&c->enrol_body);
    st = pf_json_encode(pf_enrol_request_fields, &ask, &c->enrol_body);
    pf_client_wipe(&ask, sizeof ask);
    if (st)
        return pf_fail(&c->error, st, "no memory for the enrolment");

    pf_client_link_peer(c);
    if (c->asks_key)
        return pf_client_ask_for_key(c);
    memset(&want, 0, sizeof want);
    want.max_reply = PF_MAX_CONTROL_BODY;
    want.call = PF_CALL_ENROL;
    memcpy(want.args.task, c->link.task, sizeof want.args.task);
    want.body = c->enrol_body.data;
    want.body_len = c->enrol_body.len;
    pf_sha256(want.body, want.body_len, want.digest);
    return pf_client_send(c, &want);
}

/* The reply is from the server of the link and speaks of us. */
static enum pocketfed_status prove(struct pocketfed_client *c,
                                   const struct pf_want_reply *r,
                                   struct pf_enrol_reply *said)
{
    struct pf_key *key = NULL;
    uint8_t id[32];
    char is[65], want[65];
    enum pocketfed_status st;

    st = pf_key_from_public(PF_KEY_ED25519, said->record_key,
                            sizeof said->record_key, &key);
    if (st)
        return pf_fail(&c->error, POCKETFED_PROOF,
                       "the server's record key is no key");
    pf_key_fingerprint(key, id);
    if (memcmp(id, c->peer.record_key, sizeof id) != 0) {
        pf_hex(id, 32, is);
        pf_hex(c->peer.record_key, 32, want);
        st = pf_fail(&c->error, POCKETFED_PROOF,
                     "the server's record key is %.16s..., the join link "
                     "names %.16s...",
                     is, want);
    } else if (pf_statement_verify_field(key, PF_SAY_ENROLMENT, r->body,
                                         r->body_len, r->statement)) {
        st = pf_fail(&c->error, POCKETFED_PROOF,
                     "the enrolment is not signed by the record key of the "
                     "join link");
    } else if (strcmp(said->task, c->link.task) != 0) {
        st = pf_fail(&c->error, POCKETFED_PROOF,
                     "the enrolment is for task %s, not %s", said->task,
                     c->link.task);
    } else if (memcmp(said->device, c->identity.device, PF_DEVICE_LEN) != 0) {
        st = pf_fail(&c->error, POCKETFED_PROOF,
                     "the enrolment is for another device");
    }
    if (st)
        pf_hint(&c->error, "ask the operator for a new join link");
    pf_key_free(key);
    return st;
}

static enum pocketfed_status settle(struct pocketfed_client *c,
                                    const struct pf_enrol_reply *said)
{
    struct pf_membership *h = &c->home;
    uint8_t pinned[PF_PUBLIC_MAX];
    enum pocketfed_status st;
    int64_t off;

    memset(h, 0, sizeof *h);
    memcpy(h->host, c->link.host, sizeof h->host);
    h->port = c->link.port;
    for (; h->n_pins < c->link.n_pins; h->n_pins++)
        pf_hex(c->link.pins[h->n_pins], 32, h->pins[h->n_pins]);
    memcpy(h->task, said->task, sizeof h->task);
    memcpy(h->record_key, said->record_key, sizeof h->record_key);
    if (c->keyring.n > 0) { /* trust begins with the link's */
        pf_key_public(c->keyring.key[0], pinned);
        memcpy(h->record_key, pinned, sizeof h->record_key);
    }
    memcpy(h->device, said->device, sizeof h->device);
    h->ordinal = said->ordinal;
    st = pf_storage_set_aside(&c->storage, &c->error);
    if (st == POCKETFED_OK)
        st = pf_storage_set_membership(&c->storage, h, &c->error);
    if (st == POCKETFED_OK)
        st = pf_client_set_home(c);
    if (st)
        return st;
    pf_client_forget_link(c);
    off = said->server_time_ms - pf_client_now(c);
    c->offset_ms = 0;
    if (said->server_time_ms > 0 &&
        (off > PF_SKEW_S * 500 || off < -PF_SKEW_S * 500))
        c->offset_ms = off;
    c->event = POCKETFED_EVENT_JOINED;
    c->attempts = c->clocks = 0;
    memset(&c->error, 0, sizeof c->error);
    pf_log(&c->log, PF_LOG_INFO, "joined task=%s ordinal=%" PRIu64, h->task,
           h->ordinal);
    return POCKETFED_OK;
}

/* What the person can do when the server did not say it. */
static void advise(enum pf_problem_id id, struct pf_error *err)
{
    if (err->hint[0])
        return;
    if (id == PF_PROBLEM_CLIENT_TOO_OLD)
        pf_hint(err, "update the app");
    else if (id != PF_PROBLEM_TASK_FINISHED)
        pf_hint(err, "ask the operator for a new join link");
}

static enum pocketfed_status refused(struct pocketfed_client *c,
                                     const struct pf_want_reply *r)
{
    struct pf_problem problem;

    switch (pf_refusal_read(r, "enrolment", &problem, &c->error)) {
    case PF_DO_CLOCK:
        /* The record key is not known before the enrolment; what vouches for
         * this time is TLS, and the signed enrolment reply confirms it. */
        if (problem.server_time_ms > 0 && c->clocks++ < MAX_CLOCKS) {
            c->offset_ms = problem.server_time_ms - pf_client_now(c);
            return POCKETFED_OK;
        }
        break;
    case PF_DO_DROP:
    case PF_DO_STOP:
        if (problem.id == PF_PROBLEM_RECORD_KEY &&
            c->keyring.n < PF_KEYRING_MAX) {
            c->asks_key = 1;
            return POCKETFED_OK;
        }
        advise(problem.id, &c->error);
        return pf_client_stop(c, c->error.status);
    case PF_DO_RETRY:
        break;
    }
    pf_client_retry(c, problem.retry_after_ms);
    return POCKETFED_OK;
}

/* The key of the link's fingerprint says which one replaced it. The first such
 * statement also tells that key itself. */
static enum pocketfed_status follow_key(struct pocketfed_client *c,
                                        const struct pf_want_reply *r)
{
    uint8_t sig[PF_SIGNATURE_LEN], print[32];
    struct pf_rotation rotation;
    enum pocketfed_status st;

    memset(&rotation, 0, sizeof rotation);
    st = pf_json_decode(pf_rotation_fields, PF_JSON_IGNORE,
                        (const char *)r->body, r->body_len, &rotation, NULL);
    pf_sha256(rotation.old_key, sizeof rotation.old_key, print);
    if (st || memcmp(print, c->peer.record_key, sizeof print) != 0 ||
        pf_statement_parse(r->statement, sig))
        return POCKETFED_PROOF;
    if (c->keyring.n == 0) {
        st = pf_keyring_load(&c->keyring, &c->storage, rotation.old_key, NULL);
        if (c->keyring.n > 1) /* kept by a run that did not come to its end */
            return st;
    }
    if (st == POCKETFED_OK)
        st = pf_rotation_check(pf_keyring_now(&c->keyring), r->body,
                               r->body_len, sig, &rotation, NULL);
    if (st == POCKETFED_OK)
        st = pf_keyring_follow(&c->keyring, &c->storage, &rotation, r->body,
                               r->body_len, r->statement, NULL);
    if (st == POCKETFED_OK && c->joined)
        pf_client_use_key(c);
    return st;
}

/* c->error says what was refused for the key. */
enum pocketfed_status pf_client_told_key(struct pocketfed_client *c,
                                         const struct pf_want_reply *r)
{
    struct pf_problem problem;
    struct pf_error why;

    if (r->status >= 200 && r->status <= 299 &&
        follow_key(c, r) == POCKETFED_OK) {
        c->asks_key = 0;
        return POCKETFED_OK;
    }
    if (r->status > 299 && pf_refusal_read(r, "question for a new record key",
                                           &problem, &why) == PF_DO_RETRY) {
        pf_client_retry(c, problem.retry_after_ms);
        return POCKETFED_OK;
    }
    c->asks_key = 0;
    advise(PF_PROBLEM_RECORD_KEY, &c->error);
    return pf_client_stop(c, c->error.status);
}

enum pocketfed_status pf_client_enrolled(struct pocketfed_client *c,
                                         const struct pf_want_reply *r)
{
    struct pf_enrol_reply said;
    enum pocketfed_status st;

    if (c->asks_key)
        return pf_client_told_key(c, r);
    if (r->status < 200 || r->status > 299)
        return refused(c, r);
    memset(&said, 0, sizeof said);
    if (pf_json_decode(pf_enrol_reply_fields, PF_JSON_IGNORE,
                       (const char *)r->body, r->body_len, &said, &c->error)) {
        pf_client_retry(c, r->retry_after_ms);
        return POCKETFED_OK;
    }
    st = prove(c, r, &said);
    if (st)
        return pf_client_stop(c, st);
    return settle(c, &said);
}
