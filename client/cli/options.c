#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "model.h"
#include "text.h"

#define WHY 400 /* holds a list of words */

/* The INI file is read once; only keys that the present command knows are
 * taken from it, but every key must be known to some command. */
struct ini_context {
    struct cli *cli;
    char problem[WHY + 80];
};

const struct cli_option cli_common_options[] = {
    {"json", 0, CLI_FLAG, NULL, NULL, 0, 0, NULL,
     "print results (and failures) as JSON on stdout"},
    {"color", 0, CLI_TEXT, "WHEN", "auto", 0, 0,
     (const char *const[]){"auto", "always", "never", NULL},
     "colour, also by NO_COLOR"},
    {"help", 'h', CLI_FLAG, NULL, NULL, 0, 0, NULL, "show this help"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

static int home_path(const char *variable, const char *under_home,
                     const char *rest, char *out, size_t cap)
{
    const char *base = getenv(variable);
    const char *home = getenv("HOME");
    int n;

    if (base && base[0] == '/')
        n = snprintf(out, cap, "%s/%s", base, rest);
    else if (home && home[0])
        n = snprintf(out, cap, "%s/%s/%s", home, under_home, rest);
    else
        return 0;
    return n > 0 && (size_t)n < cap;
}

int cli_config_path(char *out, size_t cap)
{
    return home_path("XDG_CONFIG_HOME", ".config", "pocketfed/pocketfed.ini",
                     out, cap);
}

int cli_device_dir(char *out, size_t cap)
{
    return home_path("XDG_STATE_HOME", ".local/state", "pocketfed/device", out,
                     cap);
}

static void collect(struct cli *c, const struct cli_option *o)
{
    for (; o && o->name; o++) {
        if (c->n_values == CLI_MAX_OPTIONS)
            return;
        c->value[c->n_values++] =
            (struct cli_value){o, o->preset, NULL, CLI_DEFAULT};
    }
}

static struct cli_value *value_of(struct cli *c, const char *name)
{
    for (unsigned i = 0; i < c->n_values; i++)
        if (!strcmp(c->value[i].option->name, name))
            return &c->value[i];
    return NULL;
}

static const struct cli_value *find(const struct cli *c, const char *name)
{
    for (unsigned i = 0; i < c->n_values; i++)
        if (!strcmp(c->value[i].option->name, name))
            return &c->value[i];
    return NULL;
}

int cli_is_file(const char *text)
{
    const char *dot = strrchr(text, '.');

    return strchr(text, '/') ||
           (dot && (!strcmp(dot, ".json") || !strcmp(dot, ".safetensors")));
}

const char *const *cli_words(const struct cli_option *o)
{
    return o->type == CLI_MODEL ? pf_zoo_names() : o->names;
}

/* Why `text` is no value of the option, or NULL when it is one. */
static const char *bad_value(const struct cli_option *o, const char *text,
                             char *why, size_t cap)
{
    const char *const *words = cli_words(o);
    int64_t i;
    double d;

    if (o->type == CLI_FLAG || (o->type == CLI_MODEL && cli_is_file(text)))
        return NULL;
    if (words) {
        const char *near = pf_nearest(text, words);
        int n = snprintf(why, cap, "\"%s\" is not one of:", text);

        for (const char *const *w = words; *w; w++) {
            if (!strcmp(*w, text))
                return NULL;
            if (n > 0 && (size_t)n < cap)
                n += snprintf(why + n, cap - (size_t)n, " %s", *w);
        }
        if (o->type == CLI_MODEL && n > 0 && (size_t)n < cap)
            n += snprintf(why + n, cap - (size_t)n, ", nor a file *.json");
        if (near && n > 0 && (size_t)n < cap)
            snprintf(why + n, cap - (size_t)n, "; did you mean %s?", near);
        return why;
    }
    if (o->type == CLI_INT) {
        if (pf_parse_i64(text, strlen(text), (int64_t)o->min, (int64_t)o->max,
                         &i))
            return NULL;
        snprintf(why, cap, "\"%s\" is not a whole number from %.0f to %.0f",
                 text, o->min, o->max);
        return why;
    }
    if (o->type == CLI_REAL) {
        if (pf_parse_double(text, strlen(text), &d) && d >= o->min &&
            d <= o->max)
            return NULL;
        snprintf(why, cap, "\"%s\" is not a number from %g to %g", text, o->min,
                 o->max);
        return why;
    }
    return NULL;
}

static const struct cli_option *find_in(const struct cli_option *o,
                                        const char *name, char letter)
{
    for (; o && o->name; o++)
        if (name ? !strcmp(o->name, name) : o->letter == letter)
            return o;
    return NULL;
}

/* The first option of any command with that name or, without one, letter. */
static const struct cli_option *known_anywhere(const char *name, char letter)
{
    const struct cli_option *o = find_in(cli_common_options, name, letter);

    for (const struct cli_command *const *k = cli_commands; *k && !o; k++)
        o = find_in((*k)->options, name, letter);
    return o;
}

int cli_takes_word(const char *word)
{
    const struct cli_option *o = NULL;

    if (!strncmp(word, "--", 2))
        o = known_anywhere(word + 2, 0);
    else if (word[0] == '-' && word[1] && !word[2])
        o = known_anywhere(NULL, word[1]);
    return o && o->type != CLI_FLAG;
}

/* 0 makes inih remember the line. */
static int ini_row(void *user, const char *section, const char *name,
                   const char *value)
{
    struct ini_context *ctx = user;
    struct cli_value *v;
    char why[WHY];
    size_t at;

    if (ctx->problem[0])
        return 0;
    if (section[0] || !known_anywhere(name, 0)) {
        snprintf(ctx->problem, sizeof ctx->problem,
                 "no option is called \"%s%s%s\"", section,
                 section[0] ? "." : "", name);
        return 0;
    }
    v = value_of(ctx->cli, name);
    if (!v)
        return 1; /* another command's */
    if (bad_value(v->option, value, why, sizeof why)) {
        snprintf(ctx->problem, sizeof ctx->problem, "%s: %s", name, why);
        return 0;
    }
    /* Kept in one buffer whose maximum was reserved, so pointers stay good. */
    at = ctx->cli->config.len;
    if (pf_buf_add(&ctx->cli->config, value, strlen(value) + 1)) {
        snprintf(ctx->problem, sizeof ctx->problem, "the file is too long");
        return 0;
    }
    v->text = (const char *)ctx->cli->config.data + at;
    v->origin = CLI_FILE;
    return 1;
}

#define CONFIG_MAX (64u << 10)

static int read_config(struct cli *c)
{
    struct ini_context ctx = {c, ""};
    struct pf_error err = {0};
    struct pf_buf text;
    char path[512];
    enum pocketfed_status st;
    int code = CLI_OK, at;

    if (!cli_config_path(path, sizeof path))
        return CLI_OK;
    pf_buf_init(&text, CONFIG_MAX);
    st = pf_file_read(path, &text, &err);
    if (st == POCKETFED_NOT_FOUND)
        goto out;
    if (st) {
        code = cli_fail(c, &err, "cannot read the configuration");
        goto out;
    }
    pf_buf_init(&c->config, CONFIG_MAX);
    if (!pf_buf_extend(&c->config, CONFIG_MAX)) {
        pf_fail(&err, POCKETFED_NO_MEMORY, "out of memory");
        code = cli_fail(c, &err, "cannot read the configuration");
        goto out;
    }
    c->config.len = 0;
    at = ini_parse_string(pf_buf_str(&text), ini_row, &ctx);
    if (at > 0 && !ctx.problem[0]) {
        snprintf(ctx.problem, sizeof ctx.problem, "not \"name = value\"");
    }
    if (ctx.problem[0]) {
        pf_fail(&err, POCKETFED_CONFIG, "%s, line %d: %s", path, at,
                ctx.problem);
        pf_hint(&err, "names are the long options; see pocketfed help");
        code = cli_fail(c, &err, "the configuration is not used");
    }
out:
    pf_buf_free(&text);
    return code;
}

static int read_environment(struct cli *c)
{
    for (unsigned i = 0; i < c->n_values; i++) {
        char name[64] = "POCKETFED_", why[WHY];
        size_t n = strlen(name);
        const char *text;

        for (const char *p = c->value[i].option->name;
             *p && n + 1 < sizeof name; p++)
            name[n++] =
                *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        name[n] = 0;
        text = getenv(name);
        if (!text || !*text || c->value[i].option->type == CLI_FLAG)
            continue;
        if (bad_value(c->value[i].option, text, why, sizeof why))
            return cli_usage(c, "the variable %s: %s", name, why);
        c->value[i].text = text;
        c->value[i].origin = CLI_ENV;
    }
    return CLI_OK;
}

static int unknown_option(const struct cli *c, const char *given)
{
    const char *names[CLI_MAX_OPTIONS + 1];
    char word[64];
    const char *near;
    unsigned i;

    while (*given == '-')
        given++;
    snprintf(word, sizeof word, "%s", given);
    word[strcspn(word, "=")] = 0;
    for (i = 0; i < c->n_values; i++)
        names[i] = c->value[i].option->name;
    names[i] = NULL;
    near = pf_nearest(word, names);
    if (near)
        return cli_usage(c, "there is no option --%s; did you mean --%s?", word,
                         near);
    return cli_usage(c, "there is no option --%s", word);
}

static int take(struct cli *c, unsigned i, const char *text)
{
    struct cli_value *v = &c->value[i];
    char why[WHY];

    if (v->option->type == CLI_FLAG)
        text = "1";
    else if (bad_value(v->option, text, why, sizeof why))
        return cli_usage(c, "--%s: %s", v->option->name, why);
    if (v->origin == CLI_GIVEN)
        v->earlier = v->text;
    v->text = text;
    v->origin = CLI_GIVEN;
    return CLI_OK;
}

static int read_arguments(struct cli *c, int argc, char **argv)
{
    struct option longs[CLI_MAX_OPTIONS + 1];
    char shorts[2 * CLI_MAX_OPTIONS + 2];
    size_t n = 0;
    int found, index;

    memset(longs, 0, sizeof longs);
    shorts[n++] = ':';
    for (unsigned i = 0; i < c->n_values; i++) {
        const struct cli_option *o = c->value[i].option;

        longs[i].name = o->name;
        longs[i].has_arg =
            o->type == CLI_FLAG ? no_argument : required_argument;
        longs[i].val = 256 + (int)i;
        if (o->letter) {
            shorts[n++] = o->letter;
            if (o->type != CLI_FLAG)
                shorts[n++] = ':';
        }
    }
    shorts[n] = 0;
    optind = 0; /* GNU: start afresh */
    opterr = 0;
    while ((found = getopt_long(argc, argv, shorts, longs, &index)) != -1) {
        int code = CLI_OK;

        if (found == ':')
            return cli_usage(c, "%s needs a value", argv[optind - 1]);
        if (found == '?')
            return unknown_option(c, argv[optind - 1]);
        if (found >= 256) {
            code = take(c, (unsigned)found - 256, optarg);
        } else {
            for (unsigned i = 0; i < c->n_values; i++)
                if (c->value[i].option->letter == found)
                    code = take(c, i, optarg);
        }
        if (code)
            return code;
    }
    for (; optind < argc; optind++) {
        if (c->n_args == CLI_MAX_ARGS || c->n_args == c->command->max_args)
            return cli_usage(c, "\"%s\" is one word too many", argv[optind]);
        c->arg[c->n_args++] = argv[optind];
    }
    return CLI_OK;
}

static int asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
            return 1;
    return 0;
}

static void asks_for_json(struct cli *c, int argc, char **argv)
{
    /* Known before anything can fail, so that failures are JSON as well. */
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--json"))
            c->json = 1;
}

int cli_settle(struct cli *c)
{
    int code;

    collect(c, c->command->options);
    collect(c, cli_common_options);
    code = read_config(c);
    return code ? code : read_environment(c);
}

int cli_parse(struct cli *c, int argc, char **argv, int *stop)
{
    int code;

    asks_for_json(c, argc, argv);
    if (asks_for_help(argc, argv)) {
        cli_help_command(stdout, c->command);
        *stop = 1;
        return CLI_OK;
    }
    code = cli_settle(c);
    if (!code)
        code = read_arguments(c, argc, argv);
    if (code)
        return code;
    if (c->n_args < c->command->min_args)
        return cli_usage(c, "%s needs %s", c->command->name,
                         c->command->operands);
    if (!strcmp(cli_text(c, "color"), "always"))
        c->color_out = c->color_err = 1;
    else if (!strcmp(cli_text(c, "color"), "never"))
        c->color_out = c->color_err = 0;
    return CLI_OK;
}

const char *cli_text(const struct cli *c, const char *name)
{
    const struct cli_value *v = find(c, name);

    return v ? v->text : NULL;
}

const char *cli_text_earlier(const struct cli *c, const char *name)
{
    const struct cli_value *v = find(c, name);

    return v ? v->earlier : NULL;
}

int cli_flag(const struct cli *c, const char *name)
{
    const char *text = cli_text(c, name);

    return text && strcmp(text, "0") && strcmp(text, "no");
}

int64_t cli_int(const struct cli *c, const char *name)
{
    const char *text = cli_text(c, name);
    int64_t out = 0;

    if (text)
        pf_parse_i64(text, strlen(text), INT64_MIN, INT64_MAX, &out);
    return out;
}

double cli_real(const struct cli *c, const char *name)
{
    const char *text = cli_text(c, name);
    double out = 0;

    if (text)
        pf_parse_double(text, strlen(text), &out);
    return out;
}

enum cli_origin cli_origin(const struct cli *c, const char *name)
{
    const struct cli_value *v = find(c, name);

    return v ? v->origin : CLI_DEFAULT;
}

const char *cli_origin_name(enum cli_origin o)
{
    static const char *const names[] = {"default", "configuration file",
                                        "environment", "command line"};

    return names[o];
}
