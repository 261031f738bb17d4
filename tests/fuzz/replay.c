/* Stands in for libFuzzer: feeds each file of the given files and folders to
 * the target once.  So the committed seeds are ordinary tests, with any
 * compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data = NULL;
    size_t size;
    int ok = 0;

    if (f && fstat(fileno(f), &st) == 0) {
        size = (size_t)st.st_size;
        /* Exactly as long as the input, so that a sanitizer sees one byte
         * too many. */
        data = malloc(size ? size : 1);
        ok = data && fread(data, 1, size, f) == size;
        if (ok)
            (void)LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    if (f)
        fclose(f);
    if (!ok)
        fprintf(stderr, "cannot read %s\n", path);
    return ok;
}

/* How many inputs were replayed, or -1. */
static int replay(const char *path)
{
    struct dirent *entry;
    struct stat st;
    DIR *dir;
    int n = 0;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return replay_file(path) ? 1 : -1;
    dir = opendir(path);
    if (!dir) {
        fprintf(stderr, "cannot open %s\n", path);
        return -1;
    }
    while (n >= 0 && (entry = readdir(dir)) != NULL) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        n = replay_file(name) ? n + 1 : -1;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);

        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
