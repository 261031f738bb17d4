/* engine_check.h - what must hold of a round engine after any event, for tests
 * that send it anything: the property test draws the moves, the fuzzer reads
 * them from bytes.
 *
 * Promises: a step fits its arrays; round numbers rise by one and are never
 * used twice; an update counts only in a round that is open, for an assignment
 * that its device has, each device once in a round; a round assigns and accepts
 * no more than its windows say; staleness is the count of models between;
 * a device contributes no more, and no sooner, than its cap says; FINISH comes
 * once per closed round, DROP once per ended one; a model comes from its own
 * round or, rolled back, is an earlier one's; an acknowledged update stays
 * acknowledged; a deadline lies ahead.  And the dull engine (dull.h), which got
 * the same events, says the same.
 */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

#include "engine.h"

struct engine_move {
    unsigned what;       /* 0 .. ENGINE_MOVES - 1 */
    unsigned device;     /* small */
    unsigned round_back; /* 0: one ahead, 1: a past one, 2: the newest, else:
                            the one that is meant */
    uint8_t digest;
    unsigned pass_ms; /* before the event */
    double accuracy;
};
#define ENGINE_MOVES 24

struct engine_check;
/* Before engine_go: START is checked as well. */
struct engine_check *engine_check_new(const struct engine *e);
void engine_check_free(struct engine_check *c);
void engine_move(struct engine *e, struct engine_check *c,
                 const struct engine_move *m);
/* NULL, or what is wrong with the last step. */
const char *engine_check_step(const struct engine *e, struct engine_check *c);
/* NULL, or how an engine made of the records differs from the live one. It
 * becomes the shadow of the live one, so what it does next is checked too. */
const char *engine_check_replay(struct engine *e);

#endif
