/* netfs.h - does a directory lie on a network file system?
 *
 * What the daemon promises stands on locks, shared memory and fsync as a local
 * disk has them: SQLite's write-ahead log is mapped by several threads, a lock
 * keeps a second daemon out, and an answer is given when the disk has the
 * bytes.  NFS, SMB and their kind keep none of the three with certainty, so
 * the state directory is refused there, before anything is written.
 */
#ifndef PF_NETFS_H
#define PF_NETFS_H

#include <stdint.h>
#include "fail.h"

/* What a file system says it is. */
struct pf_fs {
    uint64_t magic; /* statfs(2), f_type */
    char type[64];  /* FUSE: from the mount table, "fuse.sshfs"; else "" */
};

/* Fills *out for a path that exists; 0, or errno. */
typedef int (*pf_fs_probe)(const char *path, struct pf_fs *out);

/* The name of a network file system ("NFS"), or NULL for any other. FUSE is
 * one when its program is known to keep files elsewhere. */
const char *pf_netfs_name(const struct pf_fs *fs);
/* CONFIG, naming path and file system, when it is one; IO when it cannot
 * be told. probe NULL: the kernel's answer. */
enum pocketfed_status pf_netfs_refuse(const char *path, pf_fs_probe probe,
                                      struct pf_error *err);

#endif
