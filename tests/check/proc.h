/* proc.h - other programs, run and watched by a test.
 *
 * Whatever is started here is killed when the test program ends, however it
 * ends: in order, by a failed assertion (pf_kill_all in the teardown), or by a
 * signal (the kernel then kills the children).  What cannot go on fails the
 * test with a sentence.
 */
#ifndef PF_PROC_H
#define PF_PROC_H

#include <stdint.h>
#include <sys/types.h>
#include "buf.h"

/* How many times longer things may take than in a plain release build. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PF_SLOW 4
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PF_SLOW 4
#endif
#endif
#ifndef PF_SLOW
#define PF_SLOW 1
#endif

#define PF_POCKETFED  PF_BIN_DIR "/pocketfed"
#define PF_POCKETFEDD PF_BIN_DIR "/pocketfedd"

/* From here on HOME is `home`, and no XDG_* or POCKETFED_* variable of the
 * person who runs the tests reaches a program. */
void pf_isolate(const char *home);

struct pf_run {
    int code; /* exit status, or 128 + the signal */
    struct pf_buf out, err;
};

/* Runs argv (ends with NULL) to its end, at most a minute. input: its stdin,
 * NULL for none. r is filled anew; pf_run_free when done with it. */
void pf_run(struct pf_run *r, const char *input, const char *const argv[]);
void pf_run_free(struct pf_run *r); /* zeroed is fine */
#define PF_RUN(r, ...) pf_run(r, NULL, (const char *const[]){__VA_ARGS__, NULL})
/* `pocketfed` with these words. */
#define PF_CLI(r, ...) PF_RUN(r, PF_POCKETFED, __VA_ARGS__)

/* In the background; stdout and stderr are appended to the file `log`. */
pid_t pf_spawn(const char *const argv[], const char *log);
/* Waits for its end; gives the exit status, or 128 + the signal. The test
 * fails when it does not end within `ms` (times PF_SLOW). cpu_s, unless NULL,
 * gets the processor time it took. */
int pf_wait(pid_t pid, int64_t ms, double *cpu_s);
int pf_alive(pid_t pid);
double pf_cpu_s(pid_t pid); /* processor time so far */
void pf_signal(pid_t pid, int sig);
/* SIGKILL and wait. */
void pf_end(pid_t pid);
void pf_kill_all(void);

int64_t pf_now_ms(void); /* monotonic */
void pf_nap(int64_t ms);
/* The whole of a file; "" when there is none yet. */
void pf_slurp(const char *path, struct pf_buf *out);
int pf_file_says(const char *path, const char *text);
/* Waits until the file contains the text; fails after `ms` * PF_SLOW. */
void pf_await_text(const char *path, const char *text, int64_t ms);
/* Waits until the file exists. */
void pf_await_file(const char *path, int64_t ms);

#endif
