#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>
#include "codec.h"
#include "safetensors.h"
#include "update.h"
#include "world.h"

/* --- the whole way --- */

/* L2 norm of the update's delta. */
static double norm_of(const struct pf_update *u)
{
    size_t n = (size_t)u->sections[0].count, i;
    float *x = malloc(n * sizeof *x);
    double sum = 0;

    assert_non_null(x);
    assert_int_equal(
        pf_codec_by_id(u->sections[0].codec)
            ->decode(u->sections[0].bytes, u->sections[0].len, n, 0, 0, n, x),
        POCKETFED_OK);
    for (i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    free(x);
    return sqrt(sum);
}

static void contributes_an_update(void **state)
{
    struct world *w = *state;
    struct pf_update u;
    uint64_t done, total;
    double loss;

    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(
        pf_update_parse(w->fake.frame.data, w->fake.frame.len, &u, NULL),
        POCKETFED_OK);
    assert_string_equal(u.task, "tiny");
    assert_int_equal(u.round, 3);
    assert_memory_equal(u.plan, w->fake.plan_digest, 32);
    assert_memory_equal(u.base, w->fake.model_digest, 32);
    assert_int_equal(u.examples, PF_FAKE_EXAMPLES);
    assert_int_equal(u.n_sections, 1);
    assert_int_equal(u.sections[0].count, pf_model_n_params(w->fake.model));
    assert_true(norm_of(&u) > 0.01);
    assert_true(pf_update_metric(&u, "train_loss", -1) > 0);
    assert_true(pf_update_metric(&u, "steps", -1) == 10); /* 2 x 40 / 8 */
    assert_int_equal(pf_participation_ack(w->side.p)->weight, PF_FAKE_EXAMPLES);
    pf_participation_progress(w->side.p, &done, &total, &loss);
    assert_int_equal(done, 80);
    assert_int_equal(total, 80);
    assert_int_equal(w->fake.calls[PF_CALL_CHECKIN], 1);
    assert_int_equal(w->fake.calls[PF_CALL_PLAN], 1);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 1);
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 1);
    /* Kept until whoever drives it has stored the receipt. */
    assert_non_null(pf_side_file(&w->side, PF_SAVED_UPDATE));
    pf_participation_reset(w->side.p);
    assert_null(pf_side_file(&w->side, PF_SAVED_UPDATE));
    assert_null(pf_side_file(&w->side, PF_SAVED_TRAIN));
}

static void the_next_round_fetches_neither_plan_nor_model_again(void **state)
{
    struct world *w = *state;

    world_ends(w, PF_OUTCOME_ACCEPTED);
    w->side.member.last_round = 3;
    w->fake.work.round = 4;
    pf_participation_reset(w->side.p);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(pf_participation_ack(w->side.p)->round, 4);
    assert_int_equal(w->fake.calls[PF_CALL_PLAN], 1);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 1);
    /* Nor does another process over the same files. */
    w->side.member.last_round = 4;
    w->fake.work.round = 5;
    pf_participation_reset(w->side.p);
    pf_side_restart(&w->side);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(w->fake.calls[PF_CALL_PLAN], 1);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 1);
}

static void the_update_is_clipped_to_the_plans_norm(void **state)
{
    struct world *w = *state;
    struct pf_update u;

    w->fake.plan.update.max_norm = 0.01;
    pf_fake_publish(&w->fake);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(
        pf_update_parse(w->fake.frame.data, w->fake.frame.len, &u, NULL),
        POCKETFED_OK);
    assert_true(fabs(norm_of(&u) - 0.01) < 1e-6);
}

static void trains_on_no_more_examples_than_the_plan_wants(void **state)
{
    struct world *w = *state;
    struct pf_update u;

    w->fake.plan.update.max_examples = 16;
    pf_fake_publish(&w->fake);
    world_ends(w, PF_OUTCOME_ACCEPTED);
    assert_int_equal(
        pf_update_parse(w->fake.frame.data, w->fake.frame.len, &u, NULL),
        POCKETFED_OK);
    assert_int_equal(u.examples, 16);
    assert_true(pf_update_metric(&u, "steps", -1) == 4);
}

static void works_without_a_store(void **state)
{
    struct world *w = *state;

    memset(&w->side.io, 0, sizeof w->side.io);
    pf_side_restart(&w->side);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

/* --- what is refused --- */

static void refuses_an_assignment_signed_by_another_key(void **state)
{
    struct world *w = *state;

    w->fake.wrong_signature_at = PF_CALL_CHECKIN;
    world_refuses(w, POCKETFED_PROOF, "assignment is not signed");
}

static void refuses_an_assignment_for_another_device(void **state)
{
    struct world *w = *state;

    w->fake.device[0] ^= 1;
    world_refuses(w, POCKETFED_PROOF, "another device");
}

static void refuses_an_assignment_for_another_task(void **state)
{
    struct world *w = *state;

    memcpy(w->fake.work.task, "huge", 5);
    world_refuses(w, POCKETFED_PROOF, "task huge");
}

static void refuses_a_round_lower_than_the_last_accepted(void **state)
{
    struct world *w = *state;

    w->side.member.last_round = 4;
    world_refuses(w, POCKETFED_PROOF, "round 4 was already accepted");
}

static void refuses_a_plan_signed_by_another_key(void **state)
{
    struct world *w = *state;

    w->fake.wrong_signature_at = PF_CALL_PLAN;
    world_refuses(w, POCKETFED_PROOF, "plan is not signed");
    assert_null(pf_side_file(&w->side, PF_SAVED_PLAN));
}

static void refuses_an_acknowledgement_signed_by_another_key(void **state)
{
    struct world *w = *state;

    w->fake.wrong_signature_at = PF_CALL_UPDATE;
    world_refuses(w, POCKETFED_PROOF, "acknowledgement is not signed");
}

static void add_a_blank_to_the_plan(struct pf_fake *f, enum pf_call_id call,
                                    struct pf_buf *body)
{
    (void)f;
    if (call == PF_CALL_PLAN)
        pf_buf_adds(body, " ");
}

static void refuses_a_plan_of_another_digest(void **state)
{
    struct world *w = *state;

    w->fake.bend = add_a_blank_to_the_plan;
    world_refuses(w, POCKETFED_PROOF, "plan that came");
}

static void flip_a_bit_of_the_model(struct pf_fake *f, enum pf_call_id call,
                                    struct pf_buf *body)
{
    (void)f;
    if (call == PF_CALL_MODEL)
        body->data[body->len - 1] ^= 1;
}

static void refuses_a_model_of_another_digest(void **state)
{
    struct world *w = *state;

    w->fake.bend = flip_a_bit_of_the_model;
    world_refuses(w, POCKETFED_PROOF, "model that came");
}

/* Rewrites the fake's model file with this metadata. */
static void make_model_of(struct pf_fake *f, const char *task, uint64_t round)
{
    struct pf_model_meta meta;
    float *params = calloc(pf_model_n_params(f->model), sizeof *params);

    assert_non_null(params);
    memset(&meta, 0, sizeof meta);
    snprintf(meta.task, sizeof meta.task, "%s", task);
    meta.round = round;
    memcpy(meta.plan, f->plan_digest, 32);
    pf_buf_clear(&f->model_file);
    assert_int_equal(
        pf_safetensors_write(f->model, params, &meta, &f->model_file),
        POCKETFED_OK);
    pf_sha256(f->model_file.data, f->model_file.len, f->model_digest);
    memcpy(f->work.base, f->model_digest, 32);
    free(params);
}

static void refuses_a_model_of_another_task(void **state)
{
    struct world *w = *state;

    make_model_of(&w->fake, "other", 2);
    world_refuses(w, POCKETFED_PROOF, "of task other");
}

static void refuses_a_model_of_this_very_round(void **state)
{
    struct world *w = *state;

    make_model_of(&w->fake, "tiny", 3);
    world_refuses(w, POCKETFED_PROOF, "cannot be the base of round 3");
}

static void trains_from_a_model_of_the_round_before(void **state)
{
    struct world *w = *state;

    make_model_of(&w->fake, "tiny", 2);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

static const char *bent_ack; /* the member to change */

static void bend_the_ack(struct pf_fake *f, enum pf_call_id call,
                         struct pf_buf *body)
{
    struct pf_ack a;

    (void)f;
    if (call != PF_CALL_UPDATE)
        return;
    memset(&a, 0, sizeof a);
    assert_int_equal(pf_json_decode(pf_ack_fields, PF_JSON_IGNORE,
                                    pf_buf_str(body), body->len, &a, NULL),
                     POCKETFED_OK);
    if (strcmp(bent_ack, "task") == 0)
        a.task[0] = 'x';
    else if (strcmp(bent_ack, "device") == 0)
        a.device[3] ^= 1;
    else if (strcmp(bent_ack, "round") == 0)
        a.round++;
    else if (strcmp(bent_ack, "base model") == 0)
        a.base[3] ^= 1;
    else if (strcmp(bent_ack, "plan") == 0)
        a.plan[3] ^= 1;
    else if (strcmp(bent_ack, "update digest") == 0)
        a.digest[3] ^= 1;
    else
        a.examples++;
    pf_buf_clear(body);
    pf_json_encode(pf_ack_fields, &a, body);
}

static void refuses_an_acknowledgement_of_anything_else(void **state)
{
    static const char *const members[] = {"task",
                                          "device",
                                          "round",
                                          "base model",
                                          "plan",
                                          "update digest",
                                          "number of examples"};
    size_t i;

    for (i = 0; i < sizeof members / sizeof *members; i++) {
        struct world *w;

        world_tear_down(state);
        world_set_up(state);
        w = *state;
        bent_ack = members[i];
        w->fake.bend = bend_the_ack;
        world_refuses(w, POCKETFED_PROOF, members[i]);
        /* The work is not lost: the frame can be sent again. */
        assert_non_null(pf_side_file(&w->side, PF_SAVED_UPDATE));
    }
}

static void says_that_it_is_too_old_for_the_plan(void **state)
{
    struct world *w = *state;

    memcpy(w->fake.plan.min_version, "0.2.0", 6);
    pf_fake_publish(&w->fake);
    world_refuses(w, POCKETFED_TOO_OLD, "0.2.0 or newer; this is 0.1.0");
}

/* Makes the plan name a codec that no build has. */
static void name_another_codec(struct pf_fake *f)
{
    char *at;

    pf_fake_publish(f);
    at = strstr((char *)f->plan_bytes.data, "\"f32\"");
    assert_non_null(at);
    memcpy(at, "\"f99\"", 5);
    pf_sha256(f->plan_bytes.data, f->plan_bytes.len, f->plan_digest);
    memcpy(f->work.plan, f->plan_digest, 32);
}

/* --- failure reports --- */

static void reports(struct world *w, enum pf_failure_code code)
{
    world_ends(w, PF_OUTCOME_DROPPED);
    assert_int_equal(w->fake.calls[PF_CALL_FAILURE], 1);
    assert_int_equal(w->fake.report.code, code);
    assert_true(w->fake.report.detail[0] != '\0');
    assert_int_equal(w->fake.calls[PF_CALL_UPDATE], 0);
    assert_true(pf_participation_error(w->side.p)->text[0] != '\0');
}

static void reports_a_codec_it_does_not_have(void **state)
{
    name_another_codec(&((struct world *)*state)->fake);
    reports(*state, PF_FAILURE_UNSUPPORTED);
}

static void reports_that_there_are_no_examples(void **state)
{
    struct world *w = *state;

    w->side.examples.n = 0;
    reports(w, PF_FAILURE_NO_EXAMPLES);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 0); /* spares the download */
}

static void reports_that_there_are_too_few_examples(void **state)
{
    struct world *w = *state;

    w->fake.plan.update.min_examples = PF_FAKE_EXAMPLES + 1;
    pf_fake_publish(&w->fake);
    reports(w, PF_FAILURE_TOO_FEW_EXAMPLES);
}

static void reports_that_there_is_too_little_memory(void **state)
{
    struct world *w = *state;

    w->side.member.memory = 1000;
    reports(w, PF_FAILURE_MEMORY);
    assert_int_equal(w->fake.calls[PF_CALL_MODEL], 0);
}

static enum pocketfed_status infinite_example(void *ctx, size_t i, float *x,
                                              uint32_t *label)
{
    enum pocketfed_status st = pf_fake_example(ctx, i, x, label);

    x[0] = INFINITY;
    return st;
}

static void reports_that_the_training_diverged(void **state)
{
    struct world *w = *state;

    w->side.examples.get = infinite_example;
    reports(w, PF_FAILURE_NON_FINITE);
}

static enum pocketfed_status failing_example(void *ctx, size_t i, float *x,
                                             uint32_t *label)
{
    return i == 7 ? POCKETFED_IO : pf_fake_example(ctx, i, x, label);
}

static void reports_that_the_examples_cannot_be_read(void **state)
{
    struct world *w = *state;

    w->side.examples.get = failing_example;
    reports(w, PF_FAILURE_OTHER);
}

static void checks_in_again_after_a_report_but_not_at_once(void **state)
{
    struct world *w = *state;
    enum pf_want want;

    w->side.examples.n = 0;
    world_ends(w, PF_OUTCOME_DROPPED);
    w->side.examples.n = PF_FAKE_EXAMPLES;
    pf_participation_reset(w->side.p);
    pf_side_move(&w->side, &want);
    assert_int_equal(want, PF_WANT_WAIT);
    assert_in_range(w->side.waited_ms, 50, 1000);
    world_ends(w, PF_OUTCOME_ACCEPTED);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(contributes_an_update),
        T(the_next_round_fetches_neither_plan_nor_model_again),
        T(the_update_is_clipped_to_the_plans_norm),
        T(trains_on_no_more_examples_than_the_plan_wants),
        T(works_without_a_store),
        T(refuses_an_assignment_signed_by_another_key),
        T(refuses_an_assignment_for_another_device),
        T(refuses_an_assignment_for_another_task),
        T(refuses_a_round_lower_than_the_last_accepted),
        T(refuses_a_plan_signed_by_another_key),
        T(refuses_an_acknowledgement_signed_by_another_key),
        T(refuses_a_plan_of_another_digest),
        T(refuses_a_model_of_another_digest),
        T(refuses_a_model_of_another_task),
        T(refuses_a_model_of_this_very_round),
        T(trains_from_a_model_of_the_round_before),
        T(refuses_an_acknowledgement_of_anything_else),
        T(says_that_it_is_too_old_for_the_plan),
        T(reports_a_codec_it_does_not_have),
        T(reports_that_there_are_no_examples),
        T(reports_that_there_are_too_few_examples),
        T(reports_that_there_is_too_little_memory),
        T(reports_that_the_training_diverged),
        T(reports_that_the_examples_cannot_be_read),
        T(checks_in_again_after_a_report_but_not_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
