/* verify: what the server committed itself to, checked from the device's folder
 * without network. Reads the folder without its lock, as status does. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "device.h"
#include "file.h"
#include "text.h"
#include "verify.h"

#define MAX_RECORDS ((size_t)64 << 20)

/* What is wrong, as it is told. */
struct told {
    struct pf_buf text; /* "wrong     sentence\n" each */
    struct pf_buf json; /* "sentence" each, with commas */
    char first[320];
};

static void wrong(void *ctx, const char *sentence)
{
    struct told *t = ctx;

    pf_buf_addf(&t->text, "wrong     %s\n", sentence);
    if (t->json.len)
        pf_buf_adds(&t->json, ",");
    pf_json_string(&t->json, sentence);
    if (!t->first[0])
        snprintf(t->first, sizeof t->first, "%.*s", (int)sizeof t->first - 1,
                 sentence);
}

/* ---- the folder -------------------------------------------------------- */

static void fingerprint(const struct pf_key *key, char out[65])
{
    uint8_t print[32];

    pf_key_fingerprint(key, print);
    pf_hex(print, 32, out);
}

static void print_round(const struct pf_verified *r)
{
    char update[65], model[65];

    pf_hex(r->ack.digest, 32, update);
    pf_hex(r->record.model, 32, model);
    cli_out("round %-4" PRIu64 "update %.16s..., ", r->ack.counted, update);
    if (!r->proved)
        cli_out("acknowledged; no proof yet\n");
    else if (r->record.outcome == PF_RECORD_ABANDONED)
        cli_out("in the record of a round that was abandoned\n");
    else
        cli_out("counted in model %.16s..., with %" PRIu64 " other%s\n", model,
                r->record.updates - 1, r->record.updates == 2 ? "" : "s");
}

static void print_text(const struct pf_verdict *v, const struct told *told)
{
    char device[33], now[65], pinned[65], when[40] = "";
    struct tm tm;
    time_t t;
    size_t i;

    pf_hex(v->home.device, sizeof v->home.device, device);
    fingerprint(v->keyring.key[0], pinned);
    fingerprint(pf_keyring_now(&v->keyring), now);
    cli_out("device    %s in task %s at %s:%u\n", device, v->home.task,
            v->home.host, v->home.port);
    cli_out("key       %.16s..., ", now);
    if (v->keyring.n == 1)
        cli_out("pinned by the join link\n");
    else
        cli_out("from %.16s... of the join link, replaced %zu time%s\n", pinned,
                v->keyring.n - 1, v->keyring.n == 2 ? "" : "s");
    for (i = 0; i < v->n; i++)
        print_round(&v->list[i]);
    if (v->history) {
        t = (time_t)(v->history->head.time_ms / 1000);
        if (gmtime_r(&t, &tm))
            strftime(when, sizeof when, " on %Y-%m-%d %H:%M:%S UTC", &tm);
        cli_out("history   %" PRIu64 " records, told%s%s\n",
                v->history->head.size, when,
                v->faults ? "" : "; each visit goes on from the one before");
    }
    cli_out("%s", pf_buf_str(&told->text));
    cli_out("proved    %zu of %zu updates\n", v->n_proved, v->n);
}

static void add_round(struct pf_buf *b, const struct pf_verified *r, int first)
{
    char update[65], model[65];

    pf_hex(r->ack.digest, 32, update);
    pf_buf_addf(
        b, "%s{\"round\":\"%" PRIu64 "\",\"update\":\"%s\",\"proved\":%s",
        first ? "" : ",", r->ack.counted, update, r->proved ? "true" : "false");
    if (r->proved) {
        pf_hex(r->record.model, 32, model);
        pf_buf_addf(
            b,
            ",\"outcome\":\"%s\",\"model\":\"%s\",\"updates\":\"%" PRIu64
            "\",\"log_index\":\"%" PRIu64 "\"",
            pf_record_outcomes[r->record.outcome], model, r->record.updates,
            r->log_index);
    }
    pf_buf_adds(b, "}");
}

static void print_json(const struct pf_verdict *v, const struct told *told)
{
    char device[33], now[65], pinned[65];
    struct pf_buf b;
    size_t i;

    pf_hex(v->home.device, sizeof v->home.device, device);
    fingerprint(v->keyring.key[0], pinned);
    fingerprint(pf_keyring_now(&v->keyring), now);
    pf_buf_init(&b, MAX_RECORDS);
    pf_buf_addf(&b,
                "{\"verified\":%s,\"device\":\"%s\",\"task\":\"%s\","
                "\"record_key\":\"%s\",\"pinned_key\":\"%s\","
                "\"rotations\":%zu,\"rounds\":[",
                v->faults ? "false" : "true", device, v->home.task, now, pinned,
                v->keyring.n - 1);
    for (i = 0; i < v->n; i++)
        add_round(&b, &v->list[i], i == 0);
    pf_buf_addf(&b,
                "],\"updates\":%zu,\"proved\":%zu,\"records\":\"%" PRIu64
                "\",\"evidence\":%zu,\"wrong\":[%s]}",
                v->n, v->n_proved, v->history ? v->history->head.size : 0,
                v->evidence, pf_buf_str(&told->json));
    cli_out_json(&b);
    pf_buf_free(&b);
}

static int say_verdict(struct cli *c, const struct pf_verdict *v,
                       const struct told *told)
{
    struct pf_error err = {0};

    if (c->json)
        print_json(v, told);
    else
        print_text(v, told);
    if (!v->faults)
        return CLI_OK;
    if (c->json)
        return CLI_PROOF;
    pf_fail(&err, POCKETFED_PROOF, "%s", told->first);
    if (v->evidence)
        pf_hint(&err, "show evidence.jsonl to the operator and to the owners "
                      "of other devices");
    else
        pf_hint(&err, "the folder was changed or damaged, or the server tells "
                      "an untruth; keep a copy before you go on");
    return cli_fail(c, &err, "the folder does not verify");
}

/* ---- a model file ------------------------------------------------------ */

static int verify_model(struct cli *c, const struct pf_verdict *v,
                        const char *path)
{
    const struct pf_verified *r;
    struct pf_error err = {0};
    uint8_t digest[32];
    struct pf_buf file;
    char hex[65];

    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    if (pf_file_read(path, &file, &err)) {
        pf_buf_free(&file);
        return cli_fail(c, &err, "%s was not verified", path);
    }
    pf_sha256(file.data, file.len, digest);
    pf_buf_free(&file);
    pf_hex(digest, 32, hex);
    r = pf_verdict_model(v, digest);
    if (!r) {
        pf_fail(&err, v->n_proved ? POCKETFED_PROOF : POCKETFED_NOT_FOUND,
                v->n_proved
                    ? "no record that is kept here names a model with the "
                      "digest %.16s..."
                    : "no record is kept here yet, so none names the digest "
                      "%.16s...",
                hex);
        pf_hint(&err, "records are kept of the rounds that this device took "
                      "part in: pocketfed verify shows them");
        return cli_fail(c, &err, "%s was not verified", path);
    }
    if (c->json)
        cli_out("{\"verified\":true,\"model\":\"%s\",\"round\":\"%" PRIu64
                "\"}\n",
                hex, r->record.round);
    else
        cli_out("%s is the model of round %" PRIu64
                ", by a record that is signed\n",
                path, r->record.round);
    return CLI_OK;
}

/* ---- two devices' records ---------------------------------------------- */

static int verify_records(struct cli *c, const struct pf_verdict *v,
                          const char *a, const char *b)
{
    const struct pf_record_keys keys = pf_keyring_keys(&v->keyring);
    struct pf_error err = {0};
    struct pf_buf x, y;
    size_t common = 0;
    int code = CLI_OK;

    pf_buf_init(&x, MAX_RECORDS);
    pf_buf_init(&y, MAX_RECORDS);
    if (pf_file_read(a, &x, &err) || pf_file_read(b, &y, &err) ||
        pf_verify_compare(&keys, pf_buf_str(&x), pf_buf_str(&y), &common, &err))
        code = cli_fail(c, &err, "the records do not agree");
    else if (c->json)
        cli_out("{\"verified\":true,\"common\":%zu}\n", common);
    else
        cli_out("%zu record%s that both have %s the same\n", common,
                common == 1 ? "" : "s", common == 1 ? "is" : "are");
    pf_buf_free(&x);
    pf_buf_free(&y);
    return code;
}

/* ---- the command ------------------------------------------------------- */

static int verify(struct cli *c)
{
    const char *a = cli_text_earlier(c, "record"), *b = cli_text(c, "record");
    struct pf_verdict v = {0};
    struct told told = {.first = ""};
    struct pf_error err = {0};
    struct pf_storage s;
    int code;

    if (b && !a)
        return cli_usage(c, "two records are compared: give --record twice");
    s.lock_fd = -1;
    if (device_dir(c, s.dir, sizeof s.dir, &err))
        return cli_fail(c, &err, "this device's folder is not known");
    pf_buf_init(&told.text, MAX_RECORDS);
    pf_buf_init(&told.json, MAX_RECORDS);
    if (pf_verify_folder(&s, wrong, &told, &v, &err)) {
        if (err.status == POCKETFED_NOT_FOUND)
            pf_hint(&err, "pocketfed join LINK --dir %s", s.dir);
        code = cli_fail(c, &err, "there is nothing to verify");
    } else if (a) {
        code = verify_records(c, &v, a, b);
    } else if (v.faults == 0 && cli_origin(c, "model") == CLI_GIVEN) {
        code = verify_model(c, &v, cli_text(c, "model"));
    } else {
        code = say_verdict(c, &v, &told);
    }
    pf_verdict_free(&v);
    pf_buf_free(&told.text);
    pf_buf_free(&told.json);
    return code;
}

static const struct cli_option options[] = {
    CLI_DEVICE_OPTIONS,
    {"model", 0, CLI_TEXT, "FILE", NULL, 0, 0, NULL,
     "is this file the model that a kept record names?"},
    {"record", 0, CLI_TEXT, "FILE", NULL, 0, 0, NULL,
     "given twice: compare two devices' proofs.jsonl"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_verify;
const struct cli_command cmd_verify = {
    "verify",
    "Take part (on a device)",
    "",
    0,
    0,
    "check what the server committed itself to, without network",
    "  pocketfed verify\n"
    "  pocketfed verify --model model.safetensors\n"
    "  pocketfed verify --record mine/proofs.jsonl --record "
    "theirs/proofs.jsonl\n",
    options,
    verify};
