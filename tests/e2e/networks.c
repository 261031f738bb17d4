/* A federation over bad links: devices with a 1.7 MB model and as large an
 * update, each behind a proxy of its own (check/faultproxy.h), finish a round.
 *
 *   e2e_networks          every kind of link, scaled to take seconds
 *   e2e_networks long     as bad as they are meant, more devices; minutes
 *
 * What is counted: all that a device sends up its link from joining to its
 * acknowledgement, TLS, headers, check-ins and all, over the bytes of its
 * update. What is over 1 is an upper bound of what was sent again: it must be
 * under 0.2 for half of the devices and under 0.5 for all.  The daemon's own
 * count of the bytes of update bodies tells how much of that arrived twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faultproxy.h"
#include "proc.h"
#include "testdevice.h"

#define MOST_DEVICES 8
#define EXAMPLES     20
#define ROUND_MS     300000
/* Between two drops of a link, in ms: time enough to connect and ask, also on a
 * busy machine; in it a third of an update crosses the link. */
#define PERIOD    (is_long || PF_SLOW > 1 ? 2000u : 1000u)
#define IN_PERIOD 500000u

/* 784 x 541 + 541 = 424,685 parameters. */
#define TASK                                                                   \
    "{\"name\":\"%s\",\"seed\":1,\"model\":{\"version\":1,\"input\":[1,28,28]" \
    ","                                                                        \
    "\"layers\":[{\"name\":\"flatten\",\"type\":\"flatten\"},"                 \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":541}],"                     \
    "\"loss\":\"softmax_cross_entropy\"},"                                     \
    "\"train\":{\"epochs\":1,\"batch\":20},"                                   \
    "\"round\":{\"select\":{\"min\":%u,\"max\":%u,\"max_s\":900},"             \
    "\"collect\":{\"min\":%u,\"max\":%u,\"max_s\":900},"                       \
    "\"poll_min_s\":1,\"poll_max_s\":2},\"stop\":{\"rounds\":1}}"
#define LEAST_FRAME 1698740u /* its floats alone */

static int is_long;

static struct pf_testdaemon d;
static uint64_t frame; /* bytes of one update, from the undisturbed round */

/* A device and its link. */
struct far {
    struct pf_testdevice v;
    struct pf_faultproxy *link;
    uint64_t up, down;
    size_t connections;
};

static struct far far[MOST_DEVICES];
static unsigned devices;

static uint64_t metric(const char *name)
{
    struct pf_buf b = {0};
    const char *at;
    uint64_t v = 0;

    assert_int_equal(pf_testdaemon_ops(&d, "/metrics", &b), 200);
    at = strstr(pf_buf_str(&b), name);
    while (at && (at == pf_buf_str(&b) || at[-1] != '\n'))
        at = strstr(at + 1, name);
    assert_non_null(at);
    v = strtoull(at + strlen(name), NULL, 10);
    pf_buf_free(&b);
    return v;
}

/* Joins by a link that leads through the proxy. */
static void join(struct far *f, const char *task, unsigned k)
{
    char link[512], direct[16], name[80];
    struct pf_run r = {0};
    struct pf_buf text;
    char *at;

    pf_test_link(&d, task, (int)k, link);
    snprintf(direct, sizeof direct, ":%u/", d.port);
    at = strstr(link, direct);
    assert_non_null(at);
    pf_buf_init(&text, 1024);
    pf_buf_add(&text, link, (size_t)(at - link));
    pf_buf_addf(&text, ":%u/%s", pf_faultproxy_port(f->link),
                at + strlen(direct));
    snprintf(name, sizeof name, "%s-%u", task, k);
    snprintf(f->v.dir, sizeof f->v.dir, "%s", pf_in_dir(&d, name));
    snprintf(f->v.log, sizeof f->v.log, "%.120s.log", pf_in_dir(&d, name));
    pf_run(&r, pf_buf_str(&text),
           (const char *const[]){PF_POCKETFED, "join", "-", "--dir", f->v.dir,
                                 NULL});
    if (r.code != 0)
        print_error("%s\n", pf_buf_str(&r.err));
    assert_int_equal(r.code, 0);
    pf_run_free(&r);
    pf_buf_free(&text);
}

static void begin(const char *task, const struct pf_faults *faults)
{
    char text[1000];
    unsigned k;

    snprintf(text, sizeof text, TASK, task, devices, devices, devices, devices);
    pf_testdaemon_task(&d, task, text);
    memset(far, 0, sizeof far);
    for (k = 0; k < devices; k++) {
        far[k].link = pf_faultproxy_start(d.port, faults);
        assert_non_null(far[k].link);
        join(&far[k], task, k);
    }
    for (k = 0; k < devices; k++)
        far[k].v.pid =
            pf_spawn((const char *const[]){PF_POCKETFED, "train", "--json",
                                           "--data", pf_in_dir(&d, "shard"),
                                           "--dir", far[k].v.dir, NULL},
                     far[k].v.log);
}

/* Every device ends by itself, with its update accepted. */
static void finish(const char *task)
{
    struct pf_task_status t;
    struct pf_round_status r;
    const struct pf_carried *c;
    size_t i;
    unsigned k;

    for (k = 0; k < devices; k++) {
        assert_int_equal(pf_testdevice_wait(&far[k].v, ROUND_MS, NULL), 0);
        assert_true(pf_file_says(far[k].v.log, "\"accepted\":\"1\""));
        pf_faultproxy_stop(far[k].link);
        c = pf_faultproxy_carried(far[k].link, &far[k].connections);
        for (i = 0; i < far[k].connections; i++) {
            far[k].up += c[i].up;
            far[k].down += c[i].down;
        }
    }
    pf_await_finish(&d, task, 20000, &t);
    assert_int_equal(t.published, 1);
    pf_round_now(&d, task, 1, &r);
    assert_int_equal(r.accepted, devices);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Beyond the update, as a part of it. */
static void check_shares(const char *task, uint64_t arrived, int64_t began)
{
    double share[MOST_DEVICES], down = 0, lines = 0;
    unsigned k;

    for (k = 0; k < devices; k++) {
        assert_true(far[k].up > frame);
        share[k] = (double)(far[k].up - frame) / (double)frame;
        down += (double)far[k].down / (double)devices;
        lines += (double)far[k].connections / (double)devices;
    }
    qsort(share, devices, sizeof *share, by_size);
    print_message("%-8s %u devices, %.0f connections each, %.1f s: beyond the "
                  "update %.1f %% at the median, %.1f %% at worst; %.1f %% "
                  "arrived twice; %.2f MB down each\n",
                  task, devices, lines, (double)(pf_now_ms() - began) / 1e3,
                  100 * share[devices / 2], 100 * share[devices - 1],
                  100 * ((double)arrived / (double)(frame * devices) - 1),
                  down / 1e6);
    assert_true(share[devices / 2] < 0.2);
    assert_true(share[devices - 1] < 0.5);
}

/* Each device makes at least so many connections. */
static void scene(const char *task, const struct pf_faults *faults,
                  size_t connections)
{
    uint64_t before = metric("pocketfed_upload_bytes_total "), arrived;
    uint64_t resumed = metric("pocketfed_uploads_resumed_total ");
    int64_t began = pf_now_ms();
    unsigned k;

    begin(task, faults);
    finish(task);
    arrived = metric("pocketfed_upload_bytes_total ") - before;
    if (!frame) {
        assert_int_equal(arrived % devices, 0);
        frame = arrived / devices;
        assert_in_range(frame, LEAST_FRAME, LEAST_FRAME + 1024);
    }
    check_shares(task, arrived, began);
    assert_true(arrived >= frame * devices);
    for (k = 0; k < devices; k++)
        assert_in_range(far[k].connections, connections, SIZE_MAX);
    if (connections > 4) /* downloads and uploads were torn */
        assert_true(metric("pocketfed_uploads_resumed_total ") - resumed >=
                    devices);
}

static void a_good_link_is_the_measure(void **state)
{
    struct pf_faults none = {0};

    (void)state;
    scene("good", &none, 1);
}

static void a_link_with_latency(void **state)
{
    struct pf_faults f = {.latency_ms = is_long ? 300 : 150};

    (void)state;
    scene("latency", &f, 1);
}

static void a_narrow_link(void **state)
{
    struct pf_faults f = {.bytes_per_s = is_long ? 125000 : 1000000};

    (void)state;
    scene("narrow", &f, 1);
}

static void a_link_that_drops(void **state)
{
    struct pf_faults f = {.bytes_per_s = IN_PERIOD * 1000 / PERIOD,
                          .drop_every_ms = PERIOD};

    (void)state;
    scene("drops", &f, 6);
}

static void
an_address_that_changes_and_a_server_that_does_not_notice(void **state)
{
    struct pf_faults f = {.bytes_per_s = IN_PERIOD * 1000 / PERIOD,
                          .drop_every_ms = PERIOD,
                          .end = PF_END_SILENT,
                          .move = 1};

    (void)state;
    scene("moves", &f, 6);
}

static void a_proxy_that_cuts_at_64_kilobytes(void **state)
{
    struct pf_faults f = {.cut_after = 65536, .end = PF_END_CLOSE};

    (void)state;
    scene("cuts", &f, 50);
}

static void a_link_that_stalls(void **state)
{
    struct pf_faults f = {.stall_after = 1000000, .stalls = 2};

    (void)state;
    if (!is_long)
        skip(); /* it takes half a minute to be sure that one is dead */
    scene("stalls", &f, 3);
}

static int set_up(void **state)
{
    (void)state;
    devices = is_long ? MOST_DEVICES : 3;
    pf_testdaemon_init(&d);
    pf_isolate(d.dir);
    pf_testdaemon_start(&d);
    pf_make_images(pf_in_dir(&d, "shard"), "train", EXAMPLES, 1);
    return 0;
}

static int close_links(void **state)
{
    unsigned k;

    (void)state;
    for (k = 0; k < devices; k++) {
        if (far[k].v.pid)
            pf_end(far[k].v.pid);
        pf_faultproxy_free(far[k].link);
    }
    memset(far, 0, sizeof far);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_kill_all();
    d.pid = 0;
    pf_testdaemon_end(&d);
    return 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, close_links)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_link_is_the_measure),
        TEST(a_link_with_latency),
        TEST(a_narrow_link),
        TEST(a_link_that_drops),
        TEST(an_address_that_changes_and_a_server_that_does_not_notice),
        TEST(a_proxy_that_cuts_at_64_kilobytes),
        TEST(a_link_that_stalls),
    };

    is_long = argc == 2 && strcmp(argv[1], "long") == 0;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
