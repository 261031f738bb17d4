/* log.h - one line per fact, as level + event + key=value pairs, handed to a
 * sink.  No global: whoever logs holds a struct pf_log.
 */
#ifndef PF_LOG_H
#define PF_LOG_H

#include <stdatomic.h>
#include "fail.h"

enum pf_log_level { PF_LOG_ERROR, PF_LOG_WARN, PF_LOG_INFO, PF_LOG_DEBUG };

struct pf_log {
    void (*sink)(void *ctx, enum pf_log_level level, const char *line);
    void *ctx;
    atomic_int max; /* enum pf_log_level: lines above it are dropped */
};

/* fmt makes the whole line, e.g. "round closed task=%s round=%" PRIu64.
 * Values with blanks must be quoted by the caller (%s inside "").  log NULL is
 * fine. Lines longer than 1 KiB are cut. Thread-safe if the sink is. */
void pf_log(const struct pf_log *log, enum pf_log_level level, const char *fmt,
            ...) PF_PRINTF(3, 4);

/* A sink for programs: "<level> line\n" on stderr in one write; when
 * JOURNAL_STREAM is set, systemd's priority prefix instead of the level. */
void pf_log_stderr(void *ctx, enum pf_log_level level, const char *line);

#endif
