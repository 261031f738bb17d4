/* token create: a join link, shown once. */
#include <string.h>
#include <time.h>

#include "admin_http.h"
#include "json.h"
#include "messages.h"

static const struct cli_option options[] = {
    {"ordinal", 0, CLI_INT, "N", NULL, 0, 9007199254740992.0, NULL,
     "the device's number in the task (default: the next free one)"},
    {"uses", 0, CLI_INT, "N", "1", 1, 1e9, NULL,
     "how many devices may join with it"},
    {"expires", 0, CLI_INT, "S", "3600", 1, 1e9, NULL,
     "seconds until it expires"},
    {"label", 0, CLI_TEXT, "TEXT", NULL, 0, 0, NULL,
     "what you will know it by"},
    CLI_ADMIN_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

static int token_create(struct cli *c)
{
    struct pf_token_request request;
    struct pf_token_reply token;
    struct pf_call_args args;
    struct pf_error err = {0};
    struct pf_buf body, reply;
    int code = CLI_OK;

    memset(&request, 0, sizeof request);
    memset(&token, 0, sizeof token);
    memset(&args, 0, sizeof args);
    if (!pf_task_name_ok(c->arg[0]))
        return cli_usage(c, "\"%s\" is no task name (a-z 0-9 . _ -)",
                         c->arg[0]);
    snprintf(args.task, sizeof args.task, "%s", c->arg[0]);
    request.uses = (uint64_t)cli_int(c, "uses");
    request.expires_s = cli_int(c, "expires");
    if (cli_text(c, "ordinal")) {
        request.has_ordinal = 1;
        request.ordinal = (uint64_t)cli_int(c, "ordinal");
        if (request.uses != 1)
            return cli_usage(c,
                             "--ordinal names one device: leave --uses at 1");
    }
    if (cli_text(c, "label"))
        snprintf(request.label, sizeof request.label, "%s",
                 cli_text(c, "label"));
    pf_buf_init(&body, PF_MAX_CONTROL_BODY);
    pf_buf_init(&reply, PF_MAX_CONTROL_BODY);
    pf_json_encode(pf_token_request_fields, &request, &body);
    if (admin_call(c, PF_CALL_ADMIN_TOKEN_CREATE, &args, "", &body, &reply,
                   &err) ||
        pf_json_decode(pf_token_reply_fields, PF_JSON_IGNORE,
                       pf_buf_str(&reply), reply.len, &token, &err)) {
        code = cli_fail(c, &err, "no join link for task %s", args.task);
    } else if (c->json) {
        cli_out_json(&reply);
    } else {
        cli_say(c, "Shown once; it lets %llu device%s join within %lld s:",
                (unsigned long long)token.uses, token.uses == 1 ? "" : "s",
                (long long)request.expires_s);
        cli_out("%s\n", token.link);
    }
    pf_buf_free(&body);
    pf_buf_free(&reply);
    return code;
}

extern const struct cli_command cmd_token_create;
const struct cli_command cmd_token_create = {
    "token create",
    "Run a server (on its machine)",
    "TASK",
    1,
    1,
    "make a join link for a task",
    "  pocketfed token create mnist\n"
    "  pocketfed token create mnist --ordinal 3 --expires 86400\n"
    "  pocketfed token create mnist | ssh phone pocketfed join -\n",
    options,
    token_create};
