#include "rotate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "record.h"
#include "statement.h"
#include "store_proof.h"
#include "text.h"

#define PATH_CAP 600

static int exists(const char *path)
{
    struct stat sb;

    return stat(path, &sb) == 0;
}

/* Where everything lies. */
struct places {
    char keys[PATH_CAP], record[PATH_CAP], next[PATH_CAP], said[PATH_CAP];
};

static enum pocketfed_status find_in(const char *keys, struct places *p,
                                     struct pf_error *err)
{
    enum pocketfed_status st;

    if (snprintf(p->keys, sizeof p->keys, "%s", keys) >= (int)sizeof p->keys)
        return pf_fail(err, POCKETFED_LIMIT, "the state path is too long");
    st = pf_path_join(keys, "record.key", p->record, sizeof p->record, err);
    if (st == POCKETFED_OK)
        st =
            pf_path_join(keys, "record.key.next", p->next, sizeof p->next, err);
    if (st == POCKETFED_OK)
        st = pf_path_join(keys, "rotation", p->said, sizeof p->said, err);
    return st;
}

static enum pocketfed_status find(const char *state, struct places *p,
                                  struct pf_error *err)
{
    char keys[PATH_CAP];
    enum pocketfed_status st;

    st = pf_path_join(state, "keys", keys, sizeof keys, err);
    return st ? st : find_in(keys, p, err);
}

/* ---- after a crash ----------------------------------------------------- */

static enum pocketfed_status take_over(const struct places *p,
                                       struct pf_error *err)
{
    if (rename(p->next, p->record) != 0)
        return pf_fail_errno(err, errno, "cannot rename %s", p->next);
    return pf_dir_sync(p->keys, err);
}

enum pocketfed_status pf_rotate_resume(const char *keys, struct pf_error *err)
{
    enum pocketfed_status st;
    struct places p;

    st = find_in(keys, &p, err);
    if (st != POCKETFED_OK || !exists(p.next))
        return st;
    if (exists(p.said))
        return take_over(&p, err);
    if (unlink(p.next) != 0)
        return pf_fail_errno(err, errno, "cannot remove %s", p.next);
    return POCKETFED_OK;
}

/* The file `rotation`: its body begins at *body, its signature is in sig. */
static enum pocketfed_status parse(struct pf_buf *text, const char *path,
                                   const uint8_t **body, size_t *len,
                                   uint8_t sig[PF_SIGNATURE_LEN],
                                   struct pf_rotation *r, struct pf_error *err)
{
    size_t line = PF_BASE64_LEN(PF_SIGNATURE_LEN), n = PF_SIGNATURE_LEN;

    memset(r, 0, sizeof *r);
    if (text->len > line && text->data[line] == '\n' &&
        pf_unbase64((const char *)text->data, line, sig, &n) == POCKETFED_OK &&
        n == PF_SIGNATURE_LEN) {
        *body = text->data + line + 1;
        *len = text->len - line - 1;
        if (pf_json_decode(pf_rotation_fields, PF_JSON_IGNORE,
                           (const char *)*body, *len, r, NULL) == POCKETFED_OK)
            return POCKETFED_OK;
    }
    pf_fail(err, POCKETFED_MALFORMED, "%s is damaged", path);
    pf_hint(err, "restore it from a backup: devices need it to follow the new "
                 "record key");
    return POCKETFED_MALFORMED;
}

enum pocketfed_status pf_rotate_note(const char *state, struct pf_store *store,
                                     struct pf_error *err)
{
    uint8_t sig[PF_SIGNATURE_LEN], old[32];
    enum pocketfed_status st;
    const uint8_t *body = NULL;
    struct pf_rotation r;
    struct pf_buf text;
    struct places p;
    size_t len = 0;

    st = find(state, &p, err);
    if (st != POCKETFED_OK || !exists(p.said))
        return st;
    pf_buf_init(&text, PF_ROTATION_MAX + 128);
    st = pf_file_read(p.said, &text, err);
    if (st == POCKETFED_OK)
        st = parse(&text, p.said, &body, &len, sig, &r, err);
    if (st == POCKETFED_OK) {
        pf_sha256(r.old_key, sizeof r.old_key, old);
        st = pf_store_rotate(store, old, body, len, sig, err);
    }
    if (st == POCKETFED_OK && unlink(p.said) != 0)
        st = pf_fail_errno(err, errno, "cannot remove %s", p.said);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(p.keys, err);
    pf_buf_free(&text);
    return st;
}

/* ---- the command ------------------------------------------------------- */

/* The old key's word for the new one, as the file `rotation`. */
static enum pocketfed_status
write_statement(const struct places *p, const struct pf_key *old,
                const struct pf_key *next, int64_t now_ms, struct pf_error *err)
{
    struct pf_rotation r = {.time_ms = now_ms};
    uint8_t sig[PF_SIGNATURE_LEN], raw[PF_PUBLIC_MAX];
    struct pf_buf body, file;
    enum pocketfed_status st;
    char field[96];

    pf_key_public(old, raw);
    memcpy(r.old_key, raw, sizeof r.old_key);
    pf_key_public(next, raw);
    memcpy(r.new_key, raw, sizeof r.new_key);
    pf_buf_init(&body, PF_ROTATION_MAX);
    pf_buf_init(&file, PF_ROTATION_MAX + 128);
    st = pf_json_encode(pf_rotation_fields, &r, &body);
    if (st == POCKETFED_OK)
        st = pf_statement_sign(old, PF_SAY_ROTATION, body.data, body.len, sig);
    if (st == POCKETFED_OK) {
        pf_statement_field(sig, field);
        pf_buf_adds(&file, field);
        pf_buf_adds(&file, "\n");
        st = pf_buf_add(&file, body.data, body.len);
    }
    if (st != POCKETFED_OK)
        pf_fail(err, st, "cannot sign the new record key");
    else
        st = pf_file_replace(p->said, file.data, file.len, 0600, err);
    pf_buf_free(&body);
    pf_buf_free(&file);
    return st;
}

static enum pocketfed_status lock(const char *state, int *fd,
                                  struct pf_error *err)
{
    struct pf_error why = {0};
    char path[PATH_CAP];
    enum pocketfed_status st;

    st = pf_path_join(state, "lock", path, sizeof path, err);
    if (st != POCKETFED_OK)
        return st;
    st = pf_file_lock(path, fd, &why);
    if (st == POCKETFED_OK)
        return st;
    pf_fail(err, st, "%s", why.text);
    if (st == POCKETFED_LOCKED)
        pf_hint(err, "stop pocketfedd, rotate, start it again");
    return st;
}

/* The statement of an interrupted call, and of this one, into the store. */
static enum pocketfed_status note(const char *state, struct pf_error *err)
{
    struct pf_store *store = NULL;
    enum pocketfed_status st;

    st = pf_store_open(state, NULL, &store, err);
    if (st == POCKETFED_OK)
        st = pf_rotate_note(state, store, err);
    pf_store_close(store);
    return st;
}

enum pocketfed_status pf_rotate_key(const char *state, int64_t now_ms,
                                    uint8_t old_print[32],
                                    uint8_t new_print[32], struct pf_error *err)
{
    struct pf_key *old = NULL, *next = NULL;
    enum pocketfed_status st;
    struct places p;
    int fd = -1;

    st = find(state, &p, err);
    if (st != POCKETFED_OK)
        return st;
    if (!exists(p.record)) {
        pf_fail(err, POCKETFED_NOT_FOUND, "there is no record key %s",
                p.record);
        pf_hint(err, "give the directory of a daemon with --state DIR");
        return POCKETFED_NOT_FOUND;
    }
    st = lock(state, &fd, err);
    if (st != POCKETFED_OK)
        return st;
    if ((st = pf_rotate_resume(p.keys, err)) || (st = note(state, err)) ||
        (st = pf_key_load(p.record, &old, err)))
        goto out;
    st = pf_key_generate(PF_KEY_ED25519, &next);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "cannot make a record key");
        goto out;
    }
    if ((st = pf_key_save(next, p.next, err)) ||
        (st = write_statement(&p, old, next, now_ms, err)) ||
        (st = take_over(&p, err)) || (st = note(state, err)))
        goto out;
    pf_key_fingerprint(old, old_print);
    pf_key_fingerprint(next, new_print);
out:
    pf_key_free(old);
    pf_key_free(next);
    close(fd);
    return st;
}
