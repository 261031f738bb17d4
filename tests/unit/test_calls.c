#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "calls.h"

#define DIGEST                                                                 \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const struct pf_call *match(enum pf_listener l, const char *method,
                                   const char *path)
{
    return pf_call_match(l, method, path, NULL, NULL, NULL);
}

static void each_row_stands_at_its_id_and_is_matched(void **state)
{
    struct pf_call_args args = {.task = "mnist-1", .round = 18}, got;
    char path[PF_CALL_PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof args.digest; i++)
        args.digest[i] = (uint8_t)i;
    memset(args.device, 0xd0, sizeof args.device);
    for (int i = 0; i < PF_CALL_COUNT; i++) {
        const struct pf_call *call = &pf_calls[i];
        int known = 0;
        const char *allow = NULL;

        assert_int_equal(call->id, i);
        assert_int_equal(pf_call_path(call->id, &args, path, sizeof path),
                         POCKETFED_OK);
        assert_ptr_equal(pf_call_match(call->listener, call->method, path, &got,
                                       &known, &allow),
                         call);
        assert_int_equal(known, 1);
        assert_null(allow);
        if (strstr(call->path, "{task}"))
            assert_string_equal(got.task, "mnist-1");
        if (strstr(call->path, "{round}"))
            assert_int_equal(got.round, 18);
        if (strstr(call->path, "{digest}"))
            assert_memory_equal(got.digest, args.digest, 32);
        if (strstr(call->path, "{device}"))
            assert_memory_equal(got.device, args.device, PF_DEVICE_LEN);
    }
}

static void writes_each_kind_of_path(void **state)
{
    struct pf_call_args args = {.task = "mnist",
                                .round = UINT64_MAX,
                                .digest = {0xab},
                                .device = {0xcd}};
    char out[PF_CALL_PATH_MAX];

    (void)state;
    assert_int_equal(pf_call_path(PF_CALL_UPDATE, &args, out, sizeof out), 0);
    assert_string_equal(out,
                        "/v1/tasks/mnist/rounds/18446744073709551615/update");
    assert_int_equal(pf_call_path(PF_CALL_MODEL, &args, out, sizeof out), 0);
    assert_memory_equal(out, "/v1/models/ab00", 15);
    assert_int_equal(strlen(out), 11 + 64);
    assert_int_equal(pf_call_path(PF_CALL_ADMIN_DEVICE, &args, out, sizeof out),
                     0);
    assert_string_equal(
        out, "/admin/v1/tasks/mnist/devices/cd000000000000000000000000000000");
    assert_int_equal(pf_call_path(PF_CALL_LIVEZ, NULL, out, sizeof out), 0);
    assert_string_equal(out, "/livez");
}

static void refuses_to_write_what_is_no_path(void **state)
{
    struct pf_call_args args = {.task = "a/b", .round = 1};
    char out[16] = "before";

    (void)state;
    assert_int_equal(pf_call_path(PF_CALL_TASK_STATUS, &args, out, sizeof out),
                     POCKETFED_INVALID);
    assert_int_equal(pf_call_path(PF_CALL_COUNT, &args, out, sizeof out),
                     POCKETFED_INVALID);
    memcpy(args.task, "abcdef", 7);
    assert_int_equal(pf_call_path(PF_CALL_TASK_STATUS, &args, out, 16),
                     POCKETFED_LIMIT);
    assert_string_equal(out, "before");
    args.task[5] = '\0'; /* "/v1/tasks/abcde" and its NUL: 16 */
    assert_int_equal(pf_call_path(PF_CALL_TASK_STATUS, &args, out, 16), 0);
    assert_string_equal(out, "/v1/tasks/abcde");
}

static void the_longest_path_fits_its_constant(void **state)
{
    struct pf_call_args args = {.round = UINT64_MAX};
    char out[PF_CALL_PATH_MAX];

    (void)state;
    memset(args.task, 'z', PF_TASK_NAME_MAX);
    for (int i = 0; i < PF_CALL_COUNT; i++)
        assert_int_equal(
            pf_call_path((enum pf_call_id)i, &args, out, sizeof out), 0);
}

static void head_matches_what_get_does(void **state)
{
    (void)state;
    assert_ptr_equal(match(PF_LISTEN_CLIENT, "HEAD", "/v1/models/" DIGEST),
                     &pf_calls[PF_CALL_MODEL]);
    assert_null(match(PF_LISTEN_CLIENT, "HEAD", "/v1/tasks/a/enrol"));
}

static void head_of_an_update_is_a_call_of_its_own(void **state)
{
    (void)state;
    assert_ptr_equal(
        match(PF_LISTEN_CLIENT, "HEAD", "/v1/tasks/a/rounds/3/update"),
        &pf_calls[PF_CALL_UPDATE_OFFSET]);
}

static void methods_are_case_sensitive(void **state)
{
    (void)state;
    assert_null(match(PF_LISTEN_CLIENT, "get", "/v1/tasks/a"));
    assert_null(match(PF_LISTEN_CLIENT, "", "/v1/tasks/a"));
}

static void a_wrong_method_learns_which_are_allowed(void **state)
{
    static const struct {
        enum pf_listener listener;
        const char *method, *path, *allow;
    } rows[] = {
        {PF_LISTEN_CLIENT, "GET", "/v1/tasks/a/enrol", "POST"},
        {PF_LISTEN_CLIENT, "POST", "/v1/models/" DIGEST, "GET, HEAD"},
        {PF_LISTEN_CLIENT, "POST", "/v1/tasks/a/rounds/3/update",
         "HEAD, PATCH, PUT"},
        {PF_LISTEN_ADMIN, "DELETE", "/admin/v1/tasks", "GET, HEAD, POST"},
        {PF_LISTEN_ADMIN, "PUT", "/admin/v1/tasks/a", "GET, HEAD, PATCH"},
        {PF_LISTEN_CLIENT, "GET", "/v1/tasks/a/devices/self", "DELETE"},
        {PF_LISTEN_ADMIN, "PUT",
         "/admin/v1/tasks/a/devices/000102030405060708090a0b0c0d0e0f",
         "DELETE, GET, HEAD"},
        {PF_LISTEN_OPS, "POST", "/metrics", "GET, HEAD"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *allow = NULL;
        int known = 0;

        assert_null(pf_call_match(rows[i].listener, rows[i].method,
                                  rows[i].path, NULL, &known, &allow));
        assert_int_equal(known, 1);
        assert_string_equal(allow, rows[i].allow);
    }
}

static void a_call_belongs_to_one_listener(void **state)
{
    int known = 1;
    const char *allow = NULL;

    (void)state;
    assert_null(pf_call_match(PF_LISTEN_CLIENT, "GET", "/admin/v1", NULL,
                              &known, &allow));
    assert_int_equal(known, 0);
    assert_null(allow);
    assert_null(match(PF_LISTEN_ADMIN, "GET", "/metrics"));
    assert_null(match(PF_LISTEN_OPS, "GET", "/v1/tasks/a"));
}

static void paths_are_taken_letter_by_letter(void **state)
{
    static const char *const wrong[] = {
        "",
        "/",
        "/v1",
        "/v1/tasks",
        "/v1/tasks/",
        "/v1/tasks/a/",
        "//v1/tasks/a",
        "/v1//tasks/a",
        "/v1/tasks//a",
        "/v1/tasks/a?x",
        "/v1/tasks/A",
        "/v1/tasks/%61",
        "/v1/tasks/a%2f",
        "/v1/tasks/.a",
        "/v1/tasks/..",
        "/v1/tasks/a b",
        "/V1/tasks/a",
        "v1/tasks/a",
        "/v1/tasks/a/enrol",
        "/v1/tasks/a/rounds",
        "/v1/tasks/{task}",
        "/v1/tasks/\xc3\xa4",
        "/v1/tasks/"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/v1/models/",
        "/v1/models/00",
        "/v1/models/" DIGEST "00",
        "/v1/models/" DIGEST "/",
        "/v1/models/x" DIGEST,
        "/v1/models/"
        "000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (match(PF_LISTEN_CLIENT, "GET", wrong[i]))
            fail_msg("matched %s", wrong[i]);
    assert_non_null(match(PF_LISTEN_CLIENT, "GET", "/v1/tasks/0.a_b-c"));
}

static void rounds_have_one_spelling(void **state)
{
    static const char *const wrong[] = {
        "",
        "01",
        "00",
        "+1",
        "-1",
        " 1",
        "1 ",
        "0x1",
        "1.0",
        "1e3",
        "18446744073709551616",
        "99999999999999999999999",
    };
    struct pf_call_args args;
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(path, sizeof path, "/v1/tasks/a/rounds/%s/update", wrong[i]);
        if (match(PF_LISTEN_CLIENT, "PUT", path))
            fail_msg("matched %s", path);
    }
    assert_non_null(pf_call_match(
        PF_LISTEN_CLIENT, "PUT",
        "/v1/tasks/a/rounds/18446744073709551615/update", &args, NULL, NULL));
    assert_true(args.round == UINT64_MAX);
    assert_non_null(
        match(PF_LISTEN_CLIENT, "PUT", "/v1/tasks/a/rounds/0/update"));
}

static void leaves_the_arguments_alone_when_nothing_matches(void **state)
{
    struct pf_call_args args = {.task = "before", .round = 7, .digest = {1}};

    (void)state;
    assert_null(pf_call_match(PF_LISTEN_CLIENT, "GET", "/v1/tasks/other/enrol",
                              &args, NULL, NULL));
    assert_string_equal(args.task, "before");
    assert_int_equal(args.round, 7);
}

static void only_calls_with_a_body_have_a_maximum(void **state)
{
    (void)state;
    for (int i = 0; i < PF_CALL_COUNT; i++)
        assert_int_equal(pf_calls[i].max_body != 0,
                         pf_calls[i].body != PF_BODY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_stands_at_its_id_and_is_matched),
        cmocka_unit_test(writes_each_kind_of_path),
        cmocka_unit_test(refuses_to_write_what_is_no_path),
        cmocka_unit_test(the_longest_path_fits_its_constant),
        cmocka_unit_test(head_matches_what_get_does),
        cmocka_unit_test(head_of_an_update_is_a_call_of_its_own),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(a_wrong_method_learns_which_are_allowed),
        cmocka_unit_test(a_call_belongs_to_one_listener),
        cmocka_unit_test(paths_are_taken_letter_by_letter),
        cmocka_unit_test(rounds_have_one_spelling),
        cmocka_unit_test(leaves_the_arguments_alone_when_nothing_matches),
        cmocka_unit_test(only_calls_with_a_body_have_a_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
