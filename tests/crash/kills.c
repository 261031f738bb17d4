/* kills.c - SIGKILL before, in the middle of and after every crash point, and
 * at random moments, under load.
 *
 *   crash_kills [kills [seed]]
 *
 * Devices go on asking as they always do; after every kill all that was
 * acknowledged must be there exactly once, and every model must be the one that
 * an undisturbed run makes (verify.h).  Every so many kills the federation is
 * left in peace, must end its round, and begins anew in another directory.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fleet.h"
#include "operator.h"
#include "proc.h"
#include "table.h"
#include "text.h"
#include "verify.h"

#define CAMPAIGN 20 /* kills in one directory */
/* A point that does not come: killed all the same, once the daemon had time to
 * come there, on a busy machine too. */
#define LIFE_MS 2000
#define LIFE_S  0.5 /* of processor time */
#define MOST_MS 20000
#define RANDOM  POINT_COUNT
#define DECK    (3 * (POINT_COUNT + POINT_COUNT / 6)) /* at most */
#define MOST    40                                    /* passes to wait for */

static const char *const wheres[] = {"at random", "before", "in", "after"};

struct card {
    unsigned point; /* or RANDOM */
    enum crash_where where;
};

static struct run {
    struct victim v;
    struct fleet f;
    struct pf_rng rng;
    uint64_t draws, seed;
    struct card deck[DECK], last;
    int missed; /* the last one was not reached in time */
    /* Those that did not come in this campaign are due in the next. */
    struct card owed[DECK];
    unsigned n_owed, n_due;
    unsigned n_deck, drawn, kills, hits[POINT_COUNT + 1][4];
    uint64_t passes[POINT_COUNT], calls[POINT_COUNT]; /* in a life, about */
    int failed;
} r;

static uint64_t below(uint64_t n)
{
    return pf_rng_below(&r.rng, r.draws++, n);
}

static int failure(const char *what)
{
    fprintf(stderr, "FAILED at kill %u, seed %llu: %s\n", r.kills,
            (unsigned long long)r.seed, what);
    r.failed = 1;
    return 0;
}

/* ---- what is killed where ---------------------------------------------- */

static void shuffle(struct card *c, unsigned n)
{
    struct card other;
    unsigned i, j;

    for (i = n; i > 1; i--) {
        j = (unsigned)below(i);
        other = c[i - 1];
        c[i - 1] = c[j];
        c[j] = other;
    }
}

/* These come with another release or another key: see golden.c. */
static int comes(unsigned point)
{
    static const char *const elsewhere[] = {"pf_store_plan_sign",
                                            "pf_store_rotate", "pf_file_sync"};
    size_t i;

    for (i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (strcmp(point_names[point], elsewhere[i]) == 0)
            return 0;
    return 1;
}

/* Three passes over all points, each point before, in and after in some order,
 * and random moments among them. */
static void deal(void)
{
    unsigned first[POINT_COUNT], pass, point, begin, i;
    struct card *c;

    for (point = 0; point < POINT_COUNT; point++)
        first[point] = (unsigned)below(3);
    r.n_deck = 0;
    for (pass = 0; pass < 3; pass++) {
        begin = r.n_deck;
        for (point = 0; point < POINT_COUNT; point++) {
            if (!comes(point))
                continue;
            c = &r.deck[r.n_deck++];
            c->point = point;
            c->where = (enum crash_where)(1 + (first[point] + pass) % 3);
        }
        for (i = 0; i < POINT_COUNT / 6; i++) {
            r.deck[r.n_deck].point = RANDOM;
            r.deck[r.n_deck++].where = CRASH_NOWHERE;
        }
        shuffle(r.deck + begin, r.n_deck - begin);
    }
}

static int is(const struct card *c, const char *name)
{
    return c->point != RANDOM && strcmp(point_names[c->point], name) == 0;
}

/* Under load the log is hardly ever moved into the database. */
static int comes_when_idle(const struct card *c)
{
    return is(c, "pf_store_tidy") && c->where == CRASH_AT;
}

static struct card next_card(void)
{
    struct card c;

    if (r.n_due > 0) {
        c = r.owed[--r.n_due];
        r.owed[r.n_due] = r.owed[--r.n_owed];
    } else {
        c = r.deck[r.drawn++ % r.n_deck];
    }
    return c;
}

static struct card draw(void)
{
    struct card c = next_card();

    /* Where nothing waits for time to pass, it is not kept. */
    if (r.f.async && is(&c, "pf_store_clock_set") && r.n_owed < DECK) {
        r.owed[r.n_owed++] = c;
        c = next_card();
    }
    /* Some points make no system call, so they have no middle. */
    if (c.where == CRASH_AT && r.calls[c.point] == 0 && !comes_when_idle(&c))
        c.where = CRASH_AFTER;
    return c;
}

static uint64_t choose_nth(const struct card *c)
{
    uint64_t seen =
        c->where == CRASH_AT ? r.calls[c->point] : r.passes[c->point];

    return 1 + below(seen < 1 ? 1 : seen > MOST ? MOST : seen);
}

/* ---- what makes a point come ------------------------------------------- */

static void leave(const char *dir, const char *name)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", r.v.d.state, dir);
    mkdir(path, 0700); /* there or not */
    snprintf(path, sizeof path, "%s/%s/%s", r.v.d.state, dir, name);
    f = fopen(path, "w");
    if (f) {
        fputs("left over\n", f);
        fclose(f);
    }
}

/* What earlier crashes might have left, so that there is something to sweep. */
static void leave_litter(void)
{
    char name[80];

    memset(name, 'a', 64);
    name[64] = '\0';
    leave("objects/aa", name);
    snprintf(name + 64, sizeof name - 64, ".77.0.tmp");
    leave("objects/aa", name);
    leave("journal/1", "9999999.seg");
}

static void prepare(const struct card *c)
{
    if (is(c, "pf_objects_sweep") || is(c, "pf_segment_sweep"))
        leave_litter();
    if (is(c, "pf_store_task_add"))
        fleet_want_task(&r.f);
}

/* ---- a life ------------------------------------------------------------ */

/* What a life brings; a first one, in an empty directory, is soon forgotten. */
static void learn(void)
{
    unsigned i;

    for (i = 0; i < POINT_COUNT; i++) {
        uint64_t passes = atomic_load(&r.v.c->passes[i]);
        uint64_t calls = atomic_load(&r.v.c->calls[i]);

        r.calls[i] -= r.calls[i] / 4;
        r.passes[i] = passes > r.passes[i] ? passes : r.passes[i];
        r.calls[i] = calls > r.calls[i] ? calls : r.calls[i];
    }
}

static void check_book(void)
{
    if (r.f.book.wrong[0])
        failure(r.f.book.wrong);
}

static void check_state(struct verified *seen)
{
    char why[600];

    if (!verify_state(r.v.d.state, &r.f.book, seen, why, sizeof why)) {
        failure(why);
        victim_show(&r.v);
    }
}

/* A port of ours may be somebody's for a moment. */
static int was_kept_out(void)
{
    return pf_file_says(r.v.d.log, "in use");
}

/* As victim_wait. */
static int wait_for_point(void)
{
    int64_t ms = 0;
    int code;

    do {
        code = victim_wait(&r.v, LIFE_MS / 10);
        ms += LIFE_MS / 10;
    } while (code < 0 && ms < (int64_t)MOST_MS * PF_SLOW &&
             (ms < LIFE_MS || pf_cpu_s(r.v.d.pid) < LIFE_S * PF_SLOW));
    return code;
}

static void one_life(void)
{
    int again = r.missed; /* then it is tried once more, at its first pass */
    struct card c = again ? r.last : draw();
    struct verified seen;
    uint64_t nth = 0;
    int code;

    r.last = c;
    r.missed = 0;

    victim_reset(&r.v);
    prepare(&c);
    if (c.point != RANDOM) {
        nth = again ? 1 : choose_nth(&c);
        victim_arm(&r.v, c.where, c.point, nth);
    }
    do {
        victim_spawn(&r.v);
        if (comes_when_idle(&c)) {
            fleet_await(&r.f, 4, LIFE_MS / 2);
            fleet_pause(&r.f);
        }
        code = c.point == RANDOM
                   ? victim_wait(&r.v, 20 + (int64_t)below(400) * PF_SLOW)
                   : wait_for_point();
    } while (code == 1 && was_kept_out());
    if (code < 0) {
        victim_kill(&r.v);
        r.missed = c.point != RANDOM && !again;
        if (c.point != RANDOM && again && r.n_owed < DECK)
            r.owed[r.n_owed++] = c;
        c.point = RANDOM;
        c.where = CRASH_NOWHERE;
    } else if (code != 128 + SIGKILL || !atomic_load(&r.v.c->fired)) {
        failure("the daemon ended by itself");
        victim_show(&r.v);
        return;
    }
    r.hits[c.point][c.where]++;
    learn();
    check_state(&seen);
    check_book();
    r.kills++;
    printf("kill %u %s %s (%llu): %zu acknowledged, %llu of %llu rounds\n",
           r.kills, wheres[c.where],
           c.point == RANDOM ? "" : point_names[c.point],
           (unsigned long long)nth, book_n_acks(&r.f.book),
           (unsigned long long)seen.published, (unsigned long long)seen.rounds);
    fflush(stdout);
    fleet_go_on(&r.f);
}

/* ---- a campaign -------------------------------------------------------- */

/* Left in peace, it goes on; and what the daemon says of itself is what the
 * records say. */
static void peace(void)
{
    struct pf_task_status t;
    struct verified seen;
    int64_t end;

    victim_reset(&r.v);
    victim_start(&r.v);
    if (!fleet_await(&r.f, 12, 20000))
        failure("left in peace, nothing goes on");
    fleet_stop(&r.f);
    end = pf_now_ms() + (int64_t)20000 * PF_SLOW;
    do
        pf_task_now(&r.v.d, FLEET_TASK, &t);
    while ((strcmp(t.phase, "closing") == 0 || t.published + 1 < t.round) &&
           pf_now_ms() < end);
    pf_testdaemon_stop(&r.v.d);
    check_state(&seen);
    check_book();
    if (r.failed)
        return;
    if (seen.open_accepted != t.accepted || seen.published != t.published ||
        seen.newest != t.round || memcmp(seen.model, t.model, 32) != 0)
        failure("the daemon's own view is not that of its records");
    if (r.failed)
        fprintf(stderr,
                "round %llu, published %llu, accepted %llu; by the records "
                "%llu, %llu, %llu\n",
                (unsigned long long)t.round, (unsigned long long)t.published,
                (unsigned long long)t.accepted, (unsigned long long)seen.newest,
                (unsigned long long)seen.published,
                (unsigned long long)seen.open_accepted);
    printf("peace: %zu acknowledged, %llu counted, %llu rounds, %u newcomers, "
           "%u tasks\n",
           book_n_acks(&r.f.book), (unsigned long long)seen.accepted,
           (unsigned long long)seen.published, atomic_load(&r.f.newcomers),
           seen.tasks);
}

static void campaign(unsigned kills)
{
    uint64_t number = r.kills;

    r.n_due = r.n_owed;
    victim_init(&r.v, 0);
    victim_start(&r.v);
    fleet_start(&r.f, &r.v, r.seed * 1000 + number, number / CAMPAIGN % 2);
    fleet_operate(&r.f);
    if (!fleet_await(&r.f, 8, 20000))
        failure("nothing goes on");
    learn();
    if (r.v.d.pid)
        victim_kill(&r.v);
    while (kills-- > 0 && !r.failed)
        one_life();
    if (!r.failed)
        peace();
    atomic_store(&r.f.stop, 1);
    fleet_stop(&r.f);
    fleet_free(&r.f);
    if (r.failed) {
        printf("what is left: %s\n", r.v.d.dir);
        setenv("PF_TEST_KEEP", "1", 1);
    }
    victim_end(&r.v);
}

/* Every point was met, unless there were too few kills for it. */
static void report(unsigned kills)
{
    unsigned i, all = 0;

    printf("%-26s before    in after\n", "");
    for (i = 0; i < POINT_COUNT; i++) {
        unsigned n = r.hits[i][1] + r.hits[i][2] + r.hits[i][3];

        printf("%-26s %6u %5u %5u\n", point_names[i], r.hits[i][1],
               r.hits[i][2], r.hits[i][3]);
        all += n;
        if (n == 0 && comes(i) && kills >= 60)
            failure(point_names[i]);
    }
    printf("%u at points, %u at random\n", all, r.hits[RANDOM][0]);
}

int main(int argc, char **argv)
{
    uint64_t kills = 60, seed = 1;
    unsigned n;

    if ((argc > 1 &&
         !pf_parse_u64(argv[1], strlen(argv[1]), 1, 1000000, &kills)) ||
        (argc > 2 &&
         !pf_parse_u64(argv[2], strlen(argv[2]), 0, UINT64_MAX, &seed))) {
        fprintf(stderr, "usage: crash_kills [kills [seed]]\n");
        return 2;
    }
    r.seed = seed;
    r.rng = pf_rng_make(seed, 0, 0, PF_RNG_TEST);
    printf("%llu kills, seed %llu\n", (unsigned long long)kills,
           (unsigned long long)seed);
    deal();
    while (r.kills < kills && !r.failed) {
        n = (unsigned)kills - r.kills;
        campaign(n < CAMPAIGN ? n : CAMPAIGN);
    }
    if (!r.failed)
        report((unsigned)kills);
    pf_kill_all();
    return r.failed;
}
