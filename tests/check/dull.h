/* dull.h - the round engine's promises once more, as dull as they can be
 * written: one list of all assignments ever, one of all rounds, looked through
 * from end to end for each question, for both policies.
 *
 * It follows from round.h, leases.h, docs/TASKS.md and docs/PROTOCOL.md and
 * shares nothing with the engine but the names of things.  On the bench of
 * engine.h (a device is a number, a digest one byte) the same events must give
 * the same records, effects and answers.  Both are told in words, so that a
 * difference can be read; left out are seeds, extents, losses, and for how long
 * an assignment or a wait holds: unit tests have those.
 */
#ifndef DULL_H
#define DULL_H

#include "round.h"

struct dull_words {
    char text[4096];
    size_t len;
};
void dull_say(struct dull_words *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One task at a time; it is borrowed. */
void dull_begin(const struct pf_task *task);
/* What a step of the engine must tell. */
void dull_step(const struct pf_event *ev, struct dull_words *out);
/* What it does tell. */
void dull_tell(const struct pf_step *step, struct dull_words *out);

#endif
