/* pocketfed/client.h - take part in federated learning from an app.
 *
 * PUBLIC.  One object, eight calls:
 *
 *     pocketfed_client_open     a handle over a storage folder
 *     pocketfed_client_join     give it a join link (once)
 *     pocketfed_client_step     do one bounded piece of work; call again later
 *     pocketfed_client_status   where it stands, for the app's screen
 *     pocketfed_client_error    the sentence of the last failure
 *     pocketfed_client_predict  use the newest model
 *     pocketfed_client_leave    take no part any more
 *     pocketfed_client_close
 *
 * The library starts no threads, keeps no globals, never exits or prints, and
 * installs no signal handler.  A handle may be used by one thread at a time;
 * different handles are independent.  It survives being killed at any
 * instruction: open the same folder again and step on.
 *
 * Structs start with their size and only grow at the end: set
 * `x.size = sizeof x` and zero the rest.
 */
#ifndef POCKETFED_CLIENT_H
#define POCKETFED_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <pocketfed/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pocketfed_client;

/* One HTTPS request, for an app that brings its own network stack. All
 * borrowed until the request has ended. */
struct pocketfed_header {
    const char *name, *value;
};
struct pocketfed_request {
    size_t size;
    const char
        *method; /* "GET", "POST", "PUT", "PATCH", or "HEAD": no body comes */
    const char *host; /* name or address, without brackets */
    uint16_t port;
    const char *target; /* path and query */
    const struct pocketfed_header *headers;
    size_t n_headers;
    const uint8_t *body; /* NULL: none */
    size_t body_len;
    int expect_continue;       /* send Expect: 100-continue and wait for it */
    const uint8_t (*pins)[32]; /* SHA-256 of SPKIs; none: system roots */
    size_t n_pins;
    size_t max_reply; /* bytes of body; longer must fail with LIMIT */
    /* The connection may end at any moment: hand the body over in pieces of at
     * most so many bytes (TLS records), since what has come of one that is not
     * whole is lost. 0: as is best for a connection that lasts. */
    size_t piece;
};
/* header() is called by name in lower case; body bytes are the transport's.
 *
 * Of a request that failed, or is still on its way, it says what has come until
 * then: status and headers once they are there (status 0: not yet), and the
 * beginning of the body. */
struct pocketfed_reply {
    size_t size;
    int status; /* HTTP */
    const uint8_t *body;
    size_t body_len;
    const char *(*header)(void *ctx, const char *name); /* NULL: absent */
    void *ctx;
    uint64_t bytes_sent, bytes_received; /* on the wire, as far as known */
    uint64_t body_sent; /* bytes of the request's body among them */
};

/* One request at a time. begin returns OK or an error at once; poll works for
 * at most budget_ms and returns AGAIN, OK with *reply (valid until the next
 * begin, poll or cancel), or an error: UNREACHABLE (retryable), PROOF
 * (certificate or pin: permanent), LIMIT, IO. why gets a sentence (why_len
 * bytes).
 *
 * With UNREACHABLE, IO and AGAIN, too, *reply should be filled, as far as it
 * has come: an upload or download that was cut off then goes on instead of
 * beginning anew. A transport that cannot tell leaves *reply alone (it is
 * zeroed but for its size). Give up only what stands still: a slow or lossy
 * link that moves some hundred bytes a second is none. */
struct pocketfed_transport {
    size_t size;
    void *ctx;
    enum pocketfed_status (*begin)(void *ctx,
                                   const struct pocketfed_request *request);
    enum pocketfed_status (*poll)(void *ctx, int budget_ms,
                                  struct pocketfed_reply *reply, char *why,
                                  size_t why_len);
    void (*cancel)(void *ctx);
    void (*destroy)(void *ctx); /* at close; NULL: nothing to do */
};

/* What the app lends. ctx is handed to each callback. Callbacks must not call
 * back into the same handle. */
struct pocketfed_env {
    size_t size;
    void *ctx;
    /* How many examples there are now. Required to train. */
    enum pocketfed_status (*examples)(void *ctx, uint64_t *n);
    /* Example i < n: n_x floats in the scale the model was made for (images:
     * byte / 255), channel-first, and its class. Must give the same example
     * for the same i during one participation. Required to train. */
    enum pocketfed_status (*example)(void *ctx, uint64_t i, float *x,
                                     size_t n_x, uint32_t *label);
    /* 0: not now (battery, network); step returns INELIGIBLE. NULL: always. */
    int (*may_run)(void *ctx);
    /* Unix time in milliseconds. NULL: the system's clock. */
    int64_t (*now_ms)(void *ctx);
    /* One line for the app's log. level: 0 error .. 3 debug. NULL: none. */
    void (*log)(void *ctx, int level, const char *line);
    /* Signs with a P-256 key that the app keeps in hardware: 64 bytes r || s
     * over SHA-256 of msg. public_key: 65 bytes, uncompressed. NULL: the
     * library makes an Ed25519 key in the storage folder. */
    enum pocketfed_status (*sign)(void *ctx, const void *msg, size_t len,
                                  uint8_t signature[64]);
    const uint8_t *public_key;
    /* NULL: libcurl, when this build has it. */
    const struct pocketfed_transport *transport;
    /* Threads for the training, when the app has some to spare; 0 and NULL:
     * all is computed in the thread that calls step. threads counts that
     * thread, too; run calls task(arg, i, worker) once for each i < n_tasks,
     * with another worker < threads for each call that runs at the same time,
     * and returns when all have ended. The result does not depend on it, bit
     * by bit; memory grows by little. */
    unsigned threads;
    void (*run)(void *ctx, unsigned n_tasks,
                void (*task)(void *arg, unsigned i, unsigned worker),
                void *arg);
};

/* In what the weights of the model for predictions are kept (docs/MODELS.md).
 */
enum pocketfed_precision {
    POCKETFED_F32 = 0,
    POCKETFED_F16 = 1,  /* half the memory */
    POCKETFED_INT8 = 2, /* a quarter, in most models */
};

struct pocketfed_options {
    size_t size;
    const char *storage;      /* folder, made with mode 0700 when missing */
    const char *label;        /* the device's name for the operator, or NULL */
    const char *device_class; /* or NULL */
    uint64_t memory;          /* bytes a participation may take; 0: no limit */
    uint32_t checkpoint_s;    /* 0: 10 */
    uint32_t max_participations; /* FINISHED after so many accepted updates;
                                    0: no limit */
    enum pocketfed_precision precision; /* of predictions */
};

/* NO_MEMORY, INVALID (a required member is missing), IO, LOCKED (another
 * process has the folder open). On failure *out is untouched and `why`
 * (why_len bytes, may be NULL) gets the sentence. */
POCKETFED_API enum pocketfed_status
pocketfed_client_open(const struct pocketfed_options *options,
                      const struct pocketfed_env *env,
                      struct pocketfed_client **out, char *why, size_t why_len);

/* Checks the link and keeps it; the enrolment itself is done by step. OK also
 * when this folder has joined that task already (no-op). EXISTS when it has
 * joined another one, MALFORMED when the link is damaged. */
POCKETFED_API enum pocketfed_status
pocketfed_client_join(struct pocketfed_client *client, const char *link);

enum pocketfed_state {
    POCKETFED_STATE_NEW = 0, /* no join link yet */
    POCKETFED_STATE_JOINING = 1,
    POCKETFED_STATE_CHECKING_IN = 2,
    POCKETFED_STATE_FETCHING = 3, /* plan, model */
    POCKETFED_STATE_TRAINING = 4,
    POCKETFED_STATE_UPLOADING = 5,
    POCKETFED_STATE_WAITING = 6,  /* until wait_ms has passed */
    POCKETFED_STATE_FINISHED = 7, /* the task is over */
    POCKETFED_STATE_STOPPED = 8,  /* a permanent refusal; see the error */
    POCKETFED_STATE_LEAVING = 9,
};

enum pocketfed_event { /* what this step brought about, at most one */
                       POCKETFED_EVENT_NONE = 0,
                       POCKETFED_EVENT_JOINED = 1,
                       POCKETFED_EVENT_ASSIGNED = 2,
                       POCKETFED_EVENT_TRAINED = 3,
                       POCKETFED_EVENT_ACCEPTED =
                           4, /* acknowledgement verified and stored */
                       POCKETFED_EVENT_DROPPED =
                           5, /* the work was refused; error says why */
                       POCKETFED_EVENT_RETRY =
                           6, /* a request failed; error says why */
                       POCKETFED_EVENT_LEFT =
                           7, /* the folder is as before it joined */
};

struct pocketfed_progress {
    size_t size;
    enum pocketfed_state state;
    enum pocketfed_event event;
    int64_t wait_ms; /* call step again after so long; 0: at once */
    uint64_t round;
    uint64_t examples_done, examples_total; /* of this participation */
    double loss;                   /* mean training loss so far; NaN before */
    uint64_t bytes_up, bytes_down; /* since open */
    uint64_t participations;       /* accepted updates since open */
};

/* Works for about budget_ms (0: 50) and says what it did. OK, or
 * INELIGIBLE (may_run said no), REFUSED / PROOF / TOO_OLD (permanent; state
 * STOPPED), FINISHED, IO / NO_MEMORY. Network trouble is no failure: it is
 * retried, with event RETRY and wait_ms. `progress` may be NULL. */
POCKETFED_API enum pocketfed_status
pocketfed_client_step(struct pocketfed_client *client, int budget_ms,
                      struct pocketfed_progress *progress);

struct pocketfed_status_report {
    size_t size;
    enum pocketfed_state state;
    char task[65];
    char server[272];    /* host:port */
    char device[33];     /* hex id, "" before joining */
    char record_key[65]; /* hex fingerprint */
    uint64_t ordinal;
    uint64_t last_round;           /* accepted; 0: none */
    char last_update[65];          /* its digest, hex */
    int64_t last_accepted_ms;      /* Unix; 0: none */
    uint64_t participations;       /* ever */
    uint64_t bytes_up, bytes_down; /* ever */
    char model[65]; /* newest verified model in the cache, hex, or "" */
};
POCKETFED_API enum pocketfed_status
pocketfed_client_status(const struct pocketfed_client *client,
                        struct pocketfed_status_report *out);

/* The sentence of the last failure of this handle, "" when there was none.
 * Borrowed until the next call. */
POCKETFED_API const char *
pocketfed_client_error(const struct pocketfed_client *client);
/* What to do about it, "" when there is nothing to say. */
POCKETFED_API const char *
pocketfed_client_hint(const struct pocketfed_client *client);

/* Class probabilities of one example by the newest model in the cache, which is
 * made ready once and kept. *n_classes is the capacity on entry and the number
 * on success. NOT_FOUND before the first model, LIMIT when there is too little
 * room or a weight is beyond what POCKETFED_F16 can hold, NON_FINITE when the
 * model is and the precision is not POCKETFED_F32. */
POCKETFED_API enum pocketfed_status
pocketfed_client_predict(struct pocketfed_client *client, const float *x,
                         size_t n_x, float *probabilities, size_t *n_classes);

/* Leaves the task: what is under way is given up; step tells the server, then
 * wipes what the library keeps in the folder but receipts, proofs and evidence
 * (an app's own key is the app's), until event LEFT and state NEW. The wish is
 * kept on disk, so a killed app goes on with it; until then join says BUSY. OK
 * also when there is nothing to leave. An app that was told to stop may leave
 * as well. */
POCKETFED_API enum pocketfed_status
pocketfed_client_leave(struct pocketfed_client *client);

/* Ends a running request, keeps all state on disk. NULL is fine. */
POCKETFED_API void pocketfed_client_close(struct pocketfed_client *client);

/* "0.1.0" */
POCKETFED_API const char *pocketfed_version(void);

#ifdef __cplusplus
}
#endif
#endif
