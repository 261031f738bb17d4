#include "shadow.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadow_file.h"
#include "tmpdir.h"

#define FDS 8192

struct entry {
    char name[80];
    struct node *node;
};

struct names {
    struct entry *list;
    size_t n, room;
};

/* A change of a directory that is not synced yet. */
struct change {
    char gone[80]; /* a name that is no more, or "" */
    char name[80]; /* a name that is there now, or "" */
    struct node *node;
};

struct node {
    int is_dir;
    struct shadow_file file;
    struct names synced, now; /* of a directory */
    struct change *changes;   /* from synced to now */
    size_t n_changes, changes_room;
    struct node *next; /* of all nodes */
};

struct shadow {
    char root[CRASH_PATH];
    struct node *top, *all;
    struct node *fd[FDS];
};

/* ---- names ------------------------------------------------------------- */

static void *grown(void *list, size_t *room, size_t n, size_t item)
{
    if (n < *room)
        return list;
    *room = *room ? 2 * *room : 16;
    list = realloc(list, *room * item);
    if (!list)
        abort();
    return list;
}

static struct entry *find(struct names *d, const char *name)
{
    size_t i;

    for (i = 0; i < d->n; i++)
        if (strcmp(d->list[i].name, name) == 0)
            return &d->list[i];
    return NULL;
}

static void take_away(struct names *d, const char *name)
{
    struct entry *e = find(d, name);

    if (e)
        *e = d->list[--d->n];
}

static void put(struct names *d, const char *name, struct node *node)
{
    struct entry *e = find(d, name);

    if (!e) {
        d->list = grown(d->list, &d->room, d->n, sizeof *d->list);
        e = &d->list[d->n++];
        snprintf(e->name, sizeof e->name, "%s", name);
    }
    e->node = node;
}

static void apply(struct names *d, const struct change *c)
{
    if (c->gone[0])
        take_away(d, c->gone);
    if (c->name[0])
        put(d, c->name, c->node);
}

static void change(struct node *dir, const char *gone, const char *name,
                   struct node *node)
{
    struct change *c;

    dir->changes = grown(dir->changes, &dir->changes_room, dir->n_changes,
                         sizeof *dir->changes);
    c = &dir->changes[dir->n_changes++];
    memset(c, 0, sizeof *c);
    snprintf(c->gone, sizeof c->gone, "%s", gone);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->node = node;
    apply(&dir->now, c);
}

static void sync_dir(struct node *dir)
{
    size_t i;

    for (i = 0; i < dir->n_changes; i++)
        apply(&dir->synced, &dir->changes[i]);
    dir->n_changes = 0;
}

/* ---- nodes ------------------------------------------------------------- */

static struct node *node_new(struct shadow *s, int is_dir)
{
    struct node *n = calloc(1, sizeof *n);

    if (!n)
        abort();
    n->is_dir = is_dir;
    n->next = s->all;
    s->all = n;
    return n;
}

static void forget_all(struct shadow *s)
{
    struct node *n;

    while ((n = s->all) != NULL) {
        s->all = n->next;
        shadow_file_free(&n->file);
        free(n->synced.list);
        free(n->now.list);
        free(n->changes);
        free(n);
    }
    memset(s->fd, 0, sizeof s->fd);
}

static struct node *read_tree(struct shadow *s, const char *path)
{
    struct node *n, *child;
    char below[CRASH_PATH * 2];
    struct stat info;
    struct dirent *e;
    DIR *dir;

    if (stat(path, &info) != 0)
        abort();
    n = node_new(s, S_ISDIR(info.st_mode));
    if (!n->is_dir) {
        shadow_file_read(&n->file, path);
        return n;
    }
    dir = opendir(path);
    while (dir && (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        child = read_tree(s, below);
        put(&n->synced, e->d_name, child);
        put(&n->now, e->d_name, child);
    }
    closedir(dir);
    return n;
}

struct shadow *shadow_new(const char *root)
{
    struct shadow *s = calloc(1, sizeof *s);

    if (!s)
        abort();
    snprintf(s->root, sizeof s->root, "%s", root);
    s->top = read_tree(s, root);
    return s;
}

void shadow_free(struct shadow *s)
{
    if (s)
        forget_all(s);
    free(s);
}

/* The directory that the path lies in and its last word; NULL: there is no such
 * directory. The root itself: its node, and "". */
static struct node *parent(struct shadow *s, const char *path, char name[80])
{
    const char *at = path + strlen(s->root), *end;
    struct node *dir = s->top;
    struct entry *e;

    name[0] = '\0';
    while (*at) {
        if (name[0]) {
            e = find(&dir->now, name);
            if (!e || !e->node->is_dir)
                return NULL;
            dir = e->node;
        }
        at += strspn(at, "/");
        end = strchr(at, '/');
        snprintf(name, 80, "%.*s", end ? (int)(end - at) : (int)strlen(at), at);
        at = end ? end : at + strlen(at);
    }
    return dir;
}

/* ---- the log ----------------------------------------------------------- */

static int replay_open(struct shadow *s, int fd, uint64_t how, const char *path)
{
    struct node *dir, *node;
    struct entry *e;
    char name[80];

    dir = parent(s, path, name);
    if (!dir)
        return 0;
    e = name[0] ? find(&dir->now, name) : NULL;
    node = !name[0] ? dir : e ? e->node : NULL;
    if (!node) {
        if (!(how & CRASH_OPEN_CREATES))
            return 0;
        node = node_new(s, 0);
        change(dir, "", name, node);
    } else if (how & CRASH_OPEN_TRUNCATES) {
        shadow_file_size(&node->file, 0);
    }
    s->fd[fd] = node;
    return 1;
}

static int replay_name(struct shadow *s, const struct crash_record *r,
                       const char *path, const char *to)
{
    struct node *dir, *other;
    char name[80], next[80];
    struct entry *e;

    dir = parent(s, path, name);
    if (!dir)
        return 0;
    e = find(&dir->now, name);
    if (r->op == CRASH_OP_MKDIR) {
        if (!e)
            change(dir, "", name, node_new(s, 1));
        return 1;
    }
    if (!e)
        return 0;
    if (r->op == CRASH_OP_UNLINK) {
        change(dir, name, "", NULL);
        return 1;
    }
    other = parent(s, to, next);
    if (other != dir) /* the daemon never does that */
        return 0;
    change(dir, name, next, e->node);
    return 1;
}

static int replay_one(struct shadow *s, const struct crash_record *r)
{
    const char *data = (const char *)(r + 1) + r->path_len;
    char path[CRASH_PATH], to[CRASH_PATH];
    struct node *node;

    snprintf(path, sizeof path, "%.*s", (int)r->path_len,
             (const char *)(r + 1));
    if (r->op == CRASH_OP_OPEN)
        return replay_open(s, r->fd, r->number, path);
    if (r->op == CRASH_OP_RENAME || r->op == CRASH_OP_UNLINK ||
        r->op == CRASH_OP_MKDIR) {
        snprintf(to, sizeof to, "%.*s", (int)r->data_len, data);
        return replay_name(s, r, path, to);
    }
    node = s->fd[r->fd];
    if (!node)
        return 0;
    switch (r->op) {
    case CRASH_OP_CLOSE:
        s->fd[r->fd] = NULL;
        break;
    case CRASH_OP_WRITE:
        shadow_file_write(&node->file, r->number, data, r->data_len);
        break;
    case CRASH_OP_SIZE:
        shadow_file_size(&node->file, r->number);
        break;
    case CRASH_OP_GROW:
        shadow_file_grow(&node->file, r->number);
        break;
    case CRASH_OP_SYNC:
        if (node->is_dir)
            sync_dir(node);
        else
            shadow_file_sync(&node->file);
        break;
    default:
        return 0;
    }
    return 1;
}

int shadow_replay(struct shadow *s, const struct crash_control *c)
{
    const char *log = (const char *)c + CRASH_LOG_AT;
    uint64_t at = 0, end = atomic_load(&c->log_used);
    const struct crash_record *r;

    while (at < end) {
        r = (const struct crash_record *)(const void *)(log + at);
        if (!replay_one(s, r)) {
            fprintf(stderr, "shadow: operation %u on %.*s, file %d\n", r->op,
                    (int)r->path_len, (const char *)(r + 1), r->fd);
            return 0;
        }
        at += crash_record_size(r);
    }
    memset(s->fd, 0, sizeof s->fd);
    return 1;
}

/* ---- the power is cut -------------------------------------------------- */

struct loss {
    struct pf_rng *rng;
    uint64_t *draws;
    unsigned keep;
};

static int survives(const struct loss *l)
{
    return pf_rng_below(l->rng, (*l->draws)++, 4) < l->keep;
}

static int is_shared_memory(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && strcmp(name + n - 4, "-shm") == 0;
}

static void write_dir(const struct loss *l, struct node *dir, const char *path)
{
    struct names left = dir->synced; /* taken over */
    char below[CRASH_PATH * 2];
    size_t i;

    memset(&dir->synced, 0, sizeof dir->synced);
    for (i = 0; i < dir->n_changes; i++)
        if (survives(l))
            apply(&left, &dir->changes[i]);
    for (i = 0; i < left.n; i++) {
        snprintf(below, sizeof below, "%s/%s", path, left.list[i].name);
        if (is_shared_memory(left.list[i].name))
            continue;
        if (!left.list[i].node->is_dir) {
            shadow_file_lose(&left.list[i].node->file, l->rng, l->draws,
                             l->keep, below);
            continue;
        }
        if (mkdir(below, 0700) != 0)
            abort();
        write_dir(l, left.list[i].node, below);
    }
    free(left.list);
}

void shadow_lose(struct shadow *s, struct pf_rng *rng, uint64_t *draws,
                 unsigned keep)
{
    const struct loss l = {rng, draws, keep};

    pf_tmpdir_remove(s->root);
    if (mkdir(s->root, 0700) != 0)
        abort();
    write_dir(&l, s->top, s->root);
    forget_all(s);
    s->top = read_tree(s, s->root);
}
