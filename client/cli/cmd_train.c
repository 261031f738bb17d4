/* train: take part in rounds with this device's own examples. */
#include <string.h>

#include "device.h"
#include "json.h"

struct session {
    struct device d;
    struct pocketfed_progress p;
    struct cli_progress progress;
    enum pocketfed_event last; /* repeats of a failure are counted */
    unsigned repeats;
};

static void say_event(struct session *s)
{
    struct cli *c = s->d.cli;
    char up[24], down[24];

    cli_progress_clear(&s->progress);
    switch (s->p.event) {
    case POCKETFED_EVENT_ASSIGNED:
        cli_say(c, "round %llu: assigned", (unsigned long long)s->p.round);
        break;
    case POCKETFED_EVENT_TRAINED:
        cli_say(c, "round %llu: trained on %llu examples, loss %.4f",
                (unsigned long long)s->p.round,
                (unsigned long long)s->p.examples_total, s->p.loss);
        break;
    case POCKETFED_EVENT_ACCEPTED:
        cli_say(c, "round %llu: update accepted (%s up, %s down so far)",
                (unsigned long long)s->p.round, cli_bytes(s->p.bytes_up, up),
                cli_bytes(s->p.bytes_down, down));
        break;
    case POCKETFED_EVENT_DROPPED:
        cli_say(c, "round %llu: dropped: %s", (unsigned long long)s->p.round,
                pocketfed_client_error(s->d.client));
        break;
    case POCKETFED_EVENT_RETRY:
        /* The first failure is said at once, repeats only counted. */
        if (s->last != POCKETFED_EVENT_RETRY)
            cli_say(c, "%s; trying again", pocketfed_client_error(s->d.client));
        s->repeats++;
        break;
    default:
        break;
    }
    if (s->last == POCKETFED_EVENT_RETRY &&
        s->p.event != POCKETFED_EVENT_RETRY) {
        if (s->repeats > 1)
            cli_say(c, "reached the server after %u tries", s->repeats);
        s->repeats = 0;
    }
    s->last = s->p.event;
}

/* The line is ended by why it did not work, where it did not. */
static void json_event(const struct session *s)
{
    static const char *const names[] = {"none",    "joined",   "assigned",
                                        "trained", "accepted", "dropped",
                                        "retry",   "left"};
    char loss[32] = "null";
    struct pf_buf b;

    if (s->p.loss == s->p.loss)
        snprintf(loss, sizeof loss, "%.6f", s->p.loss);
    pf_buf_init(&b, 8192);
    pf_buf_addf(&b,
                "{\"type\":\"%s\",\"round\":\"%llu\",\"examples\":\"%llu\","
                "\"loss\":%s,\"bytes_up\":\"%llu\",\"bytes_down\":\"%llu\"",
                names[s->p.event], (unsigned long long)s->p.round,
                (unsigned long long)s->p.examples_done, loss,
                (unsigned long long)s->p.bytes_up,
                (unsigned long long)s->p.bytes_down);
    if (s->p.event == POCKETFED_EVENT_RETRY ||
        s->p.event == POCKETFED_EVENT_DROPPED) {
        pf_buf_adds(&b, ",\"why\":");
        pf_json_string(&b, pocketfed_client_error(s->d.client));
    }
    pf_buf_adds(&b, "}");
    cli_out_json(&b);
    pf_buf_free(&b);
}

static void show(struct session *s)
{
    if (s->p.event != POCKETFED_EVENT_NONE) {
        if (s->d.cli->json)
            json_event(s);
        else
            say_event(s);
    } else if (s->p.state == POCKETFED_STATE_TRAINING && s->p.examples_total) {
        cli_progress_draw(&s->progress,
                          (double)s->p.examples_done /
                              (double)s->p.examples_total,
                          "round %llu: training, loss %.4f",
                          (unsigned long long)s->p.round, s->p.loss);
    } else if (s->p.state == POCKETFED_STATE_WAITING) {
        cli_progress_draw(&s->progress, -1, "waiting; asks again in %.0f s",
                          (double)s->p.wait_ms / 1000);
    }
}

static int summary(struct session *s, enum pocketfed_status st)
{
    struct cli *c = s->d.cli;
    char up[24], down[24];

    cli_progress_clear(&s->progress);
    if (c->json)
        cli_out("{\"type\":\"summary\",\"accepted\":\"%llu\","
                "\"bytes_up\":\"%llu\",\"bytes_down\":\"%llu\","
                "\"finished\":%s}\n",
                (unsigned long long)s->p.participations,
                (unsigned long long)s->p.bytes_up,
                (unsigned long long)s->p.bytes_down,
                st == POCKETFED_FINISHED ? "true" : "false");
    else
        cli_out("%llu update%s accepted, %s up, %s down%s\n",
                (unsigned long long)s->p.participations,
                s->p.participations == 1 ? "" : "s",
                cli_bytes(s->p.bytes_up, up), cli_bytes(s->p.bytes_down, down),
                s->p.state == POCKETFED_STATE_FINISHED ? "" : "; interrupted");
    return CLI_OK;
}

static int run(struct session *s)
{
    struct pf_error err = {0};
    enum pocketfed_status st = POCKETFED_OK;

    while (!cli_interrupted) {
        st = pocketfed_client_step(s->d.client, 50, &s->p);
        show(s);
        if (st || s->p.state == POCKETFED_STATE_FINISHED)
            break;
        device_wait(s->p.wait_ms);
    }
    if (cli_interrupted && (st == POCKETFED_OK)) {
        summary(s, st);
        return CLI_INTERRUPTED;
    }
    if (st == POCKETFED_OK || st == POCKETFED_FINISHED)
        return summary(s, st);
    cli_progress_clear(&s->progress);
    device_error(&s->d, st, &err);
    return cli_fail(s->d.cli, &err, "this device takes no part");
}

static int train(struct cli *c)
{
    struct pocketfed_status_report report;
    struct pf_error err = {0};
    struct session s;
    int code;

    if (!cli_text(c, "data"))
        return cli_usage(c, "train needs --data DIR");
    memset(&s, 0, sizeof s);
    memset(&report, 0, sizeof report);
    report.size = sizeof report;
    s.p.size = sizeof s.p;
    s.d.cli = c;
    s.progress.cli = c;
    cli_catch_interrupts();
    s.d.pool = pool_open((unsigned)cli_int(c, "threads"));
    if (!s.d.pool)
        pf_fail(&err, POCKETFED_NO_MEMORY, "out of memory");
    if (!s.d.pool ||
        pf_idx_load(cli_text(c, "data"), "train", &s.d.shard, &err) ||
        device_open(&s.d, NULL, cli_flag(c, "forever") ? 0 : 1, &err)) {
        code = cli_fail(c, &err, "this device takes no part");
        goto out;
    }
    pocketfed_client_status(s.d.client, &report);
    if (report.state == POCKETFED_STATE_NEW) {
        pf_fail(&err, POCKETFED_NOT_FOUND, "%s has joined no task", s.d.dir);
        pf_hint(&err, "pocketfed join LINK --dir %s", s.d.dir);
        code = cli_fail(c, &err, "this device takes no part");
        goto out;
    }
    if (report.state == POCKETFED_STATE_LEAVING) {
        pf_fail(&err, POCKETFED_NOT_FOUND, "%s is leaving its task", s.d.dir);
        pf_hint(&err, "pocketfed leave --dir %s", s.d.dir);
        code = cli_fail(c, &err, "this device takes no part");
        goto out;
    }
    code = run(&s);
out:
    device_close(&s.d);
    return code;
}

static const struct cli_option options[] = {
    {"data", 'd', CLI_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder with this device's train-images and train-labels IDX files"},
    {"forever", 'f', CLI_FLAG, NULL, NULL, 0, 0, NULL,
     "round after round, until the task is finished (default: one update)"},
    {"threads", 't', CLI_INT, "N", "1", 1, 64, NULL,
     "threads; the update does not depend on them"},
    CLI_DEVICE_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_train;
const struct cli_command cmd_train = {
    "train",
    "Take part (on a device)",
    "",
    0,
    0,
    "train on this device's examples and send the update",
    "  pocketfed train --data shards/client-000\n"
    "  pocketfed train --data shards/client-000 --forever\n",
    options,
    train};
