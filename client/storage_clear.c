#include "storage.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "participation.h"

/* What the library ever puts beside the lock and the receipts. Nothing else is
 * touched: the folder may be one where a person keeps more. The key is last:
 * while it is there, the server can be told. */
static const char *const names[] = {
    PF_SAVED_TRAIN, PF_SAVED_UPDATE, PF_SAVED_PLAN,  "counters.json",
    "server.json",  "join.link",     "identity.key", NULL,
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
