/* shadow_file.h - one file of a shadow: its bytes as they were synced, and the
 * writes since.
 */
#ifndef CRASH_SHADOW_FILE_H
#define CRASH_SHADOW_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "rng.h"

struct shadow_write {
    int exact; /* the size is set to offset + len; else at least so large */
    uint64_t offset;
    size_t len;
    uint8_t *bytes; /* NULL: only the size changes */
};

struct shadow_file {
    uint8_t *bytes; /* synced; zeros behind the size */
    size_t size, bytes_room;
    struct shadow_write *writes; /* since, in order */
    size_t n_writes, room;
};

void shadow_file_free(struct shadow_file *f);
void shadow_file_read(struct shadow_file *f, const char *path);
void shadow_file_write(struct shadow_file *f, uint64_t offset, const void *p,
                       size_t len);
void shadow_file_size(struct shadow_file *f, uint64_t size);
void shadow_file_grow(struct shadow_file *f, uint64_t size);
void shadow_file_sync(struct shadow_file *f);
/* Writes to `path` what is left of it: see shadow_lose. */
void shadow_file_lose(const struct shadow_file *f, struct pf_rng *rng,
                      uint64_t *draws, unsigned keep, const char *path);

#endif
