#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "edge.h"
#include "file.h"
#include "text.h"
#include "tmpdir.h"

static struct pf_gate *gate;
static char right[100]; /* the field that opens it */

static int set_up(void **state)
{
    uint8_t token[PF_ADMIN_TOKEN_LEN];

    assert_int_equal(edge_set_up(state), 0);
    assert_int_equal(pf_gate_create("fed.example.org", &gate), POCKETFED_OK);
    memset(token, 0x5a, sizeof token);
    pf_gate_token(gate, token);
    snprintf(right, sizeof right, "Bearer ");
    pf_hex(token, sizeof token, right + strlen(right));
    return 0;
}

static int tear_down(void **state)
{
    pf_gate_free(gate);
    return edge_tear_down(state);
}

/* A request to the admin over TCP; name NULL: no further header. */
static void asks(struct edge *e, const char *host, const char *authorization,
                 const char *name, const char *value, int status,
                 enum pf_problem_id problem)
{
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "GET",
                              .path = "/admin/v1/tasks",
                              .gate = gate};
    struct edge_reply r;

    if (host)
        edge_header(&rq, "Host", host);
    if (authorization)
        edge_header(&rq, "Authorization", authorization);
    if (name)
        edge_header(&rq, name, value);
    edge_send(e, &rq, &r);
    edge_expect(&r, status, problem);
    edge_forget(&r);
}

static uint64_t counted(struct edge *e, enum pf_counter which)
{
    return atomic_load(&e->daemon.metrics.counter[which]);
}

static void opens_to_the_token_by_every_name_of_ours(void **state)
{
    static const char *const hosts[] = {
        "127.0.0.1:9465", "localhost:9465",       "LOCALHOST",    "[::1]:9465",
        "192.0.2.7:1",    "fed.example.org:9000", "[2001:db8::1]"};
    size_t i;

    for (i = 0; i < sizeof hosts / sizeof *hosts; i++)
        asks(*state, hosts[i], right, NULL, NULL, 200, PF_PROBLEM_NONE);
}

/* What a browser says after the attacker's name was made to point here. */
static void dns_rebinding_opens_nothing(void **state)
{
    static const char *const hosts[] = {"evil.example",
                                        "evil.example:9465",
                                        "127.0.0.1.evil.example",
                                        "localhost.evil.example:9465",
                                        "fed.example.org.evil",
                                        "xfed.example.org",
                                        "[::1].evil.example",
                                        "[evil]:9465",
                                        "",
                                        "0x7f.1",
                                        "[127.0.0.1",
                                        "[::1]:evil",
                                        "localhost:80evil"};
    size_t i;

    for (i = 0; i < sizeof hosts / sizeof *hosts; i++)
        asks(*state, hosts[i], right, NULL, NULL, 403, PF_PROBLEM_FORBIDDEN);
    asks(*state, NULL, right, NULL, NULL, 403, PF_PROBLEM_FORBIDDEN);
    assert_int_equal(counted(*state, PF_COUNT_ADMIN_FOREIGN_HOST),
                     sizeof hosts / sizeof *hosts + 1);
}

static void a_page_may_not_ask_even_with_the_token(void **state)
{
    asks(*state, "127.0.0.1", right, "Origin", "https://evil.example", 403,
         PF_PROBLEM_FORBIDDEN);
    asks(*state, "127.0.0.1", right, "Origin", "null", 403,
         PF_PROBLEM_FORBIDDEN);
    asks(*state, "127.0.0.1", right, "Sec-Fetch-Site", "cross-site", 403,
         PF_PROBLEM_FORBIDDEN);
    asks(*state, "127.0.0.1", right, "Sec-Fetch-Site", "same-origin", 403,
         PF_PROBLEM_FORBIDDEN);
    asks(*state, "127.0.0.1", right, "Sec-Fetch-Site", "none", 200,
         PF_PROBLEM_NONE);
    assert_int_equal(counted(*state, PF_COUNT_ADMIN_CROSS_SITE), 4);
}

static void without_the_token_nothing_is_said(void **state)
{
    struct edge *e = *state;
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "GET",
                              .path = "/nosuch",
                              .gate = gate};
    struct edge_reply r;
    char wrong[100];
    size_t n = strlen(right), i;

    asks(e, "127.0.0.1", NULL, NULL, NULL, 401, PF_PROBLEM_ADMIN_TOKEN);
    asks(e, "127.0.0.1", right + 7, NULL, NULL, 401, PF_PROBLEM_ADMIN_TOKEN);
    asks(e, "127.0.0.1", "Basic YTpi", NULL, NULL, 401, PF_PROBLEM_ADMIN_TOKEN);
    for (i = 7; i < n; i += 21) { /* each end, and between */
        memcpy(wrong, right, n + 1);
        wrong[i] = wrong[i] == '5' ? '6' : '5';
        asks(e, "127.0.0.1", wrong, NULL, NULL, 401, PF_PROBLEM_ADMIN_TOKEN);
    }
    memcpy(wrong, right, n + 1);
    wrong[n - 1] = '\0'; /* too short */
    asks(e, "127.0.0.1", wrong, NULL, NULL, 401, PF_PROBLEM_ADMIN_TOKEN);
    assert_int_equal(counted(e, PF_COUNT_ADMIN_WRONG_TOKEN), 8);
    /* Not even what there is and what there is not. */
    edge_header(&rq, "Host", "127.0.0.1");
    edge_send(e, &rq, &r);
    edge_expect(&r, 401, PF_PROBLEM_ADMIN_TOKEN);
    edge_forget(&r);
}

static void guesses_end_after_a_few(void **state)
{
    struct edge *e = *state;
    int i;

    atomic_store(&e->daemon.limits.now.failure_rate, 1);
    atomic_store(&e->daemon.limits.now.failure_burst, 3);
    e->peer = 9;
    for (i = 0; i < 3; i++)
        asks(e, "127.0.0.1", "Bearer x", NULL, NULL, 401,
             PF_PROBLEM_ADMIN_TOKEN);
    asks(e, "127.0.0.1", "Bearer x", NULL, NULL, 429,
         PF_PROBLEM_TOO_MANY_REQUESTS);
    asks(e, "127.0.0.1", right, NULL, NULL, 429, PF_PROBLEM_TOO_MANY_REQUESTS);
    e->peer = 10;
    asks(e, "127.0.0.1", right, NULL, NULL, 200, PF_PROBLEM_NONE);
}

static void another_token_closes_the_gate_to_the_old_one(void **state)
{
    uint8_t token[PF_ADMIN_TOKEN_LEN] = {1};

    pf_gate_token(gate, token);
    asks(*state, "127.0.0.1", right, NULL, NULL, 401, PF_PROBLEM_ADMIN_TOKEN);
}

/* ---- the file ---- */

static void a_token_file_is_for_its_owner_alone(void **state)
{
    struct edge *e = *state;
    uint8_t token[PF_ADMIN_TOKEN_LEN], again[PF_ADMIN_TOKEN_LEN];
    static const unsigned open[] = {0640, 0604, 0620, 0601};
    struct pf_error err = {0};
    struct stat sb;
    char path[300];
    size_t i;

    snprintf(path, sizeof path, "%s/admin.token", e->dir);
    assert_int_equal(pf_admin_token_read(path, token, &err),
                     POCKETFED_NOT_FOUND);
    assert_int_equal(pf_admin_token_make(path, token, &err), POCKETFED_OK);
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 07777, 0600);
    assert_int_equal(sb.st_size, 65);
    assert_int_equal(pf_admin_token_read(path, again, &err), POCKETFED_OK);
    assert_memory_equal(token, again, sizeof token);
    for (i = 0; i < 4; i++) {
        assert_int_equal(chmod(path, open[i]), 0);
        assert_int_equal(pf_admin_token_read(path, again, &err),
                         POCKETFED_CONFIG);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.hint, "chmod 600"));
    }
}

static void what_is_no_token_is_refused_by_the_files_name(void **state)
{
    static const char *const no[] = {
        "",
        "\n",
        "secret\n",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1\n",
        "000102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f\n",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n"};
    struct edge *e = *state;
    uint8_t token[PF_ADMIN_TOKEN_LEN];
    struct pf_error err;
    char path[300], longer[500];
    size_t i;

    snprintf(path, sizeof path, "%s/admin.token", e->dir);
    memset(longer, '0', sizeof longer);
    for (i = 0; i <= sizeof no / sizeof *no; i++) {
        const char *text = i < sizeof no / sizeof *no ? no[i] : longer;
        size_t n = text == longer ? sizeof longer : strlen(text);

        memset(&err, 0, sizeof err);
        assert_int_equal(pf_file_replace(path, text, n, 0600, NULL),
                         POCKETFED_OK);
        assert_int_equal(pf_admin_token_read(path, token, &err),
                         POCKETFED_CONFIG);
        assert_non_null(strstr(err.text, path));
        assert_null(strstr(err.text, "secret")); /* nor its content */
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_to_the_token_by_every_name_of_ours),
        TEST(dns_rebinding_opens_nothing),
        TEST(a_page_may_not_ask_even_with_the_token),
        TEST(without_the_token_nothing_is_said),
        TEST(guesses_end_after_a_few),
        TEST(another_token_closes_the_gate_to_the_old_one),
        TEST(a_token_file_is_for_its_owner_alone),
        TEST(what_is_no_token_is_refused_by_the_files_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
