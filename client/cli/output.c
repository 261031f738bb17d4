#include "cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device_clock.h"
#include "json.h"

volatile int cli_interrupted;

static void on_signal(int number)
{
    (void)number;
    cli_interrupted = 1;
}

void cli_catch_interrupts(void)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sa.sa_flags = (int)SA_RESETHAND; /* a second one ends the program */
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

int cli_exit_of(enum pocketfed_status status)
{
    switch (status) {
    case POCKETFED_OK:
    case POCKETFED_FINISHED:
        return CLI_OK;
    case POCKETFED_NOT_FOUND:
        return CLI_NOT_FOUND;
    case POCKETFED_REFUSED:
    case POCKETFED_TOO_OLD:
    case POCKETFED_UNSUPPORTED:
    case POCKETFED_EXISTS:
        return CLI_REFUSED;
    case POCKETFED_AGAIN:
    case POCKETFED_BUSY:
    case POCKETFED_LOCKED:
        return CLI_LATER;
    case POCKETFED_UNREACHABLE:
        return CLI_UNREACHABLE;
    case POCKETFED_PROOF:
        return CLI_PROOF;
    case POCKETFED_INELIGIBLE:
        return CLI_INELIGIBLE;
    case POCKETFED_CONFIG:
        return CLI_CONFIG;
    case POCKETFED_INTERRUPTED:
        return CLI_INTERRUPTED;
    default:
        return CLI_FAILED;
    }
}

static void fail_json(const struct pf_error *err, const char *what, int code)
{
    struct pf_buf b;

    pf_buf_init(&b, 8192);
    pf_buf_adds(&b, "{\"type\":\"error\",\"success\":false,\"status\":");
    pf_json_string(&b, pocketfed_status_name(err->status));
    pf_buf_adds(&b, ",\"what\":");
    pf_json_string(&b, what);
    pf_buf_adds(&b, ",\"why\":");
    pf_json_string(&b, err->text);
    pf_buf_adds(&b, ",\"hint\":");
    pf_json_string(&b, err->hint);
    pf_buf_addf(&b, ",\"exit_code\":%d}", code);
    cli_out_json(&b);
    pf_buf_free(&b);
}

static const char *page_of(int code)
{
    static char page[40];

    snprintf(page, sizeof page, "docs/ERRORS.md#exit-%d", code);
    return page;
}

int cli_fail(const struct cli *c, const struct pf_error *err, const char *fmt,
             ...)
{
    int code = cli_exit_of(err->status);
    char what[400];
    va_list ap;

    if (code == CLI_OK)
        code = CLI_FAILED;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (c->json) {
        fail_json(err, what, code);
        return code;
    }
    fprintf(stderr, "%spocketfed: %s%s\n", c->color_err ? "\033[1m" : "", what,
            c->color_err ? "\033[0m" : "");
    fprintf(stderr, "  why:  %s\n",
            err->text[0] ? err->text : pocketfed_status_text(err->status));
    if (err->hint[0])
        fprintf(stderr, "  do:   %s\n", err->hint);
    fprintf(stderr, "  page: %s\n", page_of(code));
    return code;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    struct pf_error err = {POCKETFED_INVALID, "", ""};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err.text, sizeof err.text, fmt, ap);
    va_end(ap);
    if (c->command)
        pf_hint(&err, "pocketfed %s -h shows what it takes", c->command->name);
    else
        pf_hint(&err, "pocketfed help lists the commands");
    if (c->json) {
        fail_json(&err, "the command line is not understood", CLI_USAGE);
        return CLI_USAGE;
    }
    fprintf(stderr, "pocketfed: %s\n  do:   %s\n  page: %s\n", err.text,
            err.hint, page_of(CLI_USAGE));
    return CLI_USAGE;
}

void cli_say(const struct cli *c, const char *fmt, ...)
{
    va_list ap;

    if (c->json)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void cli_out(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
}

void cli_out_json(const struct pf_buf *json)
{
    fwrite(pf_buf_str(json), 1, json->len, stdout);
    fputc('\n', stdout);
    fflush(stdout);
}

/* Cuts the text to what fits into one line of the terminal: a line that wraps
 * cannot be redrawn. */
static void clip(char *text, size_t taken)
{
    struct winsize w;
    size_t left = 80;

    if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 0)
        left = w.ws_col;
    left = left > taken + 1 ? left - taken - 1 : 0;
    for (; *text; text++) {
        if ((*text & 0xc0) == 0x80) /* inside a character */
            continue;
        if (left-- == 0)
            break;
    }
    *text = 0;
}

void cli_progress_draw(struct cli_progress *p, double share, const char *fmt,
                       ...)
{
    int64_t now = pf_device_monotonic_ms();
    char bar[40] = "", text[200];
    va_list ap;

    if (!p->cli->terminal || p->cli->json ||
        (p->drawn && now - p->last_ms < 500))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (share >= 0)
        cli_bar(share, 20, bar, sizeof bar);
    clip(text, bar[0] ? strlen(bar) + 1 : 0);
    fprintf(stderr, "\r\033[K%s%s%s", bar, bar[0] ? " " : "", text);
    fflush(stderr);
    p->last_ms = now;
    p->drawn = 1;
}

void cli_progress_clear(struct cli_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    fflush(stderr);
    p->drawn = 0;
}

void cli_bar(double share, unsigned width, char *out, size_t cap)
{
    unsigned full, i;

    if (cap < width + 3)
        return;
    if (!(share > 0))
        share = 0;
    if (share > 1)
        share = 1;
    full = (unsigned)(share * width + 0.5);
    out[0] = '[';
    for (i = 0; i < width; i++)
        out[1 + i] = i < full ? '#' : '.';
    out[1 + width] = ']';
    out[2 + width] = 0;
}

void cli_curve(const double *v, size_t n, int plain, char *out, size_t cap)
{
    static const char *const blocks[8] = {"▁", "▂", "▃", "▄",
                                          "▅", "▆", "▇", "█"};
    static const char *const ascii[8] = {"_", ".", "-", "~",
                                         "=", "+", "*", "#"};
    double lo = 0, hi = 0;
    size_t at = 0;

    if (cap)
        out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        lo = i == 0 || v[i] < lo ? v[i] : lo;
        hi = i == 0 || v[i] > hi ? v[i] : hi;
    }
    for (size_t i = 0; i < n; i++) {
        double t = hi > lo ? (v[i] - lo) / (hi - lo) : 1;
        const char *cell = (plain ? ascii : blocks)[(int)(t * 7.0 + 0.5)];

        if (at + strlen(cell) + 1 > cap)
            return;
        memcpy(out + at, cell, strlen(cell) + 1);
        at += strlen(cell);
    }
}

const char *cli_bytes(uint64_t n, char out[24])
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
    double x = (double)n;
    unsigned u = 0;

    while (x >= 999.5 && u < 4) {
        x /= 1000;
        u++;
    }
    if (u == 0)
        snprintf(out, 24, "%u B", (unsigned)n);
    else
        snprintf(out, 24, x < 99.95 ? "%.1f %s" : "%.0f %s", x, unit[u]);
    return out;
}
