/* testdaemon.h - a real pocketfedd in a directory of its own, on free ports of
 * the loopback interface: started, killed, started again on the same port,
 * stopped, asked.
 */
#ifndef PF_TESTDAEMON_H
#define PF_TESTDAEMON_H

#include <stdint.h>
#include <sys/types.h>
#include "buf.h"
#include "messages.h"

struct pf_testdaemon {
    const char *program; /* NULL: PF_POCKETFEDD */
    char dir[64];        /* short: a Unix socket's name has 107 bytes at most */
    char state[96], socket[96], log[96];
    char listen[64]; /* 127.0.0.1:PORT, once it has been started */
    char ops[64];
    uint16_t port;
    pid_t pid;         /* 0: not running */
    int64_t started_s; /* wall clock, just before the last start */
};

/* Makes the directory; nothing runs yet. */
void pf_testdaemon_init(struct pf_testdaemon *d);
/* Starts it and waits until it serves. */
void pf_testdaemon_start(struct pf_testdaemon *d);
/* Starts it and does not wait; then 1 once it serves. */
void pf_testdaemon_spawn(struct pf_testdaemon *d);
int pf_testdaemon_serves(struct pf_testdaemon *d);
/* SIGKILL, as a power cut. */
void pf_testdaemon_crash(struct pf_testdaemon *d);
/* SIGTERM: it must end with 0 and take its run.json away. */
void pf_testdaemon_stop(struct pf_testdaemon *d);
/* For teardowns: kills what runs, removes the directory (unless the variable
 * PF_TEST_KEEP is set). Zeroed is fine. */
void pf_testdaemon_end(struct pf_testdaemon *d);

/* dir "/" name; a few such strings live at once. */
const char *pf_in_dir(const struct pf_testdaemon *d, const char *name);
/* Writes dir/NAME.json and creates the task from it. */
void pf_testdaemon_task(struct pf_testdaemon *d, const char *name,
                        const char *json);
/* The admin's view; the test fails when there is none. */
void pf_testdaemon_get(const struct pf_testdaemon *d, const char *path,
                       struct pf_buf *out);
void pf_task_now(const struct pf_testdaemon *d, const char *task,
                 struct pf_task_status *out);
void pf_round_now(const struct pf_testdaemon *d, const char *task,
                  uint64_t round, struct pf_round_status *out);
/* Waits until the task is finished; fails after `ms` times PF_SLOW. */
void pf_await_finish(const struct pf_testdaemon *d, const char *task,
                     int64_t ms, struct pf_task_status *out);
/* GET on the ops listener; returns the HTTP status. */
int pf_testdaemon_ops(const struct pf_testdaemon *d, const char *path,
                      struct pf_buf *out);

#endif
