#include "storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "text.h"

#define OBJECTS        "objects"
#define LINE_MAX_BYTES (256u << 10) /* of an appended line */
#define SMALL_FILE     (64u << 10)

#define AT(type, member)                                                       \
    .offset = offsetof(struct type, member),                                   \
    .size = sizeof(((struct type *)0)->member)

static const struct pf_json_field membership_fields[] = {
    {"host", PF_JSON_STRING, AT(pf_membership, host), .flags = PF_JSON_REQUIRED,
     .help = "name or address of the server"},
    {"port", PF_JSON_U32, AT(pf_membership, port), .flags = PF_JSON_REQUIRED,
     .min = 1, .max = 65535},
    {"pins", PF_JSON_STRINGS, .offset = offsetof(struct pf_membership, pins),
     .size = 65, .count = PF_JOIN_MAX_PINS,
     .count_offset = offsetof(struct pf_membership, n_pins),
     .help = "SHA-256 of acceptable TLS keys; none: the system's roots decide"},
    {"task", PF_JSON_STRING, AT(pf_membership, task),
     .flags = PF_JSON_REQUIRED},
    {"record_key", PF_JSON_HEX, AT(pf_membership, record_key),
     .flags = PF_JSON_REQUIRED, .help = "the server's Ed25519 public key"},
    {"device", PF_JSON_HEX, AT(pf_membership, device),
     .flags = PF_JSON_REQUIRED},
    {"ordinal", PF_JSON_U64, AT(pf_membership, ordinal)},
    {.key = NULL},
};

static const struct pf_json_field counters_fields[] = {
    {"last_round", PF_JSON_U64, AT(pf_counters, last_round)},
    {"last_update", PF_JSON_STRING, AT(pf_counters, last_update)},
    {"last_accepted_ms", PF_JSON_I64, AT(pf_counters, last_accepted_ms)},
    {"participations", PF_JSON_U64, AT(pf_counters, participations)},
    {"bytes_up", PF_JSON_U64, AT(pf_counters, bytes_up)},
    {"bytes_down", PF_JSON_U64, AT(pf_counters, bytes_down)},
    {"models", PF_JSON_STRINGS, .offset = offsetof(struct pf_counters, models),
     .size = 65, .count = PF_STORAGE_MODELS,
     .count_offset = offsetof(struct pf_counters, n_models)},
    {.key = NULL},
};

enum pocketfed_status pf_storage_path(const struct pf_storage *s,
                                      const char *name, char *out, size_t cap,
                                      struct pf_error *err)
{
    return pf_path_join(s->dir, name, out, cap, err);
}

static void object_name(const char *hex, char out[80])
{
    snprintf(out, 80, OBJECTS "/%.64s", hex);
}

static int ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

static int is_kept(const struct pf_counters *c, const char *name)
{
    size_t i;

    for (i = 0; i < c->n_models; i++)
        if (strcmp(c->models[i], name) == 0)
            return 1;
    return 0;
}

/* Removes what a crash left behind: temporary files (kept == NULL), or every
 * object that is not among the kept. */
static void sweep(const struct pf_storage *s, const char *sub,
                  const struct pf_counters *kept)
{
    char dir[PF_STORAGE_PATH], path[PF_STORAGE_PATH];
    struct dirent *entry;
    DIR *d;

    if (pf_path_join(s->dir, sub, dir, sizeof dir, NULL))
        return;
    d = opendir(dir);
    while (d && (entry = readdir(d))) {
        if (entry->d_name[0] == '.' ||
            (kept ? is_kept(kept, entry->d_name)
                  : !ends_with(entry->d_name, ".tmp")))
            continue;
        if (pf_path_join(dir, entry->d_name, path, sizeof path, NULL) ==
            POCKETFED_OK)
            unlink(path);
    }
    if (d)
        closedir(d);
}

enum pocketfed_status pf_storage_open(const char *dir, struct pf_storage *out,
                                      struct pf_error *err)
{
    char path[PF_STORAGE_PATH];
    struct pf_counters counters;
    struct pf_storage s;
    enum pocketfed_status st;
    size_t n = strlen(dir);

    /* Room for the longest name below it. */
    if (n == 0 || n + 128 >= sizeof s.dir)
        return pf_fail(err, POCKETFED_LIMIT,
                       "the storage folder's path must have 1 to %zu bytes",
                       sizeof s.dir - 129);
    memcpy(s.dir, dir, n + 1);
    st = pf_path_join(s.dir, OBJECTS, path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_dir_make(path, 0700, err);
    if (st == POCKETFED_OK)
        st = pf_path_join(s.dir, "lock", path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_file_lock(path, &s.lock_fd, err);
    if (st)
        return st;
    pf_storage_counters(&s, &counters);
    sweep(&s, ".", NULL);
    sweep(&s, OBJECTS, &counters);
    *out = s;
    return POCKETFED_OK;
}

void pf_storage_close(struct pf_storage *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    s->lock_fd = -1;
}

enum pocketfed_status pf_storage_load(const struct pf_storage *s,
                                      const char *name, struct pf_buf *out,
                                      struct pf_error *err)
{
    char path[PF_STORAGE_PATH];
    enum pocketfed_status st;

    st = pf_path_join(s->dir, name, path, sizeof path, err);
    return st ? st : pf_file_read(path, out, err);
}

enum pocketfed_status pf_storage_save(const struct pf_storage *s,
                                      const char *name, const void *p,
                                      size_t len, struct pf_error *err)
{
    char path[PF_STORAGE_PATH];
    enum pocketfed_status st;

    st = pf_path_join(s->dir, name, path, sizeof path, err);
    return st ? st : pf_file_replace(path, p, len, 0600, err);
}

void pf_storage_remove(const struct pf_storage *s, const char *name)
{
    char path[PF_STORAGE_PATH];

    if (pf_path_join(s->dir, name, path, sizeof path, NULL) == POCKETFED_OK)
        unlink(path);
}

void pf_storage_wipe(const struct pf_storage *s, const char *name)
{
    static const char zeros[256];
    char path[PF_STORAGE_PATH];
    struct stat info;
    off_t done = 0;
    ssize_t n;
    int fd;

    if (pf_path_join(s->dir, name, path, sizeof path, NULL))
        return;
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0) {
        while (done < info.st_size) {
            n = write(fd, zeros,
                      info.st_size - done < (off_t)sizeof zeros
                          ? (size_t)(info.st_size - done)
                          : sizeof zeros);
            if (n <= 0)
                break;
            done += n;
        }
        fsync(fd);
    }
    close(fd);
    unlink(path);
    pf_dir_sync(s->dir, NULL);
}

/* The end of a file of lines: where its last whole line begins and ends (the
 * newline is not in it), and that line if it is not too long. */
struct tail {
    off_t begin, end, size;
    char *bytes; /* of the file's last LINE_MAX_BYTES; owned */
    const char *line;
    size_t len;
};

static enum pocketfed_status read_tail(int fd, struct tail *t)
{
    off_t from;
    size_t n, end, begin;

    memset(t, 0, sizeof *t);
    t->size = lseek(fd, 0, SEEK_END);
    if (t->size < 0)
        return POCKETFED_IO;
    from =
        t->size > (off_t)LINE_MAX_BYTES ? t->size - (off_t)LINE_MAX_BYTES : 0;
    n = (size_t)(t->size - from);
    t->bytes = malloc(n + 1);
    if (!t->bytes)
        return POCKETFED_NO_MEMORY;
    if (pread(fd, t->bytes, n, from) != (ssize_t)n)
        return POCKETFED_IO;
    for (end = n; end > 0 && t->bytes[end - 1] != '\n'; end--)
        ;
    if (end == 0) { /* all of it is torn, or the line is not ours */
        t->begin = t->end = from;
        return POCKETFED_OK;
    }
    for (begin = end - 1; begin > 0 && t->bytes[begin - 1] != '\n'; begin--)
        ;
    t->begin = from + (off_t)begin;
    t->end = from + (off_t)end - 1;
    t->line = t->bytes + begin;
    t->len = end - 1 - begin;
    return POCKETFED_OK;
}

/* The line and its newline behind the last whole one. */
static enum pocketfed_status add_line(int fd, const struct tail *t,
                                      const char *line)
{
    off_t end = t->line ? t->end + 1 : t->begin;
    enum pocketfed_status st;
    struct pf_buf text;
    ssize_t n;

    pf_buf_init(&text, LINE_MAX_BYTES);
    pf_buf_adds(&text, line);
    st = pf_buf_adds(&text, "\n");
    if (st == POCKETFED_OK) {
        st = POCKETFED_IO;
        errno = EIO; /* for a write that is cut short */
        if (t->size == end || ftruncate(fd, end) == 0) {
            n = write(fd, text.data, text.len);
            if (n == (ssize_t)text.len && fsync(fd) == 0)
                st = POCKETFED_OK;
        }
    }
    pf_buf_free(&text);
    return st;
}

enum pocketfed_status pf_storage_append(const struct pf_storage *s,
                                        const char *name, const char *line,
                                        size_t key_len, struct pf_error *err)
{
    char path[PF_STORAGE_PATH];
    enum pocketfed_status st;
    struct tail t;
    int fd;

    st = pf_path_join(s->dir, name, path, sizeof path, err);
    if (st)
        return st;
    fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return pf_fail_errno(err, errno, "cannot open %s", path);
    st = read_tail(fd, &t);
    if (st == POCKETFED_OK &&
        (!t.line || t.len < key_len || memcmp(t.line, line, key_len) != 0))
        st = add_line(fd, &t, line);
    if (st == POCKETFED_OK)
        st = pf_dir_sync(s->dir, err);
    else if (st == POCKETFED_IO)
        pf_fail_errno(err, errno, "cannot append to %s", path);
    else
        pf_fail(err, st, "cannot append to %s: %s", path,
                pocketfed_status_text(st));
    free(t.bytes);
    close(fd);
    return st;
}

enum pocketfed_status pf_storage_last(const struct pf_storage *s,
                                      const char *name, struct pf_buf *out,
                                      struct pf_error *err)
{
    char path[PF_STORAGE_PATH];
    enum pocketfed_status st;
    struct tail t;
    uint64_t size;
    int fd;

    st = pf_path_join(s->dir, name, path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_file_open(path, &fd, &size, err);
    if (st)
        return st;
    st = read_tail(fd, &t);
    if (st == POCKETFED_OK)
        st = t.line ? pf_buf_add(out, t.line, t.len) : POCKETFED_NOT_FOUND;
    if (st)
        pf_fail(err, st, "%s has no last line: %s", path,
                pocketfed_status_text(st));
    free(t.bytes);
    close(fd);
    return st;
}

static enum pocketfed_status load_struct(const struct pf_storage *s,
                                         const char *name,
                                         const struct pf_json_field *fields,
                                         void *out, size_t size)
{
    struct pf_buf text;
    enum pocketfed_status st;

    memset(out, 0, size);
    pf_buf_init(&text, SMALL_FILE);
    st = pf_storage_load(s, name, &text, NULL);
    if (st == POCKETFED_OK)
        st = pf_json_decode(fields, PF_JSON_IGNORE, pf_buf_str(&text), text.len,
                            out, NULL);
    pf_buf_free(&text);
    if (st == POCKETFED_OK)
        return POCKETFED_OK;
    memset(out, 0, size);
    return POCKETFED_NOT_FOUND;
}

static enum pocketfed_status save_struct(const struct pf_storage *s,
                                         const char *name,
                                         const struct pf_json_field *fields,
                                         const void *in, struct pf_error *err)
{
    struct pf_buf text;
    enum pocketfed_status st;

    pf_buf_init(&text, SMALL_FILE);
    st = pf_json_encode_pretty(fields, in, &text);
    if (st)
        pf_fail(err, st, "cannot write %s/%s", s->dir, name);
    else
        st = pf_storage_save(s, name, text.data, text.len, err);
    pf_buf_free(&text);
    return st;
}

enum pocketfed_status pf_storage_membership(const struct pf_storage *s,
                                            struct pf_membership *out)
{
    return load_struct(s, "server.json", membership_fields, out, sizeof *out);
}

enum pocketfed_status pf_storage_set_membership(const struct pf_storage *s,
                                                const struct pf_membership *m,
                                                struct pf_error *err)
{
    return save_struct(s, "server.json", membership_fields, m, err);
}

enum pocketfed_status pf_storage_counters(const struct pf_storage *s,
                                          struct pf_counters *out)
{
    return load_struct(s, "counters.json", counters_fields, out, sizeof *out);
}

enum pocketfed_status pf_storage_set_counters(const struct pf_storage *s,
                                              const struct pf_counters *c,
                                              struct pf_error *err)
{
    return save_struct(s, "counters.json", counters_fields, c, err);
}

enum pocketfed_status pf_storage_object_get(const struct pf_storage *s,
                                            const uint8_t digest[32],
                                            struct pf_buf *out)
{
    char hex[65], name[80];

    pf_hex(digest, 32, hex);
    object_name(hex, name);
    return pf_storage_load(s, name, out, NULL);
}

enum pocketfed_status pf_storage_object_put(const struct pf_storage *s,
                                            struct pf_counters *c,
                                            const uint8_t digest[32],
                                            const void *p, size_t len,
                                            struct pf_error *err)
{
    struct pf_counters next = *c;
    char name[80], hex[65];
    enum pocketfed_status st;
    size_t i;

    pf_hex(digest, 32, hex);
    object_name(hex, name);
    st = pf_storage_save(s, name, p, len, err);
    if (st)
        return st;
    /* To the front; what falls off the end goes. */
    next.n_models = 0;
    memcpy(next.models[next.n_models++], hex, sizeof hex);
    for (i = 0; i < c->n_models && next.n_models < PF_STORAGE_MODELS; i++)
        if (strcmp(c->models[i], hex) != 0)
            memcpy(next.models[next.n_models++], c->models[i], sizeof hex);
    st = pf_storage_set_counters(s, &next, err);
    if (st)
        return st;
    *c = next;
    sweep(s, OBJECTS, &next);
    return POCKETFED_OK;
}
