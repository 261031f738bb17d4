#include "dull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MANY 4096
enum { OPEN = 1, CLOSED, PUBLISHED, ABANDONED };
enum { GIVEN = 1, COUNTED, GIVEN_BACK };
typedef unsigned long long number;

static struct life {
    int64_t opened_ms, phase_ms;
    int fate, collecting, model, rollback, measuring /* 2: measured */;
    number n, weight; /* of what counts in it */
    double by;
} life[MANY]; /* of each round, from 1 */
static struct work {
    number device, round, models; /* there were so many models */
    number counted;               /* in which round */
    number ended;                 /* the how-manieth; 0: it trains */
    int64_t at_ms;
    int state, forgotten, base, digest;
    unsigned stale;
    number weight;
} work[MANY], *end = work; /* each assignment */
static number last, ends;
static int state, started, async, in_a_row /* rounds abandoned */;
static int64_t now_ms, wait_ms /* of BACKOFF; 0: none */;
static const struct pf_task *task;
static const struct pf_event *ev;
static struct dull_words *records, effects;

void dull_begin(const struct pf_task *t)
{
    end = work;
    last = ends = 0;
    started = in_a_row = 0;
    state = PF_TASK_PAUSED;
    task = t;
    async = t->round.policy == PF_POLICY_ASYNC;
}

#define RECORD(...)                                                            \
    (started = 1, dull_say(records, "%lld ", (long long)now_ms),               \
     dull_say(records, __VA_ARGS__))
#define EFFECT(...) dull_say(&effects, "> " __VA_ARGS__)
#define ANSWER(...)                                                            \
    (EFFECT("%d ", (int)ev->reply_to), dull_say(&effects, __VA_ARGS__))

/* ---- what the lists say ---- */

static int passed(int64_t since_ms, double seconds)
{
    return (double)(now_ms - since_ms) >= seconds * 1000;
}

static number newest(int fate) /* round; 0: none */
{
    number r = last;

    while (r > 0 && life[r].fate != fate)
        r--;
    return r;
}

static number models(int rollbacks_too)
{
    number n = 0;

    for (number r = 1; r <= last; r++)
        n += life[r].fate == PUBLISHED && life[r].rollback <= rollbacks_too;
    return n;
}

static int lapsed(const struct work *w)
{
    const struct pf_task_round *t = &task->round;
    double most = t->collect.max_s + (async ? 0 : t->select.max_s);

    return w->state == GIVEN &&
           passed(w->at_ms, t->lease_s > 0 ? t->lease_s : most);
}

/* sync: to the newest round; still, also silent for too long, or ever */
enum { STILL, SILENT, EVER };
static number assigned(int how)
{
    number n = 0;

    for (struct work *w = work; w < end; w++)
        n += w->round == last &&
             (how == EVER ||
              (w->state != GIVEN_BACK && (how == SILENT || !lapsed(w))));
    return n;
}

/* The device's assignment of that round, as far as it is remembered: sync, in
 * the newest two; async, the last it was given (r 0: in whichever). */
static struct work *work_of(number r)
{
    struct work *found = NULL;

    for (struct work *w = work; w < end; w++)
        if (w->device == ev->device.ordinal && !w->forgotten &&
            (w->round == r || (async && r == 0)) && (async || r + 1 >= last))
            found = w;
    return found;
}

/* ---- how rounds and the task go on ---- */

static void measure(int most)
{
    number new = newest(PUBLISHED);

    for (number r = 1; r <= last; r++)
        most -= life[r].measuring == 1;
    if (!new || !task->evaluate.data[0] || life[new].measuring || most <= 0)
        return;
    life[new].measuring = 1;
    EFFECT("evaluate %llu model %d\n", new, life[new].model);
}

static void set_state(int s, const char *reason)
{
    RECORD("state %llu: %d %s\n", last, s, reason);
    state = s;
    wait_ms = 0;
}

static void abandon(number r, const char *reason)
{
    double wait = fmin(3600, task->round.retry_s * pow(2, in_a_row++));

    RECORD("abandoned %llu: %s\n", r, reason);
    life[r].fate = ABANDONED;
    if (!async && state == PF_TASK_RUNNING)
        wait_ms = now_ms + (int64_t)(1000 * wait + 0.5);
    EFFECT("drop %llu\n", r);
}

static int give_up(const char *reason)
{
    number any = newest(OPEN) + newest(CLOSED);

    for (number r = 1; r <= last; r++)
        if (life[r].fate == OPEN || life[r].fate == CLOSED)
            abandon(r, reason);
    return any != 0;
}

static void finish(const char *why, const char *reason)
{
    give_up(why);
    set_state(PF_TASK_FINISHED, reason);
    measure(4);
}

static void stop(void)
{
    const struct pf_task_stop *s = &task->stop;
    int late = s->after_s > 0 && passed(life[1].opened_ms, s->after_s);
    int many = s->rounds && models(0) >= s->rounds;

    if (state != PF_TASK_FINISHED && last && (many || late))
        finish("stopped", many ? "rounds" : "time");
}

static void begin(void)
{
    number base = newest(PUBLISHED);

    RECORD("opened %llu base %d\n", ++last, life[base].model);
    life[last] = (struct life){.opened_ms = now_ms,
                               .phase_ms = now_ms,
                               .fate = OPEN,
                               .collecting = async};
    wait_ms = 0;
}

static void publish(number r, int model, number source)
{
    RECORD("published %llu model %d of %llu weight %llu by %.9g from %llu\n", r,
           model, life[r].n, life[r].weight, life[r].by, source);
    life[r].fate = PUBLISHED;
    life[r].model = model;
    life[r].rollback = source != 0;
    in_a_row = 0;
    if (r % task->evaluate.every == 0)
        measure(3);
}

static void make_model(void) /* of the round that waits for it */
{
    number r = newest(CLOSED);

    if (r)
        EFFECT("finish %llu base %d by %.9g\n", r,
               life[newest(PUBLISHED)].model, life[r].by);
}

/* What the open round comes to; 0: nothing yet. */
static int go_on(struct life *l)
{
    const struct pf_task_round *t = &task->round;
    const struct pf_window *w = l->collecting ? &t->collect : &t->select;

    if (l->n >= t->collect.max ||
        (!l->collecting && assigned(STILL) >= w->max) ||
        ((l->collecting ? l->n : assigned(SILENT)) >= w->min &&
         passed(l->phase_ms, w->min_s))) {
        RECORD("%s %llu\n", l->collecting ? "closed" : "collecting", last);
        l->phase_ms = now_ms;
        if (l->collecting++) {
            l->fate = CLOSED;
            make_model();
        }
    } else if (!async && passed(l->phase_ms, w->max_s)) {
        abandon(last, l->collecting ? "too few updates" : "too few devices");
    } else {
        return 0;
    }
    return 1;
}

/* As far as counts and time allow; RESUME comes before time goes on. */
static void settle(void)
{
    int go = ev->kind != PF_EV_RESUME;

    while (go && state != PF_TASK_FINISHED) {
        number closing = newest(CLOSED);

        if (async)
            stop();
        if (newest(OPEN)) {
            go = !closing && go_on(&life[last]);
            continue;
        }
        go = (async || !closing) &&
             (state == PF_TASK_RUNNING ? now_ms >= wait_ms : async && last);
        if (go)
            stop();
        if (go && state != PF_TASK_FINISHED)
            begin();
    }
}

/* ---- events ---- */

/* async: the next lease finds a place, if need be that of the one that ended
 * longest ago, rather of another round, never of what counts in this one. */
static int make_place(void)
{
    number training = 0, known = 0, key, least = 0;
    struct work *out = NULL;

    for (struct work *w = work; w < end; w++)
        training += !w->forgotten && !w->ended && !lapsed(w);
    if (training >= task->round.select.max)
        return 0;
    for (struct work *w = work; w < end; w++) {
        if (!w->ended && lapsed(w))
            w->ended = ++ends;
        w->forgotten |= w->device == ev->device.ordinal;
        known += !w->forgotten;
        key = w->ended + (w->round == last ? 1u << 31 : 0);
        if (!w->forgotten && w->ended && w->counted != last &&
            (!out || key < least)) {
            out = w;
            least = key;
        }
    }
    if (out && known >= 2 * task->round.select.max)
        out->forgotten = 1;
    return out || known < 2 * task->round.select.max;
}

static int too_stale(struct work *w)
{
    w->stale = async ? (unsigned)(models(1) + !!newest(CLOSED) - w->models) : 0;
    return async && w->stale > task->round.max_staleness;
}

static enum pf_wait_reason why_not(const struct work *w)
{
    const struct pf_task_device *t = &task->device;
    number fits = !t->n_classes, gave = ev->u.checkin.last_round;
    number most = task->round.select.max;

    for (size_t i = 0; i < t->n_classes; i++)
        fits |= !strcmp(t->classes[i], ev->u.checkin.device_class);
    return newest(OPEN) && w && w->counted == last ? PF_WAIT_CONTRIBUTED
           : state == PF_TASK_PAUSED               ? PF_WAIT_PAUSED
           : state != PF_TASK_RUNNING              ? PF_WAIT_FINISHED
           : newest(CLOSED) && !newest(OPEN)       ? PF_WAIT_PUBLISHING
           : !newest(OPEN)                         ? PF_WAIT_BACKOFF
           : !fits                                 ? PF_WAIT_NOT_ELIGIBLE
           : t->max_updates && ev->u.checkin.updates >= t->max_updates
               ? PF_WAIT_DONE
           : gave && last <= gave + t->rest_rounds ? PF_WAIT_RESTING
           : w && w->round == last                 ? PF_WAIT_ROUND_FULL
           : (async ? make_place()
                    : assigned(EVER) < 2 * most && assigned(STILL) < most)
               ? PF_WAIT_NONE
               : PF_WAIT_ROUND_FULL;
}

static void checkin(void)
{
    struct work *w = work_of(async ? 0 : last);
    int again = newest(OPEN) && w && w->state == GIVEN &&
                (w->round == last || (!lapsed(w) && !too_stale(w)));
    enum pf_wait_reason why = again ? PF_WAIT_NONE : why_not(w);
    int model = life[newest(PUBLISHED)].model;

    if (why == PF_WAIT_NONE && !again) {
        w = end++;
        *w = (struct work){.device = ev->device.ordinal,
                           .round = last,
                           .models = models(1),
                           .at_ms = now_ms,
                           .state = GIVEN,
                           .base = model};
        RECORD("assigned %llu to %llu of class \"%s\"\n", last, w->device,
               ev->u.checkin.device_class);
    }
    if (why == PF_WAIT_NONE)
        ANSWER("train %llu base %d\n", w->round, w->base);
    else
        ANSWER("wait, %s, model %d\n", pf_wait_reasons[why],
               why == PF_WAIT_FINISHED ? model : 0);
}

/* NONE: an OFFER, UPDATE or FAILURE is of work that is under way. */
static enum pf_problem_id refusal(struct work *w)
{
    int theirs = w && w->state == GIVEN, update = ev->kind != PF_EV_FAILURE;

    if (ev->round == 0 || ev->round > last || (async && !theirs))
        return PF_PROBLEM_NOT_ASSIGNED;
    if (!newest(OPEN) || (async ? update && too_stale(w) : ev->round < last))
        return state == PF_TASK_FINISHED ? PF_PROBLEM_TASK_FINISHED
                                         : PF_PROBLEM_ROUND_CLOSED;
    if (async && update && life[last].n >= 2 * task->round.collect.max)
        return PF_PROBLEM_BUSY;
    return theirs ? PF_PROBLEM_NONE : PF_PROBLEM_NOT_ASSIGNED;
}

static void acknowledge(const struct work *w, const char *again)
{
    ANSWER("ack %llu in %llu base %d digest %d weight %llu%s\n", w->round,
           w->counted, w->base, w->digest, w->weight, again);
}

static void take(struct work *w)
{
    w->ended = ++ends;
    if (ev->kind == PF_EV_FAILURE) {
        RECORD("failed %llu by %llu: %d\n", last, w->device, ev->u.failure);
        w->state = GIVEN_BACK;
        ANSWER("done\n");
        return;
    }
    w->digest = ev->u.update.digest[0];
    w->weight = ev->u.update.admitted.weight;
    w->state = COUNTED;
    w->counted = last;
    life[last].n++;
    life[last].weight += w->weight;
    if (async && task->round.discounted)
        life[last].by += (double)w->weight / sqrt(1.0 + w->stale);
    RECORD("accepted %llu from %llu for %llu base %d digest %d stale %u\n",
           last, w->device, w->round, w->base, w->digest, w->stale);
    EFFECT("fold %llu of %llu digest %d weight %llu x %.9g\n", last, w->device,
           w->digest, w->weight, 1 / sqrt(1.0 + w->stale));
    acknowledge(w, "");
}

static void on_work(void) /* OFFER, UPDATE, FAILURE */
{
    int update = ev->kind != PF_EV_FAILURE;
    int known = ev->round && (update || async || ev->round == last);
    struct work *w = known ? work_of(ev->round) : NULL;
    enum pf_problem_id why = refusal(w);

    if (w && update && w->state == COUNTED &&
        w->digest == ev->u.update.digest[0])
        acknowledge(w, " again");
    else if (w && update && w->state == COUNTED)
        ANSWER("problem already-different\n");
    else if (w && !update && w->state != GIVEN)
        ANSWER("done\n");
    else if (why)
        ANSWER("problem %s\n", pf_problem_rows[why].slug);
    else if (ev->kind == PF_EV_OFFER)
        ANSWER("go to %llu base %d\n", last, w->base);
    else if (update && async && ev->u.update.segment != last)
        ANSWER("move to %llu base %d\n", last, w->base);
    else
        take(w);
}

static void finished(void)
{
    int made = ev->kind == PF_EV_FINISHED, model = ev->u.finished.model[0];
    number r = ev->round;

    if (r && newest(CLOSED) == r && made) {
        publish(r, model, 0);
        stop();
        EFFECT("drop %llu\n", r);
    } else if (r && newest(CLOSED) == r) {
        abandon(r, "no model made: no_memory");
    } else if (made && r > newest(PUBLISHED)) {
        EFFECT("discard %llu model %d\n", r, model);
    }
}

static void evaluated(void)
{
    double got = ev->u.evaluated.accuracy, wanted = task->stop.accuracy;

    if (ev->round > last || life[ev->round].measuring != 1)
        return;
    life[ev->round].measuring = 2;
    RECORD("evaluated %llu: %g\n", (number)ev->round, got);
    if (state != PF_TASK_FINISHED && wanted > 0 && got >= wanted &&
        models(0) >= task->stop.min_rounds)
        finish("stopped", "accuracy");
}

static int roll_back(number source)
{
    if (source == 0 || source >= newest(PUBLISHED))
        return 0;
    give_up("rolled back");
    begin();
    publish(last, ev->u.rollback.model[0], source);
    for (struct work *w = work; w < end && async; w++)
        w->forgotten = 1;
    EFFECT("drop %llu\n", last);
    return 1;
}

static void command(void)
{
    enum pf_command c = ev->u.command;
    int done = state != PF_TASK_FINISHED;

    if (done && c == PF_CMD_ABORT)
        done = give_up("by the operator");
    else if (done && c == PF_CMD_ROLLBACK)
        done = roll_back(ev->u.rollback.source);
    else if (done && c == PF_CMD_FINISH)
        finish("by the operator", "by the operator");
    else if (c == PF_CMD_PAUSE && state == PF_TASK_RUNNING)
        set_state(PF_TASK_PAUSED, "by the operator");
    else if (state == PF_TASK_PAUSED &&
             (c == PF_CMD_RESUME || (c == PF_CMD_START && !started)))
        set_state(PF_TASK_RUNNING, "");
    ANSWER(done ? "done\n" : "problem state\n");
}

static void resume(void)
{
    make_model();
    for (number r = 1; r <= last; r++)
        if (life[r].measuring == 1)
            EFFECT("evaluate %llu model %d\n", r, life[r].model);
}

void dull_step(const struct pf_event *event, struct dull_words *out)
{
    static void (*const handle[])(void) = {
        [PF_EV_CHECKIN] = checkin,     [PF_EV_OFFER] = on_work,
        [PF_EV_UPDATE] = on_work,      [PF_EV_FAILURE] = on_work,
        [PF_EV_FINISHED] = finished,   [PF_EV_FINISH_FAILED] = finished,
        [PF_EV_EVALUATED] = evaluated, [PF_EV_COMMAND] = command,
        [PF_EV_RESUME] = resume,
    };

    if (last + 9 > MANY || end == work + MANY)
        abort(); /* a step makes one assignment and opens a few rounds */
    ev = event;
    records = out;
    now_ms = ev->now_ms;
    out->len = effects.len = 0;
    out->text[0] = effects.text[0] = '\0';
    settle();
    if (handle[ev->kind])
        handle[ev->kind]();
    settle();
    dull_say(out, "%s", effects.text);
}
