/* config show: what each option of a command would be, and why. */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"

static const struct cli_command *find(const char *words)
{
    for (size_t i = 0; cli_commands[i]; i++)
        if (!strcmp(cli_commands[i]->name, words))
            return cli_commands[i];
    return NULL;
}

static int unknown(struct cli *c, const char *words)
{
    const char *names[64], *near;
    size_t n = 0;

    for (; cli_commands[n] && n < 63; n++)
        names[n] = cli_commands[n]->name;
    names[n] = NULL;
    near = pf_nearest(words, names);
    if (near)
        return cli_usage(c,
                         "there is no command \"%s\"; did you mean "
                         "\"pocketfed config show %s\"?",
                         words, near);
    return cli_usage(c, "there is no command \"%s\"", words);
}

static void print_json(const struct cli *of, const char *path, int there)
{
    struct pf_buf b;

    pf_buf_init(&b, 64u << 10);
    pf_buf_addf(&b, "{\"command\":\"%s\",\"file\":", of->command->name);
    pf_json_string(&b, path);
    pf_buf_addf(&b, ",\"file_exists\":%s,\"options\":[",
                there ? "true" : "false");
    for (unsigned i = 0; i < of->n_values; i++) {
        const struct cli_value *v = &of->value[i];

        pf_buf_addf(&b, "%s{\"option\":\"%s\",\"value\":", i ? "," : "",
                    v->option->name);
        if (v->text)
            pf_json_string(&b, v->text);
        else
            pf_buf_adds(&b, "null");
        pf_buf_addf(&b, ",\"origin\":\"%s\"}", cli_origin_name(v->origin));
    }
    pf_buf_adds(&b, "]}");
    cli_out_json(&b);
    pf_buf_free(&b);
}

static void print_text(const struct cli *of, const char *path, int there)
{
    cli_out("%s%s\n\n", path, there ? "" : " (there is none)");
    cli_out("%-14s  %-28s  %s\n", "OPTION", "VALUE", "FROM");
    for (unsigned i = 0; i < of->n_values; i++) {
        const struct cli_value *v = &of->value[i];
        const char *text = v->text;

        if (!text)
            text = v->option->type == CLI_FLAG ? "no" : "<none>";
        cli_out("%-14s  %-28s  %s\n", v->option->name, text,
                cli_origin_name(v->origin));
    }
}

static int config_show(struct cli *c)
{
    const struct cli_command *command = c->command;
    char words[80], path[512] = "";
    struct cli of;
    int code, there;

    if (c->n_args > 0) {
        snprintf(words, sizeof words, "%s%s%s", c->arg[0],
                 c->n_args > 1 ? " " : "", c->n_args > 1 ? c->arg[1] : "");
        command = find(words);
        if (!command)
            return unknown(c, words);
    }
    memset(&of, 0, sizeof of);
    of.command = command;
    of.json = c->json;
    of.color_err = c->color_err;
    code = cli_settle(&of);
    if (code)
        goto out;
    of.n_values--; /* --help, the last one, has no value to show */
    if (!cli_config_path(path, sizeof path))
        snprintf(path, sizeof path, "no file: HOME is not set");
    there = access(path, F_OK) == 0;
    if (c->json)
        print_json(&of, path, there);
    else
        print_text(&of, path, there);
out:
    pf_buf_free(&of.config);
    return code;
}

extern const struct cli_command cmd_config_show;
const struct cli_command cmd_config_show = {
    "config show",
    "This program",
    "[COMMAND]",
    0,
    2,
    "show where a command's values come from",
    "  pocketfed config show train\n"
    "  pocketfed config show token create\n",
    NULL,
    config_show};
