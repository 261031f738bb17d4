#include "config.h"

#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "listen.h"
#include "log.h"
#include "text.h"

static const char *const log_levels[] = {
    [PF_LOG_ERROR] = "error",
    [PF_LOG_WARN] = "warn",
    [PF_LOG_INFO] = "info",
    [PF_LOG_DEBUG] = "debug",
    NULL,
};

#define AT(member) offsetof(struct pf_config, member)

/* A row of [limits]; all of them may change while the daemon runs. */
#define LIMIT(name, preset, min, max, arg, help)                               \
    {                                                                          \
        "limits", #name, NULL, PF_OPTION_U32, AT(limits.name), preset, min,    \
            max, NULL, arg, help, 1                                            \
    }

/* clang-format off */
const struct pf_option pf_options[] = {
    {"server", "state", "state", PF_OPTION_TEXT, AT(state), "", 0, 0, NULL,
     "DIR", "Where keys, rounds and models are kept. Default: "
     "/var/lib/pocketfed for root, else $XDG_STATE_HOME/pocketfed, else "
     "~/.local/state/pocketfed.", 0},
    {"server", "threads", "threads", PF_OPTION_U32, AT(threads), "0", 0, 256,
     NULL, "N", "Threads that talk to clients. 0: one per core.", 0},
    {"server", "fold_threads", "fold-threads", PF_OPTION_U32, AT(fold_threads),
     "0", 0, 256, NULL, "N",
     "Threads that add up updates. 0: one per core. The result does not "
     "depend on it.", 0},
    {"server", "queue", NULL, PF_OPTION_U32, AT(queue), "4096", 16, 1048576,
     NULL, "N", "Requests and uploads that may wait for a decision at once. "
     "More are asked to come back.", 0},
    {"server", "drain_s", "drain", PF_OPTION_U32, AT(drain_s), "10", 0, 3600,
     NULL, "SECONDS", "How long running uploads may take to end after "
     "SIGTERM.", 1},
    {"client", "listen", "listen", PF_OPTION_ADDRESS, AT(listen),
     "0.0.0.0:8443", 0, 0, NULL, "ADDR:PORT",
     "Where clients connect. Port 0: any free one, printed at start.", 0},
    {"client", "host", "host", PF_OPTION_TEXT, AT(host), "", 0, 0, NULL,
     "NAME[:PORT]", "The name that join links carry. Default: the address "
     "listened on, or the machine's name when that is all addresses.", 0},
    {"client", "max_connections", "max-connections", PF_OPTION_U32,
     AT(max_connections), "2000", 1, 1000000, NULL, "N",
     "Client connections at once. When there are nearly as many, the one that "
     "rested longest makes room for each new one.", 0},
    {"client", "timeout_s", NULL, PF_OPTION_U32, AT(limits.timeout_s), "60", 1, 3600,
     NULL, "SECONDS", "A connection that is silent for this long, or sends no "
     "whole request head within it, is closed.", 1},
    {"client", "request_s", NULL, PF_OPTION_U32, AT(limits.request_s), "900", 1,
     86400, NULL, "SECONDS", "How long one request's body may take.", 1},
    {"client", "buffer_kib", NULL, PF_OPTION_U32, AT(buffer_kib), "64", 16,
     1024, NULL, "KIB", "Memory of a connection while it sends or receives: "
     "more takes fewer steps for an upload, less bears more connections.", 0},
    {"client", "resume_mb", NULL, PF_OPTION_U32, AT(resume_mb), "1000", 0,
     1000000, NULL, "MB", "Disk for updates that were cut off, kept for their "
     "devices to go on with; the oldest make way. 0: none are kept.", 0},
    {"client", "resume_s", NULL, PF_OPTION_U32, AT(resume_s), "900", 1, 86400,
     NULL, "SECONDS", "How long such an update is kept, while its round is "
     "open.", 0},
    {"client", "tls", NULL, PF_OPTION_BOOL, AT(tls), "on", 0, 0, NULL,
     "on|off", "Speak TLS. Off only behind a proxy that does: join links then "
     "carry no pin and clients trust their system's roots.", 0},
    {"client", "certificate", NULL, PF_OPTION_TEXT, AT(certificate), "", 0, 0,
     NULL, "FILE", "A certificate chain of your own (PEM), instead of the one "
     "made at first start; clients then trust their system's roots. Read again "
     "at each reload.", 1},
    {"client", "private_key", NULL, PF_OPTION_TEXT, AT(private_key), "", 0, 0,
     NULL, "FILE", "The key of that certificate (PEM).", 1},
    LIMIT(head_s, "20", 1, 3600, "SECONDS", "From the first byte of a request "
     "to the end of its head, a TLS handshake included."),
    LIMIT(min_rate, "256", 0, 1000000000, "BYTES", "Bytes a second that a body "
     "must come at, and an answer must be taken at; slower connections are "
     "closed. 0: any."),
    LIMIT(min_rate_s, "30", 1, 3600, "SECONDS",
     "Over which that is measured, so that a pause does no harm."),
    LIMIT(device_rate, "50", 0, 1000000, "N",
     "Signed requests a second of one device. More are answered 429. 0: any."),
    LIMIT(device_burst, "200", 1, 1000000, "N", "So many at once."),
    LIMIT(address_rate, "1000", 0, 1000000, "N", "Requests a second that "
     "nobody signs (plans, models, enrolments) of one address, or of one IPv6 "
     "/64. Thousands of phones may share one. 0: any. Not behind a proxy "
     "(tls = off)."),
    LIMIT(address_burst, "10000", 1, 10000000, "N", "So many at once."),
    LIMIT(failure_rate, "10", 0, 1000000, "N", "Wrong signatures, unknown "
     "devices and wrong tokens a second of one address; beyond, only devices "
     "that proved themselves lately are heard. 0: any. Not behind a proxy."),
    LIMIT(failure_burst, "500", 1, 10000000, "N", "So many at once."),
    {"limits", "names", NULL, PF_OPTION_U32, AT(limit_names), "65536", 64,
     16777216, NULL, "N", "Devices, and addresses, whose requests are counted "
     "at once; 32 bytes each, three times.", 0},
    LIMIT(uploads, "4096", 1, 1000000, "N",
     "Updates that may be on their way in at once."),
    LIMIT(device_uploads, "2", 1, 64, "N", "The same of one device in a round: "
     "one whose body is on its way, and those that wait for their answer."),
    LIMIT(round_mb, "4096", 1, 1000000, "MB", "Megabytes (10^6 bytes) that may "
     "be on their way into one round at once."),
    LIMIT(tasks, "256", 1, 100000, "N", "Tasks, ended ones included."),
    LIMIT(tokens, "100000", 1, 4000000000, "N",
     "Join tokens of a task that can still be used."),
    LIMIT(devices, "1000000", 1, 4000000000, "N", "Devices of a task, also those that left or were revoked."),
    {"admin", "socket", "admin-socket", PF_OPTION_TEXT, AT(admin_socket), "",
     0, 0, NULL, "PATH", "The Unix socket of the admin interface, mode 0660. "
     "Default: admin.sock in the state directory.", 0},
    {"admin", "listen", "admin-listen", PF_OPTION_ADDRESS, AT(admin_listen),
     "", 0, 0, NULL, "ADDR:PORT", "The admin interface over TCP as well. "
     "Empty: off. Plain HTTP on a loopback address, TLS with the clients' "
     "certificate on any other.", 0},
    {"admin", "token_file", NULL, PF_OPTION_TEXT, AT(admin_token), "", 0, 0,
     NULL, "FILE", "The secret for that: 64 hexadecimal digits, mode 0600. "
     "Made when there is none. Read again at each reload. Default: "
     "keys/admin.token in the state directory.", 1},
    {"ops", "listen", "ops-listen", PF_OPTION_ADDRESS, AT(ops_listen),
     "127.0.0.1:9464", 0, 0, NULL, "ADDR:PORT",
     "Where /metrics, /livez and /readyz are answered, without TLS.", 0},
    {"log", "level", "log-level", PF_OPTION_ENUM, AT(log_level), "warn", 0, 0,
     log_levels, "error|warn|info|debug", "How much is logged to stderr, "
     "beside the lines that tell what happened.", 1},
    {.key = NULL},
};
/* clang-format on */

static enum pocketfed_status set_text(const struct pf_option *o, char *at,
                                      const char *text, struct pf_error *err)
{
    char host[256];
    uint16_t port;

    if (strlen(text) >= PF_CONFIG_TEXT)
        return pf_fail(err, POCKETFED_CONFIG,
                       "%s has %zu characters, at most %d are possible", o->key,
                       strlen(text), PF_CONFIG_TEXT - 1);
    if (o->type == PF_OPTION_ADDRESS && (text[0] || o->preset[0]) &&
        !pf_address_parse(text, host, &port)) {
        pf_fail(err, POCKETFED_CONFIG, "%s is \"%s\", not an ADDR:PORT", o->key,
                text);
        pf_hint(err, "for example 127.0.0.1:8443 or [::]:8443");
        return POCKETFED_CONFIG;
    }
    memcpy(at, text, strlen(text) + 1);
    return POCKETFED_OK;
}

static enum pocketfed_status set_bool(const struct pf_option *o, int *at,
                                      const char *text, struct pf_error *err)
{
    static const char *const yes[] = {"on", "yes", "true", "1"};
    static const char *const no[] = {"off", "no", "false", "0"};
    size_t i;

    for (i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *at = strcmp(text, yes[i]) == 0;
            return POCKETFED_OK;
        }
    }
    return pf_fail(err, POCKETFED_CONFIG, "%s is \"%s\", not on or off", o->key,
                   text);
}

static enum pocketfed_status set_enum(const struct pf_option *o, int *at,
                                      const char *text, struct pf_error *err)
{
    int i;

    for (i = 0; o->names[i]; i++) {
        if (strcmp(text, o->names[i]) == 0) {
            *at = i;
            return POCKETFED_OK;
        }
    }
    return pf_fail(err, POCKETFED_CONFIG, "%s is \"%s\", not one of %s", o->key,
                   text, o->arg);
}

enum pocketfed_status pf_option_set(const struct pf_option *o,
                                    struct pf_config *c, const char *text,
                                    struct pf_error *err)
{
    char *at = (char *)c + o->offset;
    uint64_t n;

    switch (o->type) {
    case PF_OPTION_U32:
        if (!pf_parse_u64(text, strlen(text), o->min, o->max, &n))
            return pf_fail(err, POCKETFED_CONFIG,
                           "%s is \"%s\", not a whole number from %" PRIu32
                           " to %" PRIu32,
                           o->key, text, o->min, o->max);
        *(uint32_t *)(void *)at = (uint32_t)n;
        return POCKETFED_OK;
    case PF_OPTION_BOOL:
        return set_bool(o, (int *)(void *)at, text, err);
    case PF_OPTION_ENUM:
        return set_enum(o, (int *)(void *)at, text, err);
    default:
        return set_text(o, at, text, err);
    }
}

void pf_config_init(struct pf_config *c)
{
    const struct pf_option *o;

    memset(c, 0, sizeof *c);
    for (o = pf_options; o->key; o++)
        (void)pf_option_set(o, c, o->preset, NULL);
}

/* ---- the INI file ---- */

struct ini {
    struct pf_config *config;
    const char *name, *text, *end;
    unsigned line; /* of what was handed out last, from 1 */
    enum pocketfed_status status;
    struct pf_error *err;
};

static void ini_fail(struct ini *ini, const char *why, const char *hint)
{
    if (ini->status != POCKETFED_OK)
        return;
    ini->status = pf_fail(ini->err, POCKETFED_CONFIG, "%s:%u: %s", ini->name,
                          ini->line, why);
    if (hint[0])
        pf_hint(ini->err, "%s", hint);
}

/* inih asks for lines here, so that the number of each is known. Leading
 * blanks go: inih would take such a line for a continuation. */
static char *ini_line(char *out, int cap, void *ctx)
{
    struct ini *ini = ctx;
    const char *from = ini->text, *end;
    char why[96];
    size_t n;

    if (ini->status != POCKETFED_OK || from == ini->end)
        return NULL;
    ini->line++;
    end = memchr(from, '\n', (size_t)(ini->end - from));
    ini->text = end ? end + 1 : ini->end;
    end = end ? end : ini->end;
    if (ini->line == 1 && end - from >= 3 &&
        memcmp(from, "\xef\xbb\xbf", 3) == 0)
        from += 3;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    n = (size_t)(end - from);
    if (memchr(from, '\0', n)) {
        ini_fail(ini, "there is a NUL byte; is this a text file?", "");
        return NULL;
    }
    if (n + 2 > (size_t)cap) {
        snprintf(why, sizeof why, "the line is longer than %d characters",
                 cap - 2);
        ini_fail(ini, why, "");
        return NULL;
    }
    memcpy(out, from, n);
    out[n] = '\n';
    out[n + 1] = '\0';
    return out;
}

static void ini_unknown(struct ini *ini, const char *section, const char *key)
{
    const char *names[64];
    char why[200], hint[200] = "";
    const char *near;
    size_t n = 0;
    int known = 0;
    const struct pf_option *o;

    for (o = pf_options; o->key; o++)
        known |= strcmp(o->section, section) == 0;
    for (o = pf_options; o->key && n < 63; o++)
        if (!known || strcmp(o->section, section) == 0)
            names[n++] = known ? o->key : o->section;
    names[n] = NULL;
    near = pf_nearest(known ? key : section, names);
    if (known)
        snprintf(why, sizeof why, "there is no option \"%.60s\" in [%.40s]",
                 key, section);
    else if (!section[0])
        snprintf(why, sizeof why, "\"%.60s\" stands before any [section]", key);
    else
        snprintf(why, sizeof why, "there is no section [%.60s]", section);
    if (near)
        snprintf(hint, sizeof hint,
                 known ? "did you mean %s?" : "did you mean [%s]?", near);
    else
        snprintf(hint, sizeof hint, "pocketfedd --print-config shows them all");
    ini_fail(ini, why, hint);
}

static int ini_option(void *ctx, const char *section, const char *key,
                      const char *value)
{
    struct ini *ini = ctx;
    struct pf_error err = {0};
    const struct pf_option *o;

    for (o = pf_options; o->key; o++)
        if (strcmp(o->section, section) == 0 && strcmp(o->key, key) == 0)
            break;
    if (!o->key)
        ini_unknown(ini, section, key);
    else if (pf_option_set(o, ini->config, value, &err) != POCKETFED_OK)
        ini_fail(ini, err.text, err.hint);
    return 1;
}

enum pocketfed_status pf_config_ini(struct pf_config *c, const char *name,
                                    const char *text, size_t len,
                                    struct pf_error *err)
{
    struct ini ini = {c, name, text, text + len, 0, POCKETFED_OK, err};
    int rc;

    if (len == 0)
        return POCKETFED_OK;
    rc = ini_parse_stream(ini_line, &ini, ini_option, &ini);
    if (ini.status == POCKETFED_OK && rc > 0) {
        ini.line = (unsigned)rc;
        ini_fail(&ini, "this is neither [section] nor key = value", "");
    } else if (ini.status == POCKETFED_OK && rc < 0) {
        ini.status =
            pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %s", name);
    }
    return ini.status;
}

/* ---- what is printed ---- */

/* The option's value as an INI file has it. */
static void print_value(const struct pf_option *o, const struct pf_config *c,
                        struct pf_buf *out)
{
    const char *at = (const char *)c + o->offset;

    switch (o->type) {
    case PF_OPTION_U32:
        pf_buf_addf(out, "%" PRIu32, *(const uint32_t *)(const void *)at);
        break;
    case PF_OPTION_BOOL:
        pf_buf_adds(out, *(const int *)(const void *)at ? "on" : "off");
        break;
    case PF_OPTION_ENUM:
        pf_buf_adds(out, o->names[*(const int *)(const void *)at]);
        break;
    default:
        pf_buf_adds(out, at);
    }
}

/* Text in lines of at most 78 columns, each behind `prefix`. */
static void wrap(struct pf_buf *out, const char *prefix, const char *text)
{
    size_t width = 78 - strlen(prefix), n;

    while (*text) {
        n = strlen(text);
        if (n > width) {
            for (n = width; n > 0 && text[n] != ' '; n--)
                ;
            if (n == 0)
                n = width;
        }
        pf_buf_addf(out, "%s%.*s\n", prefix, (int)n, text);
        text += n;
        while (*text == ' ')
            text++;
    }
}

enum pocketfed_status pf_config_print(const struct pf_config *c,
                                      struct pf_buf *out)
{
    const char *section = "";
    const struct pf_option *o;
    struct pf_buf value;
    char upper[96];
    size_t i;

    pf_buf_init(&value, 4 * PF_CONFIG_TEXT);
    for (o = pf_options; o->key; o++) {
        if (strcmp(section, o->section) != 0) {
            pf_buf_addf(out, "%s[%s]\n", section[0] ? "\n" : "", o->section);
            section = o->section;
        }
        snprintf(upper, sizeof upper, "POCKETFED_%s_%s", o->section, o->key);
        for (i = 0; upper[i]; i++)
            if (upper[i] >= 'a' && upper[i] <= 'z')
                upper[i] = (char)(upper[i] - 'a' + 'A');
        pf_buf_adds(out, "\n");
        wrap(out, "; ", o->help);
        if (o->type == PF_OPTION_U32)
            pf_buf_addf(out, "; %" PRIu32 " to %" PRIu32 ". ", o->min, o->max);
        else
            pf_buf_addf(out, "; %s. ", o->arg);
        if (o->flag)
            pf_buf_addf(out, "Flag --%s, variable %s.%s\n", o->flag, upper,
                        o->live ? " Live." : "");
        else
            pf_buf_addf(out, "Variable %s.%s\n", upper,
                        o->live ? " Live." : "");
        pf_buf_clear(&value);
        print_value(o, c, &value);
        pf_buf_addf(out, "%s%s =%s%s\n",
                    strcmp(pf_buf_str(&value), o->preset) == 0 ? ";" : "",
                    o->key, value.len ? " " : "", pf_buf_str(&value));
    }
    pf_buf_free(&value);
    return pf_buf_status(out);
}

enum pocketfed_status pf_config_help(struct pf_buf *out)
{
    const struct pf_option *o;
    char head[96];

    pf_buf_adds(out, "pocketfedd - the aggregation server of pocketfed\n\n"
                     "  pocketfedd                       start with defaults\n"
                     "  pocketfedd --state DIR --listen 127.0.0.1:0\n"
                     "  pocketfedd --print-config > pocketfedd.ini\n"
                     "  pocketfedd rotate-key --state DIR   a new record key; "
                     "devices follow\n"
                     "  pocketfedd audit [TASK] --state DIR   is each model "
                     "what its updates give?\n\n"
                     "Options, each also in the file and as a variable:\n");
    for (o = pf_options; o->key; o++) {
        if (!o->flag)
            continue;
        snprintf(head, sizeof head, "  --%s %s\n", o->flag, o->arg);
        pf_buf_adds(out, head);
        wrap(out, "      ", o->help);
    }
    pf_buf_adds(out, "\n  --config FILE\n"
                     "      Read options from an INI file.\n"
                     "  --check-config\n"
                     "      Say whether the configuration is right, and end.\n"
                     "  --print-config\n"
                     "      Print it as an INI file with every option "
                     "explained, and end.\n"
                     "  --json\n"
                     "      Print what was started as one JSON document on "
                     "stdout.\n"
                     "  --version, -h, --help\n\n"
                     "Exit codes: 0 ended as asked, 1 failed, 2 wrong usage, "
                     "78 wrong configuration.\n");
    return pf_buf_status(out);
}
