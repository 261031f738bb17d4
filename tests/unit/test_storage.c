#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "storage.h"
#include "text.h"
#include "tmpdir.h"

struct world {
    char base[256], dir[300];
    struct pf_storage s;
    struct pf_error err;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    pf_tmpdir_make(w->base, sizeof w->base);
    snprintf(w->dir, sizeof w->dir, "%s/device one", w->base);
    assert_int_equal(pf_storage_open(w->dir, &w->s, &w->err), POCKETFED_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    pf_storage_close(&w->s);
    pf_tmpdir_remove(w->base);
    free(w);
    return 0;
}

static unsigned mode_of(const struct world *w, const char *name)
{
    char path[400];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return stat(path, &info) == 0 ? info.st_mode & 07777u : 0;
}

static int exists(const struct world *w, const char *name)
{
    return mode_of(w, name) != 0;
}

/* Writes past the storage, as a failing disk would. */
static void scribble(const struct world *w, const char *name, const char *text)
{
    char path[400];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void nobody_else_can_read_anything(void **state)
{
    struct world *w = *state;
    struct pf_counters c = {0};
    const uint8_t digest[32] = {1};

    umask(0);
    assert_int_equal(mode_of(w, "."), 0700);
    assert_int_equal(mode_of(w, "objects"), 0700);
    assert_int_equal(mode_of(w, "lock"), 0600);
    assert_int_equal(pf_storage_save(&w->s, "update", "x", 1, &w->err),
                     POCKETFED_OK);
    assert_int_equal(mode_of(w, "update"), 0600);
    assert_int_equal(pf_storage_object_put(&w->s, &c, digest, "m", 1, &w->err),
                     POCKETFED_OK);
    assert_int_equal(mode_of(w, "counters.json"), 0600);
    assert_int_equal(
        pf_storage_append(&w->s, "receipts.jsonl", "{}", 2, &w->err),
        POCKETFED_OK);
    assert_int_equal(mode_of(w, "receipts.jsonl"), 0600);
}

static void one_process_at_a_time(void **state)
{
    struct world *w = *state;
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        struct pf_storage other;
        struct pf_error err;

        _exit(pf_storage_open(w->dir, &other, &err) == POCKETFED_LOCKED ? 0
                                                                        : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    pf_storage_close(&w->s);
    assert_int_equal(pf_storage_open(w->dir, &w->s, &w->err), POCKETFED_OK);
}

static void a_file_comes_back_as_it_was(void **state)
{
    struct world *w = *state;
    struct pf_buf out;

    pf_buf_init(&out, 100);
    assert_int_equal(pf_storage_load(&w->s, "train", &out, NULL),
                     POCKETFED_NOT_FOUND);
    assert_int_equal(pf_storage_save(&w->s, "train", "a\0b", 3, &w->err),
                     POCKETFED_OK);
    assert_int_equal(pf_storage_load(&w->s, "train", &out, NULL), POCKETFED_OK);
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.data, "a\0b", 3);
    pf_storage_remove(&w->s, "train");
    assert_false(exists(w, "train"));
    pf_buf_free(&out);
}

static void the_membership_survives(void **state)
{
    struct world *w = *state;
    struct pf_membership m, back;

    memset(&m, 0, sizeof m);
    assert_int_equal(pf_storage_membership(&w->s, &back), POCKETFED_NOT_FOUND);
    memcpy(m.host, "::1", 4);
    m.port = 8443;
    memcpy(m.task, "mnist", 6);
    memset(m.record_key, 1, sizeof m.record_key);
    memset(m.device, 2, sizeof m.device);
    m.ordinal = UINT64_MAX;
    m.n_pins = 2;
    memset(m.pins[0], 'a', 64);
    memset(m.pins[1], 'b', 64);
    assert_int_equal(pf_storage_set_membership(&w->s, &m, &w->err),
                     POCKETFED_OK);
    assert_int_equal(pf_storage_membership(&w->s, &back), POCKETFED_OK);
    assert_memory_equal(&m, &back, sizeof m);
}

static void damaged_files_count_as_absent(void **state)
{
    struct world *w = *state;
    struct pf_membership m;
    struct pf_counters c;

    scribble(w, "server.json", "{\"host\":\"example.org\",\"po");
    scribble(w, "counters.json", "");
    assert_int_equal(pf_storage_membership(&w->s, &m), POCKETFED_NOT_FOUND);
    assert_int_equal(pf_storage_counters(&w->s, &c), POCKETFED_NOT_FOUND);
    assert_int_equal(c.participations, 0);
    pf_storage_close(&w->s);
    assert_int_equal(pf_storage_open(w->dir, &w->s, &w->err), POCKETFED_OK);
}

static void the_two_newest_models_are_kept(void **state)
{
    struct world *w = *state;
    struct pf_counters c = {0}, back;
    struct pf_buf out;
    uint8_t digest[32] = {0};
    char name[80], hex[65];
    int i;

    for (i = 0; i < 5; i++) {
        digest[0] = (uint8_t)i;
        assert_int_equal(
            pf_storage_object_put(&w->s, &c, digest, &i, sizeof i, &w->err),
            POCKETFED_OK);
    }
    pf_buf_init(&out, 100);
    for (i = 0; i < 5; i++) {
        digest[0] = (uint8_t)i;
        pf_hex(digest, 32, hex);
        snprintf(name, sizeof name, "objects/%s", hex);
        assert_int_equal(exists(w, name), i >= 3);
        pf_buf_clear(&out);
        assert_int_equal(pf_storage_object_get(&w->s, digest, &out),
                         i >= 3 ? POCKETFED_OK : POCKETFED_NOT_FOUND);
    }
    assert_string_equal(c.models[0], hex);
    assert_int_equal(pf_storage_counters(&w->s, &back), POCKETFED_OK);
    assert_memory_equal(&c, &back, sizeof c);
    /* The same again is no second one. */
    pf_storage_object_put(&w->s, &c, digest, &i, sizeof i, &w->err);
    assert_int_equal(c.n_models, 2);
    assert_string_not_equal(c.models[0], c.models[1]);
    pf_buf_free(&out);
}

static void what_a_crash_left_is_swept_at_the_next_start(void **state)
{
    struct world *w = *state;

    scribble(w, "train.123.0.tmp", "half");
    scribble(w, "objects/0000", "no counters name it");
    scribble(w, "plan", "stays");
    pf_storage_close(&w->s);
    assert_int_equal(pf_storage_open(w->dir, &w->s, &w->err), POCKETFED_OK);
    assert_false(exists(w, "train.123.0.tmp"));
    assert_false(exists(w, "objects/0000"));
    assert_true(exists(w, "plan"));
}

static void append(struct world *w, const char *line, size_t key)
{
    assert_int_equal(
        pf_storage_append(&w->s, "receipts.jsonl", line, key, &w->err),
        POCKETFED_OK);
}

static void receipts_are_appended_once(void **state)
{
    struct world *w = *state;
    struct pf_buf out;

    append(w, "one at 1", 4);
    append(w, "one at 2", 4); /* a kill came between; it is there already */
    append(w, "two at 3", 4);
    append(w, "one at 4", 4); /* only the last line counts */
    pf_buf_init(&out, 1000);
    assert_int_equal(pf_storage_load(&w->s, "receipts.jsonl", &out, NULL),
                     POCKETFED_OK);
    assert_string_equal(pf_buf_str(&out), "one at 1\ntwo at 3\none at 4\n");
    pf_buf_free(&out);
}

static void a_torn_line_is_cut_off_by_the_next(void **state)
{
    static const char *const torn[] = {"one\ntw", "one\n", "tw", ""};
    static const char *const after[] = {"one\ntwo\n", "one\ntwo\n", "two\n",
                                        "two\n"};
    struct world *w = *state;
    struct pf_buf out;

    for (size_t i = 0; i < 4; i++) {
        scribble(w, "receipts.jsonl", torn[i]);
        append(w, "two", 3);
        pf_buf_init(&out, 1000);
        pf_storage_load(&w->s, "receipts.jsonl", &out, NULL);
        assert_string_equal(pf_buf_str(&out), after[i]);
        pf_buf_free(&out);
    }
}

static void the_last_line_is_the_last_whole_one(void **state)
{
    static const char *const text[] = {"one\ntwo\n", "one\ntwo\nthr", "one\n",
                                       "\n"};
    static const char *const last[] = {"two", "two", "one", ""};
    struct world *w = *state;
    struct pf_buf out;

    pf_buf_init(&out, 1000);
    assert_int_equal(pf_storage_last(&w->s, "proofs.jsonl", &out, &w->err),
                     POCKETFED_NOT_FOUND);
    scribble(w, "proofs.jsonl", "torn from the beginning");
    assert_int_equal(pf_storage_last(&w->s, "proofs.jsonl", &out, &w->err),
                     POCKETFED_NOT_FOUND);
    for (size_t i = 0; i < 4; i++) {
        scribble(w, "proofs.jsonl", text[i]);
        pf_buf_clear(&out);
        assert_int_equal(pf_storage_last(&w->s, "proofs.jsonl", &out, &w->err),
                         0);
        assert_string_equal(pf_buf_str(&out), last[i]);
    }
    pf_buf_free(&out);
}

static void a_wiped_file_is_gone_and_was_overwritten(void **state)
{
    struct world *w = *state;
    char path[400], link_path[420], text[600];
    size_t i, n;
    FILE *f;

    memset(text, 's', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    scribble(w, "join.link", text);
    snprintf(path, sizeof path, "%s/join.link", w->dir);
    snprintf(link_path, sizeof link_path, "%s/other", w->dir);
    assert_int_equal(link(path, link_path), 0); /* keeps the bytes visible */
    pf_storage_wipe(&w->s, "join.link");
    assert_false(exists(w, "join.link"));
    f = fopen(link_path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    assert_int_equal(n, sizeof text - 1);
    for (i = 0; i < n; i++)
        assert_int_equal(text[i], 0);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    char *path = malloc(5000);
    struct pf_storage s;
    struct pf_error err;

    (void)state;
    assert_non_null(path);
    memset(path, 'a', 4999);
    path[4999] = '\0';
    assert_int_equal(pf_storage_open(path, &s, &err), POCKETFED_LIMIT);
    assert_int_equal(pf_storage_open("", &s, &err), POCKETFED_LIMIT);
    free(path);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nobody_else_can_read_anything),
        T(one_process_at_a_time),
        T(a_file_comes_back_as_it_was),
        T(the_membership_survives),
        T(damaged_files_count_as_absent),
        T(the_two_newest_models_are_kept),
        T(what_a_crash_left_is_swept_at_the_next_start),
        T(receipts_are_appended_once),
        T(a_torn_line_is_cut_off_by_the_next),
        T(the_last_line_is_the_last_whole_one),
        T(a_wiped_file_is_gone_and_was_overwritten),
        T(a_path_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
