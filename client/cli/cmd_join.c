/* join: enrol this device with a join link. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "device_clock.h"
#include "file.h"
#include "joinlink.h"

/* The link itself, "-" for stdin, or a file that holds it. */
static enum pocketfed_status read_link(const char *arg, struct pf_buf *out,
                                       struct pf_error *err)
{
    char chunk[512];
    size_t n;

    if (!strncmp(arg, "pocketfed:", 10) || strstr(arg, "://"))
        return pf_buf_adds(out, arg);
    if (strcmp(arg, "-"))
        return pf_file_read(arg, out, err);
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        if (pf_buf_add(out, chunk, n))
            return pf_fail(err, POCKETFED_LIMIT,
                           "what stands on stdin is too long for a join link");
    if (out->len == 0)
        return pf_fail(err, POCKETFED_MALFORMED, "nothing stood on stdin");
    return POCKETFED_OK;
}

/* Keeps the token out of `ps` as far as the system lets us: the argument's
 * memory is what other processes are shown. */
static void blank(const char *arg)
{
    char *p = (char *)(uintptr_t)arg;
    char *fragment = strchr(p, '#');

    if (!strncmp(arg, "pocketfed:", 10) && fragment)
        memset(fragment + 1, 'x', strlen(fragment + 1));
}

/* What the sentence of a failure leaves open. */
static void advise(const struct device *d, struct pf_error *err)
{
    if (err->status == POCKETFED_UNREACHABLE && !err->text[0])
        pf_fail(err, err->status, "the server has not answered yet");
    if (err->status == POCKETFED_UNREACHABLE ||
        err->status == POCKETFED_INTERRUPTED)
        pf_hint(err, "the link is kept: join again when the server is there");
    else if (err->status == POCKETFED_EXISTS)
        pf_hint(err, "%s is for that task: give this one --dir DIR", d->dir);
}

/* Steps until the device has joined, at most for --timeout seconds. `again`: it
 * has already, and there is nothing to do but to compare. */
static enum pocketfed_status enrol(struct device *d, const char *link,
                                   int again, struct pf_error *err)
{
    int64_t end = pf_device_monotonic_ms() + cli_int(d->cli, "timeout") * 1000;
    int64_t left = 0;
    struct pocketfed_progress p;
    enum pocketfed_status st;

    memset(&p, 0, sizeof p);
    p.size = sizeof p;
    st = pocketfed_client_join(d->client, link);
    while (!st && !again && p.event != POCKETFED_EVENT_JOINED) {
        st = pocketfed_client_step(d->client, 50, &p);
        left = end - pf_device_monotonic_ms();
        if (!st && cli_interrupted)
            st = POCKETFED_INTERRUPTED;
        else if (!st && left <= 0 && p.event != POCKETFED_EVENT_JOINED)
            st = POCKETFED_UNREACHABLE;
        if (st)
            break;
        if (p.event == POCKETFED_EVENT_RETRY && p.wait_ms < left)
            cli_say(d->cli, "%s; again in %.1f s",
                    pocketfed_client_error(d->client),
                    (double)p.wait_ms / 1000);
        if (p.event != POCKETFED_EVENT_JOINED)
            device_wait(p.wait_ms < left ? p.wait_ms : left);
    }
    if (!st)
        return POCKETFED_OK;
    device_error(d, st, err);
    if (st == POCKETFED_INTERRUPTED)
        pf_fail(err, st, "interrupted");
    advise(d, err);
    return st;
}

static int join(struct cli *c)
{
    struct pocketfed_status_report s;
    struct pf_error err = {0};
    struct device d;
    struct pf_buf link;
    int code = CLI_OK, again;

    memset(&d, 0, sizeof d);
    memset(&s, 0, sizeof s);
    s.size = sizeof s;
    d.cli = c;
    cli_catch_interrupts();
    pf_buf_init(&link, PF_JOIN_LINK_MAX);
    if (read_link(c->arg[0], &link, &err) ||
        device_open(&d, cli_text(c, "label"), 0, &err)) {
        code = cli_fail(c, &err, "this device did not join");
        goto out;
    }
    blank(c->arg[0]);
    pocketfed_client_status(d.client, &s);
    again = s.device[0] != '\0';
    if (enrol(&d, pf_buf_str(&link), again, &err)) {
        code = cli_fail(c, &err, "this device did not join");
        goto out;
    }
    pocketfed_client_status(d.client, &s);
    if (c->json)
        cli_out("{\"device\":\"%s\",\"task\":\"%s\",\"server\":\"%s\","
                "\"ordinal\":\"%llu\",\"again\":%s}\n",
                s.device, s.task, s.server, (unsigned long long)s.ordinal,
                again ? "true" : "false");
    else
        cli_out("device/%s\njoined %s at %s%s as number %llu\n", s.device,
                s.task, s.server, again ? " already," : "",
                (unsigned long long)s.ordinal);
    if (!again)
        cli_say(c, "next: pocketfed train --data DIR%s%s",
                cli_text(c, "dir") ? " --dir " : "",
                cli_text(c, "dir") ? cli_text(c, "dir") : "");
out:
    pf_buf_free(&link);
    device_close(&d);
    return code;
}

static const struct cli_option options[] = {
    {"label", 0, CLI_TEXT, "TEXT", NULL, 0, 0, NULL,
     "this device's name, for the operator"},
    {"timeout", 0, CLI_INT, "S", "30", 1, 86400, NULL,
     "how long to try when the server does not answer"},
    CLI_DEVICE_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_join;
const struct cli_command cmd_join = {
    "join",
    "Take part (on a device)",
    "LINK|FILE|-",
    1,
    1,
    "enrol this device in a task with a join link",
    "  pocketfed join link.txt\n"
    "  pocketfed join - < link.txt\n"
    "  pocketfed join 'pocketfed://host:8443/mnist?v=1&id=...#pft_...'\n",
    options,
    join};
