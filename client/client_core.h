/* client_core.h - what the files of the handle share.  Nobody else includes
 * it.
 */
#ifndef PF_CLIENT_CORE_H
#define PF_CLIENT_CORE_H

#include <pocketfed/client.h>
#include "keyring.h"
#include "log.h"
#include "participation.h"
#include "request.h"
#include "storage.h"

#define PF_FILE_LINK     "join.link"
#define PF_FILE_KEY      "identity.key"
#define PF_FILE_RECEIPTS "receipts.jsonl"
#define PF_FILE_LEAVING  "leaving"

struct pocketfed_client {
    /* What the app gave. */
    struct pocketfed_env env;
    struct pocketfed_transport transport;
    struct pf_parallel threads; /* over env.run */
    struct pf_log log;
    char label[PF_LABEL_MAX + 1];
    char device_class[32];
    uint32_t checkpoint_s, max_participations;

    /* Who we are, and where. */
    struct pf_storage storage;
    struct pf_key *key; /* NULL when the app signs */
    struct pf_identity identity;
    uint8_t public_key[PF_PUBLIC_MAX];
    size_t public_len;
    int joining, joined, leaving;
    struct pf_join_link link;  /* while joining */
    struct pf_membership home; /* once joined */
    struct pf_keyring keyring; /* the pinned record key and what replaced it */
    uint8_t pins[PF_JOIN_MAX_PINS][32];
    struct pf_peer peer;
    struct pf_member member;
    struct pf_examples examples;
    struct pf_participation *part;
    struct pf_counters counters;

    /* The running request. */
    struct pf_built_request built;
    struct pf_buf enrol_body;
    int in_flight;
    int asks_key;      /* joining: what replaced the key of the join link? */
    int64_t offset_ms; /* server's clock minus ours; for signing only */

    /* Pace. */
    int64_t wait_from_ms, wait_ms; /* by the app's clock; 0: no wait */
    int64_t saved_ms;              /* monotonic, of the last checkpoint */
    int unsaved;                   /* trained since then */
    unsigned attempts, clocks;
    uint64_t draws;
    int idle_ms; /* the app's transport has nothing to do for us yet */

    /* What came of it. */
    enum pocketfed_status stopped; /* OK: going on */
    enum pocketfed_event event;    /* of this step */
    struct pocketfed_progress
        at_event; /* how far it was at ACCEPTED, DROPPED */
    struct pf_error error;
    struct pf_buf receipt; /* an acknowledgement that is not stored yet */
    size_t receipt_key;
    uint64_t bytes_up, bytes_down, participations; /* since open */

    /* The model for predictions. */
    enum pf_precision precision;
    struct pf_model *model;
    struct pf_infer *infer;
    char model_digest[65];
};

/* client_threads.c: c->threads, from c->env */
void pf_client_threads(struct pocketfed_client *c);
/* client_io.c: where a participation keeps what a kill must not lose. */
void pf_client_io(struct pocketfed_client *c, struct pf_participation_io *out);
/* client.c */
int64_t pf_client_now(const struct pocketfed_client *c);
/* Identity, for the first join; kept on disk before it is used. */
enum pocketfed_status pf_client_make_key(struct pocketfed_client *c);
/* c->home is set: everything that follows from it. */
enum pocketfed_status pf_client_set_home(struct pocketfed_client *c);
/* c->keyring has changed: whom requests and statements are for and from. */
void pf_client_use_key(struct pocketfed_client *c);
void pf_client_forget_link(struct pocketfed_client *c);
void pf_client_wipe(void *p, size_t n);

/* client_step.c: for good, with c->error. Returns its status. */
enum pocketfed_status pf_client_stop(struct pocketfed_client *c,
                                     enum pocketfed_status status);
void pf_client_wait(struct pocketfed_client *c, int64_t ms);
/* c->error is set: try again after Retry-After or backoff. */
void pf_client_retry(struct pocketfed_client *c, int64_t retry_after_ms);

/* client_request.c. Builds, signs and begins a request. */
enum pocketfed_status pf_client_send(struct pocketfed_client *c,
                                     const struct pf_want_request *want);
/* OK with the reply, valid until the transport's cancel; AGAIN: not yet, or it
 * failed and is to be sent again (c->in_flight tells); else for good. */
enum pocketfed_status pf_client_poll(struct pocketfed_client *c, int budget_ms,
                                     struct pf_want_reply *out);

/* Ends the running request, if any; what has come of it is not lost. */
void pf_client_give_up_request(struct pocketfed_client *c);

/* client_enrol.c */
enum pocketfed_status pf_client_enrol(struct pocketfed_client *c);
enum pocketfed_status pf_client_enrolled(struct pocketfed_client *c,
                                         const struct pf_want_reply *reply);
/* The server that the join link names. */
void pf_client_link_peer(struct pocketfed_client *c);
/* Outside a participation: asks what replaced the record key of c->peer, and
 * takes the answer: c->keyring has followed, or c->error stops, as it is set.
 */
enum pocketfed_status pf_client_ask_for_key(struct pocketfed_client *c);
enum pocketfed_status pf_client_told_key(struct pocketfed_client *c,
                                         const struct pf_want_reply *reply);

/* client_leave.c */
/* Whether the folder was being left when it was last closed: c->leaving. */
int pf_client_is_leaving(struct pocketfed_client *c);
enum pocketfed_status pf_client_ask_to_leave(struct pocketfed_client *c);
enum pocketfed_status pf_client_left(struct pocketfed_client *c,
                                     const struct pf_want_reply *reply);
/* The folder and the handle as before any join; receipts stay. */
enum pocketfed_status pf_client_forget(struct pocketfed_client *c);

#endif
