#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_sample.h"
#include "rng.h"

#define CASES 3000

static uint64_t next; /* index of the next number */

static uint64_t draw(const struct pf_rng *r, uint64_t n)
{
    return pf_rng_below(r, next++, n);
}

/* A finite double of any exponent and sign, small whole ones often. */
static double any_double(const struct pf_rng *r)
{
    uint64_t bits;
    double d;

    if (draw(r, 2))
        return (double)draw(r, 2000) / 100 - 10;
    do {
        bits = pf_rng_u64(r, next++);
        memcpy(&d, &bits, sizeof d);
    } while (!(d - d == 0));
    return d;
}

static void any_text(const struct pf_rng *r, char *out, size_t size)
{
    static const char *const parts[] = {
        "a", "Z", "\"", "\\", "/", " ", "\xc3\xa9", "\xf0\x9f\x98\x80", "{"};
    size_t n = draw(r, size), used = 0, len;
    const char *part;

    for (;;) {
        part = parts[draw(r, sizeof parts / sizeof *parts)];
        len = strlen(part);
        if (used + len > n)
            break;
        memcpy(out + used, part, len);
        used += len;
    }
    out[used] = '\0';
}

static void any_sample(const struct pf_rng *r, struct sample *s)
{
    size_t i;

    memset(s, 0, sizeof *s);
    any_text(r, s->name, sizeof s->name);
    for (i = 0; i < sizeof s->digest; i++)
        s->digest[i] = (uint8_t)draw(r, 256);
    s->nonce.len = draw(r, sizeof s->nonce.data + 1);
    for (i = 0; i < s->nonce.len; i++)
        s->nonce.data[i] = (uint8_t)draw(r, 256);
    s->count = pf_rng_u32(r, next++);
    s->seed = pf_rng_u64(r, next++) >> draw(r, 64);
    s->offset = (int64_t)draw(r, ((uint64_t)1 << 54) + 1) - ((int64_t)1 << 53);
    s->scale = any_double(r);
    s->shuffle = (int)draw(r, 2);
    s->phase = (int)draw(r, 3);
    s->train.batch = (uint32_t)draw(r, 4096) + 1;
    s->train.lr = any_double(r);
    s->n_hosts = draw(r, 4);
    for (i = 0; i < s->n_hosts; i++)
        any_text(r, s->hosts[i], sizeof s->hosts[i]);
}

static void assert_same(const struct sample *a, const struct sample *b)
{
    size_t i;

    assert_string_equal(a->name, b->name);
    assert_memory_equal(a->digest, b->digest, sizeof a->digest);
    assert_int_equal(a->nonce.len, b->nonce.len);
    assert_memory_equal(a->nonce.data, b->nonce.data, sizeof a->nonce.data);
    assert_int_equal(a->count, b->count);
    assert_true(a->seed == b->seed);
    assert_true(a->offset == b->offset);
    assert_memory_equal(&a->scale, &b->scale, sizeof a->scale);
    assert_int_equal(a->shuffle, b->shuffle);
    assert_int_equal(a->phase, b->phase);
    assert_int_equal(a->train.batch, b->train.batch);
    assert_memory_equal(&a->train.lr, &b->train.lr, sizeof a->train.lr);
    assert_int_equal(a->n_hosts, b->n_hosts);
    for (i = 0; i < a->n_hosts; i++)
        assert_string_equal(a->hosts[i], b->hosts[i]);
}

static void what_is_written_is_read_back_equal(void **state)
{
    const uint64_t seed = 20240607;
    struct pf_buf text, again;
    int i, pretty;

    (void)state;
    pf_buf_init(&text, 4096);
    pf_buf_init(&again, 4096);
    for (i = 0; i < CASES; i++) {
        struct pf_rng r = pf_rng_make(seed, (uint64_t)i, 0, PF_RNG_TEST);
        struct sample a, b = {.name = ""};
        struct pf_error err;

        next = 0;
        any_sample(&r, &a);
        pretty = (int)draw(&r, 2);
        pf_buf_clear(&text);
        pf_buf_clear(&again);
        if ((pretty ? pf_json_encode_pretty : pf_json_encode)(
                sample_fields, &a, &text) != POCKETFED_OK ||
            pf_json_decode(sample_fields, PF_JSON_REFUSE, pf_buf_str(&text),
                           text.len, &b, &err) != POCKETFED_OK)
            fail_msg("seed %llu case %d: %s: %s", (unsigned long long)seed, i,
                     pf_buf_str(&text), err.text);
        assert_same(&a, &b);
        (pretty ? pf_json_encode_pretty : pf_json_encode)(sample_fields, &b,
                                                          &again);
        assert_string_equal(pf_buf_str(&text), pf_buf_str(&again));
    }
    pf_buf_free(&text);
    pf_buf_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
