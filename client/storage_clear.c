#include "storage.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "keyring.h"
#include "participation.h"

/* What the library ever puts beside the lock and the receipts, proofs and
 * evidence that stay. Nothing else is touched: the folder may be one where a
 * person keeps more. The key is last: while it is there, the server can be
 * told. */
static const char *const names[] = {
    PF_SAVED_TRAIN,
    PF_SAVED_UPDATE,
    PF_SAVED_PLAN,
    PF_SAVED_MODEL,
    PF_SAVED_RECEIPT,
    PF_FILE_ROTATIONS,
    "counters.json",
    "server.json",
    "join.link",
    "identity.key",
    NULL,
};

static enum pocketfed_status wipe(const struct pf_storage *s, const char *name,
                                  struct pf_error *err)
{
    char path[PF_STORAGE_PATH];
    enum pocketfed_status st;
    struct stat info;

    st = pf_path_join(s->dir, name, path, sizeof path, err);
    if (st)
        return st;
    pf_storage_wipe(s, name);
    if (lstat(path, &info) == 0)
        return pf_fail(err, POCKETFED_IO, "cannot remove %s", path);
    return POCKETFED_OK;
}

static int is_digest(const char *name)
{
    return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

static enum pocketfed_status wipe_models(const struct pf_storage *s,
                                         struct pf_error *err)
{
    char dir[PF_STORAGE_PATH], name[80];
    enum pocketfed_status st;
    struct dirent *entry;
    DIR *d;

    st = pf_path_join(s->dir, "objects", dir, sizeof dir, err);
    d = st ? NULL : opendir(dir);
    while (d && st == POCKETFED_OK && (entry = readdir(d))) {
        if (!is_digest(entry->d_name))
            continue;
        snprintf(name, sizeof name, "objects/%.64s", entry->d_name);
        st = wipe(s, name, err);
    }
    if (d)
        closedir(d);
    return st;
}

enum pocketfed_status pf_storage_clear(const struct pf_storage *s,
                                       struct pf_error *err)
{
    enum pocketfed_status st = wipe_models(s, err);
    size_t i;

    for (i = 0; names[i] && st == POCKETFED_OK; i++)
        st = wipe(s, names[i], err);
    return st;
}

/* What stays of a task that was left. */
static const char *const kept[] = {
    "receipts.jsonl",
    PF_KEPT_PROOFS,
    PF_KEPT_EVIDENCE,
    NULL,
};

enum pocketfed_status pf_storage_set_aside(const struct pf_storage *s,
                                           struct pf_error *err)
{
    char from[PF_STORAGE_PATH], to[PF_STORAGE_PATH + 16];
    enum pocketfed_status st = POCKETFED_OK;
    struct stat info;
    size_t i;
    int n;

    for (i = 0; kept[i] && st == POCKETFED_OK; i++) {
        st = pf_path_join(s->dir, kept[i], from, sizeof from, err);
        if (st || lstat(from, &info) != 0)
            continue;
        n = 0;
        do {
            snprintf(to, sizeof to, "%s.%d", from, ++n);
        } while (lstat(to, &info) == 0);
        if (rename(from, to) != 0)
            st = pf_fail_errno(err, errno, "cannot rename %s", from);
    }
    return st;
}
