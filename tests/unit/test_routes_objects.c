#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edge.h"
#include "statement.h"
#include "text.h"

/* ---- plans and models ---- */

static void serves_the_plan_with_its_signature(void **state)
{
    struct edge *e = *state;
    const struct pf_live_task *t =
        pf_coordinator_task(e->daemon.edge.coordinator, "t");
    char path[100] = "/v1/plans/";
    struct edge_reply r;

    pf_hex(t->stored.plan, 32, path + strlen(path));
    edge_get(e, PF_LISTEN_CLIENT, path, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_says(e, &r, PF_SAY_PLAN);
    edge_forget(&r);
    path[12] = path[12] == '0' ? '1' : '0';
    edge_get(e, PF_LISTEN_CLIENT, path, &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
}

static void serves_parts_of_a_model(void **state)
{
    struct edge *e = *state;
    const struct pf_live_task *t =
        pf_coordinator_task(e->daemon.edge.coordinator, "t");
    static const struct {
        const char *range;
        int status;
        size_t first, n;
    } cases[] = {
        {"bytes=0-9", 206, 0, 10},
        {"bytes=5-5", 206, 5, 1},
        {"bytes=32000-", 206, 32000, 40},
        {"bytes=-40", 206, 32000, 40},
        {"bytes=32000-99999", 206, 32000, 40},
        {"bytes=9-0", 200, 0, 32040},
        {"bytes=0-1,3-4", 200, 0, 32040},
        {"lines=0-1", 200, 0, 32040},
        {"bytes=x-1", 200, 0, 32040},
        {"bytes=-99999999", 206, 0, 32040},
        {"bytes=", 200, 0, 32040},
        {"bytes=32040-", 416, 0, 0},
        {"bytes=-0", 416, 0, 0},
    };
    struct edge_reply whole, r;
    char path[100] = "/v1/models/";
    size_t i;

    pf_hex(t->stored.initial_model, 32, path + strlen(path));
    edge_get(e, PF_LISTEN_CLIENT, path, &whole);
    edge_expect(&whole, 200, PF_PROBLEM_NONE);
    assert_int_equal(whole.body.len, 32040);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct edge_request rq = {.method = "GET", .path = path};

        edge_header(&rq, "Range", cases[i].range);
        edge_send(e, &rq, &r);
        assert_int_equal(r.status, cases[i].status);
        if (cases[i].n > 0) {
            assert_int_equal(r.body.len, cases[i].n);
            assert_memory_equal(r.body.data, whole.body.data + cases[i].first,
                                cases[i].n);
        }
        edge_forget(&r);
    }
    edge_forget(&whole);
}

static void answers_304_and_if_range_by_the_strong_tag(void **state)
{
    struct edge *e = *state;
    const struct pf_live_task *t =
        pf_coordinator_task(e->daemon.edge.coordinator, "t");
    char path[100] = "/v1/models/", tags[300];
    struct edge_reply r, same;
    struct edge_request rq = {.method = "GET", .path = path};

    pf_hex(t->stored.initial_model, 32, path + strlen(path));
    edge_send(e, &rq, &r);
    snprintf(tags, sizeof tags, "\"other\", W/%s", r.etag);
    edge_header(&rq, "If-None-Match", tags);
    edge_send(e, &rq, &same);
    edge_expect(&same, 304, PF_PROBLEM_NONE);
    assert_int_equal(same.body.len, 0);
    assert_string_equal(same.etag, r.etag);
    edge_forget(&same);
    rq.n_headers = 0;
    edge_header(&rq, "Range", "bytes=0-9");
    edge_header(&rq, "If-Range", "\"another\"");
    edge_send(e, &rq, &same);
    edge_expect(&same, 200, PF_PROBLEM_NONE);
    edge_forget(&same);
    rq.n_headers = 1;
    edge_header(&rq, "If-Range", r.etag);
    edge_send(e, &rq, &same);
    edge_expect(&same, 206, PF_PROBLEM_NONE);
    edge_forget(&same);
    edge_forget(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(serves_the_plan_with_its_signature),
        TEST(serves_parts_of_a_model),
        TEST(answers_304_and_if_range_by_the_strong_tag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
