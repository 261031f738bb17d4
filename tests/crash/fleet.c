#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operator.h"
#include "proc.h"

#define TASK(name, round)                                                      \
    "{\"name\":\"" name "\",\"seed\":9,\"model\":{\"version\":1,"              \
    "\"input\":[1,20,20],\"loss\":\"softmax_cross_entropy\",\"layers\":["      \
    "{\"name\":\"flatten\",\"type\":\"flatten\"},"                             \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":10}]},"                     \
    "\"train\":{\"optimizer\":\"sgd\",\"lr\":0.05,\"epochs\":1,\"batch\":4},"  \
    "\"round\":{" round "\"collect\":{\"min\":4,\"max\":4,\"max_s\":900},"     \
    "\"poll_min_s\":0.01,\"poll_max_s\":0.02},\"keep\":{\"models\":3}}"

/* Six places, four needed: each round somebody comes too late. 4010 parameters
 * make a frame of four pages. */
#define SYNC  "\"select\":{\"min\":4,\"max\":6,\"max_s\":900},"
#define ASYNC "\"policy\":\"async\",\"select\":{\"max\":6},"

#define TRY_MS 5

static void until(int (*done)(struct fleet *f, unsigned i), struct fleet *f,
                  unsigned i)
{
    int64_t end = pf_now_ms() + (int64_t)30000 * PF_SLOW;

    while (!done(f, i) && pf_now_ms() < end)
        pf_nap(TRY_MS);
    if (pf_now_ms() >= end)
        book_wrong(&f->book, "the devices could not be set up");
}

static int make_task(struct fleet *f, unsigned i)
{
    (void)i;
    return operator_task(f->socket, f->async ? TASK(FLEET_TASK, ASYNC)
                                             : TASK(FLEET_TASK, SYNC));
}

static int make_device(struct fleet *f, unsigned i)
{
    char link[512];

    return operator_token(f->socket, FLEET_TASK, link) &&
           member_make(&f->device[i], &f->book, link, f->seed * 64 + i);
}

static int join_device(struct fleet *f, unsigned i)
{
    int done = member_enrol(&f->device[i]);

    if (done < 0)
        book_wrong(&f->book, "device %u was not let in", i);
    return done != 0;
}

void fleet_start(struct fleet *f, const struct victim *v, uint64_t seed,
                 int async)
{
    unsigned i;

    memset(f, 0, sizeof *f);
    book_init(&f->book);
    f->seed = seed;
    f->async = async;
    snprintf(f->socket, sizeof f->socket, "%s", v->d.socket);
    until(make_task, f, 0);
    for (i = 0; i < FLEET_DEVICES && !f->book.wrong[0]; i++) {
        until(make_device, f, i);
        until(join_device, f, i);
        f->n_devices++;
    }
    for (i = 0; i < f->n_devices && !f->book.wrong[0]; i++)
        member_start(&f->device[i], &f->stop, &f->pause);
}

/* ---- the operator ------------------------------------------------------ */

/* A token that was handed out and an enrolment that was confirmed both last:
 * the newcomer enrols twice, with whatever happens in between. */
static void newcomer(struct fleet *f, unsigned number)
{
    struct member m;
    char link[512];
    unsigned times;
    int done;

    while (!atomic_load(&f->stop) &&
           !operator_token(f->socket, FLEET_TASK, link))
        pf_nap(TRY_MS);
    if (atomic_load(&f->stop) ||
        !member_make(&m, &f->book, link, f->seed * 64 + 32 + number))
        return;
    for (times = 0; times < 2 && !atomic_load(&f->stop);) {
        done = member_enrol(&m);
        if (done < 0)
            book_wrong(&f->book, "a newcomer with a good token was refused");
        if (done == 0)
            pf_nap(TRY_MS);
        times += done != 0;
    }
    if (times == 2)
        atomic_fetch_add(&f->newcomers, 1);
    member_free(&m);
}

static void *operate(void *arg)
{
    struct fleet *f = arg;
    char json[1000];
    unsigned number = 0;

    while (!atomic_load(&f->stop)) {
        if (atomic_exchange(&f->wants_task, 0)) {
            snprintf(json, sizeof json, TASK("extra-%u", SYNC), f->n_tasks);
            while (!operator_task(f->socket, json) && !atomic_load(&f->stop))
                pf_nap(TRY_MS);
            f->n_tasks++;
        }
        if (!atomic_load(&f->pause))
            newcomer(f, number++);
        pf_nap(20);
    }
    return NULL;
}

void fleet_operate(struct fleet *f)
{
    atomic_store(&f->operator_runs, 1);
    if (pthread_create(&f->operator_thread, NULL, operate, f) != 0)
        abort();
}

void fleet_want_task(struct fleet *f)
{
    atomic_store(&f->wants_task, 1);
}

/* ---- all together ------------------------------------------------------ */

void fleet_stop(struct fleet *f)
{
    unsigned i;

    atomic_store(&f->stop, 1);
    for (i = 0; i < f->n_devices; i++) {
        if (f->device[i].stop) /* it was started */
            member_join(&f->device[i]);
        f->device[i].stop = NULL;
    }
    if (atomic_load(&f->operator_runs))
        pthread_join(f->operator_thread, NULL);
    atomic_store(&f->operator_runs, 0);
}

void fleet_free(struct fleet *f)
{
    unsigned i;

    for (i = 0; i < f->n_devices; i++)
        member_free(&f->device[i]);
    book_free(&f->book);
    memset(f, 0, sizeof *f);
}

void fleet_pause(struct fleet *f)
{
    unsigned i;

    atomic_store(&f->pause, 1);
    for (i = 0; i < f->n_devices; i++)
        while (atomic_load(&f->device[i].running))
            pf_nap(1);
}

void fleet_go_on(struct fleet *f)
{
    atomic_store(&f->pause, 0);
}

int fleet_await(struct fleet *f, size_t n, int64_t ms)
{
    int64_t end = pf_now_ms() + ms * PF_SLOW;
    size_t want = book_n_acks(&f->book) + n;

    while (book_n_acks(&f->book) < want && !f->book.wrong[0])
        if (pf_now_ms() > end)
            return 0;
        else
            pf_nap(2);
    return !f->book.wrong[0];
}
