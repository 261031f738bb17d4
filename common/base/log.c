#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

/* A line stays one line whatever a peer put into a value. */
static void flatten(char *line)
{
    for (; *line; line++)
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            *line = ' ';
}

void pf_log(const struct pf_log *log, enum pf_log_level level, const char *fmt,
            ...)
{
    char line[LINE_MAX_BYTES + 1];
    va_list args;
    int n;

    if (!log || !log->sink || (int)level > atomic_load(&log->max))
        return;
    va_start(args, fmt);
    n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof line)
        memcpy(line + sizeof line - 4, "...", 4);
    flatten(line);
    log->sink(log->ctx, level, line);
}

void pf_log_stderr(void *ctx, enum pf_log_level level, const char *line)
{
    /* sd-daemon(3): LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG */
    static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
    static const char *const words[] = {"error ", "warn ", "info ", "debug "};
    const char *prefix;
    char out[LINE_MAX_BYTES + 16];
    ssize_t written;
    int n;

    (void)ctx;
    prefix = (getenv("JOURNAL_STREAM") ? priorities : words)[level];
    n = snprintf(out, sizeof out - 1, "%s%s", prefix, line);
    if (n < 0)
        return;
    if ((size_t)n > sizeof out - 2)
        n = (int)sizeof out - 2;
    out[n] = '\n';
    written = write(STDERR_FILENO, out, (size_t)n + 1);
    (void)written; /* nobody is left to be told */
}
