#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "tmpdir.h"

static char dir[256], path[300];

static int set_up(void **state)
{
    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    return pf_path_join(dir, "a", path, sizeof path, NULL) != POCKETFED_OK;
}

static int tear_down(void **state)
{
    (void)state;
    pf_tmpdir_remove(dir);
    return 0;
}

static void put(const char *text)
{
    struct pf_error err;

    if (pf_file_replace(path, text, strlen(text), 0600, &err) != POCKETFED_OK)
        fail_msg("%s", err.text);
}

static int entries(void)
{
    DIR *d = opendir(dir);
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void what_was_written_is_read(void **state)
{
    struct pf_buf b;
    struct stat info;

    (void)state;
    pf_buf_init(&b, 100);
    put("one");
    put("two");
    pf_buf_adds(&b, "zero ");
    assert_int_equal(pf_file_read(path, &b, NULL), POCKETFED_OK);
    assert_string_equal(pf_buf_str(&b), "zero two");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(entries(), 1); /* no temporary is left */
    pf_buf_free(&b);
}

static void a_file_is_read_up_to_the_maximum(void **state)
{
    struct pf_error err;
    struct pf_buf b;

    (void)state;
    put("12345");
    pf_buf_init(&b, 5);
    assert_int_equal(pf_file_read(path, &b, &err), POCKETFED_OK);
    assert_int_equal(b.len, 5);
    pf_buf_clear(&b);
    put("123456");
    pf_buf_adds(&b, "x");
    assert_int_equal(pf_file_read(path, &b, &err), POCKETFED_LIMIT);
    assert_string_equal(pf_buf_str(&b), "x"); /* untouched */
    assert_non_null(strstr(err.text, "4 bytes"));
    put("");
    assert_int_equal(pf_file_read(path, &b, &err), POCKETFED_OK);
    assert_int_equal(b.len, 1);
    pf_buf_free(&b);
}

/* /proc says 0 bytes: read until the end. */
static void a_file_without_a_size_is_read_too(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 1 << 20);
    assert_int_equal(pf_file_read("/proc/self/status", &b, NULL), POCKETFED_OK);
    assert_non_null(strstr(pf_buf_str(&b), "VmSize"));
    pf_buf_free(&b);
    pf_buf_init(&b, 10);
    assert_int_equal(pf_file_read("/proc/self/status", &b, NULL),
                     POCKETFED_LIMIT);
    assert_int_equal(b.len, 0);
    pf_buf_free(&b);
}

/* A pipe that nobody writes to would be waited for until the alarm. */
static void a_pipe_or_a_device_is_refused_at_once(void **state)
{
    const char *const paths[] = {path, "/dev/zero"};
    struct pf_error err;
    struct pf_buf b;
    size_t i;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    pf_buf_init(&b, 10);
    alarm(20);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pf_file_read(paths[i], &b, &err), POCKETFED_IO);
        assert_non_null(strstr(err.text, paths[i]));
        assert_non_null(strstr(err.text, "not a regular file"));
    }
    alarm(0);
    assert_int_equal(b.len, 0);
    pf_buf_free(&b);
}

static void says_which_file_is_not_there(void **state)
{
    struct pf_error err;
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, 10);
    assert_int_equal(pf_file_read(path, &b, &err), POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(pf_file_read(dir, &b, &err), POCKETFED_IO);
    assert_non_null(strstr(err.text, "directory"));
    pf_buf_free(&b);
}

static void a_replace_that_fails_leaves_nothing_behind(void **state)
{
    char inside[400];
    struct pf_error err;

    (void)state;
    pf_path_join(path, "x", inside, sizeof inside, NULL);
    assert_int_equal(pf_file_replace(inside, "x", 1, 0600, &err), POCKETFED_IO);
    assert_int_equal(entries(), 0);
    assert_int_equal(pf_dir_make(inside, 0700, &err), POCKETFED_OK);
    /* A directory that is not empty cannot be replaced by a file. */
    assert_int_equal(pf_file_replace(path, "x", 1, 0600, &err), POCKETFED_IO);
    assert_int_equal(entries(), 1);
}

static void directories_are_made_with_their_parents(void **state)
{
    char deep[400];
    struct pf_error err;
    struct stat info;

    (void)state;
    pf_path_join(path, "b//c/", deep, sizeof deep, NULL);
    assert_int_equal(pf_dir_make(deep, 0700, &err), POCKETFED_OK);
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(pf_dir_make(deep, 0700, &err), POCKETFED_OK);
    assert_int_equal(pf_dir_sync(deep, &err), POCKETFED_OK);
    assert_int_equal(pf_dir_make("", 0700, &err), POCKETFED_INVALID);
}

static void a_file_is_no_directory(void **state)
{
    char below[400];
    struct pf_error err;

    (void)state;
    put("x");
    assert_int_equal(pf_dir_make(path, 0700, &err), POCKETFED_IO);
    pf_path_join(path, "b", below, sizeof below, NULL);
    assert_int_equal(pf_dir_make(below, 0700, &err), POCKETFED_IO);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(pf_dir_sync(path, &err), POCKETFED_IO);
}

static void a_lock_is_held_once_and_names_its_holder(void **state)
{
    char pid[32];
    struct pf_error err;
    int first = -1, second = -1;

    (void)state;
    assert_int_equal(pf_file_lock(path, &first, &err), POCKETFED_OK);
    assert_int_equal(pf_file_lock(path, &second, &err), POCKETFED_LOCKED);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_int_equal(second, -1);
    close(first);
    assert_int_equal(pf_file_lock(path, &second, &err), POCKETFED_OK);
    close(second);
}

static void paths_are_joined_or_refused(void **state)
{
    char out[8] = "old";
    struct pf_error err;

    (void)state;
    assert_int_equal(pf_path_join("abc", "defg", out, sizeof out, &err),
                     POCKETFED_LIMIT);
    assert_string_equal(out, "old");
    assert_int_equal(pf_path_join("abc", "def", out, sizeof out, &err),
                     POCKETFED_OK);
    assert_string_equal(out, "abc/def");
    assert_int_equal(pf_path_join("/", "x", out, sizeof out, &err),
                     POCKETFED_OK);
    assert_string_equal(out, "/x");
    assert_int_equal(pf_path_join("", "x", out, sizeof out, &err),
                     POCKETFED_INVALID);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read),
        TEST(a_file_is_read_up_to_the_maximum),
        TEST(a_file_without_a_size_is_read_too),
        TEST(a_pipe_or_a_device_is_refused_at_once),
        TEST(says_which_file_is_not_there),
        TEST(a_replace_that_fails_leaves_nothing_behind),
        TEST(directories_are_made_with_their_parents),
        TEST(a_file_is_no_directory),
        TEST(a_lock_is_held_once_and_names_its_holder),
        TEST(paths_are_joined_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
