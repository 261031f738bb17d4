#include "guard.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Readable bytes before the guard page: n rounded up, at least one page. */
static size_t readable(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return n ? (n + page - 1) / page * page : page;
}

void *pf_guard_alloc(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = readable(n);
    uint8_t *base = mmap(NULL, len + page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED || mprotect(base + len, page, PROT_NONE) != 0) {
        perror("guard");
        abort();
    }
    return base + len - n;
}

void *pf_guard_copy(const void *p, size_t n)
{
    void *copy = pf_guard_alloc(n);

    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

void pf_guard_free(void *p, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = readable(n);

    if (p)
        munmap((uint8_t *)p + n - len, len + page);
}
