#include "cli.h"

#include <string.h>

static const char *const intro =
    "pocketfed - take part in federated learning, and run it\n";

static const char *const first_examples =
    "Examples:\n"
    "  pocketfed join LINK              enrol this device with a join link\n"
    "  pocketfed train --data DIR       train one round on your own examples\n"
    "  pocketfed task create task.json  start a task (on the server's "
    "machine)\n";

static const struct cli_command *row(size_t i)
{
    return cli_commands[i];
}

static int in_group(size_t i, const char *group)
{
    size_t n = strlen(group);

    return strncmp(row(i)->name, group, n) == 0 && row(i)->name[n] == ' ';
}

/* Of each command of the group the first line of its examples. */
static void group_examples(FILE *out, const char *group)
{
    fputs("\nExamples:\n", out);
    for (size_t i = 0; row(i); i++)
        if (in_group(i, group) && row(i)->examples)
            fprintf(out, "%.*s\n", (int)strcspn(row(i)->examples, "\n"),
                    row(i)->examples);
}

void cli_help_overview(FILE *out, const char *group)
{
    const char *heading = "";

    if (!group) {
        fputs(intro, out);
        fputs("\nUsage: pocketfed COMMAND [OPTIONS] [ARGUMENTS]\n\n", out);
        fputs(first_examples, out);
    } else {
        fprintf(out, "Usage: pocketfed %s COMMAND [OPTIONS]\n", group);
        group_examples(out, group);
    }
    for (size_t i = 0; row(i); i++) {
        if (group && !in_group(i, group))
            continue;
        if (strcmp(heading, row(i)->group)) {
            heading = row(i)->group;
            fprintf(out, "\n%s\n", heading);
        }
        fprintf(out, "  %-15s %s\n", row(i)->name, row(i)->summary);
    }
    if (!group)
        fputs("\n  help           this page; help COMMAND for one command\n"
              "  --version      version, kernels, libraries\n",
              out);
    fputs("\nEvery command takes --json and -h.\n", out);
}

/* What it does and, when it takes certain words, which. */
static void print_help(FILE *out, const struct cli_option *o)
{
    const char *const *w = cli_words(o);

    fputs(o->help, out);
    for (size_t i = 0; w && w[i]; i++)
        fprintf(out, "%s%s",
                i == 0                             ? ": "
                : w[i + 1] || o->type == CLI_MODEL ? ", "
                                                   : " or ",
                w[i]);
    if (o->type == CLI_MODEL)
        fputs(" or a spec file (*.json)", out);
}

static void print_options(FILE *out, const struct cli_option *o)
{
    for (; o && o->name; o++) {
        char left[64];

        if (o->letter)
            snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name,
                     o->value ? " " : "", o->value ? o->value : "");
        else
            snprintf(left, sizeof left, "    --%s%s%s", o->name,
                     o->value ? " " : "", o->value ? o->value : "");
        fprintf(out, "  %-24s ", left);
        print_help(out, o);
        if (o->preset)
            fprintf(out, " [%s]", o->preset);
        fputc('\n', out);
    }
}

void cli_help_command(FILE *out, const struct cli_command *command)
{
    fprintf(out, "pocketfed %s - %s\n\n", command->name, command->summary);
    fprintf(out, "Usage: pocketfed %s [OPTIONS]%s%s\n", command->name,
            command->operands[0] ? " " : "", command->operands);
    if (command->examples)
        fprintf(out, "\nExamples:\n%s", command->examples);
    fputs("\nOptions (default in brackets):\n", out);
    print_options(out, command->options);
    print_options(out, cli_common_options);
}

static void markdown_options(FILE *out, const struct cli_option *o)
{
    for (; o && o->name; o++) {
        fprintf(out, "| `--%s%s%s`", o->name, o->value ? " " : "",
                o->value ? o->value : "");
        if (o->letter)
            fprintf(out, ", `-%c`", o->letter);
        fputs(" | ", out);
        print_help(out, o);
        fprintf(out, " | %s |\n", o->preset ? o->preset : "");
    }
}

void cli_help_markdown(FILE *out)
{
    fputs("# The command line\n\n"
          "Made by `pocketfed help --markdown`; do not edit.\n\n"
          "A value is looked for on the command line, then in the variable "
          "`POCKETFED_<OPTION>`, then in\n"
          "`$XDG_CONFIG_HOME/pocketfed/pocketfed.ini` (lines `option = "
          "value`), then the default is taken.\n"
          "Exit codes and errors: [ERRORS.md](ERRORS.md).\n\n"
          "Every command takes:\n\n| option | what it does | default |\n"
          "|---|---|---|\n",
          out);
    markdown_options(out, cli_common_options);
    for (size_t i = 0; row(i); i++) {
        fprintf(out,
                "\n## pocketfed %s\n\n%s.\n\n    pocketfed %s [OPTIONS]%s%s\n",
                row(i)->name, row(i)->summary, row(i)->name,
                row(i)->operands[0] ? " " : "", row(i)->operands);
        if (row(i)->examples)
            fprintf(out, "\nExamples:\n\n```\n%s```\n", row(i)->examples);
        if (row(i)->options && row(i)->options->name) {
            fputs("\n| option | what it does | default |\n|---|---|---|\n",
                  out);
            markdown_options(out, row(i)->options);
        }
    }
}
