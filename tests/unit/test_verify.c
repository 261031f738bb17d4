/* What a device's folder proves once a client has taken part, and that a byte
 * changed in anything that it keeps is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "appside.h"
#include "file.h"
#include "text.h"
#include "verify.h"

static struct fakelog l;

static int set_up(void **state)
{
    struct pf_app *a;

    if (pf_app_set_up(state))
        return 1;
    a = *state;
    fakelog_init(&l, a->fake.record_key);
    a->fake.log = &l;
    return 0;
}

/* One update, and the end of its round. */
static void take_part(struct pf_app *a)
{
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    l.key = a->fake.record_key;
    fakelog_seal(&l, &a->fake.acks[a->fake.n_acks - 1], 1,
                 a->fake.model_digest);
    a->fake.work.round++;
}

static void rotate(struct pf_app *a)
{
    pf_fake_rotate(&a->fake);
    l.key = a->fake.record_key;
}

/* Three rounds, two of them proved, the record key replaced in between. */
static void take_part_thrice(struct pf_app *a)
{
    pf_app_join(a);
    take_part(a);
    rotate(a);
    take_part(a);
    take_part(a);
}

static char first[512]; /* sentence of what is wrong */

static void wrong(void *ctx, const char *sentence)
{
    (void)ctx;
    if (!first[0])
        snprintf(first, sizeof first, "%s", sentence);
}

static size_t faults(struct pf_app *a, struct pf_verdict *v)
{
    struct pf_error err = {.text = ""};
    struct pf_storage s = {.lock_fd = -1};

    first[0] = '\0';
    snprintf(s.dir, sizeof s.dir, "%s", a->dir);
    if (pf_verify_folder(&s, wrong, NULL, v, &err))
        fail_msg("%s", err.text);
    return v->faults;
}

static size_t faults_now(struct pf_app *a)
{
    struct pf_verdict v;
    size_t n = faults(a, &v);

    pf_verdict_free(&v);
    return n;
}

static void path_of(const struct pf_app *a, const char *name, char out[400])
{
    snprintf(out, 400, "%s/%s", a->dir, name);
}

static void read_file(const struct pf_app *a, const char *name,
                      struct pf_buf *out)
{
    char path[400];

    path_of(a, name, path);
    pf_buf_init(out, 1 << 20);
    assert_int_equal(pf_file_read(path, out, NULL), 0);
    assert_true(out->len > 0);
}

static void write_file(const struct pf_app *a, const char *name, const void *p,
                       size_t n)
{
    char path[400];

    path_of(a, name, path);
    assert_int_equal(pf_file_replace(path, p, n, 0600, NULL), 0);
}

static void an_untouched_folder_verifies_and_says_what_counted(void **state)
{
    struct pf_app *a = *state;
    struct pf_verdict v;
    uint8_t other[32] = {1};

    take_part_thrice(a);
    if (faults(a, &v))
        fail_msg("%s", first);
    assert_int_equal(v.n, 3);
    assert_int_equal(v.n_proved, 2);
    assert_int_equal(v.keyring.n, 2);
    assert_int_equal(v.list[0].record.round, 3);
    assert_int_equal(v.list[1].record.round, 4);
    assert_int_equal(v.list[2].proved, 0);
    assert_int_equal(v.history->head.size, 2);
    assert_int_equal(v.evidence, 0);
    assert_ptr_equal(pf_verdict_model(&v, a->fake.model_digest), &v.list[1]);
    assert_null(pf_verdict_model(&v, other));
    pf_verdict_free(&v);
    assert_int_equal(a->fake.bad_signatures, 0);
}

static void the_next_run_goes_on_from_what_is_kept(void **state)
{
    struct pf_app *a = *state;
    struct pf_verdict v;

    take_part_thrice(a);
    pf_app_reopen(a);
    take_part(a);
    rotate(a);
    pf_app_reopen(a);
    take_part(a);
    if (faults(a, &v))
        fail_msg("%s", first);
    assert_int_equal(v.n_proved, 4);
    assert_int_equal(v.keyring.n, 3);
    pf_verdict_free(&v);
}

/* Not each byte, for the time it takes: a stride that no line's length has. */
static void a_byte_changed_in_any_line_is_noticed(void **state)
{
    static const char *const names[] = {"receipts.jsonl", "proofs.jsonl",
                                        "rotations.jsonl"};
    struct pf_app *a = *state;
    struct pf_buf b;

    take_part_thrice(a);
    for (size_t i = 0; i < 3; i++) {
        read_file(a, names[i], &b);
        for (size_t at = 0; at < b.len; at += 61) {
            /* The receipt says when it came, which nobody vouches for. */
            if (b.data[at] == '\n' ||
                (i == 0 &&
                 strstr((char *)b.data + at, "}\n") - ((char *)b.data + at) <
                     32))
                continue;
            b.data[at] ^= 1;
            write_file(a, names[i], b.data, b.len);
            b.data[at] ^= 1;
            if (faults_now(a) == 0)
                fail_msg("%s: byte %zu does not matter", names[i], at);
        }
        write_file(a, names[i], b.data, b.len);
        assert_int_equal(faults_now(a), 0);
        pf_buf_free(&b);
    }
}

static void a_line_that_is_gone_or_torn_is_noticed(void **state)
{
    struct pf_app *a = *state;
    struct pf_buf b;
    char *second;

    take_part_thrice(a);
    read_file(a, "proofs.jsonl", &b);
    second = strchr(pf_buf_str(&b), '\n') + 1;
    write_file(a, "proofs.jsonl", second, strlen(second));
    assert_int_equal(faults_now(a), 1);
    assert_non_null(strstr(first, "of which no proof is kept"));
    write_file(a, "proofs.jsonl", b.data, b.len - 1); /* torn by a crash */
    assert_int_equal(faults_now(a), 0);
    write_file(a, "proofs.jsonl", b.data, b.len);
    pf_buf_free(&b);
    read_file(a, "receipts.jsonl", &b);
    second = strchr(pf_buf_str(&b), '\n') + 1;
    write_file(a, "receipts.jsonl", second, strlen(second));
    assert_true(faults_now(a) > 0);
    assert_non_null(strstr(first, "no acknowledgement is kept"));
    pf_buf_free(&b);
}

static void another_pinned_key_makes_everything_wrong(void **state)
{
    struct pf_app *a = *state;
    struct pf_buf b;
    char *at;

    take_part_thrice(a);
    read_file(a, "server.json", &b);
    at = strstr((char *)b.data, "\"record_key\": \"");
    assert_non_null(at);
    at += strlen("\"record_key\": \"");
    *at = *at == '0' ? '1' : '0';
    write_file(a, "server.json", b.data, b.len);
    assert_true(faults_now(a) > 3);
    pf_buf_free(&b);
}

static void a_changed_model_is_noticed(void **state)
{
    struct pf_app *a = *state;
    char name[100] = "objects/";
    struct pf_buf b;

    take_part_thrice(a);
    pf_hex(a->fake.model_digest, 32, name + strlen(name));
    read_file(a, name, &b);
    b.data[b.len - 1] ^= 1;
    write_file(a, name, b.data, b.len);
    assert_int_equal(faults_now(a), 1);
    assert_non_null(strstr(first, "not what its name says"));
    pf_buf_free(&b);
}

static void equivocation_is_kept_and_shown(void **state)
{
    struct pf_app *a = *state;
    struct pf_verdict v;
    struct pf_buf receipt;

    pf_app_join(a);
    take_part(a);
    read_file(a, "receipt", &receipt);
    take_part(a);
    /* Killed between proof and forgetting: round 3 is asked about again. */
    write_file(a, "receipt", receipt.data, receipt.len);
    pf_buf_free(&receipt);
    l.round[0].record.saturated = 9;
    fakelog_resign(&l, 0);
    pf_app_reopen(a);
    assert_int_equal(pf_app_run(a, 100), POCKETFED_PROOF);
    pf_app_is(a, POCKETFED_STATE_STOPPED);
    assert_non_null(strstr(pocketfed_client_error(a->client), "equivocation"));
    assert_int_equal(faults(a, &v), 1);
    assert_int_equal(v.evidence, 1);
    assert_non_null(strstr(first, "contradicts itself"));
    pf_verdict_free(&v);
}

/* Another membership in the same folder: what was kept of the first one is set
 * aside, not called wrong. */
static void joining_again_after_leaving_begins_anew(void **state)
{
    struct pf_app *a = *state;
    struct pf_verdict v;
    struct pf_buf b;

    take_part_thrice(a);
    assert_int_equal(pocketfed_client_leave(a->client), POCKETFED_OK);
    pf_app_until(a, POCKETFED_EVENT_LEFT);
    a->fake.n_acks = 0;
    fakelog_init(&l, a->fake.record_key);
    pf_app_join(a);
    take_part(a);
    take_part(a);
    if (faults(a, &v))
        fail_msg("%s", first);
    assert_int_equal(v.n, 2);
    assert_int_equal(v.n_proved, 1);
    pf_verdict_free(&v);
    read_file(a, "receipts.jsonl.1", &b);
    pf_buf_free(&b);
    read_file(a, "proofs.jsonl.1", &b);
    pf_buf_free(&b);
}

/* ---- two devices ------------------------------------------------------- */

static void a_line(const struct pf_ack *ack, struct pf_buf *out)
{
    static struct pf_proof proof;
    struct pf_buf text;

    assert_true(fakelog_prove(&l, ack, 0, &proof));
    pf_buf_init(&text, 1 << 16);
    assert_int_equal(pf_json_encode(pf_proof_fields, &proof, &text), 0);
    pf_buf_adds(out, "{\"proof\":");
    pf_json_string(out, pf_buf_str(&text));
    pf_buf_adds(out, "}\n");
    pf_buf_free(&text);
}

static void records_of_two_devices_are_compared(void **state)
{
    struct pf_app *a = *state;
    const struct pf_key *const key[] = {a->fake.record_key};
    const struct pf_record_keys keys = {key, 1};
    const struct pf_key *const stranger[] = {a->fake.other_key};
    const struct pf_record_keys others = {stranger, 1};
    struct pf_ack acks[2] = {{.task = "t", .round = 1, .counted = 1},
                             {.task = "t", .round = 1, .counted = 1}};
    struct pf_buf x, y, z;
    struct pf_error err = {.text = ""};
    size_t common;

    acks[1].device[0] = 1;
    acks[0].weight = acks[1].weight = 1;
    fakelog_seal(&l, acks, 2, acks[0].digest);
    pf_buf_init(&x, 1 << 16);
    pf_buf_init(&y, 1 << 16);
    pf_buf_init(&z, 1 << 16);
    a_line(&acks[0], &x);
    a_line(&acks[1], &y);
    assert_int_equal(
        pf_verify_compare(&keys, pf_buf_str(&x), pf_buf_str(&y), &common, &err),
        0);
    assert_int_equal(common, 1);
    l.round[0].record.saturated = 5;
    fakelog_resign(&l, 0);
    a_line(&acks[1], &z);
    assert_int_equal(
        pf_verify_compare(&keys, pf_buf_str(&x), pf_buf_str(&z), &common, &err),
        POCKETFED_PROOF);
    assert_non_null(strstr(err.text, "equivocation"));
    assert_int_equal(pf_verify_compare(&others, pf_buf_str(&x), pf_buf_str(&y),
                                       &common, &err),
                     POCKETFED_PROOF);
    assert_int_equal(
        pf_verify_compare(&keys, pf_buf_str(&x), "", &common, &err),
        POCKETFED_NOT_FOUND);
    assert_int_equal(
        pf_verify_compare(&keys, pf_buf_str(&x), "nonsense", &common, &err),
        POCKETFED_MALFORMED);
    pf_buf_free(&x);
    pf_buf_free(&y);
    pf_buf_free(&z);
}

/* ---- the record key at joining ------------------------------------------ */

static void joins_by_a_link_of_before_the_key_was_replaced(void **state)
{
    struct pf_app *a = *state;
    struct pf_verdict v;

    rotate(a);
    pf_app_join(a);
    take_part(a);
    take_part(a);
    assert_int_equal(a->fake.bad_signatures, 0);
    if (faults(a, &v))
        fail_msg("%s", first);
    assert_int_equal(v.keyring.n, 2);
    assert_int_equal(v.n_proved, 1);
    pf_verdict_free(&v);
    pf_app_reopen(a);
    take_part(a);
    assert_int_equal(a->fake.bad_signatures, 0);
}

static void a_link_whose_key_nobody_replaced_is_refused(void **state)
{
    struct pf_app *a = *state;

    rotate(a);
    a->fake.rotation_statement[7] ^= 1;
    assert_int_equal(pocketfed_client_join(a->client, a->link), POCKETFED_OK);
    assert_int_equal(pf_app_run(a, 50), POCKETFED_PROOF);
    pf_app_is(a, POCKETFED_STATE_STOPPED);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, pf_app_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_untouched_folder_verifies_and_says_what_counted),
        TEST(the_next_run_goes_on_from_what_is_kept),
        TEST(a_byte_changed_in_any_line_is_noticed),
        TEST(a_line_that_is_gone_or_torn_is_noticed),
        TEST(another_pinned_key_makes_everything_wrong),
        TEST(a_changed_model_is_noticed),
        TEST(equivocation_is_kept_and_shown),
        TEST(joining_again_after_leaving_begins_anew),
        TEST(records_of_two_devices_are_compared),
        TEST(joins_by_a_link_of_before_the_key_was_replaced),
        TEST(a_link_whose_key_nobody_replaced_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
