/* world.h - a fake server and one member of it, as the fixtures of cmocka, and
 * how a participation of theirs must end.
 */
#ifndef PF_CHECK_WORLD_H
#define PF_CHECK_WORLD_H

#include "memberside.h"

#define WORLD_MOVES 1000 /* far more than a participation takes */

struct world {
    struct pf_fake fake;
    struct pf_side side;
};

int world_set_up(void **state);
int world_tear_down(void **state);
enum pf_outcome world_outcome(const struct world *w);
/* Runs to its end; the outcome must be this one. */
void world_ends(struct world *w, enum pf_outcome want);
/* The same for PF_OUTCOME_REFUSED: with that status, and the word in the
 * error. */
void world_refuses(struct world *w, enum pocketfed_status want,
                   const char *word);

#endif
