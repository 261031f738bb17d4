/* daemon.h - the parts of a running pocketfedd, put together and taken apart
 * in order.
 *
 * start binds every listener before it loads anything, so that a taken port is
 * said at once; when it returns, everything answers.  stop drains: nothing new
 * is begun, what runs may end until the deadline, then the rest is cut.
 */
#ifndef PF_DAEMON_H
#define PF_DAEMON_H

#include "config.h"
#include "gate.h"
#include "http.h"
#include "log.h"
#include "routes.h"
#include "statedir.h"

/* The protocol's listeners, and the admin's over TCP. */
enum { PF_SLOT_ADMIN_TCP = PF_LISTEN_OPS + 1, PF_SLOTS };

struct pf_daemon {
    struct pf_config config;
    struct pf_log log;
    struct pf_statedir dir;
    struct pf_tls *tls;
    struct pf_store *store;
    struct pf_metrics metrics;
    struct pf_limits limits;
    struct pf_edge edge;
    struct pf_gate *gate; /* NULL: no admin over TCP */
    struct pf_http *http[PF_SLOTS];
    int fd[PF_SLOTS];
    int64_t began_s, drain_until_ms; /* monotonic clock */
    char link_host[256];
    char client_address[PF_CONFIG_TEXT]; /* as bound, "0.0.0.0:8443" */
    char ops_address[PF_CONFIG_TEXT];
    char admin_url[PF_CONFIG_TEXT + 16]; /* over TCP, or "" */
    char warning[512];                   /* "" or one line of them */
    uint32_t connections; /* as configured, or as many as files allow */
};

/* config: loaded. d is filled; on failure everything is undone. */
enum pocketfed_status pf_daemon_start(struct pf_daemon *d,
                                      const struct pf_config *config,
                                      struct pf_error *err);
/* Once a second while it runs. */
void pf_daemon_tick(struct pf_daemon *d);
/* What may change while it runs becomes as in `fresh`, the certificate's files
 * are read again, and the log says what takes the next start. On failure
 * everything is as before. Open connections live on. (reload.c) */
enum pocketfed_status pf_daemon_reload(struct pf_daemon *d,
                                       const struct pf_config *fresh,
                                       struct pf_error *err);
/* One line for people on stderr, whatever the log's level. */
void pf_daemon_tell(const char *line);
/* The token of the admin over TCP, from the configured file, which is made when
 * there is none. */
enum pocketfed_status pf_daemon_read_token(const struct pf_config *config,
                                           uint8_t token[PF_ADMIN_TOKEN_LEN],
                                           struct pf_error *err);
/* Where and as whom it serves: what a certificate of our own is made for. */
enum pocketfed_status pf_daemon_read_tls(const struct pf_daemon *d,
                                         const struct pf_config *config,
                                         struct pf_statedir *out,
                                         struct pf_error *err);
/* Begins to drain. */
void pf_daemon_drain(struct pf_daemon *d);
/* 1 when all has ended, or config.drain_s are over by the monotonic clock: time
 * for pf_daemon_stop. */
int pf_daemon_drained(const struct pf_daemon *d);
void pf_daemon_stop(struct pf_daemon *d);

/* What a person reads at start (at most 8 lines), and the same as JSON. */
enum pocketfed_status pf_daemon_banner(const struct pf_daemon *d,
                                       struct pf_buf *out);
enum pocketfed_status pf_daemon_banner_json(const struct pf_daemon *d,
                                            struct pf_buf *out);

#endif
