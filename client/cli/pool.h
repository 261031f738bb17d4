/* pool.h - the threads of this program: a few that wait for work, and the
 * caller, who is one of them.
 *
 * A training step hands out work every few microseconds, so an idle thread
 * first spins for a moment before it sleeps.  Each thread begins with the same
 * share of the tasks every time, whose data its core's cache may still hold,
 * and takes from the others when it is done.  Which thread runs a task never
 * shows in its result: that is for whoever writes tasks.
 */
#ifndef PF_CLI_POOL_H
#define PF_CLI_POOL_H

#include "parallel.h"

#define POOL_MAX 64

struct pool;

/* Fewer than `threads` when the system has no more to give (never fewer than
 * one, the caller's). NULL: no memory. */
struct pool *pool_open(unsigned threads);
void pool_close(struct pool *p); /* NULL is fine */
/* What the library takes. One thread at a time may run on it, and tasks may
 * not. */
const struct pf_parallel *pool_parallel(const struct pool *p);

#endif
