/* partial.h - uploads whose body is not whole: who is at them now, and what was
 * kept of those that were cut off.
 *
 * One place per (task, round, device).  A request about an upload takes it from
 * whoever is at it, at once: a phone knows long before us that its connection
 * has died.  The older request loses it (its `yield` is called, its later bytes
 * are nobody's); what had come by then goes to the newer one.  When a
 * connection ends before its body, the bytes stay with their running hash until
 * the device goes on, the round closes, their time is up, the daemon stops, or
 * newer ones need the room.  Nothing of this is on record: after a restart
 * nothing is kept and the device sends the whole again.
 *
 * Thread-safe.  Nothing here waits for more than one write of another worker.
 */
#ifndef PF_PARTIAL_H
#define PF_PARTIAL_H

#include <stdint.h>
#include "coordinator.h"
#include "crypto.h"
#include "metrics.h"

/* How many cut-off bodies are kept at most. */
#define PF_PARTIALS_MAX 4096

struct pf_partials;
struct pf_partial; /* one place */

struct pf_partial_key {
    struct pf_live_task *task;
    uint64_t round;
    uint8_t device[PF_DEVICE_LEN];
};

/* The beginning of a body. Moved, never copied; zeroed: nothing. */
struct pf_kept {
    struct pf_segment *segment; /* a reference; NULL: nothing is kept */
    struct pf_extent extent;    /* reserved for the whole */
    uint64_t segment_round;     /* whose segment that is */
    struct pf_hash *hash;       /* of what has come */
    uint64_t received;
    uint8_t digest[PF_DIGEST_LEN]; /* of the whole, as it was signed */
};

/* Releases extent, segment and hash. Zeroed is fine. */
void pf_kept_free(struct pf_kept *k);

/* Whoever is at an upload, inside it; zeroed before the first use. `yield` is
 * called when it loses the upload: on another thread, never between take or
 * begin and end. It moves what can be used into *out and gives back what the
 * upload holds beside. */
struct pf_holder {
    void (*yield)(struct pf_holder *self, struct pf_kept *out);
    struct pf_partial *at; /* private */
};

/* bytes: of disk, for all that is kept together; 0 keeps nothing. Counts in
 * metrics, which is borrowed. */
enum pocketfed_status pf_partials_create(uint64_t bytes, int64_t age_s,
                                         struct pf_metrics *metrics,
                                         struct pf_partials **out);
void pf_partials_free(struct pf_partials *t); /* nobody holds; NULL is fine */

/* Takes the upload; *out gets what there was of it. Then it is the holder's,
 * who must not be disturbed until pf_partials_end. NO_MEMORY: nothing was done
 * and *out is zeroed. */
enum pocketfed_status pf_partials_take(struct pf_partials *t,
                                       const struct pf_partial_key *key,
                                       struct pf_holder *me,
                                       struct pf_kept *out);
/* Until pf_partials_end nobody takes it. 0: somebody has. */
int pf_partials_begin(struct pf_partials *t, struct pf_holder *me);
void pf_partials_end(struct pf_partials *t, struct pf_holder *me);
/* The holder lets go. what: to be kept (moved; may be more than is allowed,
 * then it is freed), or NULL. 1 when something was kept. Fine for one that
 * holds nothing (any more): what is freed. */
int pf_partials_leave(struct pf_partials *t, struct pf_holder *me,
                      struct pf_kept *what, int64_t now_s);

/* Where the upload stands. Whoever is at it loses it; what had come is kept. 0:
 * nothing is. */
struct pf_standing {
    uint64_t offset, length;
    uint8_t digest[PF_DIGEST_LEN];
};
int pf_partials_look(struct pf_partials *t, const struct pf_partial_key *key,
                     int64_t now_s, struct pf_standing *out);

/* Frees what is too old, and what lies in segments of rounds that is_open()
 * denies. Call it every second. */
void pf_partials_sweep(struct pf_partials *t, int64_t now_s,
                       int (*is_open)(void *ctx, struct pf_live_task *task,
                                      uint64_t segment_round),
                       void *ctx);
#endif
