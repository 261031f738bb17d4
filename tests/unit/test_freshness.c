/* What the daemon remembers of requests, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edge.h"
#include "text.h"

static void an_enrolment_may_be_repeated_as_it_was(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.method = "POST", .path = "/v1/tasks/t/enrol"};
    uint8_t raw[PF_PUBLIC_MAX];
    char token[PF_TOKEN_LEN + 1], raw64[100], body[400];
    struct pf_key *key = NULL;
    struct edge_reply r;
    int i;

    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
    edge_token(e, "{}", token);
    pf_base64url(raw, pf_key_public(key, raw), raw64);
    snprintf(body, sizeof body,
             "{\"token\":\"%s\",\"alg\":\"ed25519\",\"key\":\"%s\"}", token,
             raw64);
    rq.body = body;
    rq.len = strlen(body);
    edge_sign(e, &rq, key, 0);
    for (i = 0; i < 2; i++) {
        edge_send(e, &rq, &r);
        edge_expect(&r, i ? 200 : 201, PF_PROBLEM_NONE);
        edge_forget(&r);
    }
    pf_key_free(key);
}

static void a_daemon_forgets_its_start_after_twice_the_skew(void **state)
{
    struct edge *e = *state;
    atomic_int *settled = &e->daemon.edge.verifier.settled;

    pf_daemon_tick(&e->daemon);
    assert_false(atomic_load(settled));
    e->daemon.began_s -= 2 * PF_SKEW_S + 1;
    pf_daemon_tick(&e->daemon);
    assert_true(atomic_load(settled));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_enrolment_may_be_repeated_as_it_was),
        TEST(a_daemon_forgets_its_start_after_twice_the_skew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
