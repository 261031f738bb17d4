/* Devices after their enrolment: listed, shown, revoked, leaving. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edge.h"
#include "joinlink.h"
#include "text.h"

#define DEVICES "/admin/v1/tasks/t/devices"
#define SELF    "/v1/tasks/t/devices/self"

static void name(const struct pf_key *key, char out[33])
{
    uint8_t print[PF_DIGEST_LEN];

    pf_key_fingerprint(key, print);
    pf_hex(print, PF_DEVICE_LEN, out);
}

/* What the operator is told of a device, by GET or DELETE. */
static struct pf_device_status ask(struct edge *e, const char *method,
                                   const struct pf_key *key)
{
    struct pf_device_status d = {0};
    struct edge_reply r;
    char path[128], id[33];

    name(key, id);
    snprintf(path, sizeof path, DEVICES "/%s", id);
    edge_admin(e, method, path, NULL, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_int_equal(pf_json_decode(pf_device_status_fields, PF_JSON_REFUSE,
                                    pf_buf_str(&r.body), r.body.len, &d, NULL),
                     POCKETFED_OK);
    edge_forget(&r);
    return d;
}

/* The ordinals of a list, as text: "0 1 ". */
static void list(struct edge *e, const char *query, char out[64])
{
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "GET",
                              .path = DEVICES,
                              .query = query};
    struct pf_device_status d;
    const struct pf_json_node *n;
    struct pf_json_doc *doc = NULL;
    struct edge_reply r;

    edge_send(e, &rq, &r);
    edge_expect(&r, 200, PF_PROBLEM_NONE);
    assert_int_equal(pf_json_parse(pf_buf_str(&r.body), r.body.len, &doc, NULL),
                     POCKETFED_OK);
    out[0] = '\0';
    n = pf_json_first(pf_json_get(pf_json_root(doc), "devices"));
    for (; n; n = pf_json_next(n)) {
        size_t at = strlen(out);

        assert_int_equal(pf_json_decode_node(pf_device_status_fields,
                                             PF_JSON_REFUSE, n, "", &d, NULL),
                         POCKETFED_OK);
        snprintf(out + at, 64 - at, "%llu ", (unsigned long long)d.ordinal);
    }
    pf_json_free(doc);
    edge_forget(&r);
}

static void is_refused(struct edge *e, const char *query)
{
    struct edge_request rq = {.listener = PF_LISTEN_ADMIN,
                              .method = "GET",
                              .path = DEVICES,
                              .query = query};
    struct edge_reply r;

    edge_send(e, &rq, &r);
    edge_expect(&r, 400, PF_PROBLEM_BAD_REQUEST);
    edge_forget(&r);
}

static void leaves(struct edge *e, const struct pf_key *key, int status,
                   enum pf_problem_id problem)
{
    struct edge_reply r;

    edge_device(e, key, "DELETE", SELF, NULL, 0, &r);
    edge_expect(&r, status, problem);
    edge_forget(&r);
}

static void checks_in(struct edge *e, const struct pf_key *key, int status,
                      enum pf_problem_id problem, const char *kind)
{
    struct edge_reply r;

    edge_checkin(e, key, EDGE_ASK, &r);
    edge_expect(&r, status, problem);
    if (kind)
        assert_non_null(strstr(pf_buf_str(&r.body), kind));
    edge_forget(&r);
}

static void enrols(struct edge *e, const struct pf_key *key, const char *token,
                   int status, enum pf_problem_id problem)
{
    struct edge_reply r;

    edge_enrol(e, key, token, &r);
    edge_expect(&r, status, problem);
    edge_forget(&r);
}

static void one_assignment_was_given_back(struct edge *e)
{
    struct edge_reply r;

    edge_get(e, PF_LISTEN_ADMIN, "/admin/v1/tasks/t/rounds/1", &r);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"failed\":\"1\""));
    edge_forget(&r);
}

static void lists_devices_in_pages_and_by_their_ids(void **state)
{
    struct edge *e = *state;
    struct pf_key *key[3];
    char text[64], id[33], query[64];

    list(e, NULL, text);
    assert_string_equal(text, "");
    for (int i = 0; i < 3; i++)
        key[i] = edge_join(e);
    leaves(e, key[1], 204, PF_PROBLEM_NONE);
    list(e, NULL, text);
    assert_string_equal(text, "0 1 2 ");
    list(e, "?limit=2", text);
    assert_string_equal(text, "0 1 ");
    list(e, "?after=0&limit=1", text);
    assert_string_equal(text, "1 ");
    list(e, "?after=2", text);
    assert_string_equal(text, "");
    name(key[2], id);
    for (int n = 32; n > 0; n -= 31) { /* all of it, its first digit */
        snprintf(query, sizeof query, "?after=1&id=%.*s", n, id);
        list(e, query, text);
        assert_string_equal(text, "2 ");
    }
    id[31] = id[31] == '0' ? '1' : '0';
    snprintf(query, sizeof query, "?id=%s", id);
    list(e, query, text);
    assert_string_equal(text, "");
    is_refused(e, "?id=xyz");
    is_refused(e, "?id=");
    is_refused(e, "?id=000000000000000000000000000000000");
    is_refused(e, "?after=-1");
    is_refused(e, "?limit=1001");
    for (int i = 0; i < 3; i++)
        pf_key_free(key[i]);
}

static void shows_what_a_device_gave(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct pf_device_status d = ask(e, "GET", key);
    struct edge_reply r;
    struct pf_buf frame;
    uint64_t round;

    assert_int_equal(d.state, PF_DEVICE_ACTIVE);
    assert_int_equal(d.ordinal, 0);
    assert_int_equal(d.rounds, 0);
    assert_int_equal(d.state_ms, 0);
    assert_true(d.enrolled_ms > 1600000000000);
    edge_update(e, key, &round, &frame);
    edge_put(e, key, round, &frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    d = ask(e, "GET", key);
    assert_int_equal(d.rounds, 1);
    assert_int_equal(d.last_round, 1);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void a_device_that_is_not_there_is_not_found(void **state)
{
    static const char path[] = DEVICES "/000102030405060708090a0b0c0d0e0f";
    static const char *const methods[] = {"GET", "DELETE"};
    struct edge *e = *state;
    struct edge_reply r;

    for (int i = 0; i < 2; i++) {
        edge_admin(e, methods[i], path, NULL, &r);
        edge_expect(&r, 404, PF_PROBLEM_NOT_FOUND);
        edge_forget(&r);
    }
    edge_admin(e, "GET", "/admin/v1/tasks/nosuch/devices", NULL, &r);
    edge_expect(&r, 404, PF_PROBLEM_TASK_UNKNOWN);
    edge_forget(&r);
}

static void a_revoked_device_is_told_that_word_for_ever(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    char token[PF_TOKEN_LEN + 1];
    struct pf_device_status d = ask(e, "DELETE", key);
    int64_t when = d.state_ms;

    assert_int_equal(d.state, PF_DEVICE_REVOKED);
    assert_true(when > 1600000000000);
    d = ask(e, "DELETE", key);
    assert_int_equal(d.state, PF_DEVICE_REVOKED);
    assert_int_equal(d.state_ms, when);
    checks_in(e, key, 403, PF_PROBLEM_DEVICE_REVOKED, "revoked");
    leaves(e, key, 403, PF_PROBLEM_DEVICE_REVOKED);
    edge_token(e, "{}", token);
    enrols(e, key, token, 403, PF_PROBLEM_DEVICE_REVOKED);
    pf_key_free(key);
}

static void a_revoked_device_gives_its_place_to_another(void **state)
{
    struct edge *e = *state;
    struct pf_key *key[3];

    for (int i = 0; i < 3; i++)
        key[i] = edge_join(e);
    checks_in(e, key[0], 200, PF_PROBLEM_NONE, "\"train\"");
    checks_in(e, key[1], 200, PF_PROBLEM_NONE, "\"train\"");
    checks_in(e, key[2], 200, PF_PROBLEM_NONE, "\"round-full\"");
    ask(e, "DELETE", key[0]);
    one_assignment_was_given_back(e);
    ask(e, "DELETE", key[0]);
    one_assignment_was_given_back(e);
    checks_in(e, key[2], 200, PF_PROBLEM_NONE, "\"train\"");
    for (int i = 0; i < 3; i++)
        pf_key_free(key[i]);
}

/* A task of buffers of one update, in which two train. */
static int set_up_async(void **state)
{
    static const char text[] =
        "{\"name\":\"t\",\"model\":\"logreg\",\"round\":{\"policy\":"
        "\"async\",\"select\":{\"min\":1,\"max\":2},"
        "\"collect\":{\"min\":1,\"max\":1}}}";
    struct edge_reply r;

    if (edge_fresh(state, 0, 0, 0))
        return -1;
    edge_admin(*state, "POST", "/admin/v1/tasks", text, &r);
    assert_int_equal(r.status, 201);
    edge_forget(&r);
    return 0;
}

/* Its lease is of a buffer that has been closed since. */
static void a_lease_of_an_earlier_buffer_is_given_back_too(void **state)
{
    struct edge *e = *state;
    struct pf_key *key[3];
    struct edge_reply r;
    struct pf_buf frame;
    uint64_t round;

    for (int i = 0; i < 3; i++)
        key[i] = edge_join(e);
    checks_in(e, key[0], 200, PF_PROBLEM_NONE, "\"train\"");
    edge_update(e, key[1], &round, &frame);
    checks_in(e, key[2], 200, PF_PROBLEM_NONE, "\"round-full\"");
    edge_put(e, key[1], round, &frame, &r);
    edge_expect(&r, 201, PF_PROBLEM_NONE);
    edge_forget(&r);
    checks_in(e, key[1], 200, PF_PROBLEM_NONE, "\"train\""); /* of round 2 */
    checks_in(e, key[2], 200, PF_PROBLEM_NONE, "\"round-full\"");
    ask(e, "DELETE", key[0]);
    checks_in(e, key[2], 200, PF_PROBLEM_NONE, "\"train\"");
    pf_buf_free(&frame);
    for (int i = 0; i < 3; i++)
        pf_key_free(key[i]);
}

static void the_update_of_a_device_that_goes_still_counts(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e);
    struct edge_reply r;
    struct pf_buf frame;
    uint64_t round;

    edge_update(e, key, &round, &frame);
    edge_put(e, key, round, &frame, &r);
    edge_forget(&r);
    leaves(e, key, 204, PF_PROBLEM_NONE);
    edge_get(e, PF_LISTEN_ADMIN, "/admin/v1/tasks/t/rounds/1", &r);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"accepted\":\"1\""));
    assert_non_null(strstr(pf_buf_str(&r.body), "\"failed\":\"0\""));
    edge_forget(&r);
    pf_buf_free(&frame);
    pf_key_free(key);
}

static void a_device_leaves_as_often_as_it_likes(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = edge_join(e), *stranger = NULL;
    struct edge_reply r;

    checks_in(e, key, 200, PF_PROBLEM_NONE, "\"train\"");
    leaves(e, key, 204, PF_PROBLEM_NONE);
    one_assignment_was_given_back(e);
    leaves(e, key, 204, PF_PROBLEM_NONE);
    one_assignment_was_given_back(e);
    assert_int_equal(ask(e, "GET", key).state, PF_DEVICE_LEFT);
    checks_in(e, key, 401, PF_PROBLEM_DEVICE_UNKNOWN, "has left");
    edge_get(e, PF_LISTEN_ADMIN, "/admin/v1/tasks/t", &r);
    assert_non_null(strstr(pf_buf_str(&r.body), "\"devices\":\"0\""));
    edge_forget(&r);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &stranger), POCKETFED_OK);
    leaves(e, stranger, 401, PF_PROBLEM_DEVICE_UNKNOWN);
    pf_key_free(stranger);
    pf_key_free(key);
}

static void a_device_that_left_comes_back_by_a_new_token(void **state)
{
    struct edge *e = *state;
    struct pf_key *key = NULL;
    char first[PF_TOKEN_LEN + 1], second[PF_TOKEN_LEN + 1];

    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), POCKETFED_OK);
    edge_token(e, "{\"uses\":\"5\"}", first);
    edge_token(e, "{}", second);
    enrols(e, key, first, 201, PF_PROBLEM_NONE);
    leaves(e, key, 204, PF_PROBLEM_NONE);
    enrols(e, key, first, 403, PF_PROBLEM_TOKEN_USED);
    enrols(e, key, second, 201, PF_PROBLEM_NONE);
    enrols(e, key, second, 200, PF_PROBLEM_NONE);
    checks_in(e, key, 200, PF_PROBLEM_NONE, "\"train\"");
    assert_int_equal(ask(e, "GET", key).ordinal, 0);
    leaves(e, key, 204, PF_PROBLEM_NONE);
    assert_int_equal(ask(e, "DELETE", key).state, PF_DEVICE_REVOKED);
    leaves(e, key, 403, PF_PROBLEM_DEVICE_REVOKED);
    pf_key_free(key);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_devices_in_pages_and_by_their_ids),
        TEST(shows_what_a_device_gave),
        TEST(a_device_that_is_not_there_is_not_found),
        TEST(a_revoked_device_is_told_that_word_for_ever),
        TEST(a_revoked_device_gives_its_place_to_another),
        cmocka_unit_test_setup_teardown(
            a_lease_of_an_earlier_buffer_is_given_back_too, set_up_async,
            edge_tear_down),
        TEST(the_update_of_a_device_that_goes_still_counts),
        TEST(a_device_leaves_as_often_as_it_likes),
        TEST(a_device_that_left_comes_back_by_a_new_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
