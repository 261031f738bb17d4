#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

#define PATH_MAX_BYTES 4096

#define CHUNK (64u << 10)

static enum pocketfed_status too_long(const char *path, size_t room,
                                      struct pf_error *err)
{
    return pf_fail(err, POCKETFED_LIMIT,
                   "%s is longer than the %zu bytes there is room for", path,
                   room);
}

/* Appends all that fd gives, `first` bytes at once and then by chunks; the
 * caller undoes a partial append. */
static enum pocketfed_status read_all(int fd, const char *path, size_t first,
                                      struct pf_buf *out, struct pf_error *err)
{
    size_t room = out->max - out->len, want = first ? first : CHUNK, left;
    enum pocketfed_status st;
    uint8_t *p, probe;
    ssize_t n;

    for (;; want = CHUNK) {
        left = out->max - out->len;
        if (left == 0) {
            n = read(fd, &probe, 1);
            if (n > 0)
                return too_long(path, room, err);
        } else {
            if (want > left)
                want = left;
            p = pf_buf_extend(out, want);
            st = pf_buf_status(out);
            if (!p)
                return pf_fail(err, st, "cannot read %s: %s", path,
                               pocketfed_status_text(st));
            n = read(fd, p, want);
            out->len -= n > 0 ? want - (size_t)n : want;
            out->data[out->len] = '\0';
        }
        if (n == 0)
            return POCKETFED_OK;
        if (n < 0 && errno != EINTR)
            return pf_fail_errno(err, errno, "cannot read %s", path);
    }
}

enum pocketfed_status pf_file_open(const char *path, int *out, uint64_t *size,
                                   struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct stat info;
    int fd;

    /* Not blocking: a pipe without a writer would hold us for ever. */
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return pf_fail(err, POCKETFED_NOT_FOUND, "there is no file %s", path);
    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot open %s", path);
    if (fstat(fd, &info) != 0)
        st = pf_fail_errno(err, errno, "cannot examine %s", path);
    else if (S_ISDIR(info.st_mode))
        st = pf_fail(err, POCKETFED_IO, "%s is a directory, not a file", path);
    else if (!S_ISREG(info.st_mode))
        st = pf_fail(err, POCKETFED_IO,
                     "%s is a pipe or a device, not a regular file", path);
    if (st != POCKETFED_OK) {
        close(fd);
        return st;
    }
    *out = fd;
    *size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
    return POCKETFED_OK;
}

enum pocketfed_status pf_file_read(const char *path, struct pf_buf *out,
                                   struct pf_error *err)
{
    enum pocketfed_status st;
    size_t len = out->len;
    uint64_t size;
    int fd;

    st = pf_file_open(path, &fd, &size, err);
    if (st != POCKETFED_OK)
        return st;
    if (size > out->max - out->len)
        st = too_long(path, out->max - out->len, err);
    else
        st = read_all(fd, path, (size_t)size, out, err);
    if (st != POCKETFED_OK && out->len > len) {
        out->len = len;
        out->data[len] = '\0';
    }
    close(fd);
    return st;
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return 0;
        p += n;
        len -= (size_t)n;
    }
    return 1;
}

/* A new file beside path: its descriptor, or -1 and errno. Another thread or a
 * process that died may have left the first names taken. */
static int create_beside(const char *path, unsigned mode, char *tmp, size_t cap)
{
    int i, fd, n;

    for (i = 0; i < 1000; i++) {
        n = snprintf(tmp, cap, "%s.%ld.%d.tmp", path, (long)getpid(), i);
        if (n < 0 || (size_t)n >= cap) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  (mode_t)mode);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* The directory that path lies in. */
static void parent_of(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        snprintf(out, cap, ".");
    else if (n == 0)
        snprintf(out, cap, "/");
    else
        snprintf(out, cap, "%.*s", (int)n, path);
}

enum pocketfed_status pf_file_replace(const char *path, const void *p,
                                      size_t len, unsigned mode,
                                      struct pf_error *err)
{
    char tmp[PATH_MAX_BYTES], dir[PATH_MAX_BYTES];
    enum pocketfed_status st;
    int fd, closed;

    fd = create_beside(path, mode, tmp, sizeof tmp);
    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot create a file beside %s",
                             path);
    if (!write_all(fd, p, len) || fsync(fd) != 0) {
        st = pf_fail_errno(err, errno, "cannot write %s", tmp);
        goto out;
    }
    closed = close(fd);
    fd = -1;
    if (closed != 0) { /* NFS reports a full disk only here */
        st = pf_fail_errno(err, errno, "cannot write %s", tmp);
        goto out;
    }
    if (rename(tmp, path) != 0) {
        st = pf_fail_errno(err, errno, "cannot put %s in its place", path);
        goto out;
    }
    tmp[0] = '\0';
    parent_of(path, dir, sizeof dir);
    st = pf_dir_sync(dir, err);
out:
    if (fd >= 0)
        close(fd);
    if (tmp[0])
        unlink(tmp);
    return st;
}

static enum pocketfed_status sync_path(const char *path, int flags,
                                       const char *what, struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot open %s %s", what, path);
    if (fsync(fd) != 0)
        st = pf_fail_errno(err, errno, "cannot sync %s %s", what, path);
    close(fd);
    return st;
}

enum pocketfed_status pf_dir_sync(const char *path, struct pf_error *err)
{
    return sync_path(path, O_RDONLY | O_DIRECTORY, "directory", err);
}

enum pocketfed_status pf_file_sync(const char *path, struct pf_error *err)
{
    return sync_path(path, O_RDONLY, "file", err);
}

static enum pocketfed_status make_one(const char *path, unsigned mode,
                                      struct pf_error *err)
{
    struct stat info;

    if (mkdir(path, (mode_t)mode) == 0)
        return POCKETFED_OK;
    if (errno != EEXIST)
        return pf_fail_errno(err, errno, "cannot make directory %s", path);
    if (stat(path, &info) != 0)
        return pf_fail_errno(err, errno, "cannot examine %s", path);
    if (!S_ISDIR(info.st_mode))
        return pf_fail(err, POCKETFED_IO, "%s is there and is no directory",
                       path);
    return POCKETFED_OK;
}

enum pocketfed_status pf_dir_make(const char *path, unsigned mode,
                                  struct pf_error *err)
{
    char part[PATH_MAX_BYTES];
    enum pocketfed_status st;
    size_t i, n = strlen(path);

    if (n == 0)
        return pf_fail(err, POCKETFED_INVALID, "a directory needs a name");
    if (n >= sizeof part)
        return pf_fail(err, POCKETFED_LIMIT,
                       "a path of %zu bytes is longer than %zu", n,
                       sizeof part - 1);
    memcpy(part, path, n + 1);
    for (i = 1; i < n; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = '\0';
        st = make_one(part, mode, err);
        if (st != POCKETFED_OK)
            return st;
        part[i] = '/';
    }
    return make_one(path, mode, err);
}

/* The pid that the holder of a lock wrote into it, or 0. */
static uint64_t holder_of(int fd)
{
    uint64_t pid = 0;
    char text[32];
    ssize_t n = pread(fd, text, sizeof text, 0);

    if (n > 1 && text[n - 1] == '\n')
        pf_parse_u64(text, (size_t)n - 1, 1, INT32_MAX, &pid);
    return pid;
}

enum pocketfed_status pf_file_lock(const char *path, int *fd,
                                   struct pf_error *err)
{
    enum pocketfed_status st;
    uint64_t pid;
    char text[32];
    int n, f;

    f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f < 0)
        return pf_fail_errno(err, errno, "cannot open lock %s", path);
    if (flock(f, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            st = pf_fail_errno(err, errno, "cannot lock %s", path);
            goto out;
        }
        pid = holder_of(f);
        if (pid)
            st = pf_fail(err, POCKETFED_LOCKED, "%s is locked by process %llu",
                         path, (unsigned long long)pid);
        else
            st = pf_fail(err, POCKETFED_LOCKED,
                         "%s is locked by another process", path);
        goto out;
    }
    /* The pid is for people; the lock holds without it. */
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(f, 0) != 0 || pwrite(f, text, (size_t)n, 0) != n) {
        st = pf_fail_errno(err, errno, "cannot write %s", path);
        goto out;
    }
    *fd = f;
    f = -1;
    st = POCKETFED_OK;
out:
    if (f >= 0)
        close(f);
    return st;
}

enum pocketfed_status pf_path_join(const char *dir, const char *name, char *out,
                                   size_t cap, struct pf_error *err)
{
    size_t d = strlen(dir), n = strlen(name), need;

    if (d == 0 || n == 0)
        return pf_fail(err, POCKETFED_INVALID,
                       "a path needs a directory and a name");
    if (dir[d - 1] == '/')
        d--; /* "/" and "x" make "/x" */
    need = d + 1 + n + 1;
    if (need > cap)
        return pf_fail(err, POCKETFED_LIMIT,
                       "a path of %zu bytes is longer than %zu: %s/%s",
                       need - 1, cap - 1, dir, name);
    memcpy(out, dir, d);
    out[d] = '/';
    memcpy(out + d + 1, name, n + 1);
    return POCKETFED_OK;
}
