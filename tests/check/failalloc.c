/* failalloc.c - for LD_PRELOAD: the PF_FAIL_ALLOC-th call of malloc, calloc or
 * realloc of the process returns NULL, all others work.
 *
 * At the end of the process it says on stderr when that call never came, so a
 * script can count up until it reads "never came".  A program that finds
 * pf_failalloc_live by a weak reference can ask for leaks.  glibc only.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);
EXPORT long pf_failalloc_live(void);

static atomic_long calls, live, target = -1;

/* Is this the one? Threads may find out the number at once; it is the same. */
static int fails(void)
{
    long t = atomic_load(&target);

    if (t < 0) {
        const char *k = getenv("PF_FAIL_ALLOC");

        t = k ? strtol(k, NULL, 10) : 0;
        atomic_store(&target, t);
    }
    if (atomic_fetch_add(&calls, 1) + 1 != t)
        return 0;
    errno = ENOMEM;
    return 1;
}

static void *counted(void *p)
{
    if (p)
        atomic_fetch_add(&live, 1);
    return p;
}

EXPORT void *malloc(size_t n)
{
    return fails() ? NULL : counted(__libc_malloc(n));
}

EXPORT void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(n, size));
}

EXPORT void *realloc(void *p, size_t n)
{
    if (fails())
        return NULL;
    return p ? __libc_realloc(p, n) : counted(__libc_realloc(p, n));
}

EXPORT void free(void *p)
{
    if (p)
        atomic_fetch_sub(&live, 1);
    __libc_free(p);
}

/* How many blocks are taken and not given back. */
EXPORT long pf_failalloc_live(void)
{
    return atomic_load(&live);
}

__attribute__((destructor)) static void report(void)
{
    static const char text[] = "failalloc: never came\n";

    if (atomic_load(&calls) < atomic_load(&target) &&
        write(STDERR_FILENO, text, sizeof text - 1) < 0)
        return;
}
