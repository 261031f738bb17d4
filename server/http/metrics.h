/* metrics.h - what the daemon counts, in Prometheus' text format 0.0.4.
 *
 * One X-macro row is one counter: add a row and it is counted and shown.
 * Labels are bounded: listener, status class and problem slug, never a device
 * or a task.  Counters are atomics; any thread adds.
 */
#ifndef PF_METRICS_H
#define PF_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include "buf.h"
#include "calls.h"
#include "coordinator.h"
#include "limiter.h"
#include "problem.h"

/* X(NAME, "exposed name without prefix", "help") */
#define PF_COUNTERS(X)                                                         \
    X(CONNECTIONS, "connections_total", "Client connections accepted")         \
    X(BROKEN_HEADS, "broken_heads_total",                                      \
      "Request heads that ended early or were no HTTP")                        \
    X(ADMIN_FOREIGN_HOST, "admin_foreign_host_total",                          \
      "Admin requests over TCP for a name that is not ours (DNS rebinding)")   \
    X(ADMIN_CROSS_SITE, "admin_cross_site_total",                              \
      "Admin requests over TCP that a web page caused")                        \
    X(ADMIN_WRONG_TOKEN, "admin_wrong_token_total",                            \
      "Admin requests over TCP without the token")                             \
    X(ENROLMENTS, "enrolments_total", "Devices enrolled for the first time")   \
    X(CHECKINS, "checkins_total", "Check-ins answered with work or a wait")    \
    X(ASSIGNMENTS, "assignments_total", "Check-ins answered with work")        \
    X(UPLOADS_STARTED, "uploads_started_total", "Update bodies let in")        \
    X(UPLOADS_ACKNOWLEDGED, "uploads_acknowledged_total",                      \
      "Updates acknowledged, repeats included")                                \
    X(UPLOADS_LOST, "uploads_lost_total",                                      \
      "Update bodies whose connection ended early")                            \
    X(UPLOADS_PARKED, "uploads_parked_total",                                  \
      "Cut-off update bodies kept for their devices to go on")                 \
    X(UPLOADS_RESUMED, "uploads_resumed_total",                                \
      "Update bodies that went on where they were cut off")                    \
    X(UPLOADS_EXPIRED, "uploads_expired_total",                                \
      "Kept update bodies dropped: too old, round closed, or no room")         \
    X(UPLOAD_BYTES, "upload_bytes_total", "Bytes of update bodies received")   \
    X(DOWNLOAD_BYTES, "download_bytes_total",                                  \
      "Bytes of plans and models sent to clients")

enum pf_counter {
#define PF_COUNTER_ENUM(name, exposed, help) PF_COUNT_##name,
    PF_COUNTERS(PF_COUNTER_ENUM)
#undef PF_COUNTER_ENUM
        PF_COUNTER_COUNT,
};

struct pf_metrics {
    atomic_uint_fast64_t counter[PF_COUNTER_COUNT];
    atomic_uint_fast64_t answers[PF_LISTEN_OPS + 1][6]; /* by status / 100 */
    atomic_uint_fast64_t refused[PF_PROBLEM_COUNT];
    atomic_uint_fast64_t kept, kept_bytes; /* cut-off update bodies, now */
    int64_t started_ms;                    /* wall clock */
};

static inline void pf_count(struct pf_metrics *m, enum pf_counter c, uint64_t n)
{
    atomic_fetch_add_explicit(&m->counter[c], n, memory_order_relaxed);
}

/* One answer of a listener; problem NONE when it was no refusal. */
void pf_count_answer(struct pf_metrics *m, enum pf_listener on, int status,
                     enum pf_problem_id problem);

/* Appends the whole page. */
enum pocketfed_status pf_metrics_write(const struct pf_metrics *m,
                                       const struct pf_limits *limits,
                                       const struct pf_coordinator_stats *stats,
                                       unsigned active, struct pf_buf *out);

#endif
