/* A participation over links that break: what has moved is not moved again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "world.h"

static int set_up(void **state)
{
    struct world *w;

    world_set_up(state);
    w = *state;
    w->side.io.resume_least = 1; /* tiny's frames are short */
    pf_side_restart(&w->side);
    return 0;
}

/* One request after another, until one failed or `max` moves were made. */
static int until_failure(struct world *w, int max)
{
    int before = w->side.failures;
    enum pf_want want = PF_WANT_REQUEST;

    while (max-- > 0 && w->side.failures == before && want != PF_WANT_ENDED)
        assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
    return w->side.failures > before;
}

/* The upload up to its first cut. */
static void cut_once(struct world *w, size_t limit)
{
    assert_true(pf_side_until(&w->side, "upload"));
    w->side.up_limit = limit;
    assert_true(until_failure(w, 5));
}

/* --- uploads --- */

static void an_upload_goes_on_where_the_server_stands(void **state)
{
    struct world *w = *state;
    uint64_t before;
    size_t len;

    assert_true(pf_side_until(&w->side, "upload"));
    w->side.up_limit = 200;
    before = w->side.carried_up;
    while (until_failure(w, 100)) /* it moves: it does not wait for long */
        assert_in_range(w->side.failed_wait_ms, 50, 250);
    assert_int_equal(world_outcome(w), PF_OUTCOME_ACCEPTED);
    len = w->fake.frame.len;
    assert_true(len > 600);
    assert_int_equal(w->side.carried_up - before, len); /* each byte once */
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 1);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_APPEND], (len - 1) / 200);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_OFFSET], (len - 1) / 200);
    assert_int_equal(w->side.waits, 0);
}

static void a_short_frame_is_sent_whole_again(void **state)
{
    struct world *w = *state;

    w->side.io.resume_least = 0;
    pf_side_restart(&w->side);
    cut_once(w, 200);
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_OFFSET], 0);
}

static void waits_grow_while_nothing_arrives(void **state)
{
    struct world *w = *state;
    enum pf_want want;
    int64_t most = 1000, longest = 0;
    int i;

    w->fake.keeps_nothing = 1;
    cut_once(w, 200);
    for (i = 0; i < 12; i++) {
        pf_side_move(&w->side, &want); /* asks: nothing */
        assert_non_null(
            strstr(pf_participation_error(w->side.p)->text, "nothing arrived"));
        assert_int_equal(pf_side_move(&w->side, &want), POCKETFED_OK);
        assert_int_equal(want, PF_WANT_WAIT);
        assert_in_range(w->side.waited_ms, 50, most);
        if (w->side.waited_ms > longest)
            longest = w->side.waited_ms;
        most = most * 2 > 600000 ? 600000 : most * 2;
        assert_true(until_failure(w, 1)); /* the whole again */
    }
    assert_true(longest > 10000);
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 14);
}

static void waits_begin_anew_when_something_arrives(void **state)
{
    struct world *w = *state;
    enum pf_want want;
    int i;

    w->fake.keeps_nothing = 1;
    cut_once(w, 200);
    for (i = 0; i < 10; i++)
        until_failure(w, 10);
    w->fake.keeps_nothing = 0;
    until_failure(w, 10); /* now 200 bytes are kept */
    w->fake.keeps_nothing = 1;
    pf_side_move(&w->side, &want); /* and it hears so */
    until_failure(w, 10);
    pf_side_move(&w->side, &want); /* but no more of them */
    pf_side_move(&w->side, &want);
    assert_int_equal(want, PF_WANT_WAIT);
    assert_in_range(w->side.waited_ms, 50, 1000);
}

static void a_lost_acknowledgement_costs_a_second_upload(void **state)
{
    struct world *w = *state;

    w->fake.drop_ack = 1;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_OFFSET], 1);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
}

static void a_kill_in_an_upload_loses_nothing_that_arrived(void **state)
{
    struct world *w = *state;
    uint64_t before;

    assert_true(pf_side_until(&w->side, "upload"));
    before = w->side.carried_up;
    cut_once(w, 200);
    pf_side_restart(&w->side);
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.carried_up - before, w->fake.frame.len);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 1);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_APPEND], 1);
    assert_int_equal(w->side.waits, 0);
}

static void the_beginning_of_another_frame_is_not_gone_on_with(void **state)
{
    struct world *w = *state;

    cut_once(w, 200);
    w->fake.kept_digest[0] ^= 1;
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_APPEND], 0);
}

static void what_is_forgotten_before_the_rest_comes_is_sent_again(void **state)
{
    struct world *w = *state;
    enum pf_want want;

    cut_once(w, 200);
    pf_side_move(&w->side, &want); /* 200 bytes are there */
    pf_buf_clear(&w->fake.kept);   /* the daemon restarts */
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_APPEND], 1);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2);
}

static void a_wrong_offset_is_asked_for_again(void **state)
{
    struct world *w = *state;
    enum pf_want want;

    cut_once(w, 200);
    pf_side_move(&w->side, &want);
    w->fake.kept.len = 150; /* it lost some */
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_OFFSET], 2);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_APPEND], 2);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 1);
}

static void a_busy_server_is_asked_for_the_offset_later(void **state)
{
    struct world *w = *state;

    cut_once(w, 200);
    w->fake.problem_at = PF_CALL_UPDATE_OFFSET;
    w->fake.problem_times = 2;
    w->fake.bare_status = 503;
    w->fake.retry_after_s = 7;
    w->side.up_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->side.waits, 2);
    assert_int_equal(w->side.waited_ms, 7000);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 1);
}

/* A HEAD has no words: the PUT hears what is wrong, and the beginning that is
 * there survives it. */
static void a_wrong_clock_does_not_cost_the_beginning(void **state)
{
    struct world *w = *state;

    cut_once(w, 200);
    w->fake.problem_at = PF_CALL_UPDATE_OFFSET;
    w->fake.problem_times = 1;
    w->fake.bare_status = 401;
    w->side.up_limit = 0;
    while (w->fake.problem_times > 0)
        until_failure(w, 1);
    w->fake.bare_status = 0;
    w->fake.problem_at = PF_CALL_UPDATE;
    w->fake.problem_times = 1;
    pf_problem_set(&w->fake.problem, PF_PROBLEM_CLOCK_SKEW, "off");
    w->fake.problem.server_time_ms = 12345;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 2); /* the first was cut */
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE_APPEND], 1);
}

/* --- downloads --- */

static void a_download_goes_on_at_its_end(void **state)
{
    struct world *w = *state;
    uint64_t before;
    size_t len = w->fake.model_file.len;

    assert_true(pf_side_until(&w->side, "model"));
    before = w->side.carried_down;
    w->side.down_limit = 300;
    while (strcmp(pf_participation_phase(w->side.p), "model") == 0)
        if (until_failure(w, 1))
            assert_in_range(w->side.failed_wait_ms, 50, 250);
    assert_int_equal(w->side.carried_down - before, len); /* each byte once */
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], (len + 299) / 300);
    w->side.down_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_null(pf_side_file(&w->side, PF_SAVED_MODEL));
}

static void a_cache_without_ranges_is_fine(void **state)
{
    struct world *w = *state;
    int i;

    assert_true(pf_side_until(&w->side, "model"));
    w->fake.whole_models = 1;
    w->side.down_limit = 300;
    for (i = 0; i < 10; i++)
        assert_true(until_failure(w, 1));
    assert_true(w->side.failed_wait_ms > 250); /* it comes to nothing new */
    w->side.down_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 11);
}

static void a_kill_in_a_download_loses_little(void **state)
{
    struct world *w = *state;
    uint64_t at;

    assert_true(pf_side_until(&w->side, "model"));
    w->side.down_limit = 300;
    assert_true(until_failure(w, 1));
    assert_true(until_failure(w, 1));
    pf_side_restart(&w->side);
    assert_true(pf_side_until(&w->side, "model"));
    w->side.down_limit = 0;
    until_failure(w, 1);
    at = w->fake.asked.offset;
    assert_int_equal(at, 600);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

static void giving_up_a_download_keeps_all_of_it(void **state)
{
    struct world *w = *state;
    struct pf_want_reply r = {.status = 200,
                              .body = w->fake.model_file.data,
                              .body_len = 700,
                              .upload_offset = -1,
                              .range_first = -1};
    struct pf_want_request want;
    int64_t wait_ms;

    assert_true(pf_side_until(&w->side, "model"));
    pf_participation_next(w->side.p, &want, &wait_ms);
    assert_int_equal(want.offset, 0);
    pf_participation_cut(w->side.p, &r);
    pf_side_restart(&w->side);
    assert_true(pf_side_until(&w->side, "model"));
    assert_int_equal(pf_participation_next(w->side.p, &want, &wait_ms),
                     PF_WANT_REQUEST);
    assert_int_equal(want.offset, 700);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

static void a_damaged_beginning_is_fetched_anew(void **state)
{
    struct world *w = *state;

    assert_true(pf_side_until(&w->side, "model"));
    w->side.down_limit = 300;
    assert_true(until_failure(w, 1));
    pf_side_file(&w->side, PF_SAVED_MODEL)->data[100] ^= 1; /* on disk */
    pf_side_restart(&w->side);
    w->side.down_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 3);
    assert_int_equal(w->side.waits, 1);
    assert_null(pf_side_file(&w->side, PF_SAVED_MODEL));
}

static void the_beginning_of_another_model_is_forgotten(void **state)
{
    struct world *w = *state;

    assert_true(pf_side_until(&w->side, "model"));
    w->side.down_limit = 300;
    assert_true(until_failure(w, 1));
    pf_side_file(&w->side, PF_SAVED_MODEL)->data[0] ^= 1; /* of its digest */
    pf_side_restart(&w->side);
    w->side.down_limit = 0;
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 2);
    assert_null(pf_side_file(&w->side, PF_SAVED_MODEL));
}

/* The cut came after the last byte. */
static void a_download_that_was_whole_is_used(void **state)
{
    struct world *w = *state;
    struct pf_want_reply r = {.status = 200,
                              .body = w->fake.model_file.data,
                              .body_len = w->fake.model_file.len,
                              .upload_offset = -1,
                              .range_first = -1};
    struct pf_want_request want;
    int64_t wait_ms;

    assert_true(pf_side_until(&w->side, "model"));
    pf_participation_next(w->side.p, &want, &wait_ms);
    pf_participation_failed(w->side.p, &r);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 1); /* answered 416 */
}

static void bytes_of_elsewhere_are_not_taken(void **state)
{
    struct world *w = *state;
    struct pf_want_reply r = {.status = 206,
                              .body = w->fake.model_file.data,
                              .body_len = 100,
                              .upload_offset = -1,
                              .range_first = 7};
    struct pf_want_request want;
    int64_t wait_ms;

    assert_true(pf_side_until(&w->side, "model"));
    pf_participation_next(w->side.p, &want, &wait_ms);
    pf_participation_failed(w->side.p, &r);
    r.status = 503; /* an error's page is no model */
    pf_participation_failed(w->side.p, &r);
    pf_participation_next(w->side.p, &want, &wait_ms);
    assert_int_equal(want.offset, 0);
    /* Nor when it is the whole reply. */
    r.status = 206;
    assert_int_equal(pf_participation_reply(w->side.p, &r, NULL), POCKETFED_OK);
    assert_non_null(strstr(pf_participation_error(w->side.p)->text, "anew"));
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

static void more_than_a_model_can_have_is_not_gathered(void **state)
{
    static uint8_t much[300 << 10];
    struct world *w = *state;
    struct pf_want_reply r = {.status = 200,
                              .body = much,
                              .body_len = 200 << 10,
                              .upload_offset = -1,
                              .range_first = -1};
    struct pf_want_request want;
    int64_t wait_ms;

    assert_true(pf_side_until(&w->side, "model"));
    pf_participation_next(w->side.p, &want, &wait_ms);
    pf_participation_failed(w->side.p, &r);
    pf_participation_next(w->side.p, &want, &wait_ms);
    assert_int_equal(want.offset, 200 << 10);
    r.status = 206;
    r.range_first = 200 << 10;
    pf_participation_failed(w->side.p, &r);
    pf_participation_next(w->side.p, &want, &wait_ms);
    assert_int_equal(want.offset, 200 << 10);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_upload_goes_on_where_the_server_stands),
        T(a_short_frame_is_sent_whole_again),
        T(waits_grow_while_nothing_arrives),
        T(waits_begin_anew_when_something_arrives),
        T(a_lost_acknowledgement_costs_a_second_upload),
        T(a_kill_in_an_upload_loses_nothing_that_arrived),
        T(the_beginning_of_another_frame_is_not_gone_on_with),
        T(what_is_forgotten_before_the_rest_comes_is_sent_again),
        T(a_wrong_offset_is_asked_for_again),
        T(a_busy_server_is_asked_for_the_offset_later),
        T(a_wrong_clock_does_not_cost_the_beginning),
        T(a_download_goes_on_at_its_end),
        T(a_cache_without_ranges_is_fine),
        T(a_kill_in_a_download_loses_little),
        T(giving_up_a_download_keeps_all_of_it),
        T(a_damaged_beginning_is_fetched_anew),
        T(the_beginning_of_another_model_is_forgotten),
        T(a_download_that_was_whole_is_used),
        T(bytes_of_elsewhere_are_not_taken),
        T(more_than_a_model_can_have_is_not_gathered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
