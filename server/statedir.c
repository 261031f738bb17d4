#include "statedir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "rotate.h"

#define MAX_PEM   (64u << 10)
#define CERT_DAYS 3650
#define RENEW_S   (30LL * 86400) /* this long before it expires */
#define PATH_CAP  600

static int exists(const char *path)
{
    struct stat sb;

    return stat(path, &sb) == 0;
}

/* The record key of a directory that has a database is irreplaceable. */
static enum pocketfed_status
open_record_key(struct pf_statedir *s, const char *path, struct pf_error *err)
{
    enum pocketfed_status st;
    char db[PATH_CAP];

    if (exists(path)) {
        st = pf_key_load(path, &s->record_key, err);
        if (st == POCKETFED_OK &&
            pf_key_algorithm(s->record_key) != PF_KEY_ED25519)
            st = pf_fail(err, POCKETFED_MALFORMED, "%s is not an Ed25519 key",
                         path);
        return st;
    }
    st = pf_path_join(s->path, "pocketfed.db", db, sizeof db, err);
    if (st != POCKETFED_OK)
        return st;
    if (exists(db)) {
        pf_fail(err, POCKETFED_NOT_FOUND,
                "%s has rounds but its record key %s is gone", s->path, path);
        pf_hint(err, "restore the key from a backup; devices refuse any other");
        return POCKETFED_NOT_FOUND;
    }
    st = pf_key_generate(PF_KEY_ED25519, &s->record_key);
    if (st != POCKETFED_OK)
        return pf_fail(err, st, "cannot make a record key");
    s->fresh = 1;
    return pf_key_save(s->record_key, path, err);
}

static enum pocketfed_status make_cert(struct pf_statedir *s,
                                       const struct pf_statedir_config *c,
                                       const struct pf_key *key,
                                       const char *path, struct pf_error *err)
{
    enum pocketfed_status st;

    pf_buf_clear(&s->tls_cert);
    st = pf_cert_make(key, c->hosts, c->n_hosts, CERT_DAYS, &s->tls_cert, err);
    if (st == POCKETFED_OK)
        st =
            pf_file_replace(path, s->tls_cert.data, s->tls_cert.len, 0600, err);
    return st;
}

/* Our own certificate: made when there is none, made again with the same key
 * (so pins stay true) shortly before it ends. */
static enum pocketfed_status
open_own_cert(struct pf_statedir *s, const struct pf_statedir_config *c,
              const char *key_path, const char *cert_path, struct pf_error *err)
{
    struct pf_key *key = NULL;
    enum pocketfed_status st;
    int64_t not_after = 0;

    if (exists(key_path)) {
        st = pf_key_load(key_path, &key, err);
    } else {
        st = pf_key_generate(PF_KEY_P256, &key);
        if (st == POCKETFED_OK)
            st = pf_key_save(key, key_path, err);
        else
            pf_fail(err, st, "cannot make a TLS key");
        unlink(cert_path); /* of another key */
    }
    if (st != POCKETFED_OK)
        goto out;
    if (exists(cert_path))
        st = pf_file_read(cert_path, &s->tls_cert, err);
    if (st == POCKETFED_OK && s->tls_cert.len > 0)
        st = pf_cert_info(pf_buf_str(&s->tls_cert), s->tls_cert.len, NULL,
                          &not_after, err);
    if (st == POCKETFED_OK && not_after < c->now_s + RENEW_S)
        st = make_cert(s, c, key, cert_path, err);
    if (st == POCKETFED_OK)
        st = pf_key_pem(key, &s->tls_key);
out:
    pf_key_free(key);
    return st;
}

static enum pocketfed_status open_tls(struct pf_statedir *s,
                                      const struct pf_statedir_config *c,
                                      struct pf_error *err)
{
    char keys[PATH_CAP], tls_key[PATH_CAP], cert[PATH_CAP];
    enum pocketfed_status st;

    if ((st = pf_path_join(s->path, "keys", keys, sizeof keys, err)) ||
        (st = pf_path_join(keys, "tls.key", tls_key, sizeof tls_key, err)) ||
        (st = pf_path_join(keys, "tls.crt", cert, sizeof cert, err)))
        return st;
    s->own_cert = !c->certificate[0];
    if (s->own_cert) {
        st = open_own_cert(s, c, tls_key, cert, err);
    } else {
        st = pf_file_read(c->certificate, &s->tls_cert, err);
        if (st == POCKETFED_OK)
            st = pf_file_read(c->private_key, &s->tls_key, err);
    }
    if (st == POCKETFED_OK)
        st = pf_cert_info(pf_buf_str(&s->tls_cert), s->tls_cert.len, s->pin,
                          &s->cert_not_after, err);
    return st;
}

static enum pocketfed_status open_keys(struct pf_statedir *s,
                                       const struct pf_statedir_config *c,
                                       struct pf_error *err)
{
    char keys[PATH_CAP], record[PATH_CAP];
    enum pocketfed_status st;

    if ((st = pf_path_join(s->path, "keys", keys, sizeof keys, err)) ||
        (st = pf_dir_make(keys, 0700, err)) ||
        (st = pf_dir_sync(s->path, err)) || /* before there is a database */
        (st = pf_rotate_resume(keys, err)) ||
        (st = pf_path_join(keys, "record.key", record, sizeof record, err)) ||
        (st = open_record_key(s, record, err)))
        return st;
    return open_tls(s, c, err);
}

/* Nothing in it yet. LIMIT when the path does not fit. */
static enum pocketfed_status begin(struct pf_statedir *s, const char *path,
                                   struct pf_error *err)
{
    size_t n = strlen(path);

    memset(s, 0, sizeof *s);
    s->lock = -1;
    pf_buf_init(&s->tls_key, MAX_PEM);
    pf_buf_init(&s->tls_cert, MAX_PEM);
    if (n >= sizeof s->path)
        return pf_fail(err, POCKETFED_LIMIT, "the state path is too long");
    memcpy(s->path, path, n + 1);
    return POCKETFED_OK;
}

enum pocketfed_status pf_statedir_read_tls(const struct pf_statedir_config *c,
                                           struct pf_statedir *out,
                                           struct pf_error *err)
{
    struct pf_statedir s;
    enum pocketfed_status st = begin(&s, c->path, err);
    char key[PATH_CAP];

    /* A key that is gone is made anew at a start, when links learn of it. */
    if (st == POCKETFED_OK && !c->certificate[0] &&
        (st = pf_path_join(s.path, "keys/tls.key", key, sizeof key, err)) ==
            POCKETFED_OK &&
        !exists(key))
        st = pf_fail(err, POCKETFED_NOT_FOUND, "the TLS key %s is gone", key);
    if (st == POCKETFED_OK)
        st = open_tls(&s, c, err);
    if (st == POCKETFED_OK)
        *out = s;
    else
        pf_statedir_close(&s);
    return st;
}

/* The directory itself must survive, too: each directory above, of those in
 * which we could have made the next one, now or in a start that was cut off. */
static enum pocketfed_status sync_above(const char *path, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    size_t i, n = strlen(path);
    char part[PATH_CAP];

    if (path[0] != '/')
        st = pf_dir_sync(".", err);
    for (i = 0; i < n && st == POCKETFED_OK; i++) {
        if (path[i] != '/' || i + 1 == n)
            continue;
        memcpy(part, path, i + 1);
        part[i + 1] = '\0'; /* with its slash, so that "/" is one */
        if (access(part, R_OK | W_OK) == 0)
            st = pf_dir_sync(part, err);
    }
    return st;
}

enum pocketfed_status pf_statedir_open(const struct pf_statedir_config *c,
                                       struct pf_statedir *out,
                                       struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_statedir s;
    struct pf_error why = {0};
    char lock[PATH_CAP];

    if ((st = begin(&s, c->path, err)) ||
        (st = pf_dir_make(s.path, 0750, err)) ||
        (st = pf_netfs_refuse(s.path, c->probe, err)) ||
        (st = sync_above(s.path, err)) ||
        (st = pf_path_join(s.path, "lock", lock, sizeof lock, err)))
        goto out;
    st = pf_file_lock(lock, &s.lock, &why);
    if (st == POCKETFED_LOCKED) {
        pf_fail(err, st, "another pocketfedd already serves %s: %.160s", s.path,
                why.text);
        pf_hint(err,
                "ask it with: pocketfed task list --state %.80s; or give "
                "another directory with --state DIR",
                s.path);
        goto out;
    }
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "%s", why.text);
        pf_hint(err, "%s", why.hint);
        goto out;
    }
    st = open_keys(&s, c, err);
    if (st != POCKETFED_OK)
        goto out;
    *out = s;
    return POCKETFED_OK;
out:
    pf_statedir_close(&s);
    return st;
}

void pf_statedir_close(struct pf_statedir *s)
{
    char run[PATH_CAP];

    if (s->record_key && pf_path_join(s->path, "run.json", run, sizeof run,
                                      NULL) == POCKETFED_OK)
        unlink(run);
    pf_key_free(s->record_key);
    if (s->tls_key.data)
        memset(s->tls_key.data, 0, s->tls_key.len);
    pf_buf_free(&s->tls_key);
    pf_buf_free(&s->tls_cert);
    if (s->path[0] && s->lock >= 0)
        close(s->lock);
    memset(s, 0, sizeof *s);
    s->lock = -1;
}

enum pocketfed_status pf_statedir_announce(const struct pf_statedir *s,
                                           const char *client, const char *ops,
                                           const char *admin,
                                           const char *admin_url,
                                           struct pf_error *err)
{
    enum pocketfed_status st;
    char path[PATH_CAP];
    struct pf_buf text;

    pf_buf_init(&text, 8192);
    pf_buf_addf(&text, "{\"pid\":%ld,\"client\":", (long)getpid());
    pf_json_string(&text, client);
    pf_buf_adds(&text, ",\"ops\":");
    pf_json_string(&text, ops);
    pf_buf_adds(&text, ",\"admin\":");
    pf_json_string(&text, admin);
    if (admin_url[0]) {
        pf_buf_adds(&text, ",\"admin_url\":");
        pf_json_string(&text, admin_url);
    }
    pf_buf_adds(&text, "}\n");
    st = pf_buf_status(&text);
    if (st == POCKETFED_OK)
        st = pf_path_join(s->path, "run.json", path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_file_replace(path, text.data, text.len, 0640, err);
    pf_buf_free(&text);
    return st;
}
