/* What server/store/store.h opens, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "store_bench.h"

static void refuses_a_newer_version_by_a_sentence(void **state)
{
    struct bench *b = *state;
    struct pf_store *s = NULL;

    bench_close(b);
    bench_query(b, "PRAGMA user_version=3");
    assert_int_equal(pf_store_open(b->dir, NULL, &s, &b->err),
                     POCKETFED_UNSUPPORTED);
    assert_null(s);
    assert_non_null(strstr(b->err.text, "state version 3"));
    assert_non_null(strstr(b->err.text, "up to 2"));
    assert_true(b->err.hint[0] != '\0');
    bench_query(b, "PRAGMA user_version=2");
    bench_open(b);
}

static void refuses_the_database_of_another_program(void **state)
{
    struct bench *b = *state;
    struct pf_store *s = NULL;

    bench_close(b);
    bench_query(b, "PRAGMA application_id=7");
    assert_int_equal(pf_store_open(b->dir, NULL, &s, &b->err), POCKETFED_PROOF);
    bench_query(b, "PRAGMA application_id=0"); /* tables, but nobody's */
    assert_int_equal(pf_store_open(b->dir, NULL, &s, &b->err), POCKETFED_PROOF);
    bench_query(b, "PRAGMA application_id=0x70666431");
    bench_open(b);
}

static void refuses_a_file_that_is_no_database(void **state)
{
    struct bench *b = *state;
    struct pf_store *s = NULL;
    char path[300];
    FILE *f;

    bench_close(b);
    snprintf(path, sizeof path, "%s/pocketfed.db", b->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("this is a letter to my grandmother, and it is long enough to have "
          "been taken for a database header by somebody careless.............",
          f);
    fclose(f);
    assert_int_equal(pf_store_open(b->dir, NULL, &s, &b->err), POCKETFED_PROOF);
    remove(path);
    bench_open(b);
}

static void opens_what_a_crash_at_creation_left(void **state)
{
    struct bench *b = *state;
    char path[300];
    FILE *f;

    bench_close(b);
    snprintf(path, sizeof path, "%s/pocketfed.db", b->dir);
    remove(path);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    bench_open(b);
    bench_add_task(b, "a", 1);
}

#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses_a_newer_version_by_a_sentence),
        TEST(refuses_the_database_of_another_program),
        TEST(refuses_a_file_that_is_no_database),
        TEST(opens_what_a_crash_at_creation_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
