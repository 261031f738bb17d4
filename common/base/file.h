/* file.h - whole files: read with a maximum, replace so that a crash leaves
 * the old content or the new, never half.
 */
#ifndef PF_FILE_H
#define PF_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"

/* Opens a regular file for reading without waiting for anybody: NOT_FOUND when
 * there is none, IO for a pipe, a device or a directory. size: 0 where the
 * system does not say (/proc). Close *fd. */
enum pocketfed_status pf_file_open(const char *path, int *fd, uint64_t *size,
                                   struct pf_error *err);
/* As pf_file_open; out is appended to; LIMIT when the file is longer than out
 * can hold, NOT_FOUND when there is none, IO otherwise. */
enum pocketfed_status pf_file_read(const char *path, struct pf_buf *out,
                                   struct pf_error *err);
/* Write to a temporary name beside path, fsync, rename over path, fsync the
 * directory. mode is the new file's, e.g. 0600, from its creation on. */
enum pocketfed_status pf_file_replace(const char *path, const void *p,
                                      size_t len, unsigned mode,
                                      struct pf_error *err);
/* mkdir -p with mode for the ones made; OK when it is there, a directory. */
enum pocketfed_status pf_dir_make(const char *path, unsigned mode,
                                  struct pf_error *err);
enum pocketfed_status pf_dir_sync(const char *path, struct pf_error *err);
enum pocketfed_status pf_file_sync(const char *path, struct pf_error *err);
/* An exclusive advisory lock on path (created 0600). LOCKED when another
 * process holds it (err names its pid when known). fd >= 0 in *fd; close it to
 * let go. */
enum pocketfed_status pf_file_lock(const char *path, int *fd,
                                   struct pf_error *err);
/* out = dir "/" name; LIMIT when it does not fit. */
enum pocketfed_status pf_path_join(const char *dir, const char *name, char *out,
                                   size_t cap, struct pf_error *err);

#endif
