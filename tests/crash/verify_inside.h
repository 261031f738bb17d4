/* verify_inside.h - what the two files of the verification share: a history
 * that is being computed again, record by record.
 */
#ifndef CRASH_VERIFY_INSIDE_H
#define CRASH_VERIFY_INSIDE_H

#include "publish.h"
#include "store.h"
#include "verify.h"

struct one { /* an update that is counted */
    uint8_t device[PF_DEVICE_LEN], digest[32];
    uint64_t assigned, weight;
    uint32_t staleness;
    struct pf_extent extent;
};

/* A round that has not ended: one, or two when rounds are asynchronous. */
struct tally {
    uint64_t round; /* 0: this place is free */
    int closed;
    struct pf_sum sum;
    struct one *ones;
    size_t n, room;
};

struct history {
    const char *state;
    struct book *book;
    struct verified *out;
    char *why;
    size_t why_len;
    uint8_t *seen; /* how often each acknowledgement was found */

    /* the task in hand */
    int has_task;
    int64_t id;
    struct pf_task task;
    struct pf_model *model;
    struct pf_plan plan;
    uint8_t plan_digest[32];
    struct pf_buf newest;  /* file of the newest model */
    uint8_t (*models)[32]; /* all of them; the initial one first */
    size_t n_models, models_room;
    float *strategy_state;
    size_t n_strategy_state;
    uint64_t round; /* opened last */
    struct tally tally[2];
    uint8_t (*counted)[32]; /* every frame */
    size_t n_counted, counted_room;
};

/* Says why, with task and round, and returns PROOF. */
enum pocketfed_status verify_wrong(struct history *h, const char *fmt, ...)
    PF_PRINTF(2, 3);
void *verify_grown(void *list, size_t *room, size_t n, size_t item);
void verify_add_model(struct history *h, const uint8_t digest[32]);
static inline const uint8_t *verify_newest(const struct history *h)
{
    return h->models[h->n_models - 1];
}
/* One more record of the task in hand. */
enum pocketfed_status verify_record(void *history, int64_t task,
                                    const struct pf_record *r,
                                    struct pf_error *err);

#endif
