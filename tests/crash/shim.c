/* shim.c - a shared object that stands between a daemon and the C library's
 * calls that change files, libsqlite3's among them.
 *
 * What is asked of it stands in struct crash_control: die at a call (a write
 * half done), let calls fail, shift the wall clock, keep a log of operations.
 * Linked into the test daemon before everything else; LD_PRELOAD does the same
 * for any other program.  Nothing of it is built with sanitizers, and it goes
 * to the kernel by syscall(2), so it needs no order among interceptors.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 8192
#define DEPTH 16
#define DIE   (-1)

struct crash_control *crash_shared;

static struct {
    atomic_int open; /* path is what it was opened by, below the root */
    char path[CRASH_PATH];
} files[FILES];

static _Thread_local unsigned stack[DEPTH], depth;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(CRASH_ENV);
    struct stat info;
    void *p;
    int fd;

    if (!path)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0) {
        p = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                 fd, 0);
        if (p != MAP_FAILED)
            crash_shared = p;
    }
    syscall(SYS_close, fd);
}

void crash_die(void)
{
    crash_log_lock(); /* all that was done is in the log, and nothing more */
    atomic_store(&crash_shared->fired, 1);
    for (;;)
        syscall(SYS_kill, getpid(), SIGKILL);
}

/* ---- crash points ------------------------------------------------------ */

void crash_enter(unsigned point)
{
    struct crash_control *c = crash_shared;
    unsigned long long n;

    if (!c)
        return;
    n = atomic_fetch_add(&c->passes[point], 1) + 1;
    if (atomic_load(&c->where) == CRASH_BEFORE &&
        atomic_load(&c->point) == point && atomic_load(&c->nth) == n)
        crash_die();
    if (depth < DEPTH)
        stack[depth] = point;
    depth++;
}

void crash_leave(unsigned point)
{
    struct crash_control *c = crash_shared;
    unsigned long long n;

    if (!c)
        return;
    depth--;
    n = atomic_fetch_add(&c->left[point], 1) + 1;
    if (atomic_load(&c->where) == CRASH_AFTER &&
        atomic_load(&c->point) == point && atomic_load(&c->nth) == n)
        crash_die();
}

/* ---- what is to become of a call --------------------------------------- */

/* One more call inside the points that this thread is in; DIE when it is the
 * one. */
static int count_call(struct crash_control *c)
{
    unsigned i, n = depth < DEPTH ? depth : DEPTH, point;
    unsigned long long calls;
    int verdict = 0;

    for (i = 0; i < n; i++) {
        point = stack[i];
        calls = atomic_fetch_add(&c->calls[point], 1) + 1;
        if (atomic_load(&c->where) == CRASH_AT &&
            atomic_load(&c->point) == point && atomic_load(&c->nth) == calls)
            verdict = DIE;
    }
    return verdict;
}

/* Counts down to 0; 1 when there was something left. */
static int take_one(atomic_ullong *left)
{
    unsigned long long n = atomic_load(left);

    while (n > 0 && n != UINT64_MAX)
        if (atomic_compare_exchange_weak(left, &n, n - 1))
            return 1;
    return n > 0;
}

/* A sync of a file that failed to sync before tells nothing. */
static void note_sync(struct crash_control *c, const char *path, int fails)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char failed[16][CRASH_PATH];
    static unsigned n;
    unsigned i;

    pthread_mutex_lock(&lock);
    for (i = 0; i < n; i++)
        if (strcmp(failed[i], path) == 0)
            atomic_fetch_add(&c->retried, 1);
    if (fails && n < 16)
        snprintf(failed[n++], CRASH_PATH, "%s", path);
    pthread_mutex_unlock(&lock);
}

/* 0: do it; DIE: do half of it and die; else the errno with which to fail. */
static int judge(enum crash_call kind, const char *path)
{
    struct crash_control *c = crash_shared;
    int verdict = count_call(c);

    if (verdict == 0 && (atomic_load(&c->fail_calls) & kind) &&
        strstr(path, c->fail_path) && !take_one(&c->fail_skip) &&
        take_one(&c->fail_left)) {
        atomic_fetch_add(&c->failed, 1);
        verdict = atomic_load(&c->fail_errno);
    }
    if (kind == CRASH_SYNC)
        note_sync(c, path, verdict > 0);
    return verdict;
}

/* ---- which files ------------------------------------------------------- */

static int below_root(const char *path)
{
    size_t n;

    if (!crash_shared || !path)
        return 0;
    n = strlen(crash_shared->root);
    return strncmp(path, crash_shared->root, n) == 0 &&
           (path[n] == '/' || path[n] == '\0');
}

static const char *path_of(int fd)
{
    if (!crash_shared || fd < 0 || fd >= FILES || !atomic_load(&files[fd].open))
        return NULL;
    return files[fd].path;
}

/* ---- opening and closing ----------------------------------------------- */

static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER; /* of files[] */

static int open_real(int dir, const char *path, int flags, unsigned mode)
{
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static int open_file(int dir, const char *path, int flags, unsigned mode)
{
    uint64_t how = ((flags & O_CREAT) ? CRASH_OPEN_CREATES : 0) |
                   ((flags & O_TRUNC) ? CRASH_OPEN_TRUNCATES : 0);
    int verdict = 0, fd;

    if (!below_root(path))
        return open_real(dir, path, flags, mode);
    if (flags & O_CREAT)
        verdict = judge(CRASH_NAME, path);
    if (verdict == DIE)
        crash_die();
    if (verdict) {
        errno = verdict;
        return -1;
    }
    crash_log_lock();
    fd = open_real(dir, path, flags, mode);
    if (fd >= 0 && fd < FILES) {
        /* One thread may have closed the number that another one gets. */
        pthread_mutex_lock(&naming);
        snprintf(files[fd].path, CRASH_PATH, "%s", path);
        pthread_mutex_unlock(&naming);
        atomic_store(&files[fd].open, 1);
        crash_log_add(CRASH_OP_OPEN, fd, how, path, NULL, 0);
    }
    crash_log_unlock();
    return fd;
}

static unsigned mode_of(int flags, va_list ap)
{
    return (flags & O_CREAT) ? va_arg(ap, unsigned) : 0;
}

int open(const char *path, int flags, ...)
{
    unsigned mode;
    va_list ap;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    unsigned mode;
    va_list ap;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    unsigned mode;
    va_list ap;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return open_file(dir, path, flags, mode);
}

int close(int fd)
{
    int rc;

    if (!path_of(fd))
        return (int)syscall(SYS_close, fd);
    crash_log_lock();
    atomic_store(&files[fd].open, 0);
    crash_log_add(CRASH_OP_CLOSE, fd, 0, NULL, NULL, 0);
    rc = (int)syscall(SYS_close, fd);
    crash_log_unlock();
    return rc;
}

/* ---- contents ---------------------------------------------------------- */

static int fail(int error)
{
    errno = error;
    return -1;
}

/* offset < 0: where the file's position is. */
static ssize_t write_at(int fd, const void *p, size_t n, off_t offset)
{
    ssize_t done;

    crash_log_lock();
    if (offset < 0) {
        offset = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
        done = syscall(SYS_write, fd, p, n);
    } else {
        done = syscall(SYS_pwrite64, fd, p, n, offset);
    }
    if (done > 0)
        crash_log_add(CRASH_OP_WRITE, fd, (uint64_t)offset, NULL, p,
                      (size_t)done);
    crash_log_unlock();
    return done;
}

static ssize_t write_file(int fd, const void *p, size_t n, off_t offset)
{
    int verdict = judge(CRASH_WRITE, path_of(fd));

    if (verdict > 0)
        return fail(verdict);
    if (verdict != DIE)
        return write_at(fd, p, n, offset);
    if (n / 2 > 0)
        write_at(fd, p, n / 2, offset);
    crash_die();
    return -1;
}

ssize_t write(int fd, const void *p, size_t n)
{
    if (!path_of(fd))
        return syscall(SYS_write, fd, p, n);
    return write_file(fd, p, n, -1);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    if (!path_of(fd))
        return syscall(SYS_pwrite64, fd, p, n, offset);
    return write_file(fd, p, n, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t offset)
{
    return pwrite(fd, p, n, offset);
}

int ftruncate(int fd, off_t size)
{
    int verdict, rc;

    if (!path_of(fd))
        return (int)syscall(SYS_ftruncate, fd, size);
    verdict = judge(CRASH_WRITE, path_of(fd));
    if (verdict == DIE)
        crash_die();
    if (verdict)
        return fail(verdict);
    crash_log_lock();
    rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0)
        crash_log_add(CRASH_OP_SIZE, fd, (uint64_t)size, NULL, NULL, 0);
    crash_log_unlock();
    return rc;
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

/* Returns its errno. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
    int verdict = 0, rc;

    if (path_of(fd))
        verdict = judge(CRASH_WRITE, path_of(fd));
    if (verdict == DIE)
        crash_die();
    if (verdict)
        return verdict;
    crash_log_lock();
    rc = syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
    if (rc == 0 && path_of(fd))
        crash_log_add(CRASH_OP_GROW, fd, (uint64_t)(offset + len), NULL, NULL,
                      0);
    crash_log_unlock();
    return rc;
}

int posix_fallocate64(int fd, off_t offset, off_t len)
{
    return posix_fallocate(fd, offset, len);
}

static int sync_file(int fd, long call)
{
    int verdict, rc = 0;

    if (!path_of(fd))
        return (int)syscall(call, fd);
    verdict = judge(CRASH_SYNC, path_of(fd));
    if (verdict == DIE)
        crash_die();
    if (verdict)
        return fail(verdict);
    if (!crash_log_on())
        return (int)syscall(call, fd);
    crash_log_lock();
    crash_log_add(CRASH_OP_SYNC, fd, 0, NULL, NULL, 0);
    crash_log_unlock();
    return rc;
}

int fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

/* ---- names ------------------------------------------------------------- */

/* 1: done with; *rc is what the call returns. */
static int refused(const char *path, int *rc)
{
    int verdict = judge(CRASH_NAME, path);

    if (verdict == DIE)
        crash_die();
    if (verdict)
        *rc = fail(verdict);
    return verdict != 0;
}

int rename(const char *from, const char *to)
{
    int rc;

    if (below_root(to) && refused(to, &rc))
        return rc;
    crash_log_lock();
    rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (rc == 0 && below_root(to))
        crash_log_add(CRASH_OP_RENAME, -1, 0, from, to, strlen(to));
    crash_log_unlock();
    return rc;
}

int unlinkat(int dir, const char *name, int flags)
{
    char path[CRASH_PATH], link[64];
    ssize_t n = 0;
    int rc;

    if (dir == AT_FDCWD || name[0] == '/') {
        snprintf(path, sizeof path, "%s", name);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        n = readlink(link, path, sizeof path - 1);
        if (n > 0)
            snprintf(path + n, sizeof path - (size_t)n, "/%s", name);
    }
    if (below_root(path) && refused(path, &rc))
        return rc;
    crash_log_lock();
    rc = (int)syscall(SYS_unlinkat, dir, name, flags);
    if (rc == 0 && below_root(path))
        crash_log_add(CRASH_OP_UNLINK, -1, 0, path, NULL, 0);
    crash_log_unlock();
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    int rc;

    if (below_root(path) && refused(path, &rc))
        return rc;
    crash_log_lock();
    rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (rc == 0 && below_root(path))
        crash_log_add(CRASH_OP_MKDIR, -1, 0, path, NULL, 0);
    crash_log_unlock();
    return rc;
}
