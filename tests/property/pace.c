/* A million sleeping devices wake at the same moment, as after an outage, and
 * are told by the engine when to come back: in virtual time, with the engine's
 * own answers, how many come in each second of an hour, with pace steering
 * and with the fixed window of 15 to 60 s.
 *
 *     property_pace [--svg FILE]      draws it; docs/pace.svg is that drawing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine.h"
#include "file.h"
#include "fmath.h"
#include "pace.h"
#include "rng.h"

#define DEVICES 1000000
#define HERD_S  600  /* when they wake */
#define LAST_S  4200 /* an hour later */
#define BEFORE  40   /* devices a second until then: enough for rounds */
#define PER_S   1000 /* round.checkins_per_s */
#define SAMPLE  20   /* with fixed windows every so manieth is simulated */

/* Lists of devices by the second in which they come next: 1 + device, 0: end */
static uint32_t first[LAST_S], next[DEVICES];
static uint8_t training[DEVICES]; /* that is what it comes back from */
static double with[LAST_S], without[LAST_S]; /* check-ins in each second */
static struct pf_rng rng;
static uint64_t drawn;

static void comes(uint32_t device, double at_s)
{
    if (at_s >= LAST_S)
        return;
    next[device] = first[(int)at_s];
    first[(int)at_s] = device + 1;
}

static double between(double least, double most)
{
    return least + (most - least) * pf_rng_double(&rng, drawn++);
}

static int set_up(void **state)
{
    (void)state;
    memset(first, 0, sizeof first);
    memset(training, 0, sizeof training);
    rng = pf_rng_make(20240611, 0, 0, PF_RNG_TEST);
    drawn = 0;
    return 0;
}

/* ---- with pace steering: the engine itself
 * ----------------------------------- */

static struct engine e;
static struct {
    unsigned rounds;       /* published after the herd */
    double slowest_select; /* seconds, of these */
    int selecting_s;       /* since when the open round selects */
    uint64_t closing;      /* its model is ready in the next second; 0: none */
} seen;

static void notice(int second)
{
    double took = second - seen.selecting_s;

    if (engine_effect(&e, PF_EFFECT_FINISH))
        seen.closing = engine_effect(&e, PF_EFFECT_FINISH)->round;
    if (engine_records(&e, PF_REC_COLLECTING) && second > HERD_S &&
        took > seen.slowest_select)
        seen.slowest_select = took;
    if (engine_records(&e, PF_REC_OPENED))
        seen.selecting_s = second;
    seen.rounds += engine_records(&e, PF_REC_PUBLISHED) && second > HERD_S;
    e.n_records = 0; /* nobody replays them */
}

static void event(enum pf_event_kind kind, uint32_t device, int second)
{
    struct pf_event ev;

    memset(&ev, 0, sizeof ev);
    ev.kind = kind;
    ev.reply_to = 1;
    ev.device = engine_device(device);
    ev.device.id[10] = (uint8_t)(device >> 16);
    if (kind == PF_EV_CHECKIN) {
        ev.u.checkin.population = DEVICES;
    } else {
        ev.round = engine_status(&e).round;
        ev.u.update.segment = ev.round;
        ev.u.update.admitted = (struct pf_admitted){10, 10, 0, 1, -1};
    }
    engine_event(&e, &ev);
    notice(second);
}

static void device_comes(uint32_t device, int second)
{
    const struct pf_checkin_reply *c = &e.answer.u.checkin;

    if (training[device]) /* late ones are refused and begin anew */
        event(PF_EV_UPDATE, device, second);
    event(PF_EV_CHECKIN, device, second);
    with[second]++;
    training[device] = c->kind == PF_CHECKIN_TRAIN;
    if (training[device])
        comes(device, second + between(20, 80));
    else
        comes(device,
              second + between((double)c->min_ms, (double)c->max_ms) / 1000);
}

/* Everybody but those who train comes in this second. */
static void wake_all(int second)
{
    uint32_t device;

    for (device = 0; device < DEVICES; device++)
        if (!training[device])
            comes(device, second);
}

/* Those who wait come no more; who trains does. */
static void forget_waits(int from)
{
    uint32_t n, list;
    int s;

    for (s = from; s < LAST_S; s++) {
        list = first[s];
        first[s] = 0;
        while ((n = list) != 0) {
            list = next[n - 1];
            if (training[n - 1])
                comes(n - 1, s);
        }
    }
}

static void simulate(void)
{
    uint32_t n;
    int s;

    for (n = 0; n < BEFORE * HERD_S; n++)
        comes(n, between(0, HERD_S));
    for (s = 0; s < LAST_S; s++) {
        e.now_ms = 1000000 + 1000 * (int64_t)s;
        if (s == HERD_S) {
            forget_waits(s);
            wake_all(s);
        }
        engine_pass(&e, 0);
        notice(s);
        if (seen.closing != 0) {
            engine_finished(&e, seen.closing);
            seen.closing = 0;
            notice(s);
        }
        while ((n = first[s]) != 0) {
            first[s] = next[n - 1];
            device_comes(n - 1, s);
        }
    }
}

/* ---- and without the engine: a window that is always the same, or pf_pace's
 * -- */

static void fixed_window(int64_t *min_ms, int64_t *max_ms)
{
    *min_ms = 15000;
    *max_ms = 60000;
}

/* Of a server that has not seen a round end yet. */
static void window_of_a_new_task(int64_t *min_ms, int64_t *max_ms)
{
    struct pf_pace p = {.population = DEVICES,
                        .goal = 1300,
                        .least_ms = 15000,
                        .most_ms = 60000,
                        .per_s = PER_S};

    p.draw = between(0, 1);
    pf_pace(&p, min_ms, max_ms);
}

/* Each device stands for `sample` others. */
static void simulate_waits(void (*window)(int64_t *min_ms, int64_t *max_ms),
                           uint32_t sample, double *came)
{
    int64_t min_ms, max_ms;
    uint32_t n;
    int s;

    for (n = 0; n < DEVICES / sample; n++)
        comes(n, HERD_S);
    for (s = HERD_S; s < LAST_S; s++)
        while ((n = first[s]) != 0) {
            first[s] = next[n - 1];
            came[s] += sample;
            window(&min_ms, &max_ms);
            comes(n - 1, s + between((double)min_ms, (double)max_ms) / 1000);
        }
}

/* ---- what must hold
 * ------------------------------------------------------------ */

struct flow { /* check-ins a second, from a minute after the herd */
    double mean, busiest, quietest; /* of so many seconds together */
};

static struct flow flow_of(const double *came, int together)
{
    struct flow f = {0, 0, 1e9};
    int s, i, begin = HERD_S + 60;
    double sum;

    for (s = begin; s < LAST_S; s++)
        f.mean += came[s] / (LAST_S - begin);
    for (s = begin; s + together <= LAST_S; s++) {
        for (sum = 0, i = 0; i < together; i++)
            sum += came[s + i] / together;
        f.busiest = sum > f.busiest ? sum : f.busiest;
        f.quietest = sum < f.quietest ? sum : f.quietest;
    }
    return f;
}

static void a_herd_disperses_at_once_and_rounds_get_their_devices(void **state)
{
    struct flow f;

    (void)state;
    engine_init(&e);
    e.task.round.select = (struct pf_window){1300, 1300, 0, 600};
    e.task.round.collect = (struct pf_window){800, 1000, 60, 600};
    e.task.round.poll_min_s = 15;
    e.task.round.poll_max_s = 60;
    e.task.round.checkins_per_s = PER_S;
    engine_go(&e);
    simulate();
    engine_free(&e);
    f = flow_of(with, 10);
    print_message("%.0f at once, then %.0f a second, %.0f in the quietest and "
                  "%.0f in the busiest ten; %u rounds, each selected in %.0f "
                  "s\n",
                  with[HERD_S], f.mean, f.quietest, f.busiest, seen.rounds,
                  seen.slowest_select);
    assert_true(with[HERD_S] > 0.99 * DEVICES);
    assert_true(f.busiest < 1.5 * f.mean);
    assert_true(f.quietest > f.mean / 1.5);
    assert_true(flow_of(with, 1).busiest < PER_S);
    assert_true(seen.rounds >= 40); /* one lasts about 80 s */
    assert_true(seen.slowest_select <= 40);
}

static void a_server_that_knows_no_rounds_yet_bears_the_herd(void **state)
{
    static double came[LAST_S];
    struct flow f;

    (void)state;
    simulate_waits(window_of_a_new_task, 1, came);
    f = flow_of(came, 10);
    print_message("%.0f a second, %.0f in the quietest and %.0f in the busiest "
                  "ten\n",
                  f.mean, f.quietest, f.busiest);
    assert_true(f.busiest < 1.1 * f.mean);
    assert_true(f.quietest > f.mean / 1.1);
    assert_true(flow_of(came, 1).busiest < PER_S);
}

static void with_a_fixed_window_the_herd_stays_together(void **state)
{
    struct flow f;

    (void)state;
    simulate_waits(fixed_window, SAMPLE, without);
    f = flow_of(without, 1);
    print_message("%.0f a second, %.0f in the busiest\n", f.mean, f.busiest);
    assert_true(f.mean > 20 * PER_S);
}

static void few_devices_wait_no_longer_than_the_task_says(void **state)
{
    const struct pf_checkin_reply *c = &e.answer.u.checkin;
    int s;

    (void)state;
    engine_init(&e);
    engine_go(&e);
    engine_fill(&e, 1);
    engine_pass(&e, 90);
    engine_finished(&e, 1);
    for (unsigned d = 1; d <= 3; d++)
        engine_checkin(&e, d);
    for (s = 0; s < 40; s++) {
        struct pf_event ev = {.kind = PF_EV_CHECKIN, .reply_to = 1};

        ev.device = engine_device(4);
        ev.u.checkin.population = 1 + (uint64_t)s % 4;
        e.now_ms += 1000;
        engine_event(&e, &ev);
        assert_int_equal(c->kind, PF_CHECKIN_WAIT);
        assert_int_equal(c->min_ms, 4000); /* the bench's */
        assert_int_equal(c->max_ms, 9000);
    }
    engine_free(&e);
}

/* ---- the drawing
 * ---------------------------------------------------------------- */

#define WIDTH  720.0
#define HEIGHT 360.0
#define LEFT   70.0
#define RIGHT  20.0
#define TOP    20.0
#define BOTTOM 45.0
#define BEGIN  (HERD_S - 120) /* second at the left edge */

static double x_of(double second)
{
    return LEFT + (second - BEGIN) / (LAST_S - BEGIN) * (WIDTH - LEFT - RIGHT);
}

static double y_of(double per_s) /* six decades */
{
    double decades = per_s < 1 ? 0 : pf_ln(per_s) / pf_ln(10);

    return HEIGHT - BOTTOM - decades / 6 * (HEIGHT - TOP - BOTTOM);
}

static void line(FILE *f, const double *came, const char *colour)
{
    int s, i;

    fprintf(f, "<path fill=\"none\" stroke=\"%s\" d=\"", colour);
    for (s = BEGIN; s < LAST_S; s += 5) {
        double sum = 0;

        for (i = 0; i < 5; i++)
            sum += came[s + i] / 5;
        if (s == HERD_S)
            sum = came[s]; /* in its first second */
        fprintf(f, "%s%.1f %.1f", s == BEGIN ? "M" : "\nL", x_of(s + 2.5),
                y_of(sum));
    }
    fprintf(f, "\"/>\n");
}

static void grid(FILE *f)
{
    static const char *const label[] = {"1",    "10",   "100", "1000",
                                        "10^4", "10^5", "10^6"};
    double y, at = 1;
    int i;

    for (i = 0; i <= 6; i++, at *= 10) {
        y = y_of(at);
        fprintf(f,
                "<path stroke=\"#ddd\" d=\"M%.1f %.1fH%.1f\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, label[i]);
    }
    for (i = 0; i <= 60; i += 10)
        fprintf(f,
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>"
                "\n",
                x_of(HERD_S + 60 * i), HEIGHT - BOTTOM + 18, i);
}

static void draw(FILE *f)
{
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f "
            "%.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
            "<title>Check-ins a second after a million devices woke "
            "together</title>\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"white\"/>\n",
            WIDTH, HEIGHT);
    grid(f);
    fprintf(f,
            "<path stroke=\"#888\" stroke-dasharray=\"5 4\" d=\"M%.1f "
            "%.1fH%.1f\"/>\n",
            LEFT, y_of(PER_S), WIDTH - RIGHT);
    line(f, without, "#c0392b");
    line(f, with, "#1f6f8b");
    fprintf(f,
            "<text x=\"%.1f\" y=\"%.1f\" fill=\"#c0392b\">each is told: in 15 "
            "to 60 s</text>\n<text x=\"%.1f\" y=\"%.1f\" fill=\"#1f6f8b\">with "
            "pace steering</text>\n<text x=\"%.1f\" y=\"%.1f\" fill=\"#666\">"
            "round.checkins_per_s</text>\n",
            x_of(HERD_S + 1500), y_of(40000), x_of(HERD_S + 1500), y_of(110),
            x_of(HERD_S + 1500), y_of(1200));
    fprintf(f,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">minutes after "
            "10^6 devices woke at the same moment</text>\n"
            "<text x=\"14\" y=\"%.1f\" transform=\"rotate(-90 14 %.1f)\" "
            "text-anchor=\"middle\">check-ins a second</text>\n</svg>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, HEIGHT / 2, HEIGHT / 2);
}

static void the_documents_show_this_drawing(void **state)
{
    struct pf_error err = {0};
    struct pf_buf kept;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    (void)state;
    assert_non_null(f);
    draw(f);
    fclose(f);
    pf_buf_init(&kept, 1u << 20);
    assert_int_equal(pf_file_read(PF_TEST_DIR "/../docs/pace.svg", &kept, &err),
                     POCKETFED_OK);
    assert_int_equal(kept.len, len);
    assert_memory_equal(kept.data, text, len);
    pf_buf_free(&kept);
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            a_herd_disperses_at_once_and_rounds_get_their_devices, set_up),
        cmocka_unit_test_setup(with_a_fixed_window_the_herd_stays_together,
                               set_up),
        cmocka_unit_test_setup(a_server_that_knows_no_rounds_yet_bears_the_herd,
                               set_up),
        cmocka_unit_test(few_devices_wait_no_longer_than_the_task_says),
        cmocka_unit_test(the_documents_show_this_drawing),
    };
    size_t n = sizeof tests / sizeof tests[0];
    int drawing = argc == 3 && strcmp(argv[1], "--svg") == 0;
    int red =
        _cmocka_run_group_tests("pace", tests, n - (size_t)drawing, NULL, NULL);
    FILE *f = drawing && red == 0 ? fopen(argv[2], "w") : NULL;

    if (f) {
        draw(f);
        red = fclose(f);
    }
    return red != 0 || (drawing && !f);
}
