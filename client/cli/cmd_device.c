/* Devices, from the operator's side: list, show, revoke. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "admin_http.h"
#include "json.h"
#include "messages.h"
#include "text.h"

#define REPLY_MAX (4u << 20)
#define ALL_MAX   (256u << 20)
#define PAGE      1000
#define ID_DIGITS (2 * PF_DEVICE_LEN)
#define MIN_DIGITS                                                             \
    4 /* of an id's beginning: fewer are an ordinal, if anything */

static const struct cli_option admin_options[] = {
    CLI_ADMIN_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

static void print_header(void)
{
    cli_out("%8s %-8s %7s %6s %-19s %-*s %s\n", "ORDINAL", "STATE", "ROUNDS",
            "LAST", "ENROLLED", ID_DIGITS, "DEVICE", "LABEL");
}

/* A device's own words must not steer the operator's terminal: U+0080 to U+009F
 * are controls, too. The others were refused when it enrolled. */
static void print_label(const char *label)
{
    for (; *label; label++) {
        if ((label[0] & 0xff) == 0xc2 && (label[1] & 0xff) < 0xa0) {
            label++;
            cli_out("?");
        } else {
            cli_out("%c", *label);
        }
    }
}

static void print_row(const struct pf_device_status *d)
{
    char id[ID_DIGITS + 1], when[24] = "<none>", last[24] = "<none>";
    time_t t = (time_t)(d->enrolled_ms / 1000);
    struct tm tm;

    pf_hex(d->device, PF_DEVICE_LEN, id);
    if (gmtime_r(&t, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    if (d->last_round)
        snprintf(last, sizeof last, "%" PRIu64, d->last_round);
    cli_out("%8" PRIu64 " %-8s %7" PRIu64 " %6s %-19s %-*s ", d->ordinal,
            pf_device_states[d->state], d->rounds, last, when, ID_DIGITS, id);
    print_label(d->label);
    cli_out("\n");
}

/* ---- pages of the list ---- */

/* Calls back with each device of a page; *n counts them, and *last is the
 * ordinal of the last one. */
static enum pocketfed_status
each_of(const struct cli *c, const struct pf_call_args *args, const char *query,
        void (*visit)(void *ctx, const struct pf_device_status *d), void *ctx,
        unsigned *n, struct pf_error *err)
{
    const struct pf_json_node *at;
    struct pf_device_status d;
    struct pf_json_doc *doc = NULL;
    enum pocketfed_status st;
    struct pf_buf reply;

    *n = 0;
    pf_buf_init(&reply, REPLY_MAX);
    st = admin_call(c, PF_CALL_ADMIN_DEVICES, args, query, NULL, &reply, err);
    if (!st)
        st = pf_json_parse(pf_buf_str(&reply), reply.len, &doc, err);
    at = st ? NULL : pf_json_first(pf_json_get(pf_json_root(doc), "devices"));
    for (; at && !st; at = pf_json_next(at)) {
        memset(&d, 0, sizeof d);
        st = pf_json_decode_node(pf_device_status_fields, PF_JSON_IGNORE, at,
                                 "/devices", &d, err);
        if (!st)
            visit(ctx, &d);
        ++*n;
    }
    pf_json_free(doc);
    pf_buf_free(&reply);
    return st;
}

struct listing {
    struct cli *c;
    uint64_t last, n;
    struct pf_buf json; /* the devices so far */
};

static void add(void *ctx, const struct pf_device_status *d)
{
    struct listing *l = ctx;

    l->last = d->ordinal;
    if (l->c->json) {
        pf_buf_adds(&l->json, l->n ? "," : "{\"devices\":[");
        pf_json_encode(pf_device_status_fields, d, &l->json);
    } else {
        if (l->n == 0)
            print_header();
        print_row(d);
    }
    l->n++;
}

static int task_args(const struct cli *c, struct pf_call_args *args)
{
    memset(args, 0, sizeof *args);
    if (!pf_task_name_ok(c->arg[0]))
        return cli_usage(c, "\"%s\" is no task name (a-z 0-9 . _ -)",
                         c->arg[0]);
    snprintf(args->task, sizeof args->task, "%s", c->arg[0]);
    return CLI_OK;
}

static int device_list(struct cli *c)
{
    struct listing l = {.c = c};
    struct pf_call_args args;
    struct pf_error err = {0};
    char query[64];
    unsigned n;
    int code = task_args(c, &args);

    if (code)
        return code;
    pf_buf_init(&l.json, ALL_MAX);
    snprintf(query, sizeof query, "?limit=%d", PAGE);
    do {
        if (each_of(c, &args, query, add, &l, &n, &err)) {
            code = cli_fail(c, &err, "the devices of %s cannot be listed",
                            args.task);
            goto out;
        }
        snprintf(query, sizeof query, "?after=%" PRIu64 "&limit=%d", l.last,
                 PAGE);
    } while (n == PAGE);
    if (c->json) {
        pf_buf_adds(&l.json, l.n ? "]}" : "{\"devices\":[]}");
        if (pf_buf_status(&l.json)) {
            pf_fail(&err, pf_buf_status(&l.json),
                    "too many devices for one "
                    "document");
            code = cli_fail(c, &err, "the devices of %s cannot be listed",
                            args.task);
            goto out;
        }
        cli_out_json(&l.json);
    } else if (l.n == 0) {
        cli_say(c, "no device yet; invite one: pocketfed token create %s",
                args.task);
    }
out:
    pf_buf_free(&l.json);
    return code;
}

/* ---- one device, by id, the beginning of one, or ordinal ---- */

struct found {
    uint64_t ordinal;
    unsigned by_id, by_ordinal;
    uint8_t id[PF_DEVICE_LEN], other[PF_DEVICE_LEN]; /* by id, by ordinal */
};

static void note_id(void *ctx, const struct pf_device_status *d)
{
    struct found *f = ctx;

    f->by_id++;
    memcpy(f->id, d->device, sizeof f->id);
}

static void note_ordinal(void *ctx, const struct pf_device_status *d)
{
    struct found *f = ctx;

    if (d->ordinal != f->ordinal)
        return;
    f->by_ordinal = 1;
    memcpy(f->other, d->device, sizeof f->other);
}

/* Asks for what the text can mean. */
static enum pocketfed_status look(const struct cli *c,
                                  const struct pf_call_args *args,
                                  const char *text, struct found *f,
                                  struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    size_t len = strlen(text);
    char query[96] = "?limit=1";
    unsigned n;

    memset(f, 0, sizeof *f);
    if (pf_parse_u64(text, len, 0, INT64_MAX - 1, &f->ordinal)) {
        if (f->ordinal > 0)
            snprintf(query, sizeof query, "?after=%" PRIu64 "&limit=1",
                     f->ordinal - 1);
        st = each_of(c, args, query, note_ordinal, f, &n, err);
    }
    if (!st && len >= MIN_DIGITS) {
        snprintf(query, sizeof query, "?limit=2&id=%.*s", ID_DIGITS, text);
        st = each_of(c, args, query, note_id, f, &n, err);
    }
    return st;
}

static int readable(const char *text)
{
    size_t len = strlen(text), digits = strspn(text, "0123456789abcdef");

    if (digits != len || len == 0 || len > ID_DIGITS)
        return 0;
    return len >= MIN_DIGITS || strspn(text, "0123456789") == len;
}

/* args->device from the second operand; 0, or an exit code after having said
 * why. `what` does not happen. */
static int find(struct cli *c, struct pf_call_args *args, const char *what)
{
    const char *text = c->arg[1];
    struct pf_error err = {0};
    struct found f;
    int code = task_args(c, args);

    if (code)
        return code;
    if (!readable(text))
        return cli_usage(c,
                         "\"%s\" is no device: give its number in the task, "
                         "its id, or the id's first %d digits or more",
                         text, MIN_DIGITS);
    if (look(c, args, text, &f, &err))
        return cli_fail(c, &err, "%s", what);
    if (f.by_id + f.by_ordinal == 0) {
        pf_fail(&err, POCKETFED_NOT_FOUND, "task %s has no device %s",
                args->task, text);
        pf_hint(&err, "pocketfed device list %s", args->task);
        return cli_fail(c, &err, "%s", what);
    }
    if (f.by_id > 1 ||
        (f.by_id && f.by_ordinal && memcmp(f.id, f.other, sizeof f.id) != 0))
        return cli_usage(c,
                         "\"%s\" can mean more than one device of %s: give "
                         "more digits of the id",
                         text, args->task);
    memcpy(args->device, f.by_id ? f.id : f.other, sizeof args->device);
    return CLI_OK;
}

/* One call about the device that the operands name. */
static int call_and_print(struct cli *c, enum pf_call_id call, const char *what,
                          int done)
{
    struct pf_device_status d;
    struct pf_call_args args;
    struct pf_error err = {0};
    struct pf_buf reply;
    char id[ID_DIGITS + 1];
    int code = find(c, &args, what);

    if (code)
        return code;
    memset(&d, 0, sizeof d);
    pf_buf_init(&reply, REPLY_MAX);
    if (admin_call(c, call, &args, "", NULL, &reply, &err) ||
        pf_json_decode(pf_device_status_fields, PF_JSON_IGNORE,
                       pf_buf_str(&reply), reply.len, &d, &err)) {
        code = cli_fail(c, &err, "%s", what);
    } else if (c->json) {
        cli_out_json(&reply);
    } else if (done) {
        pf_hex(d.device, PF_DEVICE_LEN, id);
        cli_out("device/%s revoked\n", id);
    } else {
        print_header();
        print_row(&d);
    }
    pf_buf_free(&reply);
    return code;
}

static int device_show(struct cli *c)
{
    return call_and_print(c, PF_CALL_ADMIN_DEVICE, "the device cannot be shown",
                          0);
}

static int device_revoke(struct cli *c)
{
    return call_and_print(c, PF_CALL_ADMIN_DEVICE_REVOKE,
                          "the device was not revoked", 1);
}

extern const struct cli_command cmd_device_list, cmd_device_show,
    cmd_device_revoke;

#define SERVER_GROUP "Run a server (on its machine)"

const struct cli_command cmd_device_list = {
    "device list",
    SERVER_GROUP,
    "TASK",
    1,
    1,
    "list the devices of a task, those that are gone among them",
    "  pocketfed device list mnist\n"
    "  pocketfed device list mnist --json\n",
    admin_options,
    device_list};
const struct cli_command cmd_device_show = {
    "device show",
    SERVER_GROUP,
    "TASK DEVICE",
    2,
    2,
    "show one device, by number, id or the beginning of one",
    "  pocketfed device show mnist 3\n"
    "  pocketfed device show mnist b16c2d1b\n",
    admin_options,
    device_show};
const struct cli_command cmd_device_revoke = {
    "device revoke",
    SERVER_GROUP,
    "TASK DEVICE",
    2,
    2,
    "shut a device out for good",
    "  pocketfed device revoke mnist 3\n"
    "  pocketfed device revoke mnist b16c2d1bead1262639764fdb0ee4d377\n",
    admin_options,
    device_revoke};
