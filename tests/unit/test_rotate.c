/* A new record key: the files, and a crash between any two of them. */
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
#include "proof.h"
#include "rotate.h"
#include "statement.h"
#include "store_proof.h"
#include "tmpdir.h"

struct home {
    char dir[256];
    struct pf_error err;
    uint8_t old[32], new[32];
};

static char *path_of(const struct home *h, const char *name)
{
    static char path[4][400];
    static int i;

    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", h->dir, name);
    return path[i];
}

static int there(const struct home *h, const char *name)
{
    struct stat sb;

    return stat(path_of(h, name), &sb) == 0;
}

static struct pf_key *record_key(const struct home *h)
{
    struct pf_key *key = NULL;

    assert_int_equal(pf_key_load(path_of(h, "keys/record.key"), &key, NULL), 0);
    return key;
}

static int set_up(void **state)
{
    struct home *h = calloc(1, sizeof *h);
    struct pf_key *key = NULL;

    pf_tmpdir_make(h->dir, sizeof h->dir);
    assert_int_equal(pf_dir_make(path_of(h, "keys"), 0700, NULL), 0);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &key), 0);
    assert_int_equal(pf_key_save(key, path_of(h, "keys/record.key"), NULL), 0);
    pf_key_free(key);
    *state = h;
    return 0;
}

static int tear_down(void **state)
{
    struct home *h = *state;

    pf_tmpdir_remove(h->dir);
    free(h);
    return 0;
}

/* The statement in the store by which `old` hands over; the new raw key. */
static void follow(struct home *h, const struct pf_key *old, uint8_t raw[32])
{
    struct pf_store_reader *reader = NULL;
    struct pf_store *store = NULL;
    uint8_t print[32], sig[PF_SIGNATURE_LEN];
    struct pf_rotation r;
    struct pf_buf body;

    pf_buf_init(&body, PF_ROTATION_MAX);
    pf_key_fingerprint(old, print);
    assert_int_equal(pf_store_open(h->dir, NULL, &store, &h->err), 0);
    assert_int_equal(pf_rotate_note(h->dir, store, &h->err), 0);
    assert_int_equal(pf_reader_open(store, &reader, &h->err), 0);
    assert_int_equal(pf_reader_rotation(reader, print, &body, sig), 0);
    assert_int_equal(
        pf_rotation_check(old, body.data, body.len, sig, &r, &h->err), 0);
    memcpy(raw, r.new_key, 32);
    pf_reader_close(reader);
    pf_store_close(store);
    pf_buf_free(&body);
}

static void leads_on(struct home *h, const struct pf_key *old)
{
    uint8_t raw[32], is[PF_PUBLIC_MAX];
    struct pf_key *now = record_key(h);

    follow(h, old, raw);
    pf_key_public(now, is);
    assert_memory_equal(is, raw, 32);
    pf_key_free(now);
}

static enum pocketfed_status rotate(struct home *h)
{
    return pf_rotate_key(h->dir, 1700000000000, h->old, h->new, &h->err);
}

static void the_old_key_hands_over_to_the_new_one(void **state)
{
    struct home *h = *state;
    struct pf_key *first = record_key(h), *second;
    uint8_t print[32];

    assert_int_equal(rotate(h), 0);
    pf_key_fingerprint(first, print);
    assert_memory_equal(print, h->old, 32);
    leads_on(h, first);
    assert_false(there(h, "keys/rotation"));
    assert_false(there(h, "keys/record.key.next"));
    second = record_key(h);
    pf_key_fingerprint(second, print);
    assert_memory_equal(print, h->new, 32);
    assert_int_equal(rotate(h), 0); /* and again */
    leads_on(h, second);
    pf_key_free(first);
    pf_key_free(second);
}

static void refuses_a_directory_without_a_key_and_one_in_use(void **state)
{
    struct home *h = *state, nothing = *h;
    int fd = -1;

    snprintf(nothing.dir, sizeof nothing.dir, "%.200s/none", h->dir);
    assert_int_equal(rotate(&nothing), POCKETFED_NOT_FOUND);
    assert_int_equal(pf_file_lock(path_of(h, "lock"), &fd, NULL), 0);
    assert_int_equal(rotate(h), POCKETFED_LOCKED);
    assert_true(h->err.hint[0] != '\0');
    close(fd);
    assert_int_equal(rotate(h), 0);
}

/* Killed before the statement: the next start forgets the new key. */
static void a_key_without_a_statement_is_forgotten(void **state)
{
    struct home *h = *state;
    struct pf_key *next = NULL;
    struct pf_buf before, after;

    pf_buf_init(&before, 4096);
    pf_buf_init(&after, 4096);
    assert_int_equal(pf_file_read(path_of(h, "keys/record.key"), &before, NULL),
                     0);
    assert_int_equal(pf_key_generate(PF_KEY_ED25519, &next), 0);
    assert_int_equal(
        pf_key_save(next, path_of(h, "keys/record.key.next"), NULL), 0);
    assert_int_equal(pf_rotate_resume(path_of(h, "keys"), &h->err), 0);
    assert_false(there(h, "keys/record.key.next"));
    assert_int_equal(pf_file_read(path_of(h, "keys/record.key"), &after, NULL),
                     0);
    assert_string_equal(pf_buf_str(&before), pf_buf_str(&after));
    pf_buf_free(&before);
    pf_buf_free(&after);
    pf_key_free(next);
}

static void copy(const struct home *h, const char *from, const char *to)
{
    struct pf_buf b;

    pf_buf_init(&b, 4096);
    assert_int_equal(pf_file_read(path_of(h, from), &b, NULL), 0);
    assert_int_equal(pf_file_replace(path_of(h, to), b.data, b.len, 0600, NULL),
                     0);
    pf_buf_free(&b);
}

/* The statement by which `old` handed over, as the file keys/rotation. */
static void put_statement_back(struct home *h, const struct pf_key *old)
{
    struct pf_store_reader *reader = NULL;
    struct pf_store *store = NULL;
    uint8_t print[32], sig[PF_SIGNATURE_LEN];
    struct pf_buf body, file;
    char field[96];

    pf_buf_init(&body, PF_ROTATION_MAX);
    pf_buf_init(&file, 2048);
    pf_key_fingerprint(old, print);
    assert_int_equal(pf_store_open(h->dir, NULL, &store, &h->err), 0);
    assert_int_equal(pf_reader_open(store, &reader, &h->err), 0);
    assert_int_equal(pf_reader_rotation(reader, print, &body, sig), 0);
    pf_reader_close(reader);
    pf_store_close(store);
    pf_statement_field(sig, field);
    pf_buf_addf(&file, "%s\n%s", field, pf_buf_str(&body));
    assert_int_equal(pf_file_replace(path_of(h, "keys/rotation"), file.data,
                                     file.len, 0600, NULL),
                     0);
    pf_buf_free(&body);
    pf_buf_free(&file);
}

/* Killed once the statement was written, before and after the rename: the next
 * start does the rest. */
static void a_statement_that_was_written_is_carried_out(void **state)
{
    struct home *h = *state;
    struct pf_key *first = record_key(h);

    copy(h, "keys/record.key", "first");
    assert_int_equal(rotate(h), 0);
    copy(h, "keys/record.key", "second");
    for (int renamed = 0; renamed < 2; renamed++) {
        put_statement_back(h, first);
        assert_int_equal(unlink(path_of(h, "pocketfed.db")), 0);
        if (!renamed) {
            copy(h, "second", "keys/record.key.next");
            copy(h, "first", "keys/record.key");
        }
        assert_int_equal(pf_rotate_resume(path_of(h, "keys"), &h->err), 0);
        assert_false(there(h, "keys/record.key.next"));
        leads_on(h, first);
        assert_false(there(h, "keys/rotation"));
    }
    pf_key_free(first);
}

static void a_damaged_statement_is_named(void **state)
{
    struct home *h = *state;
    struct pf_store *store = NULL;

    assert_int_equal(
        pf_file_replace(path_of(h, "keys/rotation"), "nonsense", 8, 0600, NULL),
        0);
    assert_int_equal(pf_store_open(h->dir, NULL, &store, &h->err), 0);
    assert_int_equal(pf_rotate_note(h->dir, store, &h->err),
                     POCKETFED_MALFORMED);
    assert_non_null(strstr(h->err.text, "keys/rotation"));
    pf_store_close(store);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_old_key_hands_over_to_the_new_one),
        TEST(refuses_a_directory_without_a_key_and_one_in_use),
        TEST(a_key_without_a_statement_is_forgotten),
        TEST(a_statement_that_was_written_is_carried_out),
        TEST(a_damaged_statement_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
