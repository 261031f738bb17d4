/* When a refused request may come again: one moment, drawn by the server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "edge.h"
#include "exchange.h"

#define DRAWS 400

static struct pf_exchange ex;
static struct pf_live_task *task;

static int set_up(void **state)
{
    struct edge *e;

    edge_set_up(state);
    e = *state;
    task = pf_coordinator_task(e->daemon.edge.coordinator, "t");
    pf_exchange_init(&ex, &e->daemon.edge);
    return 0;
}

static int tear_down(void **state)
{
    pf_exchange_free(&ex);
    return edge_tear_down(state);
}

/* What a refusal says, in ms; the header says the same in seconds, up. */
static int64_t refuse(enum pf_problem_id id, int64_t least_ms)
{
    struct pf_problem p = {0}, said;
    unsigned i;

    pf_problem_set(&p, id, "later");
    p.retry_after_ms = least_ms;
    pf_reply_problem(&ex, &p);
    assert_int_equal(
        pf_problem_decode(pf_buf_str(&ex.reply.body), ex.reply.body.len, &said),
        POCKETFED_OK);
    for (i = 0; i < ex.reply.n_headers; i++)
        if (strcmp(ex.reply.header[i].name, "Retry-After") == 0) {
            assert_int_equal(strtoll(ex.reply.header[i].value, NULL, 10),
                             (said.retry_after_ms + 999) / 1000);
            return said.retry_after_ms;
        }
    assert_int_equal(said.retry_after_ms, 0);
    return 0;
}

static double mean_of_refusals(enum pf_problem_id id, int64_t least_ms)
{
    double sum = 0;
    int i;

    for (i = 0; i < DRAWS; i++)
        sum += (double)refuse(id, least_ms) / DRAWS;
    return sum;
}

static void a_few_come_again_in_a_moment_but_not_together(void **state)
{
    int64_t least = INT64_MAX, most = 0, ms;

    (void)state;
    ex.task = task;
    for (int i = 0; i < DRAWS; i++) {
        ms = refuse(PF_PROBLEM_BUSY, 0);
        assert_in_range(ms, 2000, 4000);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_true(least < 2500 && most > 3500);
    for (int i = 0; i < DRAWS; i++) /* whoever refuses knows better */
        assert_in_range(refuse(PF_PROBLEM_BUSY, 30000), 30000, 60000);
}

static void a_million_come_again_as_the_server_bears_it(void **state)
{
    double mean;

    (void)state;
    ex.task = task;
    atomic_store(&task->devices, 1000000);
    mean = mean_of_refusals(PF_PROBLEM_BUSY, 0);
    assert_true(mean > 850e3 && mean < 1700e3); /* 1250 s: 800 a second */
    mean = mean_of_refusals(PF_PROBLEM_DRAINING, 0);
    assert_true(mean > 850e3 && mean < 1700e3);
}

static void before_the_task_is_known_all_tasks_are_counted(void **state)
{
    struct edge *e = *state;
    struct edge_reply r;
    double mean;

    edge_admin(e, "POST", "/admin/v1/tasks",
               "{\"name\":\"u\",\"model\":\"logreg\"}", &r);
    assert_int_equal(r.status, 201);
    edge_forget(&r);
    atomic_store(&pf_coordinator_task(e->daemon.edge.coordinator, "u")->devices,
                 2000000);
    mean = mean_of_refusals(PF_PROBLEM_DRAINING, 0);
    assert_true(mean > 850e3 && mean < 1700e3); /* both bear 1600 a second */
}

static void who_asks_too_often_is_one_and_not_a_crowd(void **state)
{
    (void)state;
    ex.task = task;
    atomic_store(&task->devices, 1000000);
    for (int i = 0; i < DRAWS; i++)
        assert_in_range(refuse(PF_PROBLEM_TOO_MANY_REQUESTS, 1500), 1500, 3000);
}

static void what_is_refused_for_good_names_no_moment(void **state)
{
    (void)state;
    ex.task = task;
    assert_int_equal(refuse(PF_PROBLEM_NOT_FOUND, 0), 0);
    assert_int_equal(refuse(PF_PROBLEM_ROUND_CLOSED, 0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_few_come_again_in_a_moment_but_not_together),
        TEST(a_million_come_again_as_the_server_bears_it),
        TEST(before_the_task_is_known_all_tasks_are_counted),
        TEST(who_asks_too_often_is_one_and_not_a_crowd),
        TEST(what_is_refused_for_good_names_no_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
