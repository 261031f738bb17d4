#include "audit_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit.h"
#include "file.h"
#include "json.h"

#define PATH_CAP 600

static void print_json(const struct pf_audit_task *t)
{
    struct pf_buf why;

    pf_buf_init(&why, 4096);
    pf_json_string(&why, t->why);
    printf("{\"type\":\"audit\",\"task\":\"%s\",\"from_updates\":%" PRIu64
           ",\"from_sums\":%" PRIu64 ",\"by_record\":%" PRIu64
           ",\"rolled_back\":%" PRIu64 ",\"abandoned\":%" PRIu64
           ",\"without_record\":%" PRIu64 ",\"differs\":%" PRIu64
           ",\"why\":%s}\n",
           t->name, t->rounds[PF_AUDIT_UPDATES], t->rounds[PF_AUDIT_SUMS],
           t->rounds[PF_AUDIT_RECORD], t->rolled_back, t->abandoned,
           t->unsealed, t->differs, pf_buf_str(&why));
    pf_buf_free(&why);
}

static void part(const char *what, uint64_t n, int *first)
{
    if (n == 0)
        return;
    printf("%s%" PRIu64 " %s", *first ? "" : ", ", n, what);
    *first = 0;
}

static void print_text(const struct pf_audit_task *t)
{
    int first = 1;

    printf("task %s: ", t->name);
    part("rounds derived again from their updates", t->rounds[PF_AUDIT_UPDATES],
         &first);
    part("from their sums", t->rounds[PF_AUDIT_SUMS], &first);
    part("verified by their records alone", t->rounds[PF_AUDIT_RECORD], &first);
    part("rolled back", t->rolled_back, &first);
    part("abandoned", t->abandoned, &first);
    part("from before there were records", t->unsealed, &first);
    if (t->differs)
        printf("%sround %" PRIu64 " DIFFERS: %s", first ? "" : "; ", t->differs,
               t->why);
    else if (first)
        printf("no round has ended");
    printf("\n");
}

struct report {
    int json;
};

static void print(void *ctx, const struct pf_audit_task *t)
{
    const struct report *r = ctx;

    if (r->json)
        print_json(t);
    else
        print_text(t);
}

static void conclude(int verdict)
{
    if (verdict == 0)
        printf("every published state is what its updates give\n");
    else if (verdict == 3)
        printf("records, chain and server steps are right; of some rounds the "
               "updates were not kept\n");
    else
        printf("what was published is not what the records say: see the first "
               "round that differs\n");
}

static enum pocketfed_status lock(const char *state, int *fd,
                                  struct pf_error *err)
{
    char path[PATH_CAP];
    enum pocketfed_status st;
    struct stat info;

    st = pf_path_join(state, "pocketfed.db", path, sizeof path, err);
    if (st == POCKETFED_OK && stat(path, &info) != 0) {
        pf_fail(err, POCKETFED_NOT_FOUND, "there is no %s", path);
        pf_hint(err, "give the directory of a daemon with --state DIR");
        return POCKETFED_NOT_FOUND;
    }
    if (st == POCKETFED_OK)
        st = pf_path_join(state, "lock", path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_file_lock(path, fd, err);
    if (st == POCKETFED_LOCKED)
        pf_hint(err, "stop pocketfedd, or audit a copy of the directory "
                     "(docs/OPERATIONS.md)");
    return st;
}

enum pocketfed_status pf_audit_report(const char *state, const char *only,
                                      int json, const struct pf_log *log,
                                      int *verdict, struct pf_error *err)
{
    struct report report = {json};
    struct pf_audit audit = {
        .state_dir = state,
        .log = log,
        .only = only,
        .task = print,
        .ctx = &report,
    };
    struct pf_key *key = NULL;
    enum pocketfed_status st;
    char path[PATH_CAP];
    int fd = -1;

    st = lock(state, &fd, err);
    if (st == POCKETFED_OK)
        st = pf_path_join(state, "keys/record.key", path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_key_load(path, &key, err);
    audit.record_key = key;
    if (st == POCKETFED_OK)
        st = pf_audit_run(&audit, verdict, err);
    if (st == POCKETFED_OK && !json)
        conclude(*verdict);
    if (st == POCKETFED_OK && fflush(stdout) != 0)
        st = pf_fail(err, POCKETFED_IO, "the report cannot be written");
    pf_key_free(key);
    if (fd >= 0)
        close(fd);
    return st;
}
