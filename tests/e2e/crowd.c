/* A crowd that fills every connection, and honest devices that finish their
 * rounds all the same.
 *
 *   e2e_crowd            200 idle, 20 dripping, 10 honest; 150 connections
 *   e2e_crowd --full     2000 idle, 200 dripping, 50 honest; the usual limits
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crowd.h"
#include "proc.h"
#include "testdevice.h"

#define ROUNDS     2
#define MAX_HONEST 50

static struct shape {
    unsigned idle, dripping, honest;
    unsigned connections; /* that the daemon takes */
    const char *ini;
} const shapes[] = {
    {200, 20, 10, 150,
     "[client]\nmax_connections = 150\n"
     "[limits]\nhead_s = 2\nmin_rate_s = 2\n"},
    {2000, 200, 50, 2000, ""},
};
static const struct shape *s = &shapes[0];

static struct pf_testdaemon d;
static struct pf_testdevice v[MAX_HONEST];

static int setup(void **state)
{
    char text[600];
    FILE *f;

    (void)state;
    pf_testdaemon_init(&d);
    pf_isolate(d.dir);
    f = fopen(pf_in_dir(&d, "daemon.ini"), "w");
    assert_non_null(f);
    assert_true(fputs(s->ini, f) >= 0);
    assert_int_equal(fclose(f), 0);
    setenv("POCKETFED_CONFIG", pf_in_dir(&d, "daemon.ini"), 1);
    pf_testdaemon_start(&d);
    snprintf(text, sizeof text,
             "{\"name\":\"m\",\"seed\":1,\"model\":\"logreg\","
             "\"round\":{\"select\":{\"min\":%u,\"max\":%u,\"max_s\":900},"
             "\"collect\":{\"min\":%u,\"max\":%u,\"max_s\":900},"
             "\"poll_min_s\":0.2,\"poll_max_s\":0.5},\"stop\":{\"rounds\":%d}}",
             s->honest, s->honest, s->honest, s->honest, ROUNDS);
    pf_testdaemon_task(&d, "m", text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pf_kill_all();
    d.pid = 0;
    pf_testdaemon_end(&d);
    return 0;
}

/* The number behind that name in /metrics. */
static unsigned long metric(const char *name)
{
    struct pf_buf page = {0};
    char line[120];
    const char *at;
    unsigned long n;

    snprintf(line, sizeof line, "\npocketfed_%s ", name);
    assert_int_equal(pf_testdaemon_ops(&d, "/metrics", &page), 200);
    at = strstr(pf_buf_str(&page), line);
    if (!at)
        fail_msg("/metrics lacks %s", name);
    n = strtoul(at + strlen(line), NULL, 10);
    pf_buf_free(&page);
    return n;
}

/* Waits until that many were counted. */
static void await_metric(const char *name, unsigned long least)
{
    int64_t end = pf_now_ms() + (int64_t)60000 * PF_SLOW;

    while (metric(name) < least) {
        if (pf_now_ms() > end)
            fail_msg("%s stays at %lu, wanted %lu", name, metric(name), least);
        pf_nap(50);
    }
}

static void honest_devices_finish_their_rounds_in_a_crowd(void **state)
{
    char port[8], idle[8], dripping[8], name[24];
    struct pf_task_status t;
    struct pf_round_status r;
    pid_t crowd;
    unsigned k;

    (void)state;
    snprintf(port, sizeof port, "%u", d.port);
    snprintf(idle, sizeof idle, "%u", s->idle);
    snprintf(dripping, sizeof dripping, "%u", s->dripping);
    crowd = pf_spawn((const char *const[]){"/proc/self/exe", "--crowd", port,
                                           idle, dripping, NULL},
                     pf_in_dir(&d, "crowd.log"));
    /* All that it takes are taken, and more want in. */
    await_metric("connections_total", s->connections);
    await_metric("limit_refusals_total{limit=\"max_connections\"}", 1);

    pf_make_images(pf_in_dir(&d, "shard"), "train", 40, 7);
    for (k = 0; k < s->honest; k++) {
        snprintf(name, sizeof name, "device-%u", k);
        pf_testdevice_join(&v[k], &d, "m", name, k, pf_in_dir(&d, "shard"));
        pf_testdevice_train(&v[k]);
    }
    pf_await_finish(&d, "m", 100000, &t);
    assert_string_equal(t.reason, "rounds");
    for (k = 0; k < s->honest; k++)
        assert_int_equal(pf_testdevice_wait(&v[k], 60000, NULL), 0);
    for (k = 1; k <= ROUNDS; k++) {
        pf_round_now(&d, "m", k, &r);
        assert_int_equal(r.accepted, s->honest);
    }
    assert_true(pf_alive(crowd)); /* to the end */
    pf_end(crowd);
    pf_testdaemon_stop(&d);
}

/* One byte now and then keeps nobody in, though it is not silence. Before the
 * others in time, so that the daemon has not ended yet. */
static void who_drips_is_dropped(void **state)
{
    char port[8];
    pid_t crowd;

    (void)state;
    if (s != &shapes[0]) /* with the usual limits that takes a while */
        return;
    snprintf(port, sizeof port, "%u", d.port);
    crowd = pf_spawn((const char *const[]){"/proc/self/exe", "--crowd", port,
                                           "0", "30", NULL},
                     pf_in_dir(&d, "crowd.log"));
    await_metric("limit_refusals_total{limit=\"head_s\"}", 10);
    await_metric("limit_refusals_total{limit=\"min_rate\"}", 5);
    assert_int_equal(metric("limit_refusals_total{limit=\"timeout_s\"}"), 0);
    pf_end(crowd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_drips_is_dropped),
        cmocka_unit_test(honest_devices_finish_their_rounds_in_a_crowd),
    };

    if (argc == 5 && strcmp(argv[1], "--crowd") == 0)
        pf_crowd_run((uint16_t)strtoul(argv[2], NULL, 10),
                     (unsigned)strtoul(argv[3], NULL, 10),
                     (unsigned)strtoul(argv[4], NULL, 10));
    if (argc == 2 && strcmp(argv[1], "--full") == 0)
        s = &shapes[1];
    return cmocka_run_group_tests(tests, setup, teardown);
}
