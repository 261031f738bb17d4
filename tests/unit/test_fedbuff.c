/* What an asynchronous buffer computes: with K = |S| and no staleness the bits
 * of FedAvg, and otherwise numbers worked out by hand.  The engine's own events
 * and effects, real frames, pf_sum_fold and pf_publish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"
#include "frame.h"
#include "publish.h"

#define N       4 /* parameters */
#define DEVICES 5

/* One dense layer, 1 -> 2: weight (2,1), bias (2). */
static const char spec[] =
    "{\"version\":1,\"input\":[1,1,1],\"layers\":[{\"name\":\"flat\",\"type\":"
    "\"flatten\",\"inputs\":[\"input\"]},{\"name\":\"out\",\"type\":\"dense\","
    "\"inputs\":[\"flat\"],\"units\":2}],\"loss\":\"softmax_cross_entropy\"}";

static struct engine e;
static struct pf_model *model;
static struct pf_buf file; /* the newest model */
static uint8_t plan[32], digest[32];
static struct pf_sum sum[2]; /* of even and odd rounds */
static struct frame frame;

static int set_up(void **state)
{
    const float start[N] = {1, 2, 3, 4};
    struct pf_error err;

    (void)state;
    engine_init(&e);
    frame_init(&frame, N);
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    e.task.update = frame.plan.update;
    if (pf_model_create(spec, strlen(spec), &model, &err) ||
        pf_publish_initial(&e.task, model, plan, start, &file, digest) ||
        pf_sum_init(&sum[0], N) || pf_sum_init(&sum[1], N))
        return 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_sum_free(&sum[0]);
    pf_sum_free(&sum[1]);
    pf_model_free(model);
    pf_buf_free(&file);
    frame_free(&frame);
    engine_free(&e);
    return 0;
}

/* ---- a server of one thread: performs the effects of the last step ----------
 */

static void fold(const struct pf_effect *f)
{
    float scratch[PF_ADMIT_BLOCK];

    assert_int_equal(pf_sum_fold(&sum[f->round % 2], &frame.plan,
                                 frame.bytes.data, frame.bytes.len,
                                 f->u.fold.weight, f->u.fold.factor, scratch),
                     POCKETFED_OK);
}

static uint64_t asked; /* round whose model is wanted; 0: none */
static double divisor;

static void perform(void)
{
    const struct pf_effect *f = engine_effect(&e, PF_EFFECT_FOLD);

    if (f)
        fold(f);
    f = engine_effect(&e, PF_EFFECT_FINISH);
    if (f) {
        asked = f->round;
        divisor = f->u.finish.divisor;
    }
}

static void publish(void)
{
    struct pf_sum *s = &sum[asked % 2];
    struct pf_event ev = {.kind = PF_EV_FINISHED, .round = asked};
    struct pf_buf next;
    struct pf_error err;

    pf_buf_init(&next, PF_MAX_MODEL_FILE);
    s->divisor = divisor;
    assert_int_equal(pf_publish(&e.task, model, asked, plan, file.data,
                                file.len, digest, s, NULL, &next, digest, &err),
                     POCKETFED_OK);
    pf_sum_clear(s);
    pf_buf_free(&file);
    file = next;
    memcpy(ev.u.finished.model, digest, 32);
    asked = 0;
    engine_event(&e, &ev);
    assert_int_equal(engine_records(&e, PF_REC_PUBLISHED), 1);
    perform();
}

static void contribute(unsigned device, uint64_t round, const float x[N],
                       uint64_t examples)
{
    struct pf_event ev = {.kind = PF_EV_UPDATE, .reply_to = 1, .round = round};

    ev.device = engine_device(device);
    ev.u.update.segment = engine_status(&e).round;
    ev.u.update.admitted = (struct pf_admitted){examples, examples, 0, 1, -1};
    frame.head.examples = examples;
    frame_make(&frame, "f32", x, N);
    engine_event(&e, &ev);
    assert_int_equal(e.answer.kind, PF_ANSWER_ACK);
    perform();
}

static void is_now(float a, float b, float c, float d)
{
    const float want[N] = {a, b, c, d};
    float got[N];
    struct pf_error err;

    assert_int_equal(
        pf_safetensors_params(file.data, file.len, model, got, &err),
        POCKETFED_OK);
    for (int i = 0; i < N; i++)
        assert_true(got[i] == want[i]);
}

/* ---- K = |S|, s = 0
 * ------------------------------------------------------------ */

/* Ten rounds in which the same five devices answer, with awkward numbers. */
static void ten_rounds(int policy, int discounted, uint8_t last[32])
{
    void *none = NULL;

    tear_down(&none);
    assert_int_equal(set_up(&none), 0);
    e.task.round.policy = policy;
    e.task.round.discounted = discounted;
    e.task.round.select = (struct pf_window){DEVICES, DEVICES, 0, 100};
    e.task.round.collect = (struct pf_window){DEVICES, DEVICES, 0, 100};
    engine_go(&e);
    for (uint64_t round = 1; round <= 10; round++) {
        for (unsigned d = 1; d <= DEVICES; d++)
            assert_true(engine_assigned(&e, d));
        for (unsigned d = 1; d <= DEVICES; d++) {
            float k = (float)(d * round);

            contribute(d, round,
                       (const float[N]){0.1f / k, -0.37f * k / 50, 1e-7f * k,
                                        1 / (k + 0.3f)},
                       7 * d + round);
        }
        assert_int_equal(asked, round);
        publish();
    }
    memcpy(last, digest, 32);
}

static void a_buffer_of_all_without_staleness_is_fedavg_bit_for_bit(void **st)
{
    uint8_t fedavg[32], buffered[32];

    (void)st;
    ten_rounds(PF_POLICY_SYNC, 0, fedavg);
    ten_rounds(PF_POLICY_ASYNC, 0, buffered);
    assert_memory_equal(buffered, fedavg, 32);
    ten_rounds(PF_POLICY_ASYNC, 1, buffered); /* every factor is 1 */
    assert_memory_equal(buffered, fedavg, 32);
}

/* ---- staleness
 * --------------------------------------------------------------- */

/* algorithms: omega(s) = 1/sqrt(1 + s). */
static void the_factor_is_that_of_the_paper(void **state)
{
    static const double want[][2] = {
        {0, 1},
        {1, 0.70710678118654752},
        {2, 0.57735026918962576},
        {3, 0.5},
        {8, 1. / 3},
        {15, 0.25},
        {20, 0.21821789023599238},
        {24, 0.2},
        {99, 0.1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_true(fabs(pf_staleness_factor((uint32_t)want[i][0]) -
                         want[i][1]) < 0x1p-52);
    assert_true(pf_staleness_factor(0) == 1);
    assert_true(pf_staleness_factor(3) == 0.5);
    assert_true(pf_staleness_factor(UINT32_MAX) > 0);
}

/* Device 1 (30 examples) trains from the initial model and is overtaken by
 * three models; device 2 (10 examples) from the newest. Factors 1/2 and 1. */
static void one_stale_and_one_fresh(int discounted)
{
    static const float still[N] = {0, 0, 0, 0};

    e.task.round.policy = PF_POLICY_ASYNC;
    e.task.round.collect = (struct pf_window){2, 2, 0, 100};
    e.task.round.max_staleness = 3;
    e.task.round.discounted = discounted;
    engine_go(&e);
    assert_true(engine_assigned(&e, 1));
    for (uint64_t round = 1; round <= 3; round++) {
        for (unsigned d = 2; d <= 3; d++)
            assert_true(engine_assigned(&e, d));
        for (unsigned d = 2; d <= 3; d++)
            contribute(d, round, still, 10);
        publish();
    }
    is_now(1, 2, 3, 4);
    assert_true(engine_assigned(&e, 2));
    contribute(1, 1, (const float[N]){1, -1, 0.5f, 0}, 30);
    contribute(2, 4, (const float[N]){1, 0, 0.5f, -2}, 10);
    assert_int_equal(asked, 4);
    publish();
}

/* (30 * 1/2 * d1 + 10 * d2) / 40 = (25, -15, 12.5, -20) / 40 */
static void a_stale_update_makes_the_step_smaller(void **state)
{
    (void)state;
    one_stale_and_one_fresh(0);
    is_now(1.625f, 1.625f, 3.3125f, 3.5f);
}

/* the same / (30 * 1/2 + 10) = (25, -15, 12.5, -20) / 25 */
static void or_only_its_share_when_the_discounted_weights_divide(void **state)
{
    (void)state;
    one_stale_and_one_fresh(1);
    is_now(2, 1.4f, 3.5f, 3.2f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buffer_of_all_without_staleness_is_fedavg_bit_for_bit),
        TEST(the_factor_is_that_of_the_paper),
        TEST(a_stale_update_makes_the_step_smaller),
        TEST(or_only_its_share_when_the_discounted_weights_divide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
