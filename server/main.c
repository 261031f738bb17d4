/* pocketfedd - the aggregation server: options, signals, start and end; and the
 * command that works on a stopped daemon's state. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit_report.h"
#include "clock.h"
#include "daemon.h"
#include "rotate.h"
#include "sdnotify.h"
#include "sodium_ed25519.h"
#include "text.h"

#define NOT_STARTED "the daemon did not start"

#define EXIT_USAGE     2
#define EXIT_UNAUDITED 4 /* 1 and 3 are verdicts */
#define EXIT_CONFIG    78

static int exit_code(enum pocketfed_status st, int failure)
{
    return st == POCKETFED_INVALID  ? EXIT_USAGE
           : st == POCKETFED_CONFIG ? EXIT_CONFIG
                                    : failure;
}

static void put(int fd, const struct pf_buf *text)
{
    size_t done = 0;
    ssize_t n;

    while (done < text->len) {
        n = write(fd, text->data + done, text->len - done);
        if (n < 0 && errno != EINTR)
            return;
        done += n > 0 ? (size_t)n : 0;
    }
}

/* What did not happen, why, what to do, the page; as `pocketfed` says it. */
static int fail_as(const struct pf_config *c, const char *what,
                   const struct pf_error *err, int failure)
{
    int code = exit_code(err->status, failure);
    struct pf_buf out;

    fprintf(stderr, "pocketfedd: %s\n  why:  %s\n", what, err->text);
    if (err->hint[0])
        fprintf(stderr, "  do:   %s\n", err->hint);
    fprintf(stderr, "  page: docs/CONFIGURATION.md\n");
    if (!c->json)
        return code;
    pf_buf_init(&out, 8192);
    pf_buf_addf(&out,
                "{\"type\":\"error\",\"success\":false,\"status\":\"%s\","
                "\"what\":\"%s\",\"why\":",
                pocketfed_status_name(err->status), what);
    pf_json_string(&out, err->text);
    pf_buf_adds(&out, ",\"hint\":");
    pf_json_string(&out, err->hint);
    pf_buf_addf(&out, ",\"exit_code\":%d}\n", code);
    put(STDOUT_FILENO, &out);
    pf_buf_free(&out);
    return code;
}

static int fail(const struct pf_config *c, const char *what,
                const struct pf_error *err)
{
    return fail_as(c, what, err, EXIT_FAILURE);
}

/* -h, --version, --print-config, --check-config: 1 when that was all. */
static int informed(const struct pf_config *c)
{
    struct pf_buf out;

    if (!c->help && !c->version && !c->print && !c->check)
        return 0;
    pf_buf_init(&out, 1u << 20);
    if (c->help)
        pf_config_help(&out);
    else if (c->version)
        pf_buf_adds(&out, "pocketfedd " POCKETFED_VERSION "\n");
    else if (c->print)
        pf_config_print(c, &out);
    else
        pf_buf_addf(&out, "the configuration is right%s%s\n",
                    c->file[0] ? ": " : "", c->file);
    put(STDOUT_FILENO, &out);
    pf_buf_free(&out);
    return 1;
}

static void say_started(const struct pf_daemon *d)
{
    struct pf_buf out;

    pf_buf_init(&out, 16384);
    pf_daemon_banner(d, &out);
    put(STDERR_FILENO, &out);
    if (d->config.json) {
        pf_buf_clear(&out);
        pf_daemon_banner_json(d, &out);
        put(STDOUT_FILENO, &out);
    }
    pf_buf_free(&out);
}

/* Waits for one of the signals, at most `ms`; 0 when none came. */
static int wait_signal(const sigset_t *set, int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    int sig = sigtimedwait(set, NULL, &t);

    return sig > 0 ? sig : 0;
}

/* Who starts the daemon: what SIGHUP reads again. */
struct start {
    int argc;
    char **argv;
};

/* A configuration that is wrong changes nothing. */
static void reload(struct pf_daemon *d, const struct start *by)
{
    static struct pf_config fresh;
    struct pf_error err = {0};
    enum pocketfed_status st;

    pf_sdnotify("RELOADING=1\nSTATUS=reading the configuration");
    st = pf_config_load(&fresh, by->argc, by->argv, getenv, &err);
    if (st == POCKETFED_OK)
        st = pf_daemon_reload(d, &fresh, &err);
    if (st != POCKETFED_OK)
        pf_log(&d->log, PF_LOG_ERROR,
               "reload refused, all stays as it was why=\"%s\" do=\"%s\"",
               err.text, err.hint);
    pf_sdnotify("READY=1\nSTATUS=serving");
}

static void serve(struct pf_daemon *d, const sigset_t *set,
                  const struct start *by)
{
    int sig;

    do {
        sig = wait_signal(set, 1000);
        if (sig == SIGHUP)
            reload(d, by);
        pf_daemon_tick(d);
    } while (sig != SIGTERM && sig != SIGINT);

    pf_sdnotify("STOPPING=1\nSTATUS=letting uploads end");
    fprintf(stderr, "stopping; running uploads have %u s to end\n",
            d->config.drain_s);
    pf_daemon_drain(d);
    while (!pf_daemon_drained(d)) {
        sig = wait_signal(set, 50);
        if (sig == SIGTERM || sig == SIGINT) /* asked twice */
            break;
    }
}

/* `pocketfedd rotate-key`; argv as main's, without the first word. */
static int rotate_key(struct pf_config *c, int argc, char **argv)
{
    static const char what[] = "the record key was not replaced";
    struct pf_error err = {0};
    enum pocketfed_status st;
    uint8_t before[32], after[32];
    char was[65], is[65];

    st = pf_config_load(c, argc, argv, getenv, &err);
    if (st != POCKETFED_OK)
        return fail(c, what, &err);
    if (informed(c))
        return EXIT_SUCCESS;
    st = pf_rotate_key(c->state, pf_wall_ms(), before, after, &err);
    if (st != POCKETFED_OK)
        return fail(c, what, &err);
    pf_hex(before, 32, was);
    pf_hex(after, 32, is);
    if (c->json)
        printf("{\"type\":\"rotation\",\"old\":\"%s\",\"new\":\"%s\"}\n", was,
               is);
    fprintf(stderr,
            "record key %s\nreplaces   %s\n"
            "devices follow when the daemon runs again; back up %s/keys\n",
            is, was, c->state);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* `pocketfedd audit [TASK]`; argv as main's, without the first word. */
static int audit(struct pf_config *c, int argc, char **argv)
{
    const struct pf_log log = {.sink = pf_log_stderr, .max = PF_LOG_WARN};
    int named = argc > 1 && argv[1][0] != '-', verdict = 0;
    const char *task = named ? argv[1] : NULL;
    static const char what[] = "the audit was not done";
    struct pf_error err = {0};
    enum pocketfed_status st;

    st = pf_config_load(c, argc - named, argv + named, getenv, &err);
    if (st != POCKETFED_OK)
        return fail_as(c, what, &err, EXIT_UNAUDITED);
    if (informed(c))
        return EXIT_SUCCESS;
    st = pf_audit_report(c->state, task, c->json, &log, &verdict, &err);
    return st == POCKETFED_OK ? verdict
                              : fail_as(c, what, &err, EXIT_UNAUDITED);
}

int main(int argc, char **argv)
{
    static struct pf_daemon daemon;
    static struct pf_config config;
    const struct start by = {argc, argv};
    struct pf_error err = {0};
    enum pocketfed_status st;
    sigset_t set;

    if (argc > 1 && strcmp(argv[1], "rotate-key") == 0)
        return rotate_key(&config, argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "audit") == 0)
        return audit(&config, argc - 1, argv + 1);
    st = pf_config_load(&config, argc, argv, getenv, &err);
    if (st != POCKETFED_OK)
        return fail(&config, NOT_STARTED, &err);
    if (informed(&config))
        return EXIT_SUCCESS;

    pf_ed25519_by(&pf_sodium_ed25519); /* rotate-key and audit: OpenSSL */
    /* Before any thread, so that all of them leave the signals to us. */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP); /* reloads */
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    st = pf_daemon_start(&daemon, &config, &err);
    if (st != POCKETFED_OK)
        return fail(&config, NOT_STARTED, &err);
    say_started(&daemon);
    pf_sdnotify("READY=1\nSTATUS=serving");
    serve(&daemon, &set, &by);
    pf_daemon_stop(&daemon);
    fprintf(stderr, "stopped\n");
    return EXIT_SUCCESS;
}
