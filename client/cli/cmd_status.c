/* status: where this device stands. Reads the folder without its lock, so it
 * answers while a training runs. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"
#include "device.h"
#include "keyring.h"
#include "text.h"

static int in_use(const char *dir)
{
    char path[600];
    int fd, used;

    if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path)
        return 0;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0;
    used = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd); /* lets go of the lock if it was ours */
    return used;
}

static void when(int64_t ms, char *out, size_t cap)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;

    if (ms <= 0 || !gmtime_r(&t, &tm))
        snprintf(out, cap, "never");
    else
        strftime(out, cap, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

/* Fingerprint of the record key in force: the join link's, or what replaced it.
 */
static void record_key(const struct pf_storage *s,
                       const struct pf_membership *m, char hex[65])
{
    struct pf_keyring k;
    uint8_t print[32];

    if (pf_keyring_load(&k, s, m->record_key, NULL))
        pf_sha256(m->record_key, sizeof m->record_key, print);
    else
        pf_key_fingerprint(pf_keyring_now(&k), print);
    pf_keyring_free(&k);
    pf_hex(print, 32, hex);
}

static void print_text(const struct pf_membership *m,
                       const struct pf_counters *n, const char *dir,
                       const char *key)
{
    char device[33], last[40], up[24], down[24];

    pf_hex(m->device, sizeof m->device, device);
    when(n->last_accepted_ms, last, sizeof last);
    cli_out("device   %s, number %llu, in %s\n", device,
            (unsigned long long)m->ordinal, dir);
    cli_out("joined   %s at %s:%u, record key %.16s...\n", m->task, m->host,
            m->port, key);
    if (n->last_round)
        cli_out("last     round %llu, update %.16s..., accepted %s\n",
                (unsigned long long)n->last_round, n->last_update, last);
    else
        cli_out("last     no update accepted yet\n");
    cli_out("now      %s\n", in_use(dir) ? "a pocketfed process works here"
                                         : "idle; pocketfed train goes on");
    cli_out("so far   %llu updates, %s up, %s down\n",
            (unsigned long long)n->participations, cli_bytes(n->bytes_up, up),
            cli_bytes(n->bytes_down, down));
}

static void print_json(const struct pf_membership *m,
                       const struct pf_counters *n, const char *dir,
                       const char *key)
{
    char device[33];
    struct pf_buf b;

    pf_hex(m->device, sizeof m->device, device);
    pf_buf_init(&b, 8192);
    pf_buf_addf(&b,
                "{\"device\":\"%s\",\"ordinal\":\"%llu\",\"task\":\"%s\","
                "\"record_key\":\"%s\",\"last_round\":\"%llu\","
                "\"last_update\":\"%s\",\"last_accepted_ms\":%lld,",
                device, (unsigned long long)m->ordinal, m->task, key,
                (unsigned long long)n->last_round, n->last_update,
                (long long)n->last_accepted_ms);
    pf_buf_addf(
        &b,
        "\"participations\":\"%llu\",\"bytes_up\":\"%llu\","
        "\"bytes_down\":\"%llu\",\"model\":\"%s\",\"running\":%s,"
        "\"server\":",
        (unsigned long long)n->participations, (unsigned long long)n->bytes_up,
        (unsigned long long)n->bytes_down, n->n_models ? n->models[0] : "",
        in_use(dir) ? "true" : "false");
    pf_buf_adds(&b, "{\"host\":");
    pf_json_string(&b, m->host);
    pf_buf_addf(&b, ",\"port\":%u},\"dir\":", m->port);
    pf_json_string(&b, dir);
    pf_buf_adds(&b, "}");
    cli_out_json(&b);
    pf_buf_free(&b);
}

static int status(struct cli *c)
{
    struct pf_membership m;
    struct pf_counters n;
    struct pf_storage s;
    struct pf_error err = {0};
    char key[65];

    s.lock_fd = -1;
    if (device_dir(c, s.dir, sizeof s.dir, &err))
        return cli_fail(c, &err, "this device's folder is not known");
    if (pf_storage_membership(&s, &m)) {
        pf_fail(&err, POCKETFED_NOT_FOUND, "%s has joined no task", s.dir);
        pf_hint(&err, "pocketfed join LINK --dir %s", s.dir);
        return cli_fail(c, &err, "there is no status to show");
    }
    pf_storage_counters(&s, &n);
    record_key(&s, &m, key);
    if (c->json)
        print_json(&m, &n, s.dir, key);
    else
        print_text(&m, &n, s.dir, key);
    return CLI_OK;
}

static const struct cli_option options[] = {
    CLI_DEVICE_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

extern const struct cli_command cmd_status;
const struct cli_command cmd_status = {"status",
                                       "Take part (on a device)",
                                       "",
                                       0,
                                       0,
                                       "show where this device stands",
                                       "  pocketfed status\n",
                                       options,
                                       status};
