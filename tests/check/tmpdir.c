#include "tmpdir.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *pf_tmpdir_make(char *out, size_t cap)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(out, cap, "%s/pocketfed-test-XXXXXX",
                     tmp && *tmp ? tmp : "/tmp");

    if (n < 0 || (size_t)n >= cap || !mkdtemp(out)) {
        perror("tmpdir");
        abort();
    }
    return out;
}

void pf_tmpdir_remove(const char *path)
{
    struct dirent *entry;
    struct stat info;
    char name[4096];
    DIR *dir;

    if (lstat(path, &info) != 0)
        return;
    if (!S_ISDIR(info.st_mode)) {
        unlink(path);
        return;
    }
    chmod(path, 0700); /* a test may have closed it */
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        pf_tmpdir_remove(name);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}
