/* replay.c - without libFuzzer, a fuzz target runs its committed seeds once:
 * each file of the directories (and files) given.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    uint8_t *data = NULL, *copy = NULL;
    size_t len = 0;
    int ok = 0;
    struct stat info;
    FILE *f = fopen(path, "rb");

    if (!f || fstat(fileno(f), &info) != 0)
        goto out;
    data = malloc((size_t)info.st_size + 1);
    if (!data)
        goto out;
    len = fread(data, 1, (size_t)info.st_size + 1, f);
    if (len != (size_t)info.st_size)
        goto out;
    /* Exactly len bytes, so that a sanitizer sees one too many. */
    copy = malloc(len ? len : 1);
    if (!copy)
        goto out;
    memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    ok = 1;
out:
    if (!ok)
        fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
    if (f)
        fclose(f);
    free(copy);
    free(data);
    return ok;
}

/* How many files were replayed, or -1. */
static long replay(const char *path)
{
    struct stat info;
    struct dirent *entry;
    char name[4096];
    long n = 0, more;
    DIR *dir;

    if (stat(path, &info) != 0) {
        fprintf(stderr, "replay: cannot open %s: %s\n", path, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(info.st_mode))
        return replay_file(path) ? 1 : -1;
    dir = opendir(path);
    if (!dir) {
        fprintf(stderr, "replay: cannot open %s: %s\n", path, strerror(errno));
        return -1;
    }
    while (n >= 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        more = replay(name);
        n = more < 0 ? -1 : n + more;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    long n = 0, more;
    int i;

    for (i = 1; i < argc; i++) {
        if (argv[i][0] == '-') /* a flag of libFuzzer */
            continue;
        more = replay(argv[i]);
        if (more < 0)
            return 1;
        n += more;
    }
    if (n == 0) {
        fprintf(stderr, "replay: no files to replay\n");
        return 1;
    }
    printf("replayed %ld inputs\n", n);
    return 0;
}
