/* engine_check.h - what must hold of a round engine after any event, for tests
 * that send it anything: the property test draws the moves, the fuzzer reads
 * them from bytes.
 *
 * Promises: a step fits its arrays; round numbers rise by one and are never
 * used twice; a round is folded only while open, each device once; a round
 * accepts at most collect.max and assigns at most twice select.max; FINISH
 * comes once per closed round, DROP once per ended one; each question gets one
 * answer; an acknowledged update stays acknowledged.
 */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

#include "engine.h"

struct engine_move {
    unsigned what;       /* 0 .. ENGINE_MOVES - 1 */
    unsigned device;     /* small */
    unsigned round_back; /* 0: one ahead, 1: a past one, else: the newest */
    uint8_t digest;
    unsigned pass_ms; /* before the event */
    double accuracy;
};
#define ENGINE_MOVES 16

struct engine_check;
struct engine_check *engine_check_new(void);
void engine_check_free(struct engine_check *c);
void engine_move(struct engine *e, struct engine_check *c,
                 const struct engine_move *m);
/* NULL, or what is wrong with the last step. */
const char *engine_check_step(const struct engine *e, struct engine_check *c);
/* NULL, or how an engine made of the records differs from the live one. It
 * becomes the shadow of the live one, so what it does next is checked too. */
const char *engine_check_replay(struct engine *e);

#endif
