/* exchange.h - one request and its answer, independent of the HTTP library.
 *
 * The adapter (http.c) fills in what the request says, calls
 * pf_exchange_begin when the headers are there, pf_exchange_data for each
 * piece of the body, pf_exchange_end after it, and sends `reply`.  Each of
 * them says what comes next: read on, send the reply, or wait until somebody
 * calls `wake`, after which pf_exchange_continue goes on.  Tests drive the
 * same functions without a socket.  Handlers run on HTTP workers and never
 * block on the coordinator.
 */
#ifndef PF_EXCHANGE_H
#define PF_EXCHANGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "auth.h"
#include "buf.h"
#include "calls.h"
#include "coordinator.h"
#include "inflight.h"
#include "limiter.h"
#include "metrics.h"
#include "partial.h"
#include "pen.h"
#include "problem.h"
#include "readers.h"
#include "store.h"

/* What every handler needs; made by the program, borrowed by exchanges. */
struct pf_edge {
    struct pf_coordinator *coordinator;
    struct pf_objects *objects;
    struct pf_readers *readers;
    struct pf_prover *prover;
    struct pf_verifier verifier;
    struct pf_metrics *metrics;
    const struct pf_log *log;
    const struct pf_key *record_key;
    int64_t (*now_ms)(void); /* wall clock */
    int64_t started_ms;
    /* for join links and the admin's info */
    const char *state_dir, *link_host;
    uint16_t link_port;
    int has_pin;
    uint8_t pin[32];
    /* Set while stopping: 1 = nothing new is begun, 2 = nothing is waited for
     * any more. */
    atomic_int draining;
    atomic_uint active;  /* client exchanges between begin and reply */
    atomic_uint waiting; /* exchanges that the coordinator will wake */
    atomic_uint bad_joins, failures; /* so far, for pf_edge_loudness */
    struct pf_downlink *downlink;
    struct pf_inflight *inflight;
    struct pf_limits *limits;
    struct pf_partials *partials;
};

/* How loudly the next of a kind of mishap is told: the 1st, 2nd, 4th, 8th ...
 * as a warning, those between for who asked to see everything. *n counts. */
enum pf_log_level pf_edge_loudness(atomic_uint *counter, unsigned *n);

enum pf_next {
    PF_NEXT_READ,  /* read the body, then pf_exchange_end */
    PF_NEXT_REPLY, /* send ex->reply */
    PF_NEXT_WAIT,  /* ex->wake will be called; then pf_exchange_continue */
};

#define PF_REPLY_HEADERS 10
struct pf_reply {
    int status;
    const char *type; /* static; NULL without a body */
    struct pf_buf body;
    struct pf_object *object; /* instead of body, with a reference */
    size_t offset, len;       /* of the object */
    struct {
        const char *name; /* static */
        char value[128];
    } header[PF_REPLY_HEADERS];
    unsigned n_headers;
    enum pf_problem_id problem;
    int close; /* the connection must not be used again */
};

/* One upload on its way in (ingest.c). */
struct pf_ingest {
    struct pf_inflight_entry entry; /* among the uploads of its device */
    struct pf_holder hold;          /* until the body is whole */
    struct pf_segment *segment;
    struct pf_extent extent;
    struct pf_pen pen;
    uint64_t segment_round; /* whose segment that is */
    struct pf_hash *hash;
    uint64_t offset, length; /* where this body begins in a frame of so many */
    uint64_t received;       /* of the frame */
    uint64_t came;           /* on this connection, not yet told */
    atomic_int has_place;    /* in the coordinator's queue, for the UPDATE */
    int has_extent;          /* ours to release */
    int reading;             /* let in, not answered yet */
    struct pf_expected expected;
    struct pf_admitted admitted; /* once the body is there */
    struct pf_error failed;      /* status != OK: writing went wrong */
};

struct pf_gate;

struct pf_exchange {
    struct pf_edge *edge;
    /* The request, set by the adapter; strings live as long as it does. */
    enum pf_listener listener;
    const char *method, *path;
    const char *query; /* "?" for none, else "?a=b" */
    const char *(*header)(const struct pf_exchange *ex, const char *name);
    unsigned n_content_length, n_transfer_encoding;
    const char *repeated; /* a header that must stand alone and does not */
    int odd; /* a header's name is no token, or its value has control bytes */
    struct pf_gate *gate; /* ADMIN over TCP: what it has to pass first */
    int peer_ok;          /* ADMIN: the peer may administer */
    uint8_t peer[16];     /* its address, when has_peer (listen.h) */
    int has_peer;
    void (*wake)(struct pf_exchange *ex); /* any thread; last touch of ex */
    /* Ends the connection; any thread, while the exchange lives. May be NULL.
     */
    void (*hang_up)(struct pf_exchange *ex);
    void *adapter;

    /* What is known of it so far. */
    const struct pf_call *call;
    struct pf_call_args args;
    uint64_t content_length; /* 0: no body */
    struct pf_live_task *task;
    struct pf_signed_request signed_request;
    struct pf_signature signature;
    struct pf_device_ref device;
    uint64_t updates, last_round; /* what that device contributed so far */
    uint8_t digest[32];           /* of the body, as signed */
    struct pf_buf body;           /* of control calls */
    struct pf_ingest ingest;
    int counted;   /* in edge->active */
    int proved;    /* signed by an enrolled device, or an admin's */
    unsigned held; /* of quotas (quota.h) */

    /* Waiting for the coordinator. */
    struct pf_waiter waiter;
    struct pf_answer answer;
    struct pf_job job;
    enum pf_next (*then)(struct pf_exchange *ex);
    struct pf_live_task *cursor; /* admin: the task a list has come to */
    struct pf_live_task *made;   /* admin: a task not yet handed over */
    unsigned listed;

    struct pf_reply reply;
};

void pf_exchange_init(struct pf_exchange *ex, struct pf_edge *edge);
/* Gives back whatever the exchange still holds. Not while it waits. */
void pf_exchange_free(struct pf_exchange *ex);

enum pf_next pf_exchange_begin(struct pf_exchange *ex);
void pf_exchange_data(struct pf_exchange *ex, const void *p, size_t n);
enum pf_next pf_exchange_end(struct pf_exchange *ex);
enum pf_next pf_exchange_continue(struct pf_exchange *ex);

/* Hands an event or the filled ex->job to the coordinator; `then` runs on a
 * worker when the answer is in ex->answer (or ex->job). WAIT, or REPLY with a
 * problem when the queue is full or the daemon is stopping. */
typedef enum pf_next (*pf_then_fn)(struct pf_exchange *ex);
enum pf_next pf_exchange_submit(struct pf_exchange *ex,
                                const struct pf_event *ev, int reserved,
                                pf_then_fn then);
enum pf_next pf_exchange_run(struct pf_exchange *ex, pf_then_fn then);

/* Replies; each returns PF_NEXT_REPLY. What was in the reply before is gone. */
enum pf_next pf_reply_problem(struct pf_exchange *ex,
                              const struct pf_problem *p);
enum pf_next pf_reply_refuse(struct pf_exchange *ex, enum pf_problem_id id,
                             const char *fmt, ...) PF_PRINTF(3, 4);
/* 500, with err in the log and not in the answer. */
enum pf_next pf_reply_internal(struct pf_exchange *ex,
                               const struct pf_error *err);
/* The struct as JSON; label: the record key signs it (statement.h), or NULL. */
enum pf_next pf_reply_json(struct pf_exchange *ex, int status,
                           const struct pf_json_field *fields, const void *msg,
                           const char *label);
enum pf_next pf_reply_text(struct pf_exchange *ex, int status, const char *type,
                           const char *text);
/* ex->reply.body was appended to by hand after pf_reply_clear. */
enum pf_next pf_reply_body(struct pf_exchange *ex, int status,
                           const char *type);
enum pf_next pf_reply_empty(struct pf_exchange *ex, int status);
/* An immutable object under its digest: ETag, If-None-Match, Range, If-Range.
 * Takes the reference. */
enum pf_next pf_reply_object(struct pf_exchange *ex, struct pf_object *obj,
                             const char *type);
void pf_reply_clear(struct pf_exchange *ex);
void pf_reply_header(struct pf_exchange *ex, const char *name, const char *fmt,
                     ...) PF_PRINTF(3, 4);

#endif
