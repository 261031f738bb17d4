/* rival.h - an nginx that reads the same bodies into memory and nothing more,
 * or sends the same file; and what a server's processes cost.
 */
#ifndef PF_BENCH_RIVAL_H
#define PF_BENCH_RIVAL_H

#include <stdint.h>
#include <sys/types.h>

struct rival {
    char dir[128];
    pid_t pid;
    uint16_t port;
};

/* nginx with the daemon's own key and certificate, as many workers as
 * processors. PUT anywhere: the body is read into one buffer, then 201. GET
 * /model: `dir`/model is sent. */
void rival_start(struct rival *r, const char *dir, const char *state);
void rival_stop(struct rival *r);

/* User and system time of the process and its children so far, seconds. */
double cpu_of(pid_t pid);

#endif
