/* join: enrol this device with a join link. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "file.h"
#include "joinlink.h"

/* The link itself, "-" for stdin, or a file that holds it. */
static enum pocketfed_status read_link(const char *arg, struct pf_buf *out,
                                       struct pf_error *err)
{
    char chunk[512];
    size_t n;

    if (!strncmp(arg, "pocketfed:", 10))
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

static int enrol(struct device *d, const char *link)
{
    struct pf_error err = {0};
    struct pocketfed_progress p;
    enum pocketfed_status st;
    int64_t began = cli_monotonic_ms();
    int64_t patience = cli_int(d->cli, "timeout") * 1000;

    memset(&p, 0, sizeof p);
    p.size = sizeof p;
    st = pocketfed_client_join(d->client, link);
    if (st)
        goto failed;
    do {
        st = pocketfed_client_step(d->client, 50, &p);
        if (p.event == POCKETFED_EVENT_RETRY) {
            if (cli_monotonic_ms() - began > patience) {
                st = POCKETFED_UNREACHABLE;
                goto failed;
            }
            cli_say(d->cli, "%s; again in %.1f s",
                    pocketfed_client_error(d->client),
                    (double)p.wait_ms / 1000);
        }
        if (!st && (p.state == POCKETFED_STATE_NEW ||
                    p.state == POCKETFED_STATE_JOINING))
            device_wait(p.wait_ms);
    } while (
        !st && !cli_interrupted &&
        (p.state == POCKETFED_STATE_NEW || p.state == POCKETFED_STATE_JOINING));
    if (cli_interrupted)
        return CLI_INTERRUPTED;
    if (!st)
        return CLI_OK;
failed:
    device_error(d, st, &err);
    return cli_fail(d->cli, &err, "this device did not join");
}

static int join(struct cli *c)
{
    struct pocketfed_status_report s;
    struct pf_error err = {0};
    struct device d;
    struct pf_buf link;
    char before[33] = "";
    int code;

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
    memcpy(before, s.device, sizeof before);
    code = enrol(&d, pf_buf_str(&link));
    if (code)
        goto out;
    pocketfed_client_status(d.client, &s);
    if (c->json)
        cli_out("{\"device\":\"%s\",\"task\":\"%s\",\"server\":\"%s\","
                "\"ordinal\":\"%llu\",\"again\":%s}\n",
                s.device, s.task, s.server, (unsigned long long)s.ordinal,
                before[0] ? "true" : "false");
    else
        cli_out(before[0] ? "device/%s has joined %s at %s already (number "
                            "%llu)\n"
                          : "device/%s joined %s at %s as number %llu\n",
                s.device, s.task, s.server, (unsigned long long)s.ordinal);
    if (!before[0])
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
    {"timeout", 0, CLI_INT, "S", "30", 0, 86400, NULL,
     "how long to try when the server cannot be reached"},
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
