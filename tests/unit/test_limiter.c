#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "edge.h"
#include "joinlink.h"

/* Sets one number of the running daemon. */
#define LIMIT(e, name, value) atomic_store(&(e)->daemon.limits.now.name, value)

/* Requests from 10.0.0.`last`; addresses count from here on. */
static void from(struct edge *e, struct edge_request *rq, uint8_t last)
{
    e->daemon.limits.by_address = 1;
    rq->peer[10] = rq->peer[11] = 0xff;
    rq->peer[12] = 10;
    rq->peer[15] = last;
}

static uint64_t counted(struct edge *e, enum pf_limit which)
{
    return atomic_load(&e->daemon.limits.refused[which]);
}

static void send_expect(struct edge *e, const struct edge_request *rq,
                        int status, enum pf_problem_id problem)
{
    struct edge_reply r;

    edge_send(e, rq, &r);
    edge_expect(&r, status, problem);
    if (status == 429)
        assert_true(strtol(r.retry_after, NULL, 10) >= 1);
    edge_forget(&r);
}

static struct edge_request checkin(struct edge *e, const struct pf_key *key)
{
    struct edge_request rq = {.method = "POST",
                              .path = "/v1/tasks/t/checkin",
                              .body = EDGE_ASK,
                              .len = strlen(EDGE_ASK)};

    edge_sign(e, &rq, key, 0);
    return rq;
}

static void a_device_that_asks_too_often_is_told_when_to_come_back(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e), *other = edge_join(e);
    struct edge_request rq;
    int i;

    LIMIT(e, device_rate, 1);
    LIMIT(e, device_burst, 3);
    for (i = 0; i < 3; i++) {
        rq = checkin(e, key);
        send_expect(e, &rq, 200, PF_PROBLEM_NONE);
    }
    rq = checkin(e, key);
    send_expect(e, &rq, 429, PF_PROBLEM_TOO_MANY_REQUESTS);
    assert_int_equal(counted(e, PF_LIMIT_DEVICE), 1);
    rq = checkin(e, other); /* is not concerned */
    send_expect(e, &rq, 200, PF_PROBLEM_NONE);
    pf_key_free(key);
    pf_key_free(other);
}

/* Who merely knows a device's id cannot make it wait. */
static void a_forged_request_uses_nothing_of_the_device_up(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_request rq;
    int i;

    LIMIT(e, device_rate, 1);
    LIMIT(e, device_burst, 2);
    for (i = 0; i < 20; i++) {
        rq = checkin(e, key);
        rq.query = "?other=1"; /* not what was signed */
        send_expect(e, &rq, 401, PF_PROBLEM_SIGNATURE_WRONG);
    }
    rq = checkin(e, key);
    send_expect(e, &rq, 200, PF_PROBLEM_NONE);
    assert_int_equal(counted(e, PF_LIMIT_DEVICE), 0);
    pf_key_free(key);
}

static void unsigned_calls_are_limited_by_address(void **state)
{
    static const char path[] = "/v1/models/00000000000000000000000000000000"
                               "00000000000000000000000000000000";
    struct edge *e = *state;
    struct edge_request rq = {.method = "GET", .path = path};
    int i;

    LIMIT(e, address_rate, 1);
    LIMIT(e, address_burst, 5);
    from(e, &rq, 1);
    for (i = 0; i < 5; i++)
        send_expect(e, &rq, 404, PF_PROBLEM_NOT_FOUND);
    send_expect(e, &rq, 429, PF_PROBLEM_TOO_MANY_REQUESTS);
    assert_int_equal(counted(e, PF_LIMIT_ADDRESS), 1);
    from(e, &rq, 2);
    send_expect(e, &rq, 404, PF_PROBLEM_NOT_FOUND);
}

/* An enrolment by this token; the key is new each time. */
static void enrol_from(struct edge *e, uint8_t address, const char *token,
                       int status, enum pf_problem_id problem)
{
    struct pf_key *key = NULL;
    struct edge_reply r;

    e->daemon.limits.by_address = 1;
    e->peer = address;
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
    edge_enrol(e, key, token, &r);
    edge_expect(&r, status, problem);
    edge_forget(&r);
    e->peer = 0;
    pf_key_free(key);
}

static void guessing_tokens_ends_after_a_few(void **state)
{
    struct edge *e = *state;
    struct pf_key *known = edge_join(e), *fresh = edge_join(e);
    char token[PF_TOKEN_LEN + 1], right[PF_TOKEN_LEN + 1];
    struct edge_request rq;
    int i;

    LIMIT(e, failure_rate, 1);
    LIMIT(e, failure_burst, 4);
    edge_token(e, "{}", right);
    rq = checkin(e, known);
    from(e, &rq, 7);
    send_expect(e, &rq, 200, PF_PROBLEM_NONE);
    for (i = 0; i < 4; i++) {
        assert_int_equal(pf_token_make(token), POCKETFED_OK);
        enrol_from(e, 7, token, 403, PF_PROBLEM_TOKEN_UNKNOWN);
    }
    enrol_from(e, 7, token, 429, PF_PROBLEM_TOO_MANY_REQUESTS);
    enrol_from(e, 7, right, 429, PF_PROBLEM_TOO_MANY_REQUESTS);
    assert_int_equal(counted(e, PF_LIMIT_FAILURE), 2);
    /* A device that proved itself lately is heard from there, another is not.
     */
    rq = checkin(e, known);
    from(e, &rq, 7);
    send_expect(e, &rq, 200, PF_PROBLEM_NONE);
    rq = checkin(e, fresh);
    from(e, &rq, 7);
    send_expect(e, &rq, 429, PF_PROBLEM_TOO_MANY_REQUESTS);
    /* Elsewhere the token is as good as it was. */
    enrol_from(e, 8, right, 201, PF_PROBLEM_NONE);
    pf_key_free(known);
    pf_key_free(fresh);
}

static void behind_a_proxy_addresses_say_nothing(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.method = "GET", .path = "/v1/plans/0"};
    int i;

    LIMIT(e, address_rate, 1);
    LIMIT(e, address_burst, 1);
    from(e, &rq, 1);
    e->daemon.limits.by_address = 0;
    for (i = 0; i < 10; i++)
        send_expect(e, &rq, 404, PF_PROBLEM_NOT_FOUND);
}

static void an_enrolment_flood_stops_at_the_limit_of_devices(void **state)
{
    struct edge *e = *state;
    struct pf_key *first = NULL, *second = NULL;
    char token[PF_TOKEN_LEN + 1];
    struct edge_reply r;
    int i;

    edge_token(e, "{\"uses\":100}", token);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &first), POCKETFED_OK);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &second), POCKETFED_OK);
    edge_enrol(e, first, token, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    LIMIT(e, devices, 2);
    enrol_from(e, 1, "pft_x", 403, PF_PROBLEM_TOKEN_UNKNOWN);
    edge_enrol(e, second, token, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    for (i = 0; i < 10; i++)
        enrol_from(e, 1, token, 403, PF_PROBLEM_LIMIT);
    assert_int_equal(counted(e, PF_LIMIT_DEVICES), 10);
    edge_enrol(e, first, token, &r); /* who is in gets the same answer */
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_forget(&r);
    LIMIT(e, devices, 3);
    enrol_from(e, 1, token, 201, PF_PROBLEM_NONE);
    enrol_from(e, 1, token, 403, PF_PROBLEM_LIMIT);
    pf_key_free(first);
    pf_key_free(second);
}

/* Its row stays, and rows are what is limited. */
static void who_leaves_gives_no_place_back(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    char token[PF_TOKEN_LEN + 1];
    struct edge_reply r;
    int recount;

    LIMIT(e, devices, 1);
    edge_token(e, "{\"uses\":10}", token);
    edge_device(e, key, "DELETE", "/v1/tasks/t/devices/self", NULL, 0, &r);
    edge_expect(&r, 204, PF_PROBLEM_NONE);
    edge_forget(&r);
    for (recount = 0; recount < 2; recount++) { /* as a restart does */
        enrol_from(e, 1, token, 403, PF_PROBLEM_LIMIT);
        atomic_store(
            &pf_coordinator_task(e->daemon.edge.coordinator, "t")->places, 0);
    }
    pf_key_free(key);
}

/* ---- many at once ---- */

#define FLOODERS 8
#define KEYS     6 /* each */

struct flooder {
    struct edge *e;
    const char *token;
    struct pf_key *key[KEYS];
    int in, full, other;
    pthread_t thread;
};

static void *flood(void *ctx)
{
    struct flooder *f = ctx;
    struct edge_reply r;
    int i;

    for (i = 0; i < KEYS; i++) {
        edge_enrol(f->e, f->key[i], f->token, &r);
        f->in += r.status == 201;
        f->full += r.problem == PF_PROBLEM_LIMIT;
        f->other += r.status != 201 && r.problem != PF_PROBLEM_LIMIT;
        edge_forget(&r);
    }
    return NULL;
}

static void the_limit_of_devices_holds_however_many_ask_at_once(void **state)
{
    struct edge *e = *state;
    struct flooder f[FLOODERS] = {{0}};
    char token[PF_TOKEN_LEN + 1];
    int i, k, in = 0, full = 0;

    LIMIT(e, devices, 10);
    edge_token(e, "{\"uses\":100}", token);
    for (i = 0; i < FLOODERS; i++) {
        f[i].e = e;
        f[i].token = token;
        for (k = 0; k < KEYS; k++)
            assert_int_equal(pf_key_generate(PF_KEY_ED25519, &f[i].key[k]),
                             POCKETFED_OK);
    }
    for (i = 0; i < FLOODERS; i++)
        assert_int_equal(pthread_create(&f[i].thread, NULL, flood, &f[i]), 0);
    for (i = 0; i < FLOODERS; i++) {
        assert_int_equal(pthread_join(f[i].thread, NULL), 0);
        assert_int_equal(f[i].other, 0);
        in += f[i].in;
        full += f[i].full;
        for (k = 0; k < KEYS; k++)
            pf_key_free(f[i].key[k]);
    }
    assert_int_equal(in, 10);
    assert_int_equal(full, FLOODERS * KEYS - 10);
}

static void a_refused_enrolment_takes_no_place(void **state)
{
    struct edge *e = *state;
    char token[PF_TOKEN_LEN + 1];
    int i;

    LIMIT(e, devices, 1);
    for (i = 0; i < 5; i++) {
        assert_int_equal(pf_token_make(token), POCKETFED_OK);
        enrol_from(e, 1, token, 403, PF_PROBLEM_TOKEN_UNKNOWN);
    }
    edge_token(e, "{}", token);
    enrol_from(e, 1, token, 201, PF_PROBLEM_NONE);
}

static void tasks_and_tokens_have_limits(void **state)
{
    static const char path[] = "/admin/v1/tasks/t/tokens";
    struct edge *e = *state;
    struct edge_reply r;
    int i;

    LIMIT(e, tasks, 1); /* the fixture's is there */
    edge_admin(e, "POST", "/admin/v1/tasks",
               "{\"name\":\"u\",\"model\":\"logreg\"}", &r);
    edge_expect(&r, 403, PF_PROBLEM_LIMIT);
    assert_non_null(strstr(pf_buf_str(&r.body), "raise tasks in [limits]"));
    edge_forget(&r);
    LIMIT(e, tasks, 2);
    edge_admin(e, "POST", "/admin/v1/tasks",
               "{\"name\":\"u\",\"model\":\"logreg\"}", &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    LIMIT(e, tokens, 3);
    for (i = 0; i < 5; i++) {
        edge_admin(e, "POST", path, "{}", &r);
        edge_expect(&r, i < 3 ? 201 : 403,
                    i < 3 ? PF_PROBLEM_NONE : PF_PROBLEM_LIMIT);
        edge_forget(&r);
    }
    assert_int_equal(counted(e, PF_LIMIT_TASKS), 1);
    assert_int_equal(counted(e, PF_LIMIT_TOKENS), 2);
    edge_admin(e, "POST", "/admin/v1/tasks/u/tokens", "{}", &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE); /* another task has its own */
    edge_forget(&r);
}

/* One that is spent counts no more. */
static void a_spent_token_makes_room(void **state)
{
    struct edge *e = *state;
    char token[PF_TOKEN_LEN + 1];
    struct edge_reply r;

    LIMIT(e, tokens, 1);
    edge_token(e, "{}", token);
    edge_admin(e, "POST", "/admin/v1/tasks/t/tokens", "{}", &r);
    edge_expect(&r, 403, PF_PROBLEM_LIMIT);
    edge_forget(&r);
    enrol_from(e, 1, token, 201, PF_PROBLEM_NONE);
    edge_token(e, "{}", token);
}

static void uploads_over_a_bound_come_back_later(void **state)
{
    static const struct {
        size_t offset;
        enum pf_limit counted;
    } bounds[] = {
        {offsetof(struct pf_limits, now.uploads), PF_LIMIT_UPLOADS},
        {offsetof(struct pf_limits, now.device_uploads),
         PF_LIMIT_DEVICE_UPLOADS},
    };
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct pf_buf frame;
    struct edge_reply r;
    uint64_t round;
    size_t i;

    edge_update(e, key, &round, &frame);
    for (i = 0; i < 2; i++) {
        atomic_uint *bound =
            (void *)((char *)&e->daemon.limits + bounds[i].offset);
        unsigned before = atomic_exchange(bound, 0);

        edge_put(e, key, round, &frame, &r);
        edge_expect(&r, 503, PF_PROBLEM_BUSY);
        assert_true(r.at_headers);
        assert_true(strtol(r.retry_after, NULL, 10) >= 1);
        edge_forget(&r);
        assert_int_equal(counted(e, bounds[i].counted), 1);
        atomic_store(bound, before);
    }
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void every_limit_is_shown_with_its_count(void **state)
{
    struct edge *e = *state;
    struct edge_reply r;
    char line[100];
    int i;

    for (i = 0; i < PF_LIMIT_COUNT; i++)
        atomic_store(&e->daemon.limits.refused[i], 100u + (unsigned)i);
    edge_get(e, PF_LISTEN_OPS, "/metrics", &r);
    for (i = 0; i < PF_LIMIT_COUNT; i++) {
        snprintf(line, sizeof line,
                 "pocketfed_limit_refusals_total{limit=\"%s\"} %d\n",
                 pf_limit_names[i], 100 + i);
        if (!strstr(pf_buf_str(&r.body), line))
            fail_msg("/metrics lacks %s", line);
    }
    edge_forget(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_that_asks_too_often_is_told_when_to_come_back),
        TEST(a_forged_request_uses_nothing_of_the_device_up),
        TEST(unsigned_calls_are_limited_by_address),
        TEST(guessing_tokens_ends_after_a_few),
        TEST(behind_a_proxy_addresses_say_nothing),
        TEST(an_enrolment_flood_stops_at_the_limit_of_devices),
        TEST(who_leaves_gives_no_place_back),
        TEST(the_limit_of_devices_holds_however_many_ask_at_once),
        TEST(a_refused_enrolment_takes_no_place),
        TEST(tasks_and_tokens_have_limits),
        TEST(a_spent_token_makes_room),
        TEST(uploads_over_a_bound_come_back_later),
        TEST(every_limit_is_shown_with_its_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
