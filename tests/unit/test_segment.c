#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pen.h"
#include "tmpdir.h"
#include "window.h"

static char dir[256];
static struct pf_error err;

static int make_dir(void **state)
{
    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    pf_tmpdir_remove(dir);
    return 0;
}

static struct pf_segment *open_segment(int64_t task, uint64_t round)
{
    struct pf_segment *s = NULL;

    assert_int_equal(pf_segment_open(dir, task, round, &s, &err), POCKETFED_OK);
    return s;
}

static struct pf_extent reserve(struct pf_segment *s, size_t len)
{
    struct pf_extent e = {0};

    assert_int_equal(pf_segment_reserve(s, len, &e, &err), POCKETFED_OK);
    assert_int_equal(e.length, len);
    assert_int_equal(e.offset % 4096, 0);
    return e;
}

static int exists(const char *name)
{
    char path[400];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &info) == 0;
}

static void check_bytes(struct pf_segment *s, const struct pf_extent *e,
                        char want)
{
    const uint8_t *p;
    size_t i;

    assert_int_equal(pf_segment_map(s, e, &p, &err), POCKETFED_OK);
    for (i = 0; i < e->length; i++)
        assert_int_equal(p[i], want);
    pf_segment_unmap(s, p, e);
}

static void fill(struct pf_segment *s, const struct pf_extent *e, char with)
{
    char *p = malloc(e->length);

    assert_non_null(p);
    memset(p, with, e->length);
    assert_int_equal(pf_segment_write(s, e->offset, p, e->length, &err),
                     POCKETFED_OK);
    free(p);
}

static void extents_do_not_touch_each_other(void **state)
{
    struct pf_segment *s = open_segment(7, 3);
    struct pf_extent a, b, c;

    (void)state;
    assert_true(exists("journal/7/3.seg"));
    a = reserve(s, 1);
    b = reserve(s, 4097);
    c = reserve(s, 4096);
    assert_int_equal(a.offset, 0);
    assert_int_equal(b.offset, 4096);
    assert_int_equal(c.offset, 3 * 4096);
    fill(s, &b, 'b');
    fill(s, &c, 'c');
    fill(s, &a, 'a');
    assert_int_equal(pf_segment_sync(s, &err), POCKETFED_OK);
    check_bytes(s, &a, 'a');
    check_bytes(s, &b, 'b');
    check_bytes(s, &c, 'c');
    pf_segment_unref(s);
}

static void released_space_is_used_again_and_joined(void **state)
{
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent e[5];
    int i;

    (void)state;
    for (i = 0; i < 5; i++)
        e[i] = reserve(s, 4000);
    pf_segment_release(s, &e[1]);
    pf_segment_release(s, &e[3]);
    assert_int_equal(reserve(s, 5000).offset, 5 * 4096); /* fits no hole */
    pf_segment_release(s, &e[2]);                        /* joins the two */
    assert_int_equal(reserve(s, 3 * 4096).offset, 4096);
    assert_int_equal(reserve(s, 1).offset, 7 * 4096);
    pf_segment_unref(s);
}

static void what_was_kept_is_not_given_again(void **state)
{
    static const uint64_t at[] = {8, 2, 3, 12};
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent e;
    uint64_t taken[24] = {0};
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        e = (struct pf_extent){at[i] * 4096, 100};
        pf_segment_keep(s, &e);
        taken[at[i]] = 1;
    }
    for (i = 0; i < 12; i++) {
        e = reserve(s, 100);
        assert_true(e.offset / 4096 < 24);
        assert_false(taken[e.offset / 4096]);
        taken[e.offset / 4096] = 1;
    }
    for (i = 0; i < 16; i++) /* without a gap */
        assert_true(taken[i]);
    pf_segment_unref(s);
}

static void bytes_are_there_after_it_was_opened_again(void **state)
{
    struct pf_segment *s = open_segment(1, 9);
    struct pf_extent e = reserve(s, 70000);

    (void)state;
    fill(s, &e, 'x');
    pf_segment_unref(s);
    s = open_segment(1, 9);
    pf_segment_keep(s, &e);
    check_bytes(s, &e, 'x');
    assert_int_equal(reserve(s, 1).offset, 18 * 4096);
    pf_segment_unref(s);
}

static void large_extents_are_aligned_without_wasting_much(void **state)
{
    static const size_t sizes[] = {1,      5000,   40000,  70000,
                                   247056, 300000, 1724544};
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent e, last = {0, 0};
    uint64_t used = 0;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        e = reserve(s, sizes[i]);
        assert_true(e.offset >= last.offset + last.length);
        used += sizes[i];
        last = e;
        if (sizes[i] > 8 * 65536)
            assert_int_equal(e.offset % 65536, 0);
    }
    assert_int_equal(reserve(s, 247056).offset % 65536, 0);
    /* Between the extents lie gaps, and small ones fill them. */
    assert_true(last.offset + last.length < used + used / 4);
    assert_true(reserve(s, 1).offset < last.offset);
    pf_segment_unref(s);
}

static void what_another_release_kept_is_not_given_again(void **state)
{
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent a = {0, 247056}, b = {61 * 4096, 247056}, e;

    (void)state;
    pf_segment_keep(s, &a);
    pf_segment_keep(s, &b);
    e = reserve(s, 100);
    assert_true(e.offset >= b.offset + b.length);
    e = reserve(s, 247056);
    assert_true(e.offset >= b.offset + b.length);
    pf_segment_unref(s);
}

static void a_pen_writes_what_it_was_given_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1, 16384, 65536, 200000, 3, 16384, 70000};
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent before = reserve(s, 5000), e = reserve(s, 400000);
    uint8_t *p = malloc(e.length);
    struct pf_pen pen = {0};
    const uint8_t *got;
    size_t at = 0, n, i;

    (void)state;
    (void)before; /* so that the extent begins in the middle of a piece */
    assert_int_not_equal(e.offset % PF_PEN_BYTES, 0);
    for (i = 0; i < e.length; i++)
        p[i] = (uint8_t)(i * 2654435761u >> 24);
    for (i = 0; at < e.length; i++, at += n) {
        n = pieces[i % 7] < e.length - at ? pieces[i % 7] : e.length - at;
        assert_int_equal(pf_pen_write(&pen, s, e.offset + at, p + at, n, &err),
                         POCKETFED_OK);
        assert_true(pen.n < PF_PEN_BYTES);
    }
    assert_true(pen.n > 0); /* what flush is for */
    assert_int_equal(pf_pen_flush(&pen, s, &err), POCKETFED_OK);
    assert_int_equal(pf_segment_map(s, &e, &got, &err), POCKETFED_OK);
    assert_memory_equal(got, p, e.length);
    pf_segment_unmap(s, got, &e);
    pf_pen_free(&pen);
    pf_segment_unref(s);
    free(p);
}

/* More at once than there are windows, some across the edge of one. */
static void many_can_be_read_at_once_wherever_they_lie(void **state)
{
    enum { N = 40 };
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent e[N];
    const uint8_t *p[N];
    int i, k;

    (void)state;
    for (i = 0; i < N; i++) {
        e[i] = reserve(s, 1500000);
        fill(s, &e[i], (char)i);
    }
    for (k = 0; k < 3; k++) {
        for (i = 0; i < N; i++)
            assert_int_equal(pf_segment_map(s, &e[i], &p[i], &err),
                             POCKETFED_OK);
        for (i = 0; i < N; i++) {
            assert_int_equal(p[i][0], i);
            assert_int_equal(p[i][e[i].length - 1], i);
            pf_segment_unmap(s, p[i], &e[i]);
        }
    }
    pf_segment_unref(s);
}

static void a_window_gives_way_only_when_nobody_uses_it(void **state)
{
    struct pf_windows w = {0};
    const uint8_t *p[PF_WINDOWS], *again;
    char path[400], mark;
    uint64_t i;
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/file", dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 10 * PF_WINDOW), 0);
    for (i = 0; i < PF_WINDOWS; i++) {
        mark = (char)('a' + i);
        assert_int_equal(pwrite(fd, &mark, 1, (off_t)(i * PF_WINDOW + 5)), 1);
        p[i] = pf_windows_take(&w, fd, i * PF_WINDOW + 5, 10);
        assert_int_equal(p[i][0], mark);
    }
    again = pf_windows_take(&w, fd, 5, PF_WINDOW - 5);
    assert_ptr_equal(again, p[0]); /* the same, used twice */
    assert_null(pf_windows_take(&w, fd, 9 * PF_WINDOW, 10));
    assert_null(pf_windows_take(&w, fd, 5, PF_WINDOW - 4)); /* over its edge */
    assert_true(pf_windows_give(&w, p[0]));
    assert_null(pf_windows_take(&w, fd, 9 * PF_WINDOW, 10));
    assert_true(pf_windows_give(&w, again));
    assert_non_null(pf_windows_take(&w, fd, 9 * PF_WINDOW, 10));
    assert_false(pf_windows_give(&w, (const uint8_t *)path));
    for (i = PF_WINDOWS; i-- > 1;)
        assert_true(pf_windows_give(&w, p[i]));
    for (i = PF_WINDOWS; i-- > 0;) { /* the first has lost its place */
        p[i] = pf_windows_take(&w, fd, i * PF_WINDOW + 5, 10);
        assert_int_equal(p[i][0], 'a' + i);
        assert_true(pf_windows_give(&w, p[i]));
    }
    pf_windows_close(&w);
    close(fd);
}

static void what_is_written_after_it_was_mapped_is_seen(void **state)
{
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent a = reserve(s, 100), b;
    const uint8_t *p;

    (void)state;
    fill(s, &a, 'a');
    check_bytes(s, &a, 'a');
    b = reserve(s, 300000); /* beyond the end of the file until now */
    fill(s, &b, 'b');
    check_bytes(s, &b, 'b');
    assert_int_equal(pf_segment_map(s, &a, &p, &err), POCKETFED_OK);
    fill(s, &a, 'c');
    assert_int_equal(p[99], 'c');
    pf_segment_unmap(s, p, &a);
    pf_segment_unref(s);
}

static void refuses_to_map_what_is_not_there(void **state)
{
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent e = {1u << 20, 10};
    const uint8_t *p;

    (void)state;
    reserve(s, 10);
    assert_int_equal(pf_segment_map(s, &e, &p, &err), POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "1.seg"));
    e = (struct pf_extent){0, UINT64_MAX};
    assert_int_equal(pf_segment_map(s, &e, &p, &err), POCKETFED_PROOF);
    e = (struct pf_extent){UINT64_MAX - 4095, 10};
    assert_int_equal(pf_segment_map(s, &e, &p, &err), POCKETFED_PROOF);
    e = (struct pf_extent){0, 0};
    assert_int_equal(pf_segment_map(s, &e, &p, &err), POCKETFED_PROOF);
    pf_segment_unref(s);
}

static void refuses_an_extent_of_no_bytes_or_of_too_many(void **state)
{
    struct pf_segment *s = open_segment(1, 1);
    struct pf_extent e;

    (void)state;
    assert_int_equal(pf_segment_reserve(s, 0, &e, &err), POCKETFED_INVALID);
    assert_int_equal(pf_segment_reserve(s, SIZE_MAX, &e, &err),
                     POCKETFED_INVALID);
    pf_segment_unref(s);
}

static void an_unlinked_segment_lives_until_its_last_user(void **state)
{
    struct pf_segment *s = open_segment(1, 1), *other = pf_segment_ref(s);
    struct pf_extent e = reserve(s, 100);

    (void)state;
    fill(s, &e, 'u');
    pf_segment_unlink(s);
    assert_false(exists("journal/1/1.seg"));
    pf_segment_unref(s);
    check_bytes(other, &e, 'u');
    pf_segment_unref(other);
}

static int only_two_of_seven(void *ctx, int64_t task, uint64_t round)
{
    int *asked = ctx;

    ++*asked;
    return task == 7 && round == 2;
}

static void a_sweep_removes_what_no_open_round_names(void **state)
{
    char path[400];
    int asked = 0;
    FILE *f;

    (void)state;
    assert_int_equal(pf_segment_sweep(dir, only_two_of_seven, &asked, &err),
                     POCKETFED_OK); /* no journal yet */
    pf_segment_unref(open_segment(7, 1));
    pf_segment_unref(open_segment(7, 2));
    pf_segment_unref(open_segment(8, 2));
    snprintf(path, sizeof path, "%s/journal/7/notes", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(pf_segment_sweep(dir, only_two_of_seven, &asked, &err),
                     POCKETFED_OK);
    assert_int_equal(asked, 3);
    assert_false(exists("journal/7/1.seg"));
    assert_true(exists("journal/7/2.seg"));
    assert_false(exists("journal/8/2.seg"));
    assert_true(exists("journal/7/notes")); /* not ours */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(extents_do_not_touch_each_other),
        TEST(released_space_is_used_again_and_joined),
        TEST(what_was_kept_is_not_given_again),
        TEST(bytes_are_there_after_it_was_opened_again),
        TEST(large_extents_are_aligned_without_wasting_much),
        TEST(what_another_release_kept_is_not_given_again),
        TEST(a_pen_writes_what_it_was_given_in_any_pieces),
        TEST(many_can_be_read_at_once_wherever_they_lie),
        TEST(a_window_gives_way_only_when_nobody_uses_it),
        TEST(what_is_written_after_it_was_mapped_is_seen),
        TEST(refuses_to_map_what_is_not_there),
        TEST(refuses_an_extent_of_no_bytes_or_of_too_many),
        TEST(an_unlinked_segment_lives_until_its_last_user),
        TEST(a_sweep_removes_what_no_open_round_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
