/* cli.h - the program `pocketfed`: a table of commands, each with a table of
 * options, and one way of talking.
 *
 * Results go to stdout, talk to stderr.  With --json a short command prints
 * one JSON document, a long one JSON lines with a "type" member, the last of
 * which is a summary; failures are JSON too.  The tables feed the parser, the
 * help at every level, the configuration file and docs/CLI.md.
 */
#ifndef PF_CLI_H
#define PF_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "buf.h"
#include "fail.h"

enum cli_type {
    CLI_FLAG,  /* no value */
    CLI_TEXT,  /* any text; names[] limits it when given */
    CLI_INT,   /* min..max */
    CLI_REAL,  /* min..max */
    CLI_MODEL, /* a network of the zoo, or a file: *.json, *.safetensors, a/b */
};

struct cli_option {
    const char *name; /* "batch" -> --batch N, POCKETFED_BATCH, batch = N */
    char letter;      /* 0: none */
    enum cli_type type;
    const char *value;  /* how the help calls it: "N", "DIR" */
    const char *preset; /* default as text; NULL: none */
    double min, max;
    const char *const *names; /* accepted words, NULL-terminated, or NULL */
    const char *help;         /* one line */
};

#define CLI_MAX_OPTIONS 24
#define CLI_MAX_ARGS    16

struct cli;

struct cli_command {
    const char *name;     /* "train-local", or "task create" */
    const char *group;    /* heading in the overview */
    const char *operands; /* "FILE", "[LINK]", "" */
    unsigned min_args, max_args;
    const char *summary;              /* one line, no period */
    const char *examples;             /* lines, shown before the options */
    const struct cli_option *options; /* ends with name == NULL; or NULL */
    int (*run)(struct cli *c);        /* returns the exit code */
};

/* Where a value came from: later ones win. */
enum cli_origin { CLI_DEFAULT, CLI_FILE, CLI_ENV, CLI_GIVEN };

struct cli_value {
    const struct cli_option *option;
    const char *text;    /* NULL: not set */
    const char *earlier; /* when it is given twice: the first; else NULL */
    enum cli_origin origin;
};

struct cli {
    const struct cli_command *command;
    struct cli_value value[CLI_MAX_OPTIONS];
    unsigned n_values;
    const char *arg[CLI_MAX_ARGS];
    unsigned n_args;
    int json;                 /* --json */
    int color_out, color_err; /* decided per stream */
    int terminal; /* stderr is one, and not POCKETFED_PLAIN=1 or TERM=dumb */
    struct pf_buf config; /* texts of the configuration file */
};

/* The exit codes (docs/ERRORS.md). */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_PARTLY = 3,
    CLI_NOT_FOUND = 4,
    CLI_REFUSED = 5,
    CLI_LATER = 6,
    CLI_UNREACHABLE = 7,
    CLI_PROOF = 8,
    CLI_INELIGIBLE = 9,
    CLI_CONFIG = 78,
    CLI_INTERRUPTED = 130,
};

/* Every command; ends with NULL. The rows lie beside their functions, in
 * cmd_*.c. */
extern const struct cli_command *const cli_commands[];

/* Options that every command has: --json --color -h. */
extern const struct cli_option cli_common_options[];

/* ---- options.c ---- */
/* Parses argv after the command's words. 0, or an exit code after having said
 * why (also for -h: prints and returns CLI_OK through *stop = 1). */
int cli_parse(struct cli *c, int argc, char **argv, int *stop);
/* 1 when the word is an option of some command whose value is the next word. */
int cli_takes_word(const char *word);
/* What c->command's options are before the command line is read. 0, or an exit
 * code after having said why. */
int cli_settle(struct cli *c);
/* Values by option name; asking for one the command lacks is a defect. */
const char *cli_text(const struct cli *c, const char *name); /* NULL: unset */
/* The first of a text that was given twice; NULL when it was not. */
const char *cli_text_earlier(const struct cli *c, const char *name);
int cli_flag(const struct cli *c, const char *name);
int64_t cli_int(const struct cli *c, const char *name);
double cli_real(const struct cli *c, const char *name);
/* 1 when that CLI_MODEL names a file. */
int cli_is_file(const char *text);
/* The words that the option takes, or NULL when it takes others too. */
const char *const *cli_words(const struct cli_option *o);
enum cli_origin cli_origin(const struct cli *c, const char *name);
const char *cli_origin_name(enum cli_origin o);
/* Files by XDG: $XDG_CONFIG_HOME/pocketfed/pocketfed.ini and the default
 * device folder $XDG_STATE_HOME/pocketfed/device. */
int cli_config_path(char *out, size_t cap);
int cli_device_dir(char *out, size_t cap);

/* ---- help.c ---- */
void cli_help_overview(FILE *out, const char *group_or_null);
void cli_help_command(FILE *out, const struct cli_command *command);
void cli_help_markdown(FILE *out); /* docs/CLI.md */

/* ---- output.c ---- */
/* The four lines of an error: what did not happen; why; what to do; the page.
 * In JSON when asked. Returns the exit code of err->status. */
int cli_fail(const struct cli *c, const struct pf_error *err, const char *what,
             ...) PF_PRINTF(3, 4);
int cli_usage(const struct cli *c, const char *why, ...) PF_PRINTF(2, 3);
int cli_exit_of(enum pocketfed_status status);
/* A line of talk on stderr (not with --json). */
void cli_say(const struct cli *c, const char *fmt, ...) PF_PRINTF(2, 3);
/* Result text on stdout. */
void cli_out(const char *fmt, ...) PF_PRINTF(1, 2);
/* One JSON line on stdout from a buffer; flushes. */
void cli_out_json(const struct pf_buf *json);

/* A progress line on stderr: redrawn in place at most twice a second on a
 * terminal, nothing when piped. share in [0,1] or < 0 for none. */
struct cli_progress {
    const struct cli *cli;
    int64_t last_ms;
    int drawn;
};
void cli_progress_draw(struct cli_progress *p, double share, const char *fmt,
                       ...) PF_PRINTF(3, 4);
void cli_progress_clear(struct cli_progress *p);
/* A bar of `width` cells ("[####....]") into out. */
void cli_bar(double share, unsigned width, char *out, size_t cap);
/* A one-line curve of n values in 8 levels (ASCII with POCKETFED_PLAIN). */
void cli_curve(const double *v, size_t n, int plain, char *out, size_t cap);
/* "1.5 MB", "312 B": decimal units. */
const char *cli_bytes(uint64_t n, char out[24]);
/* SIGINT/SIGTERM set this; long commands look at it and return 130. */
extern volatile int cli_interrupted;
void cli_catch_interrupts(void);

#endif
