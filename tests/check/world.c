#include "world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

int world_set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    pf_fake_start(&w->fake, "tiny");
    pf_side_start(&w->side, &w->fake);
    *state = w;
    return 0;
}

int world_tear_down(void **state)
{
    struct world *w = *state;

    pf_side_stop(&w->side);
    pf_fake_stop(&w->fake);
    free(w);
    return 0;
}

enum pf_outcome world_outcome(const struct world *w)
{
    return pf_participation_outcome(w->side.p);
}

void world_ends(struct world *w, enum pf_outcome want)
{
    enum pocketfed_status st = pf_side_run(&w->side, WORLD_MOVES);

    if (world_outcome(w) != want)
        fail_msg("outcome %d, status %d: %s", (int)world_outcome(w), (int)st,
                 pf_participation_error(w->side.p)->text);
}

void world_refuses(struct world *w, enum pocketfed_status want,
                   const char *word)
{
    enum pocketfed_status st = pf_side_run(&w->side, WORLD_MOVES);

    assert_int_equal(st, want);
    assert_int_equal(world_outcome(w), PF_OUTCOME_REFUSED);
    assert_int_equal(w->side.err.status, want);
    if (!strstr(w->side.err.text, word))
        fail_msg("\"%s\" is not in: %s", word, w->side.err.text);
}
