/* shadow.h - what a disk has after the power was cut: a model of a directory
 * tree, fed with the log of operations of a daemon (control.h).
 *
 * Sure is what was synced: a file's bytes and size by fsync or fdatasync of the
 * file, a name by fsync of its directory.  Of the rest a random part survives:
 * of each 4 KiB page that was written since, one of its later states or none;
 * of the sizes a file had, one; of the names that were made, changed or taken
 * away, any subset, so that later ones may have happened without earlier ones.
 * This is more than most file systems lose, and all that POSIX lets them lose.
 * What is shared memory only (-shm) never survives.
 */
#ifndef CRASH_SHADOW_H
#define CRASH_SHADOW_H

#include "control.h"
#include "rng.h"

struct shadow;

/* The tree below root as it lies on the disk, all of it taken for synced. */
struct shadow *shadow_new(const char *root);
void shadow_free(struct shadow *s);
/* All that the log tells, after the daemon's end; its files are closed. 1, or 0
 * when the log contradicts the tree. */
int shadow_replay(struct shadow *s, const struct crash_control *c);
/* Power is cut. The tree on the disk is replaced by what survives, which is
 * from now on synced. keep: how likely a thing survives, 0 to 4 quarters. */
void shadow_lose(struct shadow *s, struct pf_rng *rng, uint64_t *draws,
                 unsigned keep);

#endif
