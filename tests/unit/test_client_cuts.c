/* The handle over links that break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "appside.h"
#include "participation.h"

/* Until its model stands still after `bytes`. */
static void hang_in_the_model(struct pf_app *a, size_t bytes)
{
    int max = 100;

    a->down_limit = bytes;
    a->hangs = 1;
    while (a->fake.calls[PF_CALL_MODEL] == 0 && max-- > 0)
        assert_int_equal(pf_app_step(a), POCKETFED_OK);
    assert_int_equal(a->fake.calls[PF_CALL_MODEL], 1);
    pf_app_is(a, POCKETFED_STATE_FETCHING);
}

/* The next request for the model begins there, and all ends well. */
static void goes_on_at(struct pf_app *a, size_t bytes)
{
    int before = a->fake.calls[PF_CALL_MODEL], max = 100;

    a->down_limit = 0;
    a->hangs = 0;
    while (a->fake.calls[PF_CALL_MODEL] == before && max-- > 0)
        assert_int_equal(pf_app_step(a), POCKETFED_OK);
    assert_int_equal(a->fake.asked.offset, bytes);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
}

static void a_model_comes_in_pieces_over_a_link_that_breaks(void **state)
{
    struct pf_app *a = *state;
    int pieces;

    a->down_limit = 500;
    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_RETRY);
    assert_in_range(a->progress.wait_ms, 1, 250);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    pieces = (int)((a->fake.model_file.len + 499) / 500);
    assert_int_equal(a->fake.calls[PF_CALL_MODEL], pieces);
    assert_int_equal(a->cuts, pieces - 1);
    assert_string_equal(pf_app_file(a, PF_SAVED_MODEL), "");
}

static void a_pause_keeps_what_came_of_a_model(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    hang_in_the_model(a, 700);
    a->may_not_run = 1;
    assert_int_equal(pf_app_step(a), POCKETFED_INELIGIBLE);
    a->may_not_run = 0;
    goes_on_at(a, 700);
}

static void closing_keeps_what_came_of_a_model(void **state)
{
    struct pf_app *a = *state;

    pf_app_join(a);
    hang_in_the_model(a, 700);
    pf_app_reopen(a);
    goes_on_at(a, 700);
    assert_true(a->progress.bytes_down > 0);
}

static void an_update_goes_in_pieces_over_a_link_that_breaks(void **state)
{
    struct pf_app *a = *state;
    uint64_t up;
    size_t len;

    pf_fake_grow(&a->fake);
    a->up_limit = 30000;
    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_TRAINED);
    up = a->progress.bytes_up;
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    len = a->fake.frame.len;
    assert_true(len > 4 * a->up_limit);
    assert_int_equal(a->cuts, (len - 1) / a->up_limit);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE], 1);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE_APPEND], a->cuts);
    assert_int_equal(a->fake.bad_signatures, 0);
    assert_int_equal(a->progress.bytes_up - up, len); /* each byte once */
}

static void a_reopened_folder_asks_how_much_is_there(void **state)
{
    struct pf_app *a = *state;

    pf_fake_grow(&a->fake);
    a->up_limit = 30000;
    pf_app_join(a);
    pf_app_until(a, POCKETFED_EVENT_TRAINED);
    while (a->cuts == 0)
        pf_app_step(a);
    a->up_limit = 0;
    pf_app_reopen(a);
    pf_app_until(a, POCKETFED_EVENT_ACCEPTED);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE], 1);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE_OFFSET], 1);
    assert_int_equal(a->fake.calls[PF_CALL_UPDATE_APPEND], 1);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, pf_app_set_up, pf_app_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_model_comes_in_pieces_over_a_link_that_breaks),
        T(a_pause_keeps_what_came_of_a_model),
        T(closing_keeps_what_came_of_a_model),
        T(an_update_goes_in_pieces_over_a_link_that_breaks),
        T(a_reopened_folder_asks_how_much_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
