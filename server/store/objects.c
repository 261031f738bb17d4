#include "objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "file.h"
#include "text.h"

/* How many objects stay mapped (and verified) though nobody holds them: the
 * newest models of many tasks, so that each download does not hash again. */
#define MAX_IDLE 16

struct pf_objects {
    const struct pf_log *log;
    pthread_mutex_t lock;   /* of the list and the counts; never across I/O */
    struct pf_object *list; /* most recently found first */
    unsigned n_idle;
    char dir[4096];
};

static void name_of(const struct pf_objects *o, const uint8_t digest[32],
                    char *out, size_t cap, size_t *dir_len)
{
    char hex[65];
    int n;

    pf_hex(digest, 32, hex);
    n = snprintf(out, cap, "%s/%.2s", o->dir, hex);
    *dir_len = (size_t)n;
    snprintf(out + n, cap - (size_t)n, "/%s", hex);
}

#define NAME_MAX_BYTES (4096 + 72)

enum pocketfed_status pf_objects_open(const char *state_dir,
                                      const struct pf_log *log,
                                      struct pf_objects **out,
                                      struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_objects *o;

    o = calloc(1, sizeof *o);
    if (!o)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for the objects");
    o->log = log;
    st = pf_path_join(state_dir, "objects", o->dir, sizeof o->dir, err);
    if (st == POCKETFED_OK)
        st = pf_dir_make(o->dir, 0750, err);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(state_dir, err);
    if (st == POCKETFED_OK && pthread_mutex_init(&o->lock, NULL) != 0)
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a lock");
    if (st != POCKETFED_OK) {
        free(o);
        return st;
    }
    *out = o;
    return POCKETFED_OK;
}

static void destroy(struct pf_object *obj)
{
    if (obj->len > 0)
        munmap((void *)(uintptr_t)obj->bytes, obj->len);
    free(obj);
}

void pf_objects_close(struct pf_objects *o)
{
    struct pf_object *obj;

    if (!o)
        return;
    while (o->list) {
        obj = o->list;
        o->list = obj->next;
        destroy(obj);
    }
    pthread_mutex_destroy(&o->lock);
    free(o);
}

enum pocketfed_status pf_objects_put(struct pf_objects *o, const void *p,
                                     size_t len, uint8_t digest[32],
                                     struct pf_error *err)
{
    enum pocketfed_status st;
    char path[NAME_MAX_BYTES];
    uint8_t hash[32];
    size_t dir_len;

    pf_sha256(p, len, hash);
    name_of(o, hash, path, sizeof path, &dir_len);
    path[dir_len] = '\0';
    st = pf_dir_make(path, 0750, err);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(o->dir, err);
    path[dir_len] = '/';
    /* Written even when it is there: a damaged file is healed by it. */
    if (st == POCKETFED_OK)
        st = pf_file_replace(path, p, len, 0640, err);
    if (st == POCKETFED_OK)
        memcpy(digest, hash, sizeof hash);
    return st;
}

/* Takes the object out of the list; the lock is held. */
static void unlist(struct pf_objects *o, struct pf_object *obj)
{
    struct pf_object **at = &o->list;

    while (*at != obj)
        at = &(*at)->next;
    *at = obj->next;
}

/* A reference to a listed object, moved to the front; the lock is held. */
static struct pf_object *find(struct pf_objects *o, const uint8_t digest[32])
{
    struct pf_object *obj;

    for (obj = o->list; obj; obj = obj->next) {
        if (memcmp(obj->digest, digest, 32) != 0)
            continue;
        unlist(o, obj);
        obj->next = o->list;
        o->list = obj;
        if (obj->refs++ == 0)
            o->n_idle--;
        return obj;
    }
    return NULL;
}

static enum pocketfed_status map_file(const char *path, struct pf_object *obj,
                                      struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct stat info;
    void *p;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return pf_fail(err, POCKETFED_NOT_FOUND, "there is no object %s", path);
    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot open %s", path);
    if (fstat(fd, &info) != 0) {
        st = pf_fail_errno(err, errno, "cannot examine %s", path);
    } else if (!S_ISREG(info.st_mode)) {
        st = pf_fail(err, POCKETFED_PROOF, "%s is no regular file", path);
    } else if (info.st_size > 0) {
        p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            st = pf_fail_errno(err, errno, "cannot map %s", path);
        } else {
            obj->bytes = p;
            obj->len = (size_t)info.st_size;
        }
    }
    close(fd);
    return st;
}

enum pocketfed_status pf_objects_get(struct pf_objects *o,
                                     const uint8_t digest[32],
                                     struct pf_object **out,
                                     struct pf_error *err)
{
    struct pf_object *obj, *first;
    enum pocketfed_status st;
    char path[NAME_MAX_BYTES];
    uint8_t hash[32];
    size_t dir_len;

    pthread_mutex_lock(&o->lock);
    obj = find(o, digest);
    pthread_mutex_unlock(&o->lock);
    if (obj) {
        *out = obj;
        return POCKETFED_OK;
    }
    obj = calloc(1, sizeof *obj);
    if (!obj)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for an object");
    obj->bytes = (const uint8_t *)"";
    name_of(o, digest, path, sizeof path, &dir_len);
    st = map_file(path, obj, err);
    if (st == POCKETFED_OK) {
        pf_sha256(obj->bytes, obj->len, hash);
        if (memcmp(hash, digest, 32) != 0) {
            st = pf_fail(err, POCKETFED_PROOF,
                         "%s is damaged: its bytes do not have the digest "
                         "that is its name",
                         path);
            pf_hint(err, "restore this file from a backup");
        }
    }
    if (st != POCKETFED_OK) {
        destroy(obj);
        return st;
    }
    memcpy(obj->digest, digest, 32);
    obj->owner = o;
    obj->refs = 1;
    pthread_mutex_lock(&o->lock);
    first = find(o, digest); /* somebody may have been faster */
    if (!first) {
        obj->next = o->list;
        o->list = obj;
    }
    pthread_mutex_unlock(&o->lock);
    if (first)
        destroy(obj);
    *out = first ? first : obj;
    return POCKETFED_OK;
}

void pf_object_release(struct pf_object *obj)
{
    struct pf_object *at, *oldest = NULL;
    struct pf_objects *o;

    if (!obj)
        return;
    o = obj->owner;
    pthread_mutex_lock(&o->lock);
    if (--obj->refs == 0 && ++o->n_idle > MAX_IDLE) {
        for (at = o->list; at; at = at->next)
            if (at->refs == 0)
                oldest = at;
        unlist(o, oldest);
        o->n_idle--;
    }
    pthread_mutex_unlock(&o->lock);
    if (oldest)
        destroy(oldest);
}

/* Forgets an object nobody holds, so that its space comes back. */
static void forget(struct pf_objects *o, const uint8_t digest[32])
{
    struct pf_object *obj;

    pthread_mutex_lock(&o->lock);
    for (obj = o->list; obj; obj = obj->next)
        if (memcmp(obj->digest, digest, 32) == 0)
            break;
    if (obj && obj->refs == 0) {
        unlist(o, obj);
        o->n_idle--;
    } else {
        obj = NULL;
    }
    pthread_mutex_unlock(&o->lock);
    if (obj)
        destroy(obj);
}

enum pocketfed_status pf_objects_drop(struct pf_objects *o,
                                      const uint8_t digest[32],
                                      struct pf_error *err)
{
    char path[NAME_MAX_BYTES];
    size_t dir_len;

    forget(o, digest);
    name_of(o, digest, path, sizeof path, &dir_len);
    if (unlink(path) != 0 && errno != ENOENT)
        return pf_fail_errno(err, errno, "cannot remove %s", path);
    return POCKETFED_OK;
}

/* ---- sweep ------------------------------------------------------------ */

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

/* One folder objects/ab. A file of any other name is somebody's own. */
static enum pocketfed_status
sweep_folder(struct pf_objects *o, const char *dir,
             int (*needed)(void *, const uint8_t *), void *ctx,
             unsigned *removed, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    uint8_t digest[32];
    struct dirent *e;
    DIR *d;

    d = opendir(dir);
    if (!d)
        return pf_fail_errno(err, errno, "cannot list %s", dir);
    while (st == POCKETFED_OK && (e = readdir(d)) != NULL) {
        if (pf_unhex(e->d_name, strlen(e->d_name), digest, 32)) {
            if (needed(ctx, digest))
                continue;
            forget(o, digest);
        } else if (!ends_with(e->d_name, ".tmp")) {
            continue;
        }
        if (unlinkat(dirfd(d), e->d_name, 0) != 0 && errno != ENOENT)
            st = pf_fail_errno(err, errno, "cannot remove %s/%s", dir,
                               e->d_name);
        else
            ++*removed;
    }
    closedir(d);
    return st;
}

enum pocketfed_status pf_objects_sweep(struct pf_objects *o,
                                       int (*needed)(void *ctx,
                                                     const uint8_t digest[32]),
                                       void *ctx, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    char path[NAME_MAX_BYTES];
    unsigned removed = 0;
    struct dirent *e;
    uint8_t byte;
    DIR *d;

    d = opendir(o->dir);
    if (!d)
        return pf_fail_errno(err, errno, "cannot list %s", o->dir);
    while (st == POCKETFED_OK && (e = readdir(d)) != NULL) {
        if (!pf_unhex(e->d_name, strlen(e->d_name), &byte, 1))
            continue;
        snprintf(path, sizeof path, "%s/%.2s", o->dir, e->d_name);
        st = sweep_folder(o, path, needed, ctx, &removed, err);
    }
    closedir(d);
    if (removed)
        pf_log(o->log, PF_LOG_INFO, "objects swept removed=%u", removed);
    return st;
}
