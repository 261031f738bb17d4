#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bytes.h"
#include "codec.h"
#include "guard.h"

#define MAX_BYTES (1u << 20)

/* A number every codec can hold: a multiple of 1/8 between -32 and 32. */
static float number(size_t i)
{
    return (float)((int)(i * 2654435761u >> 7 & 511) - 256) / 8.0f;
}

static void encode_numbers(const struct pf_codec *c, size_t dim,
                           struct pf_buf *out)
{
    float x[64];

    assert_true(dim <= 64);
    for (size_t i = 0; i < dim; i++)
        x[i] = number(i);
    pf_buf_init(out, MAX_BYTES);
    assert_int_equal(c->encode(x, dim, 7, out), POCKETFED_OK);
    assert_true(out->len <= c->max_bytes(dim));
}

static const struct pf_codec *row(size_t i)
{
    const char *const *names = pf_codec_names();

    return names[i] ? pf_codec_find(names[i]) : NULL;
}

#define EACH_CODEC(c)                                                          \
    const struct pf_codec *c = NULL;                                           \
    for (size_t row_ = 0; (c = row(row_)) != NULL; row_++)

static void finds_each_codec_by_name_and_by_id(void **state)
{
    const char *const *names = pf_codec_names();

    (void)state;
    for (size_t i = 0; names[i]; i++) {
        const struct pf_codec *c = pf_codec_find(names[i]);

        assert_non_null(c);
        assert_string_equal(c->name, names[i]);
        assert_ptr_equal(pf_codec_by_id(c->id), c);
    }
    assert_int_equal(pf_codec_find("f32")->id, 1);
    assert_int_equal(pf_codec_find("f16")->id, 2);
    assert_null(pf_codec_find("f64"));
    assert_null(pf_codec_by_id(0));
    assert_null(pf_codec_by_id(255));
}

static void gives_back_what_was_encoded(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        for (size_t dim = 0; dim <= 64; dim++) {
            struct pf_buf b;
            float y[64];

            encode_numbers(c, dim, &b);
            assert_int_equal(c->decode(b.data, b.len, dim, 7, 0, dim, y),
                             POCKETFED_OK);
            for (size_t i = 0; i < dim; i++)
                assert_true(y[i] == number(i));
            pf_buf_free(&b);
        }
    }
}

static void appends_after_what_is_there(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        struct pf_buf b;
        float x = 1.5f, y = 0;

        pf_buf_init(&b, MAX_BYTES);
        assert_int_equal(pf_buf_adds(&b, "head"), POCKETFED_OK);
        assert_int_equal(c->encode(&x, 1, 0, &b), POCKETFED_OK);
        assert_memory_equal(b.data, "head", 4);
        assert_int_equal(c->decode(b.data + 4, b.len - 4, 1, 0, 0, 1, &y),
                         POCKETFED_OK);
        assert_true(x == y);
        pf_buf_free(&b);
    }
}

static void refuses_every_strict_prefix_and_every_longer_text(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        struct pf_buf b;
        float y[17];

        encode_numbers(c, 17, &b);
        for (size_t len = 0; len < b.len; len++)
            assert_int_equal(c->decode(b.data, len, 17, 7, 0, 17, y),
                             POCKETFED_MALFORMED);
        assert_int_equal(c->decode(b.data, b.len + 1, 17, 7, 0, 17, y),
                         POCKETFED_MALFORMED);
        pf_buf_free(&b);
    }
}

static void refuses_a_block_outside_the_vector(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        struct pf_buf b;
        float y[17];

        encode_numbers(c, 17, &b);
        assert_int_equal(c->decode(b.data, b.len, 17, 7, 17, 1, y),
                         POCKETFED_MALFORMED);
        assert_int_equal(c->decode(b.data, b.len, 17, 7, 18, 0, y),
                         POCKETFED_MALFORMED);
        assert_int_equal(c->decode(b.data, b.len, 17, 7, 1, SIZE_MAX, y),
                         POCKETFED_MALFORMED);
        pf_buf_free(&b);
    }
}

static void a_vector_too_long_for_memory_is_a_limit(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        struct pf_buf b;
        float x = 0;

        pf_buf_init(&b, MAX_BYTES);
        assert_true(c->max_bytes(SIZE_MAX) == SIZE_MAX);
        assert_int_equal(c->encode(&x, SIZE_MAX, 0, &b), POCKETFED_LIMIT);
        assert_int_equal(
            c->decode((const uint8_t *)"", SIZE_MAX, SIZE_MAX, 0, 0, 0, &x),
            POCKETFED_MALFORMED);
        pf_buf_free(&b);
    }
}

static void a_block_equals_its_part_of_the_whole(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        struct pf_buf b;
        float all[61], part[61];

        encode_numbers(c, 61, &b);
        assert_int_equal(c->decode(b.data, b.len, 61, 7, 0, 61, all),
                         POCKETFED_OK);
        for (size_t first = 0; first <= 61; first += c->block) {
            for (size_t n = 0; n <= 61 - first; n++) {
                assert_int_equal(
                    c->decode(b.data, b.len, 61, 7, first, n, part),
                    POCKETFED_OK);
                assert_memory_equal(part, all + first, n * sizeof *part);
            }
        }
        pf_buf_free(&b);
    }
}

static void reads_in_place_or_not_the_same_numbers(void **state)
{
    enum { DIM = 1000 };
    float want[DIM], scratch[DIM], x[DIM];
    const float *got;
    struct pf_buf b;
    uint8_t *odd;
    size_t at;

    (void)state;
    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)i / 7 - 50;
    for (const char *const *name = pf_codec_names(); *name; name++) {
        const struct pf_codec *c = pf_codec_find(*name);

        pf_buf_init(&b, 1u << 16);
        assert_int_equal(c->encode(x, DIM, 0, &b), POCKETFED_OK);
        assert_int_equal(c->decode(b.data, b.len, DIM, 0, 0, DIM, want),
                         POCKETFED_OK);
        odd = malloc(b.len + 4);
        for (at = 0; at < 4; at++) { /* aligned and not */
            memcpy(odd + at, b.data, b.len);
            got = pf_codec_read(c, odd + at, b.len, DIM, 13, 700, scratch);
            assert_non_null(got);
            assert_memory_equal(got, want + 13, 700 * sizeof *got);
        }
        assert_ptr_equal(got, scratch);
        assert_null(pf_codec_read(c, odd, b.len - 1, DIM, 0, 1, scratch));
        assert_null(pf_codec_read(c, odd, b.len, DIM, DIM, 1, scratch));
        assert_null(pf_codec_read(c, odd, b.len, DIM, 1, DIM, scratch));
        assert_null(pf_codec_read(c, odd, b.len, DIM, DIM + 1, 0, scratch));
        free(odd);
        pf_buf_free(&b);
    }
}

static void never_reads_past_the_end(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        for (size_t dim = 1; dim <= 33; dim++) {
            struct pf_buf b;
            float y[33];
            uint8_t *p;

            encode_numbers(c, dim, &b);
            p = pf_guard_copy(b.data, b.len);
            assert_int_equal(c->decode(p, b.len, dim, 7, 0, dim, y),
                             POCKETFED_OK);
            assert_int_equal(c->decode(p, b.len, dim, 7, dim - 1, 1, y),
                             POCKETFED_OK);
            assert_int_equal(c->decode(p + 1, b.len - 1, dim, 7, 0, dim, y),
                             POCKETFED_MALFORMED);
            pf_guard_free(p, b.len);
            pf_buf_free(&b);
        }
    }
}

static void refuses_numbers_that_are_not_finite(void **state)
{
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};

    (void)state;
    EACH_CODEC(c)
    {
        for (size_t i = 0; i < 4; i++) {
            float x[3] = {1, 2, bad[i]};
            struct pf_buf b;

            pf_buf_init(&b, MAX_BYTES);
            assert_int_equal(c->encode(x, 3, 0, &b), POCKETFED_NON_FINITE);
            assert_int_equal(b.len, 0);
            pf_buf_free(&b);
        }
    }
}

static void says_when_the_buffer_is_full(void **state)
{
    (void)state;
    EACH_CODEC(c)
    {
        float x[8] = {0};
        struct pf_buf b;

        pf_buf_init(&b, 3);
        assert_int_equal(c->encode(x, 8, 0, &b), POCKETFED_LIMIT);
        assert_int_equal(b.len, 0);
        pf_buf_free(&b);
    }
}

static void golden_bytes(void **state)
{
    static const float x[] = {0.0f, -0.0f, 1.0f, -2.5f, 65504.0f, 0x1p-24f};
    static const uint8_t f32[] = {0, 0,    0,    0,    0, 0, 0,    0x80,
                                  0, 0,    0x80, 0x3f, 0, 0, 0x20, 0xc0,
                                  0, 0xe0, 0x7f, 0x47, 0, 0, 0x80, 0x33};
    static const uint8_t f16[] = {0, 0,    0,    0x80, 0, 0x3c,
                                  0, 0xc1, 0xff, 0x7b, 1, 0};
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, MAX_BYTES);
    assert_int_equal(pf_codec_f32.encode(x, 6, 0, &b), POCKETFED_OK);
    assert_int_equal(b.len, sizeof f32);
    assert_memory_equal(b.data, f32, sizeof f32);
    pf_buf_clear(&b);
    assert_int_equal(pf_codec_f16.encode(x, 6, 0, &b), POCKETFED_OK);
    assert_int_equal(b.len, sizeof f16);
    assert_memory_equal(b.data, f16, sizeof f16);
    pf_buf_free(&b);
}

/* ---- f16 against the definition of binary16, in double ---- */

/* (-1)^s 2^(e-15) (1 + m/1024), or 2^-14 m/1024 when e = 0. */
static double half_value(unsigned h)
{
    unsigned e = h >> 10 & 31, m = h & 0x3ff;
    double v = e ? ldexp(1024 + m, (int)e - 25) : ldexp(m, -24);

    return h & 0x8000 ? -v : v;
}

static float decode_half(unsigned h)
{
    uint8_t in[2];
    float y = 0;

    pf_put16(in, (uint16_t)h);
    assert_int_equal(pf_codec_f16.decode(in, 2, 1, 0, 0, 1, &y), POCKETFED_OK);
    return y;
}

static unsigned encode_half(struct pf_buf *b, float x)
{
    pf_buf_clear(b);
    assert_int_equal(pf_codec_f16.encode(&x, 1, 0, b), POCKETFED_OK);
    assert_int_equal(b->len, 2);
    return pf_get16(b->data);
}

static void every_half_decodes_to_its_value_and_back(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, MAX_BYTES);
    for (unsigned h = 0; h < 65536; h++) {
        float y = decode_half(h);

        if ((h & 0x7c00) == 0x7c00) {
            assert_true(h & 0x3ff ? isnan(y) : isinf(y));
            assert_true(!!signbit(y) == !!(h & 0x8000));
            continue;
        }
        assert_true((double)y == half_value(h));
        assert_int_equal(encode_half(&b, y), h);
    }
    pf_buf_free(&b);
}

static void rounds_to_the_nearest_half_and_ties_to_even(void **state)
{
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, MAX_BYTES);
    for (unsigned h = 0; h < 0x7bff; h++) { /* between h and the next one */
        double low = half_value(h), high = half_value(h + 1);
        float tie = (float)((low + high) / 2);

        assert_true((double)tie == (low + high) / 2);
        assert_int_equal(encode_half(&b, tie), h & 1 ? h + 1 : h);
        assert_int_equal(encode_half(&b, nextafterf(tie, 0)), h);
        assert_int_equal(encode_half(&b, nextafterf(tie, 1e9f)), h + 1);
        assert_int_equal(encode_half(&b, -tie), (h & 1 ? h + 1 : h) | 0x8000);
    }
    assert_int_equal(encode_half(&b, 0x1p-149f), 0);
    assert_int_equal(encode_half(&b, -0x1p-149f), 0x8000);
    pf_buf_free(&b);
}

static void refuses_what_would_round_to_infinity(void **state)
{
    const float most = nextafterf(65520.0f, 0);
    float over[] = {65520.0f, -65520.0f, 65536.0f, 3e38f};
    struct pf_buf b;

    (void)state;
    pf_buf_init(&b, MAX_BYTES);
    assert_int_equal(encode_half(&b, most), 0x7bff);
    assert_int_equal(encode_half(&b, -most), 0xfbff);
    for (size_t i = 0; i < sizeof over / sizeof over[0]; i++) {
        float x[2] = {1, over[i]};

        pf_buf_clear(&b);
        assert_int_equal(pf_codec_f16.encode(x, 2, 0, &b), POCKETFED_LIMIT);
        assert_int_equal(b.len, 0);
    }
    pf_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_codec_by_name_and_by_id),
        cmocka_unit_test(gives_back_what_was_encoded),
        cmocka_unit_test(appends_after_what_is_there),
        cmocka_unit_test(refuses_every_strict_prefix_and_every_longer_text),
        cmocka_unit_test(refuses_a_block_outside_the_vector),
        cmocka_unit_test(a_vector_too_long_for_memory_is_a_limit),
        cmocka_unit_test(a_block_equals_its_part_of_the_whole),
        cmocka_unit_test(reads_in_place_or_not_the_same_numbers),
        cmocka_unit_test(never_reads_past_the_end),
        cmocka_unit_test(refuses_numbers_that_are_not_finite),
        cmocka_unit_test(says_when_the_buffer_is_full),
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(every_half_decodes_to_its_value_and_back),
        cmocka_unit_test(rounds_to_the_nearest_half_and_ties_to_even),
        cmocka_unit_test(refuses_what_would_round_to_infinity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
