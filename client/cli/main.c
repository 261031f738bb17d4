#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "kernels.h"

extern const struct cli_command cmd_join, cmd_train, cmd_train_local,
    cmd_status, cmd_verify, cmd_predict, cmd_model_info, cmd_model_eval,
    cmd_data_split, cmd_task_create, cmd_task_list, cmd_task_show,
    cmd_task_pause, cmd_task_finish, cmd_round_abort, cmd_round_classes,
    cmd_round_rollback, cmd_task_resume, cmd_task_model, cmd_token_create,
    cmd_round_show, cmd_config_show, cmd_bench_train, cmd_bench_kernels,
    cmd_bench_infer, cmd_device_list, cmd_device_show, cmd_device_revoke,
    cmd_leave;

const struct cli_command *const cli_commands[] = {
    &cmd_join,          &cmd_train,          &cmd_status,
    &cmd_verify,        &cmd_predict,        &cmd_leave,
    &cmd_task_create,   &cmd_task_list,      &cmd_task_show,
    &cmd_task_pause,    &cmd_task_resume,    &cmd_task_finish,
    &cmd_task_model,    &cmd_token_create,   &cmd_device_list,
    &cmd_device_show,   &cmd_device_revoke,  &cmd_round_abort,
    &cmd_round_classes, &cmd_round_rollback, &cmd_round_show,
    &cmd_train_local,   &cmd_model_info,     &cmd_model_eval,
    &cmd_data_split,    &cmd_bench_train,    &cmd_bench_kernels,
    &cmd_bench_infer,   &cmd_config_show,    NULL,
};

static int version(const struct cli *c)
{
    const struct pf_kernels *k = NULL;
    struct pf_error err = {0};
    struct pf_buf names;

    if (pf_kernels_get(&k, &err))
        return cli_fail(c, &err, "no kernels can be chosen");
    pf_buf_init(&names, 1024);
    for (const char *const *n = pf_kernels_names(); *n; n++)
        pf_buf_addf(&names, "%s%s%s%s", names.len ? ", " : "",
                    c->json ? "\"" : "", *n, c->json ? "\"" : "");
    if (c->json)
        cli_out("{\"version\":\"%s\",\"kernels\":\"%s\",\"families\":[%s],"
                "\"libraries\":\"%s\"}\n",
                POCKETFED_VERSION, k->name, pf_buf_str(&names), curl_version());
    else
        cli_out("pocketfed %s\nkernels: %s (this machine runs %s)\n%s\n",
                POCKETFED_VERSION, k->name, pf_buf_str(&names), curl_version());
    pf_buf_free(&names);
    return CLI_OK;
}

/* The command whose words begin argv; *used is how many words that took. */
static const struct cli_command *find_command(int argc, char **argv, int *used)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name;
        const char *blank = strchr(name, ' ');

        if (!blank && !strcmp(argv[1], name)) {
            *used = 1;
            return cli_commands[i];
        }
        if (blank && argc > 2 && strlen(argv[1]) == (size_t)(blank - name) &&
            !strncmp(argv[1], name, (size_t)(blank - name)) &&
            !strcmp(argv[2], blank + 1)) {
            *used = 2;
            return cli_commands[i];
        }
    }
    return NULL;
}

static int is_group(const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; cli_commands[i]; i++)
        if (!strncmp(cli_commands[i]->name, word, n) &&
            cli_commands[i]->name[n] == ' ')
            return 1;
    return 0;
}

static int unknown_command(struct cli *c, int argc, char **argv)
{
    const char *names[64];
    char words[80];
    const char *near;
    size_t n = 0;

    for (; cli_commands[n] && n < 63; n++)
        names[n] = cli_commands[n]->name;
    names[n] = NULL;
    if (is_group(argv[1]) && argc > 2 && argv[2][0] != '-')
        snprintf(words, sizeof words, "%s %s", argv[1], argv[2]);
    else
        snprintf(words, sizeof words, "%s", argv[1]);
    near = pf_nearest(words, names);
    if (near)
        return cli_usage(c,
                         "there is no command \"%s\"; did you mean "
                         "\"pocketfed %s\"?",
                         words, near);
    return cli_usage(c, "there is no command \"%s\"", words);
}

static int help(struct cli *c, int argc, char **argv)
{
    const struct cli_command *command;
    int used;

    if (argc > 2 && !strcmp(argv[2], "--markdown")) {
        cli_help_markdown(stdout);
        return CLI_OK;
    }
    if (argc < 3) {
        cli_help_overview(stdout, NULL);
        return CLI_OK;
    }
    command = find_command(argc - 1, argv + 1, &used);
    if (command)
        cli_help_command(stdout, command);
    else if (is_group(argv[2]))
        cli_help_overview(stdout, argv[2]);
    else
        return unknown_command(c, argc - 1, argv + 1);
    return CLI_OK;
}

static int wants_color(int fd)
{
    const char *term = getenv("TERM");
    const char *no = getenv("NO_COLOR");

    return isatty(fd) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

static int has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], word))
            return 1;
    return 0;
}

static void look_around(struct cli *c)
{
    const char *term = getenv("TERM");
    const char *plain = getenv("POCKETFED_PLAIN");
    int dull = (plain && !strcmp(plain, "1")) || !term || !strcmp(term, "dumb");

    c->terminal = isatty(STDERR_FILENO) && !dull;
    c->color_out = wants_color(STDOUT_FILENO) && !dull;
    c->color_err = wants_color(STDERR_FILENO) && !dull;
}

static void reverse(char **words, int n)
{
    for (int i = 0; i < n / 2; i++) {
        char *word = words[i];

        words[i] = words[n - 1 - i];
        words[n - 1 - i] = word;
    }
}

/* Options may stand before the command too: they are moved behind it. 0 when
 * there is no command at all. */
static int command_first(int argc, char **argv)
{
    int n = 1;

    while (n < argc && argv[n][0] == '-')
        n += 1 + cli_takes_word(argv[n]);
    if (n >= argc)
        return 0;
    reverse(argv + 1, n - 1);
    reverse(argv + n, argc - n);
    reverse(argv + 1, argc - 1);
    return 1;
}

static int no_command(struct cli *c, int argc, char **argv)
{
    if (has_word(argc, argv, "--version"))
        return version(c);
    if (argc > 1 && !has_word(argc, argv, "-h") &&
        !has_word(argc, argv, "--help"))
        return cli_usage(c, "there is no command after %s", argv[argc - 1]);
    cli_help_overview(stdout, NULL);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    struct cli c;
    int used = 0, stop = 0, code;

    memset(&c, 0, sizeof c);
    look_around(&c);
    c.json = has_word(argc, argv, "--json");
    if (!command_first(argc, argv))
        return no_command(&c, argc, argv);
    if (!strcmp(argv[1], "help"))
        return help(&c, argc, argv);
    c.command = find_command(argc, argv, &used);
    if (!c.command) {
        if (is_group(argv[1]) && (argc == 2 || !strcmp(argv[2], "-h") ||
                                  !strcmp(argv[2], "--help"))) {
            cli_help_overview(stdout, argv[1]);
            return argc == 2 ? CLI_USAGE : CLI_OK;
        }
        if (is_group(argv[1]) && argv[2][0] == '-')
            return cli_usage(&c, "%s is not a command by itself", argv[1]);
        return unknown_command(&c, argc, argv);
    }
    argv[used] = argv[0];
    code = cli_parse(&c, argc - used, argv + used, &stop);
    if (!code && !stop)
        code = c.command->run(&c);
    pf_buf_free(&c.config);
    return code;
}
