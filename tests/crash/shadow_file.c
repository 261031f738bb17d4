#include "shadow_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static uint8_t *bytes_new(size_t n)
{
    uint8_t *p = calloc(n + 1, 1);

    if (!p)
        abort();
    return p;
}

void shadow_file_free(struct shadow_file *f)
{
    size_t i;

    for (i = 0; i < f->n_writes; i++)
        free(f->writes[i].bytes);
    free(f->writes);
    free(f->bytes);
    memset(f, 0, sizeof *f);
}

void shadow_file_read(struct shadow_file *f, const char *path)
{
    FILE *file = fopen(path, "rb");
    long size;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        abort();
    rewind(file);
    f->size = (size_t)size;
    f->bytes = bytes_new(f->size);
    f->bytes_room = f->size;
    if (fread(f->bytes, 1, f->size, file) != f->size)
        abort();
    fclose(file);
}

static void add(struct shadow_file *f, int exact, uint64_t offset,
                const void *p, size_t len)
{
    struct shadow_write *w;

    if (f->n_writes == f->room) {
        f->room = f->room ? 2 * f->room : 16;
        f->writes = realloc(f->writes, f->room * sizeof *f->writes);
        if (!f->writes)
            abort();
    }
    w = &f->writes[f->n_writes++];
    *w = (struct shadow_write){exact, offset, len, NULL};
    if (!p)
        return;
    w->bytes = bytes_new(len);
    memcpy(w->bytes, p, len);
}

void shadow_file_write(struct shadow_file *f, uint64_t offset, const void *p,
                       size_t len)
{
    add(f, 0, offset, p, len);
}

void shadow_file_size(struct shadow_file *f, uint64_t size)
{
    add(f, 1, size, NULL, 0);
}

void shadow_file_grow(struct shadow_file *f, uint64_t size)
{
    add(f, 0, size, NULL, 0);
}

/* ---- sizes and pages --------------------------------------------------- */

static size_t size_after(size_t size, const struct shadow_write *w)
{
    size_t end = (size_t)w->offset + w->len;

    return w->exact || end > size ? end : size;
}

/* The size after the first n writes; *largest: of all of them. */
static size_t size_of(const struct shadow_file *f, size_t n, size_t *largest)
{
    size_t size = f->size, i;

    *largest = size;
    for (i = 0; i < n; i++) {
        size = size_after(size, &f->writes[i]);
        if (size > *largest)
            *largest = size;
    }
    return size;
}

/* Does it change a byte of the page? A size that is cut makes zeros of what
 * lay behind it. */
static int touches(const struct shadow_write *w, size_t page)
{
    uint64_t begin = (uint64_t)page * PAGE, end = begin + PAGE;

    if (w->exact)
        return w->offset < end;
    return w->bytes && w->offset < end && w->offset + w->len > begin;
}

static void apply(const struct shadow_write *w, size_t page, uint8_t *to)
{
    uint64_t begin = (uint64_t)page * PAGE, from, until;

    from = w->offset > begin ? w->offset : begin;
    until = begin + PAGE;
    if (w->exact) {
        memset(to + (from - begin), 0, (size_t)(until - from));
        return;
    }
    if (w->offset + w->len < until)
        until = w->offset + w->len;
    memcpy(to + (from - begin), w->bytes + (from - w->offset),
           (size_t)(until - from));
}

/* The page as it was synced, and then the first n writes that touch it. */
static void make_page(const struct shadow_file *f, size_t page, size_t n,
                      uint8_t *to)
{
    size_t begin = page * PAGE, i;

    memset(to, 0, PAGE);
    if (begin < f->size)
        memcpy(to, f->bytes + begin,
               f->size - begin < PAGE ? f->size - begin : PAGE);
    for (i = 0; i < f->n_writes && n > 0; i++) {
        if (!touches(&f->writes[i], page))
            continue;
        apply(&f->writes[i], page, to);
        n--;
    }
}

/* Room for n bytes, zeros behind the size: in place, because the write-ahead
 * log is large and synced with every batch. */
static void make_room(struct shadow_file *f, size_t n)
{
    size_t room = f->bytes_room ? f->bytes_room : PAGE;
    uint8_t *bytes;

    if (n <= f->bytes_room)
        return;
    while (room < n)
        room *= 2;
    bytes = bytes_new(room);
    if (f->size > 0)
        memcpy(bytes, f->bytes, f->size);
    free(f->bytes);
    f->bytes = bytes;
    f->bytes_room = room;
}

void shadow_file_sync(struct shadow_file *f)
{
    size_t largest, i;

    size_of(f, f->n_writes, &largest);
    make_room(f, largest);
    for (i = 0; i < f->n_writes; i++) {
        struct shadow_write *w = &f->writes[i];

        if (w->exact && w->offset < f->size)
            memset(f->bytes + w->offset, 0, f->size - (size_t)w->offset);
        else if (w->bytes)
            memcpy(f->bytes + w->offset, w->bytes, w->len);
        f->size = size_after(f->size, w);
        free(w->bytes);
    }
    f->n_writes = 0;
}

/* How many of n changes survive: all of them, or any number below. */
static size_t some(struct pf_rng *rng, uint64_t *draws, unsigned keep, size_t n)
{
    if (n == 0 || pf_rng_below(rng, (*draws)++, 4) < keep)
        return n;
    return keep == 0 ? 0 : (size_t)pf_rng_below(rng, (*draws)++, n);
}

void shadow_file_lose(const struct shadow_file *f, struct pf_rng *rng,
                      uint64_t *draws, unsigned keep, const char *path)
{
    size_t size, largest, page, pages, n, i;
    uint8_t *bytes;
    FILE *file;

    size_of(f, f->n_writes, &largest);
    size = size_of(f, some(rng, draws, keep, f->n_writes), &n);
    pages = (largest + PAGE - 1) / PAGE;
    bytes = bytes_new(pages * PAGE);
    for (page = 0; page < pages; page++) {
        for (i = n = 0; i < f->n_writes; i++)
            n += (size_t)touches(&f->writes[i], page);
        make_page(f, page, some(rng, draws, keep, n), bytes + page * PAGE);
    }
    file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
    free(bytes);
}
