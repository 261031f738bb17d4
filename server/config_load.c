#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "listen.h"

#define MAX_OPTIONS 64
#define MAX_FILE    (1u << 20)
#define OWN_FLAGS   6
#define VALUE_OF(i) (256 + (i)) /* getopt values of the table's rows */

enum { FLAG_CONFIG = 1000, FLAG_CHECK, FLAG_PRINT, FLAG_JSON, FLAG_VERSION };

/* What the command line says; applied after file and environment. */
struct flags {
    const char *value[MAX_OPTIONS];
};

static enum pocketfed_status copy_text(char out[PF_CONFIG_TEXT],
                                       const char *text, const char *what,
                                       struct pf_error *err)
{
    size_t n = strlen(text);

    if (n >= PF_CONFIG_TEXT)
        return pf_fail(err, POCKETFED_INVALID, "%s is too long", what);
    memcpy(out, text, n + 1);
    return POCKETFED_OK;
}

static enum pocketfed_status
unknown_flag(const char *arg, const struct option *known, struct pf_error *err)
{
    const char *names[MAX_OPTIONS + OWN_FLAGS + 2];
    char word[64];
    const char *near;
    size_t n;

    for (n = 0; known[n].name; n++)
        names[n] = known[n].name;
    names[n] = NULL;
    n = strspn(arg, "-");
    snprintf(word, sizeof word, "%.*s", (int)strcspn(arg + n, "="), arg + n);
    near = pf_nearest(word, names);
    pf_fail(err, POCKETFED_INVALID, "there is no option %.80s", arg);
    if (near)
        pf_hint(err, "did you mean --%s?", near);
    else
        pf_hint(err, "pocketfedd --help lists them");
    return POCKETFED_INVALID;
}

static void own_flag(struct pf_config *c, int got)
{
    c->check |= got == FLAG_CHECK;
    c->print |= got == FLAG_PRINT;
    c->json |= got == FLAG_JSON;
    c->version |= got == FLAG_VERSION;
    c->help |= got == 'h';
}

/* getopt takes any beginning of a name; a flag that a script relies on must not
 * change its meaning when another one is added. 1 when it stands there whole.
 */
static int whole_name(char *const argv[], const char *name)
{
    const char *arg = argv[optind - 1];
    size_t n = strlen(name);

    if (optarg && optarg == arg) /* "--name value" */
        arg = argv[optind - 2];
    return strncmp(arg, "--", 2) != 0 ||
           (strncmp(arg + 2, name, n) == 0 &&
            (arg[2 + n] == '\0' || arg[2 + n] == '='));
}

static size_t list_flags(struct option list[])
{
    static const struct option own[OWN_FLAGS] = {
        {"config", required_argument, NULL, FLAG_CONFIG},
        {"check-config", no_argument, NULL, FLAG_CHECK},
        {"print-config", no_argument, NULL, FLAG_PRINT},
        {"json", no_argument, NULL, FLAG_JSON},
        {"version", no_argument, NULL, FLAG_VERSION},
        {"help", no_argument, NULL, 'h'},
    };
    size_t n = 0;
    int i;

    for (i = 0; pf_options[i].key; i++)
        if (pf_options[i].flag)
            list[n++] = (struct option){pf_options[i].flag, required_argument,
                                        NULL, VALUE_OF(i)};
    memcpy(&list[n], own, sizeof own);
    n += OWN_FLAGS;
    memset(&list[n], 0, sizeof list[n]);
    return n;
}

static enum pocketfed_status read_flags(struct pf_config *c, int argc,
                                        char *const argv[], struct flags *f,
                                        struct pf_error *err)
{
    struct option list[MAX_OPTIONS + OWN_FLAGS + 1];
    enum pocketfed_status st;
    int got, at = 0;

    list_flags(list);
    opterr = 0;
    optind = 0; /* start over, whoever scanned before */
    while ((got = getopt_long(argc, argv, "+:h", list, &at)) != -1) {
        if (got == '?')
            return unknown_flag(argv[optind - 1], list, err);
        if (got == ':')
            return pf_fail(err, POCKETFED_INVALID, "%s needs a value",
                           argv[optind - 1]);
        if (got != 'h' && !whole_name(argv, list[at].name))
            return unknown_flag(argv[optind - (optarg == argv[optind - 1]) - 1],
                                list, err);
        if (got >= VALUE_OF(0) && got < VALUE_OF(MAX_OPTIONS)) {
            f->value[got - VALUE_OF(0)] = optarg;
            continue;
        }
        if (got == FLAG_CONFIG) {
            st = copy_text(c->file, optarg, "--config", err);
            if (st != POCKETFED_OK)
                return st;
        }
        own_flag(c, got);
    }
    if (optind < argc) {
        pf_fail(err, POCKETFED_INVALID, "\"%.80s\" is one argument too many",
                argv[optind]);
        pf_hint(err, "a state directory is given as --state DIR");
        return POCKETFED_INVALID;
    }
    return POCKETFED_OK;
}

static enum pocketfed_status read_file(struct pf_config *c,
                                       struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_error why = {0};
    struct pf_buf text;

    pf_buf_init(&text, MAX_FILE);
    st = pf_file_read(c->file, &text, &why);
    if (st != POCKETFED_OK)
        st = pf_fail(err, POCKETFED_CONFIG, "cannot read %s: %.160s", c->file,
                     why.text[0] ? why.text : pocketfed_status_text(st));
    else
        st = pf_config_ini(c, c->file, pf_buf_str(&text), text.len, err);
    pf_buf_free(&text);
    return st;
}

/* POCKETFED_SECTION_KEY; an empty variable is one that is not set. */
static enum pocketfed_status read_env(struct pf_config *c,
                                      char *(*env)(const char *name),
                                      struct pf_error *err)
{
    const struct pf_option *o;
    struct pf_error why = {0};
    char name[96];
    const char *v;
    size_t i;

    for (o = pf_options; o->key; o++) {
        snprintf(name, sizeof name, "POCKETFED_%s_%s", o->section, o->key);
        for (i = 0; name[i]; i++)
            if (name[i] >= 'a' && name[i] <= 'z')
                name[i] = (char)(name[i] - 'a' + 'A');
        v = env(name);
        if (v && v[0] && pf_option_set(o, c, v, &why) != POCKETFED_OK) {
            pf_fail(err, POCKETFED_CONFIG, "variable %s: %s", name, why.text);
            pf_hint(err, "%s", why.hint);
            return POCKETFED_CONFIG;
        }
    }
    return POCKETFED_OK;
}

static enum pocketfed_status
apply_flags(struct pf_config *c, const struct flags *f, struct pf_error *err)
{
    struct pf_error why = {0};
    int i;

    for (i = 0; pf_options[i].key; i++) {
        if (!f->value[i] ||
            pf_option_set(&pf_options[i], c, f->value[i], &why) == POCKETFED_OK)
            continue;
        pf_fail(err, POCKETFED_INVALID, "--%s: %s", pf_options[i].flag,
                why.text);
        pf_hint(err, "%s", why.hint);
        return POCKETFED_INVALID;
    }
    return POCKETFED_OK;
}

static enum pocketfed_status default_state(struct pf_config *c,
                                           char *(*env)(const char *name),
                                           struct pf_error *err)
{
    const char *base = env("XDG_STATE_HOME"), *tail = "/pocketfed";
    int n;

    if (geteuid() == 0) {
        base = "/var/lib";
    } else if (!base || base[0] != '/') {
        base = env("HOME");
        tail = "/.local/state/pocketfed";
    }
    if (!base || base[0] != '/') {
        pf_fail(err, POCKETFED_CONFIG,
                "neither HOME nor XDG_STATE_HOME says where state belongs");
        pf_hint(err, "give a directory with --state DIR");
        return POCKETFED_CONFIG;
    }
    n = snprintf(c->state, sizeof c->state, "%s%s", base, tail);
    if (n < 0 || (size_t)n >= sizeof c->state)
        return pf_fail(err, POCKETFED_CONFIG, "the state path is too long");
    return POCKETFED_OK;
}

static int is_any(const char *host)
{
    return !host[0] || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static int is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

/* The token goes over the wire. */
static enum pocketfed_status check_admin(struct pf_config *c,
                                         struct pf_error *err)
{
    char host[256];
    uint16_t port;

    if (!c->admin_token[0] &&
        pf_path_join(c->state, "keys/admin.token", c->admin_token,
                     sizeof c->admin_token, err) != POCKETFED_OK)
        return POCKETFED_CONFIG;
    if (!c->admin_listen[0] || c->tls)
        return POCKETFED_OK;
    (void)pf_address_parse(c->admin_listen, host, &port);
    if (is_loopback(host))
        return POCKETFED_OK;
    pf_fail(err, POCKETFED_CONFIG,
            "listen in [admin] is %s: without TLS only a loopback address",
            c->admin_listen);
    pf_hint(err, "127.0.0.1:PORT, reached through ssh -L, or tls = on");
    return POCKETFED_CONFIG;
}

int pf_config_admin_tls(const struct pf_config *c)
{
    char host[256];
    uint16_t port;

    return pf_address_parse(c->admin_listen, host, &port) && !is_loopback(host);
}

static enum pocketfed_status fill_in(struct pf_config *c,
                                     char *(*env)(const char *name),
                                     struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    char host[256];
    uint16_t port;

    if (!c->state[0])
        st = default_state(c, env, err);
    if (st == POCKETFED_OK && !c->admin_socket[0])
        st = pf_path_join(c->state, "admin.sock", c->admin_socket,
                          sizeof c->admin_socket, err);
    if (st == POCKETFED_OK)
        st = check_admin(c, err);
    if (st != POCKETFED_OK)
        return st;
    if (!c->certificate[0] != !c->private_key[0])
        return pf_fail(err, POCKETFED_CONFIG,
                       "certificate and private_key are given together or "
                       "not at all");
    if (c->host[0])
        return POCKETFED_OK;
    (void)pf_address_parse(c->listen, host,
                           &port); /* checked when it was set */
    if (is_any(host) && gethostname(host, sizeof host) != 0)
        return pf_fail(err, POCKETFED_CONFIG,
                       "the machine has no name; give one with --host NAME");
    host[sizeof host - 1] = '\0';
    return copy_text(c->host, host, "the machine's name", err);
}

enum pocketfed_status pf_config_load(struct pf_config *c, int argc,
                                     char *const argv[],
                                     char *(*env)(const char *name),
                                     struct pf_error *err)
{
    enum pocketfed_status st;
    struct flags f = {{NULL}};
    const char *file;

    pf_config_init(c);
    st = read_flags(c, argc, argv, &f, err);
    if (st != POCKETFED_OK || c->help || c->version)
        return st;
    file = env("POCKETFED_CONFIG");
    if (!c->file[0] && file && file[0])
        st = copy_text(c->file, file, "POCKETFED_CONFIG", err);
    if (st == POCKETFED_OK && c->file[0])
        st = read_file(c, err);
    if (st == POCKETFED_OK)
        st = read_env(c, env, err);
    if (st == POCKETFED_OK)
        st = apply_flags(c, &f, err);
    /* What is printed is what was said, not what this machine makes of it. */
    if (st == POCKETFED_OK && !c->print)
        st = fill_in(c, env, err);
    return st;
}
