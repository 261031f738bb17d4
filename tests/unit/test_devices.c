/* The contract of server/store/store.h: what becomes of devices after their
 * enrolment, with a restart after each change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "store_bench.h"

static const uint8_t *id_of(int i)
{
    static uint8_t id[4][PF_DEVICE_LEN];

    memset(id[i % 4], i, PF_DEVICE_LEN);
    return id[i % 4];
}

/* Enrols key i by a token of its own (number `token`, ordinal -1: any). What it
 * says: an ordinal, or minus the problem. */
static int enrol(struct bench *b, int64_t task, int i, int token, int ordinal)
{
    struct pf_device d = {.alg = PF_KEY_ED25519, .key_len = 32};
    struct pf_problem why = {0};
    enum pocketfed_status st;
    int again;

    memcpy(d.id, id_of(i), sizeof d.id);
    snprintf(d.label, sizeof d.label, "by %d", token);
    bench_begin(b);
    pf_store_token_add(b->s, task, bench_digest(token), 1, 5000, ordinal >= 0,
                       (uint64_t)(ordinal < 0 ? 0 : ordinal), "", &b->err);
    bench_commit(b);
    bench_begin(b);
    st = pf_store_enrol(b->s, task, bench_digest(token), 1000 + token, &d,
                        &again, &why, &b->err);
    bench_commit(b);
    bench_restart(b);
    if (st == POCKETFED_REFUSED)
        return -(int)why.id;
    assert_int_equal(st, POCKETFED_OK);
    assert_int_equal(d.state, PF_DEVICE_ACTIVE);
    return (int)d.ordinal;
}

/* What it was before. */
static enum pf_device_state end(struct bench *b, int64_t task, int i,
                                enum pf_device_state to)
{
    enum pf_device_state was;

    bench_begin(b);
    assert_int_equal(
        pf_store_device_end(b->s, task, id_of(i), to, 7000 + to, &was, &b->err),
        POCKETFED_OK);
    bench_commit(b);
    bench_restart(b);
    return was;
}

static struct pf_device_status status(struct bench *b, int64_t task, int i)
{
    struct pf_device_status s;

    assert_int_equal(pf_reader_device_status(b->r, task, id_of(i), &s),
                     POCKETFED_OK);
    return s;
}

static void a_device_that_left_comes_back_by_another_token(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);

    assert_int_equal(enrol(b, t, 1, 11, -1), 0);
    assert_int_equal(enrol(b, t, 2, 12, -1), 1);
    assert_int_equal(pf_reader_n_devices(b->r, t), 2);
    assert_int_equal(end(b, t, 1, PF_DEVICE_LEFT), PF_DEVICE_ACTIVE);
    assert_int_equal(end(b, t, 1, PF_DEVICE_LEFT), PF_DEVICE_LEFT);
    assert_int_equal(status(b, t, 1).state, PF_DEVICE_LEFT);
    assert_int_equal(status(b, t, 1).state_ms, 7000 + PF_DEVICE_LEFT);
    assert_int_equal(pf_reader_n_devices(b->r, t), 1);

    assert_int_equal(enrol(b, t, 1, 11, -1), -PF_PROBLEM_TOKEN_USED);
    assert_int_equal(enrol(b, t, 1, 13, 1), -PF_PROBLEM_ORDINAL_TAKEN);
    assert_int_equal(status(b, t, 1).state, PF_DEVICE_LEFT);
    assert_int_equal(enrol(b, t, 1, 14, -1), 0); /* the number it had */
    assert_int_equal(status(b, t, 1).state, PF_DEVICE_ACTIVE);
    assert_int_equal(status(b, t, 1).enrolled_ms, 1011);
    assert_int_equal(status(b, t, 1).state_ms, 1014);
    assert_string_equal(status(b, t, 1).label, "by 14");
    assert_int_equal(pf_reader_n_devices(b->r, t), 2);
    assert_int_equal(enrol(b, t, 1, 14, -1), 0); /* and now that one is its */

    end(b, t, 1, PF_DEVICE_LEFT);
    assert_int_equal(enrol(b, t, 1, 15, 9), 9); /* unless the token says one */
    assert_int_equal(enrol(b, t, 3, 15, -1), -PF_PROBLEM_TOKEN_USED);
    assert_int_equal(enrol(b, t, 3, 16, -1), 2); /* 0 has been somebody */
}

static void a_revoked_device_stays_so(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    enum pf_device_state was;

    enrol(b, t, 1, 11, -1);
    enrol(b, t, 2, 12, -1);
    assert_int_equal(end(b, t, 1, PF_DEVICE_REVOKED), PF_DEVICE_ACTIVE);
    assert_int_equal(end(b, t, 1, PF_DEVICE_REVOKED), PF_DEVICE_REVOKED);
    assert_int_equal(end(b, t, 1, PF_DEVICE_LEFT), PF_DEVICE_REVOKED);
    assert_int_equal(status(b, t, 1).state, PF_DEVICE_REVOKED);
    assert_int_equal(enrol(b, t, 1, 11, -1), -PF_PROBLEM_DEVICE_REVOKED);
    assert_int_equal(enrol(b, t, 1, 13, -1), -PF_PROBLEM_DEVICE_REVOKED);
    assert_int_equal(enrol(b, t, 3, 14, 0), -PF_PROBLEM_ORDINAL_TAKEN);
    end(b, t, 2, PF_DEVICE_LEFT);
    assert_int_equal(end(b, t, 2, PF_DEVICE_REVOKED), PF_DEVICE_LEFT);
    assert_int_equal(enrol(b, t, 2, 15, -1), -PF_PROBLEM_DEVICE_REVOKED);
    assert_int_equal(pf_store_device_end(b->s, t, id_of(9), PF_DEVICE_LEFT, 1,
                                         &was, &b->err),
                     POCKETFED_NOT_FOUND);
}

/* ---- what people see ---- */

static void accepted(struct bench *b, int64_t task, uint64_t round, int i)
{
    struct pf_record r = {.kind = PF_REC_OPENED, .round = round};

    bench_begin(b);
    if (i == 1) /* who comes first */
        assert_int_equal(pf_store_record(b->s, task, &r, NULL, &b->err),
                         POCKETFED_OK);
    memcpy(r.device.id, id_of(i), sizeof r.device.id);
    r.kind = PF_REC_ASSIGNED;
    assert_int_equal(pf_store_record(b->s, task, &r, NULL, &b->err),
                     POCKETFED_OK);
    r.kind = PF_REC_ACCEPTED;
    r.u.accepted.assigned = round;
    r.u.accepted.extent.offset = 4096 * (uint64_t)i;
    assert_int_equal(pf_store_record(b->s, task, &r, NULL, &b->err),
                     POCKETFED_OK);
    bench_commit(b);
}

static void tells_what_a_device_contributed(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1), other = bench_add_task(b, "b", 5);
    struct pf_device_status s;

    enrol(b, t, 1, 11, 4);
    enrol(b, t, 2, 12, -1);
    enrol(b, other, 1, 13, -1);
    accepted(b, t, 1, 1);
    accepted(b, t, 3, 1);
    accepted(b, t, 3, 2);
    accepted(b, other, 8, 1);
    s = status(b, t, 1);
    assert_memory_equal(s.device, id_of(1), PF_DEVICE_LEN);
    assert_int_equal(s.ordinal, 4);
    assert_string_equal(s.label, "by 11");
    assert_int_equal(s.rounds, 2);
    assert_int_equal(s.last_round, 3);
    assert_int_equal(status(b, t, 2).rounds, 1);
    assert_int_equal(status(b, other, 1).last_round, 8);
    assert_int_equal(pf_reader_device_status(b->r, other, id_of(2), &s),
                     POCKETFED_NOT_FOUND);
}

static void note(void *ctx, const struct pf_device_status *d)
{
    char *text = ctx;
    size_t n = strlen(text);

    snprintf(text + n, 64 - n, "%llu:%02x ", (unsigned long long)d->ordinal,
             d->device[0]);
}

static void lists_by_ordinal_from_one_on_or_by_id(void **state)
{
    static const int ordinals[] = {7, 0, 3};
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1), other = bench_add_task(b, "b", 5);
    char text[64] = "";

    for (int i = 0; i < 3; i++)
        enrol(b, t, i + 1, 11 + i, ordinals[i]);
    enrol(b, other, 1, 14, -1);
    end(b, t, 2, PF_DEVICE_LEFT);
    pf_reader_devices(b->r, t, 0, 10, NULL, NULL, note, text);
    assert_string_equal(text, "0:02 3:03 7:01 ");
    text[0] = '\0';
    pf_reader_devices(b->r, t, 1, 1, NULL, NULL, note, text);
    assert_string_equal(text, "3:03 ");
    text[0] = '\0';
    pf_reader_devices(b->r, t, 0, 10, id_of(1), id_of(2), note, text);
    assert_string_equal(text, "0:02 7:01 ");
    text[0] = '\0';
    pf_reader_devices(b->r, t, 1, 10, id_of(1), id_of(2), note, text);
    assert_string_equal(text, "7:01 ");
}

#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_that_left_comes_back_by_another_token),
        TEST(a_revoked_device_stays_so),
        TEST(tells_what_a_device_contributed),
        TEST(lists_by_ordinal_from_one_on_or_by_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
