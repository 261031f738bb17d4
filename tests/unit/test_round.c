/* The life of a round while all goes well: who is assigned, what is answered,
 * when it closes.  test_round_ends.c has pauses, failures and stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"
#include "rng.h"

static struct engine e;

#define PHASE(name) assert_string_equal(engine_status(&e).phase, name)

static void is_assigned(const struct pf_answer *a, uint64_t round)
{
    assert_int_equal(a->kind, PF_ANSWER_CHECKIN);
    assert_int_equal(a->u.checkin.kind, PF_CHECKIN_TRAIN);
    assert_int_equal(a->u.checkin.round, round);
}

static void waits(const struct pf_answer *a, enum pf_wait_reason reason,
                  int64_t min_ms, int64_t max_ms)
{
    assert_int_equal(a->kind, PF_ANSWER_CHECKIN);
    assert_int_equal(a->u.checkin.kind, PF_CHECKIN_WAIT);
    assert_int_equal(a->u.checkin.reason, reason);
    assert_int_equal(a->u.checkin.min_ms, min_ms);
    assert_int_equal(a->u.checkin.max_ms, max_ms);
}

static void is_refused(const struct pf_answer *a, enum pf_problem_id id)
{
    assert_int_equal(a->kind, PF_ANSWER_PROBLEM);
    assert_int_equal(a->u.problem.id, id);
    assert_true(a->u.problem.detail[0] != '\0');
}

/* Three devices in, the round collects. */
static void collecting(void)
{
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++)
        is_assigned(engine_checkin(&e, d), 1);
    PHASE("collecting");
}

static void nothing_happens_before_the_task_is_started(void **state)
{
    (void)state;
    engine_make(&e);
    PHASE("idle");
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
    waits(engine_checkin(&e, 1), PF_WAIT_PAUSED, 4000, 9000);
    is_refused(engine_offer(&e, 1, 1, 1), PF_PROBLEM_NOT_ASSIGNED);
    is_refused(engine_offer(&e, 1, 0, 1), PF_PROBLEM_NOT_ASSIGNED);
    is_refused(engine_failure(&e, 1, 0), PF_PROBLEM_NOT_ASSIGNED);
    engine_pass(&e, 1e6);
    assert_int_equal(e.n_records, 0);
}

static void start_opens_round_1_on_the_initial_model(void **state)
{
    (void)state;
    engine_make(&e);
    assert_int_equal(engine_command(&e, PF_CMD_START)->kind, PF_ANSWER_DONE);
    assert_int_equal(e.step.n_records, 2);
    assert_int_equal(e.step.record[0].kind, PF_REC_STATE);
    assert_int_equal(e.step.record[1].kind, PF_REC_OPENED);
    assert_int_equal(e.step.record[1].round, 1);
    assert_int_equal(e.step.record[1].u.opened.base[0], 0);
    PHASE("selecting");
    engine_command(&e, PF_CMD_START);
    assert_int_equal(e.step.n_records, 0);
}

static void an_assignment_says_what_to_train_and_for_how_long(void **state)
{
    const struct pf_checkin_reply *c;
    struct pf_rng rng = pf_rng_make(5, 1, 1, PF_RNG_ASSIGNMENT);
    struct pf_device_ref d = engine_device(1);
    uint8_t plan[32], base[32];

    (void)state;
    engine_digest(0xaa, plan);
    engine_digest(0, base);
    engine_go(&e);
    e.now_ms += 3000;
    c = &engine_checkin(&e, 1)->u.checkin;
    assert_string_equal(c->task, "bench");
    assert_memory_equal(c->device, d.id, sizeof d.id);
    assert_int_equal(c->round, 1);
    assert_memory_equal(c->plan, plan, 32);
    assert_memory_equal(c->base, base, 32);
    assert_true(c->seed == pf_rng_u64(&rng, 0));
    assert_int_equal(c->lease_ms, 147000); /* 100 s + 50 s - 3 s */
    assert_int_equal(engine_records(&e, PF_REC_ASSIGNED), 1);
}

static void asking_again_gives_the_same_assignment_and_no_record(void **state)
{
    struct pf_checkin_reply first;

    (void)state;
    engine_go(&e);
    first = engine_checkin(&e, 1)->u.checkin;
    e.now_ms += 5000;
    is_assigned(engine_checkin(&e, 1), 1);
    assert_int_equal(e.step.n_records, 0);
    assert_true(e.answer.u.checkin.seed == first.seed);
    assert_int_equal(e.answer.u.checkin.lease_ms, first.lease_ms - 5000);
}

static void another_ordinal_gets_another_seed(void **state)
{
    uint64_t seed;

    (void)state;
    engine_go(&e);
    seed = engine_checkin(&e, 1)->u.checkin.seed;
    assert_true(engine_checkin(&e, 2)->u.checkin.seed != seed);
}

static void a_full_selection_starts_the_collecting_at_once(void **state)
{
    (void)state;
    engine_go(&e);
    engine_checkin(&e, 1);
    engine_checkin(&e, 2);
    PHASE("selecting");
    is_assigned(engine_checkin(&e, 3), 1);
    assert_int_equal(engine_records(&e, PF_REC_COLLECTING), 1);
    PHASE("collecting");
    waits(engine_checkin(&e, 4), PF_WAIT_ROUND_FULL, 4000, 9000);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 50000);
}

static void enough_devices_start_the_collecting_after_min_s(void **state)
{
    (void)state;
    e.task.round.select = (struct pf_window){3, 5, 20, 100};
    engine_go(&e);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 100000);
    for (unsigned d = 1; d <= 3; d++)
        engine_checkin(&e, d);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 20000);
    engine_pass(&e, 19.999);
    PHASE("selecting");
    engine_pass(&e, 0.001);
    PHASE("collecting");
}

static void all_that_may_come_start_the_collecting_before_min_s(void **state)
{
    (void)state;
    e.task.round.select = (struct pf_window){3, 5, 20, 100};
    engine_go(&e);
    for (unsigned d = 1; d <= 5; d++) {
        PHASE("selecting");
        engine_checkin(&e, d);
    }
    PHASE("collecting");
}

static void updates_are_taken_while_selecting(void **state)
{
    (void)state;
    engine_go(&e);
    engine_checkin(&e, 1);
    assert_int_equal(engine_offer(&e, 1, 1, 9)->kind, PF_ANSWER_GO);
    assert_int_equal(engine_update(&e, 1, 1, 9)->kind, PF_ANSWER_ACK);
    PHASE("selecting");
    waits(engine_checkin(&e, 1), PF_WAIT_CONTRIBUTED, 4000, 9000);
}

static void an_accepted_update_is_recorded_acknowledged_and_folded(void **state)
{
    const struct pf_answer *a;
    const struct pf_effect *fold;

    (void)state;
    collecting();
    a = engine_update(&e, 2, 1, 9);
    assert_int_equal(a->kind, PF_ANSWER_ACK);
    assert_int_equal(a->again, 0);
    assert_string_equal(a->u.ack.task, "bench");
    assert_int_equal(a->u.ack.round, 1);
    assert_int_equal(a->u.ack.digest[31], 9);
    assert_int_equal(a->u.ack.plan[0], 0xaa);
    assert_int_equal(a->u.ack.examples, 10);
    assert_int_equal(a->u.ack.weight, 10);
    assert_int_equal(e.step.n_records, 1);
    assert_int_equal(e.step.record[0].kind, PF_REC_ACCEPTED);
    assert_int_equal(e.step.record[0].u.accepted.extent.offset, 8192);
    fold = engine_effect(&e, PF_EFFECT_FOLD);
    assert_non_null(fold);
    assert_int_equal(fold->round, 1);
    assert_int_equal(fold->u.fold.extent.offset, 8192);
    assert_int_equal(fold->u.fold.weight, 10);
}

static void the_same_update_again_gets_the_same_acknowledgement(void **state)
{
    struct pf_ack first;

    (void)state;
    collecting();
    first = engine_update(&e, 2, 1, 9)->u.ack;
    for (int i = 0; i < 2; i++) {
        const struct pf_answer *a =
            i ? engine_offer(&e, 2, 1, 9) : engine_update(&e, 2, 1, 9);

        assert_int_equal(a->kind, PF_ANSWER_ACK);
        assert_int_equal(a->again, 1);
        assert_memory_equal(&a->u.ack, &first, sizeof first);
        assert_int_equal(e.step.n_records, 0);
        assert_null(engine_effect(&e, PF_EFFECT_FOLD));
    }
}

static void another_update_of_the_same_device_is_refused(void **state)
{
    (void)state;
    collecting();
    engine_update(&e, 2, 1, 9);
    is_refused(engine_offer(&e, 2, 1, 8), PF_PROBLEM_ALREADY_DIFFERENT);
    is_refused(engine_update(&e, 2, 1, 8), PF_PROBLEM_ALREADY_DIFFERENT);
    assert_int_equal(e.step.n_records, 0);
    assert_null(engine_effect(&e, PF_EFFECT_FOLD));
}

static void a_device_without_an_assignment_is_refused(void **state)
{
    (void)state;
    collecting();
    is_refused(engine_offer(&e, 4, 1, 9), PF_PROBLEM_NOT_ASSIGNED);
    is_refused(engine_update(&e, 4, 1, 9), PF_PROBLEM_NOT_ASSIGNED);
    is_refused(engine_update(&e, 1, 2, 9), PF_PROBLEM_NOT_ASSIGNED);
    is_refused(engine_failure(&e, 4, 1), PF_PROBLEM_NOT_ASSIGNED);
    assert_int_equal(e.step.n_records, 0);
}

static void a_full_collection_closes_the_round_at_once(void **state)
{
    (void)state;
    collecting();
    engine_update(&e, 1, 1, 1);
    engine_update(&e, 2, 1, 2);
    PHASE("collecting");
    engine_update(&e, 3, 1, 3);
    assert_int_equal(engine_records(&e, PF_REC_CLOSED), 1);
    PHASE("closing");
    /* In this order: every fold is queued before the model is made. */
    assert_int_equal(e.step.effect[0].kind, PF_EFFECT_FOLD);
    assert_int_equal(e.step.effect[2].kind, PF_EFFECT_FINISH);
    assert_int_equal(pf_round_deadline(e.round), INT64_MAX);
}

static void enough_updates_close_the_round_after_min_s(void **state)
{
    (void)state;
    collecting();
    engine_update(&e, 1, 1, 1);
    engine_update(&e, 2, 1, 2);
    assert_int_equal(pf_round_deadline(e.round), e.now_ms + 10000);
    engine_pass(&e, 9.999);
    PHASE("collecting");
    engine_pass(&e, 0.001);
    PHASE("closing");
    assert_non_null(engine_effect(&e, PF_EFFECT_FINISH));
}

static void collect_max_closes_a_round_that_is_still_selecting(void **state)
{
    (void)state;
    e.task.round.select = (struct pf_window){4, 5, 60, 100};
    e.task.round.collect = (struct pf_window){2, 3, 10, 50};
    engine_go(&e);
    for (unsigned d = 1; d <= 3; d++) {
        PHASE("selecting");
        engine_checkin(&e, d);
        engine_update(&e, d, 1, 1);
    }
    assert_int_equal(engine_records(&e, PF_REC_COLLECTING), 1);
    assert_int_equal(engine_records(&e, PF_REC_CLOSED), 1);
    PHASE("closing");
}

static void time_that_has_passed_counts_before_the_event(void **state)
{
    (void)state;
    collecting();
    engine_update(&e, 1, 1, 1);
    engine_update(&e, 2, 1, 2);
    e.now_ms += 10000; /* no TICK came */
    is_refused(engine_update(&e, 3, 1, 3), PF_PROBLEM_ROUND_CLOSED);
    assert_int_equal(engine_records(&e, PF_REC_CLOSED), 1);
    assert_non_null(engine_effect(&e, PF_EFFECT_FINISH));
}

static void while_the_model_is_made_devices_come_back_soon(void **state)
{
    (void)state;
    collecting();
    for (unsigned d = 1; d <= 3; d++)
        engine_update(&e, d, 1, 1);
    waits(engine_checkin(&e, 1), PF_WAIT_PUBLISHING, 2000, 4000);
    waits(engine_checkin(&e, 4), PF_WAIT_PUBLISHING, 2000, 4000);
    is_refused(engine_offer(&e, 4, 1, 1), PF_PROBLEM_ROUND_CLOSED);
}

static void a_published_model_is_the_base_of_the_next_round(void **state)
{
    struct pf_task_status s;
    const struct pf_record *rec;

    (void)state;
    collecting();
    for (unsigned d = 1; d <= 3; d++)
        engine_update(&e, d, 1, 1);
    engine_finished(&e, 1);
    assert_int_equal(e.step.n_records, 2);
    rec = &e.step.record[0];
    assert_int_equal(rec->kind, PF_REC_PUBLISHED);
    assert_int_equal(rec->u.published.model[0], 1);
    assert_int_equal(rec->u.published.accepted, 3);
    assert_int_equal(rec->u.published.weight, 30);
    assert_int_equal(rec->u.published.saturated, 3);
    assert_true(rec->u.published.train_loss == 0.5);
    assert_int_equal(e.step.record[1].kind, PF_REC_OPENED);
    assert_int_equal(e.step.record[1].round, 2);
    assert_int_equal(e.step.record[1].u.opened.base[0], 1);
    assert_non_null(engine_effect(&e, PF_EFFECT_DROP));
    assert_int_equal(engine_effect(&e, PF_EFFECT_DROP)->round, 1);
    pf_round_task_status(e.round, e.now_ms, &s);
    assert_int_equal(s.published, 1);
    assert_int_equal(s.round, 2);
    assert_int_equal(s.model[0], 1);
    is_assigned(engine_checkin(&e, 1), 2);
    assert_int_equal(e.answer.u.checkin.base[0], 1);
}

static void a_late_retry_still_gets_its_acknowledgement(void **state)
{
    struct pf_ack first;

    (void)state;
    collecting();
    first = engine_update(&e, 1, 1, 1)->u.ack;
    engine_update(&e, 2, 1, 1);
    engine_pass(&e, 10);
    for (int i = 0; i < 2; i++) { /* closing, then in the next round */
        assert_int_equal(engine_offer(&e, 1, 1, 1)->kind, PF_ANSWER_ACK);
        assert_int_equal(e.answer.again, 1);
        assert_memory_equal(&e.answer.u.ack, &first, sizeof first);
        is_refused(engine_offer(&e, 1, 1, 2), PF_PROBLEM_ALREADY_DIFFERENT);
        is_refused(engine_offer(&e, 3, 1, 1), PF_PROBLEM_ROUND_CLOSED);
        is_refused(engine_update(&e, 3, 1, 1), PF_PROBLEM_ROUND_CLOSED);
        is_refused(engine_failure(&e, 3, 1), PF_PROBLEM_ROUND_CLOSED);
        is_refused(engine_offer(&e, 4, 1, 1), PF_PROBLEM_ROUND_CLOSED);
        engine_finished(&e, 1);
    }
    assert_int_equal(e.step.n_records, 0); /* finished twice: once counts */
}

static void two_rounds_later_nobody_remembers(void **state)
{
    (void)state;
    collecting();
    for (uint64_t round = 1; round <= 2; round++) {
        for (unsigned d = 1; d <= 3; d++) {
            engine_checkin(&e, d);
            engine_update(&e, d, round, 1);
        }
        engine_finished(&e, round);
        assert_true(e.step.record[0].u.published.train_loss == 0.5);
        assert_int_equal(e.step.record[0].u.published.weight, 30);
    }
    assert_int_equal(engine_offer(&e, 1, 2, 1)->kind, PF_ANSWER_ACK);
    is_refused(engine_offer(&e, 1, 1, 1), PF_PROBLEM_ROUND_CLOSED);
    is_refused(engine_offer(&e, 1, 4, 1), PF_PROBLEM_NOT_ASSIGNED);
}

static void the_status_of_the_open_round_counts_everybody(void **state)
{
    struct pf_round_status s;

    (void)state;
    engine_make(&e);
    assert_int_equal(pf_round_open_status(e.round, e.now_ms, &s), 0);
    engine_command(&e, PF_CMD_START);
    for (unsigned d = 1; d <= 3; d++)
        engine_checkin(&e, d);
    engine_failure(&e, 3, 1);
    engine_update(&e, 1, 1, 1);
    e.now_ms += 2500;
    assert_int_equal(pf_round_open_status(e.round, e.now_ms, &s), 1);
    assert_int_equal(s.round, 1);
    assert_string_equal(s.phase, "collecting");
    assert_int_equal(s.assigned, 3);
    assert_int_equal(s.failed, 1);
    assert_int_equal(s.accepted, 1);
    assert_int_equal(s.needed, 2);
    assert_int_equal(s.weight, 10);
    assert_int_equal(s.elapsed_ms, 2500);
    assert_true(s.train_loss == 0.5 && s.test_accuracy == -1);
}

#define TEST(f)                                                                \
    cmocka_unit_test_prestate_setup_teardown(f, engine_set_up,                 \
                                             engine_tear_down, &e)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_happens_before_the_task_is_started),
        TEST(start_opens_round_1_on_the_initial_model),
        TEST(an_assignment_says_what_to_train_and_for_how_long),
        TEST(asking_again_gives_the_same_assignment_and_no_record),
        TEST(another_ordinal_gets_another_seed),
        TEST(a_full_selection_starts_the_collecting_at_once),
        TEST(enough_devices_start_the_collecting_after_min_s),
        TEST(all_that_may_come_start_the_collecting_before_min_s),
        TEST(updates_are_taken_while_selecting),
        TEST(an_accepted_update_is_recorded_acknowledged_and_folded),
        TEST(the_same_update_again_gets_the_same_acknowledgement),
        TEST(another_update_of_the_same_device_is_refused),
        TEST(a_device_without_an_assignment_is_refused),
        TEST(a_full_collection_closes_the_round_at_once),
        TEST(enough_updates_close_the_round_after_min_s),
        TEST(collect_max_closes_a_round_that_is_still_selecting),
        TEST(time_that_has_passed_counts_before_the_event),
        TEST(while_the_model_is_made_devices_come_back_soon),
        TEST(a_published_model_is_the_base_of_the_next_round),
        TEST(a_late_retry_still_gets_its_acknowledgement),
        TEST(two_rounds_later_nobody_remembers),
        TEST(the_status_of_the_open_round_counts_everybody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
