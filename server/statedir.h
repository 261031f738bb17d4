/* statedir.h - the daemon's directory: one daemon at a time, its keys, its
 * certificate, and where it can be reached just now.
 *
 *   STATE/ 0750        lock  run.json  pocketfed.db  objects/  journal/
 *   STATE/keys/ 0700   record.key (Ed25519)  tls.key (P-256)  tls.crt
 *
 * Keys are made at the first start, each written by replace with mode 0600.
 * A record key that is gone although there are rounds is never remade: every
 * device would refuse the new one.
 */
#ifndef PF_STATEDIR_H
#define PF_STATEDIR_H

#include <stdint.h>
#include "buf.h"
#include "crypto.h"
#include "fail.h"
#include "netfs.h"

struct pf_statedir {
    char path[512];
    int lock;  /* open file */
    int fresh; /* keys were made just now */
    struct pf_key *record_key;
    struct pf_buf tls_key, tls_cert; /* PEM */
    uint8_t pin[32];                 /* of the certificate's key */
    int own_cert; /* the certificate was made here: links pin it */
    int64_t cert_not_after;
};

struct pf_statedir_config {
    const char *path;
    const char *const *hosts; /* names and addresses for the certificate */
    size_t n_hosts;
    const char *certificate, *private_key; /* PEM files, or "" */
    int64_t now_s;                         /* wall clock */
    pf_fs_probe probe; /* NULL: the kernel says what file system it is */
};

/* LOCKED when another daemon has the directory (its pid is named), CONFIG when
 * it is on a network file system (netfs.h). */
enum pocketfed_status pf_statedir_open(const struct pf_statedir_config *c,
                                       struct pf_statedir *out,
                                       struct pf_error *err);
/* The TLS key and certificate of an open directory once more, into a struct of
 * their own that is closed by pf_statedir_close: as the files are now, our own
 * certificate made again when it is about to end. */
enum pocketfed_status pf_statedir_read_tls(const struct pf_statedir_config *c,
                                           struct pf_statedir *out,
                                           struct pf_error *err);
/* Removes run.json and lets the lock go. Zeroed is fine. */
void pf_statedir_close(struct pf_statedir *s);
/* STATE/run.json: {"pid", "client", "ops", "admin", "admin_url"} as they are
 * bound; admin_url "": none, and not in it. */
enum pocketfed_status pf_statedir_announce(const struct pf_statedir *s,
                                           const char *client, const char *ops,
                                           const char *admin,
                                           const char *admin_url,
                                           struct pf_error *err);

#endif
