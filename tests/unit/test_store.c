/* The contract of server/store/store.h: records, readers; with a restart
 * after each write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "store_bench.h"

/* ---- records ----------------------------------------------------------- */

#define MAX_SEEN 64
struct seen {
    int n_tasks, n;
    struct pf_store_task task[4];
    char file[4][64];
    int64_t of[MAX_SEEN];
    struct pf_record rec[MAX_SEEN];
};

static enum pocketfed_status see_task(void *ctx, const struct pf_store_task *t,
                                      struct pf_error *err)
{
    struct seen *s = ctx;

    (void)err;
    s->task[s->n_tasks] = *t;
    snprintf(s->file[s->n_tasks], 64, "%s", pf_buf_str(&t->file));
    s->n_tasks++;
    return POCKETFED_OK;
}

static enum pocketfed_status see_record(void *ctx, int64_t task,
                                        const struct pf_record *rec,
                                        struct pf_error *err)
{
    struct seen *s = ctx;

    (void)err;
    assert_true(s->n < MAX_SEEN);
    s->of[s->n] = task;
    s->rec[s->n++] = *rec;
    return POCKETFED_OK;
}

static void load(struct bench *b, struct seen *s)
{
    struct pf_store_visitor v = {s, see_task, see_record};

    memset(s, 0, sizeof *s);
    assert_int_equal(pf_store_load(b->s, &v, &b->err), POCKETFED_OK);
}

static struct pf_record record(enum pf_record_kind kind, int64_t at_ms,
                               uint64_t round, int dev)
{
    struct pf_record r;

    memset(&r, 0, sizeof r);
    r.kind = kind;
    r.at_ms = at_ms;
    r.round = round;
    if (dev) {
        memset(r.device.id, dev, sizeof r.device.id);
        r.device.ordinal = (uint64_t)dev + 40;
    }
    return r;
}

static void write_one(struct bench *b, int64_t task, const struct pf_record *r,
                      const struct pf_round_counters *n)
{
    bench_begin(b);
    assert_int_equal(pf_store_record(b->s, task, r, n, &b->err), POCKETFED_OK);
    bench_commit(b);
    bench_restart(b);
}

static struct pf_record accepted(int64_t at, uint64_t round, int dev)
{
    struct pf_record r = record(PF_REC_ACCEPTED, at, round, dev);

    r.u.accepted.assigned = round;
    memcpy(r.u.accepted.base, bench_digest(3), 32);
    memcpy(r.u.accepted.digest, bench_digest(dev + 60), 32);
    r.u.accepted.extent.offset = 4096u * (uint64_t)dev;
    r.u.accepted.extent.length = 777;
    r.u.accepted.admitted.examples = 600;
    r.u.accepted.admitted.weight = 500;
    r.u.accepted.admitted.saturated = 3;
    r.u.accepted.admitted.norm = 1.0 / 3;
    r.u.accepted.admitted.train_loss = 0.125;
    return r;
}

/* A life of two rounds: every kind of record at least once. */
static int life(struct pf_record *out)
{
    int n = 0;

    out[n] = record(PF_REC_STATE, 10, 0, 0);
    out[n].u.state.state = PF_TASK_RUNNING;
    n++;
    out[n] = record(PF_REC_OPENED, 10, 1, 0);
    memcpy(out[n++].u.opened.base, bench_digest(3), 32);
    out[n++] = record(PF_REC_ASSIGNED, 11, 1, 1);
    out[n++] = record(PF_REC_ASSIGNED, 12, 1, 2);
    out[n++] = record(PF_REC_ASSIGNED, 13, 1, 3);
    out[n++] = accepted(14, 1, 2);
    out[n++] = record(PF_REC_COLLECTING, 15, 1, 0);
    out[n] = record(PF_REC_FAILED, 16, 1, 3);
    out[n++].u.failure = PF_FAILURE_MEMORY;
    out[n++] = accepted(17, 1, 1);
    out[n++] = record(PF_REC_CLOSED, 18, 1, 0);
    out[n] = record(PF_REC_PUBLISHED, 25, 1, 0);
    memcpy(out[n].u.published.model, bench_digest(90), 32);
    out[n].u.published.accepted = 2;
    out[n].u.published.weight = 1000;
    out[n].u.published.saturated = 6;
    out[n++].u.published.train_loss = 0.125;
    out[n] = record(PF_REC_OPENED, 25, 2, 0);
    memcpy(out[n++].u.opened.base, bench_digest(90), 32);
    out[n] = record(PF_REC_EVALUATED, 26, 1, 0);
    out[n].u.evaluated.loss = 0.1;
    out[n++].u.evaluated.accuracy = 0.975;
    out[n] = record(PF_REC_ABANDONED, 99, 2, 0);
    snprintf(out[n++].u.abandoned.reason, 48, "too few devices");
    out[n] = record(PF_REC_STATE, 100, 2, 0);
    out[n].u.state.state = PF_TASK_FINISHED;
    snprintf(out[n++].u.state.reason, 48, "accuracy");
    return n;
}

static int64_t clock_of(struct bench *b)
{
    int64_t now = -1;

    assert_int_equal(pf_store_clock(b->s, &now, &b->err), POCKETFED_OK);
    return now;
}

static void gives_back_every_record_in_order(void **state)
{
    static const struct pf_round_counters counters = {1, 2, 3, 4};
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1), other = bench_add_task(b, "b", 11);
    struct pf_record rec[20], elsewhere;
    struct seen s;
    int i, n = life(rec);

    assert_int_equal(clock_of(b), 0);
    elsewhere = record(PF_REC_OPENED, 9, 1, 0);
    for (i = 0; i < n; i++) {
        write_one(b, t, &rec[i],
                  rec[i].kind == PF_REC_CLOSED ? &counters : NULL);
        if (i == 4)
            write_one(b, other, &elsewhere, NULL);
        assert_int_equal(clock_of(b), rec[i].at_ms);
    }
    load(b, &s);
    assert_int_equal(s.n_tasks, 2);
    assert_int_equal(s.task[0].id, t);
    assert_string_equal(s.task[0].name, "a");
    assert_string_equal(s.file[0], "{\"name\": \"a\"}");
    assert_memory_equal(s.task[0].plan, bench_digest(1), 32);
    assert_int_equal(s.task[0].plan_signature[63], 2);
    assert_memory_equal(s.task[0].initial_model, bench_digest(3), 32);
    assert_int_equal(s.task[0].created_ms, 1700000000001);
    assert_int_equal(s.n, n + 1);
    for (i = 0; i < n; i++) {
        assert_int_equal(s.of[i], t);
        assert_memory_equal(&s.rec[i], &rec[i], sizeof rec[i]);
    }
    assert_int_equal(s.of[n], other);
}

static void keeps_numbers_of_64_bits(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    struct pf_record open = record(PF_REC_OPENED, 1, 1, 0),
                     r = accepted(2, 1, 1);
    struct seen s;

    r.device.ordinal = UINT64_MAX;
    r.u.accepted.extent.offset = UINT64_MAX - 4095;
    r.u.accepted.admitted.weight = (uint64_t)INT64_MAX;
    write_one(b, t, &open, NULL);
    write_one(b, t, &r, NULL);
    load(b, &s);
    assert_memory_equal(&s.rec[1], &r, sizeof r);
}

static void what_was_not_committed_is_gone(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    struct pf_record r = record(PF_REC_OPENED, 1, 1, 0);
    struct seen s;

    bench_begin(b);
    assert_int_equal(pf_store_record(b->s, t, &r, NULL, &b->err), POCKETFED_OK);
    bench_restart(b);
    load(b, &s);
    assert_int_equal(s.n, 0);
}

static void refuses_a_second_acknowledgement_of_one_device(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    struct pf_record open = record(PF_REC_OPENED, 1, 1, 0),
                     r = accepted(2, 1, 1);

    write_one(b, t, &open, NULL);
    write_one(b, t, &r, NULL);
    r.u.accepted.extent.offset += 4096;
    bench_begin(b);
    assert_int_equal(pf_store_record(b->s, t, &r, NULL, &b->err),
                     POCKETFED_INTERNAL);
    r = accepted(2, 1, 1);
    memset(r.device.id, 2, sizeof r.device.id); /* another, same extent */
    assert_int_equal(pf_store_record(b->s, t, &r, NULL, &b->err),
                     POCKETFED_INTERNAL);
    bench_restart(b);
}

/* ---- readers ----------------------------------------------------------- */

struct list {
    int n;
    struct pf_round_status rs[8];
};

static void see_round(void *ctx, const struct pf_round_status *rs)
{
    struct list *l = ctx;

    l->rs[l->n++] = *rs;
}

static void write_life(struct bench *b, int64_t t)
{
    static const struct pf_round_counters closed = {1, 7, 30, 4},
                                          published = {2, 6, 30, 50};
    const struct pf_round_counters *n;
    struct pf_record rec[20];
    int i, count = life(rec);

    for (i = 0; i < count; i++) {
        n = rec[i].kind == PF_REC_CLOSED ? &closed : NULL;
        if (rec[i].kind == PF_REC_PUBLISHED)
            n = &published;
        write_one(b, t, &rec[i], n);
    }
}

static void tells_what_a_round_was(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    const struct pf_round_status *r;
    struct list l = {0};

    write_life(b, t);
    assert_int_equal(pf_reader_rounds(b->r, t, 0, 10, see_round, &l),
                     POCKETFED_OK);
    assert_int_equal(l.n, 2);
    r = &l.rs[0];
    assert_int_equal(r->round, 1);
    assert_string_equal(r->phase, "published");
    assert_memory_equal(r->base, bench_digest(3), 32);
    assert_memory_equal(r->model, bench_digest(90), 32);
    assert_int_equal(r->assigned, 3);
    assert_int_equal(r->accepted, 2);
    assert_int_equal(r->failed, 1);
    assert_int_equal(r->late, 2);
    assert_int_equal(r->refused, 7); /* the larger one: a restart forgets */
    assert_int_equal(r->weight, 1000);
    assert_int_equal(r->saturated, 6);
    assert_int_equal(r->bytes_up, 30);
    assert_int_equal(r->bytes_down, 50);
    assert_int_equal(r->elapsed_ms, 15);
    assert_true(r->train_loss == 0.125 && r->test_loss == 0.1 &&
                r->test_accuracy == 0.975);
    r = &l.rs[1];
    assert_string_equal(r->phase, "abandoned");
    assert_string_equal(r->reason, "too few devices");
    assert_int_equal(r->elapsed_ms, 74);
    assert_true(r->train_loss == -1 && r->test_loss == -1 &&
                r->test_accuracy == -1);

    l.n = 0;
    pf_reader_rounds(b->r, t, 1, 10, see_round, &l);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.rs[0].round, 2);
    l.n = 0;
    pf_reader_rounds(b->r, t, 0, 1, see_round, &l);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.rs[0].round, 1);
}

/* Asynchronous rounds: who gave work back may be asked again. */
static void a_device_may_be_assigned_again_in_a_round(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    struct pf_record r = record(PF_REC_OPENED, 1, 1, 0);

    write_one(b, t, &r, NULL);
    r = record(PF_REC_ASSIGNED, 2, 1, 5);
    write_one(b, t, &r, NULL);
    r.at_ms = 3;
    write_one(b, t, &r, NULL);
}

static void an_acknowledgement_stays_readable_for_ever(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    uint8_t id[PF_DEVICE_LEN];
    struct pf_ack ack;

    memset(id, 2, sizeof id);
    write_life(b, t);
    assert_int_equal(pf_reader_ack(b->r, t, 1, id, &ack), POCKETFED_OK);
    assert_string_equal(ack.task, "a");
    assert_memory_equal(ack.device, id, sizeof id);
    assert_int_equal(ack.round, 1);
    assert_int_equal(ack.counted, 1);
    assert_memory_equal(ack.base, bench_digest(3), 32);
    assert_memory_equal(ack.plan, bench_digest(1), 32);
    assert_memory_equal(ack.digest, bench_digest(62), 32);
    assert_int_equal(ack.examples, 600);
    assert_int_equal(ack.weight, 500);
    assert_int_equal(pf_reader_ack(b->r, t, 2, id, &ack), POCKETFED_NOT_FOUND);
    memset(id, 3, sizeof id); /* assigned, but failed */
    assert_int_equal(pf_reader_ack(b->r, t, 1, id, &ack), POCKETFED_NOT_FOUND);
}

static void readers_see_committed_data_only(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1);
    struct pf_record r = record(PF_REC_OPENED, 1, 1, 0);
    struct list l = {0};

    bench_begin(b);
    pf_store_record(b->s, t, &r, NULL, &b->err);
    pf_reader_rounds(b->r, t, 0, 10, see_round, &l);
    assert_int_equal(l.n, 0);
    bench_commit(b);
    pf_reader_rounds(b->r, t, 0, 10, see_round, &l);
    assert_int_equal(l.n, 1);
}

static void refuses_a_second_task_of_one_name(void **state)
{
    struct bench *b = *state;
    struct pf_store_task t = {0};
    struct seen s;

    bench_add_task(b, "a", 1);
    snprintf(t.name, sizeof t.name, "a");
    bench_begin(b);
    assert_int_equal(pf_store_task_add(b->s, &t, &b->err), POCKETFED_EXISTS);
    bench_commit(b);
    bench_restart(b);
    load(b, &s);
    assert_int_equal(s.n_tasks, 1);
}

/* ---- objects that are needed ------------------------------------------- */

static void see_digest(void *ctx, const uint8_t d[32])
{
    int *seen = ctx;

    seen[d[0]]++;
}

static void publish(struct bench *b, int64_t t, uint64_t round, int base,
                    int model)
{
    struct pf_record r = record(PF_REC_OPENED, 1, round, 0);

    memcpy(r.u.opened.base, bench_digest(base), 32);
    write_one(b, t, &r, NULL);
    if (!model)
        return;
    r = record(PF_REC_PUBLISHED, 2, round, 0);
    memcpy(r.u.published.model, bench_digest(model), 32);
    memcpy(r.u.published.state, bench_digest(model + 100), 32);
    write_one(b, t, &r, NULL);
}

static void names_the_objects_that_are_needed_and_expired(void **state)
{
    struct bench *b = *state;
    int64_t t = bench_add_task(b, "a", 1), other = bench_add_task(b, "b", 21);
    int seen[256] = {0}, i;

    publish(b, t, 1, 3, 11);
    publish(b, t, 2, 11, 12);
    publish(b, t, 3, 12, 13);
    publish(b, t, 4, 13, 14);
    publish(b, t, 5, 14, 0);
    publish(b, other, 1, 23, 31);
    assert_int_equal(pf_store_needed(b->s, t, (struct pf_keep){2, 2},
                                     see_digest, seen, &b->err),
                     POCKETFED_OK);
    for (i = 0; i < 256; i++)
        assert_int_equal(seen[i], i == 1 || i == 3 || i == 13 || i == 14 ||
                                      i == 113 || i == 114);
    memset(seen, 0, sizeof seen);
    assert_int_equal(pf_store_expired(b->s, t, (struct pf_keep){2, 2},
                                      see_digest, seen, &b->err),
                     POCKETFED_OK);
    for (i = 0; i < 256; i++)
        assert_int_equal(seen[i], i == 11 || i == 12 || i == 111 || i == 112);
}

static void tidies_its_log(void **state)
{
    struct bench *b = *state;

    bench_add_task(b, "a", 1);
    assert_int_equal(pf_store_tidy(b->s, 0, &b->err), POCKETFED_OK);
    assert_int_equal(pf_store_tidy(b->s, 1, &b->err), POCKETFED_OK);
    bench_restart(b);
}

#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_back_every_record_in_order),
        TEST(keeps_numbers_of_64_bits),
        TEST(what_was_not_committed_is_gone),
        TEST(refuses_a_second_acknowledgement_of_one_device),
        TEST(tells_what_a_round_was),
        TEST(a_device_may_be_assigned_again_in_a_round),
        TEST(an_acknowledgement_stays_readable_for_ever),
        TEST(readers_see_committed_data_only),
        TEST(refuses_a_second_task_of_one_name),
        TEST(names_the_objects_that_are_needed_and_expired),
        TEST(tidies_its_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
