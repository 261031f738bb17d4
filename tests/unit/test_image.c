#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <png.h>
#include "image.h"
#include "tmpdir.h"

static void near_to(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-6);
}

static enum pocketfed_status parse_text(const char *text, uint32_t h,
                                        uint32_t w, float *x,
                                        struct pf_error *err)
{
    return pf_image_parse((const uint8_t *)text, strlen(text), "it.pgm", h, w,
                          0, x, err);
}

/* ---- PGM ---- */

static void reads_plain_pgm_with_comments(void **state)
{
    float x[4];

    (void)state;
    assert_int_equal(parse_text("P2 # grey\n# size\n2 2 # most\n4\n0 1\n\t2 4",
                                2, 2, x, NULL),
                     POCKETFED_OK);
    near_to((double)x[0], 0);
    near_to((double)x[1], 0.25);
    near_to((double)x[2], 0.5);
    near_to((double)x[3], 1);
}

static void reads_binary_pgm_of_one_and_two_bytes(void **state)
{
    static const uint8_t one[] = "P5\n2 1\n255\n\x33\xff";
    static const uint8_t two[] = "P5\n2 1\n65535\n\x33\x33\xff\xff";
    float x[2];

    (void)state;
    assert_int_equal(
        pf_image_parse(one, sizeof one - 1, "it", 1, 2, 0, x, NULL),
        POCKETFED_OK);
    near_to((double)x[0], 0.2);
    near_to((double)x[1], 1);
    assert_int_equal(
        pf_image_parse(two, sizeof two - 1, "it", 1, 2, 0, x, NULL),
        POCKETFED_OK);
    near_to((double)x[0], 0.2);
    near_to((double)x[1], 1);
    for (size_t n = 2; n < sizeof two - 1; n++)
        assert_int_equal(pf_image_parse(two, n, "it", 1, 2, 0, x, NULL),
                         POCKETFED_MALFORMED);
}

static void inverts_ink_on_paper(void **state)
{
    static const uint8_t p5[] = "P5 2 1 255\n\x00\xff";
    float x[2];

    (void)state;
    assert_int_equal(pf_image_parse(p5, sizeof p5 - 1, "it", 1, 2, 1, x, NULL),
                     POCKETFED_OK);
    near_to((double)x[0], 1);
    near_to((double)x[1], 0);
}

static void refuses_damaged_pgm(void **state)
{
    const char *const bad[] = {
        "P2",           "P2 2",         "P2 2 2",          "P2 0 2 255",
        "P2 2 2 0 0",   "P2 1 1 65536", "P2 2 2 255 1 2",  "P2 1 1 9 10",
        "P2 1 1 9 x",   "P2 -1 1 9 1",  "P2 1 1 9 999999", "P5 1 1 9",
        "P5 2 2 9\nab",
    };
    float x[4];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pf_error err = {0};

        assert_int_equal(parse_text(bad[i], 2, 2, x, &err),
                         POCKETFED_MALFORMED);
        assert_non_null(strstr(err.text, "it.pgm"));
    }
}

static void refuses_a_picture_over_the_limit_before_taking_memory(void **state)
{
    struct pf_error err = {0};
    float x[4];

    (void)state;
    assert_int_equal(parse_text("P2 4097 1 9 1", 2, 2, x, &err),
                     POCKETFED_LIMIT);
    assert_non_null(strstr(err.text, "4097x1"));
    assert_int_equal(parse_text("P2 1 65535 9 1", 2, 2, x, &err),
                     POCKETFED_LIMIT);
    assert_int_equal(parse_text("P2 1 1 9 1", 0, 2, x, &err),
                     POCKETFED_INVALID);
    assert_int_equal(parse_text("P2 1 1 9 1", 2, 4097, x, &err),
                     POCKETFED_INVALID);
}

static void says_that_it_is_neither_png_nor_pgm(void **state)
{
    const char *const other[] = {"", "P", "P6 1 1 255\nabc", "GIF89a"};
    struct pf_error err = {0};
    float x[1];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(parse_text(other[i], 1, 1, x, &err),
                         POCKETFED_UNSUPPORTED);
    assert_string_equal(err.text, "it.pgm is neither a PNG nor a PGM file");
    assert_non_null(strstr(err.hint, "PNG"));
}

/* ---- the box filter ---- */

static void shrinking_by_two_takes_the_mean_of_four(void **state)
{
    float x[2];

    (void)state;
    assert_int_equal(parse_text("P2 4 2 8  0 2 8 8  4 2 8 8", 1, 2, x, NULL),
                     POCKETFED_OK);
    near_to((double)x[0], 0.25);
    near_to((double)x[1], 1);
}

static void three_pixels_become_two_by_area(void **state)
{
    float x[2];

    (void)state; /* (0 + 0.5*6)/1.5 and (0.5*6 + 3)/1.5, of 6 */
    assert_int_equal(parse_text("P2 3 1 6 0 6 3", 1, 2, x, NULL), POCKETFED_OK);
    near_to((double)x[0], 2.0 / 6.0);
    near_to((double)x[1], 4.0 / 6.0);
}

static void growing_repeats_pixels(void **state)
{
    float x[16];

    (void)state;
    assert_int_equal(parse_text("P2 2 2 4 0 1 2 4", 4, 4, x, NULL),
                     POCKETFED_OK);
    for (size_t i = 0; i < 16; i++)
        near_to((double)x[i],
                (double[]){0, 0.25, 0.5, 1}[i / 8 * 2 + i % 4 / 2]);
}

static void resampling_keeps_the_mean(void **state)
{
    char text[2048] = "P2 19 13 255\n";
    size_t at = strlen(text);
    double mean = 0, got = 0;
    float x[7 * 11];

    (void)state;
    for (int i = 0; i < 19 * 13; i++) {
        int v = i * 97 % 256;

        at += (size_t)snprintf(text + at, sizeof text - at, "%d ", v);
        mean += v / 255.0 / (19 * 13);
    }
    assert_int_equal(parse_text(text, 7, 11, x, NULL), POCKETFED_OK);
    for (size_t i = 0; i < 7 * 11; i++)
        got += (double)x[i] / (7 * 11);
    near_to(got, mean);
}

/* ---- PNG ---- */

struct bytes {
    uint8_t p[2048];
    size_t len;
};

static void collect(png_structp png, png_bytep p, size_t n)
{
    struct bytes *b = png_get_io_ptr(png);

    assert_true(b->len + n <= sizeof b->p);
    memcpy(b->p + b->len, p, n);
    b->len += n;
}

/* Rows of `stride` bytes each, as the colour type and depth want them. */
static void write_png(struct bytes *b, uint32_t w, uint32_t h, int depth,
                      int type, int interlace, const uint8_t *rows,
                      size_t stride)
{
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    const png_color palette[2] = {{0, 0, 0}, {255, 255, 255}};
    int passes;

    b->len = 0;
    png_set_write_fn(png, b, collect, NULL);
    png_set_IHDR(png, info, w, h, depth, type, interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 2);
    png_write_info(png, info);
    passes = png_set_interlace_handling(png);
    while (passes-- > 0)
        for (uint32_t y = 0; y < h; y++)
            png_write_row(png, rows + y * stride);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
}

static void reads_every_kind_of_png(void **state)
{
    /* Two pixels each, black and white. */
    static const struct {
        int depth, type;
        size_t stride;
        uint8_t row[16];
    } kinds[] = {
        {1, PNG_COLOR_TYPE_GRAY, 1, {0x40}},
        {4, PNG_COLOR_TYPE_GRAY, 1, {0x0f}},
        {8, PNG_COLOR_TYPE_GRAY, 2, {0, 255}},
        {16, PNG_COLOR_TYPE_GRAY, 4, {0, 0, 255, 255}},
        {8, PNG_COLOR_TYPE_GRAY_ALPHA, 4, {0, 255, 255, 255}},
        {8, PNG_COLOR_TYPE_RGB, 6, {0, 0, 0, 255, 255, 255}},
        {8, PNG_COLOR_TYPE_RGB_ALPHA, 8, {0, 0, 0, 255, 255, 255, 255, 255}},
        {16,
         PNG_COLOR_TYPE_RGB,
         12,
         {0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255}},
        {1, PNG_COLOR_TYPE_PALETTE, 1, {0x40}},
        {8, PNG_COLOR_TYPE_PALETTE, 2, {0, 1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (int interlace = 0; interlace < 2; interlace++) {
            struct bytes b;
            float x[2] = {9, 9};

            write_png(&b, 2, 1, kinds[i].depth, kinds[i].type, interlace,
                      kinds[i].row, kinds[i].stride);
            assert_int_equal(pf_image_parse(b.p, b.len, "it", 1, 2, 0, x, NULL),
                             POCKETFED_OK);
            near_to((double)x[0], 0);
            near_to((double)x[1], 1);
        }
    }
}

static void grey_levels_arrive_as_they_were_written(void **state)
{
    uint8_t row[256], wide[512];
    struct bytes b;
    float x[256];

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        row[i] = (uint8_t)i;
        wide[2 * i] = wide[2 * i + 1] = (uint8_t)i; /* i * 257 */
    }
    write_png(&b, 256, 1, 8, PNG_COLOR_TYPE_GRAY, 0, row, 256);
    assert_int_equal(pf_image_parse(b.p, b.len, "it", 1, 256, 0, x, NULL),
                     POCKETFED_OK);
    for (unsigned i = 0; i < 256; i++)
        near_to((double)x[i], i / 255.0);
    write_png(&b, 256, 1, 16, PNG_COLOR_TYPE_GRAY, 0, wide, 512);
    assert_int_equal(pf_image_parse(b.p, b.len, "it", 1, 256, 0, x, NULL),
                     POCKETFED_OK);
    for (unsigned i = 0; i < 256; i++)
        near_to((double)x[i], i / 255.0);
}

static void transparent_parts_become_background(void **state)
{
    static const uint8_t row[] = {255, 0, 0, 0}; /* grey, alpha: both clear */
    struct bytes b;
    float x[2];

    (void)state;
    write_png(&b, 2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, row, 4);
    for (int invert = 0; invert < 2; invert++) {
        assert_int_equal(
            pf_image_parse(b.p, b.len, "it", 1, 2, invert, x, NULL),
            POCKETFED_OK);
        near_to((double)x[0], 0);
        near_to((double)x[1], 0);
    }
}

static void refuses_a_png_that_is_cut_or_damaged(void **state)
{
    uint8_t rows[64];
    struct bytes b;
    struct pf_error err = {0};
    float x[64];
    size_t data;

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        rows[i] = (uint8_t)(i * i * 37);
    write_png(&b, 8, 8, 8, PNG_COLOR_TYPE_GRAY, 0, rows, 8);
    data = b.len - 12 - 8; /* without IEND and the end of IDAT */
    for (size_t n = 8; n < data; n++)
        assert_int_equal(pf_image_parse(b.p, n, "it", 8, 8, 0, x, &err),
                         POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "it is a damaged PNG file: "));
    b.p[20] ^= 1; /* width, so the checksum of the header */
    assert_int_equal(pf_image_parse(b.p, b.len, "it", 8, 8, 0, x, &err),
                     POCKETFED_MALFORMED);
}

static void leaves_the_output_alone_on_failure(void **state)
{
    float x[4] = {7, 7, 7, 7};

    (void)state;
    assert_int_equal(parse_text("P2 2 2 9 1 1 1 x", 2, 2, x, NULL),
                     POCKETFED_MALFORMED);
    for (size_t i = 0; i < 4; i++)
        assert_true(x[i] == 7.0f);
}

static void loads_a_file_by_its_content_not_its_name(void **state)
{
    char dir[128], path[160];
    struct pf_error err = {0};
    float x[1];
    FILE *f;

    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/digit.png", dir);
    assert_int_equal(pf_image_load(path, 1, 1, 0, x, &err),
                     POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    f = fopen(path, "wb");
    assert_non_null(f);
    fputs("P2 1 1 2 1", f);
    fclose(f);
    assert_int_equal(pf_image_load(path, 1, 1, 0, x, &err), POCKETFED_OK);
    near_to((double)x[0], 0.5);
    pf_tmpdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_plain_pgm_with_comments),
        cmocka_unit_test(reads_binary_pgm_of_one_and_two_bytes),
        cmocka_unit_test(inverts_ink_on_paper),
        cmocka_unit_test(refuses_damaged_pgm),
        cmocka_unit_test(refuses_a_picture_over_the_limit_before_taking_memory),
        cmocka_unit_test(says_that_it_is_neither_png_nor_pgm),
        cmocka_unit_test(shrinking_by_two_takes_the_mean_of_four),
        cmocka_unit_test(three_pixels_become_two_by_area),
        cmocka_unit_test(growing_repeats_pixels),
        cmocka_unit_test(resampling_keeps_the_mean),
        cmocka_unit_test(reads_every_kind_of_png),
        cmocka_unit_test(grey_levels_arrive_as_they_were_written),
        cmocka_unit_test(transparent_parts_become_background),
        cmocka_unit_test(refuses_a_png_that_is_cut_or_damaged),
        cmocka_unit_test(leaves_the_output_alone_on_failure),
        cmocka_unit_test(loads_a_file_by_its_content_not_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
