/* The participation and what the server commits itself to: proofs of earlier
 * updates, a history that may not change, a record key that does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "safetensors.h"
#include "world.h"

static struct fakelog l;

static int set_up(void **state)
{
    struct world *w;

    if (world_set_up(state))
        return 1;
    w = *state;
    fakelog_init(&l, w->fake.record_key);
    w->fake.log = &l;
    return 0;
}

/* Contributes to the round that the server's work names. */
static void contribute(struct world *w)
{
    pf_participation_reset(w->side.p);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    w->side.member.last_round = w->fake.work.round;
}

/* The round of the last update ends with the model that is served, and the next
 * one is open. */
static void end_round(struct world *w)
{
    fakelog_seal(&l, &w->fake.acks[w->fake.n_acks - 1], 1,
                 w->fake.model_digest);
    w->fake.work.round++;
}

static const char *kept(struct world *w, const char *name)
{
    struct pf_buf *b = pf_side_file(&w->side, name);

    return b ? pf_buf_str(b) : "";
}

static int lines(struct world *w, const char *name)
{
    const char *at = kept(w, name);
    int n = 0;

    while ((at = strchr(at, '\n')) != NULL) {
        at++;
        n++;
    }
    return n;
}

static void proves_its_last_update_at_the_next_check_in(void **state)
{
    struct world *w = *state;

    contribute(w);
    assert_non_null(pf_side_file(&w->side, PF_SAVED_RECEIPT));
    assert_int_equal(pf_participation_proved(w->side.p), 0);
    end_round(w);
    contribute(w);
    assert_int_equal(pf_participation_proved(w->side.p), 3);
    assert_int_equal(w->fake.calls[PF_CALL_PROOF], 1);
    assert_int_equal(w->fake.calls[PF_CALL_CHECKIN], 2);
    assert_int_equal(lines(w, PF_KEPT_PROOFS), 1);
    assert_non_null(strstr(w->fake.proof_query, "since=0&update="));
    end_round(w);
    contribute(w);
    assert_int_equal(pf_participation_proved(w->side.p), 4);
    assert_non_null(strstr(w->fake.proof_query, "since=1&update="));
    assert_int_equal(lines(w, PF_KEPT_PROOFS), 2);
}

static void asks_for_no_proof_while_the_round_goes_on(void **state)
{
    static const int reasons[] = {PF_WAIT_CONTRIBUTED, PF_WAIT_PUBLISHING};
    struct world *w = *state;

    contribute(w);
    pf_participation_reset(w->side.p);
    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.min_ms = w->fake.work.max_ms = 1000;
    for (int i = 0; i < 2; i++) {
        w->fake.work.reason = reasons[i];
        w->side.waits = 0;
        for (int k = 0; k < 10 && w->side.waits < 3; k++)
            pf_side_run(&w->side, 1);
    }
    assert_int_equal(w->fake.calls[PF_CALL_PROOF], 0);
    w->fake.work.reason = PF_WAIT_ROUND_FULL; /* of another round */
    pf_side_run(&w->side, 4);
    assert_true(w->fake.calls[PF_CALL_PROOF] > 0);
}

/* Where rounds are asynchronous, a device may be assigned work in the very
 * round in which its last update counts. */
static void asks_for_no_proof_of_the_round_it_works_in(void **state)
{
    struct world *w = *state;

    contribute(w);
    contribute(w);
    assert_int_equal(w->fake.calls[PF_CALL_PROOF], 0);
}

static void a_proof_that_is_not_there_yet_blocks_nothing(void **state)
{
    struct world *w = *state;

    contribute(w);
    w->fake.work.round++; /* but no record: 404 */
    contribute(w);
    assert_int_equal(w->fake.calls[PF_CALL_PROOF], 1);
    assert_int_equal(w->side.waits, 0);
    end_round(w);
    contribute(w);
    assert_int_equal(pf_participation_proved(w->side.p), 4);
}

static void a_server_in_trouble_about_proofs_blocks_nothing(void **state)
{
    static const enum pf_problem_id ids[] = {
        PF_PROBLEM_INTERNAL, PF_PROBLEM_BUSY, PF_PROBLEM_TOO_MANY_REQUESTS,
        PF_PROBLEM_FORBIDDEN, PF_PROBLEM_ROUND_CLOSED};
    struct world *w = *state;

    contribute(w);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        w->fake.work.round++;
        w->fake.problem_at = PF_CALL_PROOF;
        w->fake.problem_times = 1;
        pf_problem_set(&w->fake.problem, ids[i], "no");
        contribute(w);
        assert_int_equal(w->fake.problem_times, 0);
    }
    assert_int_equal(w->side.waits, 0);
}

static void unreadable(struct pf_fake *f, enum pf_call_id call,
                       struct pf_buf *body)
{
    (void)f;
    if (call == PF_CALL_PROOF)
        body->data[0] = 'x';
}

static void a_proof_that_cannot_be_read_is_asked_for_again(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    w->fake.bend = unreadable;
    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_PAUSED;
    w->fake.work.min_ms = w->fake.work.max_ms = 1000;
    pf_participation_reset(w->side.p);
    pf_side_run(&w->side, 3);
    assert_int_equal(pf_participation_proved(w->side.p), 0);
    w->fake.bend = NULL;
    pf_side_run(&w->side, 3);
    assert_int_equal(pf_participation_proved(w->side.p), 3);
}

static void a_full_disk_costs_asking_again(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    w->side.cannot_append = 1;
    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_PAUSED;
    w->fake.work.min_ms = w->fake.work.max_ms = 1000;
    pf_participation_reset(w->side.p);
    pf_side_run(&w->side, 3);
    assert_int_equal(pf_participation_proved(w->side.p), 0);
    assert_non_null(pf_side_file(&w->side, PF_SAVED_RECEIPT));
    w->side.cannot_append = 0;
    pf_side_run(&w->side, 3);
    assert_int_equal(pf_participation_proved(w->side.p), 3);
    assert_null(pf_side_file(&w->side, PF_SAVED_RECEIPT));
}

static void the_proof_of_the_last_round_comes_before_the_end(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_FINISHED;
    memcpy(w->fake.work.final_model, w->fake.model_digest, 32);
    pf_participation_reset(w->side.p);
    world_ends(w, PF_OUTCOME_FINISHED);
    assert_int_equal(pf_participation_proved(w->side.p), 3);
}

static void goes_on_with_its_history_after_a_kill(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    contribute(w);
    end_round(w);
    pf_side_restart(&w->side);
    contribute(w);
    assert_int_equal(pf_participation_proved(w->side.p), 4);
    assert_non_null(strstr(w->fake.proof_query, "since=1&update="));
}

/* As if a kill had come after the proof was kept and before the receipt was
 * removed. */
static void put_receipt_back(struct world *w, const struct pf_buf *receipt)
{
    w->side.io.save(w->side.io.ctx, PF_SAVED_RECEIPT, receipt->data,
                    receipt->len);
    pf_side_restart(&w->side);
}

static void keep_receipt(struct world *w, struct pf_buf *out)
{
    const struct pf_buf *b = pf_side_file(&w->side, PF_SAVED_RECEIPT);

    assert_non_null(b);
    pf_buf_init(out, 1 << 16);
    pf_buf_add(out, b->data, b->len);
}

static void asks_again_after_a_kill_and_hears_the_same(void **state)
{
    struct world *w = *state;
    struct pf_buf receipt;

    contribute(w);
    keep_receipt(w, &receipt);
    end_round(w);
    contribute(w);
    end_round(w);
    put_receipt_back(w, &receipt);
    contribute(w);
    assert_int_equal(w->fake.calls[PF_CALL_PROOF], 2);
    assert_int_equal(pf_participation_proved(w->side.p), 3);
    assert_int_equal(lines(w, PF_KEPT_PROOFS), 2);
    pf_buf_free(&receipt);
}

/* ---- what is refused --------------------------------------------------- */

static void wrong_leaf(struct pf_fake *f, enum pf_call_id call,
                       struct pf_buf *body)
{
    char *at;

    (void)f;
    if (call != PF_CALL_PROOF)
        return;
    at = strstr((char *)body->data, "\"leaf\":\"");
    at[60] = at[60] == 'A' ? 'B' : 'A';
}

static void a_proof_of_something_else_is_refused(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    w->fake.bend = wrong_leaf;
    pf_participation_reset(w->side.p);
    world_refuses(w, POCKETFED_PROOF, "proof of round 3");
    assert_int_equal(lines(w, PF_KEPT_PROOFS), 0);
}

static void an_update_left_out_of_the_record_is_noticed(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    l.round[0].record.root[0] ^= 1; /* the root of other leaves */
    fakelog_resign(&l, 0);
    pf_participation_reset(w->side.p);
    world_refuses(w, POCKETFED_PROOF, "not in the record");
}

static void two_records_for_a_round_are_kept_as_evidence(void **state)
{
    struct world *w = *state;
    struct pf_buf receipt;

    contribute(w);
    keep_receipt(w, &receipt);
    end_round(w);
    contribute(w);
    assert_int_equal(pf_participation_proved(w->side.p), 3);
    l.round[0].record.saturated = 77;
    fakelog_resign(&l, 0);
    w->fake.work.round++;
    for (int i = 0; i < 2; i++) {
        put_receipt_back(w, &receipt);
        world_refuses(w, POCKETFED_PROOF, "equivocation");
        assert_non_null(strstr(w->side.err.text, "round 3"));
        /* Said twice, kept once. */
        assert_int_equal(lines(w, PF_KEPT_EVIDENCE), 1);
        l.time_ms++;
    }
    assert_non_null(strstr(kept(w, PF_KEPT_EVIDENCE),
                           "{\"kind\":\"equivocation\",\"round\":\"3\""));
    assert_int_equal(lines(w, PF_KEPT_PROOFS), 1);
    pf_buf_free(&receipt);
}

static void a_rewritten_history_is_kept_as_evidence(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++) {
        contribute(w);
        end_round(w);
    }
    /* Known: two records. The first of them is signed anew, another way. */
    l.round[0].record.saturated = 77;
    fakelog_resign(&l, 0);
    pf_participation_reset(w->side.p);
    world_refuses(w, POCKETFED_PROOF, "rewritten");
    assert_int_equal(lines(w, PF_KEPT_EVIDENCE), 1);
    assert_non_null(strstr(kept(w, PF_KEPT_EVIDENCE), "\"rewritten\""));
}

/* ---- what a known record says about the next round ---------------------- */

static void
the_next_round_starts_from_the_model_of_the_last_record(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    memset(w->fake.work.base, 0xee, 32);
    pf_participation_reset(w->side.p);
    world_refuses(w, POCKETFED_PROOF, "does not start from the model");
}

static void
an_older_round_is_not_trained_for_once_its_record_is_known(void **state)
{
    struct world *w = *state;

    contribute(w);
    end_round(w);
    contribute(w);
    w->side.member.last_round = 0; /* so that only the record says it */
    w->fake.work.round = 2;
    pf_participation_reset(w->side.p);
    world_refuses(w, POCKETFED_PROOF, "record of round 3 is known");
}

/* A model file that says that it is of that round and previous model. */
static void serve_model(struct world *w, uint64_t round, uint8_t previous)
{
    size_t n = pf_model_n_params(w->fake.model);
    struct pf_model_meta meta;
    float params[512];

    assert_true(n <= sizeof params / sizeof params[0]);
    pf_model_init(w->fake.model, 7, params);
    memset(&meta, 0, sizeof meta);
    snprintf(meta.task, sizeof meta.task, "%s", w->fake.plan.task);
    memcpy(meta.plan, w->fake.plan_digest, 32);
    memset(meta.previous, previous, 32);
    meta.round = round;
    pf_buf_clear(&w->fake.model_file);
    assert_int_equal(
        pf_safetensors_write(w->fake.model, params, &meta, &w->fake.model_file),
        0);
    pf_sha256(w->fake.model_file.data, w->fake.model_file.len,
              w->fake.model_digest);
    memcpy(w->fake.work.base, w->fake.model_digest, 32);
}

static void a_model_must_name_the_base_that_its_record_names(void **state)
{
    struct world *w = *state;

    contribute(w);
    serve_model(w, 3, 0x01); /* not the base of round 3 */
    fakelog_seal(&l, &w->fake.acks[0], 1, w->fake.model_digest);
    w->fake.work.round++;
    pf_participation_reset(w->side.p);
    world_refuses(w, POCKETFED_PROOF, "names another");
}

/* ---- the record key ----------------------------------------------------- */

static void refuse_key(struct world *w, enum pf_call_id call)
{
    w->fake.problem_at = call;
    w->fake.problem_times = 1;
    pf_problem_set(&w->fake.problem, PF_PROBLEM_RECORD_KEY, "another key");
}

static void follows_a_record_key_by_the_word_of_the_old_one(void **state)
{
    static const struct {
        enum pf_call_id call;
        const char *phase;
    } when[] = {{PF_CALL_CHECKIN, "checkin"},
                {PF_CALL_PROOF, "proof"},
                {PF_CALL_UPDATE, "upload"}};
    struct world *w = *state;

    contribute(w);
    for (int i = 0; i < 3; i++) {
        end_round(w);
        pf_participation_reset(w->side.p);
        assert_true(pf_side_until(&w->side, when[i].phase));
        pf_fake_rotate(&w->fake);
        l.key = w->fake.record_key;
        refuse_key(w, when[i].call);
        world_ends(w, PF_OUTCOME_ACCEPTED);
        w->side.member.last_round = w->fake.work.round;
        assert_int_equal(w->side.rotations, i + 1);
        assert_int_equal(w->fake.problem_times, 0);
        assert_int_equal(pf_participation_proved(w->side.p), 3 + i);
    }
    assert_int_equal(w->side.waits, 0);
}

/* The plan is asked for without a signature, so that nobody says 421. */
static void a_plan_by_a_new_key_makes_it_ask_for_that_key(void **state)
{
    struct world *w = *state;

    assert_true(pf_side_until(&w->side, "plan"));
    pf_fake_rotate(&w->fake);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.rotations, 1);
}

static void a_key_that_the_old_one_does_not_name_is_refused(void **state)
{
    struct world *w = *state;

    refuse_key(w, PF_CALL_CHECKIN);
    world_refuses(w, POCKETFED_PROOF, "record-key"); /* 404 */
    pf_side_restart(&w->side);
    pf_fake_rotate(&w->fake);
    w->fake.rotation_statement[5] ^= 1;
    refuse_key(w, PF_CALL_CHECKIN);
    world_refuses(w, POCKETFED_PROOF, "record-key");
    assert_int_equal(w->side.rotations, 0);
}

static void without_a_place_for_new_keys_none_is_followed(void **state)
{
    struct world *w = *state;

    w->side.io.rotated = NULL;
    pf_side_restart(&w->side);
    pf_fake_rotate(&w->fake);
    refuse_key(w, PF_CALL_CHECKIN);
    world_refuses(w, POCKETFED_PROOF, "record-key");
    assert_int_equal(w->fake.calls[PF_CALL_KEY], 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(proves_its_last_update_at_the_next_check_in),
        TEST(asks_for_no_proof_while_the_round_goes_on),
        TEST(asks_for_no_proof_of_the_round_it_works_in),
        TEST(a_proof_that_is_not_there_yet_blocks_nothing),
        TEST(a_server_in_trouble_about_proofs_blocks_nothing),
        TEST(a_proof_that_cannot_be_read_is_asked_for_again),
        TEST(a_full_disk_costs_asking_again),
        TEST(the_proof_of_the_last_round_comes_before_the_end),
        TEST(goes_on_with_its_history_after_a_kill),
        TEST(a_proof_of_something_else_is_refused),
        TEST(an_update_left_out_of_the_record_is_noticed),
        TEST(asks_again_after_a_kill_and_hears_the_same),
        TEST(two_records_for_a_round_are_kept_as_evidence),
        TEST(a_rewritten_history_is_kept_as_evidence),
        TEST(the_next_round_starts_from_the_model_of_the_last_record),
        TEST(an_older_round_is_not_trained_for_once_its_record_is_known),
        TEST(a_model_must_name_the_base_that_its_record_names),
        TEST(follows_a_record_key_by_the_word_of_the_old_one),
        TEST(a_plan_by_a_new_key_makes_it_ask_for_that_key),
        TEST(a_key_that_the_old_one_does_not_name_is_refused),
        TEST(without_a_place_for_new_keys_none_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
