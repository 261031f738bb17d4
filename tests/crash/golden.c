/* golden.c - the state directory of each release, which the next one opens: two
 * published rounds and a third that was open, with one acknowledged update in
 * it, when the daemon was killed.
 *
 *   crash_golden                    opens tests/golden/state-*
 *   crash_golden every              and cuts at every call, not every third
 *   crash_golden make PROGRAM DIR   makes such a directory with that release
 *
 * DIR/state is the state directory without keys (no private key is committed;
 * the test puts new ones there) and without what only a running daemon has.
 * DIR/frames are the updates that were acknowledged, each behind its length, so
 * that today's code computes yesterday's models once more.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "file.h"
#include "member.h"
#include "operator.h"
#include "proc.h"
#include "shadow.h"
#include "table.h"
#include "verify.h"
#include "victim.h"

#define TASK                                                                   \
    "{\"name\":\"golden\",\"seed\":3,\"model\":{\"version\":1,"                \
    "\"input\":[1,4,4],\"loss\":\"softmax_cross_entropy\",\"layers\":["        \
    "{\"name\":\"flatten\",\"type\":\"flatten\"},"                             \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]},"                      \
    "\"round\":{\"select\":{\"min\":2,\"max\":3,\"max_s\":900},"               \
    "\"collect\":{\"min\":2,\"max\":2,\"max_s\":900},"                         \
    "\"poll_min_s\":0.01,\"poll_max_s\":0.02}}"
#define WAIT_MS  (20000 * PF_SLOW)
#define LOG_ROOM (64u << 20)

static struct victim v;
static struct book book;
static struct member device[2];
static atomic_int stop, paused;
static unsigned stride = 3; /* of the calls at which a migration is cut */

static void join(struct member *m, uint64_t seed, unsigned most)
{
    char link[512];

    assert_true(operator_token(v.d.socket, "golden", link));
    assert_true(member_make(m, &book, link, seed));
    assert_int_equal(member_enrol(m), 1);
    m->most = most;
    member_start(m, &stop, &paused);
}

/* Its thread has ended by itself, with all that it wanted. */
static void await_end(struct member *m)
{
    int64_t end = pf_now_ms() + WAIT_MS;

    while (book_n_acks(&book) == 0 && pf_now_ms() < end)
        pf_nap(5);
    member_join(m);
    assert_int_equal(m->n_acks, m->most);
    assert_string_equal(book.wrong, "");
}

/* ---- files ------------------------------------------------------------- */

static int is_left_out(const char *name)
{
    static const char *const names[] = {".",    "..",       "keys",
                                        "lock", "run.json", "pocketfed.db-shm"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static void copy_tree(const char *from, const char *to)
{
    char a[400], b[400];
    struct stat info;
    struct pf_buf bytes = {0};
    struct dirent *e;
    DIR *dir = opendir(from);

    assert_non_null(dir);
    assert_int_equal(pf_dir_make(to, 0700, NULL), POCKETFED_OK);
    while ((e = readdir(dir)) != NULL) {
        if (is_left_out(e->d_name))
            continue;
        snprintf(a, sizeof a, "%s/%s", from, e->d_name);
        snprintf(b, sizeof b, "%s/%s", to, e->d_name);
        assert_int_equal(stat(a, &info), 0);
        if (S_ISDIR(info.st_mode)) {
            copy_tree(a, b);
            continue;
        }
        pf_slurp(a, &bytes);
        assert_int_equal(pf_file_replace(b, bytes.data, bytes.len, 0600, NULL),
                         POCKETFED_OK);
    }
    closedir(dir);
    pf_buf_free(&bytes);
}

static void write_frames(const char *path)
{
    struct pf_buf b;
    uint8_t len[4];
    size_t i;

    pf_buf_init(&b, 1u << 20);
    for (i = 0; i < book.n_frames; i++) {
        pf_put32(len, (uint32_t)book.frames[i].len);
        pf_buf_add(&b, len, 4);
        pf_buf_add(&b, book.frames[i].bytes, book.frames[i].len);
    }
    assert_int_equal(pf_file_replace(path, b.data, b.len, 0644, NULL),
                     POCKETFED_OK);
    pf_buf_free(&b);
}

static void read_frames(const char *path)
{
    struct pf_buf b = {0};
    uint8_t digest[32];
    size_t at = 0, len;

    pf_slurp(path, &b);
    while (at < b.len) {
        len = pf_get32(b.data + at);
        at += 4;
        assert_in_range(len, 1, b.len - at);
        pf_sha256(b.data + at, len, digest);
        book_frame(&book, digest, b.data + at, len);
        at += len;
    }
    pf_buf_free(&b);
}

/* ---- making one -------------------------------------------------------- */

/* Both devices take part twice, then the first once more: the write-ahead log
 * has begun anew by then, over what was moved into the database. */
static void make(const char *program, const char *dir)
{
    char path[400];

    victim_init(&v, 0);
    v.d.program = program;
    book_init(&book);
    victim_start(&v);
    assert_true(operator_task(v.d.socket, TASK));
    join(&device[0], 1, 2);
    join(&device[1], 2, 2);
    await_end(&device[1]);
    await_end(&device[0]);
    pf_nap(1000); /* idle: into the database with it */
    device[0].most = 3;
    member_start(&device[0], &stop, &paused);
    await_end(&device[0]);
    victim_kill(&v);
    snprintf(path, sizeof path, "%s/state", dir);
    copy_tree(v.d.state, path);
    snprintf(path, sizeof path, "%s/frames", dir);
    write_frames(path);
    victim_end(&v);
}

/* ---- opening one ------------------------------------------------------- */

/* A new record key. The daemon makes the rest, and signs the plan anew. */
static void put_keys(void)
{
    struct pf_key *key = NULL;
    char path[400];

    snprintf(path, sizeof path, "%s/keys", v.d.state);
    assert_int_equal(pf_dir_make(path, 0700, NULL), POCKETFED_OK);
    snprintf(path, sizeof path, "%s/keys/record.key", v.d.state);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
    assert_int_equal(pf_key_save(key, path, NULL), POCKETFED_OK);
    pf_key_free(key);
}

static void check(struct verified *seen)
{
    char why[600];

    if (!verify_state(v.d.state, &book, seen, why, sizeof why))
        fail_msg("%s", why);
}

static void await_round_4(struct pf_task_status *t)
{
    int64_t end = pf_now_ms() + WAIT_MS;

    do {
        pf_nap(5);
        pf_task_now(&v.d, "golden", t);
    } while (t->round < 4 && pf_now_ms() < end);
    assert_int_equal(t->round, 4);
}

static void prepare(const char *name, uint64_t log_room)
{
    char dir[300], path[400];

    snprintf(dir, sizeof dir, PF_TEST_DIR "/golden/%.60s", name);
    victim_init(&v, log_room);
    book_init(&book);
    snprintf(path, sizeof path, "%s/state", dir);
    copy_tree(path, v.d.state);
    snprintf(path, sizeof path, "%s/frames", dir);
    read_frames(path);
    put_keys();
}

static void open_one(const char *name)
{
    struct pf_task_status t;
    struct verified seen;

    print_message("%s\n", name);
    prepare(name, 0);
    victim_start(&v);
    pf_task_now(&v.d, "golden", &t);
    assert_int_equal(t.published, 2);
    assert_int_equal(t.round, 3);
    assert_int_equal(t.accepted, 1); /* it is still counted */
    assert_int_equal(t.devices, 2);
    join(&device[0], 7, 1);
    await_end(&device[0]);
    await_round_4(&t);
    assert_int_equal(t.published, 3);
    victim_kill(&v);
    check(&seen); /* all three models, of all five old updates and the new */
    assert_int_equal(seen.accepted, 6);
    assert_int_equal(seen.published, 3);
    assert_memory_equal(seen.model, t.model, 32);

    victim_start(&v); /* and once more, now that it is today's */
    pf_task_now(&v.d, "golden", &t);
    assert_int_equal(t.round, 4);
    pf_testdaemon_stop(&v.d);
    member_free(&device[0]);
    book_free(&book);
    victim_end(&v);
}

static void each_release(void (*visit)(const char *name))
{
    struct dirent *e;
    DIR *golden = opendir(PF_TEST_DIR "/golden");
    unsigned n = 0;

    assert_non_null(golden);
    while ((e = readdir(golden)) != NULL) {
        if (strncmp(e->d_name, "state-", 6) != 0)
            continue;
        visit(e->d_name);
        n++;
    }
    closedir(golden);
    assert_true(n > 0);
}

static void goes_on_with_the_state_of_every_release(void **state)
{
    (void)state;
    each_release(open_one);
}

/* ---- cut off while it becomes today's ---------------------------------- */

/* The power is cut at the nth system call inside a point; 0: it did not come
 * so far. Then it must start, with all that was there. */
static int cut_at(const char *name, unsigned point, unsigned nth)
{
    struct pf_rng rng = pf_rng_make(point, nth, 0, PF_RNG_TEST);
    struct pf_task_status t;
    struct verified seen;
    struct shadow *disk;
    uint64_t draws = 0;
    int code, came;

    prepare(name, LOG_ROOM);
    disk = shadow_new(v.disk);
    victim_arm(&v, CRASH_AT, point, nth);
    victim_spawn(&v);
    while ((code = victim_wait(&v, 5)) < 0 && !pf_testdaemon_serves(&v.d))
        ;
    came = code == 128 + SIGKILL && atomic_load(&v.c->fired);
    if (came) {
        assert_true(shadow_replay(disk, v.c));
        shadow_lose(disk, &rng, &draws, nth % 5);
        victim_reset(&v);
        victim_start(&v);
        pf_task_now(&v.d, "golden", &t);
        assert_int_equal(t.published, 2);
        assert_int_equal(t.accepted, 1);
        victim_kill(&v);
        check(&seen);
        assert_int_equal(seen.accepted, 5);
    } else if (code >= 0) {
        victim_show(&v);
        fail_msg("it ended with %d", code);
    }
    shadow_free(disk);
    book_free(&book);
    pf_kill_all();
    v.d.pid = 0;
    victim_end(&v);
    return came;
}

static void cut_everywhere(const char *name)
{
    static const unsigned points[] = {POINT_pf_store_open, POINT_pf_file_sync,
                                      POINT_pf_store_plan_sign};
    unsigned nth, i, n = 0;

    for (i = 0; i < sizeof points / sizeof points[0]; i++)
        for (nth = 1; cut_at(name, points[i], nth); nth += stride)
            n++;
    print_message("%s: cut at %u calls\n", name, n);
    assert_true(n > 10);
}

static void a_migration_may_be_cut_off_anywhere(void **state)
{
    (void)state;
    each_release(cut_everywhere);
}

static int tear_down(void **state)
{
    (void)state;
    pf_kill_all();
    v.d.pid = 0;
    if (v.c)
        victim_end(&v);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(goes_on_with_the_state_of_every_release,
                                  tear_down),
        cmocka_unit_test_teardown(a_migration_may_be_cut_off_anywhere,
                                  tear_down),
    };

    if (argc == 4 && strcmp(argv[1], "make") == 0) {
        make(argv[2], argv[3]);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "every") == 0)
        stride = 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
