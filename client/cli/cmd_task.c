/* Tasks, from the operator's side: create, list, show, pause, resume, finish.
 */
#include <string.h>

#include "admin_http.h"
#include "file.h"
#include "json.h"
#include "messages.h"
#include "text.h"

#define REPLY_MAX (4u << 20)

static const struct cli_option admin_options[] = {
    CLI_ADMIN_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

/* args->task from the first operand; 0, or an exit code. */
static int task_args(const struct cli *c, struct pf_call_args *args)
{
    memset(args, 0, sizeof *args);
    if (!pf_task_name_ok(c->arg[0]))
        return cli_usage(c, "\"%s\" is no task name (a-z 0-9 . _ -)",
                         c->arg[0]);
    snprintf(args->task, sizeof args->task, "%s", c->arg[0]);
    return CLI_OK;
}

static void print_header(void)
{
    cli_out("%-20s %-9s %-11s %6s %10s %8s %9s\n", "TASK", "STATE", "PHASE",
            "ROUND", "PUBLISHED", "DEVICES", "ACCURACY");
}

static void print_row(const struct pf_task_status *t)
{
    char accuracy[16] = "<none>";

    if (t->test_accuracy >= 0)
        snprintf(accuracy, sizeof accuracy, "%.4f", t->test_accuracy);
    cli_out("%-20s %-9s %-11s %6llu %10llu %8llu %9s\n", t->task,
            pf_task_states[t->state], t->phase, (unsigned long long)t->round,
            (unsigned long long)t->published, (unsigned long long)t->devices,
            accuracy);
}

static void invite(const struct cli *c, const char *task)
{
    const char *state = cli_text(c, "state"), *at = cli_text(c, "socket");

    cli_say(c, "next: pocketfed token create %s%s%s", task,
            at      ? " --socket "
            : state ? " --state "
                    : "",
            at      ? at
            : state ? state
                    : "");
}

/* One call whose answer is a task; prints it as a table row, or as it came. */
static int call_and_print(struct cli *c, enum pf_call_id call,
                          const struct pf_call_args *args,
                          const struct pf_buf *body, const char *what,
                          const char *done)
{
    struct pf_task_status t;
    struct pf_error err = {0};
    struct pf_buf reply;
    int code = CLI_OK;

    memset(&t, 0, sizeof t);
    pf_buf_init(&reply, REPLY_MAX);
    if (admin_call(c, call, args, "", body, &reply, &err) ||
        pf_json_decode(pf_task_status_fields, PF_JSON_IGNORE,
                       pf_buf_str(&reply), reply.len, &t, &err)) {
        code = cli_fail(c, &err, "%s", what);
    } else if (c->json) {
        cli_out_json(&reply);
    } else if (done) {
        cli_out("task/%s %s\n", t.task, done);
        if (call == PF_CALL_ADMIN_TASK_CREATE)
            invite(c, t.task);
    } else {
        print_header();
        print_row(&t);
        if (t.reason[0])
            cli_out("finished: %s\n", t.reason);
    }
    pf_buf_free(&reply);
    return code;
}

static int task_create(struct cli *c)
{
    struct pf_error err = {0};
    struct pf_buf file;
    char what[300];
    int code;

    snprintf(what, sizeof what, "the task of %s was not created", c->arg[0]);
    pf_buf_init(&file, PF_MAX_TASK_FILE);
    if (pf_file_read(c->arg[0], &file, &err))
        code = cli_fail(c, &err, "%s", what);
    else
        code = call_and_print(c, PF_CALL_ADMIN_TASK_CREATE, NULL, &file, what,
                              "created");
    pf_buf_free(&file);
    return code;
}

static int task_show(struct cli *c)
{
    struct pf_call_args args;
    int code = task_args(c, &args);

    return code ? code
                : call_and_print(c, PF_CALL_ADMIN_TASK, &args, NULL,
                                 "the task cannot be shown", NULL);
}

static int task_set(struct cli *c, const struct pf_task_set *set,
                    const char *what, const char *done)
{
    struct pf_call_args args;
    struct pf_buf body;
    int code = task_args(c, &args);

    if (code)
        return code;
    pf_buf_init(&body, 4096);
    pf_json_encode(pf_task_set_fields, set, &body);
    code = call_and_print(c, PF_CALL_ADMIN_TASK_SET, &args, &body, what, done);
    pf_buf_free(&body);
    return code;
}

static int set_state(struct cli *c, int state, const char *what,
                     const char *done)
{
    const struct pf_task_set set = {.state = state};

    return task_set(c, &set, what, done);
}

static int task_pause(struct cli *c)
{
    return set_state(c, PF_ORDER_PAUSED, "the task was not paused", "paused");
}

static int task_resume(struct cli *c)
{
    return set_state(c, PF_ORDER_RUNNING, "the task was not resumed",
                     "resumed");
}

static int task_finish(struct cli *c)
{
    return set_state(c, PF_ORDER_FINISHED, "the task was not finished",
                     "finished");
}

static int round_abort(struct cli *c)
{
    const struct pf_task_set set = {.abort_round = 1};

    return task_set(c, &set, "the round was not given up", "gave up its round");
}

static int round_rollback(struct cli *c)
{
    struct pf_task_set set = {0};

    if (!pf_parse_u64(c->arg[1], strlen(c->arg[1]), 1, INT64_MAX,
                      &set.rollback))
        return cli_usage(c, "\"%s\" is no number of a round", c->arg[1]);
    return task_set(c, &set, "the task was not rolled back",
                    "published that round's model again");
}

static int task_list(struct cli *c)
{
    const struct pf_json_node *n;
    struct pf_json_doc *doc = NULL;
    struct pf_error err = {0};
    struct pf_buf reply;
    int code = CLI_OK;

    pf_buf_init(&reply, REPLY_MAX);
    if (admin_call(c, PF_CALL_ADMIN_TASKS, NULL, "", NULL, &reply, &err) ||
        pf_json_parse(pf_buf_str(&reply), reply.len, &doc, &err)) {
        code = cli_fail(c, &err, "the tasks cannot be listed");
        goto out;
    }
    if (c->json) {
        cli_out_json(&reply);
        goto out;
    }
    n = pf_json_first(pf_json_get(pf_json_root(doc), "tasks"));
    if (!n)
        cli_say(c, "no task yet; make one: pocketfed task create FILE");
    else
        print_header();
    for (; n; n = pf_json_next(n)) {
        struct pf_task_status t;

        memset(&t, 0, sizeof t);
        if (pf_json_decode_node(pf_task_status_fields, PF_JSON_IGNORE, n,
                                "/tasks", &t, &err)) {
            code = cli_fail(c, &err, "the daemon's answer is not understood");
            break;
        }
        print_row(&t);
    }
out:
    pf_json_free(doc);
    pf_buf_free(&reply);
    return code;
}

/* task model: the newest published model as a file. */
static int task_model(struct cli *c)
{
    struct pf_task_status t;
    struct pf_call_args args;
    struct pf_error err = {0};
    struct pf_buf reply, file;
    char digest[65];
    int code = task_args(c, &args);

    if (code)
        return code;
    memset(&t, 0, sizeof t);
    pf_buf_init(&reply, REPLY_MAX);
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    if (admin_call(c, PF_CALL_ADMIN_TASK, &args, "", NULL, &reply, &err) ||
        pf_json_decode(pf_task_status_fields, PF_JSON_IGNORE,
                       pf_buf_str(&reply), reply.len, &t, &err))
        goto failed;
    memcpy(args.digest, t.model, sizeof args.digest);
    if (admin_call(c, PF_CALL_ADMIN_MODEL, &args, "", NULL, &file, &err) ||
        pf_file_replace(c->arg[1], file.data, file.len, 0644, &err))
        goto failed;
    pf_hex(t.model, 32, digest);
    if (c->json)
        cli_out("{\"model\":\"%s\",\"bytes\":%zu}\n", digest, file.len);
    else
        cli_out("model/%s saved as %s\n", digest, c->arg[1]);
    goto out;
failed:
    code = cli_fail(c, &err, "the model of %s was not saved", args.task);
out:
    pf_buf_free(&reply);
    pf_buf_free(&file);
    return code;
}

extern const struct cli_command cmd_task_model, cmd_task_create, cmd_task_list,
    cmd_task_show, cmd_task_pause, cmd_task_resume, cmd_task_finish,
    cmd_round_abort, cmd_round_rollback;

#define SERVER_GROUP "Run a server (on its machine)"

const struct cli_command cmd_task_create = {
    "task create",
    SERVER_GROUP,
    "FILE",
    1,
    1,
    "create a task from a task file and start its first round",
    "  pocketfed task create mnist.json\n"
    "  pocketfed task create mnist.json --state /var/lib/pocketfed\n",
    admin_options,
    task_create};
const struct cli_command cmd_task_list = {
    "task list",
    SERVER_GROUP,
    "",
    0,
    0,
    "list the tasks",
    "  pocketfed task list\n  pocketfed task list --json\n",
    admin_options,
    task_list};
const struct cli_command cmd_task_show = {"task show",
                                          SERVER_GROUP,
                                          "TASK",
                                          1,
                                          1,
                                          "show one task",
                                          "  pocketfed task show mnist\n",
                                          admin_options,
                                          task_show};
const struct cli_command cmd_task_model = {
    "task model",
    SERVER_GROUP,
    "TASK FILE",
    2,
    2,
    "save the newest model of a task as a .safetensors file",
    "  pocketfed task model mnist mnist.safetensors\n",
    admin_options,
    task_model};
const struct cli_command cmd_task_pause = {
    "task pause",
    SERVER_GROUP,
    "TASK",
    1,
    1,
    "let the open round end and open no other",
    "  pocketfed task pause mnist\n",
    admin_options,
    task_pause};
const struct cli_command cmd_task_resume = {"task resume",
                                            SERVER_GROUP,
                                            "TASK",
                                            1,
                                            1,
                                            "open rounds again",
                                            "  pocketfed task resume mnist\n",
                                            admin_options,
                                            task_resume};
const struct cli_command cmd_task_finish = {
    "task finish",
    SERVER_GROUP,
    "TASK",
    1,
    1,
    "end a task for good; the round that is under way is given up",
    "  pocketfed task finish mnist\n",
    admin_options,
    task_finish};
const struct cli_command cmd_round_abort = {
    "round abort",
    SERVER_GROUP,
    "TASK",
    1,
    1,
    "give up the round that is under way; its updates do not count",
    "  pocketfed round abort mnist\n",
    admin_options,
    round_abort};
const struct cli_command cmd_round_rollback = {
    "round rollback",
    SERVER_GROUP,
    "TASK ROUND",
    2,
    2,
    "publish an earlier round's model again, under a new number",
    "  pocketfed round rollback mnist 12\n",
    admin_options,
    round_rollback};
