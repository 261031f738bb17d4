/* Kills, hangs and restarts: each ends in the model that an undisturbed run
 * makes, bit for bit, or in the documented short round. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "file.h"
#include "proc.h"
#include "testdevice.h"
#include "smalltask.h"

#define DEVICES 3
#define BIG     (PF_SLOW > 1 ? 1600u : 4000u) /* of device 0: it trains longest */
#define SMALL   (PF_SLOW > 1 ? 150u : 300u)
#define FINISH  40000 /* ms */
#define LETS_GO 10300 /* ms: a checkpoint is due every 10 s */

/* The federation of most tests; the same devices, shards and seeds each time,
 * so that the same models must come out. */
static struct fleet {
    struct pf_testdaemon d;
    struct pf_testdevice v[DEVICES];
} f;

static uint8_t undisturbed[32]; /* digest of the final model */

/* Single examples make the slowest training: there is time to interfere. */
static void make_task(const char *name, unsigned devices, unsigned collect_min,
                      double collect_min_s, unsigned rounds)
{
    char text[1000];

    snprintf(text, sizeof text,
             "{\"name\":\"%s\",\"seed\":5,\"model\":\"lenet5\","
             "\"train\":{\"optimizer\":\"sgd\",\"lr\":0.005,"
             "\"epochs\":1,\"batch\":1},"
             "\"round\":{\"select\":{\"min\":%u,\"max\":%u,\"max_s\":900},"
             "\"collect\":{\"min\":%u,\"max\":%u,\"min_s\":%g,\"max_s\":900},"
             "\"poll_min_s\":0.05,\"poll_max_s\":0.1},"
             "\"stop\":{\"rounds\":%u}}",
             name, devices, devices, collect_min, devices, collect_min_s,
             rounds);
    pf_testdaemon_task(&f.d, name, text);
}

static void join(const char *task, unsigned k)
{
    char name[80], shard[128];

    snprintf(name, sizeof name, "%s-%u", task, k);
    snprintf(shard, sizeof shard, "%s", pf_in_dir(&f.d, name));
    strncat(shard, ".shard", sizeof shard - strlen(shard) - 1);
    pf_make_images(shard, "train", k == 0 ? BIG : SMALL, 100 + k);
    pf_testdevice_join(&f.v[k], &f.d, task, name, k, shard);
}

/* A new daemon, a task, all devices joined; nobody trains yet. */
static void fleet_start(unsigned collect_min, double collect_min_s)
{
    unsigned k;

    pf_testdaemon_init(&f.d);
    pf_isolate(f.d.dir);
    pf_testdaemon_start(&f.d);
    make_task("t", DEVICES, collect_min, collect_min_s, 2);
    for (k = 0; k < DEVICES; k++)
        join("t", k);
}

static int fleet_end(void **state)
{
    (void)state;
    pf_kill_all();
    f.d.pid = 0;
    pf_testdaemon_end(&f.d);
    memset(&f, 0, sizeof f);
    return 0;
}

/* Trains until it has work of `round`, and hangs there. */
static void hang_when_assigned(struct pf_testdevice *v, unsigned round)
{
    char line[64];

    snprintf(line, sizeof line, "\"assigned\",\"round\":\"%u\"", round);
    pf_testdevice_train(v);
    pf_await_text(v->log, line, 20000);
    pf_signal(v->pid, SIGSTOP);
}

/* Waits until round 1 has that many assignments and accepted updates. */
static void await_round_1(uint64_t assigned, uint64_t accepted)
{
    int64_t end = pf_now_ms() + (int64_t)FINISH * PF_SLOW;
    struct pf_round_status r;

    do {
        pf_nap(10);
        pf_round_now(&f.d, "t", 1, &r);
    } while ((r.assigned < assigned || r.accepted < accepted) &&
             pf_now_ms() < end);
    assert_int_equal(r.assigned, assigned);
    assert_int_equal(r.accepted, accepted);
}

/* The task ends by itself, and so do its devices. */
static void fleet_finishes(const char *task, struct pf_task_status *t)
{
    unsigned k;

    pf_await_finish(&f.d, task, FINISH, t);
    assert_string_equal(t->reason, "rounds");
    for (k = 0; k < DEVICES; k++)
        if (f.v[k].pid)
            assert_int_equal(pf_testdevice_wait(&f.v[k], 20000, NULL), 0);
}

/* Lines of a device's receipts: one for each acknowledged update. */
static unsigned receipts(const struct pf_testdevice *v)
{
    struct pf_buf b = {0};
    char path[160];
    unsigned n = 0;
    size_t i;

    snprintf(path, sizeof path, "%s/receipts.jsonl", v->dir);
    pf_slurp(path, &b);
    for (i = 0; i < b.len; i++)
        n += b.data[i] == '\n';
    pf_buf_free(&b);
    return n;
}

static void an_undisturbed_run_gives_the_reference(void **state)
{
    struct pf_task_status t;
    unsigned k;

    (void)state;
    fleet_start(DEVICES, 0);
    for (k = 0; k < DEVICES; k++)
        pf_testdevice_train(&f.v[k]);
    fleet_finishes("t", &t);
    assert_int_equal(t.published, 2);
    memcpy(undisturbed, t.model, sizeof undisturbed);
    for (k = 0; k < DEVICES; k++)
        assert_int_equal(receipts(&f.v[k]), 2);
    pf_testdaemon_stop(&f.d);
}

/* Marks a checkpoint where only a report shows it: adds to the epoch's sum of
 * losses (offset 144, see participation_update.c; the file ends with the
 * SHA-256 of what is before). */
static void mark_checkpoint(const char *path)
{
    struct pf_buf b = {0};
    double sum;

    pf_slurp(path, &b);
    assert_in_range(b.len, 200, 10u << 20);
    sum = pf_getd(b.data + 144);
    pf_putd(b.data + 144, sum + 1e9);
    pf_sha256(b.data, b.len - 32, b.data + b.len - 32);
    assert_int_equal(pf_file_replace(path, b.data, b.len, 0600, NULL),
                     POCKETFED_OK);
    pf_buf_free(&b);
}

/* It is stopped until a checkpoint is overdue, let go, and killed as soon as
 * it has written it. */
static void a_killed_client_goes_on_from_its_checkpoint(void **state)
{
    struct pf_round_status r;
    struct pf_task_status t;
    char path[160];
    double cpu_s;

    (void)state;
    fleet_start(DEVICES, 0);
    pf_testdevice_train(&f.v[1]);
    pf_testdevice_train(&f.v[2]);
    pf_testdevice_train(&f.v[0]);
    pf_await_text(f.v[0].log, "\"assigned\",\"round\":\"1\"", 20000);
    cpu_s = pf_cpu_s(f.v[0].pid) + 0.15;
    while (pf_cpu_s(f.v[0].pid) < cpu_s && pf_alive(f.v[0].pid))
        pf_nap(2); /* now it trains */
    pf_signal(f.v[0].pid, SIGSTOP);
    pf_nap(LETS_GO);
    pf_signal(f.v[0].pid, SIGCONT);
    snprintf(path, sizeof path, "%s/train", f.v[0].dir);
    pf_await_file(path, 5000);
    pf_end(f.v[0].pid);
    f.v[0].pid = 0;
    assert_false(pf_file_says(f.v[0].log, "\"trained\""));
    mark_checkpoint(path);
    pf_round_now(&f.d, "t", 1, &r);
    assert_true(r.accepted < DEVICES); /* round 1 waits for it */

    pf_testdevice_train(&f.v[0]);
    fleet_finishes("t", &t);
    pf_round_now(&f.d, "t", 1, &r);
    assert_int_equal(r.accepted, DEVICES);
    assert_int_equal(r.failed, 0);
    assert_true(r.train_loss > 1000); /* the mark came through */
    assert_memory_equal(t.model, undisturbed, 32);
    assert_int_equal(receipts(&f.v[0]), 2);
    pf_testdaemon_stop(&f.d);
}

static void a_killed_daemon_goes_on_with_the_round(void **state)
{
    struct pf_round_status r;
    struct pf_task_status t;
    char listen[64];
    unsigned k;

    (void)state;
    fleet_start(DEVICES, 0);
    snprintf(listen, sizeof listen, "%s", f.d.listen);
    pf_testdevice_train(&f.v[1]);
    pf_testdevice_train(&f.v[2]);
    hang_when_assigned(&f.v[0], 1);
    await_round_1(DEVICES, 2);
    pf_testdaemon_crash(&f.d); /* two are in, one is out */
    pf_nap(300);
    pf_testdaemon_start(&f.d);
    assert_string_equal(f.d.listen, listen);
    pf_round_now(&f.d, "t", 1, &r);
    assert_int_equal(r.accepted, 2); /* what was acknowledged */
    assert_int_equal(r.assigned, DEVICES);
    assert_int_equal(r.weight, 2 * SMALL);
    pf_testdaemon_crash(&f.d);
    pf_testdaemon_start(&f.d);
    pf_testdaemon_stop(&f.d); /* and once in good order */
    pf_testdaemon_start(&f.d);
    pf_signal(f.v[0].pid, SIGCONT);
    await_round_1(DEVICES, DEVICES);
    pf_testdaemon_crash(&f.d); /* about when the model is published */
    pf_testdaemon_start(&f.d);

    fleet_finishes("t", &t); /* the same processes as at the beginning */
    assert_int_equal(t.published, 2);
    assert_memory_equal(t.model, undisturbed, 32);
    for (k = 0; k < DEVICES; k++)
        assert_int_equal(receipts(&f.v[k]), 2);
    for (k = 1; k <= 2; k++) {
        pf_round_now(&f.d, "t", k, &r);
        assert_string_equal(r.phase, "published");
        assert_int_equal(r.accepted, DEVICES);
        assert_int_equal(r.weight, BIG + 2 * SMALL);
    }
    pf_testdaemon_stop(&f.d);
}

static void a_round_closes_by_time_without_the_straggler(void **state)
{
    struct pf_round_status r, second;
    struct pf_task_status t;
    int64_t end;

    (void)state;
    fleet_start(2, 1.5);
    pf_testdevice_train(&f.v[1]);
    pf_testdevice_train(&f.v[2]);
    hang_when_assigned(&f.v[0], 1);
    end = pf_now_ms() + (int64_t)FINISH * PF_SLOW;
    do {
        pf_nap(20);
        pf_task_now(&f.d, "t", &t);
    } while (t.published == 0 && pf_now_ms() < end);
    assert_int_equal(t.published, 1);
    pf_round_now(&f.d, "t", 1, &r);
    assert_string_equal(r.phase, "published");
    assert_int_equal(r.assigned, 3);
    assert_int_equal(r.accepted, 2);
    assert_int_equal(r.weight, 2 * SMALL);
    assert_true(r.elapsed_ms >= 1500);

    pf_signal(f.v[0].pid, SIGCONT); /* too late; it hears so and goes on */
    fleet_finishes("t", &t);
    pf_round_now(&f.d, "t", 1, &r);
    pf_round_now(&f.d, "t", 2, &second);
    assert_int_equal(r.accepted, 2);
    assert_true(second.assigned == 3);
    assert_in_range(second.accepted, 2, 3);
    /* Who is slow may be late for the second round, too. */
    assert_in_range(r.late + second.late, 1, 4 - second.accepted);
    assert_true(pf_file_says(f.v[0].log, "\"dropped\""));
    pf_testdaemon_stop(&f.d);
}

static void two_tasks_run_side_by_side(void **state)
{
    static const char *const task[] = {"left", "right"};
    struct pf_task_status t[2];
    struct pf_run r = {0};
    char want[32];
    unsigned k;

    (void)state;
    pf_testdaemon_init(&f.d);
    pf_isolate(f.d.dir);
    pf_testdaemon_start(&f.d);
    for (k = 0; k < 2; k++) {
        make_task(task[k], 1, 1, 0, 2);
        join(task[k], k); /* its number in the task is k */
        pf_testdevice_train(&f.v[k]);
    }
    for (k = 0; k < 2; k++)
        pf_await_finish(&f.d, task[k], FINISH, &t[k]);
    for (k = 0; k < 2; k++) {
        assert_int_equal(pf_testdevice_wait(&f.v[k], 20000, NULL), 0);
        assert_int_equal(t[k].published, 2);
        assert_int_equal(t[k].devices, 1);
        PF_CLI(&r, "task", "model", task[k], pf_in_dir(&f.d, task[k]),
               "--socket", f.d.socket);
        assert_int_equal(r.code, 0);
        PF_CLI(&r, "model", "info", pf_in_dir(&f.d, task[k]), "--json");
        assert_int_equal(r.code, 0);
        snprintf(want, sizeof want, "\"task\":\"%s\"", task[k]);
        assert_non_null(strstr(pf_buf_str(&r.out), want));
    }
    assert_memory_not_equal(t[0].model, t[1].model, 32);
    pf_run_free(&r);
    pf_testdaemon_stop(&f.d);
}

static void set_task(const char *verb)
{
    struct pf_run r = {0};

    PF_CLI(&r, "task", verb, "t", "--socket", f.d.socket);
    assert_int_equal(r.code, 0);
    pf_run_free(&r);
}

static void a_paused_task_ends_its_round_and_opens_no_other(void **state)
{
    int64_t end;
    struct pf_task_status t;

    (void)state;
    fleet_start(DEVICES, 0);
    pf_testdevice_train(&f.v[1]);
    pf_testdevice_train(&f.v[2]);
    hang_when_assigned(&f.v[0], 1);
    await_round_1(DEVICES, 2);
    set_task("pause");
    set_task("pause"); /* already so */
    pf_task_now(&f.d, "t", &t);
    assert_int_equal(t.state, PF_TASK_PAUSED);
    assert_int_equal(t.published, 0);
    pf_signal(f.v[0].pid, SIGCONT);
    end = pf_now_ms() + (int64_t)FINISH * PF_SLOW;
    do {
        pf_nap(20);
        pf_task_now(&f.d, "t", &t);
    } while (t.published == 0 && pf_now_ms() < end);
    pf_nap(700);
    pf_testdaemon_crash(&f.d); /* it stays paused */
    pf_testdaemon_start(&f.d);
    pf_nap(300);
    pf_task_now(&f.d, "t", &t);
    assert_int_equal(t.state, PF_TASK_PAUSED);
    assert_string_equal(t.phase, "idle");
    assert_int_equal(t.published, 1);
    assert_int_equal(t.round, 1);
    set_task("resume");
    fleet_finishes("t", &t);
    assert_memory_equal(t.model, undisturbed, 32);
    pf_testdaemon_stop(&f.d);
}

/* SIGTERM comes when half of an update is there. */
static void sigterm_lets_a_running_upload_end(void **state)
{
    static struct world w;
    struct pf_raw_reply r = {0};
    struct pf_round_status round;
    struct pf_crafted c = {0};
    struct pf_buf frame = {0}, head;
    struct pf_raw raw;
    size_t half;

    (void)state;
    world_start(&w);
    world_frame(&w, &w.a, &frame);
    world_put(&w, &w.a, 1, &frame, NULL, &c);
    pf_buf_init(&head, 1u << 16);
    pf_crafted_head(&c, &head);
    pf_raw_open(&raw, w.server.peer.port, w.server.link.pins[0]);
    assert_int_equal(pf_raw_send(&raw, head.data, head.len), head.len);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 100);
    half = frame.len / 2;
    assert_int_equal(pf_raw_send(&raw, frame.data, half), half);

    pf_signal(w.d.pid, SIGTERM);
    pf_await_text(w.d.log, "stopping", 5000);
    pf_nap(200);
    assert_true(pf_alive(w.d.pid)); /* it waits for the rest */
    assert_int_equal(pf_raw_send(&raw, frame.data + half, frame.len - half),
                     frame.len - half);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 201);
    pf_raw_close(&raw);
    assert_int_equal(pf_wait(w.d.pid, 8000, NULL), 0);
    w.d.pid = 0;

    pf_testdaemon_start(&w.d); /* what it said still holds */
    pf_round_now(&w.d, "m", 1, &round);
    assert_int_equal(round.accepted, 1);
    pf_testdaemon_stop(&w.d);
    pf_buf_free(&head);
    pf_buf_free(&frame);
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
    world_end(&w);
}

#define TEST(name) cmocka_unit_test_teardown(name, fleet_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_undisturbed_run_gives_the_reference),
        TEST(a_killed_client_goes_on_from_its_checkpoint),
        TEST(a_killed_daemon_goes_on_with_the_round),
        TEST(a_round_closes_by_time_without_the_straggler),
        TEST(two_tasks_run_side_by_side),
        TEST(a_paused_task_ends_its_round_and_opens_no_other),
        TEST(sigterm_lets_a_running_upload_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
