/* round show: the rounds of a task, once or as they go on. */
#include <string.h>
#include <time.h>

#include "admin_http.h"
#include "json.h"
#include "messages.h"

#define REPLY_MAX   (4u << 20)
#define CURVE_CELLS 20
#define POLL_MS     250
#define FIRST_POLLS 8   /* for an accuracy, when no round has shown one yet */
#define LAST_POLLS  120 /* when rounds before it have, or may */

static const struct cli_option options[] = {
    {"watch", 'w', CLI_FLAG, NULL, NULL, 0, 0, NULL,
     "stay, and print each round as it ends, until the task is finished"},
    {"since", 0, CLI_INT, "N", "0", 0, 9007199254740992.0, NULL,
     "only rounds with a higher number"},
    CLI_ADMIN_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

struct watch {
    struct cli *c;
    struct pf_call_args args;
    uint64_t since;            /* every round up to it was printed */
    double curve[CURVE_CELLS]; /* test accuracy of the last rounds */
    size_t n_curve;
    struct pf_round_status open; /* the newest not yet ended */
    uint64_t held;               /* a round that waits for its accuracy, or 0 */
    int has_open, header, once;
    struct cli_progress progress;
};

/* Table cells have no blanks in them. */
static const char *cell(uint64_t bytes, char out[24])
{
    char *blank;

    cli_bytes(bytes, out);
    blank = strchr(out, ' ');
    if (blank)
        memmove(blank, blank + 1, strlen(blank));
    return out;
}

static void number(double v, char *out, size_t cap)
{
    if (v < 0)
        snprintf(out, cap, "<none>");
    else
        snprintf(out, cap, "%.4f", v);
}

static void print_round(struct watch *w, const struct pf_round_status *r)
{
    /* Given up because the task has ended, not because it failed. */
    int stopped =
        !strcmp(r->phase, "abandoned") && !strcmp(r->reason, "stopped");
    char train[16], accuracy[16], up[24], down[24];

    cli_progress_clear(&w->progress);
    if (!w->header)
        cli_out("%6s  %-10s %9s %8s %8s %9s %9s %7s\n", "ROUND", "STATE",
                "DONE", "LOSS", "ACCURACY", "UP", "DOWN", "SECONDS");
    w->header = 1;
    number(r->train_loss, train, sizeof train);
    number(r->test_accuracy, accuracy, sizeof accuracy);
    cli_out("%6llu  %-10s %4llu/%-4llu %8s %8s %9s %9s %7.1f%s%s\n",
            (unsigned long long)r->round, stopped ? "stopped" : r->phase,
            (unsigned long long)r->accepted, (unsigned long long)r->needed,
            train, accuracy, cell(r->bytes_up, up), cell(r->bytes_down, down),
            (double)r->elapsed_ms / 1000, stopped || !r->reason[0] ? "" : "  ",
            stopped ? "" : r->reason);
}

static void remember(struct watch *w, double accuracy)
{
    if (accuracy < 0)
        return;
    if (w->n_curve == CURVE_CELLS)
        memmove(w->curve, w->curve + 1, --w->n_curve * sizeof w->curve[0]);
    w->curve[w->n_curve++] = accuracy;
}

static int ended(const struct pf_round_status *r)
{
    return !strcmp(r->phase, "published") || !strcmp(r->phase, "abandoned");
}

/* The newest round that has ended, 0 for none. */
static uint64_t newest_ended(const struct pf_json_node *n)
{
    uint64_t newest = 0;

    for (; n; n = pf_json_next(n)) {
        struct pf_round_status r;

        memset(&r, 0, sizeof r);
        if (!pf_json_decode_node(pf_round_status_fields, PF_JSON_IGNORE, n,
                                 "/rounds", &r, NULL) &&
            ended(&r))
            newest = r.round;
    }
    return newest;
}

/* While watching, the newest published round is held back until its accuracy
 * is known, so that its line is whole; a later one that ends lets it go, and
 * so does time, for not every task measures every round. */
static int take_round(struct watch *w, const struct pf_json_node *n,
                      uint64_t newest, struct pf_error *err)
{
    struct pf_round_status r;

    memset(&r, 0, sizeof r);
    if (pf_json_decode_node(pf_round_status_fields, PF_JSON_IGNORE, n,
                            "/rounds", &r, err))
        return 0;
    if (r.round == newest && r.test_accuracy < 0 &&
        !strcmp(r.phase, "published"))
        w->held = r.round;
    if (!ended(&r) || w->held == r.round) {
        w->open = r;
        w->has_open = 1;
        if (!w->once)
            return 1;
    }
    remember(w, r.test_accuracy);
    if (w->c->json) {
        struct pf_buf b;

        pf_buf_init(&b, REPLY_MAX);
        pf_buf_adds(&b, "{\"type\":\"round\",\"round_status\":");
        pf_json_write(n, &b);
        pf_buf_adds(&b, "}");
        cli_out_json(&b);
        pf_buf_free(&b);
    } else {
        print_round(w, &r);
    }
    w->since = r.round;
    return 1;
}

/* Prints what is new; `all`: also what is not measured (nothing more will
 * come). */
static enum pocketfed_status rounds(struct watch *w, int all,
                                    struct pf_error *err)
{
    const struct pf_json_node *n;
    struct pf_json_doc *doc = NULL;
    enum pocketfed_status st;
    struct pf_buf reply;
    uint64_t newest = 0;
    char query[48];

    w->has_open = 0;
    w->held = 0;
    snprintf(query, sizeof query, "?since=%llu", (unsigned long long)w->since);
    pf_buf_init(&reply, REPLY_MAX);
    st = admin_call(w->c, PF_CALL_ADMIN_ROUNDS, &w->args, query, NULL, &reply,
                    err);
    if (!st)
        st = pf_json_parse(pf_buf_str(&reply), reply.len, &doc, err);
    n = pf_json_first(pf_json_get(doc ? pf_json_root(doc) : NULL, "rounds"));
    if (!all)
        newest = newest_ended(n);
    for (; !st && n; n = pf_json_next(n))
        if (!take_round(w, n, newest, err))
            st = err->status;
    pf_json_free(doc);
    pf_buf_free(&reply);
    return st;
}

static enum pocketfed_status
task_state(struct watch *w, struct pf_task_status *t, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf reply;

    memset(t, 0, sizeof *t);
    pf_buf_init(&reply, REPLY_MAX);
    st = admin_call(w->c, PF_CALL_ADMIN_TASK, &w->args, "", NULL, &reply, err);
    if (!st)
        st = pf_json_decode(pf_task_status_fields, PF_JSON_IGNORE,
                            pf_buf_str(&reply), reply.len, t, err);
    pf_buf_free(&reply);
    return st;
}

static void draw(struct watch *w)
{
    const struct pf_round_status *r = &w->open;
    char curve[CURVE_CELLS * 4 + 1], late[32] = "", refused[32] = "";

    if (!w->has_open)
        return;
    cli_curve(w->curve, w->n_curve, !w->c->terminal, curve, sizeof curve);
    if (r->late)
        snprintf(late, sizeof late, ", %llu late", (unsigned long long)r->late);
    if (r->refused)
        snprintf(refused, sizeof refused, ", %llu refused",
                 (unsigned long long)r->refused);
    cli_progress_draw(
        &w->progress, r->needed ? (double)r->accepted / (double)r->needed : 0,
        "round %llu %s: %llu asked, %llu of %llu in%s%s %s",
        (unsigned long long)r->round, r->phase, (unsigned long long)r->assigned,
        (unsigned long long)r->accepted, (unsigned long long)r->needed, late,
        refused, curve);
}

static void summary(struct watch *w, const struct pf_task_status *t)
{
    char curve[CURVE_CELLS * 4 + 1];

    cli_curve(w->curve, w->n_curve, !w->c->color_out, curve, sizeof curve);
    if (!w->c->json && w->n_curve)
        cli_out("accuracy of the last %zu round%s  %s  %.4f to %.4f\n",
                w->n_curve, w->n_curve == 1 ? "" : "s", curve, w->curve[0],
                w->curve[w->n_curve - 1]);
    if (w->c->json)
        cli_out("{\"type\":\"summary\",\"task\":\"%s\",\"state\":\"%s\","
                "\"reason\":\"%s\",\"published\":\"%llu\"}\n",
                t->task, pf_task_states[t->state], t->reason,
                (unsigned long long)t->published);
    else
        cli_say(w->c, "task %s is %s after %llu published round%s%s%s", t->task,
                pf_task_states[t->state], (unsigned long long)t->published,
                t->published == 1 ? "" : "s", t->reason[0] ? "; why: " : "",
                t->reason);
}

/* A daemon that is being restarted is waited for; anything else ends. */
static int watch(struct watch *w, struct pf_error *err)
{
    struct pf_task_status t;
    int misses = 0, polls = 0, holds = 0;
    uint64_t held = 0;

    memset(&t, 0, sizeof t);
    while (!cli_interrupted) {
        struct timespec nap = {0, POLL_MS * 1000000L};
        enum pocketfed_status st = task_state(w, &t, err);
        int last = !st && t.state == PF_TASK_FINISHED;

        if (!st)
            st = rounds(w, 0, err);
        holds = w->held && w->held == held ? holds + 1 : 0;
        held = w->held;
        if (!st && holds >= LAST_POLLS)
            st = rounds(w, 1, err);
        /* The last model is still being measured, if any is at all. */
        if (!st && last && w->has_open &&
            polls++ < (w->n_curve ? LAST_POLLS : FIRST_POLLS))
            last = 0;
        else if (!st && last)
            st = rounds(w, 1, err);
        if (st == POCKETFED_UNREACHABLE && misses < 120) {
            misses++;
        } else if (st) {
            cli_progress_clear(&w->progress);
            return cli_fail(w->c, err, "the rounds cannot be watched");
        } else {
            misses = 0;
        }
        if (!st && last) {
            cli_progress_clear(&w->progress);
            summary(w, &t);
            return CLI_OK;
        }
        if (!st)
            draw(w);
        nanosleep(&nap, NULL);
    }
    cli_progress_clear(&w->progress);
    if (t.task[0])
        summary(w, &t);
    return CLI_INTERRUPTED;
}

static int round_show(struct cli *c)
{
    struct pf_error err = {0};
    struct watch w;

    memset(&w, 0, sizeof w);
    w.c = c;
    w.progress.cli = c;
    w.since = (uint64_t)cli_int(c, "since");
    if (!pf_task_name_ok(c->arg[0]))
        return cli_usage(c, "\"%s\" is no task name (a-z 0-9 . _ -)",
                         c->arg[0]);
    snprintf(w.args.task, sizeof w.args.task, "%s", c->arg[0]);
    if (cli_flag(c, "watch")) {
        cli_catch_interrupts();
        return watch(&w, &err);
    }
    w.once = 1;
    if (rounds(&w, 1, &err))
        return cli_fail(c, &err, "the rounds of %s cannot be shown",
                        w.args.task);
    return CLI_OK;
}

/* round classes: who was asked and who counted, so that an operator sees when
 * fast devices are favoured. */
static int print_classes(const struct pf_buf *reply, struct pf_error *err)
{
    const struct pf_json_node *n;
    struct pf_json_doc *doc = NULL;
    struct pf_class_status cs;
    enum pocketfed_status st;

    st = pf_json_parse(pf_buf_str(reply), reply->len, &doc, err);
    n = st ? NULL : pf_json_first(pf_json_get(pf_json_root(doc), "classes"));
    cli_out("%-31s %10s %10s %8s\n", "CLASS", "ASSIGNED", "ACCEPTED", "SHARE");
    for (; n && !st; n = pf_json_next(n)) {
        memset(&cs, 0, sizeof cs);
        st = pf_json_decode_node(pf_class_status_fields, PF_JSON_IGNORE, n,
                                 "/classes", &cs, err);
        if (!st)
            cli_out("%-31s %10llu %10llu %7.1f%%\n",
                    cs.device_class[0] ? cs.device_class : "<none>",
                    (unsigned long long)cs.assigned,
                    (unsigned long long)cs.accepted,
                    cs.assigned
                        ? 100.0 * (double)cs.accepted / (double)cs.assigned
                        : 0.0);
    }
    pf_json_free(doc);
    return st != POCKETFED_OK;
}

static int round_classes(struct cli *c)
{
    struct pf_call_args args;
    struct pf_error err = {0};
    struct pf_buf reply;
    char query[40];
    int code = CLI_OK;

    memset(&args, 0, sizeof args);
    if (!pf_task_name_ok(c->arg[0]))
        return cli_usage(c, "\"%s\" is no task name (a-z 0-9 . _ -)",
                         c->arg[0]);
    snprintf(args.task, sizeof args.task, "%s", c->arg[0]);
    snprintf(query, sizeof query, "?since=%lld",
             (long long)cli_int(c, "since"));
    pf_buf_init(&reply, REPLY_MAX);
    if (admin_call(c, PF_CALL_ADMIN_CLASSES, &args, query, NULL, &reply, &err))
        code =
            cli_fail(c, &err, "the classes of %s cannot be shown", args.task);
    else if (c->json)
        cli_out_json(&reply);
    else if (print_classes(&reply, &err))
        code = cli_fail(c, &err, "the daemon's answer is not understood");
    pf_buf_free(&reply);
    return code;
}

static const struct cli_option classes_options[] = {
    {"since", 0, CLI_INT, "N", "0", 0, 9007199254740992.0, NULL,
     "only rounds with a higher number"},
    CLI_ADMIN_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_round_show, cmd_round_classes;
const struct cli_command cmd_round_classes = {
    "round classes",
    "Run a server (on its machine)",
    "TASK",
    1,
    1,
    "show how many devices of each class were asked and counted",
    "  pocketfed round classes mnist\n",
    classes_options,
    round_classes};
const struct cli_command cmd_round_show = {
    "round show",
    "Run a server (on its machine)",
    "TASK",
    1,
    1,
    "show the rounds of a task",
    "  pocketfed round show mnist\n"
    "  pocketfed round show mnist --watch\n",
    options,
    round_show};
