/* leave: this device takes no part any more. */
#include <sys/stat.h>

#include "device.h"
#include "device_clock.h"

/* Steps until it has left, at most for --timeout seconds. */
static enum pocketfed_status run(struct device *d, struct pf_error *err)
{
    int64_t end = pf_device_monotonic_ms() + cli_int(d->cli, "timeout") * 1000;
    struct pocketfed_progress p = {.size = sizeof p};
    enum pocketfed_status st = pocketfed_client_leave(d->client);
    int64_t left;

    while (!st && p.event != POCKETFED_EVENT_LEFT) {
        st = pocketfed_client_step(d->client, 50, &p);
        left = end - pf_device_monotonic_ms();
        if (st || p.event == POCKETFED_EVENT_LEFT)
            break;
        if (cli_interrupted)
            st = POCKETFED_INTERRUPTED;
        else if (left <= 0)
            st = POCKETFED_UNREACHABLE;
        else
            device_wait(p.wait_ms < left ? p.wait_ms : left);
    }
    if (!st)
        return POCKETFED_OK;
    device_error(d, st, err);
    if (st == POCKETFED_UNREACHABLE && !err->text[0])
        pf_fail(err, st, "the server has not answered yet");
    if (st == POCKETFED_INTERRUPTED)
        pf_fail(err, st, "interrupted");
    if (st == POCKETFED_UNREACHABLE || st == POCKETFED_INTERRUPTED)
        pf_hint(err, "leave again when the server is there; nothing was "
                     "removed");
    return st;
}

static int was_used(const char *dir)
{
    char path[600];
    struct stat info;

    return snprintf(path, sizeof path, "%s/lock", dir) < (int)sizeof path &&
           stat(path, &info) == 0;
}

static int leave(struct cli *c)
{
    struct pocketfed_status_report s = {.size = sizeof s};
    struct device d = {.cli = c};
    struct pf_error err = {0};
    int code = CLI_OK, none;

    cli_catch_interrupts();
    if (device_dir(c, d.dir, sizeof d.dir, &err))
        return cli_fail(c, &err, "this device did not leave");
    if (!was_used(d.dir)) { /* a misspelt folder must not be made */
        pf_fail(&err, POCKETFED_NOT_FOUND, "%s is no device's folder", d.dir);
        pf_hint(&err, "pocketfed leave --dir DIR, as it joined");
        return cli_fail(c, &err, "this device did not leave");
    }
    if (device_open(&d, NULL, 0, &err)) {
        code = cli_fail(c, &err, "this device did not leave");
        goto out;
    }
    pocketfed_client_status(d.client, &s);
    none = s.state == POCKETFED_STATE_NEW;
    if (!none && run(&d, &err))
        code = cli_fail(c, &err, "this device did not leave");
    else if (c->json)
        cli_out("{\"device\":\"%s\",\"task\":\"%s\",\"again\":%s}\n", s.device,
                s.task, none ? "true" : "false");
    else if (none)
        cli_out("%s is in no task\n", d.dir);
    else
        cli_out("device/%s left %s; its receipts stay in %s\n", s.device,
                s.task, d.dir);
out:
    device_close(&d);
    return code;
}

static const struct cli_option options[] = {
    {"timeout", 0, CLI_INT, "S", "30", 1, 86400, NULL,
     "how long to try when the server does not answer"},
    CLI_DEVICE_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_leave;
const struct cli_command cmd_leave = {
    "leave",
    "Take part (on a device)",
    "",
    0,
    0,
    "take no part any more, and remove all but the receipts",
    "  pocketfed leave\n"
    "  pocketfed leave --dir phones/3\n",
    options,
    leave};
