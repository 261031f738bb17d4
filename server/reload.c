#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"

static int same(const struct pf_option *o, const struct pf_config *a,
                const struct pf_config *b)
{
    const char *at = (const char *)a + o->offset;
    const char *bt = (const char *)b + o->offset;

    switch (o->type) {
    case PF_OPTION_U32:
        return memcmp(at, bt, sizeof(uint32_t)) == 0;
    case PF_OPTION_BOOL:
    case PF_OPTION_ENUM:
        return memcmp(at, bt, sizeof(int)) == 0;
    default:
        return strcmp(at, bt) == 0;
    }
}

static void take_over(const struct pf_option *o, struct pf_config *to,
                      const struct pf_config *from)
{
    char *at = (char *)to + o->offset;
    const char *bt = (const char *)from + o->offset;

    switch (o->type) {
    case PF_OPTION_U32:
        memcpy(at, bt, sizeof(uint32_t));
        break;
    case PF_OPTION_BOOL:
    case PF_OPTION_ENUM:
        memcpy(at, bt, sizeof(int));
        break;
    default:
        memcpy(at, bt, strlen(bt) + 1);
    }
}

/* Links carry a pin for a certificate of our own and none for another, so one
 * does not become the other while links are made. */
static int is_certificate(const struct pf_option *o)
{
    return strcmp(o->key, "certificate") == 0 ||
           strcmp(o->key, "private_key") == 0;
}

/* Takes over what may change; how many options that were. */
static unsigned apply(struct pf_daemon *d, const struct pf_config *fresh)
{
    int other_kind = !d->config.certificate[0] != !fresh->certificate[0];
    const struct pf_option *o;
    unsigned n = 0;

    for (o = pf_options; o->key; o++) {
        if (same(o, &d->config, fresh))
            continue;
        if (!o->live || (other_kind && is_certificate(o))) {
            pf_log(&d->log, PF_LOG_WARN,
                   "reload: %s in [%s] changes at the next start", o->key,
                   o->section);
            continue;
        }
        take_over(o, &d->config, fresh);
        n++;
    }
    return n;
}

enum pocketfed_status pf_daemon_reload(struct pf_daemon *d,
                                       const struct pf_config *fresh,
                                       struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_statedir tls = {.lock = -1};
    const struct pf_config *files = fresh;
    uint8_t token[PF_ADMIN_TOKEN_LEN];
    char line[200];
    unsigned n;

    if (!d->config.certificate[0] != !fresh->certificate[0])
        files = &d->config;
    if (d->tls) {
        st = pf_daemon_read_tls(d, files, &tls, err);
        if (st == POCKETFED_OK && tls.own_cert &&
            memcmp(tls.pin, d->dir.pin, sizeof tls.pin) != 0)
            st = pf_fail(err, POCKETFED_CONFIG,
                         "keys/tls.key is another than at the start, which "
                         "join links are pinned to; start anew with it");
    }
    if (st == POCKETFED_OK && d->gate)
        st = pf_daemon_read_token(fresh, token, err);
    if (st == POCKETFED_OK && d->tls)
        st = pf_tls_replace(d->tls, pf_buf_str(&tls.tls_key),
                            pf_buf_str(&tls.tls_cert), err);
    if (st == POCKETFED_OK) { /* nothing can fail from here on */
        if (d->gate)
            pf_gate_token(d->gate, token);
        n = apply(d, fresh);
        pf_limits_set(&d->limits, &d->config.limits);
        atomic_store(&d->log.max, d->config.log_level);
        snprintf(line, sizeof line,
                 "configuration and certificate read again: %u option%s "
                 "changed",
                 n, n == 1 ? "" : "s");
        pf_daemon_tell(line);
    }
    pf_statedir_close(&tls);
    memset(token, 0, sizeof token);
    return st;
}
