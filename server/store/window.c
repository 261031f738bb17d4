#include "window.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

static struct pf_pane *find(struct pf_windows *w, uint64_t offset)
{
    size_t i;

    for (i = 0; i < PF_WINDOWS; i++)
        if (w->pane[i].p && w->pane[i].offset == offset)
            return &w->pane[i];
    return NULL;
}

static struct pf_pane *open_at(struct pf_windows *w, int fd, uint64_t offset)
{
    struct pf_pane *at = NULL;
    unsigned i;
    void *p;

    for (i = 0; i < PF_WINDOWS && (!at || at->users > 0); i++)
        at = &w->pane[w->next++ % PF_WINDOWS];
    if (at->users > 0)
        return NULL;
    p = mmap(NULL, PF_WINDOW, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    if (p == MAP_FAILED)
        return NULL;
    if (at->p)
        munmap(at->p, PF_WINDOW);
    at->p = p;
    at->offset = offset;
    return at;
}

const uint8_t *pf_windows_take(struct pf_windows *w, int fd, uint64_t offset,
                               uint64_t n)
{
    uint64_t within = offset % PF_WINDOW;
    struct pf_pane *at;

    if (n > PF_WINDOW || within > PF_WINDOW - n)
        return NULL;
    at = find(w, offset - within);
    if (!at)
        at = open_at(w, fd, offset - within);
    if (!at)
        return NULL;
    at->users++;
    return at->p + within;
}

int pf_windows_give(struct pf_windows *w, const uint8_t *p)
{
    size_t i;

    for (i = 0; i < PF_WINDOWS; i++)
        if (w->pane[i].p && p >= w->pane[i].p && p < w->pane[i].p + PF_WINDOW) {
            w->pane[i].users--;
            return 1;
        }
    return 0;
}

void pf_windows_close(struct pf_windows *w)
{
    size_t i;

    for (i = 0; i < PF_WINDOWS; i++)
        if (w->pane[i].p)
            munmap(w->pane[i].p, PF_WINDOW);
    memset(w, 0, sizeof *w);
}
