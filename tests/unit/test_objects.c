#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto.h"
#include "objects.h"
#include "text.h"
#include "tmpdir.h"

static char dir[256];
static struct pf_objects *o;
static struct pf_error err;

static int set_up(void **state)
{
    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    return pf_objects_open(dir, NULL, &o, &err) == POCKETFED_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pf_objects_close(o);
    pf_tmpdir_remove(dir);
    return 0;
}

static void restart(void)
{
    pf_objects_close(o);
    assert_int_equal(pf_objects_open(dir, NULL, &o, &err), POCKETFED_OK);
}

static void put(const char *text, uint8_t digest[32])
{
    assert_int_equal(pf_objects_put(o, text, strlen(text), digest, &err),
                     POCKETFED_OK);
}

static char *path_of(const uint8_t digest[32])
{
    static char path[400];
    char hex[65];

    pf_hex(digest, 32, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", dir, hex, hex);
    return path;
}

static int exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

static void overwrite(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void gives_back_what_was_put(void **state)
{
    struct pf_object *a, *b;
    uint8_t d[32], want[32];

    (void)state;
    put("a model", d);
    pf_sha256("a model", 7, want);
    assert_memory_equal(d, want, 32);
    assert_true(exists(path_of(d)));
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_OK);
    assert_int_equal(a->len, 7);
    assert_memory_equal(a->bytes, "a model", 7);
    assert_int_equal(pf_objects_get(o, d, &b, &err), POCKETFED_OK);
    assert_ptr_equal(a, b); /* mapped once */
    pf_object_release(a);
    pf_object_release(b);
    restart();
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_OK);
    assert_memory_equal(a->digest, d, 32);
    pf_object_release(a);
    put("", d);
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_OK);
    assert_int_equal(a->len, 0);
    pf_object_release(a);
    pf_object_release(NULL);
}

static void says_not_found(void **state)
{
    uint8_t d[32] = {1};
    struct pf_object *a;

    (void)state;
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_NOT_FOUND);
}

static void refuses_a_damaged_file_by_name_until_it_is_put_again(void **state)
{
    struct pf_object *a;
    uint8_t d[32];
    char hex[65];

    (void)state;
    put("a model", d);
    pf_hex(d, 32, hex);
    overwrite(path_of(d), "b model");
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, hex));
    overwrite(path_of(d), "");
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_PROOF);
    put("a model", d);
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_OK);
    pf_object_release(a);
}

static void a_dropped_object_stays_with_its_holder(void **state)
{
    struct pf_object *a, *b;
    uint8_t d[32];

    (void)state;
    put("a model", d);
    assert_int_equal(pf_objects_get(o, d, &a, &err), POCKETFED_OK);
    assert_int_equal(pf_objects_drop(o, d, &err), POCKETFED_OK);
    assert_false(exists(path_of(d)));
    assert_memory_equal(a->bytes, "a model", 7);
    pf_object_release(a);
    assert_int_equal(pf_objects_drop(o, d, &err), POCKETFED_OK);
    assert_int_equal(pf_objects_get(o, d, &b, &err), POCKETFED_NOT_FOUND);
}

static void holds_any_number_but_keeps_few_for_nobody(void **state)
{
    struct pf_object *a[40];
    uint8_t d[40][32];
    char text[32];
    int i;

    (void)state;
    for (i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "model %d", i);
        put(text, d[i]);
        assert_int_equal(pf_objects_get(o, d[i], &a[i], &err), POCKETFED_OK);
    }
    for (i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "model %d", i);
        assert_memory_equal(a[i]->bytes, text, strlen(text));
        pf_object_release(a[i]);
    }
    for (i = 0; i < 40; i++) {
        assert_int_equal(pf_objects_get(o, d[i], &a[i], &err), POCKETFED_OK);
        pf_object_release(a[i]);
    }
}

static int is_it(void *ctx, const uint8_t digest[32])
{
    return memcmp(ctx, digest, 32) == 0;
}

static void a_sweep_keeps_what_is_needed_and_what_is_not_ours(void **state)
{
    uint8_t keep[32], lose[32];
    char left[450], mine[450];

    (void)state;
    put("keep", keep);
    put("lose", lose);
    snprintf(left, sizeof left, "%s.77.0.tmp", path_of(keep));
    snprintf(mine, sizeof mine, "%s/objects/README", dir);
    overwrite(left, "half");
    overwrite(mine, "by hand");
    assert_int_equal(pf_objects_sweep(o, is_it, keep, &err), POCKETFED_OK);
    assert_true(exists(path_of(keep)));
    assert_false(exists(path_of(lose)));
    assert_false(exists(left));
    assert_true(exists(mine));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_back_what_was_put),
        TEST(says_not_found),
        TEST(refuses_a_damaged_file_by_name_until_it_is_put_again),
        TEST(a_dropped_object_stays_with_its_holder),
        TEST(holds_any_number_but_keeps_few_for_nobody),
        TEST(a_sweep_keeps_what_is_needed_and_what_is_not_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
