#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "listen.h"
#include "nonce.h"
#include "prover.h"
#include "resume.h"
#include "rotate.h"

/* Signed requests within the skew window; 16 MB. */
#define MAX_NONCES (1u << 20)
/* Files beside client connections: database, segments, objects, listeners. */
#define OTHER_FILES 512
/* Buffers of admin and ops connections. */
#define OTHER_BUFFER_KIB 64u

static void fatal(void *ctx, const struct pf_error *err)
{
    const struct pf_daemon *d = ctx;

    pf_log(&d->log, PF_LOG_ERROR,
           "stopping: what was decided cannot be kept or carried out "
           "why=\"%s\" do=\"%s\"",
           err->text,
           err->hint[0] ? err->hint
                        : "start again once the cause is gone: nothing that "
                          "was acknowledged is lost");
    _exit(1);
}

void pf_daemon_tell(const char *line)
{
    char out[600];
    int n = snprintf(out, sizeof out, "%.590s\n", line);

    if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
        return; /* nobody listens */
}

static void announce(void *ctx, const char *line)
{
    (void)ctx;
    pf_daemon_tell(line);
}

static void warn(struct pf_daemon *d, const char *text)
{
    size_t n = strlen(d->warning);

    snprintf(d->warning + n, sizeof d->warning - n, "%s%s", n ? "; " : "",
             text);
}

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

/* As many files as we may have, and no more connections than that bears. */
static void fit_connections(struct pf_daemon *d)
{
    struct rlimit lim;
    rlim_t need = (rlim_t)d->config.max_connections + OTHER_FILES;
    char text[128];

    d->connections = d->config.max_connections;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return;
    if (lim.rlim_cur < need && lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = lim.rlim_max < need ? lim.rlim_max : need;
        if (setrlimit(RLIMIT_NOFILE, &lim) != 0)
            getrlimit(RLIMIT_NOFILE, &lim);
    }
    if (lim.rlim_cur >= need)
        return;
    d->connections = lim.rlim_cur > 2 * OTHER_FILES
                         ? (uint32_t)(lim.rlim_cur - OTHER_FILES)
                         : (uint32_t)(lim.rlim_cur / 2);
    snprintf(text, sizeof text,
             "only %u client connections: raise the open file limit",
             d->connections);
    warn(d, text);
}

/* What join links carry: NAME, NAME:PORT, or an IPv6 address. */
static void split_host(struct pf_daemon *d)
{
    const char *text = d->config.host;
    size_t n = strlen(text);

    if (pf_address_parse(text, d->link_host, &d->edge.link_port))
        return;
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    snprintf(d->link_host, sizeof d->link_host, "%.*s", (int)n, text);
}

static enum pocketfed_status bind_tcp(const char *address, int *fd, char *bound,
                                      size_t cap, uint16_t *port,
                                      struct pf_error *err)
{
    enum pocketfed_status st;
    char host[256];
    uint16_t want;

    if (!pf_address_parse(address, host, &want))
        return pf_fail(err, POCKETFED_CONFIG, "%s is no ADDR:PORT", address);
    st = pf_listen_tcp(host, want, fd, port, err);
    if (st != POCKETFED_OK)
        return st;
    if (!host[0])
        snprintf(host, sizeof host, "0.0.0.0");
    if (strchr(host, ':'))
        snprintf(bound, cap, "[%s]:%u", host, *port);
    else
        snprintf(bound, cap, "%s:%u", host, *port);
    return POCKETFED_OK;
}

static enum pocketfed_status bind_admin(struct pf_daemon *d,
                                        struct pf_error *err)
{
    uint8_t token[PF_ADMIN_TOKEN_LEN];
    enum pocketfed_status st;
    char bound[PF_CONFIG_TEXT];
    uint16_t port = 0;

    if (!d->config.admin_listen[0])
        return POCKETFED_OK;
    st = bind_tcp(d->config.admin_listen, &d->fd[PF_SLOT_ADMIN_TCP], bound,
                  sizeof bound, &port, err);
    if (st != POCKETFED_OK)
        return st;
    snprintf(d->admin_url, sizeof d->admin_url, "%s://%s",
             pf_config_admin_tls(&d->config) ? "https" : "http", bound);
    st = pf_gate_create(d->link_host, &d->gate);
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "no memory for the admin interface");
    st = pf_daemon_read_token(&d->config, token, err);
    if (st == POCKETFED_OK)
        pf_gate_token(d->gate, token);
    memset(token, 0, sizeof token);
    return st;
}

static enum pocketfed_status bind_all(struct pf_daemon *d, struct pf_error *err)
{
    uint16_t client = 0, ops = 0;
    enum pocketfed_status st;

    st = bind_tcp(d->config.listen, &d->fd[PF_LISTEN_CLIENT], d->client_address,
                  sizeof d->client_address, &client, err);
    if (st == POCKETFED_OK)
        st = bind_tcp(d->config.ops_listen, &d->fd[PF_LISTEN_OPS],
                      d->ops_address, sizeof d->ops_address, &ops, err);
    if (st == POCKETFED_OK)
        st = pf_listen_unix(d->config.admin_socket, &d->fd[PF_LISTEN_ADMIN],
                            err);
    split_host(d);
    if (d->edge.link_port == 0)
        d->edge.link_port = client;
    if (st == POCKETFED_OK)
        st = bind_admin(d, err);
    return st;
}

#define N_HOSTS 4

static struct pf_statedir_config dir_config(const struct pf_daemon *d,
                                            const struct pf_config *config,
                                            const char *hosts[N_HOSTS])
{
    struct pf_statedir_config c = {
        .path = d->config.state,
        .hosts = hosts,
        .n_hosts = N_HOSTS,
        .certificate = config->certificate,
        .private_key = config->private_key,
        .now_s = pf_wall_ms() / 1000,
    };

    hosts[0] = d->link_host;
    hosts[1] = "localhost";
    hosts[2] = "127.0.0.1";
    hosts[3] = "::1";
    return c;
}

enum pocketfed_status pf_daemon_read_tls(const struct pf_daemon *d,
                                         const struct pf_config *config,
                                         struct pf_statedir *out,
                                         struct pf_error *err)
{
    const char *hosts[N_HOSTS];
    struct pf_statedir_config c = dir_config(d, config, hosts);

    return pf_statedir_read_tls(&c, out, err);
}

static enum pocketfed_status open_dir(struct pf_daemon *d, struct pf_error *err)
{
    const char *hosts[N_HOSTS];
    struct pf_statedir_config c = dir_config(d, &d->config, hosts);
    enum pocketfed_status st;

    split_host(d);
    st = pf_statedir_open(&c, &d->dir, err);
    if (st != POCKETFED_OK)
        return st;
    if (!d->config.tls)
        warn(d, "clients are answered without TLS: only behind a proxy");
    else if (d->dir.cert_not_after < c.now_s + 14 * 86400)
        warn(d, "the TLS certificate ends within 14 days");
    if (d->config.tls)
        st = pf_tls_create(pf_buf_str(&d->dir.tls_key),
                           pf_buf_str(&d->dir.tls_cert), &d->tls, err);
    return st;
}

static enum pocketfed_status open_core(struct pf_daemon *d,
                                       struct pf_error *err)
{
    struct pf_edge *e = &d->edge;
    struct pf_coordinator_config c = {
        .state_dir = d->dir.path,
        .log = &d->log,
        .record_key = d->dir.record_key,
        .fold_threads =
            d->config.fold_threads ? d->config.fold_threads : cores(),
        .queue_capacity = d->config.queue,
        .fatal = fatal,
        .announce = announce,
        .ctx = d,
    };
    enum pocketfed_status st;

    /* Each connection may have a place reserved and an event on its way. */
    if (c.queue_capacity < 2 * d->connections)
        c.queue_capacity = 2 * d->connections;
    if ((st = pf_store_open(d->dir.path, &d->log, &d->store, err)) ||
        (st = pf_rotate_note(d->dir.path, d->store, err)) ||
        (st = pf_objects_open(d->dir.path, &d->log, &e->objects, err)))
        return st;
    c.store = d->store;
    c.objects = e->objects;
    return pf_coordinator_start(&c, &e->coordinator, err);
}

static enum pocketfed_status open_edge(struct pf_daemon *d,
                                       struct pf_error *err)
{
    struct pf_edge *e = &d->edge;
    uint8_t print[PF_DIGEST_LEN];
    enum pocketfed_status st;
    size_t i;

    e->metrics = &d->metrics;
    e->limits = &d->limits;
    pf_limits_set(&d->limits, &d->config.limits);
    d->limits.by_address = d->config.tls;
    e->log = &d->log;
    e->record_key = d->dir.record_key;
    e->now_ms = pf_wall_ms;
    e->started_ms = d->metrics.started_ms;
    e->state_dir = d->dir.path;
    e->link_host = d->link_host;
    e->has_pin = d->config.tls && d->dir.own_cert;
    memcpy(e->pin, d->dir.pin, sizeof e->pin);
    pf_key_fingerprint(d->dir.record_key, print);
    for (i = 0; i < sizeof print; i++)
        snprintf(e->verifier.record_key + 2 * i, 3, "%02x", print[i]);
    e->verifier.started_ms = e->started_ms;
    if ((st = pf_nonces_create(MAX_NONCES, &e->verifier.nonces)) ||
        (st = pf_limits_open(&d->limits, d->config.limit_names)) ||
        (st = pf_inflight_create(&e->inflight)) ||
        (st = pf_partials_create((uint64_t)d->config.resume_mb * 1000000,
                                 d->config.resume_s, &d->metrics,
                                 &e->partials)) ||
        (st = pf_downlink_create(&e->downlink)) ||
        (st = pf_prover_create(&e->prover)) ||
        (st = pf_readers_create(d->store, &e->readers)))
        return pf_fail(err, st, "no memory to start with");
    return POCKETFED_OK;
}

static enum pocketfed_status open_http(struct pf_daemon *d,
                                       struct pf_error *err)
{
    struct pf_http_config c = {
        .edge = &d->edge,
        .socket_path = d->config.admin_socket,
    };
    enum pocketfed_status st = POCKETFED_OK;
    int i;

    for (i = 0; i < PF_SLOTS && st == POCKETFED_OK; i++) {
        int client = i == PF_LISTEN_CLIENT, tcp = i == PF_SLOT_ADMIN_TCP;

        if (d->fd[i] < 0)
            continue; /* not asked for */
        c.listener = tcp ? PF_LISTEN_ADMIN : (enum pf_listener)i;
        c.fd = d->fd[i];
        c.gate = tcp ? d->gate : NULL;
        c.tls =
            client || (tcp && pf_config_admin_tls(&d->config)) ? d->tls : NULL;
        c.threads = !client             ? 1
                    : d->config.threads ? d->config.threads
                                        : cores();
        c.max_connections = client ? d->connections : 64;
        c.buffer = (client ? d->config.buffer_kib : OTHER_BUFFER_KIB) * 1024u;
        st = pf_http_start(&c, &d->http[i], err);
        if (st == POCKETFED_OK)
            d->fd[i] = -1; /* the listener's now */
    }
    return st;
}

enum pocketfed_status pf_daemon_read_token(const struct pf_config *config,
                                           uint8_t token[PF_ADMIN_TOKEN_LEN],
                                           struct pf_error *err)
{
    enum pocketfed_status st;

    st = pf_admin_token_read(config->admin_token, token, err);
    if (st == POCKETFED_NOT_FOUND)
        st = pf_admin_token_make(config->admin_token, token, err);
    return st;
}

enum pocketfed_status pf_daemon_start(struct pf_daemon *d,
                                      const struct pf_config *config,
                                      struct pf_error *err)
{
    enum pocketfed_status st;
    int i;

    memset(d, 0, sizeof *d);
    d->config = *config;
    d->log.sink = pf_log_stderr;
    d->log.max = (enum pf_log_level)config->log_level;
    d->metrics.started_ms = pf_wall_ms();
    d->began_s = pf_monotonic_s();
    d->dir.lock = -1;
    for (i = 0; i < PF_SLOTS; i++)
        d->fd[i] = -1;
    fit_connections(d);

    if ((st = open_dir(d, err)) || (st = bind_all(d, err)) ||
        (st = open_core(d, err)) || (st = open_edge(d, err)) ||
        /* Before anybody is answered: who was can read where it listens. */
        (st =
             pf_statedir_announce(&d->dir, d->client_address, d->ops_address,
                                  d->config.admin_socket, d->admin_url, err)) ||
        (st = open_http(d, err)))
        pf_daemon_stop(d);
    return st;
}

void pf_daemon_tick(struct pf_daemon *d)
{
    int i;

    pf_resume_sweep(&d->edge);
    if (pf_monotonic_s() - d->began_s > 2 * PF_SKEW_S)
        atomic_store(&d->edge.verifier.settled, 1);
    for (i = 0; i < PF_SLOTS; i++)
        if (d->http[i])
            pf_http_sweep(d->http[i]);
}

void pf_daemon_drain(struct pf_daemon *d)
{
    d->drain_until_ms = pf_monotonic_ms() + (int64_t)d->config.drain_s * 1000;
    atomic_store(&d->edge.draining, 1);
    pf_http_quiesce(d->http[PF_LISTEN_CLIENT]);
}

int pf_daemon_drained(const struct pf_daemon *d)
{
    return atomic_load(&d->edge.active) == 0 ||
           pf_monotonic_ms() >= d->drain_until_ms;
}

void pf_daemon_stop(struct pf_daemon *d)
{
    static const struct timespec moment = {0, 5000000};
    struct pf_edge *e = &d->edge;
    int i;

    /* Nobody may wait for the coordinator when the listeners end; it answers
     * what it has within a batch. */
    atomic_store(&e->draining, 2);
    while (e->coordinator && atomic_load(&e->waiting) > 0)
        nanosleep(&moment, NULL);
    for (i = 0; i < PF_SLOTS; i++) {
        pf_http_stop(d->http[i]);
        d->http[i] = NULL;
        if (d->fd[i] >= 0)
            close(d->fd[i]);
        if (i == PF_LISTEN_ADMIN && (d->fd[i] >= 0 || e->coordinator))
            unlink(d->config.admin_socket);
        d->fd[i] = -1;
    }
    pf_partials_free(e->partials);
    if (e->coordinator)
        pf_coordinator_stop(e->coordinator);
    e->coordinator = NULL;
    pf_readers_free(e->readers);
    pf_prover_free(e->prover);
    pf_downlink_free(e->downlink);
    pf_inflight_free(e->inflight);
    pf_limits_close(&d->limits);
    pf_gate_free(d->gate);
    d->gate = NULL;
    pf_nonces_free(e->verifier.nonces);
    if (e->objects)
        pf_objects_close(e->objects);
    pf_store_close(d->store);
    pf_tls_free(d->tls);
    pf_statedir_close(&d->dir);
    memset(e, 0, sizeof *e);
    d->store = NULL;
    d->tls = NULL;
}
