#include "netfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define FUSE_MAGIC 0x65735546u

/* statfs(2) and the kernel's magic.h. 9p is how a guest sees its host's files:
 * no shared mappings, and locks that the host does not know. */
static const struct {
    uint64_t magic;
    const char *name;
} remote[] = {
    {0x6969, "NFS"},        {0x517b, "SMB"},
    {0xff534d42, "CIFS"},   {0xfe534d42, "SMB2"},
    {0x01021997, "9p"},     {0x5346414f, "AFS"},
    {0x6b414653, "kAFS"},   {0x73757245, "Coda"},
    {0x564c, "NCP"},        {0x00c36400, "Ceph"},
    {0x0bd00bd0, "Lustre"}, {0x19830326, "BeeGFS"},
    {0x013111a8, "IBRIX"},  {0x65735543, "GPFS"},
    {0x786f4256, "vboxsf"}, {0xbacbacbc, "VMware shared folder"},
};

/* FUSE programs that keep files on another machine, by what the mount table
 * calls them. Others (fuseblk, fuse-overlayfs, virtiofs) are local. */
static const char *const remote_fuse[] = {
    "fuse.sshfs",     "fuse.s3fs",          "fuse.gcsfuse",   "fuse.blobfuse",
    "fuse.blobfuse2", "fuse.rclone",        "fuse.davfs",     "fuse.davfs2",
    "fuse.glusterfs", "fuse.ceph-fuse",     "fuse.cephfs",    "fuse.juicefs",
    "fuse.curlftpfs", "fuse.goofys",        "fuse.nfs",       "fuse.smbnetfs",
    "fuse.mount-s3",  "fuse.mountpoint-s3", "fuse.seaweedfs", "fuse.moosefs",
    "fuse.mfs",       "fuse.lizardfs",      "fuse.beegfs",
};

const char *pf_netfs_name(const struct pf_fs *fs)
{
    size_t i;

    if (fs->magic == FUSE_MAGIC) {
        for (i = 0; i < sizeof remote_fuse / sizeof *remote_fuse; i++)
            if (strcmp(fs->type, remote_fuse[i]) == 0)
                return remote_fuse[i];
        return NULL;
    }
    for (i = 0; i < sizeof remote / sizeof *remote; i++)
        if (fs->magic == remote[i].magic)
            return remote[i].name;
    return NULL;
}

/* The file system's type from the mount table: "... 0:45 ... - TYPE ...". */
static void mount_type(dev_t dev, char out[64])
{
    FILE *f = fopen("/proc/self/mountinfo", "r");
    unsigned major_id, minor_id;
    char line[4096];
    const char *dash;

    out[0] = '\0';
    if (!f)
        return;
    while (!out[0] && fgets(line, sizeof line, f)) {
        dash = strstr(line, " - ");
        if (dash && sscanf(line, "%*d %*d %u:%u", &major_id, &minor_id) == 2 &&
            major_id == major(dev) && minor_id == minor(dev) &&
            sscanf(dash, " - %63s", out) != 1)
            out[0] = '\0';
    }
    fclose(f);
}

static int probe_kernel(const char *path, struct pf_fs *out)
{
    struct statfs fs;
    struct stat sb;

    if (statfs(path, &fs) != 0 || stat(path, &sb) != 0)
        return errno;
    memset(out, 0, sizeof *out);
    /* f_type is signed on some machines; magics have 32 bits. */
    out->magic = (uint64_t)fs.f_type & 0xffffffffu;
    if (out->magic == FUSE_MAGIC)
        mount_type(sb.st_dev, out->type);
    return 0;
}

enum pocketfed_status pf_netfs_refuse(const char *path, pf_fs_probe probe,
                                      struct pf_error *err)
{
    struct pf_fs fs = {0};
    const char *name;
    int rc = (probe ? probe : probe_kernel)(path, &fs);

    if (rc != 0)
        return pf_fail_errno(err, rc, "cannot tell what file system %s is on",
                             path);
    name = pf_netfs_name(&fs);
    if (!name)
        return POCKETFED_OK;
    pf_fail(err, POCKETFED_CONFIG,
            "the state directory %.160s is on a network file system (%s), "
            "which keeps neither locks nor synced bytes reliably",
            path, name);
    pf_hint(err, "give a directory on a local disk with --state DIR");
    return POCKETFED_CONFIG;
}
