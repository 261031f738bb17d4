/* fleet.h - devices that take part in one task while their daemon comes and
 * goes, and an operator who goes on making tokens for newcomers.
 */
#ifndef CRASH_FLEET_H
#define CRASH_FLEET_H

#include "member.h"
#include "victim.h"

#define FLEET_DEVICES 6
#define FLEET_TASK    "crash"

struct fleet {
    struct book book;
    struct member device[FLEET_DEVICES];
    unsigned n_devices;
    atomic_int stop, pause;
    char socket[96];
    /* the operator's */
    pthread_t operator_thread;
    atomic_int operator_runs, wants_task;
    unsigned n_tasks;
    atomic_uint newcomers; /* enrolled after the start */
    uint64_t seed;
    int async;
};

/* The daemon serves: makes the task, with rounds in a row or asynchronous ones,
 * joins the devices, sets them going. */
void fleet_start(struct fleet *f, const struct victim *v, uint64_t seed,
                 int async);
/* The operator at work: a token, a newcomer, a token ... and a task whenever
 * fleet_want_task was called. Until fleet_stop. */
void fleet_operate(struct fleet *f);
void fleet_want_task(struct fleet *f);
/* Stops everybody. The book stays until fleet_free. */
void fleet_stop(struct fleet *f);
void fleet_free(struct fleet *f);
/* No request is under way, and none begins until fleet_go_on. */
void fleet_pause(struct fleet *f);
void fleet_go_on(struct fleet *f);
/* Waits until n more updates are acknowledged; 0 when it takes over `ms`. */
int fleet_await(struct fleet *f, size_t n, int64_t ms);

#endif
