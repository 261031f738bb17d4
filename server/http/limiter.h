/* limiter.h - how much one peer, and all of them together, may make the daemon
 * do.
 *
 * Every limit is a number of the configuration that may change while the
 * daemon runs, and every refusal for its sake is counted under the limit's
 * name (pocketfed_limit_refusals_total).  An enrolled device pays from a
 * bucket of its own, and only with requests that it signed: whoever merely
 * knows its id cannot use that up.  Calls that nobody signs pay from their
 * address's bucket, which is large, because behind one address of a mobile
 * network there are thousands of phones; so do refused credentials, from a
 * small one.  An address whose small bucket is empty is not asked for
 * signatures any more, except by devices that proved themselves lately.
 */
#ifndef PF_LIMITER_H
#define PF_LIMITER_H

#include <stdatomic.h>
#include <stdint.h>
#include "problem.h"

struct pf_exchange;
struct pf_rates;

/* X(name): the numbers of the configuration. */
#define PF_LIMIT_VALUES(X)                                                     \
    X(timeout_s)    /* a connection's silence */                               \
    X(head_s)       /* for a request's head, from its first byte */            \
    X(request_s)    /* for a request's body */                                 \
    X(min_rate)     /* bytes a second of bodies and answers */                 \
    X(min_rate_s)   /* over which that is measured */                          \
    X(device_rate)  /* requests a second of one device */                      \
    X(device_burst) /* at once */                                              \
    X(address_rate) /* unsigned calls of one address */                        \
    X(address_burst)                                                           \
    X(failure_rate) /* refused credentials of one address */                   \
    X(failure_burst)                                                           \
    X(uploads)        /* at once */                                            \
    X(device_uploads) /* at once, of one device in a round */                  \
    X(round_mb)       /* megabytes (10^6) on their way into one round */       \
    X(tasks)                                                                   \
    X(tokens)  /* that can still be used, of one task */                       \
    X(devices) /* of one task */

struct pf_limit_values {
#define PF_LIMIT_VALUE(name) uint32_t name;
    PF_LIMIT_VALUES(PF_LIMIT_VALUE)
#undef PF_LIMIT_VALUE
};

/* X(NAME, "name", "help"): what is counted; the name is the option's. */
#define PF_LIMIT_REFUSALS(X)                                                   \
    X(CONNECTIONS, "max_connections")                                          \
    X(SILENCE, "timeout_s")                                                    \
    X(HEAD, "head_s")                                                          \
    X(BODY, "request_s")                                                       \
    X(SLOW, "min_rate")                                                        \
    X(DEVICE, "device_rate")                                                   \
    X(ADDRESS, "address_rate")                                                 \
    X(FAILURE, "failure_rate")                                                 \
    X(UPLOADS, "uploads")                                                      \
    X(DEVICE_UPLOADS, "device_uploads")                                        \
    X(ROUND_BYTES, "round_mb")                                                 \
    X(TASKS, "tasks")                                                          \
    X(TOKENS, "tokens")                                                        \
    X(DEVICES, "devices")

enum pf_limit {
#define PF_LIMIT_ENUM(name, option) PF_LIMIT_##name,
    PF_LIMIT_REFUSALS(PF_LIMIT_ENUM)
#undef PF_LIMIT_ENUM
        PF_LIMIT_COUNT,
};
extern const char *const pf_limit_names[PF_LIMIT_COUNT];

struct pf_limits {
    struct {
#define PF_LIMIT_NOW(name) atomic_uint name;
        PF_LIMIT_VALUES(PF_LIMIT_NOW)
#undef PF_LIMIT_NOW
    } now;
    atomic_uint_fast64_t refused[PF_LIMIT_COUNT];
    /* Addresses are those of peers, not of a proxy in front of us. */
    int by_address;
    struct pf_rates *devices, *addresses, *failures;
    /* Under way and not committed yet: they count as if they were. */
    atomic_uint tasks_coming, tokens_coming;
};

/* names: how many devices and addresses are remembered at once. */
enum pocketfed_status pf_limits_open(struct pf_limits *l, size_t names);
void pf_limits_close(struct pf_limits *l); /* zeroed is fine */
/* From any thread. */
void pf_limits_set(struct pf_limits *l, const struct pf_limit_values *v);
void pf_limits_count(struct pf_limits *l, enum pf_limit which);

/* The checks of an exchange: 1, or 0 with the refusal in the reply. */

/* A call that nobody signs, or an enrolment. Pays. */
int pf_limits_unsigned(struct pf_exchange *ex);
/* Credentials are offered: may the address try? */
int pf_limits_guess(struct pf_exchange *ex);
/* A signed call whose keyid is `id`, before anything is verified. */
int pf_limits_signed(struct pf_exchange *ex, const uint8_t id[16]);
/* Its signature was right: it pays. */
void pf_limits_proved(struct pf_exchange *ex, const uint8_t id[16]);
/* The exchange is refused with this problem: credentials that are none are
 * paid for by the address. */
void pf_limits_refused(struct pf_exchange *ex, enum pf_problem_id id);
/* Uploads at once, and their bytes; the entry is in ex->ingest. 0: *why. */
int pf_limits_upload(struct pf_exchange *ex, struct pf_problem *why);

#endif
