/* background.h - the thread that makes the next model when a round has closed,
 * and removes objects that are not needed any more.
 *
 * Finishing waits for the round's folds, merges them, lets the strategy step,
 * and makes model and strategy state durable before it says FINISHED.  No
 * memory or a model that is not finite is FINISH_FAILED; whatever else goes
 * wrong (a disk, a damaged object) is fatal.
 */
#ifndef PF_BACKGROUND_H
#define PF_BACKGROUND_H

#include "coordinator.h"
#include "folding.h"

struct pf_background;

struct pf_background_config {
    struct pf_objects *objects;
    const struct pf_log *log;
    /* FINISHED or FINISH_FAILED, on the background thread. */
    void (*deliver)(void *ctx, struct pf_live_task *t,
                    const struct pf_event *ev);
    void (*fatal)(void *ctx, const struct pf_error *err);
    void *ctx;
};

enum pocketfed_status
pf_background_start(const struct pf_background_config *config,
                    struct pf_background **out, struct pf_error *err);
/* What is queued is left to the next start; NULL is fine. */
void pf_background_stop(struct pf_background *b);

/* A closed round, all its folds queued. */
struct pf_finish {
    struct pf_live_task *task;
    uint64_t round;
    uint8_t base[32];
    uint8_t state[32]; /* the strategy's before this round; zeros: none yet */
    double divisor;    /* of the mean; 0: the weight */
    struct pf_fold *fold; /* a reference that is taken over */
};
/* 0: no memory. */
int pf_background_finish(struct pf_background *b, const struct pf_finish *f);
int pf_background_drop(struct pf_background *b, const uint8_t digest[32]);

#endif
