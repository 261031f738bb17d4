#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "world.h"

static enum pocketfed_status failing_example(void *ctx, size_t i, float *x,
                                             uint32_t *label)
{
    return i == 7 ? POCKETFED_IO : pf_fake_example(ctx, i, x, label);
}

/* --- kills --- */

/* The frame of an unbroken run. */
static void unbroken(struct pf_buf *out)
{
    void *state;
    struct world *w;

    world_set_up(&state);
    w = state;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    pf_buf_init(out, 1 << 20);
    pf_buf_add(out, w->fake.frame.data, w->fake.frame.len);
    world_tear_down(&state);
}

static void a_kill_at_any_batch_changes_no_bit_of_the_frame(void **state)
{
    struct pf_buf want;
    int batches, i;

    unbroken(&want);
    for (batches = 0; batches < 10; batches++) {
        struct world *w;
        enum pf_want move;
        uint64_t done, total;
        double loss;

        world_tear_down(state);
        world_set_up(state);
        w = *state;
        assert_true(pf_side_until(&w->side, "train"));
        for (i = 0; i < batches; i++)
            pf_side_move(&w->side, &move);
        assert_int_equal(pf_participation_checkpoint(w->side.p, NULL),
                         POCKETFED_OK);
        if (batches < 9) /* work after the checkpoint is lost, no more */
            pf_side_move(&w->side, &move);
        pf_side_restart(&w->side);
        assert_true(pf_side_until(&w->side, "train"));
        pf_participation_progress(w->side.p, &done, &total, &loss);
        assert_int_equal(done, 8 * batches);
        world_ends(w, PF_OUTCOME_ACCEPTED);
        assert_int_equal(w->fake.frame.len, want.len);
        assert_memory_equal(w->fake.frame.data, want.data, want.len);
    }
    pf_buf_free(&want);
}

static void a_damaged_checkpoint_costs_work_and_nothing_else(void **state)
{
    struct pf_buf want, *saved;
    size_t at;

    unbroken(&want);
    for (at = 0; at < 3; at++) {
        struct world *w;
        enum pf_want move;

        world_tear_down(state);
        world_set_up(state);
        w = *state;
        w->fake.work.seed += at == 2;
        assert_true(pf_side_until(&w->side, "train"));
        pf_side_move(&w->side, &move);
        pf_participation_checkpoint(w->side.p, NULL);
        saved = pf_side_file(&w->side, PF_SAVED_TRAIN);
        assert_non_null(saved);
        if (at == 0)
            saved->len /= 2; /* torn */
        else if (at == 1)
            saved->data[300] ^= 1;
        else
            w->fake.work.seed--; /* so it was of other work */
        pf_side_restart(&w->side);
        world_ends(w, PF_OUTCOME_ACCEPTED);
        assert_memory_equal(w->fake.frame.data, want.data, want.len);
    }
    pf_buf_free(&want);
}

static void a_ready_frame_is_sent_without_training_again(void **state)
{
    struct world *w = *state;
    struct pf_buf first;

    pf_buf_init(&first, 1 << 20);
    w->fake.drop_ack = 1; /* it was taken, but we never hear of it */
    assert_true(pf_side_until(&w->side, "upload"));
    pf_side_run(&w->side, 1);
    pf_buf_add(&first, w->fake.frame.data, w->fake.frame.len);
    w->side.examples.get = failing_example;
    pf_side_restart(&w->side);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_CHECKIN], 1);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
    assert_memory_equal(w->fake.frame.data, first.data, first.len);
    assert_int_equal(pf_participation_round(w->side.p), 3);
    pf_buf_free(&first);
}

static void a_damaged_frame_is_forgotten(void **state)
{
    struct world *w = *state;

    assert_true(pf_side_until(&w->side, "upload"));
    pf_side_file(&w->side, PF_SAVED_UPDATE)->len -= 16;
    pf_side_restart(&w->side);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_CHECKIN], 2);
}

static void a_frame_that_was_accepted_is_not_sent_again(void **state)
{
    struct world *w = *state;

    world_ends(w, PF_OUTCOME_ACCEPTED);
    w->side.member.last_round = 3; /* the receipt is stored; then the kill */
    w->fake.work.round = 4;
    pf_side_restart(&w->side);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(pf_participation_ack(w->side.p)->round, 4);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
}

static void a_plan_that_was_changed_on_disk_is_fetched_again(void **state)
{
    struct world *w = *state;
    struct pf_buf *plan;

    world_ends(w, PF_OUTCOME_ACCEPTED);
    plan = pf_side_file(&w->side, PF_SAVED_PLAN);
    assert_non_null(plan);
    plan->data[0] ^= 1; /* of its signature */
    w->side.member.last_round = 3;
    w->fake.work.round = 4;
    pf_side_restart(&w->side);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_PLAN], 2);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 1);
}

/* --- problems --- */

static void meets(struct world *w, enum pf_call_id call, enum pf_problem_id id,
                  int times)
{
    w->fake.problem_at = call;
    w->fake.problem_times = times;
    pf_problem_set(&w->fake.problem, id, "because");
}

static void a_busy_server_is_asked_again_after_growing_waits(void **state)
{
    struct world *w = *state;
    enum pf_want want;
    int64_t most = 1000;
    int i;

    meets(w, PF_CALL_CHECKIN, PF_PROBLEM_BUSY, 14);
    for (i = 0; i < 14; i++) {
        assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
        assert_int_equal(want, PF_WANT_REQUEST);
        assert_non_null(
            strstr(pf_participation_error(w->side.p)->text, "because"));
        pf_side_move(&w->side, &want);
        assert_int_equal(want, PF_WANT_WAIT);
        assert_in_range(w->side.waited_ms, 50, most);
        most = most * 2 > 600000 ? 600000 : most * 2;
    }
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.waits, 14);
}

static void each_request_begins_with_short_waits_again(void **state)
{
    struct world *w = *state;

    meets(w, PF_CALL_PLAN, PF_PROBLEM_BUSY, 12);
    assert_true(pf_side_until(&w->side, "model"));
    meets(w, PF_CALL_MODEL, PF_PROBLEM_BUSY, 1);
    assert_true(pf_side_until(&w->side, "train"));
    assert_int_equal(w->side.waits, 13);
    assert_in_range(w->side.waited_ms, 50, 1000);
}

static void retry_after_wins_over_the_backoff(void **state)
{
    struct world *w = *state;
    enum pf_want want;

    meets(w, PF_CALL_UPDATE, PF_PROBLEM_BUSY, 1);
    w->fake.retry_after_s = 17;
    assert_true(pf_side_until(&w->side, "upload"));
    pf_side_move(&w->side, &want);
    pf_side_move(&w->side, &want);
    assert_int_equal(want, PF_WANT_WAIT);
    assert_int_equal(w->side.waited_ms, 17000);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
}

static void a_status_without_a_problem_document_is_understood(void **state)
{
    struct world *w = *state;

    meets(w, PF_CALL_CHECKIN, PF_PROBLEM_BUSY, 2);
    w->fake.bare_status = 502;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.waits, 2);
}

static void every_problem_leads_to_its_action(void **state)
{
    int id;

    for (id = 1; id < PF_PROBLEM_COUNT; id++) {
        struct world *w;
        enum pf_problem_action action = pf_problem_rows[id].action;
        enum pf_outcome want = PF_OUTCOME_ACCEPTED;

        world_tear_down(state);
        world_set_up(state);
        w = *state;
        meets(w, PF_CALL_UPDATE, (enum pf_problem_id)id, 1);
        w->fake.problem.server_time_ms = w->fake.now_ms;
        if (action == PF_DO_DROP)
            want = PF_OUTCOME_DROPPED;
        if (action == PF_DO_STOP)
            want = PF_OUTCOME_REFUSED;
        pf_side_run(&w->side, WORLD_MOVES);
        if (world_outcome(w) != want)
            fail_msg("%s: outcome %d, not %d", pf_problem_rows[id].slug,
                     (int)world_outcome(w), (int)want);
        if (want == PF_OUTCOME_DROPPED) {
            assert_null(pf_side_file(&w->side, PF_SAVED_UPDATE));
            assert_non_null(strstr(pf_participation_error(w->side.p)->text,
                                   pf_problem_rows[id].slug));
        }
    }
}

static void an_old_library_is_told_by_the_server_too(void **state)
{
    struct world *w = *state;

    meets(w, PF_CALL_CHECKIN, PF_PROBLEM_CLIENT_TOO_OLD, 1);
    world_refuses(w, POCKETFED_TOO_OLD, "client-too-old");
}

static void a_plan_or_model_that_is_gone_drops_the_round(void **state)
{
    struct world *w = *state;

    meets(w, PF_CALL_MODEL, PF_PROBLEM_NOT_FOUND, 1);
    world_ends(w, PF_OUTCOME_DROPPED);
    pf_participation_reset(w->side.p);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

static void a_signed_time_corrects_the_clock_at_once(void **state)
{
    struct world *w = *state;
    enum pf_want want;

    meets(w, PF_CALL_CHECKIN, PF_PROBLEM_CLOCK_SKEW, 1);
    w->fake.problem.server_time_ms = 1234567;
    assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
    assert_int_equal(pf_participation_server_time(w->side.p), 1234567);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.waits, 0);
    assert_int_equal(pf_participation_server_time(w->side.p), 0);
}

static void an_unsigned_time_corrects_nothing(void **state)
{
    struct world *w = *state;
    enum pf_want want;

    meets(w, PF_CALL_CHECKIN, PF_PROBLEM_CLOCK_SKEW, 1);
    w->fake.problem.server_time_ms = 1234567;
    w->fake.problem_unsigned = 1;
    assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
    assert_int_equal(pf_participation_server_time(w->side.p), 0);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.waits, 1);
}

static void a_clock_that_cannot_be_corrected_is_backed_off(void **state)
{
    struct world *w = *state;

    meets(w, PF_CALL_CHECKIN, PF_PROBLEM_CLOCK_SKEW, 5);
    w->fake.problem.server_time_ms = 1234567;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.waits, 2);
}

/* --- waits and the end --- */

static void waits_as_long_as_it_is_told(void **state)
{
    struct world *w = *state;
    enum pf_want want;
    int i;

    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_ROUND_FULL;
    w->fake.work.min_ms = 2000;
    w->fake.work.max_ms = 5000;
    for (i = 0; i < 20; i++) {
        assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
        assert_int_equal(want, PF_WANT_REQUEST);
        pf_side_move(&w->side, &want);
        assert_int_equal(want, PF_WANT_WAIT);
        assert_in_range(w->side.waited_ms, 2000, 5000);
        assert_int_equal(pf_participation_error(w->side.p)->status,
                         POCKETFED_OK);
    }
    w->fake.work.kind = PF_CHECKIN_TRAIN;
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

static void a_finished_task_ends_it_and_leaves_the_final_model(void **state)
{
    struct world *w = *state;
    char hex[65];
    size_t i;

    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_FINISHED;
    memcpy(w->fake.work.final_model, w->fake.model_digest, 32);
    world_ends(w, PF_OUTCOME_FINISHED);
    for (i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", w->fake.model_digest[i]);
    assert_non_null(pf_side_file(&w->side, hex));
}

static void a_finished_task_ends_it_when_there_is_no_final_model(void **state)
{
    struct world *w = *state;

    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_FINISHED;
    world_ends(w, PF_OUTCOME_FINISHED);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 0);
}

static void a_finished_task_ends_it_when_the_final_model_is_gone(void **state)
{
    struct world *w = *state;

    w->fake.work.kind = PF_CHECKIN_WAIT;
    w->fake.work.reason = PF_WAIT_FINISHED;
    memcpy(w->fake.work.final_model, w->fake.model_digest, 32);
    meets(w, PF_CALL_MODEL, PF_PROBLEM_NOT_FOUND, 1);
    world_ends(w, PF_OUTCOME_FINISHED);
}

static void a_reply_that_nobody_awaits_is_an_error(void **state)
{
    struct world *w = *state;
    struct pf_want_reply r = {.status = 200};
    struct pf_error err;

    assert_int_equal(pf_participation_reply(w->side.p, &r, &err),
                     POCKETFED_INVALID);
    assert_int_equal(pf_participation_train(w->side.p, 0, NULL, NULL, &err),
                     POCKETFED_INVALID);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_kill_at_any_batch_changes_no_bit_of_the_frame),
        T(a_damaged_checkpoint_costs_work_and_nothing_else),
        T(a_ready_frame_is_sent_without_training_again),
        T(a_damaged_frame_is_forgotten),
        T(a_frame_that_was_accepted_is_not_sent_again),
        T(a_plan_that_was_changed_on_disk_is_fetched_again),
        T(a_busy_server_is_asked_again_after_growing_waits),
        T(each_request_begins_with_short_waits_again),
        T(retry_after_wins_over_the_backoff),
        T(a_status_without_a_problem_document_is_understood),
        T(every_problem_leads_to_its_action),
        T(an_old_library_is_told_by_the_server_too),
        T(a_plan_or_model_that_is_gone_drops_the_round),
        T(a_signed_time_corrects_the_clock_at_once),
        T(an_unsigned_time_corrects_nothing),
        T(a_clock_that_cannot_be_corrected_is_backed_off),
        T(waits_as_long_as_it_is_told),
        T(a_finished_task_ends_it_and_leaves_the_final_model),
        T(a_finished_task_ends_it_when_there_is_no_final_model),
        T(a_finished_task_ends_it_when_the_final_model_is_gone),
        T(a_reply_that_nobody_awaits_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
