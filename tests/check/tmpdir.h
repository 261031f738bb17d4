/* tmpdir.h - a directory of one test's own, removed with all that is in it.
 */
#ifndef PF_TMPDIR_H
#define PF_TMPDIR_H

#include <stddef.h>

/* Makes a new directory below TMPDIR (or /tmp), mode 0700, and writes its
 * path; returns out, or stops the program when it cannot. */
char *pf_tmpdir_make(char *out, size_t cap);
/* Removes the tree; never follows symbolic links. */
void pf_tmpdir_remove(const char *path);

#endif
