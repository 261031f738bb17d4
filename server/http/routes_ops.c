#include "routes.h"

#include <inttypes.h>

/* A loop that has not turned for this long is stuck on something. Its
 * deadlines wake it at least every second. */
#define STUCK_MS 30000

enum pf_next pf_route_livez(struct pf_exchange *ex)
{
    return pf_reply_text(ex, 200, PF_TYPE_TEXT, "ok\n");
}

enum pf_next pf_route_readyz(struct pf_exchange *ex)
{
    struct pf_coordinator_stats stats = {0};

    pf_reply_clear(ex);
    if (atomic_load(&ex->edge->draining))
        pf_buf_adds(&ex->reply.body, "draining: the daemon is stopping\n");
    pf_coordinator_stats(ex->edge->coordinator, &stats);
    if (stats.queue_depth > 0 && stats.loop_age_ms > STUCK_MS)
        pf_buf_addf(&ex->reply.body,
                    "coordinator: no turn for %" PRIu64 " ms, %" PRIu64
                    " waiting\n",
                    stats.loop_age_ms, stats.queue_depth);
    if (ex->reply.body.len > 0)
        return pf_reply_body(ex, 503, PF_TYPE_TEXT);
    return pf_reply_text(ex, 200, PF_TYPE_TEXT, "ready\n");
}

enum pf_next pf_route_metrics(struct pf_exchange *ex)
{
    struct pf_edge *e = ex->edge;
    struct pf_coordinator_stats stats = {0};

    pf_coordinator_stats(e->coordinator, &stats);
    pf_reply_clear(ex);
    pf_metrics_write(e->metrics, e->limits, &stats, atomic_load(&e->active),
                     &ex->reply.body);
    return pf_reply_body(ex, 200, "text/plain; version=0.0.4; charset=utf-8");
}
