#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "file.h"
#include "text.h"

#define ALIGN      4096u
#define PATH_BYTES 4096

struct hole {
    uint64_t offset, length;
};

struct pf_segment {
    int fd;
    pthread_mutex_t lock; /* of what follows; never held across I/O */
    unsigned refs;
    uint64_t end;      /* all extents lie below it */
    struct hole *hole; /* free space below end, ascending, never adjacent */
    size_t n_holes, room;
    char path[PATH_BYTES];
};

static uint64_t rounded(uint64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* STATE/journal and STATE/journal/<task>. */
static enum pocketfed_status name_dirs(const char *state_dir, int64_t task,
                                       char *journal, char *dir,
                                       struct pf_error *err)
{
    enum pocketfed_status st;
    char name[32];

    snprintf(name, sizeof name, "%" PRId64, task);
    st = pf_path_join(state_dir, "journal", journal, PATH_BYTES, err);
    if (st == POCKETFED_OK)
        st = pf_path_join(journal, name, dir, PATH_BYTES, err);
    return st;
}

static enum pocketfed_status name_file(const char *dir, uint64_t round,
                                       char *path, struct pf_error *err)
{
    char name[40];

    snprintf(name, sizeof name, "%" PRIu64 ".seg", round);
    return pf_path_join(dir, name, path, PATH_BYTES, err);
}

/* STATE/journal/<task>, made durable. */
static enum pocketfed_status make_dirs(const char *state_dir, int64_t task,
                                       char *dir, struct pf_error *err)
{
    char journal[PATH_BYTES];
    enum pocketfed_status st;

    st = name_dirs(state_dir, task, journal, dir, err);
    if (st == POCKETFED_OK)
        st = pf_dir_make(dir, 0750, err);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(journal, err);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(state_dir, err);
    return st;
}

enum pocketfed_status pf_segment_open(const char *state_dir, int64_t task,
                                      uint64_t round, struct pf_segment **out,
                                      struct pf_error *err)
{
    enum pocketfed_status st;
    char dir[PATH_BYTES];
    struct pf_segment *s;

    s = calloc(1, sizeof *s);
    if (!s)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a segment");
    s->fd = -1;
    s->refs = 1;
    st = make_dirs(state_dir, task, dir, err);
    if (st == POCKETFED_OK)
        st = name_file(dir, round, s->path, err);
    if (st != POCKETFED_OK)
        goto out;
    s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (s->fd < 0) {
        st = pf_fail_errno(err, errno, "cannot open %s", s->path);
        goto out;
    }
    st = pf_dir_sync(dir, err);
    if (st == POCKETFED_OK && pthread_mutex_init(&s->lock, NULL) != 0)
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a lock");
    if (st != POCKETFED_OK)
        goto out;
    *out = s;
    s = NULL;
out:
    if (s && s->fd >= 0)
        close(s->fd);
    free(s);
    return st;
}

struct pf_segment *pf_segment_ref(struct pf_segment *s)
{
    pthread_mutex_lock(&s->lock);
    s->refs++;
    pthread_mutex_unlock(&s->lock);
    return s;
}

void pf_segment_unref(struct pf_segment *s)
{
    unsigned left;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    left = --s->refs;
    pthread_mutex_unlock(&s->lock);
    if (left)
        return;
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s->hole);
    free(s);
}

/* ---- space: all of these with the lock held ---------------------------- */

/* Without memory for its place in the list the space is merely not reused. */
static void insert_hole(struct pf_segment *s, size_t i, uint64_t offset,
                        uint64_t length)
{
    size_t room;
    void *p;

    if (s->n_holes == s->room) {
        room = s->room ? 2 * s->room : 16;
        p = realloc(s->hole, room * sizeof *s->hole);
        if (!p)
            return;
        s->hole = p;
        s->room = room;
    }
    memmove(s->hole + i + 1, s->hole + i, (s->n_holes - i) * sizeof *s->hole);
    s->hole[i] = (struct hole){offset, length};
    s->n_holes++;
}

static void remove_hole(struct pf_segment *s, size_t i)
{
    s->n_holes--;
    memmove(s->hole + i, s->hole + i + 1, (s->n_holes - i) * sizeof *s->hole);
}

static void add_free(struct pf_segment *s, uint64_t offset, uint64_t length)
{
    struct hole *before = NULL, *after = NULL;
    size_t i = 0;

    while (i < s->n_holes && s->hole[i].offset < offset)
        i++;
    if (i > 0 && s->hole[i - 1].offset + s->hole[i - 1].length == offset)
        before = &s->hole[i - 1];
    if (i < s->n_holes && offset + length == s->hole[i].offset)
        after = &s->hole[i];
    if (before && after) {
        before->length += length + after->length;
        remove_hole(s, i);
    } else if (before) {
        before->length += length;
    } else if (after) {
        after->offset = offset;
        after->length += length;
    } else {
        insert_hole(s, i, offset, length);
    }
}

/* Takes [offset, offset + length) out of the free space it lies in. */
static void take_free(struct pf_segment *s, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, hole_end;
    size_t i;

    for (i = 0; i < s->n_holes; i++) {
        hole_end = s->hole[i].offset + s->hole[i].length;
        if (s->hole[i].offset > offset || hole_end < end)
            continue;
        s->hole[i].length = offset - s->hole[i].offset;
        if (hole_end > end)
            insert_hole(s, i + 1, end, hole_end - end);
        if (s->hole[i].length == 0)
            remove_hole(s, i);
        return;
    }
}

static uint64_t take_first_fit(struct pf_segment *s, uint64_t length)
{
    uint64_t offset;
    size_t i;

    for (i = 0; i < s->n_holes; i++) {
        if (s->hole[i].length < length)
            continue;
        offset = s->hole[i].offset;
        s->hole[i].offset += length;
        s->hole[i].length -= length;
        if (s->hole[i].length == 0)
            remove_hole(s, i);
        return offset;
    }
    offset = s->end;
    s->end += length;
    return offset;
}

void pf_segment_keep(struct pf_segment *s, const struct pf_extent *e)
{
    uint64_t length = rounded(e->length);

    pthread_mutex_lock(&s->lock);
    if (e->offset >= s->end) {
        if (e->offset > s->end)
            add_free(s, s->end, e->offset - s->end);
        s->end = e->offset + length;
    } else {
        take_free(s, e->offset, length);
    }
    pthread_mutex_unlock(&s->lock);
}

enum pocketfed_status pf_segment_reserve(struct pf_segment *s, size_t len,
                                         struct pf_extent *out,
                                         struct pf_error *err)
{
    uint64_t length, offset;
    int rc;

    if (len == 0 || len > SIZE_MAX / 2)
        return pf_fail(err, POCKETFED_INVALID, "an extent of %zu bytes", len);
    length = rounded(len);
    pthread_mutex_lock(&s->lock);
    offset = take_first_fit(s, length);
    pthread_mutex_unlock(&s->lock);
    do
        rc = posix_fallocate(s->fd, (off_t)offset, (off_t)length);
    while (rc == EINTR);
    if (rc != 0) {
        pthread_mutex_lock(&s->lock);
        add_free(s, offset, length);
        pthread_mutex_unlock(&s->lock);
        return pf_fail_errno(err, rc, "no room for %zu bytes in %s", len,
                             s->path);
    }
    out->offset = offset;
    out->length = len;
    return POCKETFED_OK;
}

void pf_segment_release(struct pf_segment *s, const struct pf_extent *e)
{
    pthread_mutex_lock(&s->lock);
    add_free(s, e->offset, rounded(e->length));
    pthread_mutex_unlock(&s->lock);
}

/* ---- bytes ------------------------------------------------------------- */

enum pocketfed_status pf_segment_write(struct pf_segment *s, uint64_t offset,
                                       const void *p, size_t n,
                                       struct pf_error *err)
{
    const uint8_t *at = p;
    ssize_t done;

    while (n > 0) {
        done = pwrite(s->fd, at, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return pf_fail_errno(err, errno, "cannot write %s", s->path);
        at += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return POCKETFED_OK;
}

/* Extents begin at multiples of 4096, mappings at multiples of a page. */
static size_t before_extent(const struct pf_extent *e)
{
    return (size_t)(e->offset % (uint64_t)sysconf(_SC_PAGESIZE));
}

enum pocketfed_status pf_segment_map(struct pf_segment *s,
                                     const struct pf_extent *e,
                                     const uint8_t **out, struct pf_error *err)
{
    size_t lead = before_extent(e);
    struct stat info;
    uint8_t *p;

    if (fstat(s->fd, &info) != 0)
        return pf_fail_errno(err, errno, "cannot examine %s", s->path);
    if (e->length == 0 || e->length > SIZE_MAX / 2 ||
        e->offset > (uint64_t)info.st_size ||
        e->length > (uint64_t)info.st_size - e->offset)
        return pf_fail(err, POCKETFED_PROOF,
                       "%s ends at byte %" PRIu64 ", but an update of %" PRIu64
                       " bytes should lie at %" PRIu64,
                       s->path, (uint64_t)info.st_size, e->length, e->offset);
    p = mmap(NULL, lead + (size_t)e->length, PROT_READ, MAP_SHARED, s->fd,
             (off_t)(e->offset - lead));
    if (p == MAP_FAILED)
        return pf_fail_errno(err, errno, "cannot map %s", s->path);
    *out = p + lead;
    return POCKETFED_OK;
}

void pf_segment_unmap(const uint8_t *p, const struct pf_extent *e)
{
    size_t lead = before_extent(e);

    munmap((void *)(uintptr_t)(p - lead), lead + (size_t)e->length);
}

enum pocketfed_status pf_segment_sync(struct pf_segment *s,
                                      struct pf_error *err)
{
    if (fdatasync(s->fd) != 0)
        return pf_fail_errno(err, errno, "cannot sync %s", s->path);
    return POCKETFED_OK;
}

void pf_segment_unlink(struct pf_segment *s)
{
    unlink(s->path); /* what fails here is swept at the next start */
}

/* 1 with the path of a round's file. */
static int path_of(const char *state_dir, int64_t task, uint64_t round,
                   char path[PATH_BYTES])
{
    char journal[PATH_BYTES], dir[PATH_BYTES];

    return name_dirs(state_dir, task, journal, dir, NULL) == POCKETFED_OK &&
           name_file(dir, round, path, NULL) == POCKETFED_OK;
}

void pf_segment_remove(const char *state_dir, int64_t task, uint64_t round)
{
    char path[PATH_BYTES];

    if (path_of(state_dir, task, round, path))
        unlink(path); /* as above */
}

int pf_segment_there(const char *state_dir, int64_t task, uint64_t round)
{
    char path[PATH_BYTES];
    struct stat info;

    return path_of(state_dir, task, round, path) && stat(path, &info) == 0;
}

/* ---- sweep ------------------------------------------------------------- */

/* "<digits>.seg" */
static int segment_name(const char *name, uint64_t *round)
{
    size_t n = strlen(name);

    return n > 4 && strcmp(name + n - 4, ".seg") == 0 &&
           pf_parse_u64(name, n - 4, 0, UINT64_MAX, round);
}

static enum pocketfed_status sweep_task(const char *dir, int64_t task,
                                        int (*is_open)(void *, int64_t,
                                                       uint64_t),
                                        void *ctx, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct dirent *e;
    uint64_t round;
    DIR *d;

    d = opendir(dir);
    if (!d)
        return pf_fail_errno(err, errno, "cannot list %s", dir);
    while (st == POCKETFED_OK && (e = readdir(d)) != NULL) {
        if (!segment_name(e->d_name, &round) || is_open(ctx, task, round))
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) != 0)
            st = pf_fail_errno(err, errno, "cannot remove %s/%s", dir,
                               e->d_name);
    }
    closedir(d);
    return st;
}

enum pocketfed_status pf_segment_sweep(const char *state_dir,
                                       int (*open)(void *ctx, int64_t task,
                                                   uint64_t round),
                                       void *ctx, struct pf_error *err)
{
    enum pocketfed_status st;
    char journal[PATH_BYTES], dir[PATH_BYTES];
    struct dirent *e;
    int64_t task;
    DIR *d;

    st = pf_path_join(state_dir, "journal", journal, sizeof journal, err);
    if (st != POCKETFED_OK)
        return st;
    d = opendir(journal);
    if (!d && errno == ENOENT)
        return POCKETFED_OK;
    if (!d)
        return pf_fail_errno(err, errno, "cannot list %s", journal);
    while (st == POCKETFED_OK && (e = readdir(d)) != NULL) {
        if (!pf_parse_i64(e->d_name, strlen(e->d_name), 1, INT64_MAX, &task))
            continue;
        st = pf_path_join(journal, e->d_name, dir, sizeof dir, err);
        if (st == POCKETFED_OK)
            st = sweep_task(dir, task, open, ctx, err);
    }
    closedir(d);
    return st;
}
