#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "rates.h"

#define PREFIX "pocketfed_"

static const struct {
    const char *name, *help;
} counters[PF_COUNTER_COUNT] = {
#define PF_COUNTER_ROW(name, exposed, help)                                    \
    [PF_COUNT_##name] = {PREFIX exposed, help},
    PF_COUNTERS(PF_COUNTER_ROW)
#undef PF_COUNTER_ROW
};

static const char *const listeners[] = {"client", "admin", "ops"};

/* What the coordinator counts for itself. */
#define STATS(X)                                                               \
    X(events, "counter", "coordinator_events_total",                           \
      "Events and jobs handled")                                               \
    X(batches, "counter", "coordinator_batches_total", "Batches committed")    \
    X(records, "counter", "coordinator_records_total", "Records written")      \
    X(syncs, "counter", "segment_syncs_total", "Segment syncs")                \
    X(queue_depth, "gauge", "coordinator_queue_depth",                         \
      "Events and jobs waiting")                                               \
    X(accepted, "counter", "updates_accepted_total",                           \
      "Updates counted towards a round")                                       \
    X(rounds_published, "counter", "rounds_published_total",                   \
      "Rounds that ended in a new model")                                      \
    X(rounds_abandoned, "counter", "rounds_abandoned_total",                   \
      "Rounds that ended without one")

void pf_count_answer(struct pf_metrics *m, enum pf_listener on, int status,
                     enum pf_problem_id problem)
{
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 : 5;

    atomic_fetch_add_explicit(&m->answers[on][class], 1, memory_order_relaxed);
    if (problem != PF_PROBLEM_NONE)
        atomic_fetch_add_explicit(&m->refused[problem], 1,
                                  memory_order_relaxed);
}

static void head(struct pf_buf *out, const char *name, const char *help,
                 const char *type)
{
    pf_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void whole(struct pf_buf *out, const char *name, const char *help,
                  const char *type, uint64_t v)
{
    head(out, name, help, type);
    pf_buf_addf(out, "%s %" PRIu64 "\n", name, v);
}

static void real(struct pf_buf *out, const char *name, const char *help,
                 const char *type, double v)
{
    head(out, name, help, type);
    pf_buf_addf(out, "%s %.6f\n", name, v);
}

static void answers(const struct pf_metrics *m, struct pf_buf *out)
{
    unsigned on, class;

    head(out, PREFIX "http_answers_total", "Answers by listener and status",
         "counter");
    for (on = 0; on <= PF_LISTEN_OPS; on++)
        for (class = 2; class < 6; class ++)
            pf_buf_addf(out,
                        PREFIX "http_answers_total{listener=\"%s\","
                               "class=\"%uxx\"} %" PRIu64 "\n",
                        listeners[on], class,
                        (uint64_t)atomic_load(&m->answers[on][class]));
}

static void refusals(const struct pf_metrics *m, struct pf_buf *out)
{
    unsigned i;

    head(out, PREFIX "refusals_total", "Refusals by problem type", "counter");
    for (i = 1; i < PF_PROBLEM_COUNT; i++)
        pf_buf_addf(out, PREFIX "refusals_total{problem=\"%s\"} %" PRIu64 "\n",
                    pf_problem_rows[i].slug,
                    (uint64_t)atomic_load(&m->refused[i]));
}

static void limited(const struct pf_limits *l, struct pf_buf *out)
{
    unsigned i;

    head(out, PREFIX "limit_refusals_total",
         "Requests refused and connections closed for a limit's sake",
         "counter");
    for (i = 0; i < PF_LIMIT_COUNT; i++)
        pf_buf_addf(out,
                    PREFIX "limit_refusals_total{limit=\"%s\"} %" PRIu64 "\n",
                    pf_limit_names[i], (uint64_t)atomic_load(&l->refused[i]));
    whole(out, PREFIX "limit_names_forgotten_total",
          "Devices and addresses that were counted and made room for others",
          "counter",
          pf_rates_forgotten(l->devices) + pf_rates_forgotten(l->addresses) +
              pf_rates_forgotten(l->failures));
}

static void resident(struct pf_buf *out)
{
    unsigned long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f)
        return;
    if (fscanf(f, "%lu %lu", &all, &pages) == 2)
        whole(out, "process_resident_memory_bytes", "Resident memory", "gauge",
              (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
    fclose(f);
}

enum pocketfed_status pf_metrics_write(const struct pf_metrics *m,
                                       const struct pf_limits *limits,
                                       const struct pf_coordinator_stats *stats,
                                       unsigned active, struct pf_buf *out)
{
    unsigned i;

    head(out, PREFIX "build_info", "1, labelled with the version", "gauge");
    pf_buf_addf(out, PREFIX "build_info{version=\"%s\"} 1\n",
                POCKETFED_VERSION);
    real(out, "process_start_time_seconds", "Start of the process", "gauge",
         (double)m->started_ms / 1e3);
    resident(out);
    for (i = 0; i < PF_COUNTER_COUNT; i++)
        whole(out, counters[i].name, counters[i].help, "counter",
              atomic_load(&m->counter[i]));
    whole(out, PREFIX "exchanges_active", "Client requests being answered",
          "gauge", active);
    whole(out, PREFIX "uploads_kept", "Cut-off update bodies kept now", "gauge",
          atomic_load(&m->kept));
    whole(out, PREFIX "uploads_kept_bytes", "Disk reserved for them", "gauge",
          atomic_load(&m->kept_bytes));
    answers(m, out);
    refusals(m, out);
    limited(limits, out);
    if (stats) {
#define STAT_ROW(member, type, exposed, help)                                  \
    whole(out, PREFIX exposed, help, type, stats->member);
        STATS(STAT_ROW)
#undef STAT_ROW
        real(out, PREFIX "coordinator_idle_seconds",
             "Since the coordinator's loop last turned", "gauge",
             (double)stats->loop_age_ms / 1e3);
        real(out, PREFIX "segment_sync_seconds_total",
             "Time spent syncing segments", "counter", stats->sync_seconds);
        real(out, PREFIX "commit_seconds_total",
             "Time spent committing transactions", "counter",
             stats->commit_seconds);
    }
    return pf_buf_status(out);
}
