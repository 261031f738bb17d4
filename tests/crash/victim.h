/* victim.h - pocketfedd-crash under a shared control file: armed, started,
 * waited for, killed.  The state directory lies in DIR/disk, so that a test may
 * put a file system there or bring a lost one back.
 */
#ifndef CRASH_VICTIM_H
#define CRASH_VICTIM_H

#include "control.h"
#include "testdaemon.h"

struct victim {
    struct pf_testdaemon d;
    char disk[96], control[128];
    struct crash_control *c;
    size_t mapped;
};

/* Nothing runs yet. log_room: bytes for a log of operations, 0: none. */
void victim_init(struct victim *v, uint64_t log_room);
void victim_end(struct victim *v);
/* Counters and log from the beginning, nothing armed. */
void victim_reset(struct victim *v);
void victim_arm(struct victim *v, enum crash_where where, unsigned point,
                uint64_t nth);
/* From now on calls of these kinds, on paths that contain `path`, fail. */
void victim_fail(struct victim *v, unsigned calls, const char *path, int error,
                 uint64_t skip, uint64_t times);
/* Starts without waiting; its log file begins anew. */
void victim_spawn(struct victim *v);
/* Starts and waits until it serves, which it must. */
void victim_start(struct victim *v);
/* Waits at most `ms` for its end: the exit status (137: SIGKILL), or -1. */
int victim_wait(struct victim *v, int64_t ms);
void victim_kill(struct victim *v);
/* Prints what it wrote. */
void victim_show(const struct victim *v);

#endif
