/* segment.h - the payload file of one round: STATE/journal/<task>/<round>.seg.
 *
 * Extents are reserved (4096-aligned, large ones more), written by HTTP
 * workers, synced by the coordinator, mapped by whoever folds.  Which bytes
 * count is said by database rows alone; everything else in the file is dead.
 * Reference-counted: DROP unlinks the name, the last user closes the file.
 * Thread-safe.
 */
#ifndef PF_SEGMENT_H
#define PF_SEGMENT_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "round.h"

struct pf_segment;

/* Opens or creates; the directory entry is durable when it returns. One
 * reference. After a restart `in_use` extents are announced with
 * pf_segment_keep before the first reserve. */
enum pocketfed_status pf_segment_open(const char *state_dir, int64_t task,
                                      uint64_t round, struct pf_segment **out,
                                      struct pf_error *err);
void pf_segment_keep(struct pf_segment *s, const struct pf_extent *e);
struct pf_segment *pf_segment_ref(struct pf_segment *s);
void pf_segment_unref(struct pf_segment *s); /* NULL is fine */
/* Space for len bytes (ENOSPC shows here: it is allocated). */
enum pocketfed_status pf_segment_reserve(struct pf_segment *s, size_t len,
                                         struct pf_extent *out,
                                         struct pf_error *err);
enum pocketfed_status pf_segment_write(struct pf_segment *s, uint64_t offset,
                                       const void *p, size_t n,
                                       struct pf_error *err);
/* Read-only mapping of an extent; give it back with unmap. */
enum pocketfed_status pf_segment_map(struct pf_segment *s,
                                     const struct pf_extent *e,
                                     const uint8_t **out, struct pf_error *err);
void pf_segment_unmap(struct pf_segment *s, const uint8_t *p,
                      const struct pf_extent *e);
void pf_segment_release(struct pf_segment *s, const struct pf_extent *e);
enum pocketfed_status pf_segment_sync(struct pf_segment *s,
                                      struct pf_error *err);
void pf_segment_unlink(struct pf_segment *s);
/* The same for the file of a round that is over; fine when there is none. */
void pf_segment_remove(const char *state_dir, int64_t task, uint64_t round);
/* 1 when the file of that round is there. */
int pf_segment_there(const char *state_dir, int64_t task, uint64_t round);
/* At start: removes every segment file whose (task, round) `open` denies. */
enum pocketfed_status pf_segment_sweep(const char *state_dir,
                                       int (*open)(void *ctx, int64_t task,
                                                   uint64_t round),
                                       void *ctx, struct pf_error *err);

#endif
