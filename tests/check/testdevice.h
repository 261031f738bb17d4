/* testdevice.h - real `pocketfed` processes that take part, and their data.
 */
#ifndef PF_TESTDEVICE_H
#define PF_TESTDEVICE_H

#include "idx.h"
#include "testdaemon.h"

struct pf_testdevice {
    char dir[128], shard[128], log[128];
    pid_t pid; /* of `pocketfed train`, 0: not running */
};

/* A device named NAME (its folder and log in the daemon's directory) joins
 * `task` by a link of its own that fixes its ordinal. shard: the folder with
 * its examples. */
void pf_testdevice_join(struct pf_testdevice *v, struct pf_testdaemon *d,
                        const char *task, const char *name, unsigned ordinal,
                        const char *shard);
/* Starts `pocketfed train --forever` (with --json) on it. */
void pf_testdevice_train(struct pf_testdevice *v);
/* Waits for its end; the exit status. */
int pf_testdevice_wait(struct pf_testdevice *v, int64_t ms, double *cpu_s);
/* A join link, as `pocketfed token create` prints it. ordinal < 0: the next. */
void pf_test_link(const struct pf_testdaemon *d, const char *task, int ordinal,
                  char out[512]);

/* n images of ten classes that a small network learns to tell apart, the same
 * for the same seed, as dir/WHICH-*; dir is made. */
void pf_make_images(const char *dir, const char *which, uint32_t n,
                    uint64_t seed);
/* The first n examples of one set. */
void pf_take_subset(const char *from, const char *dir, const char *which,
                    uint32_t n);
/* The folder POCKETFED_TEST_DATA, or NULL after having said loudly that a test
 * is skipped. With CI=true there is no skipping: the program ends with 1. */
const char *pf_test_data(void);
#define PF_SKIPPED 77

#endif
