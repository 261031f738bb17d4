/* What the coordinator commits itself to when rounds end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core.h"
#include "statement.h"
#include "store_proof.h"

static struct core k;

/* The record of a round as the store has it; its signature is right. */
static struct pf_round_record record_of(struct pf_live_task *t, uint64_t round,
                                        struct pf_sealed *sealed)
{
    struct pf_round_record r;
    struct pf_error err = {0};

    assert_int_equal(pf_reader_sealed(k.reader, t->stored.id, round, sealed),
                     0);
    assert_int_equal(pf_statement_verify(k.key, PF_SAY_RECORD, sealed->body,
                                         sealed->len, sealed->signature),
                     0);
    assert_int_equal(pf_round_record_read(sealed->body, sealed->len, &r, &err),
                     0);
    assert_string_equal(r.task, t->stored.name);
    assert_int_equal(r.round, round);
    assert_memory_equal(r.plan, t->stored.plan, 32);
    assert_true(r.time_ms > 0);
    return r;
}

/* The root over leaves that are made from the acknowledgements alone. */
static void root_of(const struct pf_ack *acks, size_t n, int status,
                    uint8_t out[32])
{
    struct pf_leaf leaf[8];
    struct pf_merkle_sum sum;
    uint8_t bytes[PF_LEAF_LEN], hash[32];

    memset(leaf, 0, sizeof leaf);
    for (size_t i = 0; i < n; i++) {
        leaf[i].round = acks[i].round;
        pf_pseudonym(acks[i].device, acks[i].task, acks[i].round,
                     leaf[i].pseudonym);
        memcpy(leaf[i].digest, acks[i].digest, 32);
        leaf[i].weight = acks[i].weight;
        leaf[i].status = status;
    }
    qsort(leaf, n, sizeof leaf[0], pf_leaf_compare);
    pf_merkle_begin(&sum);
    for (size_t i = 0; i < n; i++) {
        pf_leaf_write(&leaf[i], bytes);
        pf_merkle_leaf(bytes, sizeof bytes, hash);
        pf_merkle_add(&sum, hash);
    }
    pf_merkle_root(&sum, out);
}

static void whole_round(struct pf_live_task *t, uint64_t round,
                        struct pf_ack acks[3])
{
    for (int i = 0; i < 3; i++)
        assert_true(core_take_part(&k, t, i, &acks[i]));
    assert_true(core_wait(&k, t, round));
}

static void a_published_round_is_sealed_with_its_updates_and_model(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 9, ""));
    uint8_t none[32] = {0}, want[32];
    struct pf_round_record r;
    struct pf_sealed sealed;
    struct pf_ack acks[3];
    struct pf_job view;

    (void)state;
    assert_int_equal(pf_reader_sealed(k.reader, t->stored.id, 1, &sealed),
                     POCKETFED_NOT_FOUND);
    whole_round(t, 1, acks);
    r = record_of(t, 1, &sealed);
    core_view(&k, t, &view);
    assert_int_equal(sealed.seq, 0);
    assert_int_equal(r.outcome, PF_RECORD_PUBLISHED);
    assert_memory_equal(r.base, t->stored.initial_model, 32);
    assert_memory_equal(r.model, view.u.view.status.model, 32);
    assert_memory_equal(r.previous, none, 32);
    assert_int_equal(r.updates, 3);
    assert_int_equal(r.weight,
                     acks[0].weight + acks[1].weight + acks[2].weight);
    root_of(acks, 3, PF_LEAF_COUNTED, want);
    assert_memory_equal(r.root, want, 32);
    pf_state_digest(r.base, none, (uint32_t)pf_plan_shift(&t->plan.update),
                    want);
    assert_memory_equal(r.base_state, want, 32);
    pf_state_digest(r.model, t->state, (uint32_t)pf_plan_shift(&t->plan.update),
                    want);
    assert_memory_equal(r.state, want, 32);
}

static void
each_record_names_the_one_before_and_goes_on_from_its_state(void **state)
{
    struct pf_live_task *t = core_begin(
        &k, CORE_TASK("a", 9, ",\"strategy\":{\"name\":\"fedavg\"}"));
    struct pf_round_record before, r;
    struct pf_sealed sealed;
    struct pf_ack acks[3];
    uint8_t hash[32];

    (void)state;
    whole_round(t, 1, acks);
    before = record_of(t, 1, &sealed);
    pf_sha256(sealed.body, sealed.len, hash);
    whole_round(t, 2, acks);
    r = record_of(t, 2, &sealed);
    assert_int_equal(sealed.seq, 1);
    assert_memory_equal(r.previous, hash, 32);
    assert_memory_equal(r.base, before.model, 32);
    assert_memory_equal(r.base_state, before.state, 32);
}

static void
the_sums_of_a_record_are_an_object_that_gives_its_weight(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 9, ""));
    struct pf_object *obj = NULL;
    struct pf_sums_head head;
    struct pf_round_record r;
    struct pf_sealed sealed;
    struct pf_ack acks[3];
    char dir[256];

    (void)state;
    whole_round(t, 1, acks);
    r = record_of(t, 1, &sealed);
    memcpy(dir, k.dir, sizeof dir);
    core_close(&k); /* a start sweeps what nothing names */
    core_open(&k, dir);
    assert_int_equal(pf_objects_get(k.objects, r.sums, &obj, NULL), 0);
    assert_int_equal(pf_sums_head_read(obj->bytes, obj->len, &head), 0);
    assert_int_equal(head.n, CORE_PARAMS);
    assert_int_equal(head.updates, 3);
    assert_int_equal(head.weight, r.weight);
    assert_int_equal(head.saturated, r.saturated);
    pf_object_release(obj);
}

/* Three are wanted, two come, the time is over. */
static void
an_abandoned_round_is_sealed_as_one_and_changes_no_state(void **state)
{
    static const char task[] =
        "{\"name\":\"a\",\"model\":{\"version\":1,\"input\":[1,4,4],"
        "\"loss\":\"softmax_cross_entropy\",\"layers\":["
        "{\"name\":\"flatten\",\"type\":\"flatten\"},"
        "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]},"
        "\"round\":{\"select\":{\"min\":3,\"max\":3,\"max_s\":0.5},"
        "\"collect\":{\"min\":3,\"max\":3},\"retry_s\":0.1},"
        "\"stop\":{\"rounds\":9}}";
    struct pf_live_task *t = core_begin(&k, task);
    struct pf_round_record r;
    struct pf_sealed sealed;
    uint8_t want[32], none[32] = {0};
    const struct timespec pause = {0, 10000000};
    struct pf_coordinator_stats stats = {0};
    struct pf_ack acks[2];
    size_t n;
    int i;

    (void)state;
    for (i = 0; i < 2; i++)
        assert_true(core_take_part(&k, t, i, &acks[i]));
    /* On a machine that is very busy the second came to the next round. */
    n = acks[1].round == acks[0].round ? 2 : 1;
    for (i = 0; i < 1000 && stats.rounds_abandoned < acks[0].round; i++) {
        nanosleep(&pause, NULL);
        pf_coordinator_stats(k.c, &stats);
    }
    r = record_of(t, acks[0].round, &sealed);
    assert_int_equal(r.outcome, PF_RECORD_ABANDONED);
    assert_memory_equal(r.model, r.base, 32);
    assert_memory_equal(r.state, r.base_state, 32);
    assert_memory_equal(r.sums, none, 32);
    assert_int_equal(r.updates, n);
    root_of(acks, n, PF_LEAF_ABANDONED, want);
    assert_memory_equal(r.root, want, 32);
}

static void
a_plan_is_signed_anew_by_a_new_record_key_and_stays_the_same(void **state)
{
    struct pf_live_task *t = core_begin(&k, CORE_TASK("a", 9, ""));
    uint8_t plan[32], was[64], signature[64];
    char dir[256];

    (void)state;
    memcpy(plan, t->stored.plan, 32);
    memcpy(was, t->stored.plan_signature, 64);
    memcpy(dir, k.dir, sizeof dir);
    core_close(&k);
    core_open(&k, dir); /* with a key of its own */
    t = pf_coordinator_task(k.c, "a");
    assert_memory_equal(t->stored.plan, plan, 32);
    assert_memory_not_equal(t->stored.plan_signature, was, 64);
    assert_int_equal(
        pf_statement_verify(k.key, PF_SAY_PLAN, t->plan_object->bytes,
                            t->plan_object->len, t->stored.plan_signature),
        0);
    memcpy(signature, t->stored.plan_signature, 64);
    core_close(&k);
    core_open(&k, dir);
    t = pf_coordinator_task(k.c, "a");
    assert_memory_not_equal(t->stored.plan_signature, signature, 64);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, core_set_up, core_tear_down, &k)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_round_is_sealed_with_its_updates_and_model),
        TEST(each_record_names_the_one_before_and_goes_on_from_its_state),
        TEST(the_sums_of_a_record_are_an_object_that_gives_its_weight),
        TEST(an_abandoned_round_is_sealed_as_one_and_changes_no_state),
        TEST(a_plan_is_signed_anew_by_a_new_record_key_and_stays_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
