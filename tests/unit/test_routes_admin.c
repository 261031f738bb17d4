#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edge.h"

/* ---- admin ---- */

static void keeps_strangers_out_of_the_admin_interface(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "GET",
                              .path = "/admin/v1/tasks/nosuch",
                              .stranger = 1};
    struct edge_reply r;

    edge_send(e, &rq, &r);
    edge_expect(&r, 403, PF_PROBLEM_FORBIDDEN);
    edge_forget(&r);
}

static void lists_tasks_and_rounds(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "GET",
                              .path = "/admin/v1/tasks/t/rounds",
                              .query = "?since=0&limit=5"};
    struct pf_json_doc *doc = NULL;
    struct edge_reply r;

    edge_get(e, PF_LISTEN_ADMIN, "/admin/v1/tasks", &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_int_equal(pf_json_parse(pf_buf_str(&r.body), r.body.len, &doc, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_json_size(pf_json_get(pf_json_root(doc), "tasks")), 1);
    pf_json_free(doc);
    edge_forget(&r);
    edge_send(e, &rq, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_non_null(
        strstr(pf_buf_str(&r.body), "{\"rounds\":[{\"round\":\"1\""));
    edge_forget(&r);
    rq.query = "?since=1";
    edge_send(e, &rq, &r);
    assert_string_equal(pf_buf_str(&r.body), "{\"rounds\":[]}");
    edge_forget(&r);
    rq.query = "?limit=many";
    edge_send(e, &rq, &r);
    edge_expect(&r, 400, PF_PROBLEM_BAD_REQUEST);
    edge_forget(&r);
    edge_get(e, PF_LISTEN_ADMIN, "/admin/v1/tasks/t/rounds/1", &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_forget(&r);
    edge_get(e, PF_LISTEN_ADMIN, "/admin/v1/tasks/t/rounds/2", &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
}

static void refuses_a_second_task_of_the_name_and_a_bad_file(void **state)
{
    struct edge *e = *state;
    struct pf_problem p;
    struct edge_reply r;

    edge_admin(e, "POST", "/admin/v1/tasks",
               "{\"name\":\"t\",\"model\":\"logreg\"}", &r);
    edge_expect(&r, 409, PF_PROBLEM_EXISTS);
    edge_forget(&r);
    edge_admin(e, "POST", "/admin/v1/tasks",
               "{\"name\":\"u\",\"modle\":\"logreg\"}", &r);
    edge_expect(&r, 422, PF_PROBLEM_TASK_INVALID);
    assert_int_equal(pf_problem_decode(pf_buf_str(&r.body), r.body.len, &p),
                     POCKETFED_OK);
    assert_non_null(strstr(p.hint, "model"));
    edge_forget(&r);
}

static void pauses_and_resumes_a_task(void **state)
{
    struct edge *e = *state;
    struct edge_reply r;

    edge_admin(e, "PATCH", "/admin/v1/tasks/t", "{\"state\":\"paused\"}", &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"paused\""));
    edge_forget(&r);
    edge_admin(e, "PATCH", "/admin/v1/tasks/t", "{\"state\":\"running\"}", &r);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"running\""));
    edge_forget(&r);
}

static void gives_up_a_round_and_finishes_a_task(void **state)
{
    static const struct {
        const char *body;
        int status;
        enum pf_problem_id id;
    } rows[] = {
        {"{}", 400, PF_PROBLEM_BAD_REQUEST},
        {"{\"state\":\"paused\",\"abort_round\":true}", 400,
         PF_PROBLEM_BAD_REQUEST},
        {"{\"state\":\"gone\"}", 400, PF_PROBLEM_MALFORMED},
        {"{\"rollback\":\"1\"}", 404, PF_PROBLEM_NOT_FOUND},
        {"{\"abort_round\":true}", 200, PF_PROBLEM_NONE},
        {"{\"abort_round\":true}", 409, PF_PROBLEM_STATE}, /* backs off */
        {"{\"state\":\"finished\"}", 200, PF_PROBLEM_NONE},
        {"{\"state\":\"running\"}", 409, PF_PROBLEM_STATE},
    };
    struct edge *e = *state;
    struct edge_reply r;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        edge_admin(e, "PATCH", "/admin/v1/tasks/t", rows[i].body, &r);
        edge_expect(&r, rows[i].status, rows[i].id);
        edge_forget(&r);
    }
}

static void refuses_tokens_that_make_no_sense(void **state)
{
    static const char *const bad[] = {
        "{\"uses\":\"0\"}", "{\"expires_s\":0}",
        "{\"uses\":\"2\",\"has_ordinal\":true,\"ordinal\":\"1\"}"};
    struct edge *e = *state;
    struct edge_reply r;
    size_t i;

    for (i = 0; i < 3; i++) {
        edge_admin(e, "POST", "/admin/v1/tasks/t/tokens", bad[i], &r);
        assert_int_equal(r.status / 100, 4);
        edge_forget(&r);
    }
    edge_admin(e, "POST", "/admin/v1/tasks/nosuch/tokens", "{}", &r);
    edge_expect(&r, 404, PF_PROBLEM_TASK_UNKNOWN);
    edge_forget(&r);
}

/* ---- ops ---- */

static void counts_refusals_by_their_type(void **state)
{
    struct edge *e = *state;
    struct edge_reply r;

    pf_count_answer(&e->daemon.metrics, PF_LISTEN_CLIENT, 404,
                    PF_PROBLEM_NOT_FOUND);
    edge_get(e, PF_LISTEN_OPS, "/metrics", &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_non_null(
        strstr(pf_buf_str(&r.body),
               "pocketfed_refusals_total{problem=\"not-found\"} 1\n"));
    assert_non_null(strstr(pf_buf_str(&r.body),
                           "pocketfed_http_answers_total{listener=\"client\","
                           "class=\"4xx\"} 1\n"));
    assert_non_null(strstr(pf_buf_str(&r.body), "pocketfed_build_info"));
    edge_forget(&r);
}

static void is_not_ready_while_it_stops(void **state)
{
    struct edge *e = *state;
    struct edge_reply r;

    edge_get(e, PF_LISTEN_OPS, "/readyz", &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_forget(&r);
    atomic_store(&e->daemon.edge.draining, 1);
    edge_get(e, PF_LISTEN_OPS, "/readyz", &r);
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(pf_buf_str(&r.body), "draining"));
    edge_forget(&r);
    edge_get(e, PF_LISTEN_OPS, "/livez", &r);
    assert_int_equal(r.status, 200);
    edge_forget(&r);
    edge_get(e, PF_LISTEN_CLIENT, "/v1/tasks/t", &r);
    edge_expect(&r, 503, PF_PROBLEM_DRAINING);
    assert_true(r.retry_after[0] != '\0');
    edge_forget(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_strangers_out_of_the_admin_interface),
        TEST(lists_tasks_and_rounds),
        TEST(refuses_a_second_task_of_the_name_and_a_bad_file),
        TEST(pauses_and_resumes_a_task),
        TEST(gives_up_a_round_and_finishes_a_task),
        TEST(refuses_tokens_that_make_no_sense),
        TEST(counts_refusals_by_their_type),
        TEST(is_not_ready_while_it_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
