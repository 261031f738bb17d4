#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "edge.h"
#include "proof.h"
#include "statement.h"
#include "store_proof.h"
#include "text.h"

/* A device, and what it was acknowledged last. */
struct member {
    struct pf_key *key;
    struct pf_ack ack;
};

static void contribute(struct edge *e, struct member *m)
{
    struct edge_reply r;
    struct pf_buf frame;
    uint64_t round;

    edge_update(e, m->key, &round, &frame);
    edge_put(e, m->key, round, &frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    assert_int_equal(pf_json_decode(pf_ack_fields, PF_JSON_IGNORE,
                                    pf_buf_str(&r.body), r.body.len, &m->ack,
                                    NULL),
                     0);
    edge_forget(&r);
    pf_buf_free(&frame);
}

static void wait_published(struct edge *e, uint64_t rounds)
{
    const struct timespec pause = {0, 10000000};
    struct pf_coordinator_stats s = {0};
    int i;

    for (i = 0; i < 2000 && s.rounds_published < rounds; i++) {
        nanosleep(&pause, NULL);
        pf_coordinator_stats(e->daemon.edge.coordinator, &s);
    }
    assert_int_equal(s.rounds_published, rounds);
}

static void ask(struct edge *e, const struct member *m, uint64_t round,
                const char *query, struct edge_reply *r)
{
    struct edge_request rq = {.method = "GET", .query = query};
    char path[EDGE_PATH];

    snprintf(path, sizeof path, "/v1/tasks/t/rounds/%d/proof", (int)round);
    rq.path = path;
    edge_sign(e, &rq, m->key, 0);
    edge_send(e, &rq, r);
}

static enum pf_proof_fault prove(struct edge *e, const struct member *m,
                                 const char *query, struct pf_history *history)
{
    const struct pf_key *const pinned[] = {e->daemon.edge.record_key};
    const struct pf_record_keys keys = {pinned, 1};
    struct pf_error err = {.text = ""};
    enum pf_proof_fault fault;
    struct pf_proof proof;
    struct edge_reply r;

    ask(e, m, m->ack.counted, query, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    memset(&proof, 0, sizeof proof);
    assert_int_equal(pf_json_decode(pf_proof_fields, PF_JSON_REFUSE,
                                    pf_buf_str(&r.body), r.body.len, &proof,
                                    &err),
                     0);
    edge_forget(&r);
    pf_proof_check(&proof, &m->ack, &keys, history, history, &fault, &err);
    return fault;
}

static void proves_each_update_of_an_ended_round(void **state)
{
    struct edge *e = *state;
    struct member m[2] = {{edge_join(e), {.round = 0}},
                          {edge_join(e), {.round = 0}}};
    struct pf_history history[2];
    struct edge_reply r;
    char query[64];

    memset(history, 0, sizeof history);
    contribute(e, &m[0]);
    ask(e, &m[0], 1, NULL, &r); /* not yet */
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
    contribute(e, &m[1]);
    wait_published(e, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(prove(e, &m[i], NULL, &history[i]), PF_FAULT_NONE);
    assert_int_equal(history[0].record.updates, 2);
    assert_int_equal(history[0].head.size, 1);
    for (uint64_t round = 2; round <= 4; round++) {
        contribute(e, &m[0]);
        contribute(e, &m[1]);
        wait_published(e, round);
        snprintf(query, sizeof query, "?since=%d", (int)round - 1);
        assert_int_equal(prove(e, &m[0], query, &history[0]), PF_FAULT_NONE);
        assert_int_equal(history[0].head.size, round);
    }
    /* The other one comes after three rounds. */
    assert_int_equal(prove(e, &m[1], "?since=1", &history[1]), PF_FAULT_NONE);
    pf_key_free(m[0].key);
    pf_key_free(m[1].key);
}

static void tells_only_a_device_s_own_leaf(void **state)
{
    struct edge *e = *state;
    struct member m[3] = {{edge_join(e), {.round = 0}},
                          {edge_join(e), {.round = 0}},
                          {edge_join(e), {.round = 0}}};
    char query[100] = "?since=0&update=";
    struct pf_history history;
    struct edge_reply r;
    size_t at = strlen(query);

    memset(&history, 0, sizeof history);
    contribute(e, &m[0]);
    contribute(e, &m[1]);
    wait_published(e, 1);
    ask(e, &m[2], 1, NULL, &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
    edge_get(e, PF_LISTEN_CLIENT, "/v1/tasks/t/rounds/1/proof", &r);
    edge_expect(&r, 401, PF_PROBLEM_SIGNATURE_MISSING);
    edge_forget(&r);
    pf_hex(m[0].ack.digest, 32, query + at);
    assert_int_equal(prove(e, &m[0], query, &history), PF_FAULT_NONE);
    query[at] = query[at] == 'a' ? 'b' : 'a';
    ask(e, &m[0], 1, query, &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
    for (int i = 0; i < 3; i++)
        pf_key_free(m[i].key);
}

static void refuses_a_query_that_is_none(void **state)
{
    static const char *const queries[] = {"?since=-1", "?since=x",
                                          "?since=9999999999999999999",
                                          "?update=", "?update=12"};
    struct edge *e = *state;
    struct member m = {edge_join(e), {.round = 0}};
    struct edge_reply r;

    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        ask(e, &m, 1, queries[i], &r);
        edge_expect(&r, 400, PF_PROBLEM_BAD_REQUEST);
        edge_forget(&r);
    }
    pf_key_free(m.key);
}

static void tells_what_replaced_a_record_key(void **state)
{
    struct edge *e = *state;
    char path[100] = "/v1/keys/";
    uint8_t old[32], sig[PF_SIGNATURE_LEN];
    struct pf_store *store = NULL;
    struct edge_reply r;

    memset(old, 0xab, sizeof old);
    pf_hex(old, 32, path + strlen(path));
    edge_get(e, PF_LISTEN_CLIENT, path, &r);
    edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
    edge_forget(&r);
    assert_int_equal(pf_statement_sign(e->daemon.dir.record_key,
                                       PF_SAY_ROTATION, "{}", 2, sig),
                     0);
    /* The daemon's own connection is its coordinator's. */
    assert_int_equal(pf_store_open(e->daemon.dir.path, NULL, &store, NULL), 0);
    assert_int_equal(pf_store_rotate(store, old, "{}", 2, sig, NULL), 0);
    pf_store_close(store);
    edge_get(e, PF_LISTEN_CLIENT, path, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    edge_says(e, &r, PF_SAY_ROTATION);
    assert_string_equal(pf_buf_str(&r.body), "{}");
    edge_forget(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(proves_each_update_of_an_ended_round),
        TEST(tells_only_a_device_s_own_leaf),
        TEST(refuses_a_query_that_is_none),
        TEST(tells_what_replaced_a_record_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
