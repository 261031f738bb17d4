#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "idx.h"

static char dir[64];

/* Two images of 2 x 3 and their labels, as the format writes them. */
static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0,  2,   0, 0,
                                 0, 3, 0, 1, 2, 3, 4, 5, 6, 7, 51, 102, 9, 255};
static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/pf idx XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static const char *in_dir(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void put_gz(const char *name, const void *p, size_t n)
{
    gzFile f = gzopen(in_dir(name), "wb");

    assert_non_null(f);
    assert_int_equal(gzwrite(f, p, (unsigned)n), (int)n);
    assert_int_equal(gzclose(f), Z_OK);
}

static void drop(const char *name)
{
    assert_int_equal(unlink(in_dir(name)), 0);
}

static void check_two_examples(const struct pf_idx *d)
{
    float x[6];
    uint32_t label;

    assert_int_equal(d->n, 2);
    assert_int_equal(d->h, 2);
    assert_int_equal(d->w, 3);
    assert_int_equal(pf_idx_get(d, 1, x, &label), POCKETFED_OK);
    assert_int_equal(label, 9);
    assert_true(x[0] == 6.0f / 255.0f);
    assert_true(x[2] == 0.2f && x[3] == 0.4f && x[5] == 1.0f);
    assert_int_equal(pf_idx_get(d, 0, x, &label), POCKETFED_OK);
    assert_int_equal(label, 7);
    assert_int_equal(pf_idx_get(d, 2, x, &label), POCKETFED_INVALID);
}

static void reads_the_four_spellings(void **state)
{
    const char *const names[4][2] = {
        {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
        {"t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"},
        {"t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"},
        {"t10k-images.idx3-ubyte.gz", "t10k-labels.idx1-ubyte.gz"},
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pf_idx d = {0};
        struct pf_error err = {0};

        (i % 2 ? put_gz : put)(names[i][0], images, sizeof images);
        (i % 2 ? put_gz : put)(names[i][1], labels, sizeof labels);
        assert_int_equal(pf_idx_load(dir, "t10k", &d, &err), POCKETFED_OK);
        check_two_examples(&d);
        pf_idx_free(&d);
        assert_null(d.images);
        drop(names[i][0]);
        drop(names[i][1]);
    }
}

static void says_which_names_it_looked_for(void **state)
{
    struct pf_idx d = {0};
    struct pf_error err = {0};

    (void)state;
    assert_int_equal(pf_idx_load(dir, "train", &d, &err), POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, dir));
    assert_non_null(strstr(err.text, "train-images-idx3-ubyte"));
    assert_non_null(strstr(err.text, "train-images.idx3-ubyte"));
    assert_non_null(strstr(err.text, ".gz"));
    assert_non_null(strstr(err.hint, "fetch-data"));

    put("train-images-idx3-ubyte", images, sizeof images);
    assert_int_equal(pf_idx_load(dir, "train", &d, &err), POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, "train-labels-idx1-ubyte"));
    assert_null(d.images);
    drop("train-images-idx3-ubyte");
}

/* The status of reading these bytes as images, from a plain file, from a gzip
 * file and from memory: all three agree. */
static enum pocketfed_status status_of(const uint8_t *p, size_t n)
{
    struct pf_idx d = {0};
    struct pf_error err = {0};
    enum pocketfed_status plain, gz, memory;

    put("x", p, n);
    put_gz("x.gz", p, n);
    plain = pf_idx_load_images(in_dir("x"), &d, &err);
    pf_idx_free(&d);
    if (plain != POCKETFED_OK)
        assert_non_null(strstr(err.text, in_dir("x")));
    gz = pf_idx_load_images(in_dir("x.gz"), &d, NULL);
    pf_idx_free(&d);
    memory = pf_idx_parse(p, n, &d, NULL);
    pf_idx_free(&d);
    assert_int_equal(plain, gz);
    assert_int_equal(plain, memory);
    return plain;
}

static void refuses_every_truncation_and_every_extra_byte(void **state)
{
    uint8_t longer[sizeof images + 20] = {0};

    (void)state;
    assert_int_equal(status_of(images, sizeof images), POCKETFED_OK);
    for (size_t n = 0; n < sizeof images; n++)
        assert_int_equal(status_of(images, n), POCKETFED_MALFORMED);
    memcpy(longer, images, sizeof images);
    for (size_t n = sizeof images + 1; n <= sizeof longer; n++)
        assert_int_equal(status_of(longer, n), POCKETFED_MALFORMED);
}

static void refuses_labels_cut_short_or_too_long(void **state)
{
    uint8_t longer[sizeof labels + 20] = {0};
    struct pf_idx d = {0};

    (void)state;
    memcpy(longer, labels, sizeof labels);
    for (size_t n = 0; n <= sizeof longer; n++) {
        put("l", longer, n);
        assert_int_equal(pf_idx_load_labels(in_dir("l"), &d, NULL),
                         n == sizeof labels ? POCKETFED_OK
                                            : POCKETFED_MALFORMED);
        pf_idx_free(&d);
    }
}

static void refuses_another_magic_number_by_name(void **state)
{
    uint8_t bad[sizeof images];
    struct pf_idx d = {0};
    struct pf_error err = {0};

    (void)state;
    memcpy(bad, images, sizeof images);
    bad[2] = 0x0d; /* floats */
    assert_int_equal(status_of(bad, sizeof bad), POCKETFED_MALFORMED);
    put("bad", bad, sizeof bad);
    assert_int_equal(pf_idx_load_images(in_dir("bad"), &d, &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "00000d03"));
}

static void refuses_labels_where_images_are_wanted(void **state)
{
    struct pf_idx d = {0};
    struct pf_error err = {0};

    (void)state;
    put("swapped", labels, sizeof labels);
    assert_int_equal(pf_idx_load_images(in_dir("swapped"), &d, &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "holds labels, not images"));
    put("swapped", images, sizeof images);
    assert_int_equal(pf_idx_load_labels(in_dir("swapped"), &d, &err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "holds images, not labels"));
}

static void refuses_sizes_beyond_the_limits_before_taking_memory(void **state)
{
    uint8_t bad[sizeof images];

    (void)state;
    for (size_t at = 4; at < 16; at += 4) {
        memcpy(bad, images, sizeof images);
        memset(bad + at, 0xff, 4);
        assert_int_equal(status_of(bad, sizeof bad), POCKETFED_LIMIT);
        memset(bad + at, 0, 4);
        assert_int_equal(status_of(bad, sizeof bad), POCKETFED_MALFORMED);
    }
    memcpy(bad, images, sizeof images); /* each fine, the product is not */
    memcpy(bad + 4, "\0\xa0\0\0\0\0\x10\0\0\0\x10\0", 12);
    assert_int_equal(status_of(bad, sizeof bad), POCKETFED_LIMIT);
}

static void refuses_a_gzip_file_that_is_cut_or_damaged(void **state)
{
    uint8_t packed[256];
    size_t n;
    FILE *f;
    struct pf_idx d = {0};

    (void)state;
    put_gz("whole.gz", images, sizeof images);
    f = fopen(in_dir("whole.gz"), "rb");
    assert_non_null(f);
    n = fread(packed, 1, sizeof packed, f);
    fclose(f);
    for (size_t k = 3; k < n; k++) {
        put("cut.gz", packed, k);
        assert_int_equal(pf_idx_load_images(in_dir("cut.gz"), &d, NULL),
                         POCKETFED_MALFORMED);
    }
    packed[n - 5] ^= 1; /* the checksum */
    put("cut.gz", packed, n);
    assert_int_equal(pf_idx_load_images(in_dir("cut.gz"), &d, NULL),
                     POCKETFED_MALFORMED);
    assert_null(d.images);
}

static void refuses_counts_that_differ(void **state)
{
    const uint8_t three[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 9, 1};
    struct pf_idx d = {0};
    struct pf_error err = {0};

    (void)state;
    put("train-images-idx3-ubyte", images, sizeof images);
    put("train-labels-idx1-ubyte", three, sizeof three);
    assert_int_equal(pf_idx_load(dir, "train", &d, &err), POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "2 train images but 3 labels"));
    assert_null(d.images);
}

static void a_missing_file_and_a_folder_are_told_apart(void **state)
{
    struct pf_idx d = {0};

    (void)state;
    assert_int_equal(pf_idx_load_images(in_dir("absent"), &d, NULL),
                     POCKETFED_NOT_FOUND);
    assert_int_equal(pf_idx_load_images(dir, &d, NULL), POCKETFED_IO);
}

static void a_pipe_is_refused_at_once(void **state)
{
    struct pf_error err = {0};
    struct pf_idx d = {0};

    (void)state;
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    alarm(20);
    assert_int_equal(pf_idx_load_images(in_dir("pipe"), &d, &err),
                     POCKETFED_IO);
    alarm(0);
    assert_non_null(strstr(err.text, "not a regular file"));
}

static void writes_what_it_can_read(void **state)
{
    const uint32_t chosen[] = {1, 0, 1};
    struct pf_idx d = {0}, e = {0};
    struct stat st;

    (void)state;
    put("t10k-images-idx3-ubyte", images, sizeof images);
    put("t10k-labels-idx1-ubyte", labels, sizeof labels);
    assert_int_equal(pf_idx_load(dir, "t10k", &d, NULL), POCKETFED_OK);
    assert_int_equal(pf_idx_write(dir, "train", &d, chosen, 3, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_idx_load(dir, "train", &e, NULL), POCKETFED_OK);
    assert_int_equal(e.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(e.labels[i], d.labels[chosen[i]]);
        assert_memory_equal(e.images + 6 * i, d.images + 6 * chosen[i], 6);
    }
    assert_int_equal(stat(in_dir("train-images-idx3-ubyte"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    pf_idx_free(&e);

    /* All examples in order give the very bytes that were read. */
    assert_int_equal(
        pf_idx_write(dir, "same", &d, (const uint32_t[]){0, 1}, 2, NULL),
        POCKETFED_OK);
    assert_int_equal(stat(in_dir("same-images-idx3-ubyte"), &st), 0);
    assert_int_equal(st.st_size, sizeof images);
    pf_idx_free(&d);
}

static void refuses_to_write_examples_that_are_not_there(void **state)
{
    const uint32_t chosen[] = {2};
    struct pf_idx d = {0};
    struct pf_error err = {0};

    (void)state;
    put("x", images, sizeof images);
    assert_int_equal(pf_idx_load_images(in_dir("x"), &d, NULL), POCKETFED_OK);
    assert_int_equal(pf_idx_write(dir, "none", &d, chosen, 1, &err),
                     POCKETFED_INVALID); /* no labels */
    d.labels = calloc(2, 1);
    assert_int_equal(pf_idx_write(dir, "none", &d, chosen, 1, &err),
                     POCKETFED_INVALID);
    assert_string_equal(err.text, "there is no example 2 among 2");
    assert_int_equal(pf_idx_write(dir, "none", &d, chosen, 0, &err),
                     POCKETFED_INVALID);
    assert_int_equal(access(in_dir("none-images-idx3-ubyte"), F_OK), -1);
    pf_idx_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_four_spellings),
        cmocka_unit_test(says_which_names_it_looked_for),
        cmocka_unit_test(refuses_every_truncation_and_every_extra_byte),
        cmocka_unit_test(refuses_labels_cut_short_or_too_long),
        cmocka_unit_test(refuses_another_magic_number_by_name),
        cmocka_unit_test(refuses_labels_where_images_are_wanted),
        cmocka_unit_test(refuses_sizes_beyond_the_limits_before_taking_memory),
        cmocka_unit_test(refuses_a_gzip_file_that_is_cut_or_damaged),
        cmocka_unit_test(refuses_counts_that_differ),
        cmocka_unit_test(a_missing_file_and_a_folder_are_told_apart),
        cmocka_unit_test(a_pipe_is_refused_at_once),
        cmocka_unit_test(writes_what_it_can_read),
        cmocka_unit_test(refuses_to_write_examples_that_are_not_there),
    };

    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
